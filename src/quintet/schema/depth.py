"""The limit of nesting, for types that have none themselves: recursive ones and `Any`."""

from __future__ import annotations

import re
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
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(v for v in cast("dict[Any, Any]", item).values() if isinstance(v, dict | list | tuple))
            elif isinstance(item, list | tuple):
                below.extend(v for v in cast("list[Any]", item) if isinstance(v, dict | list | tuple))
        if not below:
            return
        level = below
    raise TooDeep
