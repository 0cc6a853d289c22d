"""aiosqlite: a statement is one hop to its connection's thread, and takes the BEGIN of its transaction along.

SQLAlchemy's adapter hops for making a cursor, running it, reading it and closing it, for BEGIN and for a rollback that
has nothing to roll back. A hop costs more than what it is made for. Transactions that write stand in line before they
begin: SQLite itself has those that wait for its lock ask again and again, in no order.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_cursor
from sqlalchemy.util import EMPTY_DICT
from sqlalchemy.util.concurrency import await_

from quintet.db.drivers.sqlite_thread import stop_statements, take_lock

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

__all__ = ["HopConnection", "WriteLine", "in_one_hop", "open_connection"]

#: Seconds until a transaction asks SQLite itself, whoever is before it in the line.
PATIENCE = 5.0


class WriteLine:
    """The transactions of one event loop that write to one file: one at a time, first come, first served.

    It only orders them. SQLite's lock decides, against other processes and threads too.
    """

    __slots__ = ("_owner", "_waiting")

    def __init__(self) -> None:
        self._owner: object = None
        self._waiting: deque[tuple[object, asyncio.Future[None]]] = deque()

    async def enter(self, who: object) -> None:
        """Wait for its turn."""
        if self._owner is None or self._owner is who:
            self._owner = who
            return
        turn = who, asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(PATIENCE):
                await turn[1]
        except TimeoutError:
            self._owner = who
        except BaseException:
            self.leave(who)
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def leave(self, who: object) -> None:
        """Let the next one go; nothing where it is not this one's turn."""
        if self._owner is not who:
            return
        self._owner = None
        while self._waiting:
            self._owner, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
            self._owner = None


class _Outcome:
    """What is left of a cursor whose rows were read."""

    __slots__ = ("arraysize", "description", "lastrowid", "rowcount")

    def __init__(self, description: Any = None, rowcount: int = -1, lastrowid: Any = None) -> None:
        self.arraysize = 1
        self.description = description
        self.rowcount = rowcount
        self.lastrowid = lastrowid

    def close(self) -> None:
        """Nothing is open."""


class _HopCursor(AsyncAdapt_aiosqlite_cursor):
    __slots__ = ()

    _awaitable_cursor_close = False

    def __init__(self, adapt_connection: Any) -> None:  # pyright: ignore[reportMissingSuperCall] - it would hop for a cursor
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection
        self._cursor: Any = _Outcome()
        self._soft_closed_memoized = EMPTY_DICT
        self._rows = deque()

    def execute(self, operation: Any, parameters: Any = None) -> Any:
        self._hop(_execute, operation, parameters or ())

    def executemany(self, operation: Any, seq_of_parameters: Any) -> Any:
        self._hop(_execute_many, operation, seq_of_parameters)

    def _hop(self, work: Callable[..., Any], sql: str, parameters: Any) -> None:
        connection: Any = self._adapt_connection
        try:
            rows, self._cursor = await_(connection.ordered(work, sql, parameters))
        except Exception as error:  # noqa: BLE001 - raised as SQLAlchemy knows it
            connection._handle_exception(error)
        else:
            self._rows = deque(rows)


