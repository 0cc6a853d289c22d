"""Forms: flat names to nested values, guided by the declared type.

`address.city` and `address[city]` name a field of a field, `items[0].name` and `items.0.name` a field of a list's
item, `tags[]` and a repeated name the items of a list. Indices give an order; gaps close. A name that the type declares
as it stands is that field, whatever dots it has. A name of any other form is kept as it is, so that types that refuse
unknown keys refuse it. A `bool` field that is absent from the form is an unchecked box: false.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from quintet.errors import BadRequest
from quintet.http.forms import FormData, parse_urlencoded
from quintet.http.upload import Upload
from quintet.media import _types

#: The number of steps a name may have.
MAX_DEPTH = 16
#: The highest index a name may have.
MAX_INDEX = 999

Leaf: TypeAlias = "str | Upload"
_Shape: TypeAlias = "Callable[[_Node], Any]"

_NAME = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[[^.\[\]]+\])*(?:\[\])?")
_STEP = re.compile(r"[^.\[\]]+")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class _Node:
    """What a form says under one name: values of its own, or further names."""

    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.values: list[Leaf] = []
        self.children: dict[str, _Node] = {}


def build_form_shaper(tp: Any) -> Callable[[FormData], Any]:
    """Return a function that gives a form the structure of `tp`, its leaves text and uploads.

    The function raises BadRequest for names nested too deep, indices too high and names that are both a value and a
    group of values.
    """
    top = _unite(tp)
    declared = frozenset(top)
    shape = _build(tp, {})

    def shape_form(form: FormData) -> Any:
        root = _Node()
        for name, value in form.items:
            node = root
            for step in _steps(name, declared):
                node = node.children.setdefault(step, _Node())
            node.values.append(value)
        return shape(root)

    return shape_form


def build_decoder(tp: Any) -> Callable[[bytes], Any]:
    """Return a decoder of urlencoded bodies to builtins in the structure of `tp`."""
    shape = build_form_shaper(tp)
    return lambda body: shape(parse_urlencoded(body))


def _steps(name: str, declared: frozenset[str]) -> list[str]:
    if name in declared or not _NAME.fullmatch(name):
        return [name]
    steps = _STEP.findall(name)
    if len(steps) > MAX_DEPTH:
        raise BadRequest(f"a name of the form has more than {MAX_DEPTH} parts")
    return steps


def _unite(tp: Any) -> dict[str, Any]:
    """Return the fields that any member of a union declares; where several declare one, the first counts."""
    found: dict[str, Any] = {}
    for member in _types.members(tp)[0]:
        for field in _types.fields(member) or ():
            found.setdefault(field.name, field.type)
    return found


def _build(tp: Any, known: dict[Any, _Shape]) -> _Shape:
    key = _types.key(tp)
    if key in known:
        return known[key]
    built: list[_Shape] = []

    def forward(node: _Node) -> Any:  # what a recursive type meets while its own shape is being built
        return built[0](node)

    known[key] = forward
    built.append(_build_new(tp, known))
    return built[0]


def _build_new(tp: Any, known: dict[Any, _Shape]) -> _Shape:
    members, optional = _types.members(tp)
    fields = _unite(tp)
    if fields:
        boxes = () if optional else tuple(name for name, field in fields.items() if field is bool)
        return _object({name: _build(field, known) for name, field in fields.items()}, boxes)
    for member in members:
        item = _types.item_type(member)
        if item is not None:
            return _list(_build(item, known))
        value = _types.value_type(member)
        if value is not None:
            return _mapping(_build(value, known))
    return _scalar if members and Any not in members else _any


def _object(shapes: dict[str, _Shape], boxes: tuple[str, ...]) -> _Shape:
    def shape(node: _Node) -> Any:
        if node.values:
            return _leaf(node)
        out = {name: shapes.get(name, _any)(child) for name, child in node.children.items()}
        for name in boxes:
            out.setdefault(name, "false")
        return out

    return shape


def _mapping(item: _Shape) -> _Shape:
    def shape(node: _Node) -> Any:
        return _leaf(node) if node.values else {name: item(child) for name, child in node.children.items()}

    return shape


def _list(item: _Shape) -> _Shape:
    def shape(node: _Node) -> Any:
        if not node.children:
            return list(node.values)
        if node.values:
            raise _conflict()
        indexed = _indexed(node)
        if indexed is None:
            return _any(node)
        return [item(child) for child in indexed]

    return shape


def _scalar(node: _Node) -> Any:
    return _leaf(node) if node.values else _any(node)


def _any(node: _Node) -> Any:
    if node.values:
        return _leaf(node)
    indexed = _indexed(node)
    if indexed is not None:
        return [_any(child) for child in indexed]
    return {name: _any(child) for name, child in node.children.items()}


def _leaf(node: _Node) -> Leaf | list[Leaf]:
    if node.children:
        raise _conflict()
    return node.values[0] if len(node.values) == 1 else list(node.values)


def _indexed(node: _Node) -> list[_Node] | None:
    if not node.children or not all(map(_INDEX.fullmatch, node.children)):
        return None
    order = sorted(node.children, key=int)
    if int(order[-1]) > MAX_INDEX:
        raise BadRequest(f"an index in a name of the form is higher than {MAX_INDEX}")
    return [node.children[index] for index in order]


def _conflict() -> BadRequest:
    return BadRequest("a name of the form is both a value and a group of values")
