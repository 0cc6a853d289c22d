"""The limit of nesting, for types that have none themselves: recursive ones and `Any`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

from .failures import TooDeep

#: Arrays and objects inside each other, at most.
MAX_DEPTH = 100

_STRUCTURE = re.compile(rb'"(?:[^"\\]+|\\.)*"?|[\[\]{}]', re.DOTALL)


def check_json_depth(raw: bytes) -> None:
    """Raise `TooDeep` for JSON text nested deeper than `MAX_DEPTH`; other faults are the decoder's to find."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:  # the usual case: not even that many brackets
        return
    depth = 0
    for match in _STRUCTURE.finditer(raw):
        start = raw[match.start()]
        if start in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise TooDeep
        elif start in b"]}":
            depth -= 1


def check_depth(value: Any) -> None:
    """Raise `TooDeep` for lists and dicts nested deeper than `MAX_DEPTH`."""
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        level = [part for item in level for part in _containers(_parts(item))]
        if not level:
            return
    raise TooDeep


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list | tuple)]


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[Any, Any]", value).values()
    return cast("list[Any]", value)
