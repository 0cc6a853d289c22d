"""What `quintet check` says of queries: each is built, in every variant, for the databases of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from quintet.db.queries.decorator import all_queries
from quintet.db.queries.errors import QueryError
from quintet.db.queries.plan import build_plan
from quintet.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["check_queries"]


def check_queries(dialects: Sequence[Dialect]) -> list[Problem]:
    """Return a problem for every query that cannot be built."""
    problems: list[Problem] = []
    for query in all_queries():
        try:
            for dialect in dialects:
                for pattern in query.patterns:
                    build_plan(query, pattern, dialect)
        except (QueryError, SQLAlchemyError, AttributeError, TypeError, LookupError, ValueError) as error:
            problems.append(_problem(query.where, error))
    return problems


def _problem(where: str, error: Any) -> Problem:
    message = str(error) if isinstance(error, QueryError) else f"{type(error).__name__}: {error}"
    return Problem(id="query.build", message=message, where=where, fix="repair the function marked with @query")
