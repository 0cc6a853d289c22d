"""Resources whose rows have a key of several columns, on every database."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import date
from operator import itemgetter
from typing import Annotated, Any

import pytest
from msgspec import Meta

from quintet import App
from quintet.db import Database, Mapped, Model, Versioned, View, belongs_to, column, foreign_key, primary_key
from quintet.errors import ConfigurationError
from quintet.openapi.document import build_document
from quintet.resources import resource
from quintet.testing import AsyncClient
from quintet.testing.db import assert_queries

HTML = {"accept": "text/html", "origin": "https://testserver", "sec-fetch-site": "same-origin"}
JSON = {"accept": "application/json"}
Name = Annotated[str, Meta(max_length=40)]


class Seats(Model, database="default"):
    """The base of these models."""


class Hall(Seats):
    id: Mapped[int] = primary_key()
    name: Mapped[Name]


class Booking(Versioned, Seats):
    hall_id: Mapped[int] = foreign_key("hall.id", primary_key=True, input=True)
    day: Mapped[date] = primary_key(input=True)
    seat: Mapped[Name] = primary_key(input=True)
    guest: Mapped[Name] = column(default="nobody")
    hall: Mapped[Hall] = belongs_to()


@pytest.fixture
async def seats(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    await database.drop_all(Seats)
    await database.create_all(Seats)
    async with database.session() as db:
        db.add_all([Hall(id=1, name="Big"), Hall(id=2, name="Small")])
    yield database
    await database.drop_all(Seats)
    await database.dispose()


def make_app(database: Database, **options: Any) -> App:
    app = App(plugins=[database])
    app.include(resource(Booking, produces=("json", "html", "csv"), **options))
    return app


@pytest.fixture(params=["async", "sync"])
async def client(seats: Database, request: pytest.FixtureRequest) -> AsyncGenerator[AsyncClient, None]:
    options: dict[str, Any] = {"pagination": "cursor", "size": 2, "sorts": ["guest"], "filters": ["hall", "day"]}
    app = make_app(seats, sync=request.param == "sync", **options)
    async with AsyncClient(app, headers=JSON, follow_redirects=False) as client:
        yield client


def booking(hall: int = 1, day: str = "2026-01-31", seat: str = "A1", **values: Any) -> dict[str, Any]:
    return {"hall_id": hall, "day": day, "seat": seat, **values}


async def test_a_row_is_created_read_changed_and_deleted_at_its_own_address(client: AsyncClient) -> None:
    made = await client.post("/booking", json=booking(guest="Ada"))
    assert made.status_code == 201
    path = made.headers["location"]
    assert path == "/booking/1/2026-01-31/A1"
    for other in (booking(2), booking(day="2026-02-01"), booking(seat="A2")):
        assert (await client.post("/booking", json=other)).status_code == 201
    read = await client.get(path)
    assert read.json() == booking(guest="Ada", version=1)
    changed = await client.patch(path, json={"guest": "Bo"}, headers={"if-match": read.headers["etag"]})
    assert changed.json() == booking(guest="Bo", version=2)
    assert (await client.delete(path, headers={"if-match": read.headers["etag"]})).status_code == 412
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    left = (await client.get("/booking?size=10")).json()["items"]
    assert [row["guest"] for row in left] == ["nobody"] * 3


async def test_an_address_that_is_none_is_refused(client: AsyncClient) -> None:
    await client.post("/booking", json=booking())
    assert (await client.get("/booking/1/2026-01-31")).status_code == 404
    assert (await client.get("/booking/1/2026-01-31/A2")).status_code == 404
    for path in ("/booking/x/2026-01-31/A1", "/booking/1/yesterday/A1", "/booking/9999999999999999999/2026-01-31/A1"):
        assert (await client.get(path)).status_code == 404


async def test_a_key_that_is_taken_and_a_part_that_is_missing(client: AsyncClient) -> None:
    await client.post("/booking", json=booking())
    assert (await client.post("/booking", json=booking())).status_code == 409
    missing = await client.post("/booking", json={"hall_id": 1, "day": "2026-01-31"})
    assert missing.json()["errors"][0]["loc"] == ["body", "seat"]


async def test_text_in_an_address_is_encoded_part_by_part(client: AsyncClient) -> None:
    made = await client.post("/booking", json=booking(seat="ä 1?"))
    path = made.headers["location"]
    assert path == "/booking/1/2026-01-31/%C3%A4%201%3F"
    assert (await client.get(path)).json()["seat"] == "ä 1?"


async def test_a_changed_key_is_a_new_address(client: AsyncClient) -> None:
    path = (await client.post("/booking", json=booking())).headers["location"]
    assert (await client.patch(path, json={"seat": "B1"})).json()["seat"] == "B1"
    assert (await client.get(path)).status_code == 404
    assert (await client.get("/booking/1/2026-01-31/B1")).status_code == 200


@pytest.mark.parametrize("query", ["", "&sort=guest", "&sort=-guest"])
async def test_cursors_go_through_all_rows_in_the_order_of_the_whole_key(client: AsyncClient, query: str) -> None:
    rows = [
        booking(hall, day, seat, guest=guest)
        for hall in (2, 1) for day in ("2026-01-02", "2026-01-01") for seat, guest in (("B", "y"), ("A", "x"))
    ]  # fmt: skip
    assert (await client.post("/booking", json=rows)).status_code == 201
    found: list[tuple[Any, ...]] = []
    cursor: str | None = ""
    while cursor is not None:
        part = (await client.get(f"/booking?size=3{query}{f'&cursor={cursor}' if cursor else ''}")).json()
        found += [(row["guest"], row["hall_id"], row["day"], row["seat"]) for row in part["items"]]
        cursor = part["next"]
    expected = [(row["guest"], row["hall_id"], row["day"], row["seat"]) for row in rows]
    first = 0 if query else 1  # the guest's name, or what comes after it: the key
    assert found == sorted(expected, key=itemgetter(slice(first, None)), reverse="-" in query)
    some = (await client.get("/booking?hall_id=2&day=2026-01-01&total=true")).json()
    assert some["total"] == 2


async def test_pages_link_to_rows_and_their_forms(client: AsyncClient) -> None:
    form = await client.get("/booking/new", headers=HTML)
    assert 'name="day" type="date"' in form.text
    made = await client.post("/booking/new", data=booking(guest="Ada"), headers=HTML)
    path = "/booking/1/2026-01-31/A1"
    assert (made.status_code, made.headers["location"]) == (303, path)
    assert f'href="{path}"' in (await client.get("/booking", headers=HTML)).text
    row = (await client.get(path, headers=HTML)).text
    assert "<h1>Booking 1 2026-01-31 A1</h1>" in row
    assert f'href="{path}/edit"' in row
    assert f'href="{path}/delete"' in row
    assert 'value="Ada"' in (await client.get(f"{path}/edit", headers=HTML)).text
    change = booking(guest="Bo", seat="A2", version="1")
    changed = await client.post(f"{path}/edit", data=change, headers=HTML)
    assert (changed.status_code, changed.headers["location"]) == (303, "/booking/1/2026-01-31/A2")
    gone = await client.post("/booking/1/2026-01-31/A2/delete", data={"version": "2"}, headers=HTML)
    assert (gone.status_code, gone.headers["location"]) == (303, "/booking")


async def test_relations_are_shown_and_a_row_by_its_key_is_one_query(seats: Database) -> None:
    app = make_app(seats, view=View("hall"))
    async with AsyncClient(app, headers=JSON) as client:
        made = await client.post("/booking", json=booking())
        assert made.json()["hall"] == {"id": 1, "name": "Big"}
        assert (await client.get(made.headers["location"])).json()["hall"]["name"] == "Big"
    async with AsyncClient(make_app(seats), headers=JSON) as client:
        path = made.headers["location"]
        await client.get(path)
        with assert_queries(1) as asked:
            assert (await client.get(path)).status_code == 200
        assert asked[0].query == "resource(Booking) by key"


def test_the_documentation_has_a_parameter_for_each_part() -> None:
    app = make_app(Database("sqlite://"))
    described = build_document(app)["paths"]["/booking/{hall_id}/{day}/{seat}"]["get"]["parameters"]
    found = {p["name"]: (p["in"], p["schema"].get("format", p["schema"]["type"])) for p in described}
    assert found == {"hall_id": ("path", "int64"), "day": ("path", "date"), "seat": ("path", "string")}


def test_a_part_of_a_key_is_no_address() -> None:
    app = App(plugins=[Database("sqlite://")])
    app.include(resource(Booking, key="seat"))
    with pytest.raises(ConfigurationError, match="cannot be found by 'seat', which is not unique"):
        _ = app.dispatcher
