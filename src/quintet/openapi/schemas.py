"""The schemas of one document, collected first and made together, so that every type has one name in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import msgspec

from quintet.handlers.bodies import patch_type
from quintet.http.upload import Upload
from quintet.schema.json_schema import json_schemas

#: A part of the document.
Schema: TypeAlias = "dict[str, Any]"
#: Whether a type is read from a request or written into an answer.
Mode: TypeAlias = Literal["input", "output"]

_EXPONENT = "([eE][+-]?[0-9]{1,2})?"
REF_TEMPLATE = "#/components/schemas/{name}"


class Schemas:
    """Hands out places for schemas, and fills all of them at the end."""

    def __init__(self) -> None:
        self._places: list[tuple[Any, Mode, Schema]] = []
        self._after: list[Callable[[], None]] = []
        self._patches: dict[int, tuple[Any, Any]] = {}

    def place(self, tp: Any, mode: Mode) -> Schema:
        """Return a dict that will hold the schema of `tp`."""
        place: Schema = {}
        self._places.append((tp, mode, place))
        return place

    def patch(self, tp: Any) -> Any:
        """Return the type that `Patch[tp]` reads, the same each time."""
        known = self._patches.get(id(tp))
        if known is None:
            known = self._patches[id(tp)] = (tp, patch_type(tp))
        return known[1]

    def after(self, function: Callable[[], None]) -> None:
        """Register what is to be done when the places are filled."""
        self._after.append(function)

    def resolve(self) -> Schema:
        """Fill every place; return the components by name."""
        wanted: dict[Any, tuple[Any, Mode]] = {}
        for tp, mode, _ in self._places:
            wanted.setdefault(_key(tp, mode), (tp, mode))
        made, components = json_schemas(wanted.values(), REF_TEMPLATE, leaf=lambda tp: tp is Upload)
        schemas = dict(zip(wanted, made, strict=True))
        for tp, mode, place in self._places:
            place.update(copy.deepcopy(schemas[_key(tp, mode)]))
        for function in self._after:
            function()
        return components


def _key(tp: Any, mode: Mode) -> Any:
    """Return what stands for a type; an annotation need not be hashable."""
    try:
        hash(tp)
    except TypeError:
        return id(tp), mode
    return tp, mode


def without_none(tp: Any) -> Any:
    """Return a type without None: no text of a query or header means null."""
    origin = get_origin(tp)
    if origin is Annotated:
        inner, *marks = get_args(tp)
        return Annotated[(without_none(inner), *marks)]
    if origin in (Union, UnionType):
        members = tuple(without_none(m) for m in get_args(tp) if m is not NoneType)
        return Union[members] if members else tp  # noqa: UP007 - made at run time
    return tp


def without_exponent(schema: Schema) -> None:
    """Narrow the pattern of a decimal: texts of parameters and forms have no exponent, unlike those in JSON."""
    if schema.get("format") == "decimal":
        schema["pattern"] = schema["pattern"].replace(_EXPONENT, "")


def plain(value: Any) -> tuple[bool, Any]:
    """Return whether a value can stand in JSON, and how."""
    try:
        return True, msgspec.to_builtins(value, str_keys=True)
    except (TypeError, ValueError, RecursionError):
        return False, None


def merge(into: Schema, extra: Schema) -> Schema:
    """Merge `extra` into a part of the document: objects member by member, anything else replaced."""
    for key, value in extra.items():
        present = into.get(key)
        if isinstance(present, dict) and isinstance(value, dict) and "$ref" not in present:
            merge(present, value)  # pyright: ignore[reportUnknownArgumentType] - parts of a document
        else:
            into[key] = value
    return into
