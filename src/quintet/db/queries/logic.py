"""Python logic on parameters that no object can notice (`is None`, `match`, `isinstance`), found in the source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from quintet.db.queries.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

__all__ = ["refuse_logic"]

_ASKS = {"isinstance", "type", "issubclass", "callable", "id", "repr", "ascii", "bool"}


def refuse_logic(function: Callable[..., Any], name: str, parameters: Collection[str], optional: set[str]) -> None:
    """Raise when a query's function decides something by a parameter's identity or type.

    `is None` on an optional parameter is fine: such a query is built once with None and once without. A function
    whose source is not at hand (a console's, say) is not looked at.

    Raises:
        QueryError: it names the function, the parameter, the line and the fix.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return
    first = function.__code__.co_firstlineno
    for node in ast.walk(tree):
        for found, what, fix in _logic(node, set(parameters), optional):
            line = first + getattr(node, "lineno", 1) - 1
            raise QueryError(
                f"query {name}, line {line}: {what} needs the value of its parameter `{found}`, but a query is built"
                f" once, before there is a value; {fix}"
            )


def _logic(node: ast.AST, parameters: set[str], optional: set[str]) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, ast.Compare) and any(isinstance(o, (ast.Is, ast.IsNot)) for o in node.ops):
        sides = [node.left, *node.comparators]
        is_none = any(isinstance(side, ast.Constant) and side.value is None for side in sides)
        for name in _names(sides, parameters):
            if not (is_none and name in optional):
                fix = f"annotate it as `{name}: … | None`, and the query is built with None and without"
                yield name, "`is`", fix if is_none else "write `column == " + name + "`"
    elif isinstance(node, ast.Match):
        subjects = node.subject.elts if isinstance(node.subject, ast.Tuple) else [node.subject]
        for name in _names(subjects, parameters):
            yield name, "`match`", f"test `{name} is None`, or choose between two queries at the call"
    elif isinstance(node, ast.FormattedValue):
        for name in _names([node.value], parameters):
            yield name, "an f-string", f"put it into SQL (`column == {name}`)"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ASKS:
        for name in _names(node.args, parameters):
            yield name, f"`{node.func.id}`", "choose between two queries at the call"


def _names(nodes: list[ast.expr], parameters: set[str]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in parameters:
            yield node.id
