"""Compiled queries in an asynchronous session.

With no transaction open, a read runs in autocommit on a connection of its own. Everything else runs on the session's
connection, inside its transaction, which is `lean` until SQLAlchemy has a part in it. `session_sync` is the same
without `await`.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection
from sqlalchemy.util import greenlet_spawn

from quintet.db.listeners import STATEMENTS, changed_by_others
from quintet.db.queries import lease
from quintet.db.queries.common import (
    alike,
    all_of,
    argument_sets,
    as_sqlalchemy_runs,
    find_bind,
    in_autocommit,
    shape_fallback,
    sqlalchemy_runs,
    usable,
)
from quintet.db.queries.failures import mark_failed, refuse_failed
from quintet.db.queries.lean import begin_lean
from quintet.db.queries.run_async import AsyncRunner, async_runner
from quintet.db.turns import lock_of, refuse_ended

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from sqlalchemy import orm

    from quintet.db.queries.define import Bound, QueryFunction
    from quintet.db.queries.plan import Plan
    from quintet.db.session import Session

__all__ = ["change", "change_all", "fetch", "stream"]


async def fetch(session: Session, bound: Bound, limit: int = 0) -> list[Any]:
    """Return the results of a query; with `limit` 1, the first at least."""
    query = bound.query
    runner = session._runners.get(query._place) or _plain_runner(session, query)
    if runner is not None:
        plan = runner._plans.get((query, bound.pattern))
        if plan is None:
            await runner.plan(bound)
            return await fetch(session, bound, limit)  # it may not be plain any more
        if plan.fallback is None:
            if plan.reads and session._lean is None:
                rows = await runner.read(plan, bound, limit, session)
                return _decode(session, plan, rows) if plan.tracks else plan.decode(rows, None)  # pyright: ignore[reportOptionalCall]
            if await begin_lean(session, runner, query.place):
                return await _fetch_inside(session, runner, plan, bound, limit)
    inner = session.sync_session
    bind = find_bind(inner, bound)
    runner = async_runner(bind.engine)
    plan = runner._plans.get((query, bound.pattern)) or await runner.plan(bound)
    if sqlalchemy_runs(inner, plan):
        statement, values = as_sqlalchemy_runs(plan, bound)
        return await _run(session, lambda: shape_fallback(plan, all_of(inner.execute(statement, values))))
    if in_autocommit(inner, plan, isinstance(bind, Connection)):
        return _decode(session, plan, await runner.read(plan, bound, limit, session))
    return await _fetch_inside(session, runner, plan, bound, limit)


def _plain_runner(session: Session, query: QueryFunction[..., Any]) -> AsyncRunner | None:
    """Return what runs a query while compiled queries alone have used the session; remembered until they are not.

    None where somebody listens to the events of sessions that change what statements do, as of the first query.
    """
    if not session.is_plain or changed_by_others(session.sync_session_class, STATEMENTS):
        return None
    place = query.place
    runner = session._runners[place] = async_runner(session.find_engine(place))
    return runner


def _decode(session: Session, plan: Plan, rows: Any) -> list[Any]:
    decode, shape = plan.decode, plan.shape
    assert decode is not None
    assert shape is not None
    if not plan.tracks:
        return decode(rows, None)
    if session.mode == "read" and session.is_plain and session._loaded is None and len(shape.items) == 1:
        # PERF: a request that reads once needs no session around what it reads; the next use of the session takes it.
        found = decode(rows, None)
        session._loaded = [one for one in found if one is not None]
        return found
    return decode(rows, session.sync_session)


async def _fetch_inside(session: Session, runner: AsyncRunner, plan: Plan, bound: Bound, limit: int) -> list[Any]:
    sql, args = runner.arguments(plan, bound)
    rows = await _inside(session, runner, plan, sql, args, lambda c: runner.rows_on(plan, c, sql, args, limit))
    return _decode(session, plan, rows)


async def change(session: Session, bound: Bound) -> int:
    """Run an insert, update or delete and return the number of rows it changed."""
    runner, plan = await _writer(session, bound)
    if runner is None:
        inner, (statement, values) = session.sync_session, as_sqlalchemy_runs(plan, bound)
        return await _run(session, lambda: getattr(inner.execute(statement, values), "rowcount", -1))
    sql, args = runner.arguments(plan, bound)
    return await _inside(session, runner, plan, sql, args, lambda c: runner.execute_on(plan, c, sql, args))


async def change_all(session: Session, bounds: Iterable[Bound]) -> None:
    """Run inserts, updates and deletes; where the driver can, those of one query that follow each other at once."""
    for group in alike(bounds):
        runner, plan = await _writer(session, group[0])
        if len(group) == 1 or runner is None or not plan.repeats:
            for bound in group:
                await change(session, bound)
            continue
        sql, sets = argument_sets(runner.engine, plan, group)
        await _inside(session, runner, plan, sql, sets, partial(runner.execute_many_on, plan, sql=sql, sets=sets))


async def _writer(session: Session, bound: Bound) -> tuple[AsyncRunner | None, Plan]:
    """Return what runs a statement that writes, its transaction being open; None where SQLAlchemy has to run it."""
    query = bound.query
    runner = session._runners.get(query._place) or _plain_runner(session, query)
    if runner is not None:
        plan = runner._plans.get((query, bound.pattern)) or await runner.plan(bound)
        if plan.fallback is None and await begin_lean(session, runner, query.place):
            return runner, plan
    inner = session.sync_session
    runner = async_runner(find_bind(inner, bound).engine)
    plan = await runner.plan(bound)
    return None if sqlalchemy_runs(inner, plan) else runner, plan


async def stream(session: Session, bound: Bound, size: int) -> AsyncGenerator[list[Any], None]:
    """Yield the results in batches."""
    inner = session.sync_session
    bind = find_bind(inner, bound)
    runner = async_runner(bind.engine)
    plan = await runner.plan(bound)
    if sqlalchemy_runs(inner, plan):
        statement, values, options = plan.statement, plan.named(bound.values), {"yield_per": size}
        result = await _run(session, lambda: inner.execute(statement, values, execution_options=options))
        while rows := await _run(session, lambda: result.fetchmany(size)):
            yield shape_fallback(plan, rows)
        return
    if in_autocommit(inner, plan, isinstance(bind, Connection)):
        async with aclosing(runner.stream(plan, bound, size, inner)) as batches:
            async for found in batches:
                yield found
        return
    sql, args = runner.arguments(plan, bound)
    async with lock_of(session):
        dbapi = await _connection(session, runner, plan)
    async for batch in runner.stream_on(plan, dbapi, sql, args, size):
        yield plan.decode(batch, inner)  # pyright: ignore[reportOptionalCall]


async def _run(session: Session, function: Callable[[], Any]) -> Any:
    """Run something of SQLAlchemy's, not at the same time as a compiled query on the session's connection."""
    async with lock_of(session):
        refuse_ended(session)
        return await greenlet_spawn(function)


async def _inside(
    session: Session, runner: AsyncRunner, plan: Plan, sql: str, args: Any, run: Callable[[Any], Awaitable[Any]]
) -> Any:
    """Run a statement on the session's connection, inside its transaction."""
    driver = runner.driver
    assert driver is not None
    async with lock_of(session):
        dbapi = await _connection(session, runner, plan)
        began = False
        # The adapter's own lock: a statement of SQLAlchemy's may be on its way on this connection, under gather.
        async with dbapi._execute_mutex:
            try:
                begun = await driver.begin(dbapi)
                began = True
                try:
                    return await run(dbapi)
                except Exception as error:
                    # A plan prepared before an ALTER: nothing has happened yet in a transaction that began just now.
                    if not begun or not driver.stale(error) or not await driver.restart(dbapi):
                        raise
                    return await run(dbapi)
            except Exception as error:
                found, gone = runner.translate(plan, sql, args, error, dbapi)
                inner = session.sync_session
                mark_failed(inner, found)
                if gone:
                    lease.replace_all(runner.engine.pool)
                    _forget(inner, found)
                raise found from error
            except BaseException as error:
                # Cancelled in the middle of an answer: the rollback waits for its end, or the connection is closed.
                # Nobody knows whether a BEGIN that was interrupted has begun.
                inner = session.sync_session
                mark_failed(inner, error)
                if not began or not driver.settles:
                    _forget(inner, error)
                raise


async def _connection(session: Session, runner: AsyncRunner, plan: Plan) -> Any:
    """Return the session's connection as the pool holds it, after a flush of what is pending.

    It is looked up once per transaction and per savepoint: looking it up is what begins them.
    """
    refuse_ended(session)
    lean = session._lean
    if lean is not None and lean.runner is runner:
        return lean.dbapi
    inner = session.sync_session
    refuse_failed(inner)
    if inner.autoflush and not inner._is_clean():
        await greenlet_spawn(inner.flush)
    held = inner.__dict__.get("_quintet_connection")
    if held is not None and held[0] is inner._transaction and held[1] is runner and usable(held):
        return held[3]
    connection = await greenlet_spawn(inner.connection, {"mapper": plan.query.mapper})
    dbapi = connection.connection.dbapi_connection
    inner.__dict__["_quintet_connection"] = (inner._transaction, runner, connection, dbapi)
    return dbapi


def _forget(session: orm.Session, error: BaseException) -> None:
    """Close a connection that cannot be used any more; the session's rollback replaces it."""
    held = session.__dict__.pop("_quintet_connection", None)
    if held is not None:
        held[2].invalidate(error if isinstance(error, Exception) else None)
