"""How databases join an app: the only file of the data layer that knows handlers."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from quintet.db.queries.events import off_query, on_query
from quintet.db.queries.repeats import RepeatWatch, warn
from quintet.db.session import Mode, Session, SyncSession
from quintet.db.sqlite import why_unusable
from quintet.db.startup import check_models
from quintet.db.translate import answer_to
from quintet.db.units import finished
from quintet.errors import ConfigurationError, Problem
from quintet.handlers.params import Depends, Settle
from quintet.handlers.resolve import Wanted
from quintet.http.request import Request

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.db.database import Database

logger = logging.getLogger("quintet.db")

_KEY = "quintet.db"


@dataclass(frozen=True, slots=True)
class Use:
    """Which session a parameter gets: `Annotated[Session, Use("reports")]`, `Annotated[Session, Use(write=True)]`.

    `Annotated[Database, Use("reports")]` is the database itself.

    Args:
        database: the name of the database.
        write: whether it may write; by default in handlers of POST, PUT, PATCH and DELETE, in tasks and commands.
    """

    database: str = "default"
    write: bool | None = None


def join(database: Database, app: Application) -> None:
    """Let an app's handlers ask for sessions of a database."""
    known: dict[str, Database] | None = app.state.get(_KEY)
    if known is None:
        known = app.state[_KEY] = {}
        app.add_resolver(_Resolver(known))
        app.lifespan(_life_of(app, known))
        app.check(lambda: _check_queries(known))
        app.check(lambda: _check_files(known))
        app.check(_check_sql)
    known[database.label] = database
    app.before_freeze(lambda: _check(database))
    database.use_siblings(known)
    app.readiness(database.name)(database.ping)
    if database.label == "default" or len(known) == 1:
        app.provide_value(type(database), database)


def _check(database: Database) -> None:
    problems = check_models(database)
    if problems:
        raise ConfigurationError(problems)


def _check_queries(known: dict[str, Database]) -> list[Problem]:
    from quintet.db.queries.checks import check_queries

    return check_queries([database.make_dialect() for database in known.values()])


def _check_files(known: dict[str, Database]) -> list[Problem]:
    """Return what is wrong with the files of SQLite."""
    servers = [engines for database in known.values() for engines in (database.primary, *database.replicas)]
    files = [engines.url.database for engines in servers if engines.kind == "sqlite"]
    return [problem for problem in map(why_unusable, files) if problem is not None]


def _check_sql() -> list[Problem]:
    from quintet.db.lint import check_project

    return check_project(Path.cwd())


def _life_of(app: Application, known: dict[str, Database]) -> Callable[[], AsyncGenerator[None, None]]:
    async def life() -> AsyncGenerator[None, None]:
        problems = _check_files(known)
        if problems:
            raise ConfigurationError(problems)
        in_development = app.failures.debug is not None or os.environ.get("QUINTET_DEV") == "1"
        for database in known.values():
            database.primary.watched = in_development
        watch = RepeatWatch(warn)
        if in_development:
            on_query(watch)
        yield
        off_query(watch)
        for database in known.values():
            await database.dispose()

    return life


class _Resolver:
    """Finds the provider of a session at start-up: its database, and whether it may write; or of a named database."""

    def __init__(self, known: dict[str, Database]) -> None:
        self.known = known
        self.made: dict[Any, Depends] = {}

    def __call__(self, wanted: Wanted) -> Depends | None:
        if wanted.type is not Session and wanted.type is not SyncSession:
            return self._database(wanted)
        if wanted.is_websocket:
            raise wanted.problem(
                "session.websocket",
                "would hold a connection and a transaction as long as the socket is open",
                "take `database: Database`, and write `async with database.session() as db` for each message",
            )
        use = next((m for m in wanted.marks if isinstance(m, Use)), Use())
        database = self._find(use, wanted)
        is_async = wanted.type is Session
        if is_async != wanted.is_async:
            right, kind = ("SyncSession", "def") if is_async else ("Session", "async def")
            raise wanted.problem("session.kind", f"is a {wanted.type.__name__} in `{kind}`", f"write `{right}`")
        key = (database.label, is_async, self._mode(use, wanted))
        if key not in self.made:
            depends = self.made[key] = _provider(database, is_async=is_async, mode=key[2])
            purpose = {"read": "for reading", "write": "for writing", None: "by method"}[key[2]]
            depends.function.__qualname__ = f"{wanted.type.__name__} of the database {database.label!r}, {purpose}"
        return self.made[key]

    def _find(self, use: Use, wanted: Wanted) -> Database:
        database = self.known.get(use.database)
        if database is None:
            names = ", ".join(map(repr, self.known))
            raise wanted.problem(
                "session.database",
                f"asks for the database {use.database!r}; there is {names}",
                f"correct the name, or add it to the app: App(plugins=[Database(…, name={use.database!r})])",
            )
        return database

    def _database(self, wanted: Wanted) -> Depends | None:
        """Return what provides a database itself, where a parameter names it."""
        use = next((m for m in wanted.marks if isinstance(m, Use)), None)
        if use is None or wanted.type not in [type(database) for database in self.known.values()]:
            return None
        database = self._find(use, wanted)
        return Depends(lambda: database, inline=True)

    @staticmethod
    def _mode(use: Use, wanted: Wanted) -> Mode | None:
        """Return what the session is for; None when it depends on the request's method."""
        if use.write is not None:
            return "write" if use.write else "read"
        if wanted.streams:
            return "read"
        if wanted.methods and all(m in ("GET", "HEAD", "OPTIONS") for m in wanted.methods):
            return "read"
        return None if "GET" in wanted.methods else "write"


