"""Rows R14, R15, R17 and R18: a database that is slow, busy, locked or full, and what else goes on meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, text

from quintet import App
from quintet.db import Database, PoolOptions, Session, SyncSession
from quintet.testing import AsyncClient
from tests.integration.command import Command
from tests.integration.db import blog
from tests.integration.db.blog import User
from tests.integration.fault_proxy import FaultProxy

ROOT = Path(__file__).resolve().parents[3]


def served(database: Database) -> App:
    app = App(plugins=[database], docs=False)

    @app.get("/page")
    async def page() -> str:
        return "no database"

    @app.get("/read")
    async def read(db: Session) -> int:
        return await db.one(select(text("1")))

    @app.get("/sync/read")
    def read_sync(db: SyncSession) -> int:
        return db.one(select(text("1")))

    @app.readiness("database")
    async def ready() -> None:
        await database.ping(1)

    return app


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
async def test_R14_a_database_that_says_nothing_is_503_in_time_and_pages_go_on(
    kind: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(f"{kind}_url")
    port = urlsplit(url).port or 0
    async with FaultProxy(port, blackhole=0) as proxy:
        through = url.replace(urlsplit(url).netloc, urlsplit(url).netloc.replace(str(port), str(proxy.port)))
        database = Database(through, pool=PoolOptions(size=2, overflow=0, timeout=1, connect_timeout=1))
        async with AsyncClient(served(database)) as client:
            begun = time.monotonic()
            answers = await asyncio.gather(
                *(client.get(p) for p in ("/read", "/sync/read", "/page", "/healthz", "/readyz"))
            )
            assert time.monotonic() - begun < 6
            assert [a.status_code for a in answers] == [503, 503, 200, 200, 503]
            assert [a.headers["retry-after"] for a in answers[:2]] == ["1", "1"]
        await database.dispose()


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
async def test_R14_a_slow_database_makes_its_own_requests_slow_alone(kind: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(f"{kind}_url")
    port = urlsplit(url).port or 0
    async with FaultProxy(port, delay=0.1) as proxy:
        through = url.replace(urlsplit(url).netloc, urlsplit(url).netloc.replace(str(port), str(proxy.port)))
        database = Database(through, pool=PoolOptions(size=2, overflow=0, timeout=8))
        async with AsyncClient(served(database)) as client:
            slow = [asyncio.create_task(client.get(p)) for p in ("/read", "/sync/read")]
            await asyncio.sleep(0)
            begun = time.monotonic()
            assert (await client.get("/page")).status_code == 200
            assert time.monotonic() - begun < 0.1
            assert [a.status_code for a in await asyncio.gather(*slow)] == [200, 200]
        await database.dispose()


async def test_R15_who_finds_the_pool_empty_waits_and_is_503_at_the_deadline(postgres_url: str) -> None:
    database = Database(postgres_url, pool=PoolOptions(size=5, overflow=0, timeout=0.5))
    app = App(plugins=[database], docs=False)

    @app.get("/slow")
    async def slow(db: Session) -> None:
        await db.execute(text("SELECT pg_sleep(0.2)"))

    async with AsyncClient(app) as client:
        answers = await asyncio.gather(*(client.get("/slow") for _ in range(40)))
        codes = [a.status_code for a in answers]
        assert set(codes) == {204, 503}
        assert codes.count(204) >= 10
        assert {a.headers["retry-after"] for a in answers if a.status_code == 503} == {"1"}
        assert (await client.get("/slow")).status_code == 204
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await database.dispose()


async def lock_for(path: Path, seconds: float) -> None:
    """Hold SQLite's write lock, as another process would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    await asyncio.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()


async def writers(path: Path, count: int) -> tuple[App, Database]:
    database = Database(f"sqlite:///{path}", pool=PoolOptions(size=count, overflow=0, timeout=10))
    await database.create_all(blog.Blog)
    app = App(plugins=[database], docs=False)

    @app.post("/users/{name}", status=201)
    async def add(name: str, db: Session) -> None:
        db.add(User(name=name))

    @app.post("/sync/users/{name}", status=201)
    def add_sync(name: str, db: SyncSession) -> None:
        db.add(User(name=name))

    return app, database


async def test_R17_writers_wait_for_a_lock_of_three_seconds(tmp_path: Path) -> None:
    app, database = await writers(tmp_path / "a.db", 20)
    async with AsyncClient(app) as client:
        lock = asyncio.create_task(lock_for(tmp_path / "a.db", 3))
        await asyncio.sleep(0.05)
        posts = [client.post(f"/{kind}users/{kind[:1]}{n}") for n in range(10) for kind in ("", "sync/")]
        assert {a.status_code for a in await asyncio.gather(*posts)} == {201}
        await lock
    async with database.session("read") as db:
        assert len(await db.many(select(User))) == 20
    await database.dispose()


async def test_R17_a_lock_beyond_the_timeout_is_503(tmp_path: Path) -> None:
    app, database = await writers(tmp_path / "a.db", 4)
    async with AsyncClient(app) as client:
        lock = asyncio.create_task(lock_for(tmp_path / "a.db", 6.5))
        await asyncio.sleep(0.05)
        answers = await asyncio.gather(client.post("/users/a"), client.post("/sync/users/b"))
        assert [(a.status_code, a.headers["retry-after"]) for a in answers] == [(503, "1")] * 2
        await lock
        assert (await client.post("/users/a")).status_code == 201
    await database.dispose()


#: The full disk is a limit on the size of each file: a write fails in the middle, and the app can do nothing about it.
FULL = """
import logging
import os
import resource

from quintet import App, Upload
from quintet.db import Database, Mapped, Model, Session, primary_key

folder = "data"
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
database = Database(f"sqlite:///{folder}/a.db")
app = App(plugins=[database], docs=False)


class Row(Model):
    id: Mapped[int] = primary_key()
    text: Mapped[str]


@app.lifespan
async def life(app: App):
    await database.create_all()
    yield


@app.post("/rows", status=201)
async def add(db: Session) -> None:
    db.add(Row(text="x" * 500_000))


@app.post("/upload", status=201, max_body=50_000_000)
async def upload(file: Upload) -> int:
    await file.save(f"{folder}/{os.urandom(4).hex()}.upload")
    return 1


@app.get("/log")
async def log() -> int:
    logging.getLogger("app").warning("x" * 200_000)
    return 1
"""


def test_R18_a_full_disk_is_an_answer_and_leaves_everything_whole(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FULL)
    (tmp_path / "data").mkdir()
    with Command("run", "app.py", folder=tmp_path, env={"PYTHONPATH": str(ROOT)}) as server:
        codes = [server.client.post("/rows").status_code for _ in range(12)]
        assert (codes[0], codes[-1], set(codes)) == (201, 503, {201, 503})
        answer = server.client.post("/upload", files={"file": ("a.bin", b"x" * 8_000_000)})
        assert answer.status_code == 507, answer.text
        for _ in range(50):  # the log is full too
            assert server.client.get("/log").status_code == 200
    assert [f.name for f in (tmp_path / "data").iterdir() if "upload" in f.name or "part" in f.name] == []
    connection = sqlite3.connect(tmp_path / "data" / "a.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT count(*) FROM row").fetchone() == (codes.count(201),)
    connection.close()
