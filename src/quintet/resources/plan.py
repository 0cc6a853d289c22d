"""The plan of a resource: what was read from its model and its declaration, and everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args

import msgspec
import sqlalchemy as sa
from msgspec import Meta
from sqlalchemy.orm import selectinload, undefer
from sqlalchemy.orm.interfaces import ORMOption

from quintet.db.columns import options_of
from quintet.db.mixins import Versioned
from quintet.db.shapes import View, columns_of, shape_of, type_of
from quintet.errors import ConfigurationError, Problem
from quintet.media.csv import CSV
from quintet.resources.filters import (
    MAX_TEXT,
    Filter,
    FilterProblem,
    build_filters,
    is_sortable,
    optional,
    public_column,
    scalar_of,
)
from quintet.resources.ordering import Key, Order

#: What can be done with the rows of a resource.
Action = Literal["list", "create", "read", "update", "delete"]
ACTIONS: tuple[Action, ...] = get_args(Action)

#: Parameters of a list that are not filters.
RESERVED = ("page", "size", "cursor", "total", "q", "sort")
#: Parameters of the handlers themselves.
_TAKEN = ("changes", "db", "form", "if_match", "injected", "key", "request")
_MAX_SORTS = 4
_MAX_PAGE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What was said of a resource."""

    model: type[Any]
    path: str
    name: str
    key: str | None
    actions: tuple[Action, ...]
    filters: Sequence[str] | Mapping[str, Sequence[str]]
    search: Sequence[str]
    sorts: Sequence[str]
    order: Sequence[str]
    pagination: Literal["page", "cursor"]
    size: int
    max_size: int
    view: View | None
    bulk: int
    idempotency: Any
    produces: tuple[str, ...]
    accepts: tuple[str, ...]
    policy: Any
    hooks: Any
    sync: bool
    where: str

    @property
    def database(self) -> str:
        """The name of the database that the model lives in."""
        return getattr(self.model, "__database__", "default")

    @property
    def data_formats(self) -> tuple[str, ...]:
        """The formats of answers that are no pages."""
        return tuple(p for p in self.produces if p != "html") or ("json", "msgpack")


