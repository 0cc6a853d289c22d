"""What goes wrong between an app and its database: requests cancelled, connections killed, servers away, deadlocks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import select, text, update

from quintet import App
from quintet.db import Database, PoolOptions, Session, SyncSession, retry_conflicts
from quintet.testing import AsyncClient
from tests.integration.db import blog
from tests.integration.db.blog import User


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncGenerator[Database, None]:
    database = Database(postgres_url, pool=PoolOptions(size=4, overflow=0, timeout=5))
    await database.drop_all(blog.Blog)
    await database.create_all(blog.Blog)
    yield database
    await database.dispose()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def test_requests_cancelled_in_a_query_lose_no_connection(postgres: Database) -> None:
    async def slow() -> None:
        async with postgres.session() as db:
            await db.execute(text("SELECT pg_sleep(0.05)"))
            db.add(User(name="never"))

    async def cancelled(delay: float) -> None:
        task = asyncio.create_task(slow())
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for _ in range(5):
        await asyncio.gather(*(cancelled(0.002 * n) for n in range(20)))
    pool: object = postgres.engine.pool
    assert pool.checkedout() == 0  # type: ignore[attr-defined]
    results = await asyncio.gather(*(_select_one(postgres, n) for n in range(8)))
    assert results == list(range(8))
    async with postgres.session() as db:
        assert await db.many(select(User)) == []


async def _select_one(database: Database, number: int) -> int:
    async with database.session("read") as db:
        return await db.one(select(text(str(number))))


async def test_a_commit_that_has_begun_is_not_cancelled(postgres: Database) -> None:
    committing = asyncio.Event()

    async def save() -> None:
        async with postgres.session() as db:
            db.add(User(name="Ada"))
            await db.flush()
            committing.set()

    task = asyncio.create_task(save())
    await committing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with postgres.session() as db:
        assert await db.many(select(User.name)) in (["Ada"], [])
    assert postgres.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_R13_a_killed_connection_is_replaced_before_it_is_used(postgres: Database) -> None:
    async with postgres.session() as db:
        victim = await db.one(select(text("pg_backend_pid()")))
    with postgres.sync_session() as db:
        db.execute(text(f"SELECT pg_terminate_backend({victim})"))
    await asyncio.sleep(0.05)
    async with postgres.session() as db:
        assert await db.one(select(text("pg_backend_pid()"))) != victim


async def test_R13_a_connection_killed_in_a_transaction_is_503_and_saves_nothing(postgres: Database) -> None:
    app = App(plugins=[postgres])

    @app.post("/")
    async def work(db: Session) -> None:
        db.add(User(name="Ada"))
        await db.flush()
        me = await db.one(select(text("pg_backend_pid()")))
        with postgres.sync_session() as other:
            other.execute(text(f"SELECT pg_terminate_backend({me})"))
        await db.execute(text("SELECT 1"))

    async with AsyncClient(app) as client:
        response = await client.post("/")
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    async with postgres.session() as db:
        assert await db.many(select(User)) == []


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "oracle"])
async def test_R14_a_database_that_is_away_is_503(scheme: str) -> None:
    database = Database(f"{scheme}://someone@127.0.0.1:{free_port()}/nothing")
    app = App(plugins=[database])

    @app.get("/")
    async def read(db: Session) -> int:
        return await db.one(select(text("1")))

    @app.get("/sync")
    def read_sync(db: SyncSession) -> int:
        return db.one(select(text("1")))

    async with AsyncClient(app) as client:
        for path in ("/", "/sync"):
            response = await client.get(path)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert response.json()["detail"] == "the database cannot be reached"
        with pytest.raises(Exception, match="cannot be reached"):
            await database.ping(1)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
async def test_R16_a_deadlock_is_tried_again(kind: str, request: pytest.FixtureRequest) -> None:
    database = Database(request.getfixturevalue(f"{kind}_url"))
    await database.drop_all(blog.Blog)
    await database.create_all(blog.Blog)
    async with database.session() as db:
        db.add_all([User(name="a"), User(name="b")])
    attempts: list[int] = []
    met = asyncio.Barrier(2)

    @retry_conflicts()
    async def swap(db: Session, first: str, second: str, worker: int) -> None:
        attempts.append(worker)
        await db.execute(update(User).where(User.name == first).values(is_staff=True))
        if attempts.count(worker) == 1:
            await met.wait()
        await db.execute(update(User).where(User.name == second).values(is_staff=True))

    async def run(first: str, second: str, worker: int) -> None:
        async with database.session() as db:
            await swap(db, first, second, worker)

    await asyncio.wait_for(asyncio.gather(run("a", "b", 1), run("b", "a", 2)), 30)
    assert len(attempts) == 3
    await database.dispose()
