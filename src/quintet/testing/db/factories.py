"""Factories: objects of models with values made up from the columns, their constraints and relations.

The n-th object of a model is the same in every run. What is unique is different for each; rows that must exist before
it are made along.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import Random
from typing import Any, Generic, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy.orm import MANYTOONE, Mapper, RelationshipProperty

from quintet.db.columns import MISSING, options_of
from quintet.db.hints import without_none
from quintet.db.session import Session, SyncSession
from quintet.db.shapes import columns_of, type_of
from quintet.schema.describe import describe
from quintet.testing.db.values import NoValue, make_value

M = TypeVar("M")

_numbers: defaultdict[type[Any], Iterator[int]] = defaultdict(lambda: itertools.count(1))
_taken: defaultdict[Any, set[Any]] = defaultdict(set)
#: How long a chain of rows may be that need each other.
DEPTH = 12


def reset() -> None:
    """Count from one again, for every model; done before each test that uses the fixtures."""
    _numbers.clear()
    _taken.clear()


class CannotMake(TypeError):
    """No valid object could be made up; the message says what to give."""


class Factory(Generic[M]):
    """Makes objects of a model: `Factory(Article, title="News", slug=lambda n: f"news-{n}")`.

    Args:
        model: the model.
        values: values of all its objects; functions are called with the number of the object. Others are made up,
            unless the model has a default for them or they may be NULL.
    """

    def __init__(self, model: type[M], **values: Callable[[int], Any] | Any) -> None:
        self.model = model
        self.values = values
        mapper: Any = getattr(model, "__mapper__", None)
        if not isinstance(mapper, Mapper):
            raise CannotMake(f"{model!r} is no model; a factory makes objects of models")
        self._mapper: Mapper[Any] = mapper

    def build(self, **values: Any) -> M:
        """Return an object that is not saved; the rows that it needs hang on its relations.

        Raises:
            CannotMake: a column's type says too little to make up a value.
        """
        return self._build(values, DEPTH)

    def build_many(self, count: int, **values: Any) -> list[M]:
        """Return several objects that are not saved."""
        return [self.build(**values) for _ in range(count)]

    @overload
    def make(self, db: SyncSession, /, **values: Any) -> M: ...
    @overload
    def make(self, db: Session, /, **values: Any) -> Awaitable[M]: ...
    def make(self, db: Any, /, **values: Any) -> Any:
        """Return an object that is saved and committed: handlers of the test find it. Await it with a `Session`.

        Raises:
            CannotMake: a column's type says too little to make up a value.
        """
        return _save(db, self.build(**values))

    @overload
    def make_many(self, db: SyncSession, count: int, /, **values: Any) -> list[M]: ...
    @overload
    def make_many(self, db: Session, count: int, /, **values: Any) -> Awaitable[list[M]]: ...
    def make_many(self, db: Any, count: int, /, **values: Any) -> Any:
        """Return several objects that are saved and committed. Await them with a `Session`."""
        return _save_all(db, self.build_many(count, **values))

    # -- values -----------------------------------------------------------------------------------------------------

    def _build(self, given: dict[str, Any], depth: int) -> M:
        if depth == 0:
            raise CannotMake(f"{self.model.__name__} needs rows that need it in turn; give one of its relations")
        number = next(_numbers[self.model])
        values = {n: v(number) if _is_recipe(v) else v for n, v in {**self.values, **given}.items()}
        for relation in self._needed_relations(values):
            values[relation.key] = Factory(relation.mapper.class_)._build({}, depth - 1)
        filled = self._filled_by(values)
        for name, (_, column) in columns_of(self.model).items():
            if name not in values and name not in filled and _is_needed(column):
                values[name] = self._value(name, column, number)
        return self.model(**values)

    def _needed_relations(self, values: dict[str, Any]) -> list[RelationshipProperty[Any]]:
        """Return the relations to rows that must exist, where neither they nor their keys were given."""
        keys = {prop.columns[0]: name for name, (prop, _) in columns_of(self.model).items()}
        return [
            relation
            for relation in self._mapper.relationships
            if relation.direction is MANYTOONE
            and relation.key not in values
            and not relation.viewonly
            and all(
                _is_needed(c) and keys.get(c) not in values for c in relation.local_columns if isinstance(c, sa.Column)
            )
        ]

    def _filled_by(self, values: dict[str, Any]) -> set[str]:
        """Return the columns that relations fill."""
        keys = {prop.columns[0]: name for name, (prop, _) in columns_of(self.model).items()}
        relations = [r for r in self._mapper.relationships if r.key in values and r.direction is MANYTOONE]
        return {keys[c] for r in relations for c in r.local_columns if c in keys}  # pyright: ignore[reportArgumentType]

    def _value(self, name: str, column: sa.Column[Any], number: int) -> Any:
        where = f"{self.model.__name__}.{name}"
        if column.foreign_keys:
            target = next(iter(column.foreign_keys)).target_fullname
            raise CannotMake(f"{where} refers to {target}, and no relation says which model that is; give {name}=…")
        node = describe(without_none(type_of(self.model, name, column)), where=where)
        key = (self.model, name)
        try:
            for attempt in range(200):
                value = make_value(node, name, number + attempt * 7919, Random(f"{where}:{number}:{attempt}"))  # noqa: S311 - not a secret
                if not _is_unique(column):
                    return value
                if value not in _taken[key]:
                    _taken[key].add(value)
                    return value
        except NoValue as error:
            raise CannotMake(f"no value for {where} could be made up: {error}; give {name}=…") from None
        raise CannotMake(f"{where} is unique, and no new value could be made up; give {name}=…")


def _is_recipe(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_needed(column: sa.Column[Any]) -> bool:
    """Tell whether a row cannot be without a value of ours."""
    return not (
        column.nullable
        or column.default is not None
        or options_of(column).default is not MISSING
        or column.server_default is not None
        or column.computed is not None
        or column.identity is not None
        or (column.primary_key and column.autoincrement is True)
    )


def _is_unique(column: sa.Column[Any]) -> bool:
    table: Any = column.table
    together = (*table.constraints, *(i for i in table.indexes if i.unique))
    return bool(column.unique or column.primary_key) or any(
        constraint.columns.contains_column(column)
        for constraint in together
        if isinstance(constraint, (sa.UniqueConstraint, sa.Index))
    )


def _save(db: Any, one: Any) -> Any:
    if isinstance(db, Session):
        return _save_async(db, [one], lambda: one)
    db.add(one)
    db.commit()
    return one


def _save_all(db: Any, many: list[Any]) -> Any:
    if isinstance(db, Session):
        return _save_async(db, many, lambda: many)
    db.add_all(many)
    db.commit()
    return many


async def _save_async(db: Session, many: Sequence[Any], result: Callable[[], Any]) -> Any:
    db.add_all(many)
    await db.commit()
    return result()


# -- in one line ------------------------------------------------------------------------------------------------------


def build(model: type[M], **values: Any) -> M:
    """Return an object of a model that is not saved; what is not given is made up."""
    return Factory(model).build(**values)


@overload
def make(db: SyncSession, model: type[M], /, **values: Any) -> M: ...
@overload
def make(db: Session, model: type[M], /, **values: Any) -> Awaitable[M]: ...
def make(db: Any, model: type[M], /, **values: Any) -> Any:
    """Return a saved object of a model; what is not given is made up: `await make(db, Article, title="News")`."""
    factory: Any = Factory(model)
    return factory.make(db, **values)


@overload
def make_many(db: SyncSession, model: type[M], count: int, /, **values: Any) -> list[M]: ...
@overload
def make_many(db: Session, model: type[M], count: int, /, **values: Any) -> Awaitable[list[M]]: ...
def make_many(db: Any, model: type[M], count: int, /, **values: Any) -> Any:
    """Return several saved objects of a model."""
    factory: Any = Factory(model)
    return factory.make_many(db, count, **values)
