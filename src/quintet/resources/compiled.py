"""Compiled queries of a resource: a row by its key, and a part of an unfiltered list.

They are what most requests ask for. What depends on the request (`visible`, filters, cursors) or loads relations is
left to SQLAlchemy, which keeps its statements too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from quintet.db.queries.decorator import query

if TYPE_CHECKING:
    from quintet.resources.plan import Plan

#: A list sorted by more columns at once is asked for too seldom to keep its query.
_MAX_SORTS = 1


class CompiledQueries:
    """The queries of one resource, made when they are first asked for."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._by_key: Callable[..., Any] | None = None
        self._parts: dict[tuple[str, ...], Callable[..., Any]] = {}

    def by_key(self, values: Sequence[Any]) -> Any:
        """Return the query of the row with a key."""
        if self._by_key is None:
            plan = self._plan

            def by_key(*key: Any) -> Any:
                return sa.select(plan.model).where(plan.has_key(key))

            # A compiled query declares each of its parameters: one for each column of the key.
            kind = inspect.Parameter.POSITIONAL_ONLY
            names = [f"key{n}" for n in range(len(plan.keys))]
            by_key.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore[attr-defined]
            self._by_key = query(self._named(by_key, "by key"))
        return self._by_key(*values)

    def part(self, sort: Sequence[str], limit: int, offset: int) -> Any:
        """Return the query of a part of all rows; None where it is not kept."""
        if len(sort) > _MAX_SORTS:
            return None
        key = tuple(sort)
        found = self._parts.get(key)
        if found is None:
            model, clauses = self._plan.model, self._plan.order(key).clauses

            def part(limit: int, offset: int) -> Any:
                return sa.select(model).order_by(*clauses).limit(limit).offset(offset)

            found = self._parts[key] = query(self._named(part, f"by {', '.join(key) or 'its order'}"))
        return found(limit=limit, offset=offset)

    def _named(self, function: Callable[..., Any], what: str) -> Callable[..., Any]:
        function.__qualname__ = f"resource({self._plan.model.__name__}) {what}"
        return function
