"""Models in handlers, on every database: what a client writes, what it sees, and what is saved."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import select

from quintet.db import Database
from quintet.testing import AsyncClient
from tests.integration.db.blog import User, make_app

SHOWN = {"id": 1, "slug": "a", "title": "T", "body": "b", "author_id": 1, "published_at": None}
KINDS = pytest.mark.parametrize("prefix", ["", "/sync"], ids=["async", "sync"])


@pytest.fixture
async def client(database: Database) -> AsyncGenerator[AsyncClient, None]:
    async with AsyncClient(make_app(database)) as client:
        await client.post("/users", json={"name": "Ada"})
        yield client


@KINDS
async def test_an_object_is_created_shown_and_saved(client: AsyncClient, database: Database, prefix: str) -> None:
    response = await client.post(f"{prefix}/articles", json={"slug": "a", "title": "T", "body": "b"})
    assert (response.status_code, response.json()) == (201, SHOWN)
    assert (await client.get(f"{prefix}/articles")).json() == [SHOWN]


@KINDS
async def test_what_a_client_may_not_write_is_refused(client: AsyncClient, prefix: str) -> None:
    for name in ("id", "author_id", "author", "tags", "moderation_note"):
        response = await client.post(f"{prefix}/articles", json={"slug": "a", "title": "T", "body": "b", name: 1})
        assert response.status_code == 422
        assert response.json()["errors"] == [
            {"loc": ["body", name], "msg": "This field is not known.", "code": "unknown_field"}
        ]


@KINDS
async def test_a_patch_changes_what_was_sent_and_null_is_not_absent(client: AsyncClient, prefix: str) -> None:
    moment = "2026-11-26T12:00:00Z"
    await client.post(f"{prefix}/articles", json={"slug": "a", "title": "T", "body": "b", "published_at": moment})
    changed = await client.patch(f"{prefix}/articles/a", json={"title": "New"})
    assert changed.json() == {**SHOWN, "title": "New", "published_at": moment}
    changed = await client.patch(f"{prefix}/articles/a", json={"published_at": None})
    assert changed.json() == {**SHOWN, "title": "New"}
    assert (await client.get(f"{prefix}/articles")).json() == [changed.json()]


async def test_a_missing_row_is_404(client: AsyncClient) -> None:
    response = await client.patch("/articles/none", json={"title": "New"})
    assert (response.status_code, response.json()["detail"]) == (404, "there is no such Article")


async def test_a_stream_reads_as_it_is_sent(client: AsyncClient) -> None:
    for slug in ("a", "b", "c"):
        await client.post("/articles", json={"slug": slug, "title": "T", "body": "b"})
    lines = (await client.get("/export")).text.splitlines()
    assert len(lines) == 3


async def test_a_session_outside_a_request_commits_at_its_end(database: Database) -> None:
    async with database.session() as db:
        db.add(User(name="Ada"))
    with database.sync_session() as db:
        assert db.one(select(User)).name == "Ada"


async def test_a_session_outside_a_request_rolls_back_on_an_exception(database: Database) -> None:
    async def fail() -> None:
        async with database.session() as db:
            db.add(User(name="Ada"))
            await db.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.session() as db:
        assert await db.many(select(User)) == []
