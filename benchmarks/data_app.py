"""The data benchmark on Quintet: compiled queries, and the same below `/sessions` with objects in sessions."""

from __future__ import annotations

from typing import Annotated

from contract import TEMPLATES, Fortune
from data_contract import (
    BOOKS,
    DATABASE,
    POOL,
    SQLITE,
    AuthorRow,
    BookRow,
    Count,
    NewNote,
    NoteRow,
    Title,
    WorldRow,
    random_key,
    random_keys,
    with_added,
)
from sqlalchemy import Insert, Select, Update, insert, select, update
from sqlalchemy.orm import selectinload

from quintet import App, Router, Template
from quintet.db import (
    Database,
    Mapped,
    Model,
    New,
    PoolOptions,
    Session,
    Use,
    View,
    belongs_to,
    foreign_key,
    primary_key,
    query,
)

Lite = Annotated[Session, Use("lite")]


class World(Model):
    id: Mapped[int] = primary_key()
    random_number: Mapped[int]


class Saying(Model):
    __tablename__ = "fortune"
    id: Mapped[int] = primary_key()
    message: Mapped[str]


class Author(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Title]


class Book(Model):
    id: Mapped[int] = primary_key()
    title: Mapped[Title]
    pages: Mapped[int]
    author_id: Mapped[int] = foreign_key("author.id", private=True)
    author: Mapped[Author] = belongs_to()


class Note(Model):
    id: Mapped[int] = primary_key()
    title: Mapped[Title]


class LiteModel(Model, database="lite"):
    __abstract__ = True


class LiteWorld(LiteModel):
    __tablename__ = "world"
    id: Mapped[int] = primary_key()
    random_number: Mapped[int]


app = App(
    plugins=[
        Database(DATABASE, pool=PoolOptions(size=POOL)),
        Database(f"sqlite:///{SQLITE}", name="lite"),
    ],
    templates=TEMPLATES,
    docs=False,
)
sessions = Router("/sessions")


# -- compiled queries -------------------------------------------------------------------------------------------------


@query(into=WorldRow)
def world(key: int) -> Select[int, int]:
    return select(World.id, World.random_number).where(World.id == key)


@query
def write_number(key: int, number: int) -> Update:
    return update(World).where(World.id == key).values(random_number=number)


@query(into=Fortune)
def sayings() -> Select[int, str]:
    return select(Saying.id, Saying.message)


@query
def first_books(limit: int) -> Select[int, str, int, int, str]:
    columns = select(Book.id, Book.title, Book.pages, Author.id, Author.name)
    return columns.join(Book.author).order_by(Book.id).limit(limit)


@query(into=NoteRow)
def insert_note(title: str) -> Insert:
    return insert(Note).values(title=title).returning(Note.id, Note.title)


@query(into=WorldRow)
def lite_world(key: int) -> Select[int, int]:
    return select(LiteWorld.id, LiteWorld.random_number).where(LiteWorld.id == key)


@app.get("/db")
async def one(db: Session) -> WorldRow:
    return await db.one(world(random_key()))


@app.get("/queries")
async def queries(db: Session, n: Count = 20) -> list[WorldRow]:
    return [await db.one(world(key)) for key in random_keys(n)]


@app.post("/updates")
async def updates(db: Session, n: Count = 20) -> list[WorldRow]:
    found = [await db.one(world(key)) for key in random_keys(n)]
    for row in found:
        row.random_number = random_key()
    await db.change_all(write_number(row.id, row.random_number) for row in found)
    return found


@app.get("/fortunes")
async def fortunes(db: Session) -> Template:
    return Template("fortunes.html", fortunes=with_added(await db.many(sayings())))


@app.get("/books")
async def books(db: Session) -> list[BookRow]:
    rows = await db.many(first_books(BOOKS))
    return [BookRow(key, title, pages, AuthorRow(author, name)) for key, title, pages, author, name in rows]


@app.post("/notes")
async def add_note(data: NewNote, db: Session) -> NoteRow:
    return await db.one(insert_note(data.title))


@app.get("/sqlite")
async def one_of_sqlite(db: Lite) -> WorldRow:
    return await db.one(lite_world(random_key()))


# -- objects in sessions ----------------------------------------------------------------------------------------------


@sessions.get("/db")
async def one_object(db: Session) -> World:
    return await db.get_one(World, random_key())


@sessions.get("/queries")
async def many_objects(db: Session, n: Count = 20) -> list[World]:
    return [await db.get_one(World, key) for key in random_keys(n)]


@sessions.post("/updates")
async def changed_objects(db: Session, n: Count = 20) -> list[World]:
    found = [await db.get_one(World, key) for key in random_keys(n)]
    for row in found:
        row.random_number = random_key()
    return found


@sessions.get("/fortunes")
async def fortune_objects(db: Session) -> Template:
    return Template("fortunes.html", fortunes=with_added(await db.many(select(Saying))))


@sessions.get("/books")
async def book_objects(db: Session) -> list[Annotated[Book, View("author")]]:
    return await db.many(select(Book).options(selectinload(Book.author)).order_by(Book.id).limit(BOOKS))


@sessions.post("/notes")
async def add_note_object(data: New[Note], db: Session) -> Note:
    db.add(data)
    return data


@sessions.get("/sqlite")
async def one_object_of_sqlite(db: Lite) -> LiteWorld:
    return await db.get_one(LiteWorld, random_key())


app.include(sessions)
