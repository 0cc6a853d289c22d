"""Path templates, their converters, and the quoting of segments."""

from __future__ import annotations

from datetime import date
from enum import Enum
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.routing.path import (
    CONVERTERS,
    Parameter,
    enum_converter,
    is_segment,
    literal_converter,
    parse_template,
    quote_segment,
)


class Colour(Enum):
    RED = "red"
    BLUE_GREEN = "blue.green"
    ONE = 1


def accepts(name: str, text: str) -> bool:
    pattern = CONVERTERS[name].pattern
    return pattern is None or pattern.match(text) is not None


def test_a_template_is_split_into_texts_and_parameters() -> None:
    template = parse_template("/users/{id:int}/files/{rest:path}")
    assert template.segments == ("users", Parameter("id", "int"), "files", Parameter("rest", "path"))
    assert [p.name for p in template.parameters] == ["id", "rest"]
    assert template.has_rest
    assert not parse_template("/users/{path}").has_rest


def test_the_root_and_a_slash_at_the_end_are_templates() -> None:
    assert parse_template("/").segments == ("",)
    assert parse_template("/a/").segments == ("a", "")


def test_a_template_may_be_unicode() -> None:
    assert parse_template("/größe/日本/{x}").segments == ("größe", "日本", Parameter("x", None))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("users", "must begin with '/'"),
        ("", "must begin with '/'"),
        ("/a?b=c", "query or a fragment"),
        ("/a#b", "query or a fragment"),
        ("/{}", "a parameter is"),
        ("/{1st}", "a parameter is"),
        ("/{a-b}", "a parameter is"),
        ("/{größe}", "a parameter is"),
        ("/{x:integer}", "no converter 'integer'; there are int, float"),
        ("/{x}/{x}", "two parameters named 'x'"),
        ("/{rest:path}/more", "must be the last segment"),
        ("/user-{id}", "takes a whole segment"),
        ("/{id}.json", "takes a whole segment"),
        ("/{id", "takes a whole segment"),
        ("/a//b", "empty segments"),
        ("//", "empty segments"),
        ("/a/../b", "'.' and '..' match no request"),
        ("/.", "'.' and '..' match no request"),
    ],
)
def test_a_wrong_template_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_template(text)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "int",
            ["0", "7", "-7", "9223372036854775807"],
            ["", "+7", "07", "-", "1.0", "1e3", "٣", "1_000", "7\n", " 7"],
        ),
        ("float", ["0", "1.5", "-0.25", "10"], ["", ".5", "1.", "1e3", "nan", "inf", "+1.5", "1,5", "1.5\n"]),
        (
            "uuid",
            ["12345678-1234-5678-1234-567812345678", "ABCDEF01-1234-5678-1234-567812345678"],
            ["12345678123456781234567812345678", "{12345678-1234-5678-1234-567812345678}", "x"],
        ),
        ("date", ["2024-02-29", "0001-01-01"], ["2024-2-29", "20240229", "2024-02-29T00:00", ""]),
        ("slug", ["a", "a-b", "2024-news"], ["A", "a--b", "-a", "a-", "a_b", "é", ""]),
        ("str", ["anything", "é ü", "."], []),
    ],
)
def test_converters_accept_whole_texts_only(name: str, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not accepts(name, text)] == []
    assert [text for text in bad if accepts(name, text)] == []


def test_an_enum_accepts_its_values_and_nothing_like_them() -> None:
    converter = enum_converter(Colour)
    assert converter.pattern is not None
    accepted = [t for t in ("red", "blue.green", "1", "RED", "blueXgreen", "redd", "re") if converter.pattern.match(t)]
    assert accepted == ["red", "blue.green", "1"]
    assert [converter.to_text(v) for v in (Colour.RED, "red", Colour.ONE, 1)] == ["red", "red", "1", "1"]
    with pytest.raises(ValueError, match="green"):
        converter.to_text("green")


def test_a_literal_accepts_its_values() -> None:
    converter = literal_converter(("a", "b.c", 3))
    assert converter.pattern is not None
    assert [t for t in ("a", "b.c", "3", "bxc", "aa", "") if converter.pattern.match(t)] == ["a", "b.c", "3"]


@given(st.integers(-(10**18), 10**18))
def test_an_int_is_written_as_it_is_accepted(value: int) -> None:
    assert accepts("int", CONVERTERS["int"].to_text(value))


@given(st.dates())
def test_a_date_is_written_as_it_is_accepted(value: date) -> None:
    text = CONVERTERS["date"].to_text(value)
    assert accepts("date", text)
    assert date.fromisoformat(text) == value


@given(st.uuids())
def test_a_uuid_is_written_as_it_is_accepted(value: UUID) -> None:
    assert accepts("uuid", CONVERTERS["uuid"].to_text(value))
    assert CONVERTERS["uuid"].to_text(str(value)) == str(value)


@given(st.text().filter(lambda t: not any(0xD800 <= ord(c) < 0xE000 for c in t)))
def test_a_quoted_segment_holds_one_segment(text: str) -> None:
    quoted = quote_segment(text)
    assert unquote(quoted) == text
    assert quoted.isascii()
    assert not set(quoted) & set('/?# "<>\\')


def test_a_quoted_rest_keeps_its_slashes() -> None:
    assert quote_segment("a b/ü", rest=True) == "a%20b/%C3%BC"
    assert quote_segment("a/b") == "a%2Fb"


def test_a_segment_is_what_a_request_can_bring() -> None:
    reached = ["a", "é", " ", "...", "%2F", "\\", "x" * 4096, "é" * 682]
    assert [text for text in reached if not is_segment(text)] == []
    lost = ["", ".", "..", "a/b", "\0", "a\n", "\x7f", "x" * 4097, "é" * 683]
    assert [text for text in lost if is_segment(text)] == []
