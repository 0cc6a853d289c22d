"""What the engines of a test take for connections: all of them lead to the test's one connection.

Pools, engines, sessions and compiled queries work as they do otherwise; their transactions are units of work of
`SharedConnection`, and so are those of `def` handlers, on the asynchronous driver's connection.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn

from quintet.db.drivers.base import AsyncDriver
from quintet.db.engines import Engines
from quintet.db.guards import watch_failures
from quintet.db.pool import LinePool
from quintet.db.queries.events import watch_engine
from quintet.db.queries.run_async import async_runner
from quintet.db.queries.run_sync import sync_runner
from quintet.db.sqlite import MODE
from quintet.testing.db.shared import SharedConnection, Unit


class VirtualConnection:
    """A connection of the DBAPI whose statements run on the shared one."""

    def __init__(self, shared: SharedConnection) -> None:
        self.shared = shared
        self.unit = Unit()
        self.isolation_level: Any = None
        self.readonly = False
        self.deferrable = False
        self._execute_mutex = asyncio.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shared.real, name)

    def cursor(self, server_side: bool = False) -> VirtualCursor:
        """Return a cursor; its rows are in memory."""
        return VirtualCursor(self)

    def execute(self, sql: str, parameters: Any = None) -> VirtualCursor:
        """Run a statement on a cursor of its own."""
        cursor = self.cursor()
        cursor.execute(sql, parameters)
        return cursor

    def begin_unit(self, *, reading: bool) -> None:
        """Take what follows for a unit of work."""
        self.unit.reading = reading

    def commit(self) -> None:
        """Keep what was done, as long as the test lasts."""
        if self.unit.savepoint:
            self.shared.send(self.shared.commit(self.unit))
            self.unit = self.unit.following()

    def rollback(self) -> None:
        """Take back what was done since the last commit."""
        if self.unit.savepoint or self.unit.lost:
            self.shared.send(self.shared.take_back(self.unit))
            self.unit = self.unit.following()

    def close(self) -> None:
        """Take back what was not committed; the shared connection stays open."""
        self.rollback()

    def terminate(self) -> None:
        """Leave at once, as one whose request was cancelled: what was not committed is taken back meanwhile."""
        self.shared.portal.submit(self.shared.take_back(self.unit))
        self.unit = self.unit.following()


class VirtualCursor:
    """A cursor of the DBAPI: it runs a statement on the shared connection and holds all its rows."""

    arraysize = 1

    def __init__(self, connection: VirtualConnection) -> None:
        self._connection = connection
        self._rows: Iterator[Any] = iter(())
        self._invalidate_schema_cache_asof: float = 0
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: Any = None

    def execute(self, sql: str, parameters: Any = None) -> None:
        """Run a statement."""
        self._run(sql, "execute", sql) if parameters is None else self._run(sql, "execute", sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> None:
        """Run a statement for each set of parameters."""
        self._run(sql, "executemany", sql, parameters)

    def _run(self, sql: str, method: str, *arguments: Any) -> None:
        shared = self._connection.shared

        def in_greenlet() -> Sequence[Any]:
            cursor = shared.real.cursor()
            if hasattr(cursor, "_invalidate_schema_cache_asof"):
                cursor._invalidate_schema_cache_asof = self._invalidate_schema_cache_asof
            getattr(cursor, method)(*arguments)
            self.description, self.rowcount = cursor.description, cursor.rowcount
            self.lastrowid = getattr(cursor, "lastrowid", None)
            rows = cursor.fetchall() if cursor.description else ()
            cursor.close()
            return rows

        rows = shared.send(shared.statement(self._connection.unit, sql, lambda: greenlet_spawn(in_greenlet)))
        self._rows = iter(rows or ())

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        return [row for _, row in zip(range(size or self.arraysize), self._rows, strict=False)]

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def setinputsizes(self, *sizes: Any) -> None:
        """Do nothing: drivers find the sizes themselves."""

    async def _async_soft_close(self) -> None:
        """Do nothing: the statement has ended."""

    def close(self) -> None:
        """Forget the rows."""
        self._rows = iter(())


# -- compiled queries -------------------------------------------------------------------------------------------------


class SharedDriver:
    """The asynchronous driver for compiled queries, on the shared connection."""

    settles = True
    lingers = True
    leans = False

    def __init__(self, inner: AsyncDriver) -> None:
        self.inner = inner

    def usable(self, dbapi: Any) -> bool:
        """Return True: the shared connection is open as long as the test."""
        return True

    async def rows(self, dbapi: Any, sql: str, args: Any, limit: int, plan: Any) -> Sequence[Any]:
        """Run a statement and return its rows."""
        real = dbapi.shared.real
        found = await dbapi.shared.send_async(
            dbapi.shared.statement(dbapi.unit, sql, lambda: self.inner.rows(real, sql, args, limit, plan))
        )
        return found or ()

    async def column_types(self, dbapi: Any, sql: str, found: Sequence[Any] | None) -> Sequence[Any]:
        """Return the driver's codes of the columns."""
        real = dbapi.shared.real
        types = dbapi.shared.statement(dbapi.unit, "SELECT", lambda: self.inner.column_types(real, sql, found))
        return (await dbapi.shared.send_async(types)) or ()

    async def execute(self, dbapi: Any, sql: str, args: Any) -> int:
        """Run a statement and return the number of rows it changed."""
        real = dbapi.shared.real
        return await dbapi.shared.send_async(
            dbapi.shared.statement(dbapi.unit, sql, lambda: self.inner.execute(real, sql, args))
        )

    async def execute_many(self, dbapi: Any, sql: str, sets: list[Any]) -> None:
        """Run a statement once for each set of arguments."""
        real = dbapi.shared.real
        await dbapi.shared.send_async(
            dbapi.shared.statement(dbapi.unit, sql, lambda: self.inner.execute_many(real, sql, sets))
        )

    async def stream(self, dbapi: Any, sql: str, args: Any, size: int) -> AsyncIterator[tuple[Sequence[Any], Any]]:
        """Yield the rows in batches; in a test all are in memory."""
        plan = _NoPlan()
        rows = await self.rows(dbapi, sql, args, 0, plan)
        for start in range(0, len(rows), size):
            yield rows[start : start + size], plan.described

    async def begin(self, dbapi: Any) -> bool:
        """Do nothing: the transaction has begun with the test."""
        return False

    async def restart(self, dbapi: Any) -> bool:
        """Return False: a transaction is not begun again."""
        return False

    async def settle(self, dbapi: Any) -> None:
        """Do nothing: a statement that was left goes on to its end, and the next one waits for it."""

    async def finish(self, dbapi: Any) -> None:
        """Do nothing: a read of its own leaves nothing."""

    def error(self, dbapi: Any, error: Exception) -> Exception:
        """Return an error of the driver as an error of the DBAPI."""
        return self.inner.error(dbapi.shared.real, error)

    def stale(self, error: Exception) -> bool:
        """Return whether a prepared statement no longer fits the schema."""
        return self.inner.stale(error)