@dataclass
class Plan:
    """Everything decided about a resource."""

    declaration: Declaration
    #: The attributes whose values are in the path, in their order, and their types.
    keys: dict[str, Any]
    filters: dict[str, Filter]
    #: The orders that can be asked for: `title`, `-title`.
    choices: tuple[str, ...]
    #: The structure that a row is shown as, and the annotation of handlers that return one.
    shown: Any
    item: Any
    #: Loader options of what is shown.
    loading: list[ORMOption]
    #: The parameters of a list as a structure, and the structure that it is answered with.
    query: Any
    envelope: Any
    versioned: bool
    orders: dict[tuple[str, ...], Order] = field(default_factory=dict[tuple[str, ...], Order])

    @property
    def paths(self) -> list[list[str]]:
        """The relations that are shown, each as the way to it."""
        view = self.declaration.view
        return [path.split(".") for path in view.relations] if view is not None else []

    @property
    def model(self) -> type[Any]:
        """The model."""
        return self.declaration.model

    def key_of(self, row: Any) -> tuple[Any, ...]:
        """Return the key of a row: a value for each of `keys`."""
        return tuple(getattr(row, name) for name in self.keys)

    def has_key(self, values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """Return the condition of the row with a key."""
        return sa.and_(*(getattr(self.model, name) == value for name, value in zip(self.keys, values, strict=True)))

    def order(self, names: Sequence[str]) -> Order:
        """Return an order; that of the declaration where none is asked for."""
        chosen = tuple(names) or tuple(self.declaration.order)
        found = self.orders.get(chosen)
        if found is None:
            found = self.orders[chosen] = _order(self.model, chosen)
        return found


_PAGINATIONS: tuple[str, ...] = ("page", "cursor")


def build_plan(declaration: Declaration) -> Plan:
    """Read a declaration.

    Raises:
        ConfigurationError: everything that is wrong with it.
    """
    problems: list[Problem] = []

    def attempt(id: str, work: Any, *values: Any) -> Any:
        try:
            return work(*values)
        except (FilterProblem, TypeError) as error:
            text = f"resource({declaration.model.__name__}): {error}"
            problems.append(Problem(id=f"resources.{id}", message=text, where=declaration.where))
            return None

    model = declaration.model
    keys: dict[str, Any] = attempt("key", _keys, declaration) or {}
    filters: list[Filter] = attempt("filters", build_filters, model, declaration.filters) or []
    for name in declaration.search:
        attempt("search", _searchable, model, name)
    for name in [*declaration.sorts, *declaration.order]:
        attempt("sorts", _sortable, model, name.removeprefix("-"))
    for item in filters:
        if item.parameter in RESERVED:
            attempt("filters", _refuse, f"{item.parameter!r} is the name of a parameter of every list")
    view = declaration.view
    shown = attempt("view", view.show_as, model) if view is not None else shape_of(model)
    if declaration.pagination not in _PAGINATIONS:
        attempt("pagination", _refuse, f"there is no pagination {declaration.pagination!r}; there are page, cursor")
    if problems:
        raise ConfigurationError(problems)
    loading = _deferred(model) + (_loading(model, view.relations) if view is not None else [])
    choices = tuple(c for name in declaration.sorts for c in (name, f"-{name}"))
    return Plan(
        declaration=declaration,
        keys=keys,
        filters={f.parameter: f for f in filters},
        choices=choices,
        shown=shown,
        item=Annotated[model, view] if view is not None else model,
        loading=loading,
        query=_query(declaration, filters, choices),
        envelope=_envelope(declaration, shown),
        versioned=issubclass(model, Versioned),
    )


def _refuse(text: str) -> None:
    raise FilterProblem(text)


def _keys(declaration: Declaration) -> dict[str, Any]:
    model = declaration.model
    mapper: Any = model.__mapper__
    if declaration.key is None:
        names = [str(mapper.get_property_by_column(column).key) for column in mapper.primary_key]
    else:
        names = [declaration.key]
        column = public_column(model, declaration.key, "find rows by")
        if not (column.unique or _is_unique(column)):
            raise FilterProblem(
                f"rows cannot be found by {declaration.key!r}, which is not unique; write column(unique=True)"
            )
    columns = columns_of(model)
    for name in names:
        if columns[name][1].nullable:
            raise FilterProblem(f"rows cannot be found by {name!r}, which may be NULL")
        if name in _TAKEN:
            raise FilterProblem(
                f"the key {name!r} has the name of a parameter of its handlers; call the attribute otherwise: "
                f'{name}_: Mapped[…] = primary_key("{name}")'
            )
    return {name: type_of(model, name, columns[name][1]) for name in names}


def _is_unique(column: sa.Column[Any]) -> bool:
    table: Any = column.table
    parts = [*table.constraints, *(i for i in table.indexes if i.unique)]
    kinds = (sa.PrimaryKeyConstraint, sa.UniqueConstraint, sa.Index)
    return any(isinstance(part, kinds) and list(part.columns) == [column] for part in parts)


def _searchable(model: type[Any], name: str) -> None:
    column = public_column(model, name, "search in")
    if scalar_of(type_of(model, name, column)) is not str:
        raise FilterProblem(f"{name!r} cannot be searched in: it holds no text")


def _sortable(model: type[Any], name: str) -> None:
    if not is_sortable(public_column(model, name, "sort by")):
        raise FilterProblem(f"{name!r} holds values that have no order")


def _order(model: type[Any], names: Sequence[str]) -> Order:
    columns = columns_of(model)
    keys: list[Key] = []
    for text in names:
        name = text.removeprefix("-")
        if name not in [k.name for k in keys]:
            keys.append(_order_key(model, name, columns[name][1], descending=text.startswith("-")))
    last = bool(keys) and keys[-1].descending
    mapper: Any = model.__mapper__
    for column in mapper.primary_key:
        name = mapper.get_property_by_column(column).key
        if name not in [k.name for k in keys]:
            keys.append(_order_key(model, name, column, descending=last))
    return Order(model, keys)


def _order_key(model: type[Any], name: str, column: sa.Column[Any], *, descending: bool) -> Key:
    attribute = getattr(model, name)
    return Key(name, attribute, descending, bool(column.nullable), scalar_of(type_of(model, name, column)))


def _deferred(model: type[Any]) -> list[ORMOption]:
    """Return what reads the columns that are shown and come with a row only where they are asked for."""
    shown = columns_of(model).items()
    return [undefer(getattr(model, name)) for name, (p, c) in shown if p.deferred and not options_of(c).private]


def _loading(model: type[Any], relations: Sequence[str]) -> list[ORMOption]:
    found: list[ORMOption] = []
    for path in relations:
        cls, option = model, None
        for name in path.split("."):
            attribute: Any = getattr(cls, name)
            option = selectinload(attribute) if option is None else option.selectinload(attribute)
            cls = cls.__mapper__.relationships[name].mapper.class_
        if option is not None:
            found.append(option)
    return found


def _query(declaration: Declaration, filters: Sequence[Filter], choices: tuple[str, ...]) -> Any:
    """Return the structure of a list's parameters."""
    fields: list[Any] = [(f.parameter, optional(f.type), None) for f in filters]
    if declaration.search:
        text = f"Text to look for in {', '.join(declaration.search)}."
        fields.append(("q", optional(Annotated[str, Meta(max_length=MAX_TEXT, description=text)]), None))
    if choices:
        text = "What to sort by; - in front of a name descends. May be given several times."
        kind = Annotated[list[Literal[choices]], Meta(max_length=_MAX_SORTS, description=text)]
        fields.append(("sort", kind, msgspec.field(default_factory=list)))
    if declaration.pagination == "page":
        text = "The number of the page, from 1."
        fields.append(("page", Annotated[int, Meta(ge=1, le=_MAX_PAGE, description=text)], 1))
    else:
        text = "Where to go on: `next` of the part before."
        fields.append(("cursor", optional(Annotated[str, Meta(description=text)]), None))
    text = "The number of rows."
    limits = Meta(ge=1, le=declaration.max_size, description=text)
    fields.append(("size", Annotated[int, limits], declaration.size))
    fields.append(("total", Annotated[bool, Meta(description="Count all rows too.")], False))
    return msgspec.defstruct(f"{declaration.model.__name__}Query", fields, kw_only=True, module=__name__)


def _envelope(declaration: Declaration, shown: Any) -> Any:
    """Return the structure that a list is answered with."""
    fields: list[Any] = [("items", Annotated[list[shown], CSV(rows=True)])]
    if declaration.pagination == "page":
        text = "Whether there is another page behind this one."
        fields += [("page", int), ("size", int), ("more", Annotated[bool, Meta(description=text)])]
    else:
        text = "The cursor of the next part; null in the last one."
        fields.append(("next", optional(Annotated[str, Meta(description=text)])))
    text = "The number of all rows, where it was asked for."
    total = Annotated[Union[int, msgspec.UnsetType], Meta(description=text)]  # noqa: UP007 - made at run time
    fields.append(("total", total, msgspec.UNSET))
    kind = "Page" if declaration.pagination == "page" else "Slice"
    return msgspec.defstruct(
        f"{declaration.model.__name__}{kind}", fields, kw_only=True, module=declaration.model.__module__
    )


def segment_of(value: Any) -> str:
    """Return a part of a key as the path has it."""
    plain = msgspec.to_builtins(value)
    return ("true" if plain else "false") if isinstance(plain, bool) else str(plain)


def shown_columns(model: type[Any]) -> list[str]:
    """Return the columns that everyone sees."""
    return [name for name, (_, column) in columns_of(model).items() if not options_of(column).private]
