"""Shapes: the structures that stand for a model where it is read from a client and where it is shown.

Three are derived from each model: what a client may write (`New`), what it may change (`Patch`), and what everyone
sees. None has a relation, and none a private column, unless the model says so.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import ColumnProperty, Mapper

from quintet.db.columns import MISSING, options_of
from quintet.db.hints import mapped_type, without_none
from quintet.db.relations import INPUT
from quintet.db.types import STORABLE, Clock, Duration, UTCDateTime
from quintet.schema.adapt import Adapter

if TYPE_CHECKING:
    from quintet.db.model import Model

T = TypeVar("T")

#: What a shape is for.
Kind: TypeAlias = Literal["read", "new", "patch"]

_made: dict[Any, Any] = {}


class NewShape(Adapter):
    """The mark of `New[Model]`: reads what a client may write, and makes an object of it."""

    def read_as(self, tp: Any) -> Any:
        """Return the structure that is read in the place of a model.

        Raises:
            TypeError: `tp` is no model.
        """
        if not _is_model(tp):
            raise TypeError(f"New needs a model, not {tp!r}; a Struct is read as it is")
        return shape_of(tp, "new")

    def build(self, tp: Any, value: Any) -> Any:
        """Return the object made of what was read."""
        return build_object(tp, value)


#: A new object, made of what a client may write: `data: New[Article]`. Editors see `Article`.
New: TypeAlias = Annotated[T, NewShape()]


class View(Adapter):
    """The mark of an answer that shows relations too: `-> Annotated[Article, View("author", "tags")]`.

    Relations of relations are written with a dot: `View("author", "author.company")`. What it shows must be loaded.

    Args:
        relations: the relations to show, each as its model is shown.
        name: the name of the structure in OpenAPI.
    """

    __slots__ = ("name", "relations")
    reads = False

    def __init__(self, *relations: str, name: str = "") -> None:
        self.relations = relations
        self.name = name

    def show_as(self, tp: Any) -> Any:
        """Return the structure of a model with its relations.

        Raises:
            TypeError: `tp` is no model, or has no such relation.
        """
        if not _is_model(tp):
            inside = next(filter(_is_model, get_args(tp)), None)
            if inside is None:
                raise TypeError(f"View needs a model, not {tp!r}; a Struct shows what it declares")
            relations = ", ".join(f'"{relation}"' for relation in self.relations)
            marked = f"Annotated[{inside.__name__}, View({relations})]"
            raise TypeError(
                f"View stands beside the model, not around {tp!r}; "
                f"write {f'list[{marked}]' if get_origin(tp) is list else f'{marked} inside of it'}"
            )
        key = (tp, "view", self.name, self.relations)
        if key not in _made:
            _made[key] = _view(tp, self.relations, self.name)
        return _made[key]


def _view(cls: type[Any], relations: tuple[str, ...], name: str) -> Any:
    fields = _shown_fields(cls)
    known: Any = cls.__mapper__.relationships
    for relation in dict.fromkeys(r.partition(".")[0] for r in relations):
        if relation not in known:
            raise TypeError(f"{cls.__name__} has no relation {relation!r}; it has {', '.join(known.keys()) or 'none'}")
        target = known[relation].mapper.class_
        inner = tuple(r.partition(".")[2] for r in relations if r.startswith(f"{relation}."))
        shape = View(*inner).show_as(target) if inner else shape_of(target)
        to_one = known[relation].direction.name == "MANYTOONE"
        optional = not known[relation].uselist and (
            not to_one or all(c.nullable for c in known[relation].local_columns)
        )
        fields.append((relation, list[shape] if known[relation].uselist else Union[shape, None] if optional else shape))  # noqa: UP007 - made at run time
    words = "".join(r.replace(".", "_").title().replace("_", "") for r in relations)
    return _struct(cls, name or f"{cls.__name__}With{words}", fields, forbid=False)


def _is_model(tp: Any) -> bool:
    return isinstance(tp, type) and hasattr(tp, "__mapper__")


def build_object(cls: type[Any], shape: msgspec.Struct) -> Any:
    """Return a new object of a model with what a shape says."""
    given = {n: v for n in shape.__struct_fields__ if (v := getattr(shape, n)) is not msgspec.UNSET}
    for name, target in nested_inputs(cls).items():
        if name in given and given[name] is not None:
            value: Any = given[name]
            given[name] = _many_objects(target, value) if isinstance(value, list) else build_object(target, value)
    return cls(**given)


def _many_objects(cls: type[Any], shapes: Any) -> list[Any]:
    return [build_object(cls, shape) for shape in shapes]


def shape_of(cls: type[Model], kind: str = "read") -> Any:
    """Return the structure that stands for a model, made at first use."""
    found = _made.get((cls, kind))
    if found is None:
        found = _made[cls, kind] = _READERS[kind](cls)
    return found


def writable(column: sa.Column[Any]) -> bool:
    """Tell whether a client may write a column."""
    options = options_of(column)
    if options.input is not None:
        return options.input
    return not (
        options.private
        or column.primary_key
        or column.foreign_keys
        or column.server_default is not None
        or column.computed is not None
        or column.identity is not None
    )


def columns_of(cls: type[Any]) -> dict[str, tuple[ColumnProperty[Any], sa.Column[Any]]]:
    """Return the columns of a model by attribute, in the order of their declaration."""
    mapper: Mapper[Any] = cls.__mapper__
    found = {
        prop.key: (prop, prop.columns[0]) for prop in mapper.column_attrs if isinstance(prop.columns[0], sa.Column)
    }
    order = {c: i for i, c in enumerate(mapper.columns)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[1][1], 0)))


def type_of(cls: type[Any], name: str, column: sa.Column[Any]) -> Any:
    """Return the type of a column with its constraints; that of SQL where the model has no annotation."""
    declared = mapped_type(cls, name)
    if declared is not None:
        return declared
    python: Any = column.type.python_type
    return Union[python, None] if column.nullable else python  # noqa: UP007 - made at run time


def input_type(cls: type[Any], name: str, column: sa.Column[Any]) -> Any:
    """Return the type of a column as clients write it: only values that every database holds."""
    declared = type_of(cls, name, column)
    if not column.nullable:  # whatever the annotation says
        declared = _NOT_NULL if declared is Any else without_none(declared)
    if isinstance(column.type, UTCDateTime) and without_none(declared) is datetime.datetime:
        moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]
        declared = moment if declared is datetime.datetime else Union[moment, None]  # noqa: UP007 - made at run time
    limit = next((STORABLE[kind] for kind in _LIMITED if isinstance(column.type, _LIMITED[kind])), None)
    return declared if limit is None else Annotated[declared, limit]


#: What JSON has beside null.
_NOT_NULL = Union[bool, int, float, str, list[Any], dict[str, Any]]  # noqa: UP007 - read at run time
_LIMITED: dict[str, Any] = {"datetime": UTCDateTime, "time": Clock, "timedelta": Duration}


def nested_inputs(cls: type[Any]) -> dict[str, type[Any]]:
    """Return the relations that clients may write, with their models."""
    mapper: Mapper[Any] = cls.__mapper__
    return {r.key: r.mapper.class_ for r in mapper.relationships if r.info.get(INPUT)}


def _read(cls: type[Any]) -> Any:
    return _struct(cls, cls.__name__, _shown_fields(cls), forbid=False)


def _shown_fields(cls: type[Any]) -> list[Any]:
    columns = columns_of(cls).items()
    return [(name, type_of(cls, name, column)) for name, (_, column) in columns if not options_of(column).private]


def _new(cls: type[Any]) -> Any:
    fields: list[Any] = []
    for name, (_, column) in columns_of(cls).items():
        if writable(column):
            fields.append(_new_field(name, input_type(cls, name, column), column))
    for name, target in nested_inputs(cls).items():
        inner = shape_of(target, "new")
        uselist = cls.__mapper__.relationships[name].uselist
        fields.append((name, Union[list[inner] if uselist else inner, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
    return _struct(cls, f"{cls.__name__}New", fields, forbid=True)


def _new_field(name: str, tp: Any, column: sa.Column[Any]) -> Any:
    default: Any = options_of(column).default
    if default is MISSING and column.default is None and column.server_default is None:
        return (name, tp)
    if isinstance(default, (str, int, float, bool, type(None))):
        return (name, tp, default)
    return (name, Union[tp, msgspec.UnsetType], msgspec.UNSET)  # noqa: UP007 - the model has the default


def _patch(cls: type[Any]) -> Any:
    fields: list[Any] = []
    for name, (_, column) in columns_of(cls).items():
        if writable(column):
            fields.append((name, Union[input_type(cls, name, column), msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
    return _struct(cls, f"{cls.__name__}Patch", fields, forbid=True)


def _struct(cls: type[Any], name: str, fields: list[Any], *, forbid: bool) -> Any:
    return msgspec.defstruct(
        name,
        fields,
        kw_only=True,
        forbid_unknown_fields=forbid,
        module=cls.__module__,
        namespace={"__doc__": cls.__doc__, "__quintet_source__": cls},
    )


_READERS: dict[str, Any] = {"read": _read, "new": _new, "patch": _patch}
