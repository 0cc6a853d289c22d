"""Idempotency keys and versions of resources, on every database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from quintet import App, Cookie, Header, Request
from quintet.db import Database, Mapped, Model, Session, SoftDelete, Versioned, column, primary_key
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


class Parcel(Versioned, Orders):
    id: Mapped[int] = primary_key()
    item: Mapped[str]


def owner(authorization: Header[str] = "") -> str:
    return authorization


@pytest.fixture
async def orders(url: str) -> AsyncGenerator[Database, None]:
    resource(Purchase, idempotency=owner)  # declares the table of keys
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
    app.include(resource(Purchase, idempotency=owner, sync=request.param == "sync"))
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


#: Ways to know who asks, with the headers of two who do.
def by_cookie(session: Cookie[str | None] = None) -> str | None:
    return session and session.partition(".")[0]


def by_header(x_api_key: Header[str | None] = None) -> str | None:
    return x_api_key


def by_authorization(authorization: Header[str | None] = None) -> str | None:
    return authorization


class Member:
    def __init__(self, request: Request) -> None:
        self.id = UUID(int=int(request.headers.get("x-user", "0")))


def by_provider(member: Member) -> UUID | None:
    return member.id if member.id.int else None


WAYS = [
    (by_cookie, "cookie", "session=ada.1; other=x", "session=bo.1"),
    (by_header, "x-api-key", "ada", "bo"),
    (by_authorization, "authorization", "Bearer ada", "Bearer bo"),
    (by_provider, "x-user", "1", "2"),
]


@pytest.mark.parametrize(("who", "name", "ada", "bo"), WAYS)
@pytest.mark.parametrize("sync", [False, True])
async def test_a_key_is_one_of_who_asks(
    orders: Database, who: Callable[..., Any], name: str, ada: str, bo: str, sync: bool
) -> None:
    app = App(plugins=[orders])
    app.provide(Member, Member)
    app.include(resource(Purchase, idempotency=who, sync=sync))
    async with AsyncClient(app) as client:

        async def post(value: str, item: str = "tea") -> Any:
            return await client.post("/purchase", json={"item": item}, headers={**key("1"), name: value})

        hers, his = await post(ada), await post(bo)
        assert (hers.status_code, his.status_code) == (201, 201)
        assert hers.json()["id"] != his.json()["id"]
        assert "idempotency-replayed" not in his.headers
        for first, value in ((hers, ada), (his, bo)):
            again = await post(value)
            assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
            assert (await post(value, "milk")).json()["errors"][0]["code"] == "reused"
        unknown = await client.post("/purchase", json={"item": "tea"}, headers=key("1"))
        assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (422, "unknown_owner")
        assert (await client.post("/purchase", json={"item": "tea"})).status_code == 201
    assert await count(orders) == 3


async def test_a_session_that_goes_on_under_another_cookie_keeps_its_keys(orders: Database) -> None:
    app = App(plugins=[orders])
    app.include(resource(Purchase, idempotency=by_cookie))
    async with AsyncClient(app) as client:
        headers = [{**key("1"), "cookie": f"session=ada.{number}"} for number in range(2)]
        first, again = [await client.post("/purchase", json={"item": "tea"}, headers=one) for one in headers]
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")


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


async def test_an_owner_that_is_no_name_is_an_error(orders: Database) -> None:
    app = App(plugins=[orders])
    app.include(resource(Purchase, idempotency=lambda: True))
    async with AsyncClient(app) as client:
        with pytest.raises(TypeError, match="returned bool; return what tells those who ask apart as str, int or UUID"):
            await client.post("/purchase", json={"item": "tea"}, headers=key("a"))


class Sometimes:
    open = True

    def create(self) -> bool:
        return self.open


async def test_who_may_create_no_more_is_not_told_what_was_created(orders: Database) -> None:
    policy = Sometimes()
    app = App(plugins=[orders])
    app.include(resource(Purchase, only=["create"], idempotency=owner, policy=policy))
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


class Slow:
    """Lets all who change a row read it before the first writes it."""

    async def before_update(self) -> None:
        await asyncio.sleep(0.1)

    async def before_delete(self) -> None:
        await asyncio.sleep(0.1)


class SyncSlow:
    def before_update(self) -> None:
        time.sleep(0.1)

    def before_delete(self) -> None:
        time.sleep(0.1)


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("model", [Purchase, Parcel])
async def test_who_loses_a_race_hears_412_for_if_match(orders: Database, model: type[Any], sync: bool) -> None:
    app = App(plugins=[orders])
    app.include(resource(model, path="/rows", hooks=SyncSlow if sync else Slow, sync=sync))
    async with AsyncClient(app) as client:
        created = await client.post("/rows", json={"item": "tea"})
        path, tag = created.headers["location"], {"if-match": created.headers["etag"]}
        answers = await asyncio.gather(*(client.patch(path, json={"item": str(n)}, headers=tag) for n in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
        [won] = [answer for answer in answers if answer.status_code == 200]
        assert (await client.get(path)).json() == won.json()
        tag = {"if-match": won.headers["etag"]}
        answers = await asyncio.gather(
            client.delete(path, headers=tag), client.patch(path, json={"item": "x"}, headers=tag)
        )
        codes = sorted(answer.status_code for answer in answers)
        assert codes in ([200, 412], [204, 412], [204, 404])  # 404: what waited did so before it read


async def test_who_loses_a_race_without_if_match_hears_409(orders: Database) -> None:
    app = App(plugins=[orders])
    app.include(resource(Purchase, hooks=Slow))
    async with AsyncClient(app) as client:
        path = (await client.post("/purchase", json={"item": "tea"})).headers["location"]
        for headers in ({}, {"if-match": "*"}):
            answers = await asyncio.gather(
                *(client.patch(path, json={"item": f"{n}{headers}"}, headers=headers) for n in range(2))
            )
            codes = sorted(answer.status_code for answer in answers)
            assert codes == [200, 409] or (orders.dialect == "sqlite" and codes == [200, 200])  # one after the other


class Strict:
    """Has MariaDB refuse writes to rows that have changed since they were read, as it does from 11.6 on."""

    async def visible(self, query: Any, db: Session) -> Any:
        await db.execute(text("SET SESSION innodb_snapshot_isolation = ON"))
        return query

    def every(self) -> bool:
        return True


async def test_mariadbs_own_refusal_of_a_race_is_told_as_ours(mariadb_url: str) -> None:
    database = Database(mariadb_url)
    await database.drop_all(Orders)
    await database.create_all(Orders)
    app = App(plugins=[database])
    app.include(resource(Parcel, hooks=Slow, policy=Strict))
    async with AsyncClient(app) as client:
        created = await client.post("/parcel", json={"item": "tea"})
        path = created.headers["location"]
        for headers, refusal in (({"if-match": created.headers["etag"]}, 412), ({}, 409)):
            answers = await asyncio.gather(
                *(client.patch(path, json={"item": f"{n}{refusal}"}, headers=headers) for n in range(2))
            )
            assert sorted(answer.status_code for answer in answers) == [200, refusal]
    await database.dispose()


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
    app.include(resource(Purchase, idempotency=owner))
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
