"""Relations between models: `belongs_to`, `has_many`, `has_one` and `many_to_many`, thin layers over `relationship`.

A relation is read only where it was loaded; reading an unloaded one raises at once and says how to load it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NoReturn

import sqlalchemy as sa
from sqlalchemy.orm import RelationshipProperty, registry, relationship
from sqlalchemy.orm.strategies import _LazyLoader as LazyLoader  # pyright: ignore[reportPrivateUsage] - pinned by a test

from quintet.db.errors import UnloadedRelation
from quintet.db.hints import annotation_of, own_annotations, raw_annotation
from quintet.db.naming import link_table_name

#: Where the `info` of a relationship says whether clients may write it.
INPUT = "quintet.input"
#: The loading of relations that raises where they were not loaded.
LAZY: Any = "loaded"


@RelationshipProperty.strategy_for(lazy=LAZY)
class _LoadedOnly(LazyLoader):  # pyright: ignore[reportUntypedBaseClass]
    """Raises where a relation was not loaded, as SQLAlchemy's `lazy="raise"` does, and says what to write."""

    def __init__(self, parent: Any, strategy_key: Any) -> None:
        super().__init__(parent, strategy_key)
        self._raise_always = True

    def _invoke_raise_load(self, state: Any, passive: Any, lazy: Any) -> NoReturn:
        relation = f"{state.class_.__name__}.{self.key}"
        raise UnloadedRelation(
            f"{relation} was not loaded, and it is not fetched behind your back; "
            f"load it with the query: .options(selectinload({relation})), "
            f"or afterwards: `await db.refresh(…, [{self.key!r}])`"
        )


@dataclass(slots=True)
class Relation:
    """A relation as declared; `resolve` makes SQLAlchemy's relationship of it when its class is mapped."""

    kind: Literal["belongs_to", "has_many", "has_one", "many_to_many"]
    back: str | None = None
    through: str | sa.Table | None = None
    input: bool = False
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def resolve(self, cls: type[Any], name: str) -> Any:
        """Return the relationship for `name` of `cls`."""
        options = {"lazy": LAZY, **self.options}
        options["info"] = {**options.get("info", {}), INPUT: self.input}
        columns = _Columns(cls, name)
        if self.kind != "many_to_many" and not {"foreign_keys", "primaryjoin"} & options.keys():
            options["foreign_keys"] = columns.foreign_key
        if self.kind == "belongs_to" and not {"remote_side", "primaryjoin"} & options.keys():
            options["remote_side"] = columns.parent
        if self.kind == "has_one":
            options.setdefault("uselist", False)
        if name not in own_annotations(cls):  # a mixin's, whose annotation SQLAlchemy looks for in the class alone
            options.setdefault("argument", partial(target_class, cls, name))
            options.setdefault("uselist", self.kind in ("has_many", "many_to_many"))
            if options["uselist"] and _SET.search(str(raw_annotation(cls, name))):
                options.setdefault("collection_class", set)
        if self.kind in ("has_many", "has_one") and "delete" not in options.get("cascade", ""):
            # The foreign key's `ondelete` says what becomes of them; SQLAlchemy alone would set it to NULL.
            options.setdefault("passive_deletes", "all")
        if self.kind == "many_to_many":
            options["secondary"] = through = _Through(cls, name, self.through)
            if not {"primaryjoin", "secondaryjoin"} & options.keys():
                options["primaryjoin"] = partial(through.join, 0)
                options["secondaryjoin"] = partial(through.join, 1)
        return relationship(back_populates=self.back, **options)


def belongs_to(*, back: str | None = None, input: bool = False, **options: Any) -> Any:
    """Declare the object that a foreign key of this model refers to: `author: Mapped[User] = belongs_to()`.

    Args:
        back: the relation of the other model that is this one's other side; found where there is only one.
        input: whether `New` of this model takes new objects of the other one along.
        options: anything else that SQLAlchemy's `relationship` takes.
    """
    return Relation("belongs_to", back, input=input, options=options)


def has_many(*, back: str | None = None, input: bool = False, **options: Any) -> Any:
    """Declare the objects that refer to this one: `articles: Mapped[list[Article]] = has_many()`.

    Args:
        back: the relation of the other model that is this one's other side; found where there is only one.
        input: whether `New` of this model takes new objects of the other one along.
        options: anything else that SQLAlchemy's `relationship` takes, such as `cascade="all, delete-orphan"`.
    """
    return Relation("has_many", back, input=input, options=options)


