"""Engines: from a URL to SQLAlchemy's engines, async and sync, with each database's own driver, pool and settings.

An engine belongs to a process, and an async one to an event loop; `Engines` makes each when it is first asked for.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import ssl
import threading
import weakref
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from quintet.db.guards import LeavingConnection, guard_dialect, watch_failures
from quintet.db.memory import new_file
from quintet.db.pool import LinePool
from quintet.db.postgres import keep_clean
from quintet.db.queries.events import watch_engine
from quintet.db.sqlite import MODE, prepare_sqlite, unreachable, watch_locks
from quintet.errors import ConfigurationError, Problem

#: Drivers by database: (async, sync).
DRIVERS: dict[str, tuple[str, str]] = {
    "sqlite": ("aiosqlite", "pysqlite"),
    "postgresql": ("asyncpg", "psycopg"),
    "mysql": ("asyncmy", "pymysql"),
    "mariadb": ("asyncmy", "pymysql"),
    "oracle": ("oracledb_async", "oracledb"),
}
_EXTRAS = {"sqlite": "db", "postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "oracle": "oracle"}
_MODULES = {"pysqlite": "sqlite3", "oracledb_async": "oracledb"}
_ALIASES = {"postgres": "postgresql"}
#: What a URL may name that serves both kinds.
_BOTH = {"postgresql+psycopg"}


_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


# PERF: to ask for the process's number costs a call of the system for every session.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forked)


class PoolOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The pool of connections of each engine. Times are seconds."""

    #: Connections kept open, each opened when it is first needed.
    size: int = 20
    #: Connections beyond those, closed after use: opening one takes as long as ten queries.
    overflow: int = 0
    #: Time to wait for a connection.
    timeout: float = 5.0
    #: Age at which a connection is replaced.
    recycle: float = 1800.0
    #: Time to connect.
    connect_timeout: float = 5.0
    #: Whether PostgreSQL keeps statements that connections have prepared; not behind a PgBouncer that cannot follow
    #: them from one server's connection to another.
    prepared_statements: bool = True


class TLS(msgspec.Struct, frozen=True, kw_only=True):
    """How connections to a database are encrypted."""

    #: `require` encrypts, `verify` checks the server's certificate too.
    mode: Literal["off", "prefer", "require", "verify"] = "prefer"
    #: The file of the authorities to trust; the system's when empty.
    ca: str = ""

    def context(self) -> ssl.SSLContext:
        """Return the context of Python's own TLS for this."""
        context = ssl.create_default_context(cafile=self.ca or None)
        if self.mode != "verify":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parse_url(text: str, where: str = "") -> URL:
    """Read the URL of a database.

    Raises:
        ConfigurationError: it is none, its database is not known, or its driver is not installed, or none of ours.
    """
    try:
        url = make_url(text)
        name = url.drivername.partition("+")[0]
    except (exc.ArgumentError, ValueError):  # a port that is no number is a ValueError
        raise ConfigurationError(
            Problem(
                id="database.url",
                message="the URL of the database cannot be read",
                where=where,
                fix="write it as sqlite:///app.db or postgresql://user:password@host/name",
            )
        ) from None
    name = _ALIASES.get(name, name)
    if name not in DRIVERS:
        raise ConfigurationError(
            Problem(
                id="database.kind",
                message=f"the database {name!r} is not known",
                where=where,
                fix=f"use one of {', '.join(sorted(DRIVERS))}",
            )
        )
    driver = url.drivername.partition("+")[2]
    url = url.set(drivername=f"{name}+{driver}" if driver else name)
    wrong = _driver_problem(url, where)
    if wrong is not None:
        raise ConfigurationError(wrong)
    return url


def _driver_problem(url: URL, where: str) -> Problem | None:
    """Return what is wrong with the drivers of a URL, those that it names and those that it leaves to us."""
    name, _, driver = url.drivername.partition("+")
    is_ours = driver in ("", *DRIVERS[name]) or url.drivername in _BOTH
    if not is_ours and not _is_async(url):
        ours = [_MODULES.get(one, one) for one in DRIVERS[name]]
        return Problem(
            id="database.driver",
            message=f"{url.drivername} names a driver that does not serve `async def`; for {name} there are "
            f"{ours[0]} for `async def` and {ours[1]} for `def`",
            where=where,
            fix=f"write {name}:{'/' * (3 if name == 'sqlite' else 2)}… without a driver",
        )
    missing = [d for d in drivers_of(url) if importlib.util.find_spec(_MODULES.get(d, d)) is None]
    if not missing:
        return None
    extra = f"pip install 'quintet[{_EXTRAS[name]}]'"
    return Problem(
        id="database.driver",
        message=f"{url.drivername} needs {' and '.join(missing)}, which is not installed",
        where=where,
        # An extra has the drivers that we chose.
        fix=extra if is_ours else f"pip install {driver}, or write {name}://… without a driver and {extra}",
    )


