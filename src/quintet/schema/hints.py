"""Read the annotations of classes: forward references resolved, type variables replaced."""

from __future__ import annotations

import inspect
import typing
from typing import Any, TypeVar, get_args, get_origin


def class_hints(tp: Any) -> dict[str, Any]:
    """Return the resolved annotations of a class or a parametrised generic, inherited ones included.

    Raises:
        NameError: when an annotation names something that its module does not define.
    """
    origin: Any = get_origin(tp) or tp
    scopes = _type_variables(tp)
    hints: dict[str, Any] = {}
    for cls in reversed(origin.__mro__):
        own = inspect.get_annotations(cls) if cls is not object else {}
        if not own:
            continue
        resolved = typing.get_type_hints(cls, include_extras=True)
        scope = scopes.get(cls, {})
        for name in own:
            hints[name] = replace_variables(resolved[name], scope)
    if hasattr(origin, "__total__"):
        # A TypedDict has no base classes at run time: its own annotations hold the inherited ones.
        scope = scopes.get(origin, {})
        resolved = typing.get_type_hints(origin, include_extras=True)
        hints = {name: replace_variables(hint, scope) for name, hint in resolved.items()}
    return hints


def replace_variables(hint: Any, scope: dict[Any, Any]) -> Any:
    """Put the arguments of a generic in the place of its type variables."""
    if isinstance(hint, TypeVar):
        return scope.get(hint, hint)
    parameters = getattr(hint, "__parameters__", None)
    if not scope or not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(scope.get(parameter, parameter) for parameter in parameters)]


def _type_variables(tp: Any) -> dict[Any, dict[Any, Any]]:
    """Map each class that `tp` inherits from to the values of its type variables."""
    scopes: dict[Any, dict[Any, Any]] = {}

    def visit(base: Any, outer: dict[Any, Any]) -> None:
        origin: Any = get_origin(base) or base
        if origin in (typing.Generic, typing.Protocol, object) or origin in scopes or not isinstance(origin, type):
            return
        parameters: tuple[Any, ...] = getattr(origin, "__parameters__", ())
        arguments = tuple(replace_variables(a, outer) for a in get_args(base)) if get_origin(base) else ()
        scopes[origin] = dict(zip(parameters, arguments, strict=False))
        for parent in getattr(origin, "__orig_bases__", origin.__bases__):
            visit(parent, scopes[origin])

    visit(tp, {})
    return scopes
