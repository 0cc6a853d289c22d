"""`quintet explain query …`: the SQL and the decoder of compiled queries, for the app's databases."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from quintet.app import Application

#: Dialects to compile for when the app has no database.
_DEFAULTS = ("postgresql+asyncpg", "sqlite+aiosqlite")


def explain_queries(app: Application | None, name: str | None) -> list[str]:
    """Return the lines that explain a query, given as `module:name`, or all queries that the app has imported.

    Raises:
        click.UsageError: there is no such query.
    """
    from quintet.db.queries.decorator import all_queries
    from quintet.db.queries.define import QueryFunction
    from quintet.db.queries.errors import QueryError
    from quintet.db.queries.explain import explain_query

    if name is None:
        found: list[Any] = all_queries()
        if not found:
            raise click.UsageError("the app has no queries; a function becomes one by @query")
    else:
        module, _, attribute = name.partition(":")
        try:
            value: Any = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise click.UsageError(f"there is no query {name}: {error}") from error
        if not isinstance(value, QueryFunction):
            raise click.UsageError(f"{name} is {type(value).__name__}, not a query; mark the function with @query")
        found = [value]
    dialects = _dialects(app)
    lines: list[str] = []
    for query in found:
        try:
            more = explain_query(query, dialects)
        except QueryError as error:
            more = [str(error)]
        lines += ["", *more] if lines else more
    return lines


def queries_of(handler: Any) -> list[Any]:
    """Return the queries that a handler names in its body, as far as its globals tell."""
    from sys import modules

    if "quintet.db.queries.define" not in modules:
        return []
    from quintet.db.queries.define import QueryFunction

    function = inspect.unwrap(handler) if callable(handler) else None
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    names: list[str] = list(code.co_names)
    space: dict[str, Any] = getattr(function, "__globals__", {})
    found = [space[n] for n in names if isinstance(space.get(n), QueryFunction)]
    for owner in [space[n] for n in names if inspect.ismodule(space.get(n))]:
        members: list[Any] = [getattr(owner, n, None) for n in names]
        found += [member for member in members if isinstance(member, QueryFunction)]
    return list(dict.fromkeys(found))


def _dialects(app: Application | None) -> list[Any]:
    from sqlalchemy.engine import make_url

    known: dict[str, Any] = app.state.get("quintet.db", {}) if app is not None else {}
    found = [database.make_dialect() for database in known.values()]
    return found or [make_url(f"{name}://").get_dialect()() for name in _DEFAULTS]