def _is_async(url: URL) -> bool:
    try:
        return url.get_dialect().is_async
    except (exc.NoSuchModuleError, ImportError):
        return False


def drivers_of(url: URL) -> tuple[str, str]:
    """Return the names of the async and the sync driver for a URL."""
    name, _, driver = url.drivername.partition("+")
    both = DRIVERS[name]
    if url.drivername in _BOTH:
        return driver, driver
    if driver in both or not driver:
        return both
    return driver, both[1]


class Engines:
    """The engines of one database server: one sync engine for each process, one async engine for each event loop."""

    def __init__(self, url: URL, pool: PoolOptions, tls: TLS, *, echo: bool = False) -> None:
        self.kind = url.drivername.partition("+")[0]
        self.is_memory = self.kind == "sqlite" and url.database in (None, "", ":memory:")
        self.url = url.set(database=new_file()) if self.is_memory else url
        self.pool = pool
        self.tls = tls
        self.echo = echo
        #: Whether to warn of write locks that are held for long, in development.
        self.watched = False
        self._forks = _forks
        self._lock = threading.Lock()
        self._sync: Engine | None = None
        self._sync_modes: dict[str, Engine] = {}
        self._async_modes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Engine]] = (
            weakref.WeakKeyDictionary()
        )
        #: The event loop that asked last, and its engines.
        self._latest: tuple[asyncio.AbstractEventLoop, dict[str, Engine]] | None = None
        self._async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = weakref.WeakKeyDictionary()

    @property
    def sync_engine(self) -> Engine:
        """The engine for `def`."""
        self._check_process()
        if self._sync is None:
            with self._lock:
                if self._sync is None:
                    self._sync = self._make_sync()
        return self._sync

    @property
    def async_engine(self) -> AsyncEngine:
        """The engine for `async def` on the running event loop."""
        self._check_process()
        loop = asyncio.get_running_loop()
        found = self._async.get(loop)
        if found is None:
            found = self._async[loop] = self._make_async()
        return found

    def bind(self, mode: str, *, is_async: bool) -> Engine:
        """Return the engine that sessions of a mode work on: the same pool, told how transactions begin.

        PERF: SQLAlchemy takes 150 µs to make one.
        """
        if self._forks != _forks:
            self._check_process()
        if is_async:
            loop = asyncio.get_running_loop()
            latest = self._latest
            if latest is None or latest[0] is not loop:  # PERF: a dictionary of weak keys takes 1 µs
                latest = self._latest = loop, self._async_modes.setdefault(loop, {})
            made = latest[1]
        else:
            made = self._sync_modes
        if mode not in made:
            engine = self.async_engine.sync_engine if is_async else self.sync_engine
            bound: Any = engine.execution_options(**{MODE: mode})
            bound._connection_cls = engine._connection_cls  # pyright: ignore[reportPrivateUsage]
            made[mode] = bound
        return made[mode]

    def _check_process(self) -> None:
        """After a fork, leave the connections to the process that opened them."""
        if self._forks != _forks:
            self._forks, self._lock = _forks, threading.Lock()
            if self._sync is not None:
                self._sync.dispose(close=False)
            for engine in list(self._async.values()):
                engine.sync_engine.dispose(close=False)
            self._sync, self._async = None, weakref.WeakKeyDictionary()
            self._sync_modes, self._async_modes, self._latest = {}, weakref.WeakKeyDictionary(), None

    def dispose_sync(self) -> None:
        """Close the idle connections of the sync engine."""
        self._check_process()
        engine, self._sync, self._sync_modes = self._sync, None, {}
        if engine is not None:
            engine.dispose()

    async def dispose(self) -> None:
        """Close the idle connections of this event loop's engine and of the sync one."""
        self._check_process()
        loop = asyncio.get_running_loop()
        self._async_modes.pop(loop, None)
        self._latest = None
        engine = self._async.pop(loop, None)
        if engine is not None:
            await engine.dispose()
        self.dispose_sync()

    # -- making ---------------------------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        return {
            "pool_size": self.pool.size,
            "max_overflow": self.pool.overflow,
            "pool_timeout": self.pool.timeout,
            "pool_recycle": int(self.pool.recycle),
            "echo": self.echo,
            "hide_parameters": True,
        }

    def _make_sync(self) -> Engine:
        driver = drivers_of(self.url)[1]
        url, arguments = connect_arguments(self.url, driver, self.pool, self.tls)
        options: dict[str, Any] = {**self._options(), "connect_args": arguments}
        if self.kind == "sqlite":
            options["poolclass"] = sa.QueuePool
        else:
            options["pool_pre_ping"] = True
        engine = sa.create_engine(url.set(drivername=f"{self.kind}+{driver}"), **options)
        self._prepare(engine)
        return engine

    def _make_async(self) -> AsyncEngine:
        driver = drivers_of(self.url)[0]
        url, arguments = connect_arguments(self.url, driver, self.pool, self.tls)
        options: dict[str, Any] = {**self._options(), "connect_args": arguments, "poolclass": LinePool}
        # asyncpg knows by itself, without a round trip, that its connection has gone.
        if self.kind != "sqlite" and driver != "asyncpg":
            options["pool_pre_ping"] = True
        engine = create_async_engine(url.set(drivername=f"{self.kind}+{driver}"), **options)
        self._prepare(engine.sync_engine)
        if driver == "asyncpg":
            event.listen(engine.sync_engine, "checkout", _refuse_closed)
        return engine

    def _prepare(self, engine: Engine) -> None:
        watch_engine(engine)
        guard_dialect(engine.dialect)
        event.listen(engine, "do_connect", _connect)
        if self.kind == "postgresql":
            watch_failures(engine)
            keep_clean(engine)
        if self.kind in ("mysql", "mariadb"):
            engine._connection_cls = LeavingConnection  # pyright: ignore[reportPrivateUsage]
        if self.kind == "sqlite":
            prepare_sqlite(engine, memory=self.is_memory)
            if self.watched:
                watch_locks(engine)


