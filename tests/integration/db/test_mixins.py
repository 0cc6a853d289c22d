"""Times, soft deletion and versions of rows, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from examples.docs import kept
from quintet import App, Patch, View, resource
from quintet.db import (
    Database,
    Mapped,
    Model,
    Session,
    SoftDelete,
    Timestamps,
    Versioned,
    belongs_to,
    foreign_key,
    has_many,
    primary_key,
)
from quintet.testing import AsyncClient


class Notes(Model, database="default"):
    """The base of these models."""


class Note(Timestamps, SoftDelete, Versioned, Notes):
    id: Mapped[int] = primary_key()
    text: Mapped[str]


class Binder(SoftDelete, Notes):
    id: Mapped[int] = primary_key()
    sheets: Mapped[list[Sheet]] = has_many()


class Sheet(SoftDelete, Notes):
    id: Mapped[int] = primary_key()
    binder_id: Mapped[int] = foreign_key("binder.id")
    binder: Mapped[Binder] = belongs_to()


@pytest.fixture
async def notes(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    await database.drop_all(Notes)
    await database.create_all(Notes)
    async with database.session() as db:
        db.add_all([Note(text="one"), Note(text="two")])
    yield database
    await database.drop_all(Notes)
    await database.dispose()


async def test_times_are_kept(notes: Database) -> None:
    async with notes.session() as db:
        note = await db.one(select(Note).where(Note.text == "one"))
        made, changed = note.created_at, note.updated_at
        assert abs((datetime.now(UTC) - made).total_seconds()) < 60
        note.text = "three"
        await asyncio.sleep(0.01)
        await db.flush()
        assert note.created_at == made
        assert note.updated_at > changed


async def test_a_deleted_row_stays_and_is_left_out(notes: Database) -> None:
    async with notes.session() as db:
        await db.delete(await db.one(select(Note).where(Note.text == "one")))
    async with notes.session() as db:
        assert await db.many(select(Note.text)) == ["two"]
        everything = select(Note).order_by(Note.id).execution_options(include_deleted=True)
        one, two = await db.many(everything)
        assert one.deleted_at is not None
        assert two.deleted_at is None


async def test_a_row_keeps_the_deleted_one_that_it_refers_to(notes: Database) -> None:
    async with notes.session() as db:
        binder = Binder(sheets=[Sheet(), Sheet(), Sheet()])
        db.add(binder)
        await db.flush()
        await db.delete(binder.sheets[0])
        await db.delete(binder)
    app = App(plugins=[notes])
    app.include(resource(Sheet, view=View("binder")))
    app.include(resource(Binder, view=View("sheets"), name="binders"))
    async with AsyncClient(app) as client:
        items = (await client.get("/sheet")).json()["items"]
        assert [item["binder"] for item in items] == [{"id": binder.id}] * 2
        assert (await client.get("/binder")).json()["items"] == []
    async with notes.session() as db:
        found = select(Sheet).order_by(Sheet.id).options(selectinload(Sheet.binder).selectinload(Binder.sheets))
        first, *_ = await db.many(found)
        assert first.binder.deleted_at is not None
        assert len(first.binder.sheets) == 2
    async with notes.session() as db:
        first = await db.one(select(Sheet).limit(1))
        await db.refresh(first, ["binder"])
        assert first.binder.id == binder.id


async def test_who_changes_what_another_has_changed_meanwhile_is_answered_409(notes: Database) -> None:
    if notes.dialect == "sqlite":
        pytest.skip("on SQLite a session that will write reads what no one else can change")
    app = App(plugins=[notes])
    met = asyncio.Barrier(2)

    @app.patch("/notes/{text}")
    async def edit(text: str, changes: Patch[Note], db: Session) -> Note:
        note = await db.one(select(Note).where(Note.text == text))
        await met.wait()
        return changes.apply(note)

    async with AsyncClient(app) as client:
        calls = (client.patch("/notes/one", json={"text": t}) for t in ("mine", "yours"))
        answers = await asyncio.wait_for(asyncio.gather(*calls), 20)
    assert sorted(a.status_code for a in answers) == [200, 409]
    assert next(a for a in answers if a.status_code == 200).json()["version"] == 2
    assert "changed by someone else" in next(a for a in answers if a.status_code == 409).json()["detail"]


async def test_a_client_writes_none_of_this(notes: Database) -> None:
    from quintet.db.shapes import shape_of

    assert shape_of(Note, "new").__struct_fields__ == ("text",)
    assert set(shape_of(Note).__struct_fields__) == {"id", "text", "created_at", "updated_at", "version"}


async def test_the_slug_of_a_deleted_row_is_free_where_the_page_says_so(url: str) -> None:
    database = Database(url)
    await database.drop_all(kept.Model)
    await database.create_all(kept.Model)
    app = App(plugins=[database])
    app.include(resource(kept.Page, key="slug"))
    app.include(resource(kept.Topic))
    async with AsyncClient(app) as client:
        for path in ("/page", "/topic"):
            again = 409 if path == "/page" and database.dialect in ("mysql", "mariadb") else 201
            for status in (201, again):
                made = await client.post(path, json={"slug": "a"})
                assert made.status_code == status
                taken = await client.post(path, json={"slug": "a"})
                assert (taken.status_code, taken.json()["errors"][0]["msg"]) == (409, "This is taken already.")
                if status == 201:
                    assert (await client.delete(made.headers["location"])).status_code == 204
    await database.drop_all(kept.Model)
    await database.dispose()
