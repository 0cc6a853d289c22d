"""Filters: which conditions a query string may ask for, typed by their columns, and what SQL they become.

Only what a resource declares is a parameter; values are bound, and text is matched as it is written.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, Union, cast, get_args, get_origin

import sqlalchemy as sa
from msgspec import Meta
from sqlalchemy.orm import QueryableAttribute, RelationshipProperty

from quintet.db.columns import options_of
from quintet.db.hints import without_none
from quintet.db.shapes import columns_of, type_of
from quintet.db.types import STORABLE

#: What a filter can ask of a column.
Operator: TypeAlias = Literal["eq", "ne", "lt", "lte", "gt", "gte", "in", "is_null", "contains", "startswith"]
#: The operators, for messages and checks.
OPERATORS: tuple[str, ...] = get_args(Operator)

#: The most values that `in` takes.
MAX_VALUES = 100
#: The longest text that is searched for.
MAX_TEXT = 200

_EXACT = ("eq", "in")
_ORDERED = ("lt", "lte", "gt", "gte")


@dataclass(frozen=True, slots=True)
class Filter:
    """One parameter of the query string."""

    #: The name in the query string: `author_id`, `published_at__gte`.
    parameter: str
    #: The column's name, for people.
    field: str
    operator: str
    #: The type of its value.
    type: Any
    #: Makes the condition of a value.
    condition: Callable[[Any], sa.ColumnElement[bool]]


def scalar_of(tp: Any) -> Any:
    """Return a column's type as a filter takes it: without None, and without rules that stored rows need not meet."""
    tp = without_none(tp)
    while get_origin(tp) is Annotated:
        tp = without_none(get_args(tp)[0])
    return getattr(tp, "__value__", tp) if type(tp).__name__ == "TypeAliasType" else tp


def is_sortable(column: sa.Column[Any]) -> bool:
    """Tell whether a column's values have an order that a page can go by."""
    return not isinstance(column.type, (sa.JSON, sa.ARRAY, sa.LargeBinary, sa.PickleType)) and not _is_json(column.type)


def _is_json(kind: Any) -> bool:
    return isinstance(kind, sa.types.TypeDecorator) and isinstance(kind.impl_instance, sa.JSON)


def value_type(column: sa.Column[Any], tp: Any) -> Any:
    """Return the type of a filter's value: what the column can be compared with."""
    bare = scalar_of(tp)
    if bare is datetime.datetime:
        return Annotated[datetime.datetime, STORABLE["datetime"], Meta(tz=True)]
    if bare is datetime.time:
        return Annotated[datetime.time, STORABLE["time"]]
    if bare is datetime.timedelta:
        return Annotated[datetime.timedelta, STORABLE["timedelta"]]
    if bare is int and type(column.type) is sa.Integer:
        return Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
    if bare is str:
        return Annotated[str, Meta(max_length=MAX_TEXT)]
    return bare


def default_operators(column: sa.Column[Any], tp: Any) -> tuple[str, ...]:
    """Return the operators of a filter that names none."""
    bare = scalar_of(tp)
    found: list[str] = list(_EXACT)
    is_plain = isinstance(bare, type) and not isinstance(column.type, sa.Enum)
    if is_plain and bare not in (str, bool) and not column.foreign_keys and not column.primary_key:
        found += _ORDERED
    if column.nullable:
        found.append("is_null")
    return tuple(found)


class FilterProblem(Exception):
    """A declaration that cannot be; its text says why, and how to write it."""


def build_filters(model: type[Any], declared: Sequence[str] | Mapping[str, Sequence[str]]) -> list[Filter]:
    """Return the filters of a resource.

    Raises:
        FilterProblem: a name that is no column or relation, a private column, an operator that does not fit.
    """
    found: list[Filter] = []
    operators = declared if isinstance(declared, Mapping) else dict.fromkeys(declared, ())
    for name, wanted in operators.items():
        chosen = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        found += _filters_of(model, name, chosen)
    return found


