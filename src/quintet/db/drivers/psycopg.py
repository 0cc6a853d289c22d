"""psycopg: `infinity` is read as the last date or moment that Python has, as asyncpg's connections do (see `dates`)."""

from __future__ import annotations

import datetime
import re
from typing import Any

import psycopg
from psycopg import adapters, pq

from quintet.db.drivers.dates import FIRST, FIRST_MOMENT, LAST, LAST_MOMENT

__all__ = ["read_ends"]


def read_ends(connection: Any) -> None:
    """Tell a connection of psycopg's how to read dates at the ends of time."""
    for name, loader in _LOADERS.items():
        connection.adapters.register_loader(name, loader)


class _Loader:
    """psycopg's own loader, which raises at the ends."""

    format = pq.Format.TEXT
    kind = ""
    first: Any = FIRST
    last: Any = LAST

    def __init__(self, oid: int, context: Any = None) -> None:
        self._load = _own(self.kind)(oid, context).load

    def load(self, data: Any) -> Any:
        try:
            return self._load(data)
        except psycopg.DataError:
            text = bytes(data)
            if text == b"infinity":
                return self.last
            if text == b"-infinity":
                return self.first
            found = _beside_utc(text.decode())
            if found is None:
                raise
            return found


def _own(kind: str) -> Any:
    return adapters.get_loader(adapters.types[kind].oid, pq.Format.TEXT)


#: A moment of the years 1 to 9999 that has another year where the server is: its time, its offset.
_BESIDE = re.compile(r"(?:10000-01-01 (?P<after>.+)|0001-12-31 (?P<before>.+) BC)\Z")


def _beside_utc(text: str) -> datetime.datetime | None:
    match = _BESIDE.match(text)
    if match is None:
        return None
    after, day = match["after"], datetime.timedelta(days=1)
    try:
        if after:
            return datetime.datetime.fromisoformat(f"9999-12-31 {after}").astimezone(datetime.UTC) + day
        return datetime.datetime.fromisoformat(f"0001-01-01 {match['before']}").astimezone(datetime.UTC) - day
    except (ValueError, OverflowError):
        return None


class _Date(_Loader):
    kind = "date"


class _Local(_Loader):
    kind = "timestamp"
    first, last = FIRST_MOMENT, LAST_MOMENT


class _Moment(_Loader):
    kind = "timestamptz"
    first, last = FIRST_MOMENT.replace(tzinfo=datetime.UTC), LAST_MOMENT.replace(tzinfo=datetime.UTC)


_LOADERS = {loader.kind: loader for loader in (_Date, _Local, _Moment)}
