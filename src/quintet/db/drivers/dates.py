"""asyncpg: dates and moments at the ends of time, the first and the last that Python has.

By itself asyncpg writes them as PostgreSQL's `infinity`, which psycopg does not read and SQL does not take for a date.
Here both drivers write what they were given, and read `infinity` as the last one.

PERF: asyncpg makes these objects by calls of Python too; reading one takes as long as before.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

__all__ = ["FIRST", "FIRST_MOMENT", "LAST", "LAST_MOMENT", "write_as_given"]

#: What `-infinity` and `infinity` are read as.
FIRST, LAST = datetime.date.min, datetime.date.max
FIRST_MOMENT, LAST_MOMENT = datetime.datetime.min, datetime.datetime.max  # noqa: DTZ901 - these have no time zone

_EPOCH = datetime.datetime(2000, 1, 1)  # noqa: DTZ001 - that of columns without a time zone
_EPOCH_UTC = _EPOCH.replace(tzinfo=datetime.UTC)
_EPOCH_DAYS = _EPOCH.toordinal()
_MICROSECOND = datetime.timedelta(microseconds=1)
_of_ordinal, _span = datetime.date.fromordinal, datetime.timedelta


async def write_as_given(connection: Any) -> None:
    """Tell a connection of asyncpg's how to write and read dates; nothing is sent."""
    for name, write, read in (
        ("date", _write_date, _read_date),
        ("timestamp", _write_local, _reader(_EPOCH, FIRST_MOMENT, LAST_MOMENT)),
        ("timestamptz", _write_moment, _reader(_EPOCH_UTC, _in_utc(FIRST_MOMENT), _in_utc(LAST_MOMENT))),
    ):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=write, decoder=read, format="tuple")


def _in_utc(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=datetime.UTC)


def _write_date(value: datetime.date) -> tuple[int]:
    return (value.toordinal() - _EPOCH_DAYS,)


def _read_date(found: tuple[int]) -> datetime.date:
    try:
        return _of_ordinal(found[0] + _EPOCH_DAYS)
    except (ValueError, OverflowError):
        return _end(found[0], 31, FIRST, LAST)


def _write_local(value: datetime.datetime) -> tuple[int]:
    return ((_moment(value) - _EPOCH) // _MICROSECOND,)


def _write_moment(value: datetime.datetime) -> tuple[int]:
    value = _moment(value)
    if value.tzinfo is None:  # the machine's own time, as asyncpg has it
        try:
            value = value.astimezone()
        except OverflowError:  # where there is none
            value = _in_utc(value)
    return ((value - _EPOCH_UTC) // _MICROSECOND,)


def _moment(value: Any) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - its midnight, wherever that is
    raise TypeError(f"expected a datetime.date or datetime.datetime instance, got {type(value).__name__!r}")


def _reader(
    epoch: datetime.datetime, first: datetime.datetime, last: datetime.datetime
) -> Callable[[tuple[int]], datetime.datetime]:
    def read(found: tuple[int]) -> datetime.datetime:
        try:
            return epoch + _span(0, 0, found[0])
        except OverflowError:
            return _end(found[0], 63, first, last)

    return read


def _end(found: int, bits: int, first: Any, last: Any) -> Any:
    """Return what stands for `-infinity`, the least number of so many bits, and for `infinity`, the largest."""
    if found == -(2**bits):
        return first
    if found == 2**bits - 1:
        return last
    raise OverflowError("PostgreSQL has a date here outside of the years 1 to 9999, which Python's dates end with")
