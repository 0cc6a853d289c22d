"""What every server of the data benchmark answers, and where its data is; `data_tables` makes the tables."""

from __future__ import annotations

import os
import random
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from contract import Fortune
from msgspec import Meta

#: The URL of the PostgreSQL database and the path of the SQLite file; the runner sets both.
DATABASE = os.environ.get("QUINTET_BENCH_DATABASE", "postgresql:///quintet_bench")
SQLITE = os.environ.get("QUINTET_BENCH_SQLITE", "quintet_bench.db")
#: Connections to PostgreSQL, for each server alike: what asyncpg's pool has by default.
POOL = 10
WORLDS = 10_000
BOOKS = 100
#: How many rows a request may ask for.
Count = Annotated[int, Meta(ge=1, le=500)]
Title = Annotated[str, Meta(min_length=1, max_length=50)]
#: The fortune that is added at request time.
ADDED = Fortune(0, "Additional fortune added at request time.")


class WorldRow(msgspec.Struct):
    id: int
    random_number: int


class AuthorRow(msgspec.Struct):
    id: int
    name: str


class BookRow(msgspec.Struct):
    id: int
    title: str
    pages: int
    author: AuthorRow


class NewNote(msgspec.Struct, forbid_unknown_fields=True):
    title: Title


class NoteRow(msgspec.Struct):
    id: int
    title: str


def random_key() -> int:
    """Return a key of a world, or a number for one."""
    return random.randint(1, WORLDS)


def random_keys(count: int) -> list[int]:
    """Return different keys, in an order in which requests do not wait for each other in a circle."""
    return sorted(random.sample(range(1, WORLDS + 1), count))


def with_added(fortunes: list[Any]) -> list[Any]:
    """Return fortunes and the added one, sorted by their text."""
    return sorted([*fortunes, ADDED], key=attrgetter("message"))
