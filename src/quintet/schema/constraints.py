"""Merge the constraints of a type and give each to the part of the type that can hold it."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
from typing import Any

from .bounds import read
from .nodes import Constraints, DictNode, ListNode, Node, Notes, ObjectNode, ScalarNode, UnionNode, refuse

_BOUNDABLE = {"int", "float", "decimal", "date", "time", "datetime", "timedelta"}


def merge(metas: tuple[Any, ...], where: str) -> tuple[Constraints, Notes]:
    """Merge what several `Meta`s and `Bounds` say; the tighter limit and the later words win."""
    out, notes = Constraints(), Notes()
    for meta in metas:
        for name in ("gt", "ge", "lt", "le"):
            value = read(meta, name)
            if value is not None:
                _tighten(out, name, value, where)
        _keep_one(out, "multiple_of", read(meta, "multiple_of"), where)
        _keep_one(out, "tz", read(meta, "tz"), where)
        shortest, longest = read(meta, "min_length"), read(meta, "max_length")
        if shortest is not None:
            out.min_length = max(out.min_length or 0, shortest)
        if longest is not None:
            out.max_length = longest if out.max_length is None else min(out.max_length, longest)
        pattern = read(meta, "pattern")
        if pattern is not None and pattern not in out.patterns:
            out.patterns += (pattern,)
        notes.title = read(meta, "title") or notes.title
        notes.description = read(meta, "description") or notes.description
        notes.examples = read(meta, "examples") or notes.examples
        extra = read(meta, "extra_json_schema")
        if extra:
            notes.extra_json_schema = {**(notes.extra_json_schema or {}), **extra}
    _settle_offsets(out, where)
    return out, notes


def _keep_one(out: Constraints, name: str, value: Any, where: str) -> None:
    if value is None:
        return
    if getattr(out, name) not in (None, value):
        refuse(where, f"two different `{name}`", "keep one of them")
    setattr(out, name, value)


def _settle_offsets(out: Constraints, where: str) -> None:
    """A bound with an offset asks for values with one, and the other way round: they cannot be compared else."""
    for bound in (out.gt, out.ge, out.lt, out.le):
        if isinstance(bound, datetime.datetime | datetime.time):
            aware = bound.tzinfo is not None
            if out.tz not in (None, aware):
                refuse(where, f"the bound {bound!r} and tz={out.tz} contradict each other", "make the bound match tz")
            out.tz = aware


def _tighten(out: Constraints, name: str, value: Any, where: str) -> None:
    """Keep the tighter of two bounds; at the same limit the exclusive one."""
    lower = name in ("gt", "ge")
    exclusive, inclusive = ("gt", "ge") if lower else ("lt", "le")
    for other in (exclusive, inclusive):
        old = getattr(out, other)
        if old is None:
            continue
        try:
            tighter = (value > old if lower else value < old) or (value == old and name == exclusive)
        except TypeError:
            refuse(where, f"the bounds {old!r} and {value!r} cannot be compared", "give both the field's own type")
        if not tighter:
            return
        setattr(out, other, None)
    setattr(out, name, value)


def constrain(node: Node, constraints: Constraints, notes: Notes) -> Node:
    """Return a copy of `node` with its own constraints and notes; objects and unions take them too."""
    if isinstance(node, UnionNode):
        return UnionNode(tuple(_narrow_member(m, constraints) for m in node.members), node.nullable, constraints, notes)
    merged = _both(node.constraints, constraints) if node.constraints else constraints
    return dataclasses.replace(node, constraints=merged, notes=notes) if not isinstance(node, ObjectNode) else (
        _annotated_object(node, merged, notes)
    )  # fmt: skip


def _annotated_object(node: ObjectNode, constraints: Constraints, notes: Notes) -> Node:
    # The object's node must stay one (it may still be being filled): a union of one member carries the words.
    return UnionNode((node,), False, constraints, notes)


def _narrow_member(node: Node, constraints: Constraints) -> Node:
    """Give a member of a union those constraints that make sense for it."""
    fitting = _fitting(node, constraints)
    return constrain(node, fitting, node.notes) if fitting and not isinstance(node, ObjectNode) else node


def _both(a: Constraints, b: Constraints) -> Constraints:
    merged, _ = merge((a, b), "")
    merged.patterns = tuple(dict.fromkeys(a.patterns + b.patterns))
    return merged


def _fitting(node: Node, c: Constraints) -> Constraints:
    out = Constraints()
    if isinstance(node, ScalarNode):
        if node.kind in _BOUNDABLE and _comparable(node, c):
            out.gt, out.ge, out.lt, out.le = c.gt, c.ge, c.lt, c.le
        if node.kind in ("int", "float", "decimal"):
            out.multiple_of = c.multiple_of
        if node.kind in ("str", "bytes"):
            out.min_length, out.max_length = c.min_length, c.max_length
        if node.kind == "str":
            out.patterns = c.patterns
        if node.kind in ("datetime", "time"):
            out.tz = c.tz
    elif isinstance(node, (ListNode, DictNode)):
        out.min_length, out.max_length = c.min_length, c.max_length
    return out


_SAMPLES: dict[str, Any] = {
    "int": 0, "float": 0.0, "decimal": decimal.Decimal(0), "date": datetime.date(2000, 1, 1), "time": datetime.time(),
    "timedelta": datetime.timedelta(),
}  # fmt: skip


def _comparable(node: ScalarNode, c: Constraints) -> bool:
    for bound in (c.gt, c.ge, c.lt, c.le):
        if bound is None:
            continue
        if node.kind == "datetime":
            if not isinstance(bound, datetime.datetime):
                return False
            continue
        if node.kind == "date" and isinstance(bound, datetime.datetime):
            return False
        if node.kind == "time" and isinstance(bound, datetime.time):
            continue
        try:
            _ = _SAMPLES[node.kind] < bound
        except TypeError:
            return False
    return True


def check_constraints(node: Node, where: str) -> None:
    """Refuse a constraint that no part of the type can hold."""
    wanted = node.constraints
    members = node.members if isinstance(node, UnionNode) else (node,)
    for name in ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "patterns", "tz"):
        value = getattr(wanted, name)
        if value in (None, ()):
            continue
        single = Constraints(**{name: value})
        if not any(_fitting(m, single) for m in members):
            shown = "pattern" if name == "patterns" else name
            refuse(where, f"Meta({shown}=…) cannot hold for this type", _FIXES.get(shown, "give it to a type it fits"))


_FIXES = {
    **dict.fromkeys(
        ("gt", "ge", "lt", "le"),
        "bounds fit numbers, dates, times and durations, and must be of the field's own type (a Decimal or a date)",
    ),
    "multiple_of": "it fits int, float and Decimal",
    "min_length": "lengths fit str, bytes, lists, sets and dicts",
    "max_length": "lengths fit str, bytes, lists, sets and dicts",
    "pattern": "patterns fit str",
    "tz": "it fits datetime and time",
}
