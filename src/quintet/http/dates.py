"""HTTP dates (RFC 9110, section 5.6.7): written in one format, read in three."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = len("Wednesday, 31-Dec-99 23:59:59 GMT")

_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DAY = rf"(?:{'|'.join(_DAYS)})"
_LONG_DAY = r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMATS = (
    re.compile(rf"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),  # RFC 5322
    re.compile(rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),  # RFC 850
    re.compile(rf"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"),  # asctime
)


def http_date(moment: float | datetime) -> str:
    """Return `moment`, seconds since 1970 or an aware datetime, as an HTTP date.

    Raises:
        ValueError: the moment is not in the years 1 to 9999, or has no time zone.
    """
    if isinstance(moment, datetime):
        moment = to_timestamp(moment)
    try:
        return _format(int(moment // 1))
    except OverflowError:
        raise ValueError(f"{moment} seconds since 1970 is not in the years 1 to 9999") from None


def to_timestamp(moment: datetime) -> int:
    """Return whole seconds since 1970.

    Raises:
        ValueError: the datetime has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: give it one, such as datetime.now(UTC)")
    return (moment - _EPOCH) // timedelta(seconds=1)


def parse_http_date(text: str) -> int | None:
    """Return seconds since 1970, or None where `text` is not an HTTP date."""
    if len(text) > _LONGEST:
        return None
    for pattern in _FORMATS:
        found = pattern.fullmatch(text)
        if found is not None:
            return _timestamp(found)
    return None


@lru_cache(maxsize=64)
def _format(second: int) -> str:
    t = _EPOCH + timedelta(seconds=second)
    return f"{_DAYS[t.weekday()]}, {t.day:02} {_MONTHS[t.month - 1]} {t.year:04} {t:%H:%M:%S} GMT"


def _timestamp(found: re.Match[str]) -> int | None:
    year, day = int(found["year"]), int(found["day"])
    month = _MONTHS.index(found["month"]) + 1
    if len(found["year"]) == 2:
        year = _full_year(year)
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    if second > 60:  # 60 is a leap second
        return None
    try:
        datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    return timegm((year, month, day, hour, minute, second))


def _full_year(short: int) -> int:
    # A year that seems more than 50 years ahead is the latest one in the past with these digits.
    now = datetime.now(UTC).year
    year = now - now % 100 + short
    return year - 100 if year > now + 50 else year
