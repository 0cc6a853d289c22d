"""What the rows of a statement are: entities, single values, tuples or a structure, and which columns fill them."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON
from sqlalchemy.orm.context import _MapperEntity  # pyright: ignore[reportPrivateUsage]
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeDecorator

from quintet.db.queries.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import types as sa
    from sqlalchemy.orm import Mapper
    from sqlalchemy.sql.compiler import SQLCompiler

    from quintet.db.queries.define import QueryFunction

__all__ = ["Entity", "Shape", "Unsupported", "build_shape"]


class Unsupported(Exception):
    """A statement that SQLAlchemy has to run; the text says why."""


@dataclass(slots=True)
class Entity:
    """A mapped class among the results, and the column of each of its attributes."""

    mapper: Mapper[Any]
    attributes: dict[str, int]
    key: tuple[int, ...]


@dataclass(slots=True)
class Shape:
    """The results of a row in their order, each an entity or the index of a column."""

    items: list[Entity | int]
    types: list[sa.TypeEngine[Any]]
    names: list[str]
    #: With `into`: the field, the column's index and the type to convert to (or None) of each field that is filled.
    fields: list[tuple[str, int, Any]] | None = None

    @property
    def entities(self) -> list[Entity]:
        """The mapped classes among the results."""
        return [item for item in self.items if isinstance(item, Entity)]

    @property
    def text(self) -> str:
        """What a row becomes, for `quintet explain`."""
        if self.fields is not None:
            return f"fields {', '.join(name for name, _, _ in self.fields)}"
        parts = [i.mapper.class_.__name__ if isinstance(i, Entity) else self.names[i] for i in self.items]
        return ", ".join(parts) if parts else "no rows"


def build_shape(query: QueryFunction[..., Any], statement: Any, compiled: SQLCompiler) -> Shape:
    """Find out what a row becomes.

    Raises:
        QueryError: the columns do not fit the structure of `into`.
        Unsupported: SQLAlchemy has to load these results.
    """
    columns = compiled._result_columns  # pyright: ignore[reportPrivateUsage]
    if isinstance(statement, UpdateBase) and not statement._returning:  # pyright: ignore[reportPrivateUsage]
        if query.into is not None:
            raise QueryError(f"query {query.name}: into={query.into.__name__} needs .returning(…) on this statement")
        return Shape([], [], [])
    types = [entry.type for entry in columns]
    where: dict[Any, int] = {}
    for index, entry in enumerate(columns):
        for thing in entry.objects:
            where.setdefault(thing, index)
    state: Any = compiled.compile_state
    entities = getattr(state, "_entities", None) if state is not None else None
    if entities is None:
        items: list[Entity | int] = list(range(len(columns)))
        names = [str(entry.keyname) for entry in columns]
    else:
        items = [_item(entity, where) for entity in entities]
        names = _names(entities, items, len(columns))
    shape = Shape(items, types, names)
    if query.into is not None:
        shape.fields = _fields(query, query.into, _flat(items), names, types)
    elif shape.entities:
        for entity in shape.entities:
            _refuse_loading(entity.mapper)
    return shape


def _item(entity: Any, where: dict[Any, int]) -> Entity | int:
    if not isinstance(entity, _MapperEntity):
        column = getattr(entity, "_fetch_column", getattr(entity, "column", None))
        if column is None or column not in where:
            raise Unsupported(f"{type(entity).__name__.strip('_')} among its results")
        return where[column]
    mapper = entity.mapper
    if entity.is_aliased_class:
        raise Unsupported(f"an alias of {mapper.class_.__name__} among its results")
    attributes: dict[str, int] = {}
    for prop in mapper.column_attrs:
        found = next((where[c] for c in prop.columns if c in where), None)
        if found is None:
            raise Unsupported(f"{mapper.class_.__name__}.{prop.key} is loaded later")
        attributes[prop.key] = found
    key = tuple(where[c] for c in mapper.primary_key if c in where)
    return Entity(mapper, attributes, key)


def _names(entities: Sequence[Any], items: list[Entity | int], count: int) -> list[str]:
    names = [""] * count
    for entity, item in zip(entities, items, strict=True):
        if isinstance(item, Entity):
            for name, index in item.attributes.items():
                names[index] = name
        else:
            names[item] = str(getattr(entity, "_label_name", None) or "")
    return names


def _flat(items: list[Entity | int]) -> list[int]:
    return [i for item in items for i in (item.attributes.values() if isinstance(item, Entity) else (item,))]


def _refuse_loading(mapper: Mapper[Any]) -> None:
    name = mapper.class_.__name__
    if mapper.polymorphic_map or mapper.inherits is not None or mapper.with_polymorphic_mappers:
        raise Unsupported(f"{name} is part of an inheritance")
    eager = [r.key for r in mapper.relationships if r.lazy in ("joined", "selectin", "subquery", "immediate", False)]
    if eager:
        raise Unsupported(f"{name}.{eager[0]} is always loaded with its entity")
    if mapper.composites:
        raise Unsupported(f"{name} has composite attributes")
    if mapper.always_refresh or mapper.allow_partial_pks is False:
        raise Unsupported(f"{name} has options of mapping of its own")
    dispatch = mapper.class_manager.dispatch
    if dispatch.load or dispatch.refresh:
        raise Unsupported(f"{name} listens to the events `load` or `refresh`")


def _fields(
    query: QueryFunction[..., Any], into: type[Any], columns: list[int], names: list[str], types: Sequence[Any]
) -> list[tuple[str, int, Any]]:
    given = {names[index]: index for index in columns}
    hints = typing.get_type_hints(into, include_extras=True)
    fields = {name: name in required for required in (_required(into),) for name in _field_names(into)}
    problems: list[str] = []
    missing = [name for name, needed in fields.items() if needed and name not in given]
    if missing:
        problems.append(f"no column for {', '.join(missing)}; select it, label it so, or give the field a default")
    extra = [name or "(a column without a name; label it)" for name in given if name not in fields]
    if extra:
        problems.append(f"no field for the columns {', '.join(extra)}; drop them, or label them as fields")
    found: list[tuple[str, int, Any]] = []
    for name in fields:
        if name not in given:
            continue
        index = given[name]
        wrong, convert = _compare(hints.get(name, Any), types[index])
        if wrong:
            problems.append(f"{name}: the column holds {wrong}, the field {_type_name(hints[name])}")
        found.append((name, index, convert))
    if problems:
        raise QueryError(f"query {query.name} into {into.__name__} ({query.where}): " + "; ".join(problems))
    return found


def _field_names(into: type[Any]) -> list[str]:
    names = getattr(into, "__struct_fields__", None)
    if names is not None:
        return list(names)
    names = getattr(into, "__dataclass_fields__", None) or getattr(into, "_fields", None)
    if names is None:
        raise QueryError(f"into={into.__name__}: rows become a Struct, a dataclass or a NamedTuple")
    return list(names)


def _required(into: type[Any]) -> set[str]:
    if hasattr(into, "__struct_fields__"):
        import msgspec.structs

        return {f.name for f in msgspec.structs.fields(into) if f.required}
    if hasattr(into, "__dataclass_fields__"):
        import dataclasses

        absent = dataclasses.MISSING
        return {f.name for f in dataclasses.fields(into) if f.default is absent and f.default_factory is absent}
    return set(_field_names(into)) - set(getattr(into, "_field_defaults", {}))


def _compare(hint: Any, column: Any) -> tuple[str, Any]:
    """Return what is wrong with a column for a field, or the type that its values are converted to."""
    members = _members(hint)
    if isinstance(column, TypeDecorator):
        return "", None  # what it gives is its own business
    if not members or isinstance(column, JSON):
        # The text of JSON holds no types: a field with a structure gets one.
        return "", (hint if members and not members <= {dict, list, str, int, float, bool} else None)
    try:
        python: Any = column.python_type
    except NotImplementedError:
        return "", None
    if python in members or python is object:
        return "", None
    if any(issubclass(member, python) or issubclass(python, member) for member in members):
        # A column of int in a field of float, say; a bool is no number here.
        ok = not (python is bool) ^ (bool in members)
        return ("" if ok else python.__name__), None
    if python is int and float in members:
        return "", float
    return python.__name__, None


def _members(hint: Any) -> set[type]:
    """Return the classes a field accepts, without None; empty when anything goes."""
    if hint is Any or isinstance(hint, (str, typing.TypeVar)):
        return set()
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _members(typing.get_args(hint)[0])
    if origin is typing.Union or type(hint).__name__ == "UnionType":
        found = [_members(a) for a in typing.get_args(hint) if a is not type(None)]
        return set() if any(not f for f in found) else set[type]().union(*found)
    if origin is typing.Literal:
        return {type(a) for a in typing.get_args(hint)}
    kind = origin or hint
    supertype = getattr(kind, "__supertype__", None)
    if supertype is not None:
        return _members(supertype)
    return {kind} if isinstance(kind, type) else set()


def _type_name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)
