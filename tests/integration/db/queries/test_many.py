"""Compiled queries that write, many at once: in their order, together where they are alike."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Insert, Update, exc, insert, update

from quintet.db import Database, query
from quintet.testing import Client
from quintet.testing.db import assert_queries, rolled_back
from tests.integration.db.queries import queries as q


@query
def returned(name: str) -> Insert:
    return insert(q.Thing).values(name=name).returning(q.Thing.id)


@query
def rank_of(names: list[str], rank: int) -> Update:
    return update(q.Thing).where(q.Thing.name.in_(names)).values(rank=rank)


async def _names(sessions: Any) -> list[str]:
    async with sessions("read") as db:
        return await db.many(q.names())


async def test_those_alike_are_one_statement_and_all_are_in_order(sessions: Any) -> None:
    async with sessions() as db:
        await db.many(q.names())
        with assert_queries(3):
            await db.change_all(
                [
                    *(q.add(f"new {n}", rank=n) for n in range(20)),
                    *(q.rename(key, f"old {key}") for key in (1, 2, 3)),
                    q.remove(4),
                ]
            )
    names = await _names(sessions)
    assert names[:3] == ["old 1", "old 2", "old 3"]
    assert "thing 4" not in names  # it went behind the others, and so did what had been added
    assert len(names) == 3


async def test_values_pass_through_their_types_and_defaults(sessions: Any) -> None:
    async with sessions() as db:
        await db.change_all(q.add_stamped(f"stamp {n}") for n in range(3))
    async with sessions("read") as db:
        found = list((await db.scalars(q.select(q.Stamped).order_by(q.Stamped.name))).all())
    assert [(one.name, one.state) for one in found] == [(f"stamp {n}", "new") for n in range(3)]
    assert len({one.id for one in found}) == 3


async def test_one_that_fails_takes_the_others_back(sessions: Any) -> None:
    before = await _names(sessions)
    async with sessions() as db:
        with pytest.raises(exc.IntegrityError):
            await db.change_all(q.add(name) for name in ("first", "second", "second"))
        with pytest.raises(exc.PendingRollbackError):
            await db.commit()
        await db.rollback()
        await db.change_all([q.add("third"), q.add("fourth")])
    assert await _names(sessions) == [*before, "third", "fourth"]


async def test_nothing_to_do_asks_nothing(sessions: Any) -> None:
    async with sessions() as db:
        with assert_queries(0):
            await db.change_all([])


async def test_what_cannot_be_repeated_runs_one_by_one(sessions: Any) -> None:
    async with sessions() as db:
        await db.change_all([returned("r1"), returned("r2"), rank_of(["r1"], 7), rank_of(["r1", "r2"], 8)])
        assert {one.name: one.rank for one in await db.many(q.things()) if one.name in ("r1", "r2")} == {
            "r1": 8,
            "r2": 8,
        }


async def test_objects_of_the_session_are_kept_in_step(sessions: Any) -> None:
    async with sessions() as db:
        thing = (await db.scalars(q.select(q.Thing).where(q.Thing.id == 1))).one()
        await db.change_all([q.rename(1, "one"), q.rename(2, "two")])
        assert thing.name == "one"


@query
def ranked(key: int, rank: int) -> Update:
    return update(q.Thing).where(q.Thing.id == key).values(rank=rank).returning(q.Thing.rank)


async def test_objects_are_kept_in_step_by_what_gives_something_back(sessions: Any) -> None:
    if sessions.database.dialect == "mysql":
        pytest.skip("UPDATE … RETURNING is not MariaDB's")
    async with sessions() as db:
        thing = (await db.scalars(q.select(q.Thing).where(q.Thing.id == 1))).one()
        assert await db.one(ranked(1, 70)) == 70
        assert await db.change(q.rename(1, "one")) == 1
        assert (thing.name, thing.rank) == ("one", 70)


async def test_what_is_pending_is_written_before(sessions: Any) -> None:
    async with sessions() as db:
        await db.add(q.Thing(name="pending"))
        await db.change_all([q.add("after 1"), q.add("after 2")])
    assert (await _names(sessions))[-3:] == ["pending", "after 1", "after 2"]


async def test_reading_sessions_refuse_them(database: Database) -> None:
    async with database.session("read") as db:
        with pytest.raises(Exception, match="session for reading"):
            await db.change_all([q.add("a"), q.add("b")])


async def test_they_share_the_transaction_of_a_test(sessions: Any) -> None:
    before = await _names(sessions)
    with rolled_back(sessions.database):
        async with sessions() as db:
            await db.change_all(q.add(f"in a test {n}") for n in range(3))
        assert len(await _names(sessions)) == len(before) + 3
        await sessions.database.dispose()
    assert await _names(sessions) == before


def test_the_example_of_the_documentation_works() -> None:
    from examples.docs.queries import app

    with Client(app) as client:
        assert client.patch("/titles", json={"article-1": "First", "article-2": "Second"}).status_code == 204
        assert [client.get(f"/articles/article-{n}").json()["title"] for n in (1, 2, 3)] == [
            "First",
            "Second",
            "Article 3",
        ]
