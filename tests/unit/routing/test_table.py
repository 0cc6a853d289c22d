"""The table finds exactly what trying every route in the order of precedence finds."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quintet.routing.path import CONVERTERS, Converter, Parameter, Template, parse_template
from quintet.routing.table import Entry, RouteTable, shape_of


def entry(text: str) -> Entry[str]:
    template = parse_template(text)
    return Entry(template, tuple(CONVERTERS[p.converter or "str"] for p in template.parameters), text)


def table(*texts: str) -> RouteTable[str]:
    return RouteTable([entry(text) for text in texts])


def found(routes: RouteTable[str], path: str) -> str | None:
    result = routes.find(path)
    return None if result is None else result[0]


# -- the rule, written down without regard to speed ------------------------------------------------------------------


def fits(converter: Converter, text: str) -> bool:
    return text not in ("", ".", "..") and (
        converter.pattern is None or re.fullmatch(converter.pattern, text) is not None
    )


def match(template: Template, path: str) -> tuple[str, ...] | None:
    parts = path[1:].split("/")
    values: list[str] = []
    for index, segment in enumerate(template.segments):
        if index >= len(parts):
            return None
        if isinstance(segment, str):
            if parts[index] != segment:
                return None
        elif segment.converter == "path":
            return (*values, "/".join(parts[index:]))
        elif fits(CONVERTERS[segment.converter or "str"], parts[index]):
            values.append(parts[index])
        else:
            return None
    return tuple(values) if len(parts) == len(template.segments) else None


def precedence(template: Template) -> tuple[Any, ...]:
    """A path without parameters first; templates with a rest last; then segment by segment, static before others."""
    kinds = tuple(0 if isinstance(s, str) else 2 if s.converter == "path" else 1 for s in template.segments)
    weights = tuple(CONVERTERS[p.converter or "str"].weight for p in template.parameters)
    return bool(template.parameters), template.has_rest, kinds, weights


SEGMENTS = st.sampled_from(["a", "b", "é", "{x}", "{x:int}", "{x:slug}", "{x:uuid}", "{x:float}", "{x:date}"])
TEMPLATES = st.tuples(st.lists(SEGMENTS, min_size=0, max_size=4), st.sampled_from(["", "{rest:path}"])).map(
    lambda pair: (
        "/" + "/".join([s.replace("x", f"x{i}") for i, s in enumerate(pair[0])] + ([pair[1]] if pair[1] else []))
    )
)
PIECES = st.sampled_from(
    [
        "a",
        "b",
        "é",
        "",
        ".",
        "..",
        ".a",
        "5",
        "-5",
        "05",
        "1.5",
        "a-b",
        "A",
        "2024-02-29",
        "2024-2-29",
        str(uuid4()),
        "x\u00a0",
    ]
)
PATHS = st.lists(PIECES, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(TEMPLATES, min_size=1, max_size=8), st.lists(PATHS, min_size=1, max_size=8))
def test_finds_what_trying_every_route_finds(texts: list[str], paths: list[str]) -> None:
    entries = {shape_of(e.template, e.converters): e for e in map(entry, texts)}.values()
    routes = RouteTable(list(entries))
    ordered = sorted(entries, key=lambda e: precedence(e.template))
    for path in paths:
        expected = [(e.target, values) for e in ordered if (values := match(e.template, path)) is not None]
        result = routes.find(path)
        if len(entries) > 1:
            assert result == (expected[0] if expected else None), path
            assert list(routes.find_all(path)) == expected, path
        elif expected:  # a single route leaves it to the handler to refuse what its annotation implies
            assert result == expected[0]


@given(st.lists(TEMPLATES, min_size=1, max_size=6), st.permutations(range(6)), PATHS)
def test_the_order_of_declaration_does_not_matter(texts: list[str], order: list[int], path: str) -> None:
    entries = list({shape_of(e.template, e.converters): e for e in map(entry, texts)}.values())
    assume(len(entries) > 1)
    shuffled = [entries[i] for i in order if i < len(entries)]
    assert RouteTable(entries).find(path) == RouteTable(shuffled).find(path)


# -- precedence, case by case ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "path", "winner"),
    [
        (["/users/{name}", "/users/me"], "/users/me", "/users/me"),
        (["/users/{name}", "/users/me"], "/users/you", "/users/{name}"),
        (["/a/{x}/{y}", "/a/b/{y}"], "/a/b/c", "/a/b/{y}"),
        (["/{x}/b", "/a/{y}"], "/a/b", "/a/{y}"),
        (["/{x}/b", "/a/{y}"], "/z/b", "/{x}/b"),
        (["/{x}", "/{x:int}"], "/5", "/{x:int}"),
        (["/{x}", "/{x:int}"], "/five", "/{x}"),
        (["/{x:float}", "/{x:int}"], "/5", "/{x:int}"),
        (["/{x:float}", "/{x:int}"], "/5.5", "/{x:float}"),
        (["/{x:slug}", "/{x}"], "/a-b", "/{x:slug}"),
        (["/{x:slug}", "/{x}"], "/A_b", "/{x}"),
        (["/f/{rest:path}", "/f/{x}"], "/f/a", "/f/{x}"),
        (["/f/{rest:path}", "/f/{x}"], "/f/a/b", "/f/{rest:path}"),
        (["/r/a/{rest:path}", "/r/{x}/{y}/{rest:path}"], "/r/a/b/c", "/r/a/{rest:path}"),
        (["/r/{rest:path}", "/r/a/{rest:path}"], "/r/a/b", "/r/a/{rest:path}"),
        (["/{rest:path}"], "/", "/{rest:path}"),
        (["/a", "/a/"], "/a/", "/a/"),
        (["/{x}", "/{x}/"], "/b/", "/{x}/"),
    ],
)
def test_precedence(texts: list[str], path: str, winner: str) -> None:
    assert found(table(*texts), path) == winner
    assert found(table(*reversed(texts)), path) == winner


def test_a_route_that_does_not_fit_gives_way_to_one_that_does() -> None:
    routes = table("/a/{x:int}/c", "/{y}/{x}/c", "/{rest:path}")
    assert found(routes, "/a/1/c") == "/a/{x:int}/c"
    assert found(routes, "/a/b/c") == "/{y}/{x}/c"
    assert found(routes, "/a/b/d") == "/{rest:path}"


@pytest.mark.parametrize("path", ["//", "/a//b", "/a/./b", "/a/../b", "/a/..", "/..", "/.", "/a/b/"])
def test_empty_and_dotted_segments_match_nothing(path: str) -> None:
    assert table("/{x}", "/{x}/{y}", "/{x}/{y}/{z}", "/a/b").find(path) is None


@pytest.mark.parametrize("rest", ["a//b", "../etc", "a/./b", "", "a/", ".hidden"])
def test_the_rest_is_given_as_it_was_sent(rest: str) -> None:
    assert table("/files/{id:int}/{rest:path}").find(f"/files/5/{rest}") == ("/files/{id:int}/{rest:path}", ("5", rest))


def test_the_rest_needs_its_slash() -> None:
    assert table("/files/{rest:path}").find("/files") is None


def test_names_that_begin_with_dots_are_names() -> None:
    assert found(table("/{x}/{y}", "/a"), "/.well-known/...") == "/{x}/{y}"


def test_unicode_is_compared_as_it_is_written() -> None:
    routes = table("/straße/{x}", "/straße")
    assert found(routes, "/straße") == "/straße"
    assert routes.find("/straße/日本") == ("/straße/{x}", ("日本",))
    assert routes.find("/STRASSE") is None


def test_a_thousand_routes_are_told_apart() -> None:
    texts = [f"/section{n % 25}/item{n}/{{x}}" for n in range(500)] + [f"/{{x}}/item{n}" for n in range(500)]
    routes = table(*texts)
    for n in range(500):
        assert routes.find(f"/section{n % 25}/item{n}/v") == (texts[n], ("v",))
        assert routes.find(f"/other/item{n}") == (texts[500 + n], ("other",))
    assert routes.find("/section1/item2/v") is None


def test_shapes_ignore_the_names_of_parameters() -> None:
    def shape(text: str) -> Any:
        e = entry(text)
        return shape_of(e.template, e.converters)

    assert shape("/a/{x}") == shape("/a/{y}")
    assert shape("/a/{x}") != shape("/a/{x:int}")
    assert shape("/a/{x}") != shape("/a/b")
    assert isinstance(parse_template("/a/{x}").segments[1], Parameter)
