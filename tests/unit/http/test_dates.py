from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.http.dates import http_date, parse_http_date


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_three_formats_are_read(text: str) -> None:
    assert parse_http_date(text) == 784111777


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT" * 2000,
        "784111777",
    ],
)
def test_other_texts_are_no_dates(text: str) -> None:
    assert parse_http_date(text) is None


def test_two_digits_of_a_year_mean_the_nearest_past_or_the_next_fifty_years() -> None:
    year = datetime.now(UTC).year
    for offset in (-49, 0, 50):
        text = f"Sunday, 01-Jan-{(year + offset) % 100:02} 00:00:00 GMT"
        assert parse_http_date(text) == datetime(year + offset, 1, 1, tzinfo=UTC).timestamp()


def test_a_leap_second_is_the_next_second() -> None:
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == 1483228800


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_what_is_written_is_read_again(second: int) -> None:
    assert parse_http_date(http_date(second)) == second


@given(st.integers(0, 4_000_000_000))
def test_dates_are_those_of_the_standard_library(second: int) -> None:
    assert http_date(second + 0.9) == formatdate(second, usegmt=True)


def test_datetimes_are_turned_to_gmt() -> None:
    moment = datetime(1994, 11, 6, 10, 49, 37, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert http_date(moment) == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("moment", [1e18, -1e18, datetime(2026, 1, 1)])  # noqa: DTZ001  a naive one is what is tested
def test_a_moment_that_has_no_date_is_refused(moment: float | datetime) -> None:
    with pytest.raises(ValueError, match=r"years 1 to 9999|time zone"):
        http_date(moment)


@given(st.text())
def test_reading_never_fails(text: str) -> None:
    assert parse_http_date(text) is None


def test_reading_is_linear() -> None:
    start = time.process_time()
    for unit in "Sun, ", "0", " ", "-":
        parse_http_date(unit * 60_000)
    assert time.process_time() - start < 1
