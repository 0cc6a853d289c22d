"""Compiled queries in threads, on the connections of an engine's pool; `run_async` is the same with `await`."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from quintet.db.drivers.find import find_sync_driver
from quintet.db.queries import events, lease
from quintet.db.queries.common import all_of, shape_fallback
from quintet.db.queries.decode import build_decode
from quintet.db.queries.failures import translate, wrap_arguments
from quintet.db.queries.plan import Plan, build_plan

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from sqlalchemy import Engine

    from quintet.db.drivers.base import SyncDriver
    from quintet.db.queries.define import Bound

__all__ = ["SyncRunner", "sync_runner"]


def sync_runner(engine: Engine) -> SyncRunner:
    """Return the runner of an engine; there is one for each, and for all that are options of it."""
    dialect: Any = engine.dialect
    found = dialect.__dict__.get("_quintet_runner")
    if found is None:
        root: Any = engine
        while hasattr(root, "_proxied"):
            root = root._proxied
        found = dialect.__dict__.setdefault("_quintet_runner", SyncRunner(root))
    return found


class SyncRunner:
    """Runs compiled queries on one engine, each in autocommit on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.driver: SyncDriver | None = find_sync_driver(engine.dialect)
        self._plans: dict[tuple[Any, int], Plan] = {}

    def plan(self, bound: Bound) -> Plan:
        """Return the plan of a query, built at its first use."""
        found = self._plans.get((bound.query, bound.pattern))
        if found is None:
            dialect = self.engine.dialect
            if not getattr(dialect, "server_version_info", None):
                # The first connection tells SQLAlchemy the server's version, on which SQL depends.
                with self.engine.connect():
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

    def fetch(self, bound: Bound) -> list[Any]:
        """Return the results of a read, without a session: entities are detached."""
        plan = self.plan(bound)
        if plan.fallback is not None or not plan.reads:
            with Session(self.engine, expire_on_commit=False) as session:
                found = shape_fallback(plan, all_of(session.execute(plan.statement, plan.named(bound.values))))
                session.commit()
                return found
        sql, args = self.arguments(plan, bound)
        return plan.decode(self.autocommit(plan, sql, args), None)  # pyright: ignore[reportOptionalCall]

    def arguments(self, plan: Plan, bound: Bound) -> tuple[str, Any]:
        """Return the SQL and the driver's arguments for the values of a call."""
        assert plan.arguments is not None
        try:
            return plan.arguments.expand(bound.values)
        except Exception as error:
            raise wrap_arguments(self.engine, plan, error) from error

    def autocommit(self, plan: Plan, sql: str, args: Any) -> Sequence[Any]:
        """Run a read on a connection of its own and return its raw rows."""
        pool = self.engine.pool
        driver = self.driver
        assert driver is not None
        retries = 1
        while True:
            record = lease.take_blocking(pool)
            idle = record is not None
            if record is None:
                record = lease.acquire_blocking(pool)
            dbapi = record.dbapi_connection
            if idle and not driver.usable(dbapi):
                lease.discard(pool, record, None)
                continue
            try:
                driver.prepare(dbapi)
                result = self.rows_on(plan, dbapi, sql, args)
                driver.finish(dbapi)
            except Exception as error:
                found, gone = self.translate(plan, sql, args, error, dbapi)
                self._recover(pool, record, found, gone)
                if gone and idle and retries:
                    # The server went away while the connection was idle, or what was prepared on it does not fit the
                    # schema any more; a read is asked again, once.
                    retries -= 1
                    continue
                raise found from error
            except BaseException as error:
                lease.discard(pool, record, error)
                raise
            lease.give_blocking(pool, record)
            return result

    def _recover(self, pool: Any, record: Any, error: Exception, gone: bool) -> None:
        """Return a connection on which a statement failed, if its transaction can be ended; close it otherwise."""
        assert self.driver is not None
        try:
            if not gone:
                self.driver.finish(record.dbapi_connection)
        except BaseException as second:
            lease.discard(pool, record, error)
            if not isinstance(second, Exception):
                raise
            return
        if gone:
            lease.discard(pool, record, error, all_of_them=True)
        else:
            lease.give_blocking(pool, record)

    def rows_on(self, plan: Plan, dbapi: Any, sql: str, args: Any) -> Sequence[Any]:
        """Run a statement on a connection and return its raw rows; the decoder is ready after it."""
        assert self.driver is not None
        started = time.perf_counter_ns()
        try:
            rows, types = self.driver.rows(dbapi, sql, args)
        except Exception as error:
            if events.LISTENERS:
                events.notify(sql, len(args), (time.perf_counter_ns() - started) / 1e9, plan.query.name, error)
            raise
        spent = time.perf_counter_ns() - started
        plan.runs += 1
        plan.spent += spent
        if events.LISTENERS:
            events.notify(sql, len(args), spent / 1e9, plan.query.name)
        if plan.decode is None:
            self.build_decode(plan, types)
        return rows

    def build_decode(self, plan: Plan, types: Sequence[Any]) -> None:
        """Build a plan's decoder, now that the driver's types are known."""
        assert plan.shape is not None
        plan.decode = build_decode(plan.shape, plan.query.into, self.engine.dialect, types)

    def execute_on(self, plan: Plan, dbapi: Any, sql: str, args: Any) -> int:
        """Run a statement on a connection and return the number of rows it changed."""
        assert self.driver is not None
        with self._timed(plan, sql, args):
            return self.driver.execute(dbapi, sql, args)

    def execute_many_on(self, plan: Plan, dbapi: Any, *, sql: str, sets: list[Any]) -> None:
        """Run a statement on a connection once for each set of arguments."""
        assert self.driver is not None
        with self._timed(plan, sql, sets, many=True):
            self.driver.execute_many(dbapi, sql, sets)

    @contextmanager
    def _timed(self, plan: Plan, sql: str, args: Any, *, many: bool = False) -> Generator[None, None, None]:
        started = time.perf_counter_ns()
        failed: Exception | None = None
        try:
            yield
        except Exception as error:
            failed = error
            raise
        finally:
            spent = time.perf_counter_ns() - started
            plan.runs += 1
            plan.spent += spent
            if events.LISTENERS:
                count = sum(map(len, args)) if many else len(args)
                events.notify(sql, count, spent / 1e9, plan.query.name, failed)

    def stream(self, plan: Plan, bound: Bound, size: int, session: Session | None) -> Iterator[list[Any]]:
        """Yield the results in batches, from a connection of its own, without holding them all."""
        pool = self.engine.pool
        assert self.driver is not None
        sql, args = self.arguments(plan, bound)
        record = lease.take_blocking(pool) or lease.acquire_blocking(pool)
        clean = False
        try:
            for batch in self.stream_on(plan, record.dbapi_connection, sql, args, size):
                yield plan.decode(batch, session)  # pyright: ignore[reportOptionalCall]
            self.driver.finish(record.dbapi_connection)
            clean = True
        finally:
            # A stream that was not read to its end holds a cursor that only closing the connection is sure to end.
            if clean:
                lease.give_blocking(pool, record)
            else:
                lease.discard(pool, record, None)

    def stream_on(self, plan: Plan, dbapi: Any, sql: str, args: Any, size: int) -> Iterator[Sequence[Any]]:
        """Yield raw rows in batches from a connection inside a transaction."""
        assert self.driver is not None
        started = time.perf_counter_ns()
        try:
            for batch, types in self.driver.stream(dbapi, sql, args, size):
                if plan.decode is None:
                    self.build_decode(plan, types)
                yield batch
        except Exception as error:
            found, _ = self.translate(plan, sql, args, error, dbapi)
            raise found from error
        plan.runs += 1
        plan.spent += time.perf_counter_ns() - started
        events.notify(sql, len(args), (time.perf_counter_ns() - started) / 1e9, plan.query.name)

    def translate(self, plan: Plan, sql: str, args: Any, error: Exception, dbapi: Any) -> tuple[Exception, bool]:
        """Return the error of SQLAlchemy for an error of the driver, and whether its connections are of no more use."""
        assert self.driver is not None
        found, gone = translate(self.engine, plan, sql, args, error, dbapi)
        # The driver keeps what it has prepared as long as the connection: after an ALTER, new ones are the way out.
        return found, gone or self.driver.stale(error)
