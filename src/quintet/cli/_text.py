"""How types, functions and sizes read in the output of commands."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from quintet.cli.load import PACKAGE
from quintet.handlers.signature import describe, where_defined


def type_text(tp: Any) -> str:
    """Return a type as one would write it, without modules: `list[Item]`, `int (gt=0)`."""
    if tp is None or tp is types.NoneType:
        return "None"
    if tp is Any:
        return "Any"
    if tp is inspect.Parameter.empty:
        return "not annotated"
    origin, args = get_origin(tp), get_args(tp)
    if origin is Annotated:
        inner, *marks = args
        limits = [limit for mark in marks if isinstance(mark, msgspec.Meta) for limit in _limits(mark)]
        return type_text(inner) + (f" ({', '.join(limits)})" if limits else "")
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(a) for a in args if a is not msgspec.UnsetType)
    if origin is not None and args:
        name = getattr(origin, "__name__", None) or str(tp).partition("[")[0].rpartition(".")[2]
        return f"{name}[{', '.join('…' if a is Ellipsis else _argument(a) for a in args)}]"
    return getattr(tp, "__name__", None) or str(tp).removeprefix("typing.")


def _argument(tp: Any) -> str:
    return repr(tp) if isinstance(tp, (str, int, bytes)) else type_text(tp)


def _limits(mark: msgspec.Meta) -> list[str]:
    names = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")
    return [f"{name}={value!r}" for name in names if (value := getattr(mark, name)) is not None]


def function_text(function: Callable[..., Any]) -> str:
    """Return a function's name, and where it is, unless it is Quintet's own."""
    where = where_defined(function)
    name = describe(function)
    return name if not where or where.startswith(PACKAGE) else f"{name} ({short_path(where)})"


def short_path(where: str) -> str:
    """Return `file:line` relative to the working directory, where it is below it."""
    path, separator, line = where.rpartition(":")
    try:
        return f"{Path(path).relative_to(Path.cwd())}{separator}{line}"
    except ValueError:
        return where


def size_text(size: int) -> str:
    """Return a number of bytes for people."""
    for unit, factor in (("MiB", 1024**2), ("KiB", 1024)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} bytes"


def columns(rows: list[tuple[str, ...]], indent: str = "  ") -> list[str]:
    """Return rows as aligned lines."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
    return [(indent + line).rstrip() for line in lines]
