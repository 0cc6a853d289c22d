"""What is stored comes back as it was given, on every database."""

from __future__ import annotations

import enum
import uuid
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from quintet import Meta, Struct
from quintet.db import Database, Mapped, Model, Precision, column, primary_key


class Store(Model, database="default"):
    """The base of these models."""


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Address(Struct):
    street: str
    since: date | None = None


class Started(Store):
    id: Mapped[int] = primary_key()
    number: Mapped[int | None] = column(default=7)
    made: Mapped[uuid.UUID | None] = column(default=uuid.uuid4)


class Sample(Store):
    id: Mapped[uuid.UUID] = primary_key()
    number: Mapped[int] = column(default=1)
    price: Mapped[Annotated[Decimal, Precision.of(12, 2)] | None] = column(default=None)
    ratio: Mapped[float | None] = column(default=None)
    flag: Mapped[bool | None] = column(default=None)
    moment: Mapped[datetime | None] = column(default=None)
    day: Mapped[date | None] = column(default=None)
    hour: Mapped[time | None] = column(default=None)
    length: Mapped[timedelta | None] = column(default=None)
    token: Mapped[uuid.UUID | None] = column(default=None)
    data: Mapped[bytes | None] = column(default=None)
    colour: Mapped[Colour | None] = column(default=None)
    level: Mapped[Level | None] = column(default=None)
    size: Mapped[Literal["s", "xl"] | None] = column(default=None)
    address: Mapped[Address | None] = column(default=None)
    addresses: Mapped[list[Address]] = column(default=list)
    extra: Mapped[dict[str, Any]] = column(default=dict)
    words: Mapped[list[str]] = column(default=list)
    numbers: Mapped[list[int] | None] = column(default=None)
    text: Mapped[Annotated[str, Meta(max_length=100)]] = column(default="")


VALUES: list[tuple[str, Any]] = [
    ("number", 2**62),
    ("number", -(2**62)),
    ("price", Decimal("9999999999.99")),
    ("ratio", 0.1),
    ("flag", True),
    ("moment", datetime(2026, 11, 26, 12, 30, 15, 123456, UTC)),
    ("day", date(2026, 2, 28)),
    ("hour", time(23, 59, 58, 123456)),
    ("length", timedelta(days=2, seconds=5, microseconds=7)),
    ("length", timedelta(days=-100_000_000)),
    ("token", uuid.UUID(int=7)),
    ("data", b"\x00\xff"),
    ("colour", Colour.BLUE),
    ("level", Level.HIGH),
    ("size", "xl"),
    ("address", Address(street="Main", since=date(2020, 1, 1))),
    ("addresses", [Address(street="a"), Address(street="b")]),
    ("extra", {"a": [1, None, {"b": "ü"}]}),
    ("words", ["one", "two, three"]),
    ("numbers", [1, 2]),
    ("text", "snow ☃ and 𝄞"),
]


@pytest.fixture
async def store(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    await database.drop_all(Store)
    await database.create_all(Store)
    yield database
    await database.drop_all(Store)
    await database.dispose()


async def test_values_come_back_as_they_were_given(store: Database) -> None:
    made = [Sample(**{name: value}) for name, value in VALUES]
    async with store.session() as db:
        db.add_all(made)
    async with store.session("read") as db:
        for sample, (name, value) in zip(made, VALUES, strict=True):
            found = await db.one(select(Sample).where(Sample.id == sample.id))
            assert (name, getattr(found, name)) == (name, value)
            assert isinstance(getattr(found, name), type(value))
    with store.sync_session("read") as sync:
        found = {s.id: s for s in sync.many(select(Sample))}
        assert [getattr(found[s.id], n) for s, (n, _) in zip(made, VALUES, strict=True)] == [v for _, v in VALUES]


async def test_a_moment_elsewhere_is_the_same_moment(store: Database) -> None:
    there = datetime(2026, 11, 26, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    async with store.session() as db:
        db.add(Sample(moment=there))
    async with store.session("read") as db:
        (found,) = await db.many(select(Sample).where(Sample.moment == there))
        assert found.moment == there
        assert found.moment.utcoffset() == timedelta(0)


async def test_a_datetime_without_a_time_zone_is_refused(store: Database) -> None:
    async with store.session() as db:
        db.add(Sample(moment=datetime(2026, 1, 1)))  # noqa: DTZ001 - it is what is refused
        with pytest.raises(StatementError, match="has no time zone, so it is no certain moment"):
            await db.flush()
        await db.rollback()


async def test_a_null_in_json_is_the_null_of_sql(store: Database) -> None:
    async with store.session() as db:
        db.add_all([Sample(address=None), Sample(address=Address(street="Main"))])
    async with store.session("read") as db:
        assert len(await db.many(select(Sample).where(Sample.address.is_(None)))) == 1


async def test_none_in_the_place_of_a_default_is_none(store: Database) -> None:
    async with store.session() as db:
        db.add_all([Started(id=1), Started(id=2, number=None), Started(id=3, made=None)])
    async with store.session("read") as db:
        rows = await db.many(select(Started).order_by(Started.id))
    assert [(row.number, row.made is None) for row in rows] == [(7, False), (None, False), (7, True)]


async def test_queries_look_into_json(store: Database) -> None:
    async with store.session() as db:
        db.add_all([Sample(extra={"kind": "a"}), Sample(extra={"kind": "b"})])
    async with store.session("read") as db:
        found = await db.many(select(Sample).where(Sample.extra["kind"].as_string() == "b"))
        assert [s.extra for s in found] == [{"kind": "b"}]


async def test_the_time_of_the_database_is_utc_too(mariadb_url: str) -> None:
    database = Database(mariadb_url)
    try:
        async with database.session() as db:
            assert await db.one(text("SELECT @@session.time_zone")) == "+00:00"
        with database.sync_session() as db:
            assert db.one(text("SELECT @@session.time_zone")) == "+00:00"
    finally:
        await database.dispose()
