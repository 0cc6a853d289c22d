"""Unions: which of them msgspec decodes itself, and how the others are told apart.

The rule for objects without tags: a member fits when its required keys are all there, no unknown ones are if it
forbids them, and its `Literal` fields have one of their values. The first member that fits and decodes is taken.
"""

from __future__ import annotations

from typing import Any, cast

from .nodes import (
    ChoiceNode,
    DictNode,
    LeafNode,
    ListNode,
    ModelNode,
    Node,
    ObjectNode,
    ScalarNode,
    TupleNode,
    refuse,
    type_name,
)

_STRING_KINDS = {"str", "bytes", "decimal", "date", "time", "datetime", "timedelta", "uuid"}


def msgspec_can(members: tuple[Node, ...], marked: set[int]) -> bool:
    """Tell whether msgspec takes this union: at most one type of each JSON kind, or Structs told apart by tags."""
    if len(members) == 1:
        return True
    kinds: list[str] = []
    tagged = [m for m in members if isinstance(m, ObjectNode) and m.tag_field is not None]
    for m in members:
        match m:
            case ScalarNode():
                if m.kind in ("any", "raw"):
                    return False
                kinds.append("string" if m.kind in _STRING_KINDS else m.kind)
            case ChoiceNode():
                if id(m) in marked:
                    return False
                kinds.extend({"string" if isinstance(v, str) else "int" for v in m.values if v is not None})
            case ListNode() | TupleNode():
                kinds.append("array")
            case DictNode():
                kinds.append("object")
            case ObjectNode():
                if m in tagged and len(tagged) > 1:
                    continue
                kinds.append("array" if m.array_like or m.kind == "namedtuple" else "object")
            case _:
                return False
    if len(tagged) > 1:
        kinds.append("array" if tagged[0].array_like else "object")
        same = len({(t.tag_field, type(t.tag), t.array_like) for t in tagged}) == 1
        if not same or len({t.tag for t in tagged}) < len(tagged):
            return False
    return len(kinds) == len(set(kinds))


def check_order(members: tuple[Node, ...]) -> None:
    """Refuse an untagged union in which a member can never be chosen."""
    where = " | ".join(_shown(m) for m in members)
    for i, early in enumerate(members):
        for late in members[i + 1 :]:
            if isinstance(early, ScalarNode) and early.kind == "str" and not early.constraints:
                refuse(where, f"`str` takes every string, so {_shown(late)} is never chosen", "put `str` last")
            if isinstance(early, DictNode) and isinstance(late, ObjectNode) and _open(early):
                refuse(
                    where, f"a dict of anything takes every object, so {_shown(late)} is never chosen", "put it last"
                )
            if isinstance(early, ObjectNode) and isinstance(late, ObjectNode) and not _told_apart(early, late):
                refuse(
                    where,
                    f"required fields do not tell {_shown(early)} from {_shown(late)}",
                    f"give the classes tags (`class {early.cls.__name__}(Struct, tag=True)`), a Literal field of "
                    "different values, or declare the one that requires more fields first",
                )


def _open(node: DictNode) -> bool:
    return isinstance(node.value, ScalarNode) and node.value.kind == "any" and not node.constraints


def _told_apart(early: ObjectNode, late: ObjectNode) -> bool:
    """Tell whether an object meant for `late` is refused by `early`."""
    if (early.array_like or early.kind == "namedtuple") != (late.array_like or late.kind == "namedtuple"):
        return True
    if early.kind == "namedtuple" or early.array_like:
        return len(early.fields) < sum(f.required for f in late.fields)
    mine = {f.key: f for f in early.fields}
    theirs = {f.key for f in late.fields if f.required}
    needed = {k for k, f in mine.items() if f.required}
    if needed - theirs or (early.forbid_unknown and theirs - set(mine)):
        return True
    for f in late.fields:
        other = mine.get(f.key)
        if other is not None and f.required and isinstance(f.node, ChoiceNode) and isinstance(other.node, ChoiceNode):
            return not set(f.node.values) & set(other.node.values)
    return False


def _shown(node: Node) -> str:
    tp = getattr(node, "type", None)
    return getattr(tp, "__name__", None) or type_name(node)


def candidates(members: tuple[Node, ...], value: Any) -> list[Node]:
    """Return the members that a value could be meant for, in order."""
    if not isinstance(value, dict):
        return [m for m in members if same_shape(m, value)]
    given = cast("dict[Any, Any]", value)
    return [m for m in members if same_shape(m, given) and not (isinstance(m, ObjectNode) and misfits(m, given))]


def closest(members: list[Node], value: dict[Any, Any], *, text: bool = False) -> Node:
    """Return the member whose keys fit best, the first of equals: it is read, or its errors are reported."""
    return min(members, key=lambda m: misfits(m, value, text=text) if isinstance(m, ObjectNode) else 0)


def misfits(node: ObjectNode, value: dict[Any, Any], *, text: bool = False) -> int:
    """Count the keys of a message that speak against a class; `text` says that its leaves are texts."""
    count = sum(1 for f in node.fields if f.required and f.key not in value)
    if node.tag_field is not None and not _is_one(value.get(node.tag_field, node.tag), (node.tag,), text):
        count += 1000
    for f in node.fields:
        if isinstance(f.node, ChoiceNode) and f.node.enum is None and f.key in value:
            count += 0 if _is_one(value[f.key], f.node.values, text) else 10
    if node.forbid_unknown:
        count += len(value.keys() - {f.key for f in node.fields} - {node.tag_field})
    return count


def _is_one(given: Any, values: tuple[Any, ...], text: bool) -> bool:
    return any((type(given) is type(v) or text) and (given == v or (text and given == str(v))) for v in values)


def same_shape(node: Node, value: Any) -> bool:
    """Tell whether a value could be meant for this member of a union."""
    match node:
        case ListNode() | TupleNode():
            return isinstance(value, list | tuple)
        case DictNode() | ModelNode():
            return isinstance(value, dict)
        case ObjectNode():
            return isinstance(value, (list, tuple) if node.array_like or node.kind == "namedtuple" else dict)
        case ScalarNode():
            return _scalar_shape(node, value)
        case ChoiceNode():
            return any(isinstance(value, type(v)) or isinstance(v, type(value)) for v in node.values)
        case LeafNode():
            return not isinstance(value, dict | list | str | int | float)
        case _:
            return False


def _scalar_shape(node: ScalarNode, value: Any) -> bool:
    match node.kind:
        case "any" | "raw":
            return True
        case "int" | "float":
            return type(value) is int or type(value) is float
        case "bool":
            return type(value) is bool
        case "decimal":
            return not isinstance(value, bool | dict | list)
        case _:
            return not isinstance(value, bool | int | float | dict | list)
