from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import RangeNotSatisfiable
from quintet.http.ranges import MAX_RANGES, content_range, parse_range


@pytest.mark.parametrize(
    ("header", "want"),
    [
        ("bytes=0-4", [(0, 5)]),
        ("bytes=5-", [(5, 100)]),
        ("bytes=-5", [(95, 100)]),
        ("bytes=90-200", [(90, 100)]),
        ("bytes=-999999999999", [(0, 100)]),
        ("Bytes = 0-0", [(0, 1)]),
        ("bytes=0-1, 5-6", [(0, 2), (5, 7)]),
        ("bytes=50-60,0-1", [(50, 61), (0, 2)]),
        ("bytes=5-6,0-5,-1", [(0, 7), (99, 100)]),
        ("bytes=0-,0-,0-", [(0, 100)]),
        ("bytes=0-1,200-", [(0, 2)]),
    ],
)
def test_ranges_are_read_and_merged(header: str, want: list[tuple[int, int]]) -> None:
    assert parse_range(header, 100) == want


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-1",
        "bytes=0-1,5-1",
        "bytes=a-b",
        "bytes=\u0660-\u0661",
        "bytes=+0-1",
        "bytes=0-1,",
        "bytes=1_0-",
        "bytes=--1",
        "bytes=0-1-2",
        "lines=0-1",
        "bytes=0-" + "9" * 60_000,
        "bytes=" + "0-1," * MAX_RANGES + "0-1",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(10_000)),
    ],
)
def test_c6_what_is_malformed_or_too_much_is_ignored(header: str | None) -> None:
    assert parse_range(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200,300-", "bytes=-0"])
def test_a_range_beyond_the_end_is_not_satisfiable(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(header, 100)
    assert caught.value.headers == {"content-range": "bytes */100"}


def test_an_empty_resource_has_no_ranges() -> None:
    assert parse_range("bytes=0-", 0) is None
    assert parse_range("bytes=-5", 0) is None


def test_content_range_counts_to_the_last_byte() -> None:
    assert content_range(0, 5, 100) == "bytes 0-4/100"


@given(st.text() | st.text(st.sampled_from("bytes=0123456789-, ")).map("bytes=".__add__), st.integers(0, 2000))
def test_answers_lie_within_the_resource_and_do_not_overlap(header: str, size: int) -> None:
    try:
        ranges = parse_range(header, size)
    except RangeNotSatisfiable:
        return
    assert ranges is None or 0 < len(ranges) <= MAX_RANGES
    taken: set[int] = set()
    for start, end in ranges or ():
        assert 0 <= start < end <= size
        assert taken.isdisjoint(range(start, end))
        taken.update(range(start, end))


@pytest.mark.parametrize("unit", [",", "0-1,", "-", "9", " ", "="])
def test_c6_reading_is_linear(unit: str) -> None:
    start = time.process_time()
    assert parse_range("bytes=" + unit * (60_000 // len(unit)), 100) is None
    assert time.process_time() - start < 1
