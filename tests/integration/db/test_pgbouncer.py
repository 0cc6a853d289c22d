"""PgBouncer between the app and PostgreSQL: sessions pooled, and transactions, with and without prepared statements.

These tests are skipped where no `pgbouncer` is installed, and with `CI=true` too: it is a program that they start
themselves, not one of the services that CI provides. What it is asked for is the whole of what they need.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from quintet import App
from quintet.db import Database, Mapped, Model, PoolOptions, Session, primary_key, query
from quintet.testing import AsyncClient
from tests.integration.command import wait_until
from tests.integration.own_database import server_database

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
ROWS = 60


class Pooled(Model, database="pooled"):
    """The base of these models."""


class PooledItem(Pooled):
    id: Mapped[int] = primary_key()
    name: Mapped[str]


@query
def by_id(id: int) -> sa.Select[tuple[PooledItem]]:
    return sa.select(PooledItem).where(PooledItem.id == id)


@query
def by_prefix(prefix: str) -> sa.Select[tuple[str]]:
    return sa.select(PooledItem.name).where(PooledItem.name.startswith(prefix)).order_by(PooledItem.id)


@query
def rename(id: int, name: str) -> sa.Update:
    return sa.update(PooledItem).where(PooledItem.id == id).values(name=name)


def version() -> tuple[int, ...]:
    if PROGRAM is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", said.splitlines()[0])))


@pytest.fixture(scope="module")
def server(require_service: Callable[[str], tuple[str, int]]) -> Generator[str, None, None]:
    """The URL of a database, without a pooler."""
    version()
    with server_database("postgres", require_service) as url:
        yield url


@contextmanager
def pgbouncer(server: str, folder: Path, *, follows: bool) -> Generator[str, None, None]:
    """Give the URL of a pooler, without a database: `transaction` and `session` are there.

    Each transaction gets another connection than the one before. `follows` has prepared statements followed.
    """
    assert PROGRAM is not None
    there = sa.make_url(server)
    place = f"host={there.host} port={there.port} user={there.username} dbname={there.database}"
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    settings = [
        "[databases]",
        f"transaction = {place} pool_mode=transaction pool_size=2",
        f"session = {place} pool_mode=session",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        "server_round_robin = 1",
        *(["user = nobody"] if os.geteuid() == 0 else []),  # it refuses to run as root
        *([f"max_prepared_statements = {100 if follows else 0}"] if version() >= (1, 21) else []),
    ]
    (folder / "pgbouncer.ini").write_text("\n".join(settings) + "\n")
    log = folder / "pgbouncer.log"
    with log.open("wb") as out:
        process = subprocess.Popen([PROGRAM, str(folder / "pgbouncer.ini")], stdout=out, stderr=out)

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, log.read_text)
        yield f"postgresql://{there.username}@127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@asynccontextmanager
async def opened(server: str, url: str, **options: Any) -> AsyncGenerator[Database, None]:
    direct = Database(server, name="pooled")
    await direct.drop_all(Pooled)
    await direct.create_all(Pooled)
    async with direct.session() as db:
        db.add_all([PooledItem(name=f"item {number}") for number in range(1, ROWS + 1)])
    await direct.dispose()
    database = Database(url, name="pooled", pool=PoolOptions(size=8, **options))
    yield database
    await database.dispose()


async def read(database: Database) -> None:
    async with database.session("read") as db:
        for number in range(1, ROWS):
            assert (await db.one(by_id(number))).id == number
        assert len(await db.many(by_prefix("item"))) > 0


async def fail_in_savepoint(db: Session, number: int) -> None:
    async with db.savepoint():
        await db.change(rename(number, "taken back"))
        await db.execute(sa.text("SELECT 1 / 0"))


async def fail(database: Database, number: int) -> None:
    async with database.session() as db:
        await db.change(rename(number, "taken back"))
        raise LookupError


async def write(database: Database, first: int) -> None:
    """Write by compiled statements and by objects, with what is taken back in between."""
    for number in range(first, first + 5):
        async with database.session() as db:
            assert await db.change(rename(number, f"{number}.")) == 1
            item = await db.one(by_id(number))
            with pytest.raises(DBAPIError, match="division by zero"):
                await fail_in_savepoint(db, number)
            await db.refresh(item)  # the rollback has let go of what was changed since the savepoint
            item.name += "."
        with pytest.raises(LookupError):
            await fail(database, number)


async def stream(database: Database) -> None:
    async with database.session("read") as db:
        for _ in range(3):
            assert len([item async for item in db.stream(by_prefix(""), batch=7)]) == ROWS
            assert len([item async for item in db.stream(sa.select(PooledItem), batch=7)]) == ROWS


async def cancel(database: Database) -> None:
    async def sleep() -> None:
        async with database.session() as db:
            await db.change(rename(ROWS, "taken back"))
            await db.execute(sa.text("SELECT pg_sleep(60)"))

    task = asyncio.create_task(sleep())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def work(database: Database, number: int) -> None:
    """Do the same in a thread."""
    for _ in range(8):  # psycopg prepares what it has run five times
        with database.sync_session() as db:
            assert db.one(by_id(number)).id == number
            assert db.change(rename(number, f"{number}")) == 1
            item = db.scalars(sa.select(PooledItem).where(PooledItem.id == number)).one()
            item.name += "!"
            assert len(list(db.stream(by_prefix(""), batch=7))) == ROWS
        with database.sync_session("read") as db:
            assert db.one(by_id(number)).name == f"{number}!"


@pytest.mark.parametrize(("mode", "prepared"), [("session", True), ("transaction", False), ("transaction", True)])
async def test_everything_works_behind_a_pooler(mode: str, prepared: bool, server: str, tmp_path: Path) -> None:
    follows = mode == "transaction" and prepared
    if follows and version() < (1, 21):
        pytest.skip("this pgbouncer is older than 1.21 and does not follow prepared statements")
    with pgbouncer(server, tmp_path, follows=follows) as url:
        async with opened(server, f"{url}/{mode}", prepared_statements=prepared) as database:
            await asyncio.gather(*(read(database) for _ in range(3)), write(database, 1), write(database, 11),
                                 stream(database), stream(database), cancel(database))  # fmt: skip
            await asyncio.gather(*(asyncio.to_thread(work, database, number) for number in (21, 22)))
            async with database.session("read") as db:
                names = await db.many(by_prefix(""))
            if mode == "transaction" and not prepared:  # a name would be in the way of other processes'
                for _ in range(2):
                    async with database.session("read") as db:
                        assert await db.many(sa.text("SELECT name FROM pg_prepared_statements")) == []
    changed = {number: f"{number}.." for start in (1, 11) for number in range(start, start + 5)}
    changed |= {21: "21!", 22: "22!"}
    assert names == [changed.get(number, f"item {number}") for number in range(1, ROWS + 1)]
    with psycopg.connect(server) as direct:
        left = direct.execute(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(60)%' "
            "AND state <> 'idle' AND pid <> pg_backend_pid()"
        )
        assert left.fetchall() == []


async def test_prepared_statements_that_are_lost_are_explained(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pgbouncer(server, tmp_path, follows=False) as url:
        async with opened(server, f"{url}/transaction") as database:
            app = App(docs=False, plugins=[database])

            @app.get("/async")
            async def by_async() -> int:
                async with database.session("read") as db:
                    return (await db.one(by_id(1))).id

            @app.get("/sync")
            def by_sync() -> int:
                with database.sync_session("read") as db:
                    return db.one(by_id(1)).id

            async with AsyncClient(app, raise_server_exceptions=False) as client:
                for path in ("/async", "/sync"):
                    caplog.clear()
                    # Two connections of the server, each the other one's turn: what one has prepared the other lacks.
                    statuses = [
                        answer.status_code
                        for _ in range(10)
                        for answer in await asyncio.gather(client.get(path), client.get(path), client.get(path))
                    ]
                    assert set(statuses) >= {500}, path
                    assert "prepared statement" in caplog.text
                    assert "with an older one, DATABASE_PREPARED_STATEMENTS=false" in caplog.text
