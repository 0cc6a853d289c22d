"""Routes reverse: values become a path that leads back to them."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.routing.path import CONVERTERS, parse_template
from quintet.routing.route import Route, reverse
from quintet.routing.table import Entry, RouteTable


def path_of(text: str, **values: Any) -> str:
    template = parse_template(text)
    return reverse(template, [CONVERTERS[p.converter or "str"] for p in template.parameters], values)


SEGMENT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda t: t not in (".", "..") and "/" not in t
)


@given(SEGMENT, st.integers(-(10**18), 10**18), SEGMENT)
def test_a_reversed_path_finds_its_route_and_values(name: str, number: int, rest: str) -> None:
    template = parse_template("/é/{name}/{number:int}/{rest:path}")
    converters = tuple(CONVERTERS[p.converter or "str"] for p in template.parameters)
    path = reverse(template, converters, {"name": name, "number": number, "rest": rest})
    assert path.isascii()
    table = RouteTable([Entry(template, converters, "here")])
    assert table.find(unquote(path)) == ("here", (name, str(number), rest))


def test_values_of_their_types_are_written() -> None:
    key = UUID("12345678-1234-5678-1234-567812345678")
    assert path_of("/{day:date}/{key:uuid}", day=date(2024, 2, 29), key=key) == f"/2024-02-29/{key}"
    assert path_of("/{x:float}", x=1.5) == "/1.5"
    assert path_of("/files/{rest:path}", rest="a b/c#d") == "/files/a%20b/c%23d"
    assert path_of("/straße/{x}", x="日本?") == "/stra%C3%9Fe/%E6%97%A5%E6%9C%AC%3F"


@pytest.mark.parametrize(
    ("text", "values", "reason"),
    [
        ("/{x}", {}, "needs a value for 'x'"),
        ("/{x}", {"x": "a", "page": 2}, "no parameter 'page'"),
        ("/{x:int}", {"x": "abc"}, "x='abc' does not fit"),
        ("/{x:int}", {"x": None}, "x=None does not fit"),
        ("/{x:int}", {"x": 1.5}, "x=1.5 does not fit"),
        ("/{x:slug}", {"x": "Not A Slug"}, "does not fit '/{x:slug}' (slug)".replace("(", r"\(").replace(")", r"\)")),
        ("/{x:float}", {"x": float("nan")}, "does not fit"),
        ("/{x:uuid}", {"x": "7"}, "does not fit"),
        ("/{x:date}", {"x": "tomorrow"}, "does not fit"),
        ("/{x}", {"x": ""}, "does not fit"),
        ("/{x}", {"x": "."}, "does not fit"),
        ("/{x}", {"x": ".."}, "does not fit"),
        ("/{x}", {"x": "a/b"}, "a segment holds no .'/'".replace(".", "")),
        ("/{x}", {"x": "a\x00b"}, "control character"),
        ("/{x:path}", {"x": "../etc"}, "does not fit"),
        ("/{x:path}", {"x": "a/./b"}, "does not fit"),
    ],
)
def test_a_value_that_would_not_lead_back_is_refused(text: str, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        path_of(text, **values)


def test_a_route_is_named_after_its_handler() -> None:
    def articles() -> None: ...

    def route(**options: Any) -> Route:
        return Route(path="/a", methods=("GET",), handler=articles, options=options)  # type: ignore[typeddict-item]

    assert route().name == "articles"
    assert route(name="list").name == "list"
