"""Resources over models of a database with a name: every action works there, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta
from sqlalchemy import func, select

from quintet import App
from quintet.db import Database, Mapped, Model, Session, SyncSession, Use, Versioned, primary_key
from quintet.db.migrations import Migrations, targets_of, upgrade
from quintet.db.migrations.review import review
from quintet.errors import ConfigurationError
from quintet.resources import forget_expired, resource
from quintet.resources.idempotency import IdempotencyKey
from quintet.testing import AsyncClient
from tests.integration.db.migrated import empty, with_driver

JSON = {"accept": "application/json"}
HTML = {"accept": "text/html", "origin": "https://testserver", "sec-fetch-site": "same-origin"}


class Archives(Model, database="archives"):
    """The base of the models of the database with a name."""


class Leaf(Versioned, Archives):
    id: Mapped[int] = primary_key()
    text: Mapped[Annotated[str, Meta(max_length=40)]]


def owner() -> str:
    return "everyone"


class Hooks:
    async def after_create(self, obj: Leaf, db: Annotated[Session, Use("archives")]) -> None:
        assert obj in db


class SyncHooks:
    def after_create(self, obj: Leaf, db: Annotated[SyncSession, Use("archives")]) -> None:
        assert obj in db


@pytest.fixture
async def archives(url: str) -> AsyncGenerator[Database, None]:
    resource(Leaf, idempotency=owner)  # declares the table of keys
    database = Database(url, name="archives")
    await database.drop_all(Archives)
    await database.create_all(Archives)
    yield database
    await database.drop_all(Archives)
    await database.dispose()


@pytest.fixture(params=["async", "sync"])
async def client(
    archives: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncGenerator[AsyncClient, None]:
    sync = request.param == "sync"
    # The default database is empty: whatever asks it for a table fails.
    app = App(plugins=[Database(f"sqlite:///{tmp_path}/default.db"), archives])
    hooks = SyncHooks if sync else Hooks
    app.include(resource(Leaf, sync=sync, idempotency=owner, produces=("json", "csv", "html"), hooks=hooks))
    async with AsyncClient(app, headers=JSON, follow_redirects=False) as client:
        yield client


async def test_every_action_is_one_of_the_models_database(client: AsyncClient) -> None:
    path = (await client.post("/leaf", json={"text": "one"})).headers["location"]
    assert (await client.post("/leaf", json=[{"text": "two"}, {"text": "three"}])).status_code == 201
    assert (await client.get("/leaf?total=true")).json()["total"] == 3
    csv = await client.get("/leaf", headers={"accept": "text/csv"})
    assert [line.split(",")[1] for line in csv.text.splitlines()] == ["text", "one", "two", "three"]
    assert (await client.patch(path, json={"text": "1"})).json()["text"] == "1"
    assert (await client.get(path)).json()["text"] == "1"
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_pages_are_of_the_models_database(client: AsyncClient) -> None:
    made = await client.post("/leaf/new", data={"text": "one"}, headers=HTML)
    path = made.headers["location"]
    assert "one" in (await client.get("/leaf", headers=HTML)).text
    assert 'value="one"' in (await client.get(f"{path}/edit", headers=HTML)).text
    changed = await client.post(f"{path}/edit", data={"text": "1", "version": "1"}, headers=HTML)
    assert changed.status_code == 303
    gone = await client.post(f"{path}/delete", data={"version": "2"}, headers=HTML)
    assert gone.status_code == 303
    assert (await client.get(path)).status_code == 404


async def test_keys_are_in_the_transaction_of_their_rows(client: AsyncClient, archives: Database) -> None:
    key = {"idempotency-key": "a"}
    first, again = [await client.post("/leaf", json={"text": "one"}, headers=key) for _ in range(2)]
    assert (first.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    async with archives.session() as db:
        assert await db.scalar(select(func.count()).select_from(Leaf)) == 1
        assert len(await db.many(select(IdempotencyKey))) == 1
        assert await forget_expired(db) == 0


async def test_the_table_of_keys_comes_by_a_migration_to_the_database_that_needs_it(url: str, tmp_path: Path) -> None:
    empty(with_driver(url))
    archives = Database(url, name="archives")
    plugins = [archives, Migrations(database="archives", folder=tmp_path, on_start="ignore")]
    app = App(plugins=plugins)
    app.include(resource(Leaf, idempotency=owner))
    [target] = targets_of(app)
    try:
        await asyncio.to_thread(upgrade, target)
        async with archives.session() as db:
            assert await db.many(select(IdempotencyKey)) == []
        left = [problem.message for problem in await asyncio.to_thread(review, target)]
        assert any("leaf" in message for message in left)
        assert [m for m in left if "quintet_idempotency" in m] == []
    finally:
        await archives.dispose()
        empty(with_driver(url))


@pytest.mark.parametrize(("plugins", "has"), [([], "has none"), ([Database("sqlite://")], "has 'default'")])
def test_an_app_without_the_models_database_does_not_start(plugins: list[Any], has: str) -> None:
    app = App(plugins=plugins)
    app.include(resource(Leaf))
    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    [problem] = caught.value.problems
    assert problem.message == f"resource(Leaf): the model lives in the database 'archives', and the app {has}"
    assert "Database(…, name='archives')" in problem.fix
    assert problem.where.startswith(__file__)
