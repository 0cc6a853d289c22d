# --8<-- [start:plugin]
from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from typing import Any, ClassVar, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from quintet import App, Plugin, Struct
from quintet.app import Application
from quintet.errors import Conflict, NotFound

Connection: TypeAlias = PoolConnectionProxy


class AsyncpgPlugin(Plugin):
    """Plain SQL: a handler that asks for a Connection has a transaction."""

    name: ClassVar[str] = "sql"

    def __init__(self, url: str) -> None:
        self.url = url
        self.pool: Any = None

    def setup(self, app: Application) -> None:
        app.lifespan(self.life)
        app.provide(Connection, self.transaction)
        app.readiness("sql")(self.ping)

    async def life(self) -> AsyncGenerator[None]:
        self.pool = asyncpg.create_pool(self.url, min_size=1)  # pyright: ignore[reportUnknownMemberType]
        async with self.pool:
            yield

    async def transaction(self) -> AsyncGenerator[Connection]:
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    async def ping(self) -> None:
        await self.pool.fetchval("SELECT 1")


# --8<-- [end:plugin]

# --8<-- [start:app]
url = os.environ.get("NOTES_DATABASE_URL", "postgresql://localhost/notes")
app = App(plugins=[AsyncpgPlugin(url)])


@app.command()
async def create_tables(db: Connection) -> None:
    """Make the tables that are missing."""
    columns = "id serial PRIMARY KEY, text text UNIQUE"
    await db.execute(f"CREATE TABLE IF NOT EXISTS note ({columns})")


class NoteIn(Struct):
    text: str


class NoteOut(Struct):
    id: int
    text: str


@app.post("/notes", status=201)
async def add(note: NoteIn, db: Connection) -> NoteOut:
    sql = "INSERT INTO note (text) VALUES ($1) RETURNING id, text"
    try:
        row = await db.fetchrow(sql, note.text)
    except asyncpg.UniqueViolationError:
        raise Conflict("this note is there already") from None
    return NoteOut(**row)


@app.get("/notes/{id}")
async def show(id: int, db: Connection) -> NoteOut:
    row = await db.fetchrow("SELECT id, text FROM note WHERE id = $1", id)
    if row is None:
        raise NotFound(f"there is no note {id}")
    return NoteOut(**row)


# --8<-- [end:app]
