from __future__ import annotations

import datetime
import enum
import re
import uuid
from decimal import Decimal
from random import Random
from typing import Annotated, Any, Literal

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from quintet import Meta, Struct
from quintet.db import (
    Database,
    Mapped,
    Model,
    Precision,
    Timestamps,
    belongs_to,
    column,
    foreign_key,
    has_many,
    primary_key,
)
from quintet.schema.bounds import Bounds
from quintet.schema.describe import describe
from quintet.testing.db import CannotMake, Factory, build, make, make_many
from quintet.testing.db.factories import reset
from quintet.testing.db.values import make_value


def value_of(tp: Any, number: int = 1) -> Any:
    return make_value(describe(tp, where="here"), "name", number, Random(number))


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(Struct):
    street: str
    number: Annotated[int, Meta(ge=10)]
    note: str = ""


@pytest.mark.parametrize(
    "tp",
    [
        bool, int, float, str, bytes, uuid.UUID, datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
        Colour, Literal["a", "b"], Literal[1, 2], list[int], Annotated[list[int], Meta(min_length=2)], dict[str, int],
        set[str], tuple[int, str], Address, list[Address],
        Annotated[int, Meta(gt=5, lt=8)], Annotated[int, Meta(le=-5)], Annotated[int, Meta(multiple_of=5, ge=12)],
        Annotated[float, Meta(gt=0, lt=0.5)], Annotated[float, Meta(lt=-1e6)],
        Annotated[str, Meta(max_length=3)], Annotated[str, Meta(min_length=30)],
        Annotated[str, Meta(min_length=10, max_length=10)],
        Annotated[str, Meta(pattern=r"^[a-z-]+$", max_length=50)],
        Annotated[str, Meta(pattern=r"^[A-Z]{2}-\d{3,}$", max_length=20)],
        Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$")],
        Annotated[str, Meta(pattern=r"^(red|green)(-dark)?$")],
        Annotated[bytes, Meta(max_length=4)], Annotated[bytes, Meta(min_length=12)],
    ],
    ids=str,
)  # fmt: skip
def test_values_are_valid(tp: Any) -> None:
    for number in (1, 2, 13, 1000):
        value = value_of(tp, number)
        assert msgspec.convert(msgspec.to_builtins(value), tp, strict=False) == value


@given(low=st.integers(-10_000, 10_000), span=st.integers(0, 50), step=st.integers(1, 7), number=st.integers(1, 10**6))
def test_whole_numbers_are_within_their_limits(low: int, span: int, step: int, number: int) -> None:
    tp = Annotated[int, Meta(ge=low, le=low + span + step, multiple_of=step)]
    assert msgspec.convert(value_of(tp, number), tp) % step == 0


@given(places=st.integers(0, 4), digits=st.integers(5, 12), number=st.integers(1, 1000))
def test_decimals_have_their_places(places: int, digits: int, number: int) -> None:
    value = value_of(Annotated[Decimal, Precision.of(digits, places)], number)
    assert abs(value) < Decimal(10) ** (digits - places)
    assert value == round(value, places)


def test_dates_keep_their_bounds() -> None:
    first = datetime.date(2000, 1, 1)
    assert value_of(Annotated[datetime.date, Bounds(ge=first)]) > first
    assert value_of(Annotated[datetime.date, Bounds(lt=first)]) < first


class Library(Model, database="factory-tests"):
    pass


class Country(Library):
    code: Mapped[Annotated[str, Meta(pattern="^[A-Z]{2}$", max_length=2)]] = primary_key()


class Writer(Timestamps, Library):
    id: Mapped[uuid.UUID] = primary_key()
    email: Mapped[Annotated[str, Meta(max_length=60)]] = column(unique=True)
    age: Mapped[Annotated[int, Meta(ge=18, le=120)]]
    country_code: Mapped[str] = foreign_key(Country.code)
    country: Mapped[Country] = belongs_to()
    mentor_id: Mapped[uuid.UUID | None] = foreign_key("writer.id", default=None)
    novels: Mapped[list[Novel]] = has_many()


class Novel(Library):
    __table_args__ = (sa.UniqueConstraint("shelf", "place"),)

    id: Mapped[int] = primary_key()
    title: Mapped[Annotated[str, Meta(min_length=3, max_length=12)]]
    price: Mapped[Annotated[Decimal, Precision.of(6, 2)]]
    shelf: Mapped[int]
    place: Mapped[int]
    cover: Mapped[Colour]
    subtitle: Mapped[str | None]
    meta: Mapped[dict[str, int]]
    writer_id: Mapped[uuid.UUID] = foreign_key(Writer.id)
    writer: Mapped[Writer] = belongs_to()


class Loose(Library):
    id: Mapped[int] = primary_key()
    novel_id: Mapped[int] = foreign_key(Novel.id)


class Chicken(Library):
    id: Mapped[int] = primary_key()
    egg_id: Mapped[int] = foreign_key("egg.id")
    egg: Mapped[Egg] = belongs_to()


class Egg(Library):
    id: Mapped[int] = primary_key()
    chicken_id: Mapped[int] = foreign_key("chicken.id")
    chicken: Mapped[Chicken] = belongs_to()


@pytest.fixture(autouse=True)
def from_one() -> None:
    reset()


@pytest.fixture
def database() -> Any:
    database = Database("sqlite://", name="factory-tests")
    Library.registry.configure()
    Library.metadata.create_all(database.sync_engine)
    yield database
    database.dispose_sync()


def test_an_object_has_the_rows_that_it_needs() -> None:
    novel = build(Novel)
    assert re.fullmatch("[A-Z]{2}", novel.writer.country.code)
    assert 18 <= novel.writer.age <= 120
    assert novel.subtitle is None
    assert novel.writer.mentor_id is None


def test_what_is_given_is_taken() -> None:
    writer = build(Writer, email="ada@example.com")
    factory = Factory(Novel, title=lambda n: f"Part {n}", writer=writer)
    assert [novel.title for novel in factory.build_many(2)] == ["Part 1", "Part 2"]
    assert factory.build(title="Other").writer is writer


def test_the_same_objects_are_made_in_every_run() -> None:
    first = [(n.title, n.price, n.writer.country.code) for n in Factory(Novel).build_many(5)]
    reset()
    assert [(n.title, n.price, n.writer.country.code) for n in Factory(Novel).build_many(5)] == first


def test_many_are_saved(database: Database) -> None:
    with database.sync_session() as db:
        made = make_many(db, Novel, 40)
        assert len({novel.id for novel in made}) == 40
        assert make(db, Novel, title="Given").title == "Given"
    with database.sync_session() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(Writer)) == 41


async def test_many_are_saved_async(database: Database) -> None:
    async with database.session() as db:
        assert len(await make_many(db, Novel, 3)) == 3
        assert (await make(db, Novel)).id == 4
    await database.dispose()


def test_what_cannot_be_made_up_says_what_to_give() -> None:
    with pytest.raises(CannotMake, match=r"Loose.novel_id refers to novel.id, and no relation .* give novel_id=…"):
        build(Loose)
    with pytest.raises(CannotMake, match="needs rows that need it in turn"):
        build(Chicken)
    with pytest.raises(CannotMake, match="is no model"):
        build(Address)


def test_unique_values_that_run_out_are_an_error() -> None:
    class Light(Library):
        colour: Mapped[Literal["red", "green"]] = primary_key()

    assert {light.colour for light in Factory(Light).build_many(2)} == {"red", "green"}
    with pytest.raises(CannotMake, match="Light.colour is unique, and no new value could be made up"):
        build(Light)
