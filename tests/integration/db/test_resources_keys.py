"""Idempotency keys and versions of resources, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from quintet import App
from quintet.db import Database, Mapped, Model, SoftDelete, Versioned, column, primary_key
from quintet.db.migrations import Migrations, pending, targets_of, upgrade
from quintet.db.migrations.review import drift
from quintet.resources import resource
from quintet.resources.idempotency import IdempotencyKey, forget_expired
from quintet.testing import AsyncClient
from tests.integration.db.migrated import empty, with_driver


class Orders(Model, database="default"):
    """The base of these models."""


class Purchase(SoftDelete, Versioned, Orders):
    id: Mapped[int] = primary_key()
    item: Mapped[str]
    pieces: Mapped[int] = column(default=1)


@pytest.fixture
async def orders(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    for base in (Orders, Model):
        await database.drop_all(base)
        await database.create_all(base)
    yield database
    for base in (Orders, Model):
        await database.drop_all(base)
    await database.dispose()


@pytest.fixture(params=["async", "sync"])
async def client(orders: Database, request: pytest.FixtureRequest) -> AsyncGenerator[AsyncClient, None]:
    app = App(plugins=[orders])
    app.include(resource(Purchase, idempotency=True, sync=request.param == "sync"))
    async with AsyncClient(app) as client:
        yield client


async def count(database: Database) -> int | None:
    async with database.session("read") as db:
        return await db.scalar(select(func.count()).select_from(Purchase))


def key(text: str) -> dict[str, str]:
    return {"idempotency-key": text}


async def test_a_creation_sent_twice_happens_once(client: AsyncClient, orders: Database) -> None:
    first = await client.post("/purchase", json={"item": "tea"}, headers=key("a"))
    again = await client.post("/purchase", json={"item": "tea"}, headers=key("a"))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["etag"] == first.headers["etag"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(orders) == 1


async def test_a_key_used_for_something_else_is_refused(client: AsyncClient, orders: Database) -> None:
    await client.post("/purchase", json={"item": "tea"}, headers=key("a"))
    other = await client.post("/purchase", json={"item": "milk"}, headers=key("a"))
    assert (other.status_code, other.json()["errors"][0]["code"]) == (422, "reused")
    await client.post("/purchase", json={"item": "tea"}, headers={**key("a"), "authorization": "Bearer other"})
    assert await count(orders) == 2


async def test_a_creation_that_failed_leaves_its_key(client: AsyncClient) -> None:
    assert (await client.post("/purchase", json={"item": 1}, headers=key("a"))).status_code == 422
    assert (await client.post("/purchase", json={"item": "tea"}, headers=key("a"))).status_code == 201
    assert (await client.post("/purchase", json={"item": "tea"}, headers=key("k" * 256))).status_code == 422


async def test_several_at_once_with_one_key_happen_once(client: AsyncClient, orders: Database) -> None:
    body = [{"item": "tea"}, {"item": "milk"}]
    answers = await asyncio.gather(*(client.post("/purchase", json=body, headers=key("a")) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await count(orders) == 2


class Sometimes:
    open = True

    def create(self) -> bool:
        return self.open


async def test_who_may_create_no_more_is_not_told_what_was_created(orders: Database) -> None:
    policy = Sometimes()
    app = App(plugins=[orders])
    app.include(resource(Purchase, only=["create"], idempotency=True, policy=policy))
    async with AsyncClient(app) as client:
        assert (await client.post("/purchase", json={"item": "tea"}, headers=key("a"))).status_code == 201
        policy.open = False
        assert (await client.post("/purchase", json={"item": "tea"}, headers=key("a"))).status_code == 403


async def age(database: Database) -> None:
    async with database.session() as db:
        for row in await db.many(select(IdempotencyKey)):
            row.expires_at -= timedelta(days=2)


async def test_a_key_expires(client: AsyncClient, orders: Database) -> None:
    await client.post("/purchase", json={"item": "tea"}, headers=key("a"))
    await age(orders)
    assert (await client.post("/purchase", json={"item": "milk"}, headers=key("a"))).status_code == 201
    assert await count(orders) == 2


async def test_expired_keys_are_forgotten_where_asked(client: AsyncClient, orders: Database) -> None:
    await client.post("/purchase", json={"item": "tea"}, headers=key("a"))
    async with orders.session() as db:
        assert await forget_expired(db) == 0
    await age(orders)
    async with orders.session() as db:
        assert await forget_expired(db) == 1


async def test_a_change_of_a_version_that_is_gone_is_412(client: AsyncClient) -> None:
    created = await client.post("/purchase", json={"item": "tea"})
    tag, path = created.headers["etag"], created.headers["location"]
    assert (await client.get(path)).headers["etag"] == tag
    assert (await client.get(path, headers={"if-none-match": tag})).status_code == 304
    changed = await client.patch(path, json={"pieces": 2}, headers={"if-match": tag})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (await client.patch(path, json={"pieces": 3}, headers={"if-match": tag})).status_code == 412
    assert (await client.delete(path, headers={"if-match": tag})).status_code == 412
    assert (await client.delete(path, headers={"if-match": 'garbage"'})).status_code == 412
    assert (await client.get(path)).json()["pieces"] == 2
    assert (await client.delete(path, headers={"if-match": changed.headers["etag"]})).status_code == 204


async def test_a_deleted_row_stays_in_the_table_where_its_model_says_so(client: AsyncClient, orders: Database) -> None:
    path = (await client.post("/purchase", json={"item": "tea"})).headers["location"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    async with orders.session() as db:
        rows = await db.many(select(Purchase).execution_options(include_deleted=True))
        assert [row.deleted_at is not None for row in rows] == [True]


async def test_the_table_of_keys_comes_by_a_migration(url: str, tmp_path: Path) -> None:
    empty(with_driver(url))
    database = Database(url)
    app = App(plugins=[database, Migrations(folder=tmp_path, on_start="ignore")])
    app.include(resource(Purchase, idempotency=True))
    [target] = targets_of(app)
    try:
        await asyncio.to_thread(upgrade, target)
        assert pending(target) == []
        differing = await asyncio.to_thread(drift, target)
        assert [problem.message for problem in differing if "quintet_idempotency" in problem.message] == []
        async with database.session() as db:
            db.add(IdempotencyKey(id="a", fingerprint="b", expires_at=datetime.now(UTC)))
    finally:
        await database.dispose()
        empty(with_driver(url))
