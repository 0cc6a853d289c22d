"""Large results: any number of rows takes the same memory, and a stream that is left gives its connection up."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import text

from quintet.db import Database
from tests.integration.db.queries import queries as q

ROWS = 200_000
#: What the program may use more while it reads 200,000 rows than while it reads 2,000; all of them would take 80 MB.
BOUND_MB = 12

PROGRAM = """
import asyncio, resource, sys
from quintet.db import Database
from tests.integration.db.queries import queries as q

url, kind = sys.argv[1:]

def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def read(database, limit):
    count = 0
    async with database.session("read") as db:
        async for thing in db.stream(q.things(limit), batch=1000):
            count += 1
    return count

def read_sync(database, limit):
    count = 0
    with database.sync_session("read") as db:
        for head in db.stream(q.heads(0) if kind == "structs" else q.things(limit), batch=1000):
            count += 1
    return count

async def main():
    database = Database(url)
    if kind == "async":
        await read(database, 2_000)
        before = peak()
        count = await read(database, 10**7)
    else:
        read_sync(database, 2_000) if kind == "sync" else read_sync(database, 1)
        before = peak()
        count = read_sync(database, 10**7)
    await database.dispose()
    print(count, peak() - before)

asyncio.run(main())
"""

FILL = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < :rows) INSERT INTO q_thing (name_of_thing, rank) SELECT 'a row of the export, number ' || x, 0 FROM n",  # noqa: E501
    "postgresql": "INSERT INTO q_thing (name_of_thing, rank) SELECT 'a row of the export, number ' || x, 0 FROM generate_series(1, :rows) x",  # noqa: E501
    "mysql": "INSERT INTO q_thing (name_of_thing, `rank`) SELECT concat('a row of the export, number ', seq), 0 FROM seq_1_to_200000 WHERE seq <= :rows",  # noqa: E501
}


@pytest.mark.slow
async def test_an_export_takes_the_same_memory_whatever_its_size(database: Database, url: str) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text(FILL[database.dialect]), {"rows": ROWS})
    for kind in ("async", "sync"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, url, kind],
            capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": "."},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        count, grown = done.stdout.split()
        assert int(count) == ROWS + 5
        assert float(grown) < BOUND_MB, kind


async def test_a_stream_that_is_left_gives_its_connection_up(database: Database) -> None:
    async with database.session("read") as db:
        async for thing in db.stream(q.things(), batch=1):
            assert thing.id == 1
            break
    async with database.session("read") as db:
        stream: Any = db.stream(q.things(), batch=1)
        assert (await anext(stream)).id == 1
        await stream.aclose()
        assert await db.one(q.count()) == 5
    pool: Any = database.engine.pool
    assert pool.checkedout() == 0


async def test_a_stream_inside_a_transaction_sees_its_writes(database: Database) -> None:
    async with database.session() as db:
        await db.change(q.add("mine"))
        assert "mine" in [t.name async for t in db.stream(q.things(), batch=2)]
