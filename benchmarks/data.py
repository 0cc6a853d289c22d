"""Measures what reading and writing rows costs, compiled and otherwise, as ratios in one run.

    python benchmarks/data.py                       every row, on PostgreSQL and SQLite
    python benchmarks/data.py key list --rounds 5   some rows

CPU of this process per operation, without HTTP and without the server's share: 16 callers at once, each operation in
the session of a request; rounds are interleaved and medians are printed. PostgreSQL is that of QUINTET_BENCH_POSTGRES,
the database `postgres` on 127.0.0.1:5432 by default. Django runs in a process of its own, one caller.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import uvloop
from sqlalchemy import Insert, Select, Update, insert, select, update
from sqlalchemy.orm import selectinload

from quintet import Meta, Struct
from quintet.db import (
    Database,
    Mapped,
    Model,
    PoolOptions,
    belongs_to,
    column,
    foreign_key,
    has_many,
    primary_key,
    query,
)
from quintet.db.plugin import unit

URL = os.environ.get("QUINTET_BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
CALLERS = 16
#: row -> (operations of a round, compared with, budget as a ratio of it)
ROWS = {
    "key": (4000, "hand", 0.6),
    "struct": (4000, "hand", 0.6),
    "twenty": (200, "hand", 1.0),
    "list": (600, "hand", 1.0),
    "relation": (60, "session", 1.0),
    "insert": (400, "hand", 1.0),
    "update": (400, "hand", 1.0),
    "modify": (200, "hand", 2.0),  # a row is loaded, changed as an object and flushed
}


class Base(Model):
    __abstract__ = True


class Author(Base):
    __tablename__ = "bench_author"
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]]
    books: Mapped[list["Book"]] = has_many()  # noqa: UP037 - defined below


class Book(Base):
    __tablename__ = "bench_book"
    id: Mapped[int] = primary_key()
    title: Mapped[Annotated[str, Meta(max_length=50)]]
    pages: Mapped[int] = column(default=0)
    author_id: Mapped[int] = foreign_key("bench_author.id")
    author: Mapped[Author] = belongs_to()


class Head(Struct):
    id: int
    title: str
    pages: int


@query
def by_key(key: int) -> Select[Book]:
    return select(Book).where(Book.id == key)


@query(into=Head)
def head(key: int) -> Select[int, str, int]:
    return select(Book.id, Book.title, Book.pages).where(Book.id == key)


@query(into=Head)
def heads(limit: int) -> Select[int, str, int]:
    return select(Book.id, Book.title, Book.pages).order_by(Book.id).limit(limit)


@query
def hundred() -> Select[Book]:
    return select(Book).options(selectinload(Book.author)).order_by(Book.id).limit(100)


@query
def add(title: str, author: int) -> Insert:
    return insert(Book).values(title=title, pages=1, author_id=author).inline()


@query
def turn(key: int, pages: int) -> Update:
    return update(Book).where(Book.id == key).values(pages=pages)


SQL = {
    "key": "SELECT id, title, pages, author_id FROM bench_book WHERE id = $1",
    "list": "SELECT id, title, pages FROM bench_book ORDER BY id LIMIT $1",
    "insert": "INSERT INTO bench_book (title, pages, author_id) VALUES ($1, $2, $3)",
    "update": "UPDATE bench_book SET pages = $2 WHERE id = $1",
}
Work = Callable[[int], Awaitable[Any]]


def compiled(database: Database) -> dict[str, Work]:
    async def one(bound: Any) -> Any:
        async with unit(database, "read") as db:
            return await db.one(bound)

    async def many(bound: Any) -> Any:
        async with unit(database, "read") as db:
            return await db.many(bound)

    async def twenty(n: int) -> None:
        async with unit(database, "read") as db:
            for k in range(20):
                await db.one(head(1 + (n + k) % 1000))

    async def write(bound: Any) -> None:
        async with unit(database, "write") as db:
            await db.change(bound)

    async def modify(n: int) -> None:
        async with unit(database, "write") as db:
            (await db.one(by_key(1 + n % 1000))).pages = n

    return {
        "modify": modify,
        "key": lambda n: one(by_key(1 + n % 1000)),
        "struct": lambda n: one(head(1 + n % 1000)),
        "twenty": twenty,
        "list": lambda n: many(heads(12)),
        "relation": lambda n: many(hundred()),
        "insert": lambda n: write(add("new", 1)),
        "update": lambda n: write(turn(1 + n % 1000, n)),
    }


def session(database: Database) -> dict[str, Work]:
    async def get(n: int) -> Any:
        async with unit(database, "read") as db:
            return await db.get(Book, 1 + n % 1000)

    async def twenty(n: int) -> None:
        async with unit(database, "read") as db:
            for k in range(20):
                await db.get(Book, 1 + (n + k) % 1000)

    async def several(n: int) -> Any:
        async with unit(database, "read") as db:
            return (await db.execute(select(Book.id, Book.title, Book.pages).order_by(Book.id).limit(12))).all()

    async def relation(n: int) -> Any:
        async with unit(database, "read") as db:
            statement = select(Book).options(selectinload(Book.author)).order_by(Book.id).limit(100)
            return (await db.scalars(statement)).all()

    async def create(n: int) -> None:
        async with unit(database, "write") as db:
            db.add(Book(title="new", pages=1, author_id=1))

    async def change(n: int) -> None:
        async with unit(database, "write") as db:
            await db.execute(update(Book).where(Book.id == 1 + n % 1000).values(pages=n))

    async def modify(n: int) -> None:
        async with unit(database, "write") as db:
            found = await db.get(Book, 1 + n % 1000)
            assert found is not None
            found.pages = n

    return {
        "key": get, "struct": get, "twenty": twenty, "list": several, "relation": relation, "insert": create,
        "update": change, "modify": modify,
    }  # fmt: skip


def by_hand(pool: asyncpg.Pool) -> dict[str, Work]:
    async def key(n: int) -> Any:
        async with pool.acquire() as connection:
            return await connection.fetchrow(SQL["key"], 1 + n % 1000)

    async def twenty(n: int) -> None:
        for k in range(20):
            async with pool.acquire() as connection:
                await connection.fetchrow(SQL["key"], 1 + (n + k) % 1000)

    async def several(n: int) -> Any:
        async with pool.acquire() as connection:
            return [Head(id=r[0], title=r[1], pages=r[2]) for r in await connection.fetch(SQL["list"], 12)]

    async def write(name: str, *values: Any) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL[name], *values)

    async def modify(n: int) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(SQL["key"], 1 + n % 1000)
            await connection.execute(SQL["update"], 1 + n % 1000, n)

    return {
        "key": key, "struct": key, "twenty": twenty, "list": several, "modify": modify,
        "insert": lambda n: write("insert", "new", 1, 1),
        "update": lambda n: write("update", 1 + n % 1000, n),
    }  # fmt: skip


def core(database: Database) -> dict[str, Work]:
    """SQLAlchemy by hand: Core statements on connections of the engine."""
    table: Any = Book.__table__
    engine = database.engine
    columns = (table.c.id, table.c.title, table.c.pages)

    async def key(n: int) -> Any:
        async with engine.connect() as connection:
            return (await connection.execute(select(*columns).where(table.c.id == 1 + n % 1000))).first()

    async def twenty(n: int) -> None:
        for k in range(20):
            await key(n + k)

    async def several(n: int) -> Any:
        async with engine.connect() as connection:
            return (await connection.execute(select(*columns).order_by(table.c.id).limit(12))).all()

    async def write(statement: Any) -> None:
        async with engine.begin() as connection:
            await connection.execute(statement)

    return {
        "key": key, "struct": key, "twenty": twenty, "list": several,
        "insert": lambda n: write(insert(table).values(title="new", pages=1, author_id=1)),
        "update": lambda n: write(update(table).where(table.c.id == 1 + n % 1000).values(pages=n)),
    }  # fmt: skip


async def measure(work: Work, count: int) -> float:
    """Return the CPU of this process per operation in microseconds."""
    numbers = iter(range(count))

    async def caller() -> None:
        for n in numbers:
            await work(n)

    started = time.process_time()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return (time.process_time() - started) / count * 1e6


async def run(url: str, wanted: list[str], rounds: int, scale: float) -> dict[str, dict[str, float]]:
    """Return the medians: row -> way -> microseconds."""
    # As many connections as callers, for all ways: one beyond the pool's size is opened and closed for each use.
    database = Database(url, pool=PoolOptions(size=20, overflow=0))
    await database.drop_all(Base)
    await database.create_all(Base)
    async with database.session() as db:
        db.add_all([Author(name=f"author {n}") for n in range(10)])
        await db.flush()
        db.add_all([Book(title=f"book {n}", pages=n, author_id=1 + n % 10) for n in range(1000)])
    ways = {"compiled": compiled(database), "session": session(database), "core": core(database)}
    pool = None
    if url.startswith("postgresql"):
        pool = await asyncpg.create_pool(url, min_size=10, max_size=20)
        ways["hand"] = by_hand(pool)
    figures: dict[str, dict[str, list[float]]] = {row: {} for row in wanted}
    for number in range(rounds + 1):
        for row in wanted:
            count = max(CALLERS, int(ROWS[row][0] * scale))
            for way, works in ways.items():
                if row in works:
                    found = await measure(works[row], count if number else min(count, 100))
                    if number:  # the first round fills caches
                        figures[row].setdefault(way, []).append(found)
    if pool is not None:
        await pool.close()
    await database.drop_all(Base)
    await database.dispose()
    return {row: {way: statistics.median(values) for way, values in found.items()} for row, found in figures.items()}


DJANGO = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
import django
from django.conf import settings
from urllib.parse import urlsplit
url = urlsplit(sys.argv[1])
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:],
    "USER": url.username, "PASSWORD": url.password or "", "HOST": url.hostname, "PORT": url.port or 5432,
    "CONN_MAX_AGE": None}}, INSTALLED_APPS=[])
django.setup()
from django.db import connection, models
class Row(models.Model):
    title = models.CharField(max_length=50)
    pages = models.IntegerField()
    class Meta:
        app_label = "bench"
        db_table = "bench_django"
with connection.schema_editor() as editor:
    editor.create_model(Row)
try:
    Row.objects.bulk_create([Row(title=f"book {n}", pages=n) for n in range(1000)])
    first = Row.objects.order_by("id").first().id
    works = {
        "key": lambda n: Row.objects.get(id=first + n % 1000),
        "list": lambda n: list(Row.objects.order_by("id")[:12]),
        "insert": lambda n: Row.objects.create(title="new", pages=1),
        "update": lambda n: Row.objects.filter(id=first + n % 1000).update(pages=n),
        "modify": lambda n: modify(n),
    }
    def modify(n):
        found = Row.objects.get(id=first + n % 1000)
        found.pages = n
        found.save()
    for name in sys.argv[2:]:
        if name in works:
            for n in range(50): works[name](n)
            started = time.process_time()
            for n in range(500): works[name](n)
            print(name, (time.process_time() - started) / 500 * 1e6)
finally:
    with connection.schema_editor() as editor:
        editor.delete_model(Row)
"""


