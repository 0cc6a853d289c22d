"""What the verbs of both kinds of session decide alike."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy.exc import MultipleResultsFound
from sqlalchemy.orm import Session

from quintet.db.errors import NoRow
from quintet.db.listeners import OURS, STATEMENTS, changed_by_others
from quintet.db.queries.failures import wrap_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Engine

    from quintet.db.queries.define import Bound
    from quintet.db.queries.plan import Plan

__all__ = [
    "alike",
    "all_of",
    "argument_sets",
    "as_sqlalchemy_runs",
    "expect_one",
    "find_bind",
    "in_autocommit",
    "shape_fallback",
    "sqlalchemy_runs",
    "usable",
]


_FOREIGN: dict[tuple[type, type, int], bool] = {}


def alike(bounds: Iterable[Bound]) -> Iterator[list[Bound]]:
    """Yield those that follow each other with the same statement."""
    for _, group in itertools.groupby(bounds, lambda bound: (bound.query, bound.pattern)):
        yield list(group)


def expect_one(found: Sequence[Any], bound: Bound) -> NoReturn:
    """Raise for a number of rows that is not one."""
    if found:
        raise MultipleResultsFound(
            f"query {bound.query.name}: {len(found)} rows where one was expected; use `first` or `many`"
        )
    mapper = bound.query.mapper if bound.query.into is None else None
    raise NoRow(f"there is no such {mapper.class_.__name__}" if mapper is not None else "there is no such row")


def find_bind(session: Session, bound: Bound) -> Engine | Connection:
    """Return the engine or connection on which a session runs a query."""
    bind = session.bind
    if bind is not None and type(session).get_bind is Session.get_bind:
        return bind
    return session.get_bind(bound.query.mapper)


def sqlalchemy_runs(session: Session, plan: Plan) -> bool:
    """Return whether the session itself has to run a plan's statement."""
    if plan.fallback is not None:
        return True
    if "dispatch" in session.__dict__:
        if _is_heard(session):
            return True
    elif changed_by_others(type(session), STATEMENTS):
        return True
    if not plan.reads and getattr(session, "mode", "write") == "read":
        return True  # which refuses it
    # Objects that a statement changes behind the session's back would go stale: SQLAlchemy synchronises them.
    return plan.writes_entities and len(session.identity_map) > 0


def _is_heard(session: Session) -> bool:
    if session.dispatch.loaded_as_persistent:
        return True
    listeners = session.dispatch.do_orm_execute
    # PERF: going through them takes as long as a lookup in the database's cache; their number tells of a change.
    key = (type(session), type(listeners), len(listeners))
    foreign = _FOREIGN.get(key)
    if foreign is None:
        foreign = _FOREIGN[key] = any(listener.__module__ not in OURS for listener in listeners)
    return foreign  # somebody changes the session's statements before they run


def in_autocommit(session: Session, plan: Plan, connected: bool) -> bool:
    """Return whether a statement may run on a connection of its own: a read, nothing pending, no transaction open."""
    return plan.reads and not connected and session._transaction is None and session._is_clean()


def all_of(result: Any) -> Sequence[Any]:
    """Return all rows of a result of SQLAlchemy, without the repetitions that a joined collection makes."""
    state = getattr(getattr(getattr(result, "context", None), "compiled", None), "compile_state", None)
    return (result.unique() if getattr(state, "multi_row_eager_loaders", False) else result).all()


def argument_sets(engine: Engine, plan: Plan, bounds: list[Bound]) -> tuple[str, list[Any]]:
    """Return the SQL and the driver's arguments for each of many calls; the plan `repeats`."""
    arguments = plan.arguments
    assert arguments is not None
    assert arguments.fixed is not None
    try:
        return arguments.fixed, [arguments.bind(bound.values) for bound in bounds]
    except Exception as error:
        raise wrap_arguments(engine, plan, error) from error


def as_sqlalchemy_runs(plan: Plan, bound: Bound) -> tuple[Any, dict[str, Any]]:
    """Return the statement and the values for SQLAlchemy's session to execute.

    What writes has its values in it: to keep objects of the session in step, SQLAlchemy reads them there.
    """
    if plan.writes_entities:
        return bound.query.build_with(bound.values), {}
    return plan.statement, plan.named(bound.values)


def shape_fallback(plan: Plan, rows: Sequence[Any]) -> list[Any]:
    """Return rows of SQLAlchemy as a compiled query gives them: single values, tuples or structures."""
    if plan.query.into is not None:
        into = plan.query.into
        return [into(**row._mapping) for row in rows]
    if rows and len(rows[0]) == 1:
        return [row[0] for row in rows]
    return [tuple(row) for row in rows]


def usable(held: tuple[Any, ...]) -> bool:
    """Return whether a connection that was looked up before is still that of an open transaction."""
    transaction, _, connection, _ = held
    return transaction is not None and transaction.is_active and not connection.closed and not connection.invalidated
