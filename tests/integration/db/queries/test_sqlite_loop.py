"""SQLite under asyncio: short reads run on the event loop, and what takes long never holds it."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, literal, select

from quintet.db import Database, query
from quintet.db.queries.run_async import async_runner
from tests.integration.db.queries import queries as q


@query
def numbers(most: int) -> Select[int]:
    found = select(literal(0).label("n")).cte("numbers", recursive=True)
    found = found.union_all(select(found.c.n + 1).where(found.c.n < most))
    return select(func.count()).select_from(found)


async def _database(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path}/loop.db")
    await database.create_all(q.Base)
    async with database.session() as db:
        db.add(q.Thing(name="one"))
    return database


async def test_a_short_read_stays_on_the_loop_however_often_it_runs(tmp_path: Path) -> None:
    database = await _database(tmp_path)
    async with database.session("read") as db:
        for _ in range(4000):
            assert (await db.one(q.heads(0))).id == 1
        plan = await async_runner(database.engine.sync_engine).plan(q.heads(0))
    assert not plan.scans
    await database.dispose()


async def test_a_long_read_leaves_the_loop_and_stays_away(tmp_path: Path) -> None:
    database = await _database(tmp_path)
    gaps: list[float] = []

    async def watch() -> None:
        while True:
            before = time.thread_time()  # of the loop's own thread: other processes do not count
            await asyncio.sleep(0)
            gaps.append(time.thread_time() - before)

    async with database.session("read") as db:
        watcher = asyncio.ensure_future(watch())
        assert await db.one(numbers(300_000)) == 300_001
        plan = await async_runner(database.engine.sync_engine).plan(numbers(1))
        assert plan.scans
        assert await db.one(numbers(300_000)) == 300_001
        watcher.cancel()
    assert max(gaps) < 0.05
    await database.dispose()


async def test_reads_do_not_wait_for_a_writer_of_another_process(tmp_path: Path) -> None:
    database = await _database(tmp_path)
    writer = Database(f"sqlite:///{tmp_path}/loop.db")
    held, done = threading.Event(), threading.Event()

    def write() -> None:
        with writer.sync_session() as db:
            db.change(q.add("two"))
            held.set()
            done.wait(5)

    thread = threading.Thread(target=write)
    thread.start()
    held.wait(5)
    started = time.monotonic()
    async with database.session("read") as db:
        found: Any = await db.many(q.names())
    assert found == ["one"]
    assert time.monotonic() - started < 2
    done.set()
    thread.join()
    writer.dispose_sync()
    await database.dispose()
