from __future__ import annotations

from typing import Annotated

from sqlalchemy import Select, select
from sqlalchemy.orm import selectinload

from quintet import App, Meta
from quintet.db import (
    Database,
    Mapped,
    Model,
    New,
    Session,
    SyncSession,
    belongs_to,
    column,
    foreign_key,
    primary_key,
    query,
)


class Author(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]] = column(unique=True)


class Book(Model):
    id: Mapped[int] = primary_key()
    title: Mapped[Annotated[str, Meta(min_length=1, max_length=80)]]
    isbn: Mapped[Annotated[str, Meta(pattern=r"^\d{13}$", max_length=13)]] = (
        column(unique=True)
    )
    author_id: Mapped[int] = foreign_key("author.id")
    author: Mapped[Author] = belongs_to()


@query
def author_named(name: str) -> Select[Author]:
    return select(Author).where(Author.name == name)


app = App(plugins=[Database("sqlite:///library.db")])


@app.post("/authors", status=201)
async def add(data: New[Author], db: Session) -> Author:
    db.add(data)
    return data


@app.get("/authors/{name}")
def show(name: str, db: SyncSession) -> Author:
    return db.one(author_named(name))


@app.get("/books")
async def books(db: Session) -> list[str]:
    found = select(Book).options(selectinload(Book.author))
    return [
        f"{book.title} by {book.author.name}" for book in await db.many(found)
    ]


@app.get("/books/slow")
async def slow(db: Session) -> list[str]:
    lines: list[str] = []
    for book in await db.many(select(Book)):
        writer = select(Author).where(Author.id == book.author_id)
        author = await db.one(writer)
        lines.append(f"{book.title} by {author.name}")
    return lines
