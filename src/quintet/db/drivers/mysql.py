"""MySQL and MariaDB: asyncmy or aiomysql under asyncio, PyMySQL and its likes in threads.

A connection that does not commit by itself begins a transaction with its first SELECT: a read of its own ends it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from quintet.db.drivers.base import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["AsyncMySQLDriver", "Flow", "flow_of"]


class AsyncMySQLDriver:
    """Runs statements on a connection of asyncmy or aiomysql."""

    settles = False  # the protocol has no way to stop a statement from its own connection
    lingers = True
    leans = False

    def __init__(self, stream_cursor: Any) -> None:
        self._stream_cursor = stream_cursor

    def usable(self, dbapi: Any) -> bool:
        connection = dbapi._connection
        return bool(getattr(connection, "connected", True)) and not getattr(connection, "closed", False)

    async def rows(self, dbapi: Any, sql: str, args: Any, limit: int, plan: Any) -> Sequence[Any]:
        async with dbapi._connection.cursor() as cursor:
            await cursor.execute(sql, args)
            if plan.decode is None:
                plan.described = cursor.description
            return await cursor.fetchall()

    async def column_types(self, dbapi: Any, sql: str, found: Sequence[Any] | None) -> Sequence[Any]:
        return [column[1] for column in found or ()]

    async def execute(self, dbapi: Any, sql: str, args: Any) -> int:
        async with dbapi._connection.cursor() as cursor:
            await cursor.execute(sql, args)
            return cursor.rowcount

    async def execute_many(self, dbapi: Any, sql: str, sets: list[Any]) -> None:
        async with dbapi._connection.cursor() as cursor:
            await cursor.executemany(sql, sets)

    async def stream(
        self, dbapi: Any, sql: str, args: Any, size: int
    ) -> AsyncIterator[tuple[Sequence[Any], Sequence[Any] | None]]:
        # Closed at its end alone: closing one that was left reads all the rest, and its connection is closed instead.
        cursor = await dbapi._connection.cursor(self._stream_cursor).__aenter__()
        await cursor.execute(sql, args)
        flow = flow_of(dbapi)
        try:
            while rows := await cursor.fetchmany(size):
                if flow is not None:
                    flow.stop()
                yield rows, cursor.description
                if flow is not None:
                    flow.go_on()
        finally:
            if flow is not None:
                flow.end()
        await cursor.close()

    async def begin(self, dbapi: Any) -> bool:
        return False

    async def restart(self, dbapi: Any) -> bool:
        return False

    async def settle(self, dbapi: Any) -> None:
        raise NotImplementedError

    async def finish(self, dbapi: Any) -> None:
        if not dbapi._connection.get_autocommit():
            await dbapi._connection.rollback()

    def error(self, dbapi: Any, error: Exception) -> Exception:
        return translated(dbapi, error)

    def stale(self, error: Exception) -> bool:
        return False


#: Bytes that are read in one turn of the event loop while results are streamed.
_BURST = 2**18


def flow_of(dbapi: Any) -> Flow | None:
    """Return what lets a connection of asyncmy read no more than is asked for; others do by themselves."""
    transport = getattr(getattr(dbapi, "_connection", None), "_transport", None)
    is_asyncmy = transport is not None and not transport.is_closing()
    return Flow(transport) if is_asyncmy else None


class Flow(asyncio.BufferedProtocol):
    """Stands before asyncmy's protocol while results are streamed, and lets the server send what is asked for.

    asyncmy takes in whatever comes, whether it was asked for or not, into one buffer: all of the result, where its
    reader is slower than the server. uvloop reads up to 32 times in a row, into a buffer that doubles as it fills. Here
    nothing is read while a batch is worked on, and meanwhile no more than a burst before the reader has its turn.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._inner: Any = transport.get_protocol()
        self._wanted = True
        self._read = 0
        transport.set_protocol(self)

    def stop(self) -> None:
        """Read nothing."""
        self._wanted = False
        self._apply(False)

    def go_on(self) -> None:
        """Read again."""
        self._wanted = True
        self._next()

    def end(self) -> None:
        """Leave the connection as it was."""
        self.go_on()
        if not self._transport.is_closing():
            self._transport.set_protocol(self._inner)

    def _next(self) -> None:
        self._read = 0
        self._apply(self._wanted)

    def _apply(self, reading: bool) -> None:
        transport = self._transport
        if transport.is_closing() or transport.is_reading() == reading:
            return
        if reading:
            transport.resume_reading()
        else:
            transport.pause_reading()

    # -- the protocol: asyncmy's, counted ---------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> Any:
        return self._inner.get_buffer(sizehint)[:_BURST]

    def buffer_updated(self, nbytes: int) -> None:
        self._inner.buffer_updated(nbytes)
        self._read += nbytes
        if self._read >= _BURST:
            self._apply(False)
            asyncio.get_running_loop().call_soon(self._next)  # behind the reader, who was woken above

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
