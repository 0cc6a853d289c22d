"""The route table: finds the route of a path without backtracking.

Paths without parameters are one dictionary lookup. Templates are grouped by shape (number of segments, positions of
the static ones); a path is tried against the few shapes of its length. A thousand routes cost what ten do.

Static segments win over parameters, leftmost first; among parameters the more specific converter wins
(uuid, date, enum, int, float, slug, str), and `{rest:path}` comes last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar, cast

from quintet.routing.path import Converter, Parameter, Template

E = TypeVar("E")

_DOTS = re.compile(r"/\.\.?(?:/|\Z)")


class Entry(NamedTuple, Generic[E]):
    """A template with its converters and what it leads to."""

    template: Template
    converters: tuple[Converter, ...]
    target: E


def _nothing(parts: list[str]) -> tuple[str, ...]:
    return ()


def _getter(positions: tuple[int, ...]) -> Callable[[list[str]], Any]:
    """Return what picks these segments: one as it is, several as a tuple."""
    if not positions:
        return _nothing
    return cast("Callable[[list[str]], Any]", itemgetter(*positions))


class _Candidate(NamedTuple, Generic[E]):
    single: bool
    #: Picks the parameters out of the segments.
    values: Callable[[list[str]], Any]
    #: Converters that the segments must fit.
    checks: tuple[tuple[int, re.Pattern[str]], ...]
    target: E
    weight: tuple[int, ...]
    template: Template

    def match(self, parts: list[str]) -> tuple[str, ...] | None:
        """Return the parameters of a path's segments, or None where one does not fit."""
        values = (self.values(parts),) if self.single else self.values(parts)
        if "" in values or any(pattern.match(parts[index]) is None for index, pattern in self.checks):
            return None
        return values


class _Shape(Generic[E]):
    __slots__ = ("by_key", "key", "length", "positions")

    def __init__(self, positions: tuple[int, ...], length: int) -> None:
        self.positions = positions
        self.length = length
        self.key = _getter(positions)
        self.by_key: dict[Any, list[_Candidate[E]]] = {}


def _specificity(shape: _Shape[Any]) -> tuple[int, ...]:
    """Return the key that sorts shapes: compared segment by segment, static comes first and the rest last."""
    return (*(0 if index in shape.positions else 1 for index in range(shape.length)), 2)


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
            shapes.sort(key=_specificity)
            for shape in shapes:
                for candidates in shape.by_key.values():
                    candidates.sort(key=lambda c: c.weight)
        for shapes in self._shapes.values():
            self._drop_checks(shapes)

    def _drop_checks(self, shapes: list[_Shape[E]]) -> None:
        """Leave to the handler what only it needs: a converter that its annotation implies, and no other route waits.

        PERF: a pattern costs 0.2 us, and the handler converts the text anyway.
        """
        if len(shapes) > 1 or self._rest:
            return
        for key, candidates in shapes[0].by_key.items():
            if len(candidates) == 1:
                explicit = {
                    index
                    for index, segment in enumerate(candidates[0].template.segments)
                    if isinstance(segment, Parameter) and segment.converter is not None
                }
                kept = tuple(check for check in candidates[0].checks if check[0] in explicit)
                shapes[0].by_key[key] = [candidates[0]._replace(checks=kept)]

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
        values = _getter(free)
        weight = tuple(c.weight for c in entry.converters)
        key = shape.key([s if isinstance(s, str) else "" for s in segments])
        shape.by_key.setdefault(key, []).append(
            _Candidate(len(free) == 1, values, checks, entry.target, weight, entry.template)
        )

    def find(self, path: str) -> tuple[E, tuple[str, ...]] | None:
        """Return the target of a decoded path and its parameters as text, or None."""
        target = self.static.get(path)
        if target is not None:
            return target, ()
        parts = path[1:].split("/")
        shapes = self._shapes.get(len(parts))
        if shapes is not None:
            for shape in shapes:
                for single, pick, checks, target, _, _ in shape.by_key.get(shape.key(parts), ()):
                    for index, pattern in checks:
                        if pattern.match(parts[index]) is None:
                            break
                    else:
                        values = (pick(parts),) if single else pick(parts)
                        if "" in values or ("/." in path and _DOTS.search(path)):
                            break
                        return target, values
        return next(self._rest_matches(parts), None) if self._rest else None

    def find_all(self, path: str) -> Iterator[tuple[E, tuple[str, ...]]]:
        """Yield every target that takes a decoded path, in the order of precedence; `find` returns the first."""
        target = self.static.get(path)
        if target is not None:
            yield target, ()
        parts = path[1:].split("/")
        if not _DOTS.search(path):
            for shape in self._shapes.get(len(parts), ()):
                for candidate in shape.by_key.get(shape.key(parts), ()):
                    values = candidate.match(parts)
                    if values is not None:
                        yield candidate.target, values
        yield from self._rest_matches(parts)

    def _rest_matches(self, parts: list[str]) -> Iterator[tuple[E, tuple[str, ...]]]:
        for shape in self._rest:
            if len(parts) > shape.length:
                for candidate in shape.by_key.get(shape.key(parts), ()):
                    values = candidate.match(parts)
                    if values is not None and "." not in values and ".." not in values:
                        yield candidate.target, (*values, "/".join(parts[shape.length :]))


def shape_of(template: Template, converters: tuple[Converter, ...]) -> tuple[Any, ...]:
    """Return what two templates must not share: their static segments and converter names, without parameter names."""
    names = iter(converters)
    return tuple(s if isinstance(s, str) else (next(names).name,) for s in template.segments)
