"""What can be wrong with a query as it is written; found while it is built."""

from __future__ import annotations

from quintet.errors import QuintetError

__all__ = ["ParameterAttributeError", "QueryError"]


class QueryError(QuintetError):
    """A query cannot be built or used as it is written; the message names it, what is wrong and the fix."""


class ParameterAttributeError(QueryError, AttributeError):
    """An attribute was asked of a parameter while its query was built; `hasattr` sees an absent attribute."""
