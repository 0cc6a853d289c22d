"""Rows that bring others along, on every database: what a constraint says names the item that it is about."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from msgspec import Meta

from quintet import App
from quintet.db import Database, Mapped, Model, belongs_to, column, foreign_key, has_many, has_one, primary_key
from quintet.resources import resource
from quintet.testing import AsyncClient

Text = Annotated[str, Meta(max_length=40)]


class Shops(Model, database="default"):
    """The base of these models."""


class Buyer(Shops):
    id: Mapped[int] = primary_key()
    email: Mapped[Text] = column(unique=True)


class Basket(Shops):
    id: Mapped[int] = primary_key()
    number: Mapped[Text] = column(unique=True)
    buyer_id: Mapped[int] = foreign_key("buyer.id")
    buyer: Mapped[Buyer] = belongs_to(input=True)
    lines: Mapped[list[Line]] = has_many(input=True)
    label: Mapped[Label | None] = has_one(input=True)


class Line(Shops):
    __table_args__ = (sa.CheckConstraint("pieces < 100", name="few"),)
    id: Mapped[int] = primary_key()
    basket_id: Mapped[int] = foreign_key("basket.id")
    email: Mapped[Text] = column(unique=True)
    pieces: Mapped[int] = column(default=1)
    giver_id: Mapped[int | None] = foreign_key("buyer.id", input=True, default=None)
    notes: Mapped[list[Note]] = has_many(input=True)


class Note(Shops):
    id: Mapped[int] = primary_key()
    line_id: Mapped[int] = foreign_key("line.id")
    text: Mapped[Text] = column(unique=True)


class Label(Shops):
    id: Mapped[int] = primary_key()
    basket_id: Mapped[int] = foreign_key("basket.id", unique=True)
    text: Mapped[Text] = column(unique=True)


class Hooks:
    async def before_create(self, obj: Basket) -> None:
        obj.number = obj.number.strip()


@pytest.fixture(params=[False, True], ids=["", "hooks"])
async def client(url: str, request: pytest.FixtureRequest) -> AsyncGenerator[AsyncClient, None]:
    database = Database(url)
    await database.drop_all(Shops)
    await database.create_all(Shops)
    app = App(plugins=[database])
    app.include(resource(Basket, hooks=Hooks if request.param else None))
    app.include(resource(Line))
    async with AsyncClient(app) as client:
        taken = basket("taken", [line("taken", note("taken"))], "taken", "taken")
        assert (await client.post("/basket", json=taken)).status_code == 201
        yield client
    await database.drop_all(Shops)
    await database.dispose()


def basket(number: str, lines: list[Any], buyer: str = "", label: str = "") -> dict[str, Any]:
    """Return a body; what is not said is of the basket's own."""
    return {
        "number": number,
        "lines": lines,
        "buyer": {"email": buyer or f"{number}@x"},
        "label": {"text": label or number},
    }


def line(email: str, *notes: Any, **values: Any) -> dict[str, Any]:
    return {"email": email, "notes": list(notes), **values}


def note(text: str) -> dict[str, Any]:
    return {"text": text}


CASES: list[tuple[str, int, dict[str, Any], list[Any]]] = [
    ("a line", 409, basket("a", [line("a"), line("taken"), line("b")]), ["lines", 1, "email"]),
    ("a line twice", 409, basket("a", [line("a"), line("b"), line("b")]), ["lines", 2, "email"]),
    ("a note", 409, basket("a", [line("a"), line("b", note("b"), note("taken"))]), ["lines", 1, "notes", 1, "text"]),
    ("a check", 422, basket("a", [line("a"), line("b", pieces=100)]), ["lines", 1, "pieces"]),
    ("no such row", 422, basket("a", [line("a"), line("b", giver_id=9**9)]), ["lines", 1, "giver_id"]),
    ("the row", 409, basket("taken", [line("a"), line("b")], "new"), ["number"]),
    ("what it refers to", 409, basket("a", [line("a")], "taken"), ["buyer", "email"]),
    ("the one that refers to it", 409, basket("a", [line("a")], "", "taken"), ["label", "text"]),
]  # fmt: skip


async def test_a_conflict_names_the_item(client: AsyncClient) -> None:
    for what, status, body, place in CASES:
        for sent, way in ((body, []), ([basket("z", [line("z")]), body], [1])):
            refused = await client.post("/basket", json=sent)
            assert refused.status_code == status, what
            assert [error["loc"] for error in refused.json()["errors"]] == [["body", *way, *place]], what
        assert (await client.get("/basket?total=true")).json()["total"] == 1
        assert (await client.get("/line?total=true")).json()["total"] == 1
    for sent in (basket("a", [line("a", note("a")), line("b")]), [basket("b", [line("c")]), basket("c", [])]):
        assert (await client.post("/basket", json=sent)).status_code == 201


async def test_a_conflict_between_rows_names_the_later_item(client: AsyncClient) -> None:
    both = await client.post("/basket", json=[basket("a", [line("a"), line("b")]), basket("b", [line("c"), line("b")])])
    assert [error["loc"] for error in both.json()["errors"]] == [["body", 1, "lines", 1, "email"]]
    assert (await client.get("/line?total=true")).json()["total"] == 1
