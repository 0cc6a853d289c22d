from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.http.conditional import ETag, evaluate, http_date, if_range_holds, parse_etag, parse_etags

TAGS = st.builds(
    ETag, st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, blacklist_characters='"')), st.booleans()
)
NOW = 1_700_000_000
BEFORE, SAME, LATER = (http_date(NOW + delta) for delta in (-10, 0, 10))


def headers(**fields: str) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in fields.items()}


def test_tags_are_read() -> None:
    assert parse_etag('"a"') == ETag("a")
    assert parse_etag('W/"a,b"') == ETag("a,b", weak=True)
    assert parse_etag('""') == ETag("")
    for text in "a", 'w/"a"', '"a', '"a" ', '"a b"', "*", '"a\n"', "":
        assert parse_etag(text) is None


def test_lists_of_tags_are_read_and_malformed_ones_match_nothing() -> None:
    assert parse_etags('"a" , W/"b,c",, "d",') == [ETag("a"), ETag("b,c", weak=True), ETag("d")]
    for text in '"a" "b"', '"a", b', '"a', "", ",,", '"a"; x':
        assert parse_etags(text) == []


@given(st.lists(TAGS))
def test_lists_round_trip(tags: list[ETag]) -> None:
    assert parse_etags(", ".join(map(str, tags))) == tags


def test_a_tag_that_cannot_be_sent_is_refused() -> None:
    for value in 'a"b', "a b", "a\n", "\u20ac":
        with pytest.raises(ValueError, match="entity tag"):
            ETag(value)
    with pytest.raises(ValueError, match="with its quotes"):
        evaluate("GET", {}, "v1")


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
    ],
)
def test_comparison_is_that_of_rfc_9110(one: str, other: str, strong: bool, weak: bool) -> None:
    left, right = parse_etag(one), parse_etag(other)
    assert left
    assert right
    assert left.same(right) is strong
    assert left.similar(right) is weak


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("fields", "safe", "unsafe"),
    [
        (headers(), None, None),
        (headers(if_match='"1"'), None, None),
        (headers(if_match='"0", "1"'), None, None),
        (headers(if_match="*"), None, None),
        (headers(if_match='W/"1"'), 412, 412),
        (headers(if_match='"2"'), 412, 412),
        (headers(if_match="broken"), 412, 412),
        (headers(if_unmodified_since=BEFORE), 412, 412),
        (headers(if_unmodified_since=SAME), None, None),
        (headers(if_unmodified_since="broken"), None, None),
        (headers(if_match='"1"', if_unmodified_since=BEFORE), None, None),
        (headers(if_none_match='"1"'), 304, 412),
        (headers(if_none_match='W/"1"'), 304, 412),
        (headers(if_none_match="*"), 304, 412),
        (headers(if_none_match='"2"'), None, None),
        (headers(if_none_match="broken"), None, None),
        (headers(if_modified_since=SAME), 304, None),
        (headers(if_modified_since=LATER), 304, None),
        (headers(if_modified_since=BEFORE), None, None),
        (headers(if_modified_since="broken"), None, None),
        (headers(if_none_match='"2"', if_modified_since=SAME), None, None),
        (headers(if_match='"1"', if_none_match='"1"'), 304, 412),
        (headers(if_match='"2"', if_none_match='"1"'), 412, 412),
        (headers(if_unmodified_since=SAME, if_modified_since=SAME), 304, None),
    ],
)
def test_preconditions_follow_rfc_9110(
    method: str, fields: dict[str, str], safe: int | None, unsafe: int | None
) -> None:
    want = safe if method in ("GET", "HEAD") else unsafe
    assert evaluate(method, fields, '"1"', NOW + 0.5) == want


def test_without_validators_dates_do_not_count_and_tags_do_not_match() -> None:
    assert evaluate("GET", headers(if_modified_since=LATER, if_none_match='"1"')) is None
    assert evaluate("GET", headers(if_modified_since=LATER)) is None
    assert evaluate("PUT", headers(if_unmodified_since=BEFORE)) is None
    assert evaluate("PUT", headers(if_match='"1"')) == 412


def test_a_star_asks_whether_there_is_anything() -> None:
    assert evaluate("PUT", headers(if_none_match="*"), exists=False) is None
    assert evaluate("PUT", headers(if_none_match="*")) == 412
    assert evaluate("PUT", headers(if_match="*"), exists=False) == 412
    assert evaluate("PUT", headers(if_match="*")) is None


def test_if_range_needs_the_very_same_state() -> None:
    assert if_range_holds(None)
    assert if_range_holds('"1"', '"1"')
    assert not if_range_holds('W/"1"', 'W/"1"')
    assert not if_range_holds('"2"', '"1"')
    assert not if_range_holds('"1"')
    assert if_range_holds(SAME, None, NOW + 0.5)
    assert not if_range_holds(BEFORE, None, NOW)
    assert not if_range_holds(LATER, None, NOW)
    assert not if_range_holds(SAME)
    assert not if_range_holds("broken", '"1"', NOW)
    assert not if_range_holds(http_date(time.time() + 1), None, time.time() + 1)


@given(st.text() | st.text(st.sampled_from('W/"a, *')))
def test_hostile_fields_never_fail(text: str) -> None:
    fields = dict.fromkeys(("if-match", "if-none-match"), text)
    assert evaluate("GET", fields, '"1"', NOW) in (None, 304, 412)
    assert evaluate("GET", headers(if_modified_since=text, if_unmodified_since=text), '"1"', NOW) in (None, 304, 412)
    assert if_range_holds(text, '"1"', NOW) in (True, False)


@pytest.mark.parametrize("unit", [",", '"', " ", "W/", '"a"', '"a",', "-", ";q=", '""\t'])
def test_h7_reading_is_linear(unit: str) -> None:
    start = time.process_time()
    parse_etags(unit * (60_000 // len(unit)))
    parse_etags('"a' + unit * (60_000 // len(unit)))
    assert time.process_time() - start < 1
