"""The one connection of a test: a transaction on it, and a savepoint for each unit of work that writes.

The connection lives on an event loop of its own, in a thread. Whoever uses it, from any loop or thread, sends the
statement there and waits; one runs at a time.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import await_, in_greenlet

from quintet.testing._portal import Portal

if TYPE_CHECKING:
    from quintet.db.engines import Engines

T = TypeVar("T")

_READS = re.compile(r"\s*(SELECT|VALUES|EXPLAIN|SHOW|DESCRIBE|PRAGMA)\b", re.IGNORECASE)
_ENDS = re.compile(r"\s*(BEGIN|START\s+TRANSACTION|COMMIT|ROLLBACK(?!\s+TO))\b", re.IGNORECASE)
_DDL = re.compile(r"\s*(CREATE|ALTER|DROP|TRUNCATE|RENAME)\b", re.IGNORECASE)


class Unit:
    """A unit of work: what would be a transaction of its own outside a test."""

    __slots__ = ("done", "keeps", "lost", "reading", "savepoint")

    def __init__(self) -> None:
        #: The savepoint that it began with its first write.
        self.savepoint = ""
        #: Whether it is for reading alone.
        self.reading = False
        #: Whether each of its statements takes effect at once.
        self.keeps = False
        #: Whether it was committed.
        self.done = False
        #: Whether the rollback of another one took back what it did.
        self.lost = False

    def following(self) -> Unit:
        """Return the unit of work that comes after this one on its connection."""
        unit = Unit()
        unit.reading, unit.keeps = self.reading, self.keeps
        return unit


class SharedConnection:
    """A connection to a database, and the transaction of a test on it."""

    def __init__(self, engines: Engines, portal: Portal) -> None:
        self.engines = engines
        self.portal = portal
        #: The connection, as SQLAlchemy's adapter for the asynchronous driver.
        self.real: Any = None
        #: The dialect, which knows the server.
        self.dialect: Any = None
        self.is_postgres = engines.kind == "postgresql"
        self.is_sqlite = engines.kind == "sqlite"
        self._proxy: Any = None
        self._lock = asyncio.Lock()
        self._units: list[Unit] = []
        self._numbers = itertools.count(1)

    # -- from other loops and threads -------------------------------------------------------------------------------

    def send(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the connection's loop, and wait: as SQLAlchemy waits where it is driven by asyncio."""
        future = self.portal.submit(work)
        return await_(_settled(future)) if in_greenlet() else future.result()

    async def send_async(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the connection's loop, from a coroutine."""
        return await _settled(self.portal.submit(work))

    # -- the life of the connection ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect."""
        self.portal.call(self._open())

    async def _open(self) -> None:
        engine = self.engines.async_engine
        self._proxy = await engine.raw_connection()
        self.real = self._proxy.dbapi_connection
        self.dialect = engine.dialect

    def close(self) -> None:
        """Close the connection."""
        self.portal.call(self._close())

    async def _close(self) -> None:
        if self._proxy is not None:
            proxy, self._proxy = self._proxy, None
            await greenlet_spawn(proxy.close)
            await self.engines.dispose()

    def begin(self) -> None:
        """Begin the transaction of a test."""
        self.portal.call(self._begin())

    async def _begin(self) -> None:
        self._units.clear()
        # asyncpg's adapter sends BEGIN with the first statement, whatever that is.
        await self._execute("SELECT 1" if self.is_postgres else "BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")

    def rollback(self) -> None:
        """Take back all that the test did."""
        self.portal.call(self._rollback())

    async def _rollback(self) -> None:
        async with self._lock:
            self._units.clear()
            await greenlet_spawn(self.real.rollback)

    async def _execute(self, sql: str) -> None:
        await greenlet_spawn(self._execute_in_greenlet, sql)

    def _execute_in_greenlet(self, sql: str) -> None:
        cursor = self.real.cursor()
        cursor.execute(sql)
        cursor.close()

    # -- units of work, on the connection's loop --------------------------------------------------------------------

    async def statement(self, unit: Unit, sql: str, work: Callable[[], Awaitable[T]]) -> T | None:
        """Run a statement for a unit of work, which gets its savepoint if it may write; None for ends of transactions.

        Raises:
            RuntimeError: it cannot be part of the test's transaction.
        """
        if _ENDS.match(sql):
            return None  # the transaction is the test's
        async with self._lock:
            self._refuse(unit, sql)
            if unit.savepoint:
                return await work()
            if not _READS.match(sql):
                return await self._write(unit, work)
            if not self.is_postgres:
                return await work()
            # A statement that fails would end the whole transaction of PostgreSQL.
            await self._execute("SAVEPOINT quintet_read")
            try:
                return await work()
            except BaseException:
                await self._execute("ROLLBACK TO SAVEPOINT quintet_read")
                raise
            finally:
                await self._execute("RELEASE SAVEPOINT quintet_read")

    async def _write(self, unit: Unit, work: Callable[[], Awaitable[T]]) -> T:
        if unit.reading and self.is_sqlite:
            await self._execute("PRAGMA query_only=ON")
            try:
                return await work()
            finally:
                await self._execute("PRAGMA query_only=OFF")
        name = f"quintet_{next(self._numbers)}"
        await self._execute(f"SAVEPOINT {name}")
        unit.savepoint = name
        self._units.append(unit)
        if unit.reading and self.is_postgres:
            await self._execute("SET TRANSACTION READ ONLY")
        return await work()

    def _refuse(self, unit: Unit, sql: str) -> None:
        if unit.lost:
            raise RuntimeError(
                "two units of work ran at the same time in the one transaction of this test, and the rollback of the "
                "first took back what the second did; let them run one after the other, or mark the test with "
                "@pytest.mark.real_transactions"
            )
        if self.engines.kind in ("mysql", "mariadb") and _DDL.match(sql):
            raise RuntimeError(
                f"{sql.split(None, 1)[0]} ends the transaction of this test, for {self.engines.kind} commits it with "
                "the tables; mark the test with @pytest.mark.real_transactions"
            )

    async def commit(self, unit: Unit) -> None:
        """Keep what a unit of work did, as long as the test lasts."""
        async with self._lock:
            if unit.savepoint:
                self._refuse(unit, "")
                unit.done = True
                while self._units and self._units[-1].done:
                    await self._execute(f"RELEASE SAVEPOINT {self._units.pop().savepoint}")

    async def take_back(self, unit: Unit) -> None:
        """Take back what a unit of work did."""
        if unit.keeps:
            await self.commit(unit)
            return
        async with self._lock:
            if unit.savepoint and unit in self._units:
                place = self._units.index(unit)
                await self._execute(f"ROLLBACK TO SAVEPOINT {unit.savepoint}")
                await self._execute(f"RELEASE SAVEPOINT {unit.savepoint}")
                for later in self._units[place + 1 :]:
                    later.lost, later.savepoint = True, ""
                del self._units[place:]


async def _settled(future: Future[T]) -> T:
    """Wait for a statement; who is cancelled meanwhile leaves it to end, for the connection is everybody's."""
    return await asyncio.shield(asyncio.wrap_future(future))
