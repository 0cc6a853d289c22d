"""The route table: finds the route of a path without backtracking.

Paths without parameters are one dictionary lookup. Templates are grouped by shape (number of segments, positions of
the static ones); a path is tried against the few shapes of its length. A thousand routes cost what ten do.

Static segments win over parameters, leftmost first; among parameters the more specific converter wins
(uuid, date, enum, int, float, slug, str), and `{rest:path}` comes last.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from quintet.routing.path import Converter, Template

E = TypeVar("E")

_DOTS = re.compile(r"/\.\.?(?:/|\Z)")


class Entry(NamedTuple, Generic[E]):
    """A template with its converters and what it leads to."""

    template: Template
    converters: tuple[Converter, ...]
    target: E


def _key_getter(positions: tuple[int, ...]) -> Callable[[list[str]], Any]:
    return itemgetter(*positions) if positions else lambda parts: ()


class _Candidate(NamedTuple, Generic[E]):
    values: Callable[[list[str]], Any]
    single: bool
    checks: tuple[tuple[int, re.Pattern[str]], ...]
    weight: tuple[int, ...]
    target: E


class _Shape(Generic[E]):
    __slots__ = ("by_key", "key", "length", "positions")

    def __init__(self, positions: tuple[int, ...], length: int) -> None:
        self.positions = positions
        self.length = length
        self.key = _key_getter(positions)
        self.by_key: dict[Any, list[_Candidate[E]]] = {}


class RouteTable(Generic[E]):
    """Finds the target of a path.

    Args:
        entries: templates that are distinct; see `conflicts` for how that is checked.
    """

    def __init__(self, entries: list[Entry[E]]) -> None:
        #: Targets of paths without parameters.
        self.static: dict[str, E] = {}
        self._shapes: dict[int, list[_Shape[E]]] = {}
        self._rest: list[_Shape[E]] = []
        for entry in entries:
            if entry.template.parameters:
                self._add(entry)
            else:
                self.static[entry.template.text] = entry.target
        for shapes in [*self._shapes.values(), self._rest]:
            shapes.sort(key=lambda s: (-s.length, s.positions == (), s.positions))
            for shape in shapes:
                for candidates in shape.by_key.values():
                    candidates.sort(key=lambda c: c.weight)

    def _add(self, entry: Entry[E]) -> None:
        segments = entry.template.segments
        rest = entry.template.has_rest
        length = len(segments) - rest
        positions = tuple(i for i, s in enumerate(segments) if isinstance(s, str))
        shapes = self._rest if rest else self._shapes.setdefault(length, [])
        shape = next((s for s in shapes if s.positions == positions and s.length == length), None)
        if shape is None:
            shape = _Shape[E](positions, length)
            shapes.append(shape)
        free = tuple(i for i in range(length) if i not in positions)
        checks = tuple((i, c.pattern) for i, c in zip(free, entry.converters, strict=False) if c.pattern is not None)
        values = itemgetter(*free) if free else lambda parts: ()
        weight = tuple(c.weight for c in entry.converters)
        key = shape.key([s if isinstance(s, str) else "" for s in segments])
        shape.by_key.setdefault(key, []).append(_Candidate(values, len(free) == 1, checks, weight, entry.target))

    def find(self, path: str) -> tuple[E, tuple[str, ...]] | None:
        """Return the target of a decoded path and its parameters as text, or None."""
        target = self.static.get(path)
        if target is not None:
            return target, ()
        parts = path[1:].split("/")
        shapes = self._shapes.get(len(parts))
        if shapes is not None:
            for shape in shapes:
                candidates = shape.by_key.get(shape.key(parts))
                if candidates is not None:
                    for c in candidates:
                        for index, pattern in c.checks:
                            if pattern.match(parts[index]) is None:
                                break
                        else:
                            values = (c.values(parts),) if c.single else c.values(parts)
                            if "" in values or ("/." in path and _DOTS.search(path)):
                                break
                            return c.target, values
        return self._find_rest(path, parts) if self._rest else None

    def _find_rest(self, path: str, parts: list[str]) -> tuple[E, tuple[str, ...]] | None:
        for shape in self._rest:
            length = shape.length
            if len(parts) <= length:
                continue
            for c in shape.by_key.get(shape.key(parts), ()):
                values = (c.values(parts),) if c.single else c.values(parts)
                if "" in values or "." in values or ".." in values:
                    continue
                if all(pattern.match(parts[index]) for index, pattern in c.checks):
                    return c.target, (*values, "/".join(parts[length:]))
        return None


def shape_of(template: Template, converters: tuple[Converter, ...]) -> tuple[Any, ...]:
    """Return what two templates must not share: their static segments and converter names, without parameter names."""
    names = iter(converters)
    return tuple(s if isinstance(s, str) else (next(names).name,) for s in template.segments)
