"""The pool of asynchronous engines: SQLAlchemy's, with a line of its own for those who wait for a connection.

SQLAlchemy's own asks asyncio's queue, in a greenlet, through `wait_for`: a task or two for each wait, and whoever comes
first when a connection is given back takes it, even before those who have waited. Here a connection is handed to the
one who has waited longest, at the cost of a future and a timer; and where opening a connection has failed, the next
in line tries, instead of waiting for one that nobody has.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import await_only
from sqlalchemy.util.queue import Empty, Full, QueueCommon

if TYPE_CHECKING:
    from sqlalchemy.pool.base import ConnectionPoolEntry

__all__ = ["LinePool", "is_fresh"]


class _Line(QueueCommon["ConnectionPoolEntry"]):
    """The idle connections of a pool, and those who wait for one; at any time one of the two is empty."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self.idle: deque[ConnectionPoolEntry] = deque()
        self.waiting: deque[asyncio.Future[ConnectionPoolEntry | None]] = deque()

    def empty(self) -> bool:
        return not self.idle

    def full(self) -> bool:
        return len(self.idle) >= self.maxsize > 0

    def qsize(self) -> int:
        return len(self.idle)

    def get_nowait(self) -> ConnectionPoolEntry:
        if not self.idle:
            raise Empty
        return self.idle.pop() if self.use_lifo else self.idle.popleft()

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        """Return an idle connection; `LinePool._do_get` waits for one."""
        return self.get_nowait()

    def put_nowait(self, item: ConnectionPoolEntry) -> None:
        if self.hand(item):
            return
        if self.full():
            raise Full
        self.idle.append(item)

    def put(self, item: ConnectionPoolEntry, block: bool = True, timeout: float | None = None) -> None:
        self.put_nowait(item)

    def hand(self, item: ConnectionPoolEntry | None) -> bool:
        """Give a connection, or with None the right to open one, to who has waited longest; return whether any has."""
        waiting = self.waiting
        while waiting:
            future = waiting.popleft()
            if not future.done() and not future.get_loop().is_closed():
                future.set_result(item)
                return True
        return False

    async def wait(self, seconds: float) -> ConnectionPoolEntry | None:
        """Wait for a connection; None is the right to open one.

        Raises:
            Empty: none came in time.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ConnectionPoolEntry | None] = loop.create_future()
        self.waiting.append(future)
        timer = loop.call_later(seconds, _expire, future)
        try:
            return await future
        except BaseException:
            if future.done() and not future.cancelled() and future.exception() is None:  # cancelled after it got one
                given = future.result()
                if not self.hand(given) and given is not None:
                    self.idle.append(given)
            elif future in self.waiting:
                self.waiting.remove(future)
            raise
        finally:
            timer.cancel()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(Empty())


def is_fresh(pool: Any, record: Any) -> bool:
    """Return whether a record of a pool has a connection that need not be replaced."""
    started = record.starttime
    return not (
        record.dbapi_connection is None
        or pool._invalidate_time > started
        or record._soft_invalidate_time > started
        or -1 < pool._recycle < time.time() - started
    )


class LinePool(AsyncAdaptedQueuePool):
    """Connections for one event loop; who waits for one is served in the order of coming."""

    _sqla_logger_namespace = "sqlalchemy.pool.impl.LinePool"
    _queue_class = _Line
    _pool: _Line  # pyright: ignore[reportIncompatibleVariableOverride] - as its own queue class says

    @property
    def is_exhausted(self) -> bool:
        """Whether all connections that there may be are lent."""
        return not self._pool.idle and -1 < self._max_overflow <= self._overflow

    def take(self) -> ConnectionPoolEntry | None:
        """Return an idle connection that need not be replaced, or None."""
        idle = self._pool.idle
        if not idle:
            return None
        record = idle.popleft()
        if is_fresh(self, record):
            return record
        idle.append(record)
        return None

    def give(self, record: ConnectionPoolEntry) -> bool:
        """Take a connection back; return whether there is room for it."""
        line = self._pool
        if not line.waiting and len(line.idle) < line.maxsize:  # PERF: as `put_nowait` does
            line.idle.append(record)
            return True
        try:
            line.put_nowait(record)
        except Full:
            return False
        return True

    async def next(self) -> ConnectionPoolEntry | None:
        """Wait for a connection; None is the right to open one.

        Raises:
            sqlalchemy.exc.TimeoutError: none came in the pool's timeout.
        """
        return await self._next(self._timeout)

    async def _next(self, seconds: float) -> ConnectionPoolEntry | None:
        try:
            return await self._pool.wait(seconds)
        except Empty:
            raise exc.TimeoutError(
                f"all {self.checkedout()} connections of the pool are lent, and none came back in {self._timeout:g} "
                "seconds; PoolOptions(size=…, timeout=…) of the database sets both",
                code="3o7r",
            ) from None

    def _do_get(self) -> ConnectionPoolEntry:
        ends: float | None = None
        while True:
            if self._pool.idle:
                return self._pool.get_nowait()
            if self._inc_overflow():
                try:
                    return self._create_connection()
                except BaseException:
                    self._dec_overflow()
                    self._pool.hand(None)
                    raise
            now = time.monotonic()
            ends = now + self._timeout if ends is None else ends
            found = await_only(self._next(max(0.0, ends - now)))
            if found is not None:
                return found

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            self._pool.put_nowait(record)
        except Full:
            try:
                record.close()
            finally:
                self._dec_overflow()
                self._pool.hand(None)