def has_one(*, back: str | None = None, input: bool = False, **options: Any) -> Any:
    """Declare the one object that refers to this one: `profile: Mapped[Profile] = has_one()`.

    Args:
        back: the relation of the other model that is this one's other side; found where there is only one.
        input: whether `New` of this model takes new objects of the other one along.
        options: anything else that SQLAlchemy's `relationship` takes.
    """
    return Relation("has_one", back, input=input, options=options)


def many_to_many(
    *, back: str | None = None, through: str | sa.Table | None = None, input: bool = False, **options: Any
) -> Any:
    """Declare objects that are linked by rows of a table between: `tags: Mapped[list[Tag]] = many_to_many()`.

    Args:
        back: the relation of the other model that is this one's other side; found where there is only one.
        through: the table between, or its name; `article_tag` is made for `Article` and `Tag` when absent.
        input: whether `New` of this model takes new objects of the other one along.
        options: anything else that SQLAlchemy's `relationship` takes.
    """
    return Relation("many_to_many", back, through, input, options)


# -- what is known only when all classes are ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Columns:
    """Finds the columns of one relation, when the models are configured; None leaves them to SQLAlchemy."""

    cls: type[Any]
    name: str

    def foreign_key(self) -> Any:
        """Return the foreign key that is named after a relation to one, `author_id`, on whichever side it is."""
        relation: Relation = _declared(self.cls)[self.name]
        cls, name = self.cls, self.name
        if relation.kind in ("has_many", "has_one"):
            cls, name = target_class(cls, name), relation.back or _counterpart(cls, name) or ""
        return getattr(cls, f"{name}_id") if name and raw_annotation(cls, f"{name}_id") else None

    def parent(self) -> Any:
        """Return the columns that a table's references to itself refer to: those of the row above."""
        table: sa.Table = self.cls.__table__
        if table is not target_class(self.cls, self.name).__table__:
            return None
        found = {tuple(e.column for e in key.elements) for key in _keys_between(table, table)}
        return list(found.pop()) if len(found) == 1 else None


class _Through:
    """Finds or makes the table between two models, when they are configured."""

    def __init__(self, cls: type[Any], name: str, through: str | sa.Table | None) -> None:
        self.cls, self.name, self.through = cls, name, through

    def __call__(self) -> sa.Table:
        if isinstance(self.through, sa.Table):
            return self.through
        one, other = self._sides()
        name = self.through or link_table_name(one.name, other.name)
        tables = one.metadata.tables
        known = tables.get(name, tables.get(f"{one.schema}.{name}"))
        users: dict[Any, tuple[type[Any], str]] = one.metadata.info.setdefault(_USERS, {})
        if known is None:
            known = make_link_table(name, one, other)
            users[known] = (self.cls, self.name)
        elif self.through is None and known in users:
            self._refuse_to_share(known, *users[known])
        return known

    def join(self, side: int) -> sa.ColumnElement[bool] | None:
        """Return the condition that joins a side of a relation between rows of one table; None between two."""
        one, other = self._sides()
        keys = _keys_between(self(), one)
        if one is not other or len(keys) != 2:
            return None
        key = keys[side if not self._is_second() else 1 - side]
        return sa.and_(*(element.parent == element.column for element in key.elements))

    @property
    def _target(self) -> type[Any]:
        return target_class(self.cls, self.name)

    @property
    def _other_side(self) -> str | None:
        return _declared(self.cls)[self.name].back or _counterpart(self.cls, self.name)

    def _sides(self) -> tuple[sa.Table, sa.Table]:
        return self.cls.__table__, self._target.__table__

    def _is_second(self) -> bool:
        """Tell whether this is the other side of a relation that was declared before."""
        other, target = self._other_side, self._target
        if other is None:
            return False
        if target is not self.cls:
            return issubclass(self.cls, target)
        names = list(_declared(self.cls))
        return names.index(self.name) > names.index(other)

    def _refuse_to_share(self, table: sa.Table, cls: type[Any], name: str) -> None:
        """Raise where a table was made for another relation, unless that one is this one's other side."""
        is_other_side = self._other_side == name and issubclass(cls, self._target)
        if (cls, name) != (self.cls, self.name) and not is_other_side:
            raise LookupError(
                f"{self.cls.__name__}.{self.name} and {cls.__name__}.{name} would have their rows in one table, "
                f"{table.name}; give this one its own, as in through={f'{table.name}_{self.name}'!r}, "
                f"or write back={name!r} where it is the other side of that one"
            )


#: Where the `info` of metadata says which relations the tables between were made for.
_USERS = "quintet.relations"


