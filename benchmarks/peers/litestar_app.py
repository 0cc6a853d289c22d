"""The data benchmark on Litestar and SQLAlchemy: a session by dependency, answers of msgspec."""

from __future__ import annotations

from typing import Annotated

from contract import TEMPLATES
from data_contract import AuthorRow, BookRow, NewNote, NoteRow, WorldRow
from litestar import Litestar, get, post
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.di import Provide
from litestar.params import Parameter
from litestar.response import Template
from litestar.template.config import TemplateConfig
from peers import sqlalchemy_rows as rows
from sqlalchemy.ext.asyncio import AsyncSession

Count = Annotated[int, Parameter(ge=1, le=500)]


def world(row: rows.World) -> WorldRow:
    return WorldRow(row.id, row.random_number)


@get("/db")
async def one(session: AsyncSession) -> WorldRow:
    return world(await rows.one(session))


@get("/queries")
async def queries(session: AsyncSession, n: Count = 20) -> list[WorldRow]:
    return [world(row) for row in await rows.several(session, n)]


@post("/updates", status_code=200)
async def updates(session: AsyncSession, n: Count = 20) -> list[WorldRow]:
    return [world(row) for row in await rows.changed(session, n)]


@get("/fortunes")
async def fortunes(session: AsyncSession) -> Template:
    return Template("fortunes.html", context={"fortunes": await rows.fortunes(session)})


@get("/books")
async def books(session: AsyncSession) -> list[BookRow]:
    return [
        BookRow(book.id, book.title, book.pages, AuthorRow(book.author.id, book.author.name))
        for book in await rows.books(session)
    ]


@post("/notes", status_code=200)
async def add_note(data: NewNote, session: AsyncSession) -> NoteRow:
    note = await rows.add_note(session, data.title)
    return NoteRow(note.id, note.title)


@get("/sqlite", dependencies={"session": Provide(rows.sqlite_session)})
async def one_of_sqlite(session: AsyncSession) -> WorldRow:
    return world(await rows.one(session))


app = Litestar(
    [one, queries, updates, fortunes, books, add_note, one_of_sqlite],
    dependencies={"session": Provide(rows.postgres_session)},
    template_config=TemplateConfig(directory=TEMPLATES, engine=JinjaTemplateEngine),
    openapi_config=None,
)
