"""Compiled queries under asyncio, on the connections of an engine's pool.

What is decided is in `plan`, `arguments`, `decode` and `failures`; this module and `run_sync` only drive.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from quintet.db.drivers.find import find_async_driver
from quintet.db.queries import events, lease
from quintet.db.queries.common import all_of, shape_fallback
from quintet.db.queries.decode import build_decode
from quintet.db.queries.failures import translate, wrap_arguments
from quintet.db.queries.plan import Plan, build_plan

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from sqlalchemy import Engine, orm

    from quintet.db.drivers.base import AsyncDriver
    from quintet.db.queries.define import Bound
    from quintet.db.session import Session

__all__ = ["AsyncRunner", "async_runner"]


def async_runner(engine: Engine) -> AsyncRunner:
    """Return the runner of an engine; there is one for each, and for all that are options of it."""
    dialect: Any = engine.dialect
    found = dialect.__dict__.get("_quintet_runner")
    if found is None:
        root: Any = engine
        while hasattr(root, "_proxied"):
            root = root._proxied
        found = dialect.__dict__["_quintet_runner"] = AsyncRunner(root)
    return found


class AsyncRunner:
    """Runs compiled queries on one engine, each in autocommit on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.async_engine = AsyncEngine(engine)
        self.driver: AsyncDriver | None = find_async_driver(self.engine.dialect)
        self._settling: set[asyncio.Future[None]] = set()
        self._plans: dict[tuple[Any, int], Plan] = {}
        self._planning = asyncio.Lock()

    async def plan(self, bound: Bound) -> Plan:
        """Return the plan of a query, built at its first use."""
        found = self._plans.get((bound.query, bound.pattern))
        if found is None:
            dialect = self.engine.dialect
            async with self._planning:
                if not getattr(dialect, "server_version_info", None):
                    # The first connection tells SQLAlchemy the server's version, on which SQL depends. One is enough:
                    # others that wait for one more may be those whose end a small pool waits for.
                    async with self.async_engine.connect():
                        pass
            found = build_plan(bound.query, bound.pattern, dialect)
            if found.fallback is None:
                found.fallback = self._reason()
            self._plans[bound.query, bound.pattern] = found
        return found

    def _reason(self) -> str | None:
        if self.driver is None:
            return f"{self.engine.dialect.driver} has no runner for compiled queries"
        return lease.lends(self.engine.pool)

    @property
    def plans(self) -> list[Plan]:
        """The plans built so far."""
        return list(self._plans.values())

    async def fetch(self, bound: Bound) -> list[Any]:
        """Return the results of a read, without a session: entities are detached."""
        plan = self._plans.get((bound.query, bound.pattern)) or await self.plan(bound)
        if plan.fallback is not None or not plan.reads:
            async with AsyncSession(self.async_engine, expire_on_commit=False) as session:
                result = await session.execute(plan.statement, plan.named(bound.values))
                found = shape_fallback(plan, all_of(result))
                await session.commit()
                return found
        rows = await self.read(plan, bound, 0)
        return plan.decode(rows, None)  # pyright: ignore[reportOptionalCall] - made with the rows

    def arguments(self, plan: Plan, bound: Bound) -> tuple[str, Any]:
        """Return the SQL and the driver's arguments for the values of a call."""
        arguments = plan.arguments
        assert arguments is not None
        try:
            if arguments.fixed is not None:
                return arguments.fixed, arguments.bind(bound.values)
            return arguments.expand(bound.values)
        except Exception as error:
            raise wrap_arguments(self.engine, plan, error) from error

    async def read(self, plan: Plan, bound: Bound, limit: int, session: Session | None = None) -> Sequence[Any]:
        """Run a read on a connection of its own, which the session may keep, and return its raw rows.

        PERF: what `rows_on` does is written out here.
        """
        pool: Any = self.engine.pool
        driver = self.driver
        assert driver is not None
        sql, args = self.arguments(plan, bound)
        retries = 1
        while True:
            record = lease.take_kept(session, pool) if session is not None else None
            idle = True
            if record is None:
                record = pool.take()
                if record is None:
                    idle = False
                    record = await lease.acquire(pool)
                elif not driver.usable(record.dbapi_connection):
                    lease.discard(pool, record, None)
                    continue
            dbapi = record.dbapi_connection
            started = time.perf_counter_ns()
            try:
                rows = await driver.rows(dbapi, sql, args, limit, plan)
                plan.runs += 1
                plan.spent += time.perf_counter_ns() - started
                if events.LISTENERS:
                    _tell(plan, sql, args, started)
                if plan.decode is None:
                    await self._describe(plan, dbapi, sql)
                if driver.lingers:
                    await driver.finish(dbapi)
            except Exception as error:
                _tell(plan, sql, args, started, error)
                found, gone = self.translate(plan, sql, args, error, dbapi)
                await self._recover(pool, record, found, gone)
                if gone and idle and retries:
                    # The server went away while the connection was idle; a read is asked again, once.
                    retries -= 1
                    continue
                raise found from error
            except BaseException as error:
                # Cancelled in the middle of an answer.
                if driver.settles and isinstance(error, asyncio.CancelledError):
                    task = asyncio.ensure_future(self._settle(pool, record))
                    self._settling.add(task)
                    task.add_done_callback(self._settling.discard)
                else:
                    lease.discard(pool, record, error)
                raise
            kept = session is not None and lease.keep(session, self.engine, pool, record)
            if not kept and not pool.give(record):
                await lease.give(pool, record)
            return rows

    async def _settle(self, pool: Any, record: Any) -> None:
        """Return a connection whose caller was cancelled when it is quiet; close it when it is not in time."""
        assert self.driver is not None
        try:
            async with asyncio.timeout(2):
                await self.driver.settle(record.dbapi_connection)
                await self.driver.finish(record.dbapi_connection)
        except BaseException as error:
            lease.discard(pool, record, error)
            if not isinstance(error, Exception):
                raise
        else:
            if pool is self.engine.pool:
                await lease.give(pool, record)
            else:  # the engine was disposed meanwhile
                lease.discard(pool, record, None)

    async def _recover(self, pool: Any, record: Any, error: Exception, gone: bool) -> None:
        """Return a connection on which a statement failed, if its transaction can be ended; close it otherwise."""
        assert self.driver is not None
        try:
            if not gone:
                await self.driver.finish(record.dbapi_connection)
        except BaseException as second:
            lease.discard(pool, record, error)
            if not isinstance(second, Exception):
                raise
            return
        if gone:
            lease.discard(pool, record, error, all_of_them=True)
        else:
            await lease.give(pool, record)

    async def rows_on(self, plan: Plan, dbapi: Any, sql: str, args: Any, limit: int) -> Sequence[Any]:
        """Run a statement on a connection and return its raw rows; the decoder is ready after it."""
        assert self.driver is not None
        started = time.perf_counter_ns()
        try:
            rows = await self.driver.rows(dbapi, sql, args, limit, plan)
        except Exception as error:
            _tell(plan, sql, args, started, error)
            raise
        plan.runs += 1
        plan.spent += time.perf_counter_ns() - started
        _tell(plan, sql, args, started)
        if plan.decode is None:
            await self._describe(plan, dbapi, sql)
        return rows

    async def _describe(self, plan: Plan, dbapi: Any, sql: str) -> None:
        assert self.driver is not None
        self.build_decode(plan, await self.driver.column_types(dbapi, sql, plan.described))

    def build_decode(self, plan: Plan, types: Sequence[Any]) -> None:
        """Build a plan's decoder, now that the driver's types are known."""
        assert plan.shape is not None
        plan.decode = build_decode(plan.shape, plan.query.into, self.engine.dialect, types)

    async def execute_on(self, plan: Plan, dbapi: Any, sql: str, args: Any) -> int:
        """Run a statement on a connection and return the number of rows it changed."""
        assert self.driver is not None
        started = time.perf_counter_ns()
        try:
            count = await self.driver.execute(dbapi, sql, args)
        except Exception as error:
            _tell(plan, sql, args, started, error)
            raise
        plan.runs += 1
        plan.spent += time.perf_counter_ns() - started
        _tell(plan, sql, args, started)
        return count

    async def execute_many_on(self, plan: Plan, dbapi: Any, *, sql: str, sets: list[Any]) -> None:
        """Run a statement on a connection once for each set of arguments."""
        assert self.driver is not None
        started = time.perf_counter_ns()
        try:
            await self.driver.execute_many(dbapi, sql, sets)
        except Exception as error:
            _tell(plan, sql, sets, started, error, many=True)
            raise
        plan.runs += 1
        plan.spent += time.perf_counter_ns() - started
        _tell(plan, sql, sets, started, many=True)

    async def stream(
        self, plan: Plan, bound: Bound, size: int, session: orm.Session | None
    ) -> AsyncGenerator[list[Any], None]:
        """Yield the results in batches, from a connection of its own, without holding them all."""
        pool: Any = self.engine.pool
        driver = self.driver
        assert driver is not None
        sql, args = self.arguments(plan, bound)
        record = pool.take() or await lease.acquire(pool)
        clean = False
        try:
            dbapi = record.dbapi_connection
            await driver.begin(dbapi)
            async with aclosing(self.stream_on(plan, dbapi, sql, args, size)) as batches:
                async for batch in batches:
                    yield plan.decode(batch, session)  # pyright: ignore[reportOptionalCall]
            await driver.finish(dbapi)
            clean = True
        finally:
            # A stream that was not read to its end holds a cursor that only closing the connection is sure to end.
            if clean:
                await lease.give(pool, record)
            else:
                lease.discard(pool, record, None)

    async def stream_on(
        self, plan: Plan, dbapi: Any, sql: str, args: Any, size: int
    ) -> AsyncGenerator[Sequence[Any], None]:
        """Yield raw rows in batches from a connection inside a transaction."""
        driver = self.driver
        assert driver is not None
        started = time.perf_counter_ns()
        try:
            async for batch, described in driver.stream(dbapi, sql, args, size):
                if plan.decode is None:
                    self.build_decode(plan, await driver.column_types(dbapi, sql, described))
                yield batch
        except Exception as error:
            found, _ = self.translate(plan, sql, args, error, dbapi)
            raise found from error
        plan.runs += 1
        plan.spent += time.perf_counter_ns() - started
        _tell(plan, sql, args, started)

    def translate(self, plan: Plan, sql: str, args: Any, error: Exception, dbapi: Any) -> tuple[Exception, bool]:
        """Return the error of SQLAlchemy for an error of the driver, and whether the server is gone."""
        assert self.driver is not None
        return translate(self.engine, plan, sql, args, self.driver.error(dbapi, error), dbapi)


def _tell(plan: Plan, sql: str, args: Any, started: int, error: Exception | None = None, *, many: bool = False) -> None:
    """Tell those who listen of a statement that ran, or failed; with `many`, once for each of its arguments."""
    if events.LISTENERS:
        count = sum(map(len, args)) if many else len(args)
        events.notify(sql, count, (time.perf_counter_ns() - started) / 1e9, plan.query.name, error)
