"""Keys of text in addresses, on every database: a row that can be made has a Location and links that lead to it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from html import unescape
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from msgspec import Meta

from quintet import App
from quintet.db import Database, Mapped, Model, column, primary_key
from quintet.resources import resource
from quintet.testing import AsyncClient

HTML = {"accept": "text/html", "origin": "https://testserver", "sec-fetch-site": "same-origin"}


class Places(Model, database="default"):
    """The base of these models."""


class Place(Places):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=700)]] = column(unique=True)


class Seat(Places):
    hall: Mapped[Annotated[str, Meta(max_length=40)]] = primary_key(input=True)
    number: Mapped[int] = primary_key(input=True)


class Hooks:
    def before_create(self, obj: Place) -> None:
        obj.name = obj.name.removeprefix("slash")


@pytest.fixture
async def client(url: str) -> AsyncGenerator[AsyncClient, None]:
    database = Database(url)
    await database.drop_all(Places)
    await database.create_all(Places)
    app = App(plugins=[database])
    app.include(resource(Place, key="name", path="/日本", produces=("json", "html")))
    app.include(resource(Place, key="name", path="/hooked", name="hooked", hooks=Hooks))
    app.include(resource(Seat))
    async with AsyncClient(app, headers={"accept": "application/json"}, follow_redirects=False) as client:
        yield client
    await database.drop_all(Places)
    await database.dispose()


#: The second is a path in a URL that is quoted twice.
REACHABLE = [
    "é", "%2F", "a b", " a", "a?b", "a#b", "100%", "new", "-", "...", "a;b=c", "a:b", "a&b'\"<c>", "\\", "+", "~",
    "日本", "\u00a0", "x" * 690,
]  # fmt: skip


async def test_a_row_is_where_its_location_and_its_links_say(client: AsyncClient) -> None:
    for name in REACHABLE:
        created = await client.post("/日本", json={"name": name})
        assert created.status_code == 201
        path = created.headers["location"]
        assert path.isascii()
        assert (await client.get(path)).json() == created.json()
        for page in ("/日本", path):
            shown = (await client.get(page, headers=HTML)).text
            links = [unescape(link) for link in re.findall(r'<a[^>]* href="([^"]*)"', shown)]
            assert len(links) >= 2
            for link in links:
                assert (await client.get(link, headers=HTML)).status_code == 200, link
        changed = await client.post(f"{path}/edit", data={"name": f"{name}!"}, headers=HTML)
        path = changed.headers["location"]
        assert (await client.get(path)).json()["name"] == f"{name}!"
        gone = await client.post(f"{path}/delete", data={"version": ""}, headers=HTML)
        assert (await client.get(gone.headers["location"])).json()["items"] == []


async def test_a_row_that_no_address_leads_to_is_refused(client: AsyncClient) -> None:
    def where(answer: Any) -> Any:
        assert answer.status_code == 422
        return [(error["loc"], error["code"]) for error in answer.json()["errors"]]

    path = (await client.post("/日本", json={"name": "a"})).headers["location"]
    for name in ("", ".", "..", "x/y", "/", "a\nb", "\x7f", "日" * 690):
        assert where(await client.post("/日本", json={"name": name})) == [(["body", "name"], "address")]
        many = await client.post("/日本", json=[{"name": "b"}, {"name": name}])
        assert where(many) == [(["body", 1, "name"], "address")]
        hooked = await client.post("/hooked", json=[{"name": "slashb"}, {"name": f"slash{name}"}])
        assert where(hooked) == [(["body", 1, "name"], "address")]
        assert where(await client.patch(path, json={"name": name})) == [(["body", "name"], "address")]
        page = await client.post(f"{path}/edit", data={"name": name}, headers=HTML)
        assert "must not be empty" in page.text
        assert [row["name"] for row in (await client.get("/日本")).json()["items"]] == ["a"]


async def test_a_part_of_a_key_is_a_part_of_an_address(client: AsyncClient) -> None:
    refused = await client.post("/seat", json={"hall": "a/b", "number": 1})
    assert [error["loc"] for error in refused.json()["errors"]] == [["body", "hall"]]
    path = (await client.post("/seat", json={"hall": "a b", "number": -1})).headers["location"]
    assert (await client.get(path)).json() == {"hall": "a b", "number": -1}


async def test_a_row_that_others_made_is_no_hindrance(client: AsyncClient, url: str) -> None:
    if url == "sqlite://":
        return  # nobody else gets at it
    database = Database(url)
    async with database.session() as db:
        await db.execute(sa.insert(Place).values(name="x/y"))
    await database.dispose()
    assert [row["name"] for row in (await client.get("/日本")).json()["items"]] == ["x/y"]
    assert (await client.get("/日本", headers=HTML)).status_code == 200
