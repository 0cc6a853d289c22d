"""Signatures: what a callable asks for and what it gives back, read once at start-up.

This is the only place where annotations are read; handlers, dependencies, WebSockets, tasks and commands share it.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple, cast, get_args, get_origin

from quintet.errors import ConfigurationError, Problem
from quintet.handlers.params import Depends, In, Name, Source

EMPTY = inspect.Parameter.empty


class Parameter(NamedTuple):
    """One parameter of a callable."""

    name: str
    #: The annotation without Quintet's own marks; constraints stay in it.
    annotation: Any
    #: The source it names, or None to decide by name and type.
    source: Source | None
    #: The name on the wire, where it names another.
    alias: str | None
    depends: Depends | None
    default: Any
    keyword_only: bool

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is EMPTY

    @property
    def type(self) -> Any:
        """The annotation without constraints."""
        tp = self.annotation
        while get_origin(tp) is Annotated:
            tp = get_args(tp)[0]
        return tp


class Signature(NamedTuple):
    """The parameters and the result of a callable."""

    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    #: The return annotation, or EMPTY.
    returns: Any
    #: The file and line of its definition.
    where: str
    is_async: bool
    is_generator: bool


def describe(function: Callable[..., Any]) -> str:
    """Return a callable's name for messages."""
    target = _unwrap(function)
    return getattr(target, "__qualname__", None) or type(target).__name__


def _unwrap(function: Callable[..., Any]) -> Any:
    """Return the function inside decorators and partials."""
    target: Any = inspect.unwrap(function)
    while isinstance(target, partial):
        target = inspect.unwrap(cast("partial[Any]", target).func)
    return target


def _call_of(target: Any) -> Any:
    """Return the function that runs when an object is called."""
    return getattr(cast("Any", type(target)), "__call__", None)  # noqa: B004 - the function is wanted, not whether there is one


def where_defined(function: Callable[..., Any]) -> str:
    """Return the file and line of a callable's definition."""
    target = _unwrap(function)
    target = getattr(target, "__func__", target)
    code = getattr(target, "__code__", None) or getattr(_call_of(target), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def _hints(function: Callable[..., Any], localns: Mapping[str, Any] | None, where: str) -> dict[str, Any]:
    target = _unwrap(function)
    if inspect.isclass(target):
        target = target.__init__ if inspect.isfunction(target.__init__) else target
    elif not (inspect.isfunction(target) or inspect.ismethod(target)) and _call_of(target) is not None:
        target = _call_of(target)
    closure: Mapping[str, Any] = inspect.getclosurevars(target).nonlocals if inspect.isfunction(target) else {}
    names = {**(localns or {}), **closure}
    try:
        return typing.get_type_hints(target, localns=names or None, include_extras=True)
    except NameError as exc:
        raise ConfigurationError(
            Problem(
                id="signature.name",
                message=f"{describe(function)}: the annotation names {exc.name!r}, which is not defined there",
                where=where,
                fix=f"define or import {exc.name!r} at module level, before the app is used (not under TYPE_CHECKING)",
            )
        ) from None
    except (TypeError, SyntaxError, AttributeError) as exc:
        raise ConfigurationError(
            Problem(id="signature.annotation", message=f"{describe(function)}: {exc}", where=where)
        ) from None


def read_signature(function: Callable[..., Any], localns: Mapping[str, Any] | None = None) -> Signature:
    """Read the signature of a callable.

    Args:
        function: a function, method, class or callable object.
        localns: names that are defined where the function is, for functions inside functions.

    Raises:
        ConfigurationError: an annotation that cannot be read, or a parameter that cannot be filled.
    """
    where = where_defined(function)
    hints = _hints(function, localns, where)
    parameters: list[Parameter] = []
    for p in inspect.signature(function).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ConfigurationError(
                Problem(
                    id="signature.star",
                    message=f"{describe(function)}: *args and **kwargs cannot be filled from a request",
                    where=where,
                    fix=f"name the parameters instead of {p}",
                )
            )
        if p.kind is p.POSITIONAL_ONLY:
            raise ConfigurationError(
                Problem(
                    id="signature.positional",
                    message=f"{describe(function)}: {p.name!r} can be given by position only; parameters go by name",
                    where=where,
                    fix="remove the '/' from its parameters",
                )
            )
        annotation = hints.get(p.name, EMPTY)
        parameters.append(_parameter(p, annotation))
    target = _unwrap(function)
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        target = type(target).__call__
    return Signature(
        function=function,
        parameters=tuple(parameters),
        returns=hints.get("return", EMPTY) if not inspect.isclass(function) else function,
        where=where,
        is_async=inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target),
        is_generator=inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target),
    )


def _parameter(p: inspect.Parameter, annotation: Any) -> Parameter:
    source: Source | None = None
    alias: str | None = None
    depends: Depends | None = None
    marks: list[Any] = []
    tp = annotation
    if get_origin(tp) is Annotated:
        tp, *extras = get_args(tp)
        for extra in extras:
            if isinstance(extra, In):
                source = extra.source
            elif isinstance(extra, Name):
                alias = extra.name
            elif isinstance(extra, Depends):
                depends = extra
            else:
                marks.append(extra)
        for mark in marks:
            tp = Annotated[tp, mark]
    default = p.default
    if isinstance(default, Depends):  # FastAPI's older habit: `= Depends(f)`
        depends, default = default, EMPTY
    return Parameter(p.name, tp, source, alias, depends, default, p.kind is p.KEYWORD_ONLY)