def django(wanted: list[str]) -> dict[str, float]:
    """Return Django's figures, one caller; nothing when it is not installed."""
    done = subprocess.run([sys.executable, "-c", DJANGO, URL, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"Django: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}


def show(title: str, figures: dict[str, dict[str, float]]) -> None:
    """Print a table with the ratio to what a row is compared with, and its budget."""
    print(f"\n{title}, µs of CPU per operation")
    ways = list(dict.fromkeys(way for found in figures.values() for way in found))
    print(f"{'':10}" + "".join(f"{way:>11}" for way in ways) + f"{'ratio':>10}{'budget':>8}  compared with")
    for row, found in figures.items():
        _, other, budget = ROWS[row]
        ratio = f"{found['compiled'] / found[other]:.2f}" if other in found else ""
        cells = "".join(f"{found[way]:11.1f}" if way in found else f"{'':11}" for way in ways)
        verdict = f"  {other}{'' if float(ratio) <= budget else ', MISSED'}" if ratio else ""
        print(f"{row:10}{cells}{ratio:>10}{budget if ratio else '':>8}{verdict}")


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer operations")
    options = parser.parse_args()
    wanted = options.rows or list(ROWS)
    uvloop.install()
    figures = asyncio.run(run(URL, wanted, options.rounds, options.scale))
    for row, value in django(wanted).items():
        figures[row]["django"] = value
    show("PostgreSQL", figures)
    with tempfile.TemporaryDirectory() as folder:
        show("SQLite", asyncio.run(run(f"sqlite:///{Path(folder, 'bench.db')}", wanted, options.rounds, options.scale)))


if __name__ == "__main__":
    main()
