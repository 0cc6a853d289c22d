"""What one can see of queries: each statement as it runs, and what was decided about it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from sqlalchemy import Select, event, exc, select

from quintet import Meta
from quintet.db import Database, Mapped, Model, QueryEvent, SoftDelete, column, primary_key, query
from quintet.db.queries.events import listening
from quintet.db.queries.explain import explain_plan, explain_query
from tests.integration.db.queries import queries as q


async def test_every_statement_is_heard_with_the_line_that_asked_for_it(sessions: Any) -> None:
    heard: list[QueryEvent] = []
    async with sessions() as db:
        with listening(heard.append):
            await db.many(q.among(["thing 1", "thing 2"]))
            db.inner.expunge_all()
            await db.scalar(select(q.Thing.rank).where(q.Thing.id == 5))
            await db.change(q.rename(1, "x"))
            with pytest.raises(exc.IntegrityError):
                await db.change(q.rename(2, "x"))
        await db.rollback()
    heard = [e for e in heard if "q_thing" in e.sql]
    assert [(e.query, e.parameters, e.error is None) for e in heard] == [
        ("among", 3, True), (None, 1, True), ("rename", 2, True), ("rename", 2, False),
    ]  # fmt: skip
    assert all(0 < e.duration < 5 for e in heard)
    assert all("thing 1" not in e.sql for e in heard)
    if sessions.kind == "async":
        assert {e.source.rpartition(":")[0] for e in heard} <= {
            __file__,
            q.__file__.replace("queries.py", "conftest.py"),
        }


async def test_a_line_is_found_through_greenlets(database: Database) -> None:
    heard: list[QueryEvent] = []
    async with database.session("read") as db:
        with listening(heard.append):
            await db.execute(select(q.Thing.id))
            await db.one(q.count())
    lines = [e.source for e in heard if "q_thing" in e.sql]
    assert len(lines) == 2
    assert {line.rpartition(":")[0] for line in lines} == {__file__}


async def test_the_plan_says_what_was_decided(sessions: Any) -> None:
    async with sessions("read") as db:
        await db.many(q.heads(1))
    plan = await sessions.plan(q.heads(1))
    dialect = sessions.database.engine.dialect if sessions.kind == "async" else sessions.database.sync_engine.dialect
    text = "\n".join(explain_plan(plan, dialect))
    assert "compiled; a read: in autocommit when no transaction is open" in text
    assert "each row: Head of fields id, name" in text
    assert "ran 1 times" in text
    assert "SELECT" in text


async def test_a_query_is_explained_for_every_variant_and_reason(database: Database) -> None:
    dialect = database.engine.dialect
    text = "\n".join(explain_query(q.found, [dialect]))
    assert text.count(dialect.driver) == 4
    assert "when name is None and rank is None" in text
    assert "when all are given" in text
    assert "run by SQLAlchemy: it has loader options" in "\n".join(explain_query(q.owners_with_things, [dialect]))


async def test_statements_that_somebody_changes_before_they_run_are_left_to_sqlalchemy(sessions: Any) -> None:
    def only_first(state: Any) -> None:
        state.statement = state.statement.where(q.Thing.id == 1)

    async with sessions("read") as db:
        assert len(await db.many(q.things())) == 5
        event.listen(db.inner, "do_orm_execute", only_first)
        assert [t.id for t in await db.many(q.things())] == [1]
    async with sessions("read") as db:
        assert len(await db.many(q.things())) == 5


APP = """
from sqlalchemy import Select, select
from quintet import App
from quintet.db import Database, Mapped, Model, Session, primary_key, query

class Note(Model):
    __tablename__ = "q_note"
    id: Mapped[int] = primary_key()
    text: Mapped[str]

@query
def notes(like: str | None = None) -> Select[Note]:
    return select(Note) if like is None else select(Note).where(Note.text.contains(like))

@query
def wrong(limit: int) -> Select[Note]:
    return select(Note).limit(limit + 1)

app = App(plugins=[Database("sqlite:///notes.db")])

@app.get("/notes")
async def listing(db: Session) -> list[Note]:
    return await db.many(notes())
"""


def test_the_command_line_explains_queries_and_checks_them(tmp_path: Path) -> None:
    (tmp_path / "notes_app.py").write_text(APP)

    def quintet(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "quintet", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        return done.stdout + done.stderr

    one = quintet("explain", "notes_app:app", "query", "notes_app:notes")
    assert "sqlite, by aiosqlite, when like is None" in one
    assert "FROM q_note" in one
    assert "compiled; a read" in one
    assert "`+` outside SQL needs the value of its parameter `limit`" in quintet("explain", "notes_app:app", "queries")
    assert "notes_app:notes" in quintet("explain", "notes_app:app", "GET", "/notes")
    assert "there is no query nowhere:notes" in quintet("explain", "notes_app:app", "query", "nowhere:notes")
    checked = quintet("check", "notes_app:app")
    assert "query.build" in checked
    assert "`+` outside SQL" in checked


class Kept(SoftDelete):
    __tablename__ = "q_kept"
    __database__ = "default"
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=10)]]
    deleted_at: Mapped[datetime | None] = column(default=None)


@query
def kept() -> Select[Kept]:
    return select(Kept).order_by(Kept.id)


@query
def kept_and_deleted() -> Select[str]:
    return select(Kept.name).execution_options(include_deleted=True).order_by(Kept.id)


async def test_rows_that_are_deleted_and_kept_are_left_out_of_compiled_queries(sessions: Any) -> None:
    table: Any = Kept.__table__
    async with sessions.database.engine.begin() as connection:
        await connection.run_sync(table.create)
    try:
        async with sessions() as db:
            db.inner.add_all([Kept(name="here"), Kept(name="gone", deleted_at=datetime(2024, 1, 1, tzinfo=UTC))])
        async with sessions("read") as db:
            assert [k.name for k in await db.many(kept())] == ["here"]
            assert await db.many(kept_and_deleted()) == ["here", "gone"]
        assert (await sessions.plan(kept())).fallback is None
    finally:
        async with sessions.database.engine.begin() as connection:
            await connection.run_sync(table.drop)


assert issubclass(Kept, Model)
