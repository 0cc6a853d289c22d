"""The server's limit on handlers, where one has a session open: rolled back, and its connection serves the next."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import httpx2
import pytest
from sqlalchemy import select, text

from quintet import App
from quintet.db import Database, PoolOptions, Session, SyncSession, query
from quintet.http.limits import Limits
from quintet.testing import live_server
from tests.integration.db.test_session_life import KINDS, SLEEP, Life, Note


@query
def texts():
    return select(Note.text).order_by(Note.id)


@pytest.fixture
def store(url: str) -> Generator[Database, None, None]:
    # No more connections than are held: the next requests need those very ones.
    database = Database(url, pool=PoolOptions(size=2, overflow=0, timeout=10))
    Life.metadata.drop_all(database.sync_engine)
    Life.metadata.create_all(database.sync_engine)
    yield database
    Life.metadata.drop_all(database.sync_engine)
    database.dispose_sync()


@KINDS
def test_a_handler_beyond_the_limit_of_the_server_leaves_nothing_behind(store: Database) -> None:
    app = App(plugins=[store], docs=False, limits=Limits(handler_timeout=0.2))
    ended: list[str] = []
    release = threading.Event()

    @app.get("/")
    async def read(db: Session) -> list[str]:
        return await db.many(texts())

    @app.get("/sync")
    def read_sync(db: SyncSession) -> list[str]:
        return db.many(texts())

    @app.post("/statement")
    async def statement(db: Session) -> None:
        try:
            db.add(Note(text="never"))
            await db.flush()
            await db.execute(text(SLEEP[store.dialect]))
        finally:
            ended.append("statement")

    @app.post("/compiled")
    async def compiled(db: Session) -> None:
        try:
            await db.many(texts())
            await asyncio.sleep(30)
        finally:
            ended.append("compiled")

    @app.post("/sync/slow")
    def slow_sync(db: SyncSession) -> None:
        db.execute(select(Note))
        release.wait(30)
        ended.append("sync")

    async def ask(url: str) -> None:
        async with httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
            answers = await asyncio.gather(*(client.post(p) for p in ("/statement", "/compiled", "/sync/slow")))
            assert [(a.status_code, a.headers["retry-after"]) for a in answers] == [(503, "1")] * 3
            assert "sync" not in ended
            release.set()  # a thread ends by itself
            for path in ("/", "/sync"):  # more than there are connections
                found = await asyncio.gather(client.get(path), client.get(path), client.get(path))
                assert [a.json() for a in found] == [[]] * 3, path
            while len(ended) < 3:
                await asyncio.sleep(0.01)
            assert sorted(ended) == ["compiled", "statement", "sync"]

    with live_server(app) as url:
        asyncio.run(ask(url))
        with store.sync_session() as db:
            db.add(Note(text="next"))  # no lock is left
