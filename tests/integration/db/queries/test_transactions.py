"""Compiled queries inside a session's transaction: nothing escapes it, nothing is missed, errors end it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import exc, func, select, text

from quintet.db import Database, ReadOnlySession
from tests.integration.db.queries import queries as q


async def _names(sessions: Any) -> list[str]:
    async with sessions("read") as db:
        return await db.many(q.names())


async def test_a_write_before_the_dialect_has_begun_is_rolled_back(sessions: Any) -> None:
    async with sessions() as db:
        await db.change(q.add("escaped"))
        await db.rollback()
    assert "escaped" not in await _names(sessions)


async def test_a_write_after_a_read_is_rolled_back_and_one_after_a_rollback_is_kept(sessions: Any) -> None:
    async with sessions() as db:
        await db.one(q.count())
        await db.change(q.add("escaped"))
        await db.rollback()
        await db.change(q.add("kept"))
    assert {"escaped", "kept"} & set(await _names(sessions)) == {"kept"}


async def test_pending_changes_are_flushed_before_a_query(sessions: Any) -> None:
    async with sessions() as db:
        thing = await db.one(q.thing(1))
        thing.name = "changed"
        db.inner.add(q.Thing(name="new"))
        assert {"changed", "new"} <= set(await db.many(q.names()))
        await db.rollback()
    assert {"changed", "new"} & set(await _names(sessions)) == set()


async def test_a_transaction_reads_its_own_writes_and_others_do_not(sessions: Any) -> None:
    async with sessions() as db:
        await db.change(q.add("mine"))
        assert "mine" in await db.many(q.names())
        assert "mine" not in await _names(sessions)


async def test_a_savepoint_takes_back_what_was_done_inside(sessions: Any) -> None:
    async with sessions() as db:
        await db.change(q.add("outside"))
        inner = await db.begin_nested()
        await db.change(q.add("inside"))
        assert "inside" in await db.many(q.names())
        await (asyncio.to_thread(inner.rollback) if db.is_sync else inner.rollback())
        assert "inside" not in await db.many(q.names())
    assert {"outside", "inside"} & set(await _names(sessions)) == {"outside"}


async def test_an_error_is_sqlalchemys_and_the_transaction_can_only_be_rolled_back(sessions: Any) -> None:
    async with sessions() as db:
        await db.change(q.add("lost"))
        with pytest.raises(exc.IntegrityError) as failed:
            await db.change(q.add("thing 1"))
        assert "in the query add (" in failed.value.__notes__[-1]
        with pytest.raises(exc.PendingRollbackError, match="cannot go on or be committed"):
            await db.many(q.names())
        with pytest.raises(exc.PendingRollbackError, match="cannot go on or be committed"):
            await db.commit()
        await db.rollback()
        await db.change(q.add("kept"))
    assert {"lost", "kept"} & set(await _names(sessions)) == {"kept"}


async def test_an_error_in_a_savepoint_leaves_what_was_before(sessions: Any) -> None:
    async with sessions() as db:
        await db.change(q.add("kept"))
        inner = await db.begin_nested()
        with pytest.raises(exc.IntegrityError):
            await db.change(q.add("thing 1"))
        await (asyncio.to_thread(inner.rollback) if db.is_sync else inner.rollback())
    assert "kept" in await _names(sessions)


async def test_a_failed_flush_ends_compiled_queries_too(sessions: Any) -> None:
    async with sessions() as db:
        await db.change(q.add("lost"))
        db.inner.add(q.Thing(name="thing 1"))
        with pytest.raises(exc.IntegrityError):
            await db.flush()
        with pytest.raises(exc.PendingRollbackError):
            await db.many(q.names())
        await db.rollback()
    assert "lost" not in await _names(sessions)


async def test_a_locking_read_begins_a_transaction_and_a_plain_one_does_not(sessions: Any) -> None:
    async with sessions() as db:
        await db.one(q.thing(1))
        assert not db.inner.in_transaction()
        await db.one(q.locked(1))
        assert db.inner.in_transaction()


async def test_a_session_for_reading_refuses_compiled_writes(sessions: Any) -> None:
    async with sessions("read") as db:
        with pytest.raises(ReadOnlySession):
            await db.change(q.add("x"))


async def test_a_value_that_its_column_does_not_take_never_reaches_the_database(sessions: Any) -> None:
    async with sessions() as db:
        assert (await db.one(q.since(q.ROW["moment"]))).id == 1
        with pytest.raises(exc.StatementError, match="has no time zone"):
            await db.many(q.since(datetime(2024, 1, 1)))  # noqa: DTZ001 - that it has none is the point
        assert len(await db.many(q.things())) == 5


async def test_queries_of_one_transaction_wait_for_each_other_under_gather(database: Database) -> None:
    async with database.session() as db:
        await db.change(q.add("begun"))
        results: list[Any] = await asyncio.gather(
            *(db.many(q.things()) for _ in range(10)),
            *(db.scalar(select(func.count()).select_from(q.Thing)) for _ in range(5)),
            *(db.change(q.add(f"at once {n}")) for n in range(5)),
        )
    assert results[-5:] == [1] * 5
    async with database.session() as db:
        assert await db.one(q.count()) == 11


async def test_the_first_queries_of_a_transaction_may_come_at_once(database: Database) -> None:
    async with database.session() as db, db.begin():
        counts = await asyncio.gather(*(db.one(q.count()) for _ in range(10)))
    assert counts == [5] * 10


async def test_reads_without_a_transaction_run_side_by_side(database: Database) -> None:
    async with database.session("read") as db:
        found = await asyncio.gather(*(db.one(q.thing(1 + n % 5)) for n in range(50)))
        assert [t.id for t in found] == [1 + n % 5 for n in range(50)]
        assert len({id(t) for t in found}) == 5


async def test_a_schema_changed_between_two_runs_is_seen(sessions: Any) -> None:
    for _ in range(7):  # psycopg prepares a statement at its fifth run
        async with sessions("read") as db:
            assert (await db.one(q.thing(1))).rank == 1
            assert (await db.one(q.heads(5))).id == 5
    kind = sessions.database.dialect
    if kind == "sqlite":
        change = "ALTER TABLE q_thing ADD COLUMN more INTEGER"
    elif kind == "postgresql":
        change = "ALTER TABLE q_thing ALTER COLUMN rank TYPE integer, ALTER COLUMN name_of_thing TYPE text"
    else:
        change = "ALTER TABLE q_thing MODIFY COLUMN rank INTEGER NOT NULL"
    async with sessions.database.engine.begin() as connection:
        await connection.execute(text(change))
    async with sessions("read") as db:
        assert (await db.one(q.thing(1))).rank == 1
        assert (await db.one(q.heads(5))).name == "thing 5"
    async with sessions() as db:
        # The first statement of a transaction is prepared again as well.
        assert (await db.one(q.locked(1))).rank == 1
        assert await db.change(q.rename(1, "renamed")) == 1
    assert (await _names(sessions))[0] == "renamed"
