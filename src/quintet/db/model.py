"""`Model`: the base of mapped classes; a SQLAlchemy declarative class from which everything else is derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, cast, dataclass_transform

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import (
    ColumnProperty,
    DeclarativeBase,
    MappedColumn,
    Mapper,
    PassiveFlag,
    TypeResolve,
    attributes,
    mapped_column,
    registry,
)
from sqlalchemy.orm.strategies import (
    _DeferredColumnLoader as DeferredColumnLoader,  # pyright: ignore[reportPrivateUsage] - pinned by a test
)
from sqlalchemy.schema import SchemaConst
from sqlalchemy.types import TypeEngine
from sqlalchemy.util.concurrency import in_greenlet

from quintet.db.checks import add_checks
from quintet.db.columns import INFO, column, options_of, uuid7
from quintet.db.errors import UnloadedRelation
from quintet.db.hints import evaluate_annotations, own_annotations, place_of
from quintet.db.mistakes import mistakes_of
from quintet.db.naming import CONVENTION, table_name
from quintet.db.relations import Relation, link_relations
from quintet.db.rounding import round_decimals
from quintet.db.types import JSONOf, sql_type


def new_metadata() -> sa.MetaData:
    """Return metadata whose constraints have names."""
    return sa.MetaData(naming_convention=CONVENTION)


_bases: list[type[Model]] = []


def bases() -> list[type[Model]]:
    """Return the bases of models: `Model`, and those of other databases."""
    return [Model, *_bases]


@dataclass_transform(kw_only_default=True, field_specifiers=(column, mapped_column))
class Model(DeclarativeBase):
    """The base of an app's models.

        class Article(Model):
            id: Mapped[int] = primary_key()
            title: Mapped[Annotated[str, Meta(max_length=120)]]
            author_id: Mapped[int] = foreign_key("user.id")
            author: Mapped[User] = belongs_to()

    Everything of SQLAlchemy's declarative classes works. The table is named after the class. The constructor takes
    what is declared, by keyword; a default is set at once, and collections of a new object are loaded and empty.

    Models of another database have a base of their own: `class Reports(Model, database="reports"): ...`.
    """

    __abstract__ = True
    metadata: ClassVar[sa.MetaData] = new_metadata()
    registry: ClassVar[registry]
    #: The name of the database that this model and those below it live in.
    __database__: ClassVar[str] = "default"

    def __init_subclass__(cls, *, database: str | None = None, **options: Any) -> None:
        if database is not None:
            cls.__abstract__ = True
            cls.__database__ = database
            cls.metadata = new_metadata()
            cls.registry = cls._sa_registry = registry(metadata=cls.metadata)
            _listen(cls.registry)
            _bases.append(cls)
        where = place_of(cls)
        type.__setattr__(cls, "__quintet_where__", where)
        is_abstract = bool(cls.__dict__.get("__abstract__"))
        with mistakes_of(cls, where):
            if not is_abstract:
                _prepare(cls)
            super().__init_subclass__(**options)
            if not is_abstract and hasattr(cls, "__table__"):
                _count_up(cls.__table__)
                _complete(cls)
                add_checks(cls)
                round_decimals(cls)

    def __init__(self, **values: Any) -> None:
        cls = type(self)
        mapper: Mapper[Any] = cls.__mapper__
        for name in values:
            if name not in mapper.attrs and not hasattr(cls, name):
                known = ", ".join(sorted(mapper.attrs.keys()))
                raise TypeError(f"{cls.__name__} has no {name!r}; it has {known}")
        for name, make in _starts(mapper).items():
            if name not in values:
                make(self, name)
        for name, value in values.items():
            setattr(self, name, value)

    @classmethod
    def __quintet_shape__(cls, kind: str = "read") -> Any:
        """Return the structure that stands for this class where it is read (`new`, `patch`) or shown (`read`)."""
        from quintet.db.shapes import shape_of

        return shape_of(cls, kind)

    def __repr__(self) -> str:
        state: Any = sa.inspect(self)
        mapper: Mapper[Any] = type(self).__mapper__
        keys = [mapper.get_property_by_column(c).key for c in mapper.primary_key]
        return f"{type(self).__name__}({', '.join(f'{k}={state.dict.get(k)!r}' for k in keys)})"


def _count_up(table: Any) -> None:
    """Let the database count up a key that is a number, by the standard's own means where it has them."""
    if not isinstance(table, sa.Table):
        return
    key = table.autoincrement_column
    if key is not None and key.identity is None and key.default is None and key.server_default is None:
        sa.Identity()._set_parent(key)  # pyright: ignore[reportPrivateUsage] - as Column does


