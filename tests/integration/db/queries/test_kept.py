"""The connection that a session keeps between reads that follow each other: nobody misses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sqlalchemy import text

from quintet.db import Database, PoolOptions
from tests.integration.db.queries import queries as q


@pytest.fixture
async def small(database: Database) -> AsyncGenerator[Database, None]:
    """The same database through a pool of one connection."""
    url = database.primary.url.render_as_string(hide_password=False)
    small = Database(url, pool=PoolOptions(size=1, timeout=2))
    yield small
    await small.dispose()


def _lent(database: Database) -> int:
    pool: Any = database.engine.pool
    return pool.checkedout()


async def test_it_is_kept_from_read_to_read_and_returned_when_something_else_is_waited_for(small: Database) -> None:
    async with small.session("read") as db:
        for _ in range(4):
            assert await db.one(q.count()) == 5
        assert _lent(small) == 1
        await asyncio.sleep(0)
        assert _lent(small) == 0
        async with small.session("read") as other:
            assert await other.one(q.count()) == 5
        assert await db.one(q.count()) == 5


async def test_it_is_returned_as_the_session_ends(small: Database) -> None:
    async with small.session("read") as db:
        for _ in range(4):
            await db.one(q.count())
        assert _lent(small) == 1
    assert _lent(small) == 0


async def test_sessions_that_read_on_and_on_do_not_lock_each_other_out(small: Database) -> None:
    async def read() -> int:
        async with small.session("read") as db:
            return sum([await db.one(q.count()) for _ in range(5)])

    assert await asyncio.wait_for(asyncio.gather(*[read() for _ in range(20)]), 5) == [25] * 20
    assert _lent(small) == 0


async def test_reads_at_once_take_connections_of_their_own(database: Database) -> None:
    async with database.session("read") as db:
        for _ in range(3):
            await db.one(q.count())
        assert await asyncio.gather(*[db.one(q.count()) for _ in range(6)]) == [5] * 6
    assert _lent(database) == 0


async def test_a_transaction_goes_on_with_it(small: Database) -> None:
    async with small.session() as db:
        for _ in range(4):
            await db.one(q.count())
        await db.change(q.add("kept on"))
        assert await db.one(q.count()) == 6
    async with small.session("read") as db:
        assert "kept on" in await db.many(q.names())


async def test_sqlalchemys_session_gets_a_connection_although_the_last_is_kept(small: Database) -> None:
    async with small.session() as db:
        for _ in range(4):
            await db.one(q.count())
        assert await db.scalar(text("SELECT 1")) == 1
    assert _lent(small) == 0


async def test_with_an_engine_that_is_disposed_of_meanwhile_it_is_closed(small: Database) -> None:
    async with small.session("read") as db:
        for _ in range(4):
            await db.one(q.count())
        kept = db._kept  # pyright: ignore[reportPrivateUsage]
        assert kept is not None
        record = kept.record
        await small.engine.dispose()
    assert record.dbapi_connection is None
