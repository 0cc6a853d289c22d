"""Compiled queries in a synchronous session.

With no transaction open, a read runs in autocommit on a connection of its own. Everything else runs on the session's
connection, inside its transaction. `session_async` is the same with `await`.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

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
from quintet.db.queries.run_sync import SyncRunner, sync_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy.orm import Session

    from quintet.db.queries.define import Bound
    from quintet.db.queries.plan import Plan

__all__ = ["change", "change_all", "fetch", "stream"]


def fetch(session: Session, bound: Bound) -> list[Any]:
    """Return the results of a query."""
    bind = find_bind(session, bound)
    runner = sync_runner(bind.engine)
    plan = runner.plan(bound)
    if sqlalchemy_runs(session, plan):
        return shape_fallback(plan, all_of(session.execute(*as_sqlalchemy_runs(plan, bound))))
    sql, args = runner.arguments(plan, bound)
    if in_autocommit(session, plan, isinstance(bind, Connection)):
        rows = runner.autocommit(plan, sql, args)
    else:
        rows = _inside(session, runner, plan, sql, args, lambda c: runner.rows_on(plan, c, sql, args))
    return plan.decode(rows, session)  # pyright: ignore[reportOptionalCall] - made with the rows


def change(session: Session, bound: Bound) -> int:
    """Run an insert, update or delete and return the number of rows it changed."""
    runner = sync_runner(find_bind(session, bound).engine)
    plan = runner.plan(bound)
    if sqlalchemy_runs(session, plan):
        return getattr(session.execute(*as_sqlalchemy_runs(plan, bound)), "rowcount", -1)
    sql, args = runner.arguments(plan, bound)
    return _inside(session, runner, plan, sql, args, lambda c: runner.execute_on(plan, c, sql, args))


def change_all(session: Session, bounds: Iterable[Bound]) -> None:
    """Run inserts, updates and deletes; where the driver can, those of one query that follow each other at once."""
    for group in alike(bounds):
        runner = sync_runner(find_bind(session, group[0]).engine)
        plan = runner.plan(group[0])
        if len(group) == 1 or not plan.repeats or sqlalchemy_runs(session, plan):
            for bound in group:
                change(session, bound)
            continue
        sql, sets = argument_sets(runner.engine, plan, group)
        _inside(session, runner, plan, sql, sets, partial(runner.execute_many_on, plan, sql=sql, sets=sets))


def stream(session: Session, bound: Bound, size: int) -> Iterator[list[Any]]:
    """Yield the results in batches."""
    bind = find_bind(session, bound)
    runner = sync_runner(bind.engine)
    plan = runner.plan(bound)
    if sqlalchemy_runs(session, plan):
        options = {"yield_per": size}
        result = session.execute(plan.statement, plan.named(bound.values), execution_options=options)
        while rows := result.fetchmany(size):
            yield shape_fallback(plan, rows)
        return
    if in_autocommit(session, plan, isinstance(bind, Connection)):
        yield from runner.stream(plan, bound, size, session)
        return
    sql, args = runner.arguments(plan, bound)
    dbapi = _connection(session, runner, plan)
    for batch in runner.stream_on(plan, dbapi, sql, args, size):
        yield plan.decode(batch, session)  # pyright: ignore[reportOptionalCall]


def _inside(session: Session, runner: SyncRunner, plan: Plan, sql: str, args: Any, run: Callable[[Any], Any]) -> Any:
    """Run a statement on the session's connection, inside its transaction."""
    dbapi = _connection(session, runner, plan)
    try:
        return run(dbapi)
    except Exception as error:
        found, gone = runner.translate(plan, sql, args, error, dbapi)
        mark_failed(session, found)
        if gone:
            lease.replace_all(runner.engine.pool)
            _forget(session, found)
        raise found from error
    except BaseException as error:
        # Interrupted in the middle of an answer: this connection ends with the session.
        mark_failed(session, error)
        _forget(session, error)
        raise


def _connection(session: Session, runner: SyncRunner, plan: Plan) -> Any:
    """Return the session's connection as the pool holds it, after a flush of what is pending.

    It is looked up once per transaction and per savepoint: looking it up is what begins them.
    """
    refuse_failed(session)
    if session.autoflush and not session._is_clean():
        session.flush()
    held = session.__dict__.get("_quintet_connection")
    if held is not None and held[0] is session._transaction and held[1] is runner and usable(held):
        return held[3]
    connection = session.connection({"mapper": plan.query.mapper})
    dbapi = connection.connection.dbapi_connection
    session.__dict__["_quintet_connection"] = (session._transaction, runner, connection, dbapi)
    return dbapi


def _forget(session: Session, error: BaseException) -> None:
    """Close a connection that cannot be used any more; the session's rollback replaces it."""
    held = session.__dict__.pop("_quintet_connection", None)
    if held is not None:
        held[2].invalidate(error if isinstance(error, Exception) else None)
