"""Several versions of one path, told apart by a header or by the media type."""

from __future__ import annotations

from typing import Any

import pytest

from quintet import App, Router, Struct, Versioning
from quintet.errors import ConfigurationError
from quintet.testing import Client


class Order(Struct):
    number: int


def make(versioning: Versioning | None) -> App:
    app = App(docs=False, versioning=versioning)

    @app.get("/", version="1")
    async def first() -> dict[str, str]:
        return {"version": "one"}

    @app.get("/", version="2")
    def second() -> str:
        return "two"

    @app.post("/", version="2", max_body=20)
    async def create(order: Order) -> int:
        return order.number

    return app


@pytest.mark.parametrize(
    ("versioning", "one", "two"),
    [
        (None, {"x-api-version": "1"}, {"x-api-version": "2"}),
        (Versioning(name="Api-Date"), {"api-date": "1"}, {"api-date": "2"}),
        (
            Versioning(by="media_type"),
            {"accept": "application/json; version=1"},
            {"accept": 'text/plain;version="2", */*'},
        ),
    ],
)
def test_a_request_says_which_version_it_wants(versioning: Any, one: dict[str, str], two: dict[str, str]) -> None:
    with Client(make(versioning)) as client:
        assert client.get("/", headers=one).json() == {"version": "one"}
        assert client.get("/", headers=two).text == "two"
        assert client.post("/", headers=two, json={"number": 5}).json() == 5
        assert client.post("/", headers=two, json={"number": 5, "more": "x" * 20}).status_code == 413
        for headers in (one, two):
            vary = client.get("/", headers=headers).headers.get("vary", "").lower()
            name = next(iter(one))
            assert name in vary.replace(" ", "").split(","), "a cache must not mix the versions"


def test_a_version_that_is_not_there_is_a_406_with_those_that_are() -> None:
    with Client(make(None)) as client:
        unknown, none = client.get("/", headers={"x-api-version": "9"}), client.get("/")
    assert unknown.status_code == none.status_code == 406
    assert unknown.json()["detail"] == "there are the versions 1, 2, not '9'"
    assert "the request names none" in none.json()["detail"]


def test_a_request_that_names_none_gets_the_default() -> None:
    with Client(make(Versioning(default="2"))) as client:
        assert client.get("/").text == "two"


def test_a_route_without_a_version_answers_every_other() -> None:
    app = make(None)

    @app.get("/")
    async def rest() -> str:
        return "rest"

    with Client(app) as client:
        assert client.get("/").text == "rest"
        assert client.get("/", headers={"x-api-version": "9"}).text == "rest"
        assert client.get("/", headers={"x-api-version": "2"}).text == "two"


def test_a_router_has_one_version() -> None:
    app, second = App(docs=False), Router("/items", version="2")

    @app.get("/items/{n}", version="1")
    async def old(n: int) -> str:
        return f"old {n}"

    @second.get("/{n}")
    async def new(n: int) -> str:
        return f"new {n}"

    app.include(second)
    with Client(app) as client:
        assert client.get("/items/5", headers={"x-api-version": "1"}).text == "old 5"
        assert client.get("/items/5", headers={"x-api-version": "2"}).text == "new 5"


def test_the_same_version_twice_is_a_duplicate() -> None:
    app = make(None)

    @app.get("/", version="2")
    async def again() -> None: ...

    with pytest.raises(ConfigurationError) as error:
        app.freeze()
    (problem,) = error.value.problems
    assert problem.id == "routes.duplicate"
