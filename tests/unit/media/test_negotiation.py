from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.media.negotiation import negotiate, parse_accept

HTML, JSON, XML, CSV, MSGPACK = (
    "text/html",
    "application/json",
    "application/xml",
    "text/csv",
    "application/vnd.msgpack",
)
OFFERS = (JSON, XML, CSV)

CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def choose(accept: str | None, *offers: str) -> str | None:
    index = negotiate(accept, offers)
    return None if index is None else offers[index]


@pytest.mark.parametrize("accept", [None, "", "*/*", " ", "*", "*/*;q=0.1"])
def test_who_does_not_care_gets_the_first(accept: str | None) -> None:
    assert choose(accept, *OFFERS) == JSON
    assert choose(accept, XML, JSON) == XML
    assert choose(accept) is None


@pytest.mark.parametrize(
    ("accept", "want"),
    [
        ("application/json", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV", CSV),
        ("text/*", CSV),
        ("application/*", JSON),
        ("application/xml, application/json", JSON),
        ("application/xml;q=1, application/json;q=0.9", XML),
        ("application/xml ; q=0.8 , text/csv ; q=0.9", CSV),
        ("*/*, application/json;q=0", XML),
        ("*/*;q=0.5, application/*;q=0.1, text/csv;q=0.4", CSV),
        ("application/*;q=0.2, application/xml;q=0.3, */*;q=0.1", XML),
        ("text/csv;header=present", CSV),
        ("application/json; charset=utf-8", JSON),
        ("text/xml", XML),
        ("text/plain", None),
        ("application/json;q=0", None),
        ("*/*;q=0", None),
        ("text/*;q=0.000, text/plain", None),
        ("text/html, image/*", None),
        ("text/csv;q=0.001", CSV),
        ("text/csv;q=.5", CSV),
        ("text/csv;q=1.000, application/json;q=0.999", CSV),
    ],
)
def test_quality_and_specificity_decide(accept: str, want: str | None) -> None:
    assert choose(accept, *OFFERS) == want


@pytest.mark.parametrize(
    "range_", ["", "text", "/", "*/json", "a/b/c", "text/cs v", "text/csv;q=2", "text/csv;q=-1", "text/csv;q=", "é/x"]
)
def test_a_malformed_range_is_skipped(range_: str) -> None:
    assert choose(f"{range_}, application/xml", *OFFERS) == XML
    assert choose(range_, *OFFERS) == JSON


@pytest.mark.parametrize("accept", [CHROME, FIREFOX])
def test_a_browser_never_gets_xml_by_accident(accept: str) -> None:
    assert choose(accept, JSON, XML) == JSON
    assert choose(accept, XML, JSON) == JSON
    assert choose(accept, XML, CSV, JSON) == JSON
    assert choose(accept, XML, CSV) == CSV
    assert choose(accept, JSON, HTML, XML) == HTML


def test_a_browser_gets_xml_where_there_is_nothing_else_for_it() -> None:
    assert choose(CHROME, XML) == XML
    assert choose("text/html, application/xml;q=0.9", JSON, XML) == XML


def test_who_prefers_xml_to_html_gets_xml() -> None:
    assert choose("application/xml, text/html;q=0.9, */*;q=0.8", JSON, XML) == XML


def test_aliases_match_the_proper_name() -> None:
    assert choose("application/msgpack", JSON, MSGPACK) == MSGPACK
    assert choose("application/x-ndjson", JSON, "application/jsonl") == "application/jsonl"


@pytest.mark.parametrize(
    "piece", [",", ";q=", "-", '"', ";", "a/b,", "*/*;q=0,", "a/b;q=0.5;", "q=0.1;", " ", "\t,", "a"]
)
def test_h7_a_hostile_header_costs_little(piece: str) -> None:
    started = time.process_time()
    for _ in range(5):
        negotiate(piece * (60_000 // len(piece)), OFFERS)
    assert time.process_time() - started < 1


@given(st.text(max_size=60) | st.text("ajsontex/*,;q=01. ", max_size=60))
def test_any_header_gives_an_offer_or_none(accept: str) -> None:
    index = negotiate(accept, OFFERS)
    assert index is None or 0 <= index < len(OFFERS)
    assert negotiate(accept, OFFERS) == index
    assert all(0 <= quality <= 1 for quality in parse_accept(accept).values())


@given(st.dictionaries(st.sampled_from([HTML, JSON, XML, CSV, "text/*", "*/*"]), st.integers(0, 10), min_size=1))
def test_nothing_better_liked_is_passed_over(ranges: dict[str, int]) -> None:
    def liked(offer: str) -> int:
        return ranges.get(offer, ranges.get(offer.split("/", maxsplit=1)[0] + "/*", ranges.get("*/*", 0)))

    offers = (CSV, HTML, JSON, XML)
    accept = ", ".join(f"{name};q={quality / 10}" for name, quality in ranges.items())
    index = negotiate(accept, offers)
    best = max(map(liked, offers))
    assert index == (next(n for n, offer in enumerate(offers) if liked(offer) == best) if best else None)
