"""The data benchmark by hand: bare functions on the core of `by_hand`, asyncpg's stock pool, sqlite3, msgspec, Jinja2.

SQL is written out and sent once where once will do: the list is one join, twenty changed rows are written by one
`executemany`, and a single insert commits itself. `/unit/notes` is the same insert between BEGIN and COMMIT, as a
session that does not know what comes next has to send it.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import by_hand
import msgspec
import uvloop
from by_hand import BAD, JSON, OK, Request, Response, encode, template
from contract import Fortune
from data_contract import (
    BOOKS,
    DATABASE,
    POOL,
    SQLITE,
    AuthorRow,
    BookRow,
    NewNote,
    NoteRow,
    WorldRow,
    random_key,
    random_keys,
    with_added,
)

WORLD = "SELECT id, random_number FROM world WHERE id = $1"
LITE_WORLD = "SELECT id, random_number FROM world WHERE id = ?"
UPDATE = "UPDATE world SET random_number = $2 WHERE id = $1"
LIST = """SELECT book.id, book.title, book.pages, author.id, author.name
FROM book JOIN author ON author.id = book.author_id ORDER BY book.id LIMIT $1"""
INSERT = "INSERT INTO note (title) VALUES ($1) RETURNING id"
decode_note = msgspec.json.Decoder(NewNote).decode
pool: Any  # asyncpg's own types leave the rows open
lite = sqlite3.connect(SQLITE)


def count_of(request: Request) -> int:
    """Return how many rows are asked for, or raise ValueError."""
    count = int(parse_qs(request.query.decode()).get("n", ["20"])[0])
    if not 1 <= count <= 500:
        raise ValueError(count)
    return count


def answer(value: Any) -> Response:
    return Response(OK, JSON, encode(value))


def refusal(exc: Exception) -> Response:
    return Response(BAD, JSON, encode({"error": str(exc)}))


async def one(request: Request) -> Response:
    async with pool.acquire() as connection:
        row = await connection.fetchrow(WORLD, random_key())
    return answer(WorldRow(row[0], row[1]))


async def queries(request: Request) -> Response:
    try:
        count = count_of(request)
    except ValueError as exc:
        return refusal(exc)
    found: list[WorldRow] = []
    async with pool.acquire() as connection:
        for key in random_keys(count):
            row = await connection.fetchrow(WORLD, key)
            found.append(WorldRow(row[0], row[1]))
    return answer(found)


async def updates(request: Request) -> Response:
    try:
        count = count_of(request)
    except ValueError as exc:
        return refusal(exc)
    found: list[WorldRow] = []
    async with pool.acquire() as connection, connection.transaction():
        for key in random_keys(count):
            row = await connection.fetchrow(WORLD, key)
            found.append(WorldRow(row[0], random_key()))
        await connection.executemany(UPDATE, [(world.id, world.random_number) for world in found])
    return answer(found)


async def fortunes(request: Request) -> Response:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT id, message FROM fortune")
    text = template.render(fortunes=with_added([Fortune(row[0], row[1]) for row in rows]))
    return Response(OK, b"text/html; charset=utf-8", text.encode())


async def books(request: Request) -> Response:
    async with pool.acquire() as connection:
        rows = await connection.fetch(LIST, BOOKS)
    return answer([BookRow(key, title, pages, AuthorRow(author, name)) for key, title, pages, author, name in rows])


async def add_note(request: Request) -> Response:
    try:
        note = decode_note(request.body)
    except msgspec.DecodeError as exc:
        return refusal(exc)
    async with pool.acquire() as connection:
        key = await connection.fetchval(INSERT, note.title)
    return answer(NoteRow(key, note.title))


async def add_note_in_unit(request: Request) -> Response:
    try:
        note = decode_note(request.body)
    except msgspec.DecodeError as exc:
        return refusal(exc)
    async with pool.acquire() as connection, connection.transaction():
        key = await connection.fetchval(INSERT, note.title)
    return answer(NoteRow(key, note.title))


async def one_of_sqlite(request: Request) -> Response:
    row = lite.execute(LITE_WORLD, (random_key(),)).fetchone()
    return answer(WorldRow(row[0], row[1]))


async def main(port: int) -> None:
    global pool
    pool = await asyncpg.create_pool(DATABASE, min_size=POOL, max_size=POOL)  # pyright: ignore[reportUnknownMemberType] - as above
    by_hand.ROUTES.update(
        {
            "/db": one,
            "/queries": queries,
            "/updates": updates,
            "/fortunes": fortunes,
            "/books": books,
            "/notes": add_note,
            "/unit/notes": add_note_in_unit,
            "/sqlite": one_of_sqlite,
        }
    )
    await by_hand.main(port)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
