"""Values made up for a type: valid by its constraints, and the same for the same seed."""

from __future__ import annotations

import datetime
import math
import re
import string
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from random import Random
from typing import Any

from quintet.schema.nodes import (
    ChoiceNode,
    Constraints,
    DictNode,
    ListNode,
    Node,
    ObjectNode,
    ScalarNode,
    TupleNode,
    UnionNode,
)

#: How far from a bound values are looked for.
SPAN = 1000
#: The moment around which dates are made up.
EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class NoValue(ValueError):
    """No value could be made up for a type."""


def make_value(node: Node, name: str, number: int, random: Random) -> Any:
    """Return a value of a described type.

    Args:
        node: the type.
        name: what it is called; texts begin with it.
        number: different for values that must be.
        random: where chance comes from.

    Raises:
        NoValue: the type is too free or too narrow to make one up.
    """
    match node:
        case UnionNode():
            return make_value(node.members[0], name, number, random)
        case ChoiceNode():
            value = random.choice(node.values)
            return node.enum(value) if node.enum is not None else value
        case ListNode():
            few = range(node.constraints.min_length or 0)
            items = [make_value(node.item, name, number + n, random) for n in few]
            return {"list": list, "set": set, "frozenset": frozenset, "tuple": tuple}.get(node.kind, list)(items)
        case DictNode() if not node.constraints.min_length:
            return {}
        case TupleNode():
            return tuple(make_value(item, name, number, random) for item in node.items)
        case ObjectNode():
            fields = {f.name: make_value(f.node, f.name, number, random) for f in node.fields if f.required}
            return node.cls(**fields)
        case ScalarNode():
            make = _SCALARS.get(node.kind)
            if make is not None:
                return make(node.constraints, name, number, random)
        case _:
            pass
    raise NoValue("its type says too little")


def _text(limits: Constraints, name: str, number: int, random: Random) -> str:
    low, high = limits.min_length or 0, limits.max_length
    if limits.patterns:
        return text_like(limits.patterns, low, high, random)
    if "email" in name:
        text = f"{name}{number}@example.com"
    else:
        text = f"{name.replace('_', ' ').capitalize()} {number}"
    if high is not None and len(text) > high:
        text = str(number)[-high:] if high < len(str(number)) + 1 else text[: high - len(str(number))] + str(number)
    return text.ljust(low, "x")


def _steps(limits: Constraints, unit: Fraction) -> tuple[int, int]:
    """Return the first and the last multiple of a unit that the limits let through."""
    low = max(
        (math.ceil(Fraction(limits.ge) / unit) if limits.ge is not None else -math.inf),
        (math.floor(Fraction(limits.gt) / unit) + 1 if limits.gt is not None else -math.inf),
    )
    high = min(
        (math.floor(Fraction(limits.le) / unit) if limits.le is not None else math.inf),
        (math.ceil(Fraction(limits.lt) / unit) - 1 if limits.lt is not None else math.inf),
    )
    near = max(1, int(SPAN / unit))
    if low < 1 <= high:
        low = 1  # a number that looks like one
    elif low == -math.inf:
        low = high - near if high != math.inf else 1
    high = min(high, low + near)
    if low > high:
        raise NoValue("no number is between its limits")
    return int(low), int(high)


def _whole(limits: Constraints, name: str, number: int, random: Random) -> int:
    unit = int(limits.multiple_of or 1)
    low, high = _steps(limits, Fraction(unit))
    return (low + (number - 1) % (high - low + 1)) * unit


def _decimal(limits: Constraints, name: str, number: int, random: Random) -> Decimal:
    unit = Decimal(str(limits.multiple_of or "0.01"))
    return random.randint(*_steps(limits, Fraction(unit))) * unit


def _fraction(limits: Constraints, name: str, number: int, random: Random) -> float:
    unit = Fraction(limits.multiple_of or Fraction(1, 1024))
    return float(random.randint(*_steps(limits, unit)) * unit)


def _moment(limits: Constraints, name: str, number: int, random: Random) -> datetime.datetime:
    moment = _after(limits, EPOCH, datetime.timedelta(seconds=number))
    return moment.replace(tzinfo=None) if limits.tz is False else moment