def _complete(cls: type[Any]) -> None:
    """Say of a mapped class what SQLAlchemy leaves open."""
    mapper: Mapper[Any] = cls.__mapper__
    if mapper.eager_defaults == "auto":
        mapper.eager_defaults = True  # what a database computes is there after a flush, on those without RETURNING too
    mapper.class_manager.expired_attribute_loader = _loader(mapper.class_manager.expired_attribute_loader)
    for found in mapper.local_table.columns:
        # Nowhere else is it written whether the model said so itself.
        said: Any = getattr(found, "_user_defined_nullable", None)
        is_any = isinstance(found.type, JSONOf) and found.type.kind is Any
        if isinstance(found, sa.Column) and is_any and said is SchemaConst.NULL_UNSPECIFIED:
            found.nullable = True  # `Any` may be None too
        is_json = isinstance(found.type, JSONOf | sa.JSON)  # whose None would be JSON's null
        if isinstance(found, sa.Column) and found.nullable and found.default is not None and not is_json:
            found.type = found.type.evaluates_none()  # a default is set at once: None is what somebody chose
    kind = mapper.polymorphic_on
    if isinstance(kind, sa.Column) and (options := options_of(kind)).input is None:
        kind.info[INFO] = replace(options, input=False)  # a row does not change its class


def _loader(load: Callable[..., Any]) -> Callable[..., Any]:
    """Return what reads columns that are not there, and says so where async code cannot wait for it."""

    def load_or_refuse(state: Any, names: set[str], passive: Any) -> Any:
        if _cannot_wait(state):
            raise UnloadedRelation(_why_absent(state, state.class_, sorted(names)))
        return load(state, names, passive)

    return load_or_refuse


def _why_absent(state: Any, cls: type[Any], keys: list[str]) -> str:
    name, refresh = f"{cls.__name__}.{keys[0]}", f"`await db.refresh(…, {keys})`"
    if state.expired:
        return (
            f"this {cls.__name__} may have changed: a rollback, or expire(), has let go of what was loaded of it, and "
            "it is not fetched behind your back; read it again, `await db.refresh(…)`, or keep what you need of it in "
            "variables before the rollback"
        )
    above: Any = cls.__mapper__.inherits
    if above is not None:
        return (
            f"{name} was not loaded, and it is not fetched behind your back; load it with the query: "
            f".options(selectin_polymorphic({above.class_.__name__}, [{cls.__name__}])), or afterwards: {refresh}"
        )
    return (
        f"{name} is now what the database has made of it, by an expression of SQL, or expire() has let go of it, and "
        f"it is not fetched behind your back; read it: {refresh}"
    )


def _cannot_wait(state: Any) -> bool:
    return getattr(state.session, "is_async", False) and not in_greenlet()


@ColumnProperty.strategy_for(deferred=True, instrument=True)
@ColumnProperty.strategy_for(deferred=True, instrument=True, raiseload=True)
class _DeferredLoader(DeferredColumnLoader):  # pyright: ignore[reportUntypedBaseClass]
    """Raises where a column of a `Model` was left out by its mapping or its query, as relations do.

    `deferred_raiseload=False` lets synchronous code fetch it. Classes that are no `Model` keep what SQLAlchemy does.
    """

    def _load_for_state(self, state: Any, passive: Any) -> Any:
        if state.key and passive & PassiveFlag.SQL_OK and issubclass(state.class_, Model):
            prop: Any = self.parent_property
            is_lazy = prop.deferred and prop.raiseload is False  # None where the model did not say
            if not is_lazy or _cannot_wait(state):
                column = f"{state.class_.__name__}.{self.key}"
                raise UnloadedRelation(
                    f"{column} was not loaded, and it is not fetched behind your back; "
                    f"load it with the query: .options(undefer({column})), "
                    f"or afterwards: `await db.refresh(…, [{self.key!r}])`"
                )
        return super()._load_for_state(state, passive)  # pyright: ignore[reportUnknownMemberType] - it has no types