class HopConnection(AsyncAdapt_aiosqlite_connection):
    """SQLAlchemy's adapter of a connection, with few hops."""

    __slots__ = ("_began", "_doubt", "_is_reading", "_reads", "begin", "line")

    _cursor_cls = _HopCursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        #: What orders the transactions that write.
        self.line: WriteLine | None = None
        self._began = False
        #: The BEGIN that goes with the next statement.
        self.begin: str | None = None
        #: Whether something was left running, so that nobody knows whether a transaction is open.
        self._doubt = False
        #: Whether the connection is switched to reading, and whether it should be.
        self._is_reading: bool = False
        self._reads: bool = False

    def cursor(self, server_side: bool = False) -> Any:
        if server_side:
            await_(self.arrived())
        return super().cursor(server_side)

    def begin_later(self, *, reading: bool) -> None:
        """Begin a transaction with the next statement, unless there is one."""
        if not self._began:
            self._began, self._reads = True, reading
            self.begin = "BEGIN" if reading else "BEGIN IMMEDIATE"

    @property
    def is_clean(self) -> bool:
        """Whether it is open and in no transaction."""
        raw = self._raw
        return raw is not None and not self._doubt and not raw.in_transaction

    @property
    def _raw(self) -> sqlite3.Connection | None:
        connection: Any = self._connection
        return connection._connection

    async def ordered(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run something in the connection's thread as `hop` does, after what runs there."""
        async with self._execute_mutex:
            return await self.hop(work, *args)

    async def hop(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run `work(connection, …)` in the connection's thread, inside its transaction."""
        connection: Any = self._connection
        begin = self.begin
        if begin == "BEGIN IMMEDIATE" and self.line is not None:
            await self.line.enter(self)
        before: list[str] = []
        given_up: threading.Event | None = None
        if begin is not None:
            if self._reads is not self._is_reading:
                before.append(f"PRAGMA query_only={'ON' if self._reads else 'OFF'}")
                self._is_reading = self._reads
            if self._reads:
                before.append(begin)
            else:
                given_up = threading.Event()
        self._doubt = True
        try:
            found = await connection._execute(_after, connection._conn, before, given_up, work, args)
        except Exception:
            self._doubt = False
            if self.is_clean:
                self._leave()  # it has not begun, or SQLite itself has rolled it back
            else:
                self.begin = None
            raise
        except BaseException:  # nobody waits any more, and the thread goes on
            if given_up is not None:
                given_up.set()
            raise
        self._doubt = False
        self.begin = None
        return found

    async def arrived(self) -> None:
        """Begin now what is to begin with the next statement."""
        if self.begin is not None:
            await self.ordered(_nothing)

    async def end(self, *, commit: bool) -> None:
        """Commit or roll back, if a transaction is open; a COMMIT that is refused is rolled back."""
        connection: Any = self._connection
        raw = self._raw
        self._began, self.begin = False, None
        try:
            if raw is None or not (self._doubt or raw.in_transaction):
                return
            if self._doubt and not commit:
                ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                stop_statements(connection, raw.rollback, ended)
                await ended
            else:
                self._doubt = True
                await connection._execute(_commit if commit else _roll_back, raw)
            self._doubt = False
        except Exception:
            self._doubt = False
            raise
        finally:
            if not self._doubt:
                self._leave()

    def _leave(self) -> None:
        if self.line is not None:
            self.line.leave(self)

    def commit(self) -> None:
        self._finish(commit=True)

    def rollback(self) -> None:
        self._finish(commit=False)

    def _finish(self, *, commit: bool) -> None:
        if self._raw is None or self.is_clean:
            self._began, self.begin = False, None
            self._leave()
            return
        try:
            await_(self.end(commit=commit))
        except Exception as error:  # noqa: BLE001 - raised as SQLAlchemy knows it
            self._handle_exception(error)

    def close(self) -> None:
        self._leave()
        super().close()

    async def _terminate_graceful_close(self) -> None:
        self._leave()
        await super()._terminate_graceful_close()

    def _terminate_force_close(self) -> None:
        self._leave()
        super()._terminate_force_close()


async def open_connection(*values: Any, **options: Any) -> Any:
    """Open a connection of aiosqlite; where the caller is cancelled meanwhile, it is closed when it has opened."""
    connection: Any = aiosqlite.connect(*values, **options)
    connection._thread.daemon = True  # it waits for work, and must not keep the process
    opening: asyncio.Future[Any] = asyncio.ensure_future(connection)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda done: done.exception() or connection.stop())
        raise


def in_one_hop(connection: Any) -> Any:
    """Return the adapter of a connection that was just opened with a thread as one of few hops."""
    if type(connection) is not AsyncAdapt_aiosqlite_connection:
        return connection
    return HopConnection(connection.dbapi, connection._connection)


# -- what runs in the thread -------------------------------------------------------------------------------------------


def _after(
    raw: sqlite3.Connection,
    before: list[str],
    given_up: threading.Event | None,
    work: Callable[..., Any],
    args: tuple[Any, ...],
) -> Any:
    """Run something after other statements, and after BEGIN IMMEDIATE where somebody may give that up."""
    for statement in before:
        raw.execute(statement)
    if given_up is not None:
        take_lock(raw, given_up)
    return work(raw, *args)


def _execute(raw: sqlite3.Connection, sql: str, parameters: Any) -> tuple[Sequence[Any], _Outcome]:
    cursor = raw.execute(sql, parameters)
    rows = cursor.fetchall() if cursor.description else ()
    return rows, _Outcome(cursor.description, cursor.rowcount, cursor.lastrowid)


def _execute_many(raw: sqlite3.Connection, sql: str, parameters: Any) -> tuple[Sequence[Any], _Outcome]:
    cursor = raw.executemany(sql, parameters)
    return (), _Outcome(cursor.description, cursor.rowcount, cursor.lastrowid)


def _commit(raw: sqlite3.Connection) -> None:
    try:
        raw.commit()
    except BaseException:
        raw.rollback()
        raise


def _roll_back(raw: sqlite3.Connection) -> None:
    raw.rollback()


def _nothing(raw: sqlite3.Connection) -> None:
    """Ran when everything before it has."""
