"""Rows of a driver to results: generated source for values and structures, the identity map for entities."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy.orm.attributes import instance_state

from quintet.db.queries.shape import Entity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.orm import Session

    from quintet.db.queries.shape import Shape

__all__ = ["Decode", "build_decode"]

#: Makes results of rows; a session (or None) gives entities their identity.
Decode = "Callable[[Sequence[Any], Session | None], list[Any]]"


def build_decode(
    shape: Shape, into: type[Any] | None, dialect: Dialect, column_types: Sequence[Any]
) -> Callable[[Sequence[Any], Session | None], list[Any]]:
    """Compile the decoder of a statement, once the driver's column types are known."""
    processors = [
        kind._cached_result_processor(dialect, code)  # pyright: ignore[reportPrivateUsage]
        for kind, code in zip(shape.types, column_types, strict=True)
    ]
    space: dict[str, Any] = {"new": into}
    for index, processor in enumerate(processors):
        if processor is not None:
            space[f"p{index}"] = processor

    def cell(index: int) -> str:
        return f"r[{index}]" if processors[index] is None else f"p{index}(r[{index}])"

    if shape.fields is not None:
        return _decode_structs(shape, space, cell)
    if not shape.entities:
        return _decode_values(shape, space, cell)
    return _decode_entities(shape, space, cell)


def _compile(body: str, space: dict[str, Any]) -> Any:
    exec(f"def decode(rows, session):\n    {body}\n", space)  # noqa: S102 - indexes and names of our own
    return space["decode"]


def _decode_structs(shape: Shape, space: dict[str, Any], cell: Callable[[int], str]) -> Any:
    fields = shape.fields or []
    parts: list[str] = []
    for number, (name, index, convert) in enumerate(fields):
        text = cell(index)
        if convert is not None:
            space[f"t{number}"] = convert
            space["convert"] = msgspec.convert
            text = f"convert({text}, t{number}, strict=False)"
        parts.append(f"{name}={text}")
    indexes = [index for _, index, _ in fields]
    names = [name for name, _, _ in fields]
    untouched = all(part == f"{name}=r[{index}]" for part, (name, index, _) in zip(parts, fields, strict=True))
    if untouched and indexes == list(range(len(shape.types))) and names == _positional(space["new"])[: len(names)]:
        return _compile("return [new(*r) for r in rows]", space)
    return _compile(f"return [new({', '.join(parts)}) for r in rows]", space)


def _positional(into: Any) -> list[str]:
    """Return the fields that may be given by position; those of a Struct with `kw_only` may not."""
    parameters = inspect.signature(into).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def _decode_values(shape: Shape, space: dict[str, Any], cell: Callable[[int], str]) -> Any:
    indexes = [item for item in shape.items if isinstance(item, int)]
    if len(indexes) == 1:
        return _compile(f"return [{cell(indexes[0])} for r in rows]", space)
    if indexes == list(range(len(shape.types))) and all(cell(i) == f"r[{i}]" for i in indexes):
        return _compile("return [tuple(r) for r in rows]", space)
    return _compile(f"return [({', '.join(map(cell, indexes))},) for r in rows]", space)


def _decode_entities(shape: Shape, space: dict[str, Any], cell: Callable[[int], str]) -> Any:
    loads: list[str] = []
    for number, item in enumerate(shape.items):
        if isinstance(item, Entity):
            space[f"load{number}"] = _compile_load(item, dict(space), cell)
            loads.append(f"load{number}(r, session, seen)")
        else:
            loads.append(cell(item))
    results = loads[0] if len(loads) == 1 else f"({', '.join(loads)})"
    return _compile(f"seen = {{}}\n    return [{results} for r in rows]", space)


def _compile_load(entity: Entity, space: dict[str, Any], cell: Callable[[int], str]) -> Any:
    """Compile what SQLAlchemy's `loading._instance` does for a plain entity.

    A known instance is returned as it is, and only attributes that are expired or were never loaded are filled in.
    """
    mapper = entity.mapper
    space["identity"] = mapper._identity_class  # pyright: ignore[reportPrivateUsage]
    space["create"] = mapper.class_manager.new_instance
    space["state_of"] = instance_state
    space["refresh"] = _refresh
    space["names"] = frozenset(entity.attributes)
    key = "".join(f"{cell(index)}, " for index in entity.key)
    values = ", ".join(f"{name!r}: {cell(index)}" for name, index in entity.attributes.items())
    null = " and ".join(f"r[{index}] is None" for index in entity.key)
    source = f"""
def load(r, session, seen):
    if {null}:
        return None
    key = (identity, ({key}), None)
    found = seen.get(key)
    if found is not None:
        return found
    if session is not None:
        found = session.identity_map.get(key)
        if found is not None:
            seen[key] = found
            state = state_of(found)
            if state.expired_attributes or not names <= found.__dict__.keys():
                refresh(state, found.__dict__, {{{values}}})
            return found
    found = seen[key] = create()
    found.__dict__.update({{{values}}})
    state = state_of(found)
    state.key = key
    if session is not None:
        state.session_id = session.hash_key
        session.identity_map._add_unpresent(state, key)
    return found
"""
    exec(source, space)  # noqa: S102 - indexes and names of our own
    return space["load"]


def _refresh(state: Any, attributes: dict[str, Any], values: dict[str, Any]) -> None:
    absent = [name for name in values if name not in attributes and name not in state.committed_state]
    if absent:
        for name in absent:
            attributes[name] = values[name]
        state._commit(attributes, absent)
