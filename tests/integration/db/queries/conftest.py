"""A database with a few rows, of each kind in turn; and its sessions, async and sync, behind one set of names."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from quintet.db import Database, SyncSession
from tests.integration.db.queries import queries as q


class Both:
    """A session of either kind: every call is awaited, and a sync one runs in a thread as in a handler."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.session, name)
        if not callable(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            if inspect.iscoroutinefunction(method):
                return await method(*args, **kwargs)
            if self.is_sync and name not in ("add", "add_all", "expunge_all"):
                return await asyncio.to_thread(method, *args, **kwargs)
            result = method(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return call

    @property
    def is_sync(self) -> bool:
        return isinstance(self.session, SyncSession)

    @property
    def inner(self) -> Any:
        """SQLAlchemy's own session."""
        return self.session if self.is_sync else self.session.sync_session

    async def stream(self, bound: Any, batch: int = 500) -> AsyncIterator[Any]:
        if self.is_sync:
            for item in self.session.stream(bound, batch=batch):
                yield item
        else:
            async for item in self.session.stream(bound, batch=batch):
                yield item


class Sessions:
    """Opens sessions of one kind on one database."""

    def __init__(self, database: Database, kind: str) -> None:
        self.database = database
        self.kind = kind

    @asynccontextmanager
    async def __call__(self, mode: Any = "write") -> AsyncGenerator[Any, None]:
        if self.kind == "async":
            async with self.database.session(mode) as session:
                yield Both(session)
        else:
            with self.database.sync_session(mode) as session:
                yield Both(session)

    async def plan(self, bound: Any) -> Any:
        """The plan of a query on this database."""
        from quintet.db.queries.run_async import async_runner
        from quintet.db.queries.run_sync import sync_runner

        if self.kind == "async":
            return await async_runner(self.database.engine.sync_engine).plan(bound)
        return sync_runner(self.database.sync_engine).plan(bound)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database, of each kind in turn."""
    kind = request.param
    return f"sqlite:///{tmp_path}/test.db" if kind == "sqlite" else request.getfixturevalue(f"{kind}_url")


@pytest.fixture
async def database(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    await database.drop_all(q.Base)
    await database.create_all(q.Base)
    async with database.session() as db:
        ada = q.Owner(name="Ada")
        db.add(ada)
        await db.flush()
        db.add_all([q.Thing(name=f"thing {n}", rank=n % 3, owner_id=ada.id if n < 3 else None) for n in range(1, 6)])
        db.add(q.Kinds(id=1, **q.ROW))
        db.add(q.Kinds(id=2))
    yield database
    await database.drop_all(q.Base)
    await database.dispose()


@pytest.fixture(params=["async", "sync"])
def sessions(request: pytest.FixtureRequest, database: Database) -> Sessions:
    return Sessions(database, request.param)
