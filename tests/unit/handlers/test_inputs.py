"""Inputs outside the body: defaults, empty values, repeated ones, and all errors at once."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import pytest

from quintet import App, Body, Bounds, Cookie, Header, Meta, Query, Request, Struct
from quintet.testing import Client


class Filter(Struct):
    author: str | None = None
    tags: list[str] | None = None
    since: date | None = None


async def handler(
    number: int = 1,
    text: str = "default",
    maybe: int | None = None,
    flag: bool = False,
    many: Query[list[int] | None] = None,
    short: Annotated[str, Meta(min_length=1, max_length=3)] = "abc",
    day: Annotated[date, Bounds(ge=date(2024, 1, 1))] = date(2024, 6, 1),
) -> list[Any]:
    return [number, text, maybe, flag, many, short, day]


DEFAULTS = [1, "default", None, False, None, "abc", "2024-06-01"]


def get(query: str, function: Any = handler, **headers: str) -> Any:
    app = App(docs=False)
    app.get("/")(function)
    with Client(app) as client:
        return client.get(f"/?{query}", headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize(
    ("query", "place", "value"),
    [
        ("", 0, 1),
        ("number=", 0, 1),
        ("number=0", 0, 0),
        ("number=-5", 0, -5),
        ("number=9223372036854775807", 0, 2**63 - 1),
        ("text=", 1, ""),
        ("text=%20%C3%A9%2B+x", 1, " é+ x"),
        ("maybe=", 2, None),
        ("maybe=7", 2, 7),
        ("flag=on", 3, True),
        ("flag=0", 3, False),
        ("flag=", 3, False),
        ("many=1", 4, [1]),
        ("many=1&many=2", 4, [1, 2]),
        ("short=x", 5, "x"),
        ("day=2024-01-01", 6, "2024-01-01"),
        ("unknown=1", 0, 1),
    ],
)
def test_what_was_sent_becomes_a_value(query: str, place: int, value: Any) -> None:
    response = get(query)
    assert response.status_code == 200, response.text
    expected = list(DEFAULTS)
    expected[place] = value
    assert response.json() == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("number=x", "int"),
        ("number=1.0", "int"),
        ("number=1e3", "int"),
        ("number=%2B5", "int"),
        ("number=1_000", "int"),
        ("number=%D9%A5", "int"),
        ("number=9223372036854775808", "int64"),
        ("number=" + "9" * 5000, "int64"),
        ("number=1&number=2", "repeated"),
        ("maybe=x", "int"),
        ("flag=maybe", "bool"),
        ("many=1&many=x", "int"),
        ("short=", "min_length"),
        ("short=abcd", "max_length"),
        ("day=2023-12-31", "ge"),
        ("day=31.12.2024", "date"),
    ],
)
def test_what_is_wrong_is_told_by_a_code(query: str, code: str) -> None:
    response = get(query)
    assert response.status_code == 422, response.text
    assert [e["code"] for e in response.json()["errors"]] == [code]


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_parameters() -> None:
    response = get("day=x&number=x&flag=x&maybe=x")
    assert [e["loc"] for e in response.json()["errors"]] == [
        ["query", "number"], ["query", "maybe"], ["query", "flag"], ["query", "day"],
    ]  # fmt: skip


@pytest.mark.parametrize("query", ["%zz", "a=%ff", "a=%", "&".join(["a=1"] * 1001)])
def test_a_query_that_cannot_be_read_is_a_400(query: str) -> None:
    assert get(query).status_code == 400


def test_headers_and_cookies_are_text_like_the_rest() -> None:
    async def take(accept_language: Header[str], x_count: Header[int], theme: Cookie[bool] = False) -> list[Any]:
        return [accept_language, x_count, theme]

    assert get("", take, accept_language="de", x_count=" 5 ", cookie="a=b; theme=on").json() == ["de", 5, True]
    wrong = get("", take, accept_language="de", x_count="five", cookie="theme=maybe")
    assert [e["loc"] for e in wrong.json()["errors"]] == [["header", "x-count"], ["cookie", "theme"]]


def test_a_header_that_comes_twice_is_a_list_or_an_error() -> None:
    async def listed(x_tag: Header[list[str]]) -> list[str]:
        return x_tag

    async def single(x_tag: Header[str]) -> str:
        return x_tag

    app = App(docs=False)
    app.get("/listed")(listed)
    app.get("/single")(single)
    twice = [("x-tag", "a"), ("x-tag", "b")]
    with Client(app) as client:
        assert client.get("/listed", headers=twice).json() == ["a", "b"]
        response = client.get("/single", headers=twice)
    assert response.json()["errors"][0]["code"] == "repeated"


def test_a_structure_in_the_query_stands_beside_other_parameters() -> None:
    async def find(filter: Query[Filter], page: int, request: Request) -> list[Any]:
        return [filter.author, filter.tags, filter.since, page]

    assert get("author=Ada&tags=a&tags=b&page=2", find).json() == ["Ada", ["a", "b"], None, 2]
    wrong = get("since=x&page=y&stranger=1", find)
    assert {(e["loc"][-1], e["code"]) for e in wrong.json()["errors"]} == {
        ("since", "date"),
        ("page", "int"),
        ("stranger", "unknown_field"),
    }


def test_a_default_that_a_handler_changes_is_new_for_the_next_request() -> None:
    app = App(docs=False)

    @app.get("/query")
    async def query(tags: list[str] = []) -> list[str]:  # noqa: B006
        tags.append("x")
        return tags

    @app.post("/body")
    async def body(tags: Body[list[str]] = []) -> list[str]:  # noqa: B006
        tags.append("x")
        return tags

    with Client(app) as client:
        for _ in range(2):
            assert client.get("/query").json() == ["x"]
            assert client.post("/body").json() == ["x"]
