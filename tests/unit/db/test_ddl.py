"""From annotations to tables, compiled for every database; nothing is executed."""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, oracle, postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from quintet import ConfigurationError, Meta, Struct
from quintet.db import (
    Model,
    Precision,
    belongs_to,
    column,
    foreign_key,
    has_many,
    many_to_many,
    metadata_of,
    primary_key,
)
from quintet.db.naming import table_name

DIALECTS: dict[str, Any] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(),
    "mysql": mysql.dialect(),
    "oracle": oracle.dialect(),
}


class Everything(Model, database="ddl"):
    """The base of these models."""


def alone() -> Any:
    """Return a base of models that no other has."""

    class Alone(Model, database="ddl"):
        pass

    return Alone


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Address(Struct):
    street: str
    city: str = ""


class Thing(Everything):
    id: Mapped[uuid.UUID] = primary_key()
    name: Mapped[Annotated[str, Meta(min_length=2, max_length=40)]] = column(unique=True, check=True)
    text: Mapped[str]
    note: Mapped[str | None] = column(default=None, index=True)
    small: Mapped[Annotated[int, Meta(ge=0, le=100)]] = column(check=True)
    big: Mapped[int]
    price: Mapped[Annotated[Decimal, Precision.of(12, 2)]]
    ratio: Mapped[float]
    flag: Mapped[bool] = column(default=False)
    moment: Mapped[datetime]
    day: Mapped[date]
    hour: Mapped[time]
    length: Mapped[timedelta]
    token: Mapped[uuid.UUID | None]
    data: Mapped[bytes]
    colour: Mapped[Colour] = column(check=True)
    level: Mapped[Level]
    size: Mapped[Literal["s", "m", "xl"]]
    address: Mapped[Address | None]
    addresses: Mapped[list[Address]]
    extra: Mapped[dict[str, Any]]
    words: Mapped[list[str]]
    plain: Mapped[str] = mapped_column(sa.String(7))


COLUMNS = {
    # name: sqlite, postgresql, mysql, oracle
    "id": ("CHAR(32) NOT NULL", "UUID NOT NULL", "CHAR(32) NOT NULL", "CHAR(32) NOT NULL"),
    "name": ("VARCHAR(40) NOT NULL", "VARCHAR(40) NOT NULL", "VARCHAR(40) NOT NULL", "VARCHAR2(40 CHAR) NOT NULL"),
    "text": ("TEXT NOT NULL", "TEXT NOT NULL", "LONGTEXT NOT NULL", "CLOB NOT NULL"),
    "note": ("TEXT", "TEXT", "LONGTEXT", "CLOB"),
    "small": ("INTEGER NOT NULL", "BIGINT NOT NULL", "BIGINT NOT NULL", "NUMBER(19) NOT NULL"),
    "big": ("INTEGER NOT NULL", "BIGINT NOT NULL", "BIGINT NOT NULL", "NUMBER(19) NOT NULL"),
    "price": (
        "NUMERIC(12, 2) NOT NULL",
        "NUMERIC(12, 2) NOT NULL",
        "NUMERIC(12, 2) NOT NULL",
        "NUMERIC(12, 2) NOT NULL",
    ),
    "ratio": ("DOUBLE NOT NULL", "DOUBLE PRECISION NOT NULL", "DOUBLE NOT NULL", "DOUBLE PRECISION NOT NULL"),
    "flag": ("BOOLEAN NOT NULL", "BOOLEAN NOT NULL", "BOOL NOT NULL", "BOOLEAN NOT NULL"),
    "moment": ("DATETIME NOT NULL", "TIMESTAMP WITH TIME ZONE NOT NULL", "DATETIME(6) NOT NULL", "TIMESTAMP NOT NULL"),
    "day": ("DATE NOT NULL", "DATE NOT NULL", "DATE NOT NULL", "DATE NOT NULL"),
    "token": ("CHAR(32)", "UUID", "CHAR(32)", "CHAR(32)"),
    "colour": ("VARCHAR(4) NOT NULL", "VARCHAR(4) NOT NULL", "VARCHAR(4) NOT NULL", "VARCHAR(4 CHAR) NOT NULL"),
    "level": ("BIGINT NOT NULL", "BIGINT NOT NULL", "BIGINT NOT NULL", "NUMBER(19) NOT NULL"),
    "size": ("VARCHAR(2) NOT NULL", "VARCHAR(2) NOT NULL", "VARCHAR(2) NOT NULL", "VARCHAR(2 CHAR) NOT NULL"),
    "address": ("JSON", "JSONB", "JSON", "CLOB"),
    "addresses": ("JSON NOT NULL", "JSONB NOT NULL", "JSON NOT NULL", "CLOB NOT NULL"),
    "extra": ("JSON NOT NULL", "JSONB NOT NULL", "JSON NOT NULL", "CLOB NOT NULL"),
    "words": ("JSON NOT NULL", "TEXT[] NOT NULL", "JSON NOT NULL", "CLOB NOT NULL"),
    "plain": ("VARCHAR(7) NOT NULL", "VARCHAR(7) NOT NULL", "VARCHAR(7) NOT NULL", "VARCHAR2(7 CHAR) NOT NULL"),
}


