"""SQLite under asyncio: short reads on the event loop, everything else in the connection's own thread.

A read in WAL mode waits for no writer, and takes about 8 µs; a hop to a thread takes five times that. What a read may
cost is bounded by SQLite itself: after so many steps it is interrupted, and runs again in the thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

from quintet.db.drivers.base import translated
from quintet.db.drivers.hops import HopConnection
from quintet.db.drivers.sqlite_thread import stop_statements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

__all__ = ["AiosqliteDriver"]

#: Steps of SQLite's virtual machine that a read may take on the event loop, about half a millisecond: so many times
#: so many. SQLite counts the steps of a prepared statement over all its runs, so that the first part may be short.
PARTS, STEPS = 10, 2_000


class _Budget:
    """Tells SQLite when to stop: after so many parts of a run."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = PARTS

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


class AiosqliteDriver:
    """Runs statements on the `sqlite3.Connection` inside an aiosqlite connection."""

    settles = True
    lingers = False
    leans = True

    def __init__(self) -> None:
        self._inline: bool | None = None
        self._budget = _Budget()  # of one event loop, on which one read runs at a time

    def usable(self, dbapi: Any) -> bool:
        return dbapi._connection._connection is not None

    def is_clean(self, dbapi: Any) -> bool:
        return dbapi.is_clean

    def open(self, dbapi: Any) -> None:
        dbapi.begin_later(reading=False)

    async def commit(self, dbapi: Any) -> None:
        await dbapi.end(commit=True)

    async def rows(self, dbapi: Any, sql: str, args: Any, limit: int, plan: Any) -> Sequence[Any]:
        if (
            plan.reads
            and not plan.scans
            and not (isinstance(dbapi, HopConnection) and dbapi.begin is not None)
            and (self._inline or await self._may_inline(dbapi))
        ):
            raw: sqlite3.Connection = dbapi._connection._connection  # pyright: ignore[reportPrivateUsage]
            budget = self._budget
            budget.left = PARTS
            raw.set_progress_handler(budget, STEPS)
            try:
                return _rows(raw, sql, args, plan)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                plan.scans = True
            finally:
                raw.set_progress_handler(None, 0)
        return await _hop(dbapi, _rows, sql, args, plan)

    async def _may_inline(self, dbapi: Any) -> bool:
        """Return whether a reader never waits for a writer: in WAL mode, on a connection that any thread may use."""
        if self._inline is None:
            self._inline = await dbapi._connection._execute(_is_wal, dbapi._connection._conn) and _any_thread(dbapi)
        return bool(self._inline)

    async def column_types(self, dbapi: Any, sql: str, found: Sequence[Any] | None) -> Sequence[Any]:
        return [column[1] for column in found or ()]

    async def execute(self, dbapi: Any, sql: str, args: Any) -> int:
        return await _hop(dbapi, _execute, sql, args)

    async def execute_many(self, dbapi: Any, sql: str, sets: list[Any]) -> None:
        await _hop(dbapi, _execute_many, sql, sets)

    async def stream(
        self, dbapi: Any, sql: str, args: Any, size: int
    ) -> AsyncIterator[tuple[Sequence[Any], Sequence[Any] | None]]:
        await _arrived(dbapi)
        run = dbapi._connection._execute
        cursor: sqlite3.Cursor = await run(dbapi._connection._conn.execute, sql, args)
        try:
            while rows := await run(cursor.fetchmany, size):
                yield rows, cursor.description
        finally:
            await run(cursor.close)

    async def begin(self, dbapi: Any) -> bool:
        return False

    async def restart(self, dbapi: Any) -> bool:
        return False

    async def settle(self, dbapi: Any) -> None:
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stop_statements(dbapi._connection, _nothing, settled)
        await settled

    async def finish(self, dbapi: Any) -> None:
        # A read begins no transaction; what writes does.
        if isinstance(dbapi, HopConnection):
            await dbapi.end(commit=False)

    def error(self, dbapi: Any, error: Exception) -> Exception:
        return translated(dbapi, error)

    def stale(self, error: Exception) -> bool:
        return False


async def _hop(dbapi: Any, work: Callable[..., Any], *args: Any) -> Any:
    """Run something in the connection's thread; an adapter that is not ours has begun its transaction before."""
    if isinstance(dbapi, HopConnection):
        return await dbapi.hop(work, *args)
    return await dbapi._connection._execute(work, dbapi._connection._conn, *args)


async def _arrived(dbapi: Any) -> None:
    if isinstance(dbapi, HopConnection):
        await dbapi.arrived()


def _rows(raw: sqlite3.Connection, sql: str, args: Any, plan: Any) -> Sequence[Any]:
    cursor = raw.execute(sql, args)
    if plan.decode is None:
        plan.described = cursor.description
    return cursor.fetchall()


def _execute(raw: sqlite3.Connection, sql: str, args: Any) -> int:
    return raw.execute(sql, args).rowcount


def _execute_many(raw: sqlite3.Connection, sql: str, sets: list[Any]) -> None:
    raw.executemany(sql, sets)


def _nothing() -> None:
    """Ran when everything before it has."""


def _is_wal(raw: sqlite3.Connection) -> bool:
    return raw.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def _any_thread(dbapi: Any) -> bool:
    try:
        return dbapi._connection._conn.total_changes >= 0
    except sqlite3.ProgrammingError:
        return False
