"""Connections under stress: the pool runs dry, callers go away, the server closes what is open."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sqlalchemy import Select, exc, func, literal, select, text

from quintet.db import Database, PoolOptions, Session, query
from quintet.db.translate import answer_to
from quintet.errors import ServiceUnavailable
from tests.integration.db.queries import queries as q


@query
def slow(seconds: float) -> Select[Any]:
    return select(func.pg_sleep(seconds))


@query
def slow_mariadb(seconds: float) -> Select[Any]:
    return select(func.sleep(seconds))


@query
def endless(start: int) -> Select[int]:
    numbers = select(literal(0).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1))
    return select(func.count()).select_from(numbers).where(numbers.c.n >= start)


@query
def division(number: int) -> Select[int]:
    return select(literal(1) / number)


@pytest.fixture
async def small(database: Database) -> AsyncGenerator[Database, None]:
    """The same database through a pool of two connections, waited for half a second."""
    url = database.primary.url.render_as_string(hide_password=False)
    small = Database(url, pool=PoolOptions(size=2, overflow=0, timeout=0.5))
    yield small
    await small.dispose()


def _idle(database: Database) -> tuple[int, int]:
    pool: Any = database.engine.pool
    return pool.checkedout(), pool.checkedin()


async def _all_are_back(database: Database) -> bool:
    """Return whether every connection comes back: at once, or as soon as the server has stopped its statement."""
    for _ in range(60):
        if _idle(database)[0] == 0:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_dry_pool_is_waited_for_and_then_refused(small: Database) -> None:
    async with small.session("read") as db:
        await db.one(q.count())
        async with small.engine.connect(), small.engine.connect():
            started = time.monotonic()
            with pytest.raises(
                exc.TimeoutError, match="all 2 connections of the pool are lent, and none came back in 0.5"
            ):
                await db.one(q.count())
            assert time.monotonic() - started > 0.4
        assert await db.one(q.count()) == 5


async def test_a_caller_that_goes_away_while_waiting_takes_no_connection_along(small: Database) -> None:
    async def read() -> int:
        async with small.session("read") as db:
            return await db.one(q.count())

    await read()
    for delay in (0.0, 0.001, 0.002, 0.005):
        tasks = [asyncio.ensure_future(read()) for _ in range(20)]
        await asyncio.sleep(delay)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert await read() == 5
    assert await _all_are_back(small)


async def test_a_caller_that_goes_away_in_the_middle_leaves_a_pool_that_works(small: Database) -> None:
    wait = {"postgresql": slow(5), "mysql": slow_mariadb(5), "sqlite": endless(0)}[small.dialect]
    async with small.session("read") as db:
        await db.one(q.count())
        started = time.monotonic()
        for _ in range(4):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(db.one(wait), 0.05)
        assert await asyncio.gather(*(db.one(q.count()) for _ in range(10))) == [5] * 10
        assert time.monotonic() - started < 4
    assert await _all_are_back(small)


async def test_a_statement_whose_caller_went_away_is_stopped_on_the_server(small: Database) -> None:
    if small.dialect != "postgresql":
        pytest.skip("pg_stat_activity is PostgreSQL's")
    async with small.session("read") as db:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(db.one(slow(5)), 0.05)
        await asyncio.sleep(0.5)
        active = text(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep($%'"
            " AND pid <> pg_backend_pid()"
        )
        assert await db.scalar(active) == 0


async def test_a_transaction_whose_caller_goes_away_is_rolled_back(small: Database) -> None:
    if small.dialect != "postgresql":
        pytest.skip("pg_sleep is PostgreSQL's")
    with pytest.raises(asyncio.TimeoutError):  # noqa: PT012 - the session's end is part of it
        async with small.session() as db:
            await db.change(q.add("lost"))
            await asyncio.wait_for(db.one(slow(5)), 0.05)
    async with small.session("read") as db:
        assert "lost" not in await db.many(q.names())
    assert await _all_are_back(small)


async def test_an_error_of_a_statement_keeps_its_connection(small: Database) -> None:
    if small.dialect != "postgresql":
        pytest.skip("others divide by zero without an error")
    pid = select(func.pg_backend_pid())
    async with small.session("read") as db:
        await db.one(q.count())
        async with small.engine.connect() as connection:
            before = await connection.scalar(pid)
        with pytest.raises(exc.DBAPIError, match="division by zero"):
            await db.one(division(0))
        async with small.engine.connect() as connection:
            assert await connection.scalar(pid) == before
        assert _idle(small) == (0, 1)


async def _kill(database: Database) -> None:
    """Close every connection of other clients to this database, as a restart of the server does."""
    if database.dialect == "postgresql":
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"  # noqa: E501
    else:
        kill = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
    other = Database(database.primary.url.render_as_string(hide_password=False))
    async with other.engine.connect() as connection:
        found = (await connection.execute(text(kill))).scalars().all()
        if database.dialect != "postgresql":
            for number in found:
                await connection.execute(text(f"KILL {int(number)}"))
    await other.dispose()


async def test_a_read_on_a_connection_that_the_server_closed_is_asked_again(sessions: Any) -> None:
    if sessions.database.dialect == "sqlite":
        pytest.skip("SQLite has no server")
    async with sessions("read") as db:
        assert await db.one(q.count()) == 5
        await _kill(sessions.database)
        assert await db.one(q.count()) == 5
        await _kill(sessions.database)
        await asyncio.sleep(0.05)
        assert await db.one(q.count()) == 5


async def test_a_transaction_on_a_connection_that_the_server_closed_fails_and_the_next_works(sessions: Any) -> None:
    if sessions.database.dialect == "sqlite":
        pytest.skip("SQLite has no server")
    async with sessions() as db:
        await db.change(q.add("lost"))
        await _kill(sessions.database)
        with pytest.raises(exc.DBAPIError) as failed:
            await db.one(q.count())
        assert failed.value.connection_invalidated
        await db.rollback()
        await db.change(q.add("kept"))
    async with sessions("read") as db:
        assert {"lost", "kept"} & set(await db.many(q.names())) == {"kept"}


async def _end(db: Session) -> None:
    await db.scalar(text("SELECT 1"))
    await db.commit()


async def test_a_connection_lost_before_the_session_is_used_otherwise_is_503(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no server")
    async with database.session() as db:
        await db.change(q.add("lost"))
        await _kill(database)
        await asyncio.sleep(0.05)  # the driver has heard of it
        with pytest.raises((exc.PendingRollbackError, exc.DBAPIError)) as failed:
            await _end(db)
        assert isinstance(answer_to(failed.value, db.sync_session), ServiceUnavailable)
        await db.rollback()
        await db.change(q.add("kept"))
        await db.commit()
    async with database.session("read") as db:
        assert {"lost", "kept"} & set(await db.many(q.names())) == {"kept"}


async def test_a_connection_lent_to_a_compiled_query_is_in_no_transaction_after_it(database: Database) -> None:
    """Nothing of a compiled read reaches the next user of the connection: no transaction, no snapshot, no lock."""
    async with database.session("read") as db:
        await db.many(q.things())
    async with database.engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        match database.dialect:
            case "postgresql":
                assert not raw.is_in_transaction()
            case "sqlite":
                assert not raw.in_transaction
            case _:
                found = await connection.execute(text("SELECT @@in_transaction"))
                assert found.scalar() == 0


def test_threads_share_the_pool_of_a_sync_engine(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path}/threads.db", pool=PoolOptions(size=3, overflow=0, timeout=5))
    q.Base.metadata.create_all(database.sync_engine)
    with database.sync_session() as db:
        db.add(q.Thing(name="one"))
    found: list[int] = []

    def work() -> None:
        for _ in range(50):
            with database.sync_session("read") as db:
                found.append(db.one(q.count()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 400
    assert database.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    database.dispose_sync()
