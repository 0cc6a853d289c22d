"""Values of settings: from the text of a variable, or the plain data of a TOML file, to the type of a field."""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import msgspec

from quintet.config.secret import Secret

T = TypeVar("T")

_TRUE = frozenset(("1", "true", "on", "yes"))
_FALSE = frozenset(("0", "false", "off", "no"))
_INT = re.compile(r"[+-]?[0-9]{1,19}")
_SECONDS = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,9})?")
_LISTS = (list, tuple, set, frozenset, Collection, Sequence)
_EXACT = (str, Secret)  # spaces around a text may be meant


class WrongValue(ValueError):
    """A value is not of its field's type; the text says what was expected."""


def from_text(text: str, tp: Any) -> Any:
    """Return the value of type `tp` that a variable's text stands for.

    Raises:
        WrongValue: it stands for none.
    """
    return _check(_shape_text(text if plain(tp) in _EXACT else text.strip(), tp), tp)


def from_data(value: Any, tp: Any) -> Any:
    """Return plain data, or values that have their type already, as a value of type `tp`.

    Raises:
        WrongValue: they cannot be one.
    """
    return _check(_shape_data(value, tp), tp)


def plain(tp: Any) -> Any:
    """Return a type without `Annotated`, names given to it and `None` beside it."""
    while True:
        if get_origin(tp) is Annotated:
            tp = get_args(tp)[0]
        elif hasattr(tp, "__supertype__"):  # NewType
            tp = tp.__supertype__
        elif hasattr(tp, "__value__"):  # type X = ...
            tp = tp.__value__
        else:
            members = _members(tp)
            if len(members) != 1 or members[0] is tp:
                return tp
            tp = members[0]


def holds_secret(tp: Any) -> bool:
    """Tell whether values of this type contain a `Secret`."""
    tp = plain(tp)
    return tp is Secret or any(holds_secret(arg) for arg in get_args(tp) if arg is not Ellipsis)


def describe(tp: Any) -> str:
    """Return what a text for this type must be, for people."""
    tp = plain(tp)
    if _is_choice(tp):
        return "one of " + ", ".join(repr(str(value)) for value in _choices(tp))
    if (get_origin(tp) or tp) in _LISTS:
        return "a list, separated by commas or in JSON"
    if len(_members(tp)) > 1:
        return " or ".join(describe(member) for member in _members(tp))
    known = {
        bool: "true or false (on, off, 1, 0)",
        int: "a whole number",
        float: "a number",
        timedelta: "a duration in seconds or ISO 8601, such as 30 or PT30S",
        Path: "a path",
        Secret: "a text",
        str: "a text",
    }
    return known.get(tp) or f"a value of type {getattr(tp, '__name__', tp)}"


def _members(tp: Any) -> list[Any]:
    if get_origin(tp) in (Union, types.UnionType):
        return [arg for arg in get_args(tp) if arg is not type(None)]
    return [tp]


def _shape_text(text: str, tp: Any) -> Any:
    tp = plain(tp)
    origin = get_origin(tp) or tp
    if origin in (Union, types.UnionType):
        return _first_member(text, tp)
    if tp in _EXACT or (isinstance(tp, type) and issubclass(tp, PurePath)):
        return text
    if _is_choice(tp):
        for value in _choices(tp):
            if str(value) == text:
                return value
        raise WrongValue(f"expected {describe(tp)}")
    if tp in _SCALARS:
        return _SCALARS[tp](text)
    if origin in _LISTS:
        return _shape_list(text, tp)
    return _read_json(text) if text[:1] in ("{", "[") else text


def _first_member(text: str, tp: Any) -> Any:
    # Text fits `str` always, so it is tried last.
    for member in sorted(_members(tp), key=lambda member: plain(member) is str):
        try:
            return from_text(text, member)
        except WrongValue:
            continue
    raise WrongValue("expected " + " or ".join(describe(member) for member in _members(tp)))


def _shape_list(text: str, tp: Any) -> list[Any]:
    if text.startswith("["):
        return _shape_data(_read_json(text), tp)
    items = [stripped for item in text.split(",") if (stripped := item.strip())]
    return [_shape_text(item, member) for item, member in _with_types(items, tp)]


def _shape_data(value: Any, tp: Any) -> Any:
    tp = plain(tp)
    if tp is timedelta and isinstance(value, int | float) and not isinstance(value, bool):
        return _duration(value)
    if isinstance(value, list) and (get_origin(tp) or tp) in _LISTS:
        return [_shape_data(item, member) for item, member in _with_types(cast("list[Any]", value), tp)]
    return cast("Any", value)


def _with_types(items: list[T], tp: Any) -> list[tuple[T, Any]]:
    """Return the members of a list, each with its type."""
    args = get_args(tp)
    if get_origin(tp) is tuple and Ellipsis not in args:
        if len(items) != len(args):
            raise WrongValue(f"expected {len(args)} values, got {len(items)}")
        return list(zip(items, args, strict=True))
    return [(item, args[0] if args else str) for item in items]


def _check(value: Any, tp: Any) -> Any:
    try:
        return msgspec.convert(value, tp, dec_hook=_convert_own)
    except (msgspec.ValidationError, RecursionError, TypeError) as exc:
        raise WrongValue(str(exc)[:1].lower() + str(exc)[1:]) from None


def _convert_own(tp: Any, value: Any) -> Any:
    if isinstance(value, tp):
        return value
    if isinstance(value, str) and (tp is Secret or issubclass(tp, PurePath)):
        if "\0" in value and tp is not Secret:
            raise ValueError("expected a path without NUL")
        return tp(value)
    raise ValueError(f"expected {describe(tp)}, got {type(value).__name__}")


def _bool(text: str) -> bool:
    folded = text.lower()
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    raise WrongValue(f"expected {describe(bool)}")


def _int(text: str) -> int:
    if _INT.fullmatch(text) is None:
        raise WrongValue(f"expected {describe(int)}")
    return int(text)


def _float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise WrongValue(f"expected {describe(float)}")
    return value


def _duration(value: str | float) -> Any:
    if isinstance(value, str) and _SECONDS.fullmatch(value) is None:
        return value  # ISO 8601, which msgspec reads
    try:
        return timedelta(seconds=float(value))
    except (OverflowError, ValueError):
        raise WrongValue(f"expected {describe(timedelta)}") from None


_SCALARS: dict[Any, Callable[[str], Any]] = {bool: _bool, int: _int, float: _float, timedelta: _duration}


def _is_choice(tp: Any) -> bool:
    return get_origin(tp) is Literal or (isinstance(tp, type) and issubclass(tp, Enum))


def _choices(tp: Any) -> list[Any]:
    if get_origin(tp) is Literal:
        return list(get_args(tp))
    return [member.value for member in cast("type[Enum]", tp)]


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise WrongValue("expected JSON, as it begins with a bracket") from None
