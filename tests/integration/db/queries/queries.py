"""The models and the queries of these tests."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any

import sqlalchemy as sa
from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.orm import selectinload

from quintet import Meta, Struct
from quintet.db import Mapped, Model, Precision, belongs_to, column, foreign_key, has_many, primary_key, query, uuid7


class Base(Model):
    """The base of these models, with tables of its own."""

    __abstract__ = True
    metadata = sa.MetaData()


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 9


class Size(Struct):
    width: int
    height: int


class Word(sa.types.TypeDecorator[str]):
    """Stored backwards, so that a processor left out is seen."""

    impl = sa.String(50)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return value[::-1] if value is not None else None

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        return value[::-1] if value is not None else None


class Owner(Base):
    __tablename__ = "q_owner"
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]] = column(unique=True)
    things: Mapped[list[Thing]] = has_many()


class Thing(Base):
    __tablename__ = "q_thing"
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]] = column("name_of_thing", unique=True)
    rank: Mapped[int] = column(default=0)
    note: Mapped[str | None] = column(default=None)
    owner_id: Mapped[int | None] = foreign_key("q_owner.id", default=None)
    owner: Mapped[Owner | None] = belongs_to()


class Kinds(Base):
    """A column of every type."""

    __tablename__ = "q_kinds"
    id: Mapped[int] = primary_key()
    flag: Mapped[bool | None] = column(default=None)
    text: Mapped[str | None] = column(default=None)
    whole: Mapped[int | None] = column(default=None)
    real: Mapped[float | None] = column(default=None)
    exact: Mapped[Annotated[Decimal, Precision.of(12, 2)] | None] = column(default=None)
    blob: Mapped[bytes | None] = column(default=None)
    day: Mapped[date | None] = column(default=None)
    hour: Mapped[time | None] = column(default=None)
    moment: Mapped[datetime | None] = column(default=None)
    span: Mapped[timedelta | None] = column(default=None)
    code: Mapped[uuid.UUID | None] = column(default=None)
    colour: Mapped[Colour | None] = column(default=None)
    level: Mapped[Level | None] = column(default=None)
    size: Mapped[Size | None] = column(default=None)
    numbers: Mapped[list[int] | None] = column(default=None)
    word: Mapped[str | None] = column(Word(), default=None)


class Stamped(Base):
    """Defaults that Python computes."""

    __tablename__ = "q_stamped"
    id: Mapped[uuid.UUID] = primary_key(default=uuid7)
    name: Mapped[Annotated[str, Meta(max_length=50)]]
    state: Mapped[Annotated[str, Meta(max_length=10)]] = column(default="new")


class Head(Struct):
    id: int
    name: str


@query
def thing(key: int) -> Select[Thing]:
    return select(Thing).where(Thing.id == key)


@query
def by_name(name: str) -> Select[Thing]:
    return select(Thing).where(Thing.name == name)


@query
def things(limit: int = 100) -> Select[Thing]:
    return select(Thing).order_by(Thing.id).limit(limit)


@query
def found(name: str | None = None, rank: int | None = None) -> Select[Thing]:
    statement = select(Thing).order_by(Thing.id)
    if name is not None:
        statement = statement.where(Thing.name == name)
    return statement.where(Thing.rank.is_(None) if rank is None else Thing.rank == rank)


@query
def among(names: list[str], rank: int = 0) -> Select[Thing]:
    return select(Thing).where(Thing.name.in_(names), Thing.rank >= rank).order_by(Thing.id)


@query(into=Head)
def heads(least: int = 0):
    return select(Thing.id, Thing.name).where(Thing.id >= least).order_by(Thing.id)


@query
def names() -> Select[str]:
    return select(Thing.name).order_by(Thing.id)


@query
def pairs() -> Select[int, str]:
    return select(Thing.id, Thing.name).order_by(Thing.id)


@query
def with_owners() -> Select[Thing, Owner]:
    return select(Thing, Owner).outerjoin(Owner, Thing.owner_id == Owner.id).order_by(Thing.id)


@query
def count() -> Select[int]:
    return select(func.count()).select_from(Thing)


@query
def owners_with_things() -> Select[Owner]:
    return select(Owner).options(selectinload(Owner.things)).order_by(Owner.id)


@query
def locked(key: int) -> Select[Thing]:
    return select(Thing).where(Thing.id == key).with_for_update()


@query
def kinds(key: int) -> Select[Kinds]:
    return select(Kinds).where(Kinds.id == key)


@query
def since(moment: datetime) -> Select[Kinds]:
    return select(Kinds).where(Kinds.moment >= moment)


@query
def add(name: str, rank: int = 0) -> sa.Insert:
    return insert(Thing).values(name=name, rank=rank)


@query
def add_stamped(name: str) -> sa.Insert:
    return insert(Stamped).values(name=name)


@query
def rename(key: int, name: str) -> sa.Update:
    return update(Thing).where(Thing.id == key).values(name=name)


@query
def remove(least: int) -> sa.Delete:
    return delete(Thing).where(Thing.id >= least)


ROW = {
    "flag": True, "text": "Ünï 'x' %s :y", "whole": 2**40, "real": 1.5, "exact": Decimal("12.30"), "blob": b"\0\xff",
    "day": date(2024, 2, 29), "hour": time(13, 14, 15), "moment": datetime(2024, 2, 29, 13, 14, 15, 678900, UTC),
    "span": timedelta(days=2, seconds=3), "code": uuid.UUID(int=7 << 64), "colour": Colour.BLUE, "level": Level.HIGH,
    "size": Size(width=1, height=2), "numbers": [1, 2, 3], "word": "palindrome",
}  # fmt: skip