def _provider(database: Database, *, is_async: bool, mode: Mode | None) -> Depends:
    """Return the dependency that opens a session for a call and ends it as the call ends."""
    settle = _SETTLE if is_async else _SETTLE_SYNC
    if is_async and mode is None:

        def open_by_method(request: Request) -> unit:
            return unit(database, _mode_of(request))

        async def by_method(request: Request) -> AsyncGenerator[Session, None]:
            async with open_by_method(request) as session:
                yield session

        return Depends(by_method, settle=settle, manager=open_by_method)
    if is_async:

        def open_one() -> unit:
            return unit(database, mode or "write")

        async def provide() -> AsyncGenerator[Session, None]:
            async with open_one() as session:
                yield session

        return Depends(provide, settle=settle, manager=open_one)
    if mode is None:

        def sync_by_method(request: Request) -> Generator[SyncSession, None, None]:
            with sync_unit(database, _mode_of(request)) as session:
                yield session

        return Depends(sync_by_method, settle=settle)

    def sync_provide() -> Generator[SyncSession, None, None]:
        with sync_unit(database, mode) as session:
            yield session

    return Depends(sync_provide, settle=settle)


def _mode_of(request: Request) -> Mode:
    return "read" if request.method in ("GET", "HEAD") else "write"


def _has_changes(session: Session | SyncSession) -> bool:
    return not (isinstance(session, Session) and session.is_plain) and bool(
        session.new or session.dirty or session.deleted
    )


_SETTLE = Settle(_has_changes, Session.flush)
_SETTLE_SYNC = Settle(_has_changes, SyncSession.flush)


async def _close(session: Session) -> None:
    """Close a session; a connection that fails even then is thrown away, and the answer stays what it is."""
    try:
        await session.close()
    except SQLAlchemyError as error:
        logger.warning("a connection to the database was given up: %s", error)
        await session.invalidate()


def _close_sync(session: SyncSession) -> None:
    try:
        session.close()
    except SQLAlchemyError as error:
        logger.warning("a connection to the database was given up: %s", error)
        session.invalidate()


class unit:  # noqa: N801 - it reads like a function: `async with unit(database, "read") as db`
    """Opens the session of a request; its errors are those of the request.

    PERF: a class, since a generator in `asynccontextmanager` costs a third of the whole.
    """

    __slots__ = ("session",)

    def __init__(self, database: Database, mode: Mode) -> None:
        self.session = Session(database, mode)

    async def __aenter__(self) -> Session:
        return self.session

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        session = self.session
        if error is None and session.is_plain and not session.in_transaction():
            session.end()
            return
        try:
            if error is None and session.mode == "write" and session.in_transaction():
                await finished(session.commit())
            elif isinstance(error, SQLAlchemyError):
                raise error
        except SQLAlchemyError as exc:
            answer = answer_to(exc, session.sync_session)
            if answer is not None:
                raise answer from exc
            if exc is not error:
                raise
        finally:
            session.end()  # first: statements of tasks that wait for their turn are refused
            if session.in_transaction():
                await finished(_close(session))
            elif not session.is_plain and (error is not None or session.mode == "write"):
                session.expunge_all()


@contextmanager
def sync_unit(database: Database, mode: Mode) -> Generator[SyncSession, None, None]:
    """Open the session of a request for synchronous code: its errors are those of the request."""
    session = SyncSession(database, mode)
    try:
        yield session
        if mode == "write":
            session.commit()
    except SQLAlchemyError as exc:
        answer = answer_to(exc, session)
        if answer is None:
            raise
        raise answer from exc
    finally:
        _close_sync(session)
        session.ended = True