def _filters_of(model: type[Any], name: str, wanted: tuple[str, ...]) -> list[Filter]:
    relation: Any = model.__mapper__.relationships.get(name)
    if relation is not None:
        if relation.direction.name == "MANYTOONE" and len(relation.local_columns) == 1:
            column: Any = next(iter(relation.local_columns))
            return _filters_of(model, model.__mapper__.get_property_by_column(column).key, wanted)
        return _of_relation(model, name, relation, wanted)
    column = public_column(model, name, "filter by")
    tp = type_of(model, name, column)
    value = value_type(column, tp)
    attribute: QueryableAttribute[Any] = getattr(model, name)
    found: list[Filter] = []
    for operator in wanted or default_operators(column, tp):
        _check(operator, name, scalar_of(tp), column)
        parameter = name if operator == "eq" else f"{name}__{operator}"
        found.append(Filter(parameter, name, operator, _type_of(operator, value), _condition(operator, attribute)))
    return found


def _of_relation(
    model: type[Any], name: str, relation: RelationshipProperty[Any], wanted: tuple[str, ...]
) -> list[Filter]:
    """Return the filters of a relation to many: rows of which one has this key."""
    target: Any = relation.mapper.class_
    keys = relation.mapper.primary_key
    if len(keys) != 1:
        raise FilterProblem(f"{name!r} leads to rows with a key of {len(keys)} columns")
    key = relation.mapper.get_property_by_column(keys[0]).key
    attribute: Any = getattr(model, name)
    other: Any = getattr(target, key)
    column: Any = keys[0]
    value = value_type(column, type_of(target, key, column))
    found: list[Filter] = []
    for operator in wanted or _EXACT:
        if operator not in _EXACT:
            raise FilterProblem(f"{name!r} is a relation to many, which has the operators eq and in, not {operator!r}")
        condition = _condition(operator, other)
        parameter = name if operator == "eq" else f"{name}__{operator}"

        def having(v: Any, condition: Any = condition) -> sa.ColumnElement[bool]:
            return attribute.any(condition(v)) if relation.uselist else attribute.has(condition(v))

        found.append(Filter(parameter, name, operator, _type_of(operator, value), having))
    return found


def public_column(model: type[Any], name: str, purpose: str) -> sa.Column[Any]:
    """Return a column that everyone may see.

    Raises:
        FilterProblem: there is none of this name, or it is private.
    """
    columns = columns_of(model)
    public = [n for n, (_, c) in columns.items() if not options_of(c).private]
    if name not in columns:
        raise FilterProblem(f"{model.__name__} has no column {name!r} to {purpose}; it has {', '.join(public)}")
    column = columns[name][1]
    if options_of(column).private:
        raise FilterProblem(f"{name!r} is private: who could {purpose} it could find out what it holds")
    return column


def _check(operator: str, name: str, bare: Any, column: sa.Column[Any]) -> None:
    if operator not in OPERATORS:
        raise FilterProblem(f"{name!r} has the operator {operator!r}; there are {', '.join(OPERATORS)}")
    if operator in ("contains", "startswith") and bare is not str:
        raise FilterProblem(f"{name!r} has {operator!r}, which is for text")
    if not is_sortable(column) and operator != "is_null":
        raise FilterProblem(f"{name!r} holds values that databases do not compare; only is_null fits it")


def _type_of(operator: str, value: Any) -> Any:
    if operator == "is_null":
        return bool
    if operator == "in":
        return Annotated[list[value], Meta(min_length=1, max_length=MAX_VALUES)]
    return value


def _condition(operator: str, attribute: Any) -> Callable[[Any], sa.ColumnElement[bool]]:
    return cast("Callable[[Any], sa.ColumnElement[bool]]", _CONDITIONS[operator](attribute))


_CONDITIONS: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "eq": lambda a: lambda v: a == v,
    "ne": lambda a: lambda v: a != v,
    "lt": lambda a: lambda v: a < v,
    "lte": lambda a: lambda v: a <= v,
    "gt": lambda a: lambda v: a > v,
    "gte": lambda a: lambda v: a >= v,
    "in": lambda a: a.in_,
    "is_null": lambda a: lambda v: a.is_(None) if v else a.is_not(None),
    "contains": lambda a: a.contains,
    "startswith": lambda a: a.startswith,
}


def search_condition(model: type[Any], names: Sequence[str], text: str) -> sa.ColumnElement[bool]:
    """Return the condition of rows that hold a text in one of these columns, whatever its case."""
    return sa.or_(*(getattr(model, name).icontains(text) for name in names))


def optional(tp: Any) -> Any:
    """Return a type or None."""
    return Union[tp, None]  # noqa: UP007 - made at run time