def _date(limits: Constraints, name: str, number: int, random: Random) -> datetime.date:
    return _after(limits, EPOCH.date(), datetime.timedelta(days=number))


def _after(limits: Constraints, usual: Any, step: datetime.timedelta) -> Any:
    low = limits.ge if limits.ge is not None else limits.gt
    high = limits.le if limits.le is not None else limits.lt
    if low is not None:
        return low + step
    return high - step if high is not None else usual + step


_SCALARS: dict[str, Callable[[Constraints, str, int, Random], Any]] = {
    "str": _text,
    "int": _whole,
    "float": _fraction,
    "decimal": _decimal,
    "datetime": _moment,
    "date": _date,
    "bool": lambda limits, name, number, random: random.random() < 0.5,
    "time": lambda limits, name, number, random: (EPOCH + datetime.timedelta(seconds=number)).time(),
    "timedelta": lambda limits, name, number, random: datetime.timedelta(seconds=number),
    "uuid": lambda limits, name, number, random: uuid.UUID(int=random.getrandbits(128), version=4),
    "bytes": lambda limits, name, number, random: (
        number.to_bytes(8, "big")[-(limits.max_length or 8) :].rjust(limits.min_length or 0, b"x")
    ),
    "any": lambda limits, name, number, random: {},
}  # fmt: skip

# -- texts by pattern -------------------------------------------------------------------------------------------------

_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_lowercase + string.digits,
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_SPACE": string.ascii_lowercase,
    "CATEGORY_NOT_DIGIT": string.ascii_lowercase,
    "CATEGORY_NOT_WORD": "-",
}
_USUAL = string.ascii_lowercase + string.digits + string.ascii_uppercase + "-_. "


def text_like(patterns: Sequence[str], low: int, high: int | None, random: Random) -> str:
    """Return a text in which all patterns are found, of a length between two; it is made for the first pattern.

    Raises:
        NoValue: none was found.
    """
    parser: Any = import_module("re._parser")  # there is no public one
    parsed: list[tuple[Any, Any]] = list(parser.parse(patterns[0]))
    wanted = max(low, min(8, high if high is not None else 8))
    for more in range(40):
        text = "".join(_part(op, value, random, wanted + more % 8) for op, value in parsed)
        if low <= len(text) <= (high if high is not None else len(text)) and all(re.search(p, text) for p in patterns):
            return text
    raise NoValue(f"no text was found for {' and '.join(map(repr, patterns))}")


def _part(op: Any, value: Any, random: Random, wanted: int) -> str:
    match str(op):
        case "LITERAL":
            return chr(value)
        case "NOT_LITERAL":
            return random.choice([c for c in string.ascii_lowercase if c != chr(value)])
        case "ANY":
            return random.choice(string.ascii_lowercase)
        case "IN":
            return random.choice(_choices(value))
        case "CATEGORY":
            return random.choice(_CATEGORIES.get(str(value), string.ascii_lowercase))
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, inner = value
            count = min(int(most), max(least, wanted))
            return "".join(_part(o, v, random, 1) for _ in range(count) for o, v in inner)
        case "SUBPATTERN":
            return "".join(_part(o, v, random, wanted) for o, v in value[-1])
        case "BRANCH":
            return "".join(_part(o, v, random, wanted) for o, v in random.choice(value[1]))
        case _:
            return ""  # anchors and assertions stand for no character; the result is checked


def _choices(items: Any) -> str:
    negated = str(items[0][0]) == "NEGATE"
    found: list[str] = []
    for op, value in items[1:] if negated else items:
        match str(op):
            case "LITERAL":
                found.append(chr(value))
            case "RANGE":
                found += map(chr, range(value[0], min(value[1], value[0] + 200) + 1))
            case "CATEGORY":
                found += _CATEGORIES.get(str(value), string.ascii_lowercase)
            case _:
                pass
    if negated:
        found = [c for c in _USUAL if c not in found] or ["é"]
    letters = [c for c in found if c.isalnum()]  # a text of hyphens alone fits, and looks like nothing
    return "".join(letters or found)
