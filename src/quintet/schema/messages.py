"""The sentence and the code of each thing that can be wrong with a value.

Values are never echoed: they may be secrets or markup. Allowed values are listed when they are few and short.
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections.abc import Generator
from functools import lru_cache
from typing import Any, NamedTuple

from .nodes import (
    ChoiceNode,
    Constraints,
    DictNode,
    ListNode,
    Node,
    ObjectNode,
    ScalarNode,
    TupleNode,
    UnionNode,
    type_name,
)
from .residual import MAX_EXPONENT, int_limits, is_multiple

#: Lists of allowed values longer than this are not shown.
_MAX_SHOWN = 20
_MAX_SHOWN_LENGTH = 40


class Fault(NamedTuple):
    """One thing wrong with one value."""

    code: str
    msg: str
    ctx: dict[str, Any] | None = None


MISSING = Fault("missing", "This field is required.")
UNKNOWN = Fault("unknown_field", "This field is not known.")
TOO_DEEP = Fault("too_deep", "This value is wrong; it is nested too deeply to say more.")
NUL = Fault("nul", "The text must not hold a NUL character.")

_SCALARS: dict[str, tuple[str, str]] = {
    "any": ("type", "a value"), "raw": ("type", "a value"), "none": ("type", "null"),
    "bool": ("bool", "true or false"), "int": ("int", "an integer"), "float": ("float", "a number"),
    "str": ("type", "a string"), "bytes": ("base64", "base64 text"), "decimal": ("decimal", "a decimal number"),
    "date": ("date", "a date as YYYY-MM-DD"), "time": ("time", "a time as HH:MM:SS"),
    "datetime": ("datetime", "a date and time as YYYY-MM-DDTHH:MM:SS, with an offset or Z if it has one"),
    "timedelta": ("duration", "an ISO 8601 duration such as PT1H30M"), "uuid": ("uuid", "a UUID"),
}  # fmt: skip


def wrong_type(node: Node) -> Fault:
    """Say what was expected."""
    match node:
        case ScalarNode():
            code, expected = _SCALARS[node.kind]
            return Fault(code, f"Expected {expected}.")
        case ChoiceNode():
            return _wrong_choice(node)
        case ListNode() | TupleNode():
            return Fault("type", "Expected a list.", {"expected": "list"})
        case DictNode():
            return Fault("type", "Expected an object.", {"expected": "object"})
        case ObjectNode():
            name = type_name(node)
            return Fault("type", f"Expected {'an' if name == 'object' else 'a'} {name}.", {"expected": name})
        case UnionNode() if type_name(node) in ("object", "list"):
            return wrong_type(node.members[0])
        case _:
            return Fault("union", f"Expected {type_name(node)}.", {"expected": type_name(node)})


def _wrong_choice(node: ChoiceNode) -> Fault:
    code = "enum" if node.enum is not None else "literal"
    shown = list(node.values)
    if len(shown) > _MAX_SHOWN or any(isinstance(v, str) and len(v) > _MAX_SHOWN_LENGTH for v in shown):
        return Fault(code, "This value is not one of the allowed ones.")
    listed = ", ".join("null" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in shown)
    return Fault(code, f"Expected one of: {listed}.", {"expected": [_plain(v) for v in shown]})


def _plain(value: Any) -> Any:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


_BOUNDS = {
    "gt": "The value must be greater than {}.",
    "ge": "The value must be at least {}.",
    "lt": "The value must be less than {}.",
    "le": "The value must be at most {}.",
}


def violations(node: Node, value: Any, *, refuse_nul: bool = False) -> Generator[Fault]:
    """Yield each constraint of `node` that a value of the right type is against."""
    c = node.constraints
    if isinstance(node, ScalarNode):
        if node.kind == "int":
            yield from _int64(c, value)
        elif node.kind == "float" and value - value != 0:
            yield Fault("finite", "The number must be finite.")
            return
        elif node.kind == "decimal" and not (value.is_finite() and -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT):
            yield Fault("finite", "The number must be finite and of a usable size.")
            return
        elif node.kind == "str" and refuse_nul and "\0" in value:
            yield NUL
        if c.tz is not None and node.kind in ("datetime", "time") and (value.tzinfo is not None) != c.tz:
            msg = "The time needs an offset or Z." if c.tz else "The time must not have an offset."
            yield Fault(node.kind, msg, {"tz": c.tz})
            return
        yield from _bounds(c, value)
        yield from _patterns(node, value)
    if c.sized:
        yield from _lengths(node, value)


def _int64(c: Constraints, value: int) -> Generator[Fault]:
    low, high = int_limits(c)
    if (low is not None and value < low) or (high is not None and value > high):
        yield Fault("int64", "The integer does not fit in 64 bits.")


def _bounds(c: Constraints, value: Any) -> Generator[Fault]:
    for name, ok in (
        ("gt", c.gt is None or value > c.gt),
        ("ge", c.ge is None or value >= c.ge),
        ("lt", c.lt is None or value < c.lt),
        ("le", c.le is None or value <= c.le),
    ):
        if not ok:
            bound = getattr(c, name)
            yield Fault(name, _BOUNDS[name].format(_written(bound)), {name: bound})
    if c.multiple_of is not None and not is_multiple(value, c.multiple_of):
        msg = f"The value must be a multiple of {_written(c.multiple_of)}."
        yield Fault("multiple_of", msg, {"multiple_of": c.multiple_of})


def _written(bound: Any) -> str:
    if isinstance(bound, datetime.date | datetime.time):
        return bound.isoformat()
    return f"{bound:f}" if isinstance(bound, decimal.Decimal) else str(bound)


def _patterns(node: ScalarNode, value: Any) -> Generator[Fault]:
    for pattern in node.constraints.patterns:
        if _compiled(pattern).search(value) is None:
            yield Fault("pattern", _pattern_message(node))
            return


def _pattern_message(node: ScalarNode) -> str:
    """Tell the rule in the words of the Meta; the regular expression itself is not shown."""
    extra = node.notes.extra_json_schema or {}
    words = extra.get("x-message") or node.notes.description or node.notes.title
    return str(words) if words else "The text does not have the expected form."


_compiled = lru_cache(maxsize=1024)(re.compile)


def _lengths(node: Node, value: Any) -> Generator[Fault]:
    c, size = node.constraints, len(value)
    unit = {"str": "character", "bytes": "byte"}.get(getattr(node, "kind", ""), "item")
    if c.min_length is not None and size < c.min_length:
        msg = f"At least {_count(c.min_length, unit)} must be given."
        yield Fault("min_length", msg, {"min_length": c.min_length})
    if c.max_length is not None and size > c.max_length:
        msg = f"At most {_count(c.max_length, unit)} may be given."
        yield Fault("max_length", msg, {"max_length": c.max_length})


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