class BlockingSharedDriver:
    """The same driver for compiled queries of `def` handlers."""

    def __init__(self, inner: AsyncDriver) -> None:
        self.inner = inner

    def usable(self, dbapi: Any) -> bool:
        """Return True: the shared connection is open as long as the test."""
        return True

    def prepare(self, dbapi: Any) -> None:
        """Do nothing: a read needs no transaction of its own."""

    def rows(self, dbapi: Any, sql: str, args: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        """Run a statement and return its rows, and the codes of their columns."""
        real = dbapi.shared.real

        async def work() -> tuple[Sequence[Any], Sequence[Any]]:
            plan = _NoPlan()
            rows = await self.inner.rows(real, sql, args, 0, plan)
            return rows, await self.inner.column_types(real, sql, plan.described)

        try:
            return dbapi.shared.send(dbapi.shared.statement(dbapi.unit, sql, work)) or ((), ())
        except Exception as error:
            raise self.inner.error(real, error) from error

    def execute(self, dbapi: Any, sql: str, args: Any) -> int:
        """Run a statement and return the number of rows it changed."""
        real = dbapi.shared.real
        try:
            return dbapi.shared.send(
                dbapi.shared.statement(dbapi.unit, sql, lambda: self.inner.execute(real, sql, args))
            )
        except Exception as error:
            raise self.inner.error(real, error) from error

    def execute_many(self, dbapi: Any, sql: str, sets: list[Any]) -> None:
        """Run a statement once for each set of arguments."""
        real = dbapi.shared.real
        try:
            dbapi.shared.send(dbapi.shared.statement(dbapi.unit, sql, lambda: self.inner.execute_many(real, sql, sets)))
        except Exception as error:
            raise self.inner.error(real, error) from error

    def stream(self, dbapi: Any, sql: str, args: Any, size: int) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
        """Yield the rows in batches; in a test all are in memory."""
        rows, types = self.rows(dbapi, sql, args)
        for start in range(0, len(rows), size):
            yield rows[start : start + size], types

    def finish(self, dbapi: Any) -> None:
        """Do nothing: a read of its own leaves nothing."""

    def stale(self, error: Exception) -> bool:
        """Return whether a prepared statement no longer fits the schema."""
        return False


class _NoPlan:
    """Stands for the plan of a statement that takes what time it needs."""

    reads = False
    scans = True
    decode = None
    described: Sequence[Any] | None = None


# -- engines ----------------------------------------------------------------------------------------------------------


class VirtualEngines(Engines):
    """The engines of a database in a test: every pool of theirs lends connections to the shared one."""

    def __init__(self, shared: SharedConnection) -> None:
        real = shared.engines
        super().__init__(real.url, real.pool, real.tls, echo=real.echo)
        self.shared = shared

    def _make_sync(self) -> Engine:
        engine = self._engine(QueuePool)
        runner = sync_runner(engine)
        if (inner := _driver_of(self.shared)) is not None:
            runner.driver = BlockingSharedDriver(inner)
        return engine

    def _make_async(self) -> AsyncEngine:
        engine = self._engine(LinePool)
        runner = async_runner(engine)
        if (inner := _driver_of(self.shared)) is not None:
            runner.driver = SharedDriver(inner)
        return AsyncEngine(engine)

    def _engine(self, kind: type[QueuePool]) -> Engine:
        dialect = copy.copy(self.shared.dialect)
        dialect.__dict__.pop("_quintet_runner", None)
        dialect.set_isolation_level = _set_isolation_level
        options = self.pool
        connect: Any = lambda: VirtualConnection(self.shared)  # noqa: E731 - what SQLAlchemy's types ask for is wider
        pool = kind(
            connect,
            pool_size=options.size,
            max_overflow=options.overflow,
            timeout=options.timeout,
            dialect=dialect,
        )
        engine = Engine(pool, dialect, self.shared.engines.url, echo=self.echo, hide_parameters=True)
        watch_engine(engine)
        if self.kind == "postgresql":
            watch_failures(engine)
        event.listen(engine, "begin", _begin)
        return engine


def _driver_of(shared: SharedConnection) -> AsyncDriver | None:
    from quintet.db.drivers.find import find_async_driver

    return find_async_driver(shared.dialect)


def _begin(connection: Connection) -> None:
    virtual: Any = connection.connection.dbapi_connection
    virtual.begin_unit(reading=connection.get_execution_options().get(MODE) == "read")


def _set_isolation_level(connection: Any, level: str) -> None:
    """Remember whether statements take effect at once; other levels mean nothing inside one transaction."""
    connection.unit.keeps = level == "AUTOCOMMIT"
