"""Constraints decide: what violates one is a wrong field to the client, without a query before and without a race."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

import pytest
from sqlalchemy import CheckConstraint, select
from sqlalchemy.exc import IntegrityError

from quintet import App, Meta
from quintet.db import (
    Database,
    Mapped,
    Model,
    New,
    Session,
    SyncSession,
    belongs_to,
    column,
    foreign_key,
    primary_key,
)
from quintet.db.translate import read_violation
from quintet.testing import AsyncClient


class Shop(Model, database="default"):
    """The base of these models."""


class Shelf(Shop):
    """Where things stand."""

    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=20)]] = column(unique=True)


class Thing(Shop):
    """What is sold."""

    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=20)]] = column(unique=True, index=True)
    price: Mapped[Annotated[int, Meta(ge=0, le=1000)]] = column(check=True)
    shelf_id: Mapped[int] = foreign_key("shelf.id", input=True)
    shelf: Mapped[Shelf] = belongs_to()


class Loan(Shop):
    """A thing that stands on another shelf, for a time."""

    id: Mapped[int] = primary_key()
    thing_id: Mapped[int] = foreign_key("thing.id", input=True)
    shelf_id: Mapped[int | None] = foreign_key("shelf.id", input=True, default=None)


class Span(Shop):
    """Two numbers, of which one is larger."""

    id: Mapped[int] = primary_key()
    low: Mapped[int]
    high: Mapped[int]
    note: Mapped[Annotated[str, Meta(max_length=20)]] = column(default="")
    __table_args__ = (CheckConstraint("low < high AND note <> 'it''s id'", name="order"),)


def make_app(database: Database) -> App:
    app = App(plugins=[database])

    @app.post("/things", status=201)
    async def add(data: New[Thing], db: Session) -> Thing:
        db.add(data)
        return data

    @app.post("/loans", status=201)
    async def lend(data: New[Loan], db: Session) -> Loan:
        db.add(data)
        return data

    @app.post("/sync/things", status=201)
    def add_sync(data: New[Thing], db: SyncSession) -> Thing:
        db.add(data)
        return data

    @app.post("/spans", status=201)
    async def span(data: New[Span], db: Session) -> Span:
        db.add(data)
        return data

    @app.post("/things/{name}/price", status=204)
    async def price(name: str, db: Session) -> None:
        (await db.one(select(Thing).where(Thing.name == name))).price = -1

    @app.get("/find")
    async def find(name: str, db: Session) -> list[Thing]:
        return await db.many(select(Thing).where(Thing.name == name))

    @app.get("/sync/find")
    def find_sync(name: str, db: SyncSession) -> list[Thing]:
        return db.many(select(Thing).where(Thing.name == name))

    @app.delete("/shelves/{name}")
    async def remove(name: str, db: Session) -> None:
        await db.delete(await db.one(select(Shelf).where(Shelf.name == name)))

    return app


@pytest.fixture
async def client(url: str) -> AsyncGenerator[AsyncClient, None]:
    database = Database(url)
    await database.drop_all(Shop)
    await database.create_all(Shop)
    async with database.session() as db:
        db.add(Shelf(name="top"))
    async with AsyncClient(make_app(database)) as client:
        yield client
    await database.drop_all(Shop)
    await database.dispose()


THING = {"name": "pen", "price": 3, "shelf_id": 1}


@pytest.mark.parametrize("path", ["/things", "/sync/things"], ids=["async", "sync"])
async def test_a_value_that_is_taken_is_409_and_names_the_field(client: AsyncClient, path: str) -> None:
    assert (await client.post(path, json=THING)).status_code == 201
    response = await client.post(path, json=THING)
    assert response.status_code == 409
    assert response.json()["errors"] == [{"loc": ["body", "name"], "msg": "This is taken already.", "code": "taken"}]


@pytest.mark.parametrize("path", ["/things", "/sync/things"], ids=["async", "sync"])
async def test_a_reference_to_nothing_is_422_and_names_the_field(client: AsyncClient, path: str) -> None:
    response = await client.post(path, json={**THING, "shelf_id": 99})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"loc": ["body", "shelf_id"], "msg": "There is no such row.", "code": "exists"}
    ]


async def test_of_two_references_the_one_to_nothing_is_named(client: AsyncClient) -> None:
    assert (await client.post("/things", json=THING)).status_code == 201
    only = await client.post("/loans", json={"thing_id": 99})
    assert [e["loc"] for e in only.json()["errors"]] == [["body", "thing_id"]]
    both = await client.post("/loans", json={"thing_id": 99, "shelf_id": 1})
    assert both.status_code == 422
    errors = both.json()["errors"]
    if len(errors) > 1:  # SQLite does not say which
        assert [e["loc"][1] for e in errors] == ["shelf_id", "thing_id"]
        assert {e["msg"] for e in errors} == {"There is no such row, or not for another field named here."}
    else:
        assert errors == [{"loc": ["body", "thing_id"], "msg": "There is no such row.", "code": "exists"}]


async def test_a_check_that_does_not_hold_is_422_and_names_the_field(client: AsyncClient) -> None:
    await client.post("/things", json=THING)
    response = await client.post("/things/pen/price")
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"loc": ["body", "price"], "msg": "This value is not allowed.", "code": "check"}
    ]


async def test_a_check_written_as_sql_names_the_fields_that_stand_in_it(client: AsyncClient) -> None:
    assert (await client.post("/spans", json={"low": 1, "high": 2})).status_code == 201
    response = await client.post("/spans", json={"low": 2, "high": 1})
    assert response.status_code == 422
    assert [(e["loc"][1], e["code"]) for e in response.json()["errors"]] == [
        ("low", "check"), ("high", "check"), ("note", "check"),
    ]  # fmt: skip


async def test_a_row_that_others_refer_to_stays_and_is_409(client: AsyncClient) -> None:
    await client.post("/things", json=THING)
    response = await client.delete("/shelves/top")
    assert (response.status_code, response.json()["title"]) == (409, "Conflict")


@pytest.mark.parametrize("prefix", ["", "/sync"], ids=["async", "sync"])
async def test_a_nul_in_a_text_never_reaches_the_table(client: AsyncClient, prefix: str) -> None:
    response = await client.post(f"{prefix}/things", json={**THING, "name": "a\0b"})
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["body", "name"])
    found = await client.get(f"{prefix}/find", params={"name": "a\0b"})
    assert (found.status_code, found.json()) == (200, []) or found.status_code == 400


async def test_of_many_who_want_the_same_name_one_gets_it(client: AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post("/things", json=THING) for _ in range(8)))
    assert sorted(a.status_code for a in answers) == [201, *[409] * 7]


ORACLE = [
    ("ORA-00001: unique constraint (SHOP.UQ_THING_NAME) violated", "unique", "uq_thing_name"),
    ("ORA-02291: integrity constraint (SHOP.FK_THING_SHELF_ID_SHELF) violated - parent key not found", "exists",
     "fk_thing_shelf_id_shelf"),
    ("ORA-02292: integrity constraint (SHOP.FK_THING_SHELF_ID_SHELF) violated - child record found", "referred",
     "fk_thing_shelf_id_shelf"),
    ("ORA-02290: check constraint (SHOP.CK_THING_PRICE_VALID) violated", "check", "ck_thing_price_valid"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "name"), ORACLE)
def test_what_oracle_says_is_understood(text: str, kind: str, name: str) -> None:
    error = IntegrityError("INSERT INTO thing (name) VALUES (:1)", {}, Exception(text))
    found = read_violation(error)
    assert found is not None
    assert (found.kind, found.constraint, found.table) == (kind, name, "thing")


def test_what_is_no_violation_is_none() -> None:
    assert read_violation(IntegrityError("SELECT 1", {}, Exception("something else"))) is None