def _keys_between(table: sa.Table, to: sa.Table) -> list[sa.ForeignKeyConstraint]:
    """Return the foreign keys from one table to another, in the order of their columns."""
    order = {column: index for index, column in enumerate(table.columns)}
    found = [key for key in table.foreign_key_constraints if key.referred_table is to]
    return sorted(found, key=lambda key: [order[column] for column in key.columns])


def make_link_table(name: str, one: sa.Table, other: sa.Table) -> sa.Table:
    """Make the table between two tables: a foreign key to each, both together the key."""
    first, second = sorted((one, other), key=lambda t: t.name)
    itself = one is other
    columns: list[sa.Column[Any]] = []
    references: list[sa.ForeignKeyConstraint] = []
    for side, table in (("left_", first), ("right_", second)):
        mine: list[sa.Column[Any]] = []
        for key in table.primary_key:
            label = f"{side if itself else ''}{table.name}_{key.name}"
            kind = key.type.copy()  # pyright: ignore[reportUnknownVariableType]
            mine.append(sa.Column(label, kind, primary_key=True, autoincrement=False))
        columns += mine
        references.append(sa.ForeignKeyConstraint(mine, list(table.primary_key), ondelete="CASCADE"))
    index = sa.Index(None, *columns[-len(second.primary_key) :])
    return sa.Table(name, one.metadata, *columns, *references, index, schema=one.schema)


def link_relations(known: registry) -> None:
    """Tell the two sides of each relation of each other, where there is one on either side."""
    for mapper in known.mappers:
        cls = mapper.class_
        for name, relation in cls.__dict__.get("__quintet_relations__", {}).items():
            made: Any = cls.__dict__.get("__quintet_links__", {}).pop(name, None)
            if made is not None and relation.back is None:
                made.back_populates = _counterpart(cls, name)


def _counterpart(cls: type[Any], name: str) -> str | None:
    """Return the relation that is the other side of one; None where there is none, or more than one."""
    target, kind = target_class(cls, name), _declared(cls)[name].kind
    kinds, others = ("has_many", "has_one") if kind in ("has_many", "has_one") else (kind,), _OTHERS.get(kind, _ONE)
    theirs = _relations(target, cls, others, name if target is cls else "")
    named = [other for other in theirs if _declared(target)[other].back == name]
    if named:
        return named[0]
    theirs = [other for other in theirs if _declared(target)[other].back is None]
    mine = [own for own in _relations(cls, target, kinds, "") if _declared(cls)[own].back is None]
    return theirs[0] if len(mine) == len(theirs) == 1 else None


_ONE = ("belongs_to",)
_OTHERS = {"belongs_to": ("has_many", "has_one"), "many_to_many": ("many_to_many",)}


def _declared(cls: type[Any]) -> dict[str, Relation]:
    return getattr(cls, "__quintet_relations__", {})


def _relations(cls: type[Any], to: type[Any], kinds: tuple[str, ...], not_this: str) -> list[str]:
    return [
        name
        for name, relation in _declared(cls).items()
        if relation.kind in kinds and name != not_this and target_class(cls, name) is to
    ]


_SET = re.compile(r"\b[Ss]et\[")
_NAME = re.compile(r"[^\W\d][\w.]*")
_WRAPPERS = {"Mapped", "list", "List", "set", "Set", "Optional", "None", "Sequence", "typing", "orm", "sqlalchemy"}


def target_class(cls: type[Any], name: str) -> type[Any]:
    """Return the model that a relation leads to.

    Raises:
        LookupError: its annotation names no model, or one of several of this name.
    """
    annotation, home = annotation_of(cls, name)
    text = str(annotation or "")
    known: registry = cls.registry
    classes: dict[str, list[type[Any]]] = {}
    for mapper in known.mappers:
        classes.setdefault(mapper.class_.__name__, []).append(mapper.class_)
    names = vars(sys.modules[home.__module__])
    for word in reversed(_NAME.findall(text)):
        module, _, short = word.rpartition(".")
        here = names.get(word)
        if isinstance(here, type) and "__mapper__" in here.__dict__:
            return here
        found = classes.get(short, []) if short not in _WRAPPERS else []
        if len(found) > 1:
            found = [c for c in found if c.__module__ == module] or found
        if len(found) > 1:
            places = ", ".join(sorted(f"{c.__module__}.{short}" for c in found))
            raise LookupError(
                f"{cls.__name__}.{name}: there are several models called {short} ({places}); "
                "import the one that is meant, or give them different names"
            )
        if found:
            return found[0]
    raise LookupError(f"{cls.__name__}.{name}: the annotation {text!r} names no model; write Mapped[Other]")