def _connect(dialect: Any, record: Any, args: Any, options: Any) -> Any:
    """Connect; whatever a driver raises where it cannot, it means the same."""
    try:
        connection = dialect.connect(*args, **options)
        if dialect.driver == "pymysql":
            connection._read_timeout = None  # a statement may take its time
        if dialect.driver == "asyncpg":
            from quintet.db.drivers.begin import begin_early
            from quintet.db.drivers.dates import write_as_given

            await_only(write_as_given(connection.driver_connection))
            begin_early(connection)
        if dialect.driver == "psycopg":
            from quintet.db.drivers.psycopg import read_ends

            read_ends(connection)
        if dialect.driver == "aiosqlite":
            from quintet.db.drivers.hops import in_one_hop

            connection = in_one_hop(connection)
        return connection
    except Exception as error:
        raise unreachable(error, args[0] if dialect.name == "sqlite" else None) from error


def _in_time(seconds: float) -> Any:
    """Return how asyncmy connects: its own timeout ends before the server's greeting."""

    async def connect(*args: Any, **options: Any) -> Any:
        import asyncmy

        async with asyncio.timeout(seconds):
            return await asyncmy.connect(*args, **options)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - it has no types

    return connect


def _refuse_closed(connection: Any, record: Any, proxy: Any) -> None:
    if connection.driver_connection.is_closed():
        raise exc.DisconnectionError("the server has closed this connection")


def connect_arguments(url: URL, driver: str, pool: PoolOptions, tls: TLS) -> tuple[URL, dict[str, Any]]:
    """Return the URL and the arguments of a driver's `connect` for the same meaning with every driver."""
    query = dict(url.query)
    seconds = pool.connect_timeout
    mode = query.pop("sslmode", None) if driver != "psycopg" else None
    arguments: dict[str, Any] = {}
    match driver:
        case "asyncpg":
            arguments = {"timeout": seconds, "ssl": mode or _asyncpg_tls(tls)}
            if not pool.prepared_statements:
                # With no cache asyncpg names no statement, and sends it again together with its values.
                arguments |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        case "psycopg":
            arguments = {"connect_timeout": max(1, round(seconds))}
            if not pool.prepared_statements:
                arguments["prepare_threshold"] = None
            if "sslmode" not in query:
                arguments |= _libpq_tls(tls)
        case "pymysql" | "asyncmy" | "aiomysql":
            # Columns hold UTC; without this NOW(), as a server default, is the server's own time.
            arguments = {"connect_timeout": max(1, round(seconds)), "init_command": "SET time_zone = '+00:00'"}
            if driver == "pymysql":
                arguments["read_timeout"] = arguments["connect_timeout"]  # for the greeting; taken back by `_connect`
            elif driver == "asyncmy":
                arguments["async_creator_fn"] = _in_time(seconds)
            if tls.mode in ("require", "verify"):
                arguments["ssl"] = tls.context()
            query.setdefault("charset", "utf8mb4")
        case "oracledb" | "oracledb_async":
            arguments = {"tcp_connect_timeout": seconds}
            if tls.mode in ("require", "verify"):
                arguments |= {"protocol": "tcps", "ssl_context": tls.context()}
        case "aiosqlite":
            from quintet.db.drivers.hops import open_connection

            arguments = {"timeout": 5.0, "async_creator_fn": open_connection}
        case _:
            arguments = {"timeout": 5.0}
    return url.set(query=query), arguments


def _asyncpg_tls(tls: TLS) -> Any:
    return {"off": False, "prefer": "prefer"}.get(tls.mode) if tls.mode in ("off", "prefer") else tls.context()


def _libpq_tls(tls: TLS) -> dict[str, str]:
    mode = {"off": "disable", "prefer": "prefer", "require": "require", "verify": "verify-full"}[tls.mode]
    authorities = {"sslrootcert": tls.ca or "system"} if tls.mode == "verify" else {}
    return {"sslmode": mode, **authorities}
