# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from quintet.db.pool import LinePool
from quintet.db.queries.lease import acquire


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncGenerator[AsyncEngine, None]:
    made = _engine(tmp_path, 2)
    yield made
    await made.dispose()


def _engine(folder: Path, size: int, **options: float) -> AsyncEngine:
    options = {"max_overflow": 0, "pool_timeout": 5, **options}
    return create_async_engine(f"sqlite+aiosqlite:///{folder}/a.db", poolclass=LinePool, pool_size=size, **options)


def _pool(engine: AsyncEngine) -> LinePool:
    pool = engine.pool
    assert isinstance(pool, LinePool)
    return pool


async def test_connections_go_to_those_who_wait_in_the_order_of_coming(engine: AsyncEngine) -> None:
    served: list[int] = []

    async def use(number: int) -> None:
        async with engine.connect():
            served.append(number)
            await asyncio.sleep(0)

    async with engine.connect(), engine.connect():
        waiting = [asyncio.create_task(use(n)) for n in range(6)]
        await asyncio.sleep(0.01)
    late = asyncio.create_task(use(6))  # while connections have been given back and their takers have not run yet
    await asyncio.gather(*waiting, late)
    assert served == list(range(7))
    assert _pool(engine).checkedout() == 0


async def test_who_waits_too_long_is_told_what_to_set(tmp_path: Path) -> None:
    engine = _engine(tmp_path, 1, pool_timeout=0.05)
    async with engine.connect():
        assert _pool(engine).is_exhausted
        with pytest.raises(exc.TimeoutError, match=r"all 1 connections .* none came back in 0.05 seconds; PoolOptions"):
            async with engine.connect():
                pass
        with pytest.raises(exc.TimeoutError):
            await _pool(engine).next()
    async with engine.connect():
        pass
    await engine.dispose()


async def test_who_goes_away_hands_on_what_was_meant_for_him(engine: AsyncEngine) -> None:
    pool = _pool(engine)
    one, other = await acquire(pool), await acquire(pool)
    first, second = asyncio.create_task(pool.next()), asyncio.create_task(pool.next())
    await asyncio.sleep(0)
    pool._do_return_conn(one)
    first.cancel()  # it has been handed the connection, and has not run since
    assert await asyncio.wait_for(second, 1) is one
    assert first.cancelled()
    third, fourth = asyncio.create_task(pool.next()), asyncio.create_task(pool.next())
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.wait([third])
    pool._do_return_conn(other)
    fourth.cancel()  # and nobody waits behind it
    await asyncio.wait([fourth])
    pool._do_return_conn(one)
    assert (pool.checkedin(), pool.checkedout()) == (2, 0)


async def test_where_nobody_can_connect_nobody_waits_for_a_connection(tmp_path: Path) -> None:
    engine = _engine(tmp_path, 1)

    @event.listens_for(engine.sync_engine, "do_connect")
    def refuse(*args: object) -> None:
        time.sleep(0.01)
        raise sqlite3.OperationalError("nobody is there")

    async def use() -> None:
        async with engine.connect():
            pass

    started = time.monotonic()
    outcomes = await asyncio.gather(*[use() for _ in range(4)], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [exc.OperationalError] * 4
    assert time.monotonic() - started < 2, "the others waited for a connection that nobody had"


async def test_those_who_wait_try_when_a_connection_could_not_be_opened(tmp_path: Path) -> None:
    engine = _engine(tmp_path, 1)
    pool = _pool(engine)
    pool._inc_overflow()  # as one does that is connecting
    waiting = asyncio.create_task(pool.next())
    await asyncio.sleep(0)
    pool._dec_overflow()  # it failed
    pool._pool.hand(None)
    assert await asyncio.wait_for(waiting, 1) is None
    assert not pool.is_exhausted


async def test_connections_beyond_the_size_are_closed(tmp_path: Path) -> None:
    engine = _engine(tmp_path, 1, max_overflow=1)
    async with engine.connect(), engine.connect():
        assert _pool(engine).checkedout() == 2
    assert (_pool(engine).checkedin(), _pool(engine).checkedout()) == (1, 0)
    await engine.dispose()


async def test_a_line_from_a_loop_that_is_closed_holds_nothing_up(engine: AsyncEngine) -> None:
    pool = _pool(engine)
    async with engine.connect():
        pass

    async def left_waiting() -> None:
        waiting = asyncio.ensure_future(pool.next())
        waiting.get_loop().call_later(0.05, asyncio.get_running_loop().stop)
        await waiting

    async with engine.connect():
        other = asyncio.new_event_loop()

        def abandon() -> None:
            with pytest.raises(RuntimeError, match="stopped before"):
                other.run_until_complete(left_waiting())
            other.close()

        await asyncio.to_thread(abandon)
    assert (pool.checkedin(), pool.checkedout()) == (1, 0)


@pytest.mark.parametrize("seed", range(4))
async def test_in_any_disorder_no_connection_is_lost_or_used_twice(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    engine = _engine(tmp_path, 3, pool_timeout=0.05)
    pool = _pool(engine)
    async with engine.connect(), engine.connect(), engine.connect():  # aiosqlite loses what is cancelled as it opens
        pass
    in_use: set[int] = set()

    async def use() -> None:
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            mine = id(raw.dbapi_connection)
            assert mine not in in_use
            in_use.add(mine)
            try:
                await asyncio.sleep(chance.choice([0, 0.001, 0.01]))
            finally:
                in_use.discard(mine)

    tasks: list[asyncio.Task[None]] = []
    for _ in range(150):
        tasks.append(asyncio.create_task(use()))
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        if chance.random() < 0.3:
            await asyncio.sleep(chance.choice([0, 0.002]))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    wrong = [o for o in outcomes if o is not None and not isinstance(o, (asyncio.CancelledError, exc.TimeoutError))]
    assert wrong == []
    for _ in range(100):
        if pool.checkedout() == 0:
            break
        await asyncio.sleep(0.01)
    assert pool.checkedout() == 0
    assert not pool.is_exhausted
    await engine.dispose()