def ddl(model: type[Any], dialect: str) -> dict[str, str]:
    """Return the definition of each column and constraint of a table."""
    text = str(CreateTable(model.__table__).compile(dialect=DIALECTS[dialect]))
    lines = [line.strip().rstrip(",") for line in text.splitlines()[2:] if line.strip(" )")]
    out: dict[str, str] = {}
    for line in lines:
        name, _, rest = line.removeprefix("CONSTRAINT ").partition(" ")
        out[name.strip('`"')] = rest.strip()
    return out


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_annotation_has_its_type(dialect: str) -> None:
    found = ddl(Thing, dialect)
    at = list(DIALECTS).index(dialect)
    assert {name: found[name] for name in COLUMNS} == {name: types[at] for name, types in COLUMNS.items()}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_constraints_of_a_type_are_checks_where_asked_for(dialect: str) -> None:
    found = ddl(Thing, dialect)
    length = "char_length" if dialect == "mysql" else "length"
    assert found["ck_thing_name_valid"] == f"CHECK ({length}(name) >= 2)"
    assert found["ck_thing_small_valid"] == "CHECK (small >= 0 AND small <= 100)"
    assert found["ck_thing_colour"] == "CHECK (colour IN ('red', 'blue'))"
    assert found["uq_thing_name"] == "UNIQUE (name)"
    assert not any("size" in name or "big" in name for name in found if name.startswith("ck_"))


def test_a_number_as_key_counts_up_on_every_database() -> None:
    class Counted(Everything):
        id: Mapped[int] = primary_key()

    found = {name: ddl(Counted, name)["id"] for name in DIALECTS}
    assert found == {
        "sqlite": "INTEGER NOT NULL",
        "postgresql": "BIGINT GENERATED BY DEFAULT AS IDENTITY",
        "mysql": "BIGINT NOT NULL AUTO_INCREMENT",
        "oracle": "NUMBER(19) GENERATED BY DEFAULT AS IDENTITY",
    }


def test_tables_are_named_after_their_classes() -> None:
    assert [table_name(n) for n in ("User", "OrderLine", "HTTPLog", "A1B2")] == [
        "user",
        "order_line",
        "http_log",
        "a1_b2",
    ]


def test_the_table_between_two_models_is_made_once() -> None:
    class Links(Model, database="ddl"):
        pass

    class Post(Links):
        id: Mapped[int] = primary_key()
        labels: Mapped[list[Label]] = many_to_many()

    class Label(Links):
        id: Mapped[int] = primary_key()
        posts: Mapped[list[Post]] = many_to_many()

    metadata = metadata_of(Links)
    assert sorted(metadata.tables) == ["label", "label_post", "post"]
    between = metadata.tables["label_post"]
    assert [c.name for c in between.primary_key] == ["label_id", "post_id"]
    assert {str(f.ondelete) for f in between.foreign_keys} == {"CASCADE"}


def test_two_foreign_keys_to_one_table_need_no_words() -> None:
    class Flights(Model, database="ddl"):
        pass

    class Town(Flights):
        id: Mapped[int] = primary_key()

    class Flight(Flights):
        id: Mapped[int] = primary_key()
        start_id: Mapped[int] = foreign_key("town.id")
        start: Mapped[Town] = belongs_to()
        end_id: Mapped[int] = foreign_key("town.id", ondelete="CASCADE")
        end: Mapped[Town] = belongs_to()

    metadata_of(Flights)
    flight = Flight(start=Town(id=1), end=Town(id=2))
    assert (flight.start.id, flight.end.id) == (1, 2)


def test_what_no_column_can_hold_is_refused_with_the_fix() -> None:
    with pytest.raises(ConfigurationError, match=r"Wrong\.price: a column of Decimal needs its digits"):
        type("Wrong", (alone(),), {"__annotations__": {"price": Mapped[Decimal]}, "__module__": __name__})


def test_a_constructor_refuses_what_is_not_declared_and_sets_defaults() -> None:
    thing = cast("Any", Thing)(name="pen")
    assert (thing.flag, thing.note) == (False, None)
    with pytest.raises(TypeError, match="Thing has no 'nane'; it has address"):
        cast("Any", Thing)(nane="pen")


def test_keys_that_are_uuids_are_made_in_the_order_of_time() -> None:
    from quintet.db import uuid7

    made = [uuid7() for _ in range(50)]
    assert {u.version for u in made} == {7}
    assert {u.variant for u in made} == {uuid.RFC_4122}
    assert [u.time_low for u in made] == sorted(u.time_low for u in made)
    assert cast("Any", Thing)(name="pen").id.version == 7


def test_relations_are_not_columns() -> None:
    class Trees(Model, database="ddl"):
        pass

    class Node(Trees):
        id: Mapped[int] = primary_key()
        parent_id: Mapped[int | None] = foreign_key("node.id", default=None)
        children: Mapped[list[Node]] = has_many(back="parent")
        parent: Mapped[Node | None] = belongs_to(back="children", remote_side="Node.id")

    metadata_of(Trees)
    root = Node()
    child = Node(parent=root)
    assert root.children == [child]
    assert sorted(c.name for c in Node.__table__.columns) == ["id", "parent_id"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_statements_of_models_compile(dialect: str) -> None:
    statements = [
        sa.select(Thing).where(Thing.moment > sa.func.now(), Thing.address.is_(None)).limit(3).offset(6),
        sa.insert(Thing).values(name="pen"),
        sa.update(Thing).where(Thing.colour == Colour.RED).values(level=Level.LOW),
        sa.delete(Thing).where(Thing.token.in_([uuid.UUID(int=1)])),
        sa.select(sa.func.count()).select_from(Thing),
    ]
    for statement in statements:
        assert "thing" in str(statement.compile(dialect=DIALECTS[dialect]))