def _prepare(cls: type[Model]) -> None:
    """Name the table, and make relationships of the declared relations, those of mixins included."""
    for name in ("metadata", "registry"):
        if name in own_annotations(cls):
            raise TypeError(
                f"{cls.__name__}.{name}: SQLAlchemy's own attribute has this name; "
                f'write {name}_: Mapped[…] = column("{name}")'
            )
    if not any("__tablename__" in base.__dict__ or "__table__" in base.__dict__ for base in cls.__mro__):
        cls.__tablename__ = table_name(cls.__name__)
    elif "__mapper__" in cls.__mro__[1].__dict__ and not {"__tablename__", "__table__"} & cls.__dict__.keys():
        # One table for both: the columns of this class come with the rows of the one above, at no cost.
        own = cls.__dict__.get("__mapper_args__", {})
        if isinstance(own, dict):
            cls.__mapper_args__ = {"polymorphic_load": "inline", **own}
    relations: dict[str, Relation] = {}
    for base in reversed(cls.__mro__[: cls.__mro__.index(Model)]):
        if base is cls or "__mapper__" not in base.__dict__:
            relations |= {name: value for name, value in base.__dict__.items() if isinstance(value, Relation)}
            evaluate_annotations(base, relations)
    inherited: dict[str, Relation] = getattr(cls, "__quintet_relations__", {})
    type.__setattr__(cls, "__quintet_relations__", {**inherited, **relations})
    made = {name: relation.resolve(cls, name) for name, relation in relations.items()}
    type.__setattr__(cls, "__quintet_links__", dict(made))
    for name, relationship in made.items():
        setattr(cls, name, relationship)


# -- constructors ---------------------------------------------------------------------------------------------------


def _starts(mapper: Mapper[Any]) -> dict[str, Callable[[Any, str], Any]]:
    """Return how the attributes of a new object begin that have a default or are collections."""
    cls: Any = mapper.class_
    known = cls.__dict__.get("__quintet_starts__")
    if known is None:
        known = _build_starts(mapper)
        type.__setattr__(cls, "__quintet_starts__", known)
    return known


def _build_starts(mapper: Mapper[Any]) -> dict[str, Callable[[Any, str], Any]]:
    starts: dict[str, Callable[[Any, str], Any]] = {}
    for prop in mapper.column_attrs:
        found = prop.columns[0]
        if isinstance(found, sa.Column):
            start = _start_of(found)
            if start is not None:
                starts[prop.key] = start
    for relation in mapper.relationships:
        if relation.uselist and relation.lazy not in ("dynamic", "write_only"):
            starts[relation.key] = attributes.init_collection
    return starts


def _start_of(column: sa.Column[Any]) -> Callable[[Any, str], None] | None:
    default: Any = column.default
    if default is None and options_of(column).default is None:
        return lambda new, name: setattr(new, name, None)
    if default is not None and default.is_scalar:
        return lambda new, name: setattr(new, name, default.arg)
    if default is not None and default.is_callable:
        make = default.arg
        return lambda new, name: setattr(new, name, make(None))  # SQLAlchemy gives defaults a context
    return None


# -- types ------------------------------------------------------------------------------------------------------------


def _listen(target: Any) -> None:
    event.listen(target, "resolve_type_annotation", _resolve)
    event.listen(target, "before_configured", link_relations)


def _resolve(resolve: TypeResolve) -> TypeEngine[Any] | None:
    """Give each column the type that its annotation, with its constraints, implies."""
    if resolve.resolved_type in resolve.registry.type_annotation_map:
        return None
    if resolve.raw_type in resolve.registry.type_annotation_map:
        return None
    cls: Any = resolve.cls
    where = f"{cls.__name__}.{resolve.key}"
    declared: Any = cls.__dict__.get(resolve.key) or getattr(cls, resolve.key, None)
    if not isinstance(declared, MappedColumn):
        return sql_type(resolve.raw_type, where)
    column: sa.Column[Any] = cast("MappedColumn[Any]", declared).column
    options = options_of(column)
    kind = sql_type(resolve.raw_type, where, check=options.check)
    if options.kind == "primary_key" and isinstance(kind, sa.Uuid) and column.default is None:
        sa.ColumnDefault(uuid7)._set_parent(column)  # pyright: ignore[reportPrivateUsage] - as Column does
    return kind


_listen(Model)
