"""What was decided about a query, as lines of text: for `quintet explain` and for logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quintet.db.queries.plan import Plan, build_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.engine.interfaces import Dialect

    from quintet.db.queries.define import QueryFunction

__all__ = ["explain_plan", "explain_query"]


def explain_query(query: QueryFunction[..., Any], dialects: Iterable[Dialect]) -> list[str]:
    """Return the lines that explain a query on some databases, without asking any of them."""
    lines = [f"query {query.name}", "", f"declared    {query.where}", f"parameters  {_parameters(query) or 'none'}"]
    for dialect in dialects:
        for pattern in query.patterns:
            lines += ["", *explain_plan(build_plan(query, pattern, dialect), dialect)]
    return lines


def explain_plan(plan: Plan, dialect: Dialect) -> list[str]:
    """Return the lines that explain one variant of a query on one database."""
    head = f"{dialect.name}, by {dialect.driver}"
    absent = [name for bit, name in enumerate(plan.query.optional) if plan.pattern >> bit & 1]
    if plan.query.optional:
        head += f", when {' and '.join(f'{name} is None' for name in absent)}" if absent else ", when all are given"
    return [head, *(f"  {line}" for line in _facts(plan)), *(f"    {line.strip()}" for line in plan.sql.splitlines())]


def _facts(plan: Plan) -> Iterator[str]:
    if plan.fallback is not None:
        yield f"run by SQLAlchemy: {plan.fallback}"
    else:
        yield "compiled; " + ("a read: in autocommit when no transaction is open" if plan.reads else "in a transaction")
    if plan.shape is not None:
        into = plan.query.into
        yield f"each row: {into.__name__} of {plan.shape.text}" if into is not None else f"each row: {plan.shape.text}"
    if plan.runs:
        yield f"ran {plan.runs} times, {plan.spent / plan.runs / 1000:.0f} µs each"


def _parameters(query: QueryFunction[..., Any]) -> str:
    return ", ".join(str(parameter) for parameter in query.signature.parameters.values())
