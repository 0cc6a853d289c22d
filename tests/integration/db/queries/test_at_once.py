"""One session, several tasks: what they ask for is done in turn, and nothing is left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select, text

from quintet import App
from quintet.db import Database, Session
from quintet.db.errors import SessionClosed
from quintet.testing import AsyncClient
from tests.integration.db.queries import queries as q

COUNTED = select(func.count()).select_from(q.Thing)


def lent(database: Database) -> int:
    pool: Any = database.engine.pool
    return pool.checkedout()


@pytest.mark.parametrize("mode", ["read", "write"])
async def test_statements_of_every_kind_may_come_at_once(database: Database, mode: Any) -> None:
    async with database.session(mode) as db:
        found: list[Any] = await asyncio.gather(
            db.scalar(COUNTED),
            db.one(q.count()),
            db.get(q.Thing, 1),
            db.many(select(q.Thing)),
            db.many(q.things()),
            db.one(COUNTED),
            db.page(select(q.Thing), size=2),
            db.execute(text("SELECT 1")),
            db.get_one(q.Thing, 2),
            db.scalars(COUNTED),
            db.run_sync(lambda session: session.scalar(COUNTED)),
        )
    assert (found[0], found[1], found[5], found[6].total) == (5, 5, 5, 5)
    assert found[2].id == 1
    assert found[2] in found[3]
    assert found[8] in found[4]
    assert (found[9].one(), found[10]) == (5, 5)
    assert lent(database) == 0


async def test_writes_and_savepoints_may_come_at_once(database: Database) -> None:
    async def save(db: Session, name: str) -> None:
        await db.change(q.add(f"compiled {name}"))
        await db.execute(text("UPDATE q_thing SET rank = rank + 1 WHERE id = 1"))
        await db.flush()

    async with database.session() as db:
        async with db.savepoint():
            await asyncio.gather(*(save(db, str(n)) for n in range(5)), db.refresh(await db.get_one(q.Thing, 1)))
        await asyncio.gather(db.commit(), db.scalar(COUNTED), db.one(q.count()))
    async with database.session() as db:
        assert await db.one(q.count()) == 10
        assert (await db.one(q.thing(1))).rank == 6
    assert lent(database) == 0


@pytest.mark.parametrize("first", ["plain", "compiled", "change"])
async def test_a_handler_that_fails_while_others_wait_leaves_no_connection(database: Database, first: str) -> None:
    app = App(plugins=[database])
    later: list[Any] = []

    async def fail() -> None:
        raise LookupError("one of them failed")

    @app.post("/")
    async def handler(db: Session) -> None:
        if first != "change":
            await db.one(COUNTED if first == "plain" else q.count())
        jobs = [db.change(q.add("never")), db.many(select(q.Thing)), db.one(q.count()), db.change(q.add("never"))]
        later.extend(asyncio.ensure_future(job) for job in jobs)
        await asyncio.gather(fail(), *later)

    async with AsyncClient(app, raise_server_exceptions=False) as client:
        assert (await client.post("/")).status_code == 500
        for outcome in await asyncio.wait_for(asyncio.gather(*later, return_exceptions=True), 5):
            assert not isinstance(outcome, Exception) or isinstance(outcome, SessionClosed), outcome
        assert lent(database) == 0
        async with database.session("read") as db:
            assert await db.one(q.count()) == 5


async def test_a_task_that_outlives_its_block_is_told(database: Database) -> None:
    go = asyncio.Event()

    async def late(db: Session) -> int:
        await go.wait()
        return await db.change(q.add("late"))

    async with database.session() as db:
        tasks = [asyncio.ensure_future(late(db)), asyncio.ensure_future(late(db))]
        await db.change(q.add("in time"))
    go.set()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, SessionClosed)
        assert "`async with` block" in str(outcome)
    assert lent(database) == 0
    with pytest.raises(SessionClosed):
        await db.scalar(COUNTED)
    with pytest.raises(SessionClosed):
        async with db.begin():
            pass


async def test_stream_scalars_is_sqlalchemys(database: Database) -> None:
    async with database.session("read") as db:
        found = await db.stream_scalars(select(q.Thing.id).order_by(q.Thing.id))
        assert [one async for one in found] == [1, 2, 3, 4, 5]
