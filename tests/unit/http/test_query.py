from __future__ import annotations

import time
from urllib.parse import parse_qsl, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import BadRequest
from quintet.http.query import parse_pairs, parse_query


def test_a_single_value_is_text_and_a_repeated_one_a_list_in_order() -> None:
    assert parse_query(b"a=1&b=2") == {"a": "1", "b": "2"}
    assert parse_query(b"a=1&b=x&a=2&a=3") == {"a": ["1", "2", "3"], "b": "x"}
    assert parse_query(b"a=%31&b=x&a=2&a=3") == {"a": ["1", "2", "3"], "b": "x"}


def test_nothing_gives_nothing() -> None:
    assert parse_query(b"") == {}
    assert parse_pairs(b"") == []


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        (b"a", {"a": ""}),
        (b"a=", {"a": ""}),
        (b"=a", {"": "a"}),
        (b"&&a=1&&", {"a": "1"}),
        (b"&=&", {"": ""}),
        (b"=&&", {"": ""}),
        (b"a=1=2", {"a": "1=2"}),
        (b"a+b=c+d", {"a b": "c d"}),
        (b"a=%2B%26%3D%3B", {"a": "+&=;"}),
        (b"n=%C3%A9", {"n": "é"}),
        ("n=é".encode(), {"n": "é"}),
    ],
)
def test_odd_but_valid_forms_have_one_meaning(raw: bytes, want: dict[str, str]) -> None:
    assert parse_query(raw) == want
    assert dict(parse_pairs(raw)) == want


def test_b20_a_semicolon_is_data() -> None:
    assert parse_query(b"a=1;b=2") == {"a": "1;b=2"}


@pytest.mark.parametrize("raw", [b"a=%zz", b"a=%", b"a=%4", b"%g0=1", b"a=%+1", b"a=% 1", b"a=%%41", b"a=1&b=%-1"])
def test_a_broken_escape_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="broken escape"):
        parse_query(raw)


@pytest.mark.parametrize("raw", [b"a=%ff", b"a=\xff", b"%c3=1", b"a=%ed%a0%80", b"a=%c0%80"])
def test_b20_text_that_is_not_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="not UTF-8"):
        parse_query(raw)


@pytest.mark.parametrize("value", [b"1", b"%31"])
def test_b20_more_than_1000_fields_are_refused(value: bytes) -> None:
    pair = b"a=" + value
    assert len(parse_query(b"&".join([pair] * 1000))["a"]) == 1000
    with pytest.raises(BadRequest, match="more than 1000 fields"):
        parse_query(b"&".join([pair] * 1001))
    with pytest.raises(BadRequest, match="more than 3 fields"):
        parse_query(b"&".join([pair] * 4), max_fields=3)


def test_repeated_names_stay_linear() -> None:
    raw = b"&".join([b"a=" + b"%41" * 300] * 1000)
    started = time.perf_counter()
    parse_query(raw)
    assert time.perf_counter() - started < 2


def _merge(pairs: list[tuple[str, str]]) -> dict[str, str | list[str]]:
    merged: dict[str, list[str]] = {}
    for name, value in pairs:
        merged.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in merged.items()}


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(text, text), max_size=12))
def test_what_urlencode_writes_is_read_back(pairs: list[tuple[str, str]]) -> None:
    raw = urlencode(pairs).encode()
    assert parse_query(raw) == _merge(pairs)
    assert parse_pairs(raw) == pairs


@given(st.lists(st.sampled_from([*"ab=&;+", "%41", "%26", "%3D", "%C3%A9", "é", quote_plus("ß x")]), max_size=30))
def test_valid_input_means_what_the_standard_library_says(parts: list[str]) -> None:
    text = "".join(parts)
    want = _merge(parse_qsl(text, keep_blank_values=True))
    assert parse_query(text.encode()) == want


@given(st.binary(max_size=60) | st.text("a=&%+4\x00é", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        values = parse_query(raw)
    except BadRequest:
        with pytest.raises(BadRequest):
            parse_pairs(raw)
    else:
        assert values == _merge(parse_pairs(raw))
