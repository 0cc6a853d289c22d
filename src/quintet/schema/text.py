"""Texts of paths, query strings, headers, cookies and forms to values.

The rules are ours, not msgspec's lax mode, and the same for every source:

| type | taken |
|---|---|
| `bool` | `true false on off 1 0`, in any case |
| `int` | canonical decimal digits, 64 bits: no `+5`, `005`, `1_0`, `1e3`, no spaces, ASCII only |
| `float` | a JSON number, `.5` too; never `nan` or `inf` |
| `Decimal` | the same without an exponent |
| `date`, `time` | `YYYY-MM-DD`, `HH:MM[:SS[.ffffff]][offset]` |
| `datetime` | RFC 3339, and what `<input type=datetime-local>` sends; never a bare number |
| `timedelta` | ISO 8601, such as `PT1H30M` |
| `UUID` | its canonical form, in any case |
| `bytes` | base64url, with or without padding |
| an enum or `Literal` | its value |
| a list, set or tuple | one or many values |

An empty text means that the value is missing, unless the type is `str`.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import re
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from .describe import describe
from .failures import TextError, TextMissing
from .messages import Fault, violations, wrong_type
from .nodes import ChoiceNode, ListNode, Node, ScalarNode, TupleNode, UnionNode, refuse, type_name

_MAX_NUMBER = 100

_FLOAT = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_DECIMAL = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)")
_DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_TIME = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})[0-9]{0,6})?)?(Z|z|[+-][0-9]{2}:[0-9]{2})?"
_date = re.compile(_DATE)
_time = re.compile(_TIME)
_datetime = re.compile(f"{_DATE}[Tt ]{_TIME}")
_uuid = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_base64url = re.compile(r"([A-Za-z0-9_-]*)={0,2}")

_BOOLS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def _bool(text: str) -> bool:
    return _BOOLS[text.lower()] if len(text) <= 5 else _BOOLS[""]


def _int(text: str) -> int:
    if len(text) > 20:
        raise ValueError(text[:20])
    value = int(text)
    if str(value) != text:
        raise ValueError(text)
    return value


def _number(text: str, grammar: re.Pattern[str]) -> str:
    if len(text) > _MAX_NUMBER or grammar.fullmatch(text) is None:
        raise ValueError(text[:_MAX_NUMBER])
    return text


def _parse_date(text: str) -> datetime.date:
    year, month, day = _groups(_date, text)
    return datetime.date(int(year), int(month), int(day))


def _parse_time(text: str) -> datetime.time:
    return _clock(_groups(_time, text))


def _parse_datetime(text: str) -> datetime.datetime:
    year, month, day, *clock = _groups(_datetime, text)
    return datetime.datetime.combine(datetime.date(int(year), int(month), int(day)), _clock(clock))


def _groups(grammar: re.Pattern[str], text: str) -> list[str]:
    found = grammar.fullmatch(text) if len(text) <= 48 else None
    if found is None:
        raise ValueError(text[:48])
    return list(found.groups())


def _clock(groups: list[str]) -> datetime.time:
    hour, minute, second, fraction, offset = groups
    micros = int((fraction or "0").ljust(6, "0"))
    return datetime.time(int(hour), int(minute), int(second or 0), micros, _offset(offset))


def _offset(text: str | None) -> datetime.timezone | None:
    if not text:
        return None
    if text in "Zz":
        return datetime.timezone.utc  # noqa: UP017  (the name that reads)
    hours, minutes = int(text[1:3]), int(text[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError(text)
    delta = datetime.timedelta(hours=hours, minutes=minutes)
    return datetime.timezone(-delta if text[0] == "-" else delta)


def _parse_timedelta(text: str) -> datetime.timedelta:
    if len(text) > 64 or not text.isascii():
        raise ValueError(text[:64])
    return msgspec.convert(text, datetime.timedelta)


def _parse_uuid(text: str) -> uuid.UUID:
    if _uuid.fullmatch(text) is None:
        raise ValueError(text[:40])
    return uuid.UUID(text)


def _parse_bytes(text: str) -> bytes:
    found = _base64url.fullmatch(text)
    if found is None:
        raise ValueError(text[:40])
    body = found[1]
    value = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    if base64.urlsafe_b64encode(value).rstrip(b"=").decode() != body:  # bits left over: not canonical
        raise ValueError(text[:40])
    return value


_PARSERS: dict[str, Callable[[str], Any]] = {
    "any": str,
    "bool": _bool,
    "int": _int,
    "float": lambda text: float(_number(text, _FLOAT)),
    "str": str,
    "bytes": _parse_bytes,
    "decimal": lambda text: decimal.Decimal(_number(text, _DECIMAL)),
    "date": _parse_date,
    "time": _parse_time,
    "datetime": _parse_datetime,
    "timedelta": _parse_timedelta,
    "uuid": _parse_uuid,
}

_PARSE_FAILURES = (ValueError, KeyError, ArithmeticError, msgspec.ValidationError, binascii.Error)


def build_text(node: Node, where: str = "", *, refuse_nul: bool = False) -> Callable[[str], Any]:  # noqa: RET503  (`refuse` raises)
    """Build the converter of one text that is not empty, or of any text for `str`; it raises `TextError`."""
    match node:
        case ScalarNode() if node.kind in _PARSERS:
            return _plain_int if node.kind == "int" and not node.constraints else _scalar(node, refuse_nul)
        case ChoiceNode():
            return _choice(node)
        case UnionNode():
            return _union(node, where, refuse_nul)
        case _:
            pass
    refuse(where or type_name(node), "this type cannot be written as one text", "send it in a body")


def error_of(fault: Fault) -> TextError:
    """Return the exception for a fault."""
    return TextError(fault.code, fault.msg, fault.ctx)


def _plain_int(text: str) -> int:
    if len(text) <= 20:
        try:
            value = int(text)
        except ValueError:
            pass
        else:
            if str(value) == text and -0x8000_0000_0000_0000 <= value <= 0x7FFF_FFFF_FFFF_FFFF:
                return value
    if len(text) > 18 and re.fullmatch(r"-?[1-9][0-9]*", text):
        raise TextError("int64", "The integer does not fit in 64 bits.")
    raise TextError("int", "Expected an integer.")


def _scalar(node: ScalarNode, refuse_nul: bool) -> Callable[[str], Any]:
    parse = _PARSERS[node.kind]
    checked = bool(node.constraints) or refuse_nul or node.kind in ("int", "float", "decimal")
    if node.kind in ("str", "any") and not checked:
        return str
    wrap = node.type if node.kind == "bytes" and node.type is not bytes else None

    def convert(text: str) -> Any:
        try:
            value = parse(text)
        except _PARSE_FAILURES:
            raise error_of(wrong_type(node)) from None
        if checked:
            for fault in violations(node, value, refuse_nul=refuse_nul):
                raise error_of(fault)
        return value if wrap is None else wrap(value)

    return convert


def _choice(node: ChoiceNode) -> Callable[[str], Any]:
    wrong = error_of(wrong_type(node))
    table: dict[str, Any] = {}
    for value in node.values:
        if value is not None:
            table.setdefault(_as_text(value), value if node.enum is None else node.enum(value))

    def convert(text: str) -> Any:
        try:
            return table[text]
        except KeyError:
            return other(text)

    def other(text: str) -> Any:
        """Ask `_missing_` of the enum, and let flags combine."""
        if node.enum is not None:
            try:
                return node.enum(_int(text) if isinstance(node.values[0], int) else text)
            except (ValueError, KeyError):
                pass
        raise TextError(wrong.code, wrong.msg, wrong.ctx) from None

    return convert


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str.__str__(value)
    return int.__repr__(value) if isinstance(value, int) else repr(value)


def _union(node: UnionNode, where: str, refuse_nul: bool) -> Callable[[str], Any]:
    # A string takes every text, so the other types are asked first.
    members = sorted(node.members, key=lambda m: isinstance(m, ScalarNode) and m.kind in ("str", "any"))
    converters = [build_text(m, where, refuse_nul=refuse_nul) for m in members]
    if len(converters) == 1:
        return converters[0]

    def convert(text: str) -> Any:
        for converter in converters:
            try:
                return converter(text)
            except TextError:
                continue
        raise error_of(wrong_type(node))

    return convert


def takes_empty(node: Node) -> bool:
    """Tell whether an empty text is a value of this type rather than a missing one."""
    if isinstance(node, ChoiceNode):
        return "" in node.values
    return isinstance(node, ScalarNode) and node.kind in ("str", "any")


class TextConverter:
    """How texts become values of one type.

    `one` converts one text, `many` every value that was given under a name. Both raise `TextError`; for an empty text
    where the type is not `str` they raise `TextMissing`: take the default, else None if `nullable`.
    """

    __slots__ = ("is_list", "many", "node", "nullable", "one")

    def __init__(self, node: Node, *, refuse_nul: bool, where: str) -> None:
        self.node: Node = node
        #: Whether None is a value of the type.
        self.nullable: bool = isinstance(node, UnionNode) and node.nullable
        inner = node.members[0] if isinstance(node, UnionNode) and len(node.members) == 1 else node
        #: Whether the type takes many values.
        self.is_list: bool = isinstance(inner, ListNode | TupleNode)
        #: Convert one text.
        self.one: Callable[[str], Any]
        #: Convert every text given under one name.
        self.many: Callable[[list[str]], Any]
        if isinstance(inner, ListNode | TupleNode):
            many = self.many = _many(inner, where, refuse_nul)
            self.one = lambda text: many([text])
        else:
            one = self.one = _present(node, build_text(node, where, refuse_nul=refuse_nul))
            self.many = _single(one)


def _present(node: Node, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    if takes_empty(node):
        return convert

    def present(text: str) -> Any:
        if not text:
            raise TextMissing
        return convert(text)

    return present


def _single(one: Callable[[str], Any]) -> Callable[[list[str]], Any]:
    def single(texts: list[str]) -> Any:
        if not texts:
            raise TextMissing
        if len(texts) > 1:
            raise TextError("type", "Expected one value.")
        return one(texts[0])

    return single


_MAKE: dict[str, Callable[[list[Any]], Any]] = {"list": list, "set": set, "frozenset": frozenset, "tuple": tuple}


def _many(node: ListNode | TupleNode, where: str, refuse_nul: bool) -> Callable[[list[str]], Any]:
    if isinstance(node, TupleNode):
        return _fixed(node, where, refuse_nul)
    convert = build_text(node.item, where, refuse_nul=refuse_nul)
    keep_empty = takes_empty(node.item)
    make = _MAKE[node.kind]

    def many(texts: list[str]) -> Any:
        out = make([convert(text) for text in texts if text or keep_empty])
        for fault in violations(node, out):
            raise error_of(fault)
        return out

    return many


def _fixed(node: TupleNode, where: str, refuse_nul: bool) -> Callable[[list[str]], Any]:
    converters = [_present(item, build_text(item, where, refuse_nul=refuse_nul)) for item in node.items]
    size = len(converters)

    def fixed(texts: list[str]) -> Any:
        if len(texts) != size:
            raise TextError("length", f"Expected {size} values.", {"min_length": size, "max_length": size})
        return tuple(convert(text) for convert, text in zip(converters, texts, strict=True))

    return fixed


def compile_text(tp: Any, *, refuse_nul: bool = False, where: str = "") -> TextConverter:
    """Make the converter of one path, query, header or cookie parameter.

    Raises:
        UnsupportedType: the type cannot be written as text, or as several texts.
    """
    return TextConverter(describe(tp, where=where), refuse_nul=refuse_nul, where=where)
