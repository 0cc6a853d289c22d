"""SQLite as the database of a server: many writers, readers beside them, one database in memory."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import Insert, Select, event, func, insert, literal, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from quintet import App
from quintet.db import Database, PoolOptions, Session, SyncSession, query
from quintet.db.memory import remove_abandoned
from quintet.db.plugin import unit
from quintet.testing import AsyncClient
from tests.integration.db import blog
from tests.integration.db.blog import User


@query
def added(name: str) -> Insert:
    return insert(User).values(name=name, is_staff=False).inline()


@query
def posted(author: int) -> Insert:
    return insert(blog.Article).values(slug="a", title="a", body="a", author_id=author).inline()


async def opened(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    await database.create_all(blog.Blog)
    return database


async def test_a_connection_has_the_settings_of_a_server(tmp_path: Path) -> None:
    database = await opened(tmp_path / "a.db")
    expected = {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 5000, "synchronous": 1}
    async with database.session() as db:
        assert {n: await db.scalar(text(f"PRAGMA {n}")) for n in expected} == expected
    with database.sync_session() as sync:
        assert {n: sync.scalar(text(f"PRAGMA {n}")) for n in expected} == expected
    await database.dispose()


async def test_eight_sessions_that_read_and_then_write_all_succeed(tmp_path: Path) -> None:
    database = await opened(tmp_path / "a.db")
    async with database.session() as db:
        db.add(User(name="0"))

    async def count_up() -> None:
        async with database.session() as db:
            user = await db.one(select(User))
            await asyncio.sleep(0.005)
            user.name = str(int(user.name) + 1)

    await asyncio.gather(*(count_up() for _ in range(8)))
    async with database.session() as db:
        assert (await db.one(select(User))).name == "8"
    await database.dispose()


def counting_to(limit: int) -> Select[int]:
    number = select(literal(1).label("n")).cte("c", recursive=True)
    number = number.union_all(select(number.c.n + 1).where(number.c.n < limit))
    return select(func.max(number.c.n))


@query
def count_to(limit: int) -> Select[int]:
    return counting_to(limit)


#: Counting so far takes SQLite longer than a writer waits for another.
FAR = 100_000_000


def cancel_before_it_begins(connection: Any, task: asyncio.Task[Any]) -> None:
    """Cancel a task whose next statement the connection's thread will not have begun by then."""
    gate = threading.Event()
    connection._tx.put_nowait((None, gate.wait))
    asyncio.get_running_loop().call_soon(task.cancel)
    asyncio.get_running_loop().call_later(0.05, gate.set)


async def test_a_statement_cancelled_before_its_thread_has_begun_it_holds_no_lock(tmp_path: Path) -> None:
    database = await opened(tmp_path / "a.db")

    async def write() -> None:
        async with database.session() as db:
            db.add(User(name="never"))
            await db.flush()
            raw = await (await db.connection()).get_raw_connection()
            event.listen(
                database.engine.sync_engine,
                "before_cursor_execute",
                lambda *_: cancel_before_it_begins(raw.driver_connection, task),
                once=True,
            )
            await db.execute(counting_to(FAR))

    task = asyncio.create_task(write())
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.session() as db:  # which waits for the lock for 5 seconds
        db.add(User(name="Ada"))
    async with database.session("read") as db:
        assert await db.many(select(User.name)) == ["Ada"]
    await database.dispose()


async def test_a_writer_cancelled_while_it_waits_for_the_lock_never_takes_it(tmp_path: Path) -> None:
    database = await opened(tmp_path / "a.db")

    async def write() -> None:
        async with database.session() as db:
            db.add(User(name="never"))
            await db.flush()

    async with database.session() as held:
        held.add(User(name="Ada"))
        await held.flush()
        task = asyncio.create_task(write())
        while database.engine.pool.checkedout() < 2:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    other = sqlite3.connect(tmp_path / "a.db", timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert other.execute("SELECT name FROM user").fetchall() == [("Ada",)]
    other.close()
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await database.dispose()


async def test_a_read_cancelled_before_its_thread_has_begun_it_gives_its_connection_back(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a.db", pool=PoolOptions(size=1, overflow=0, timeout=5))

    async def read(limit: int) -> int:
        async with database.session("read") as db:
            return await db.one(count_to(limit))

    assert await read(300_000) == 300_000  # too long for the event loop: from now on it goes to the thread
    async with database.session("read") as db:
        connection = (await (await db.connection()).get_raw_connection()).driver_connection
    task = asyncio.create_task(read(FAR))
    cancel_before_it_begins(connection, task)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await read(1) == 1
    async with database.session("read") as db:
        assert (await (await db.connection()).get_raw_connection()).driver_connection is connection
    await database.dispose()


async def test_deferred_sessions_would_have_failed(tmp_path: Path) -> None:
    # The control of the test above: what plain SQLAlchemy does.
    database = await opened(tmp_path / "a.db")

    async def read_then_write(number: int) -> None:
        async with database.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            await raw.execute("BEGIN")
            await (await raw.execute("SELECT * FROM user")).fetchall()
            await asyncio.sleep(0.02)
            try:
                await raw.execute(f"INSERT INTO user (name, is_staff) VALUES ('{number}', 0)")
                await raw.execute("COMMIT")
            finally:
                await raw.execute("ROLLBACK") if raw.in_transaction else None

    results = await asyncio.gather(*(read_then_write(n) for n in range(8)), return_exceptions=True)
    assert [str(r) for r in results if r is not None] == ["database is locked"] * 7
    await database.dispose()


async def test_readers_are_not_blocked_by_a_writer_and_cannot_write(tmp_path: Path) -> None:
    database = await opened(tmp_path / "a.db")
    async with database.session() as writer:
        writer.add(User(name="Ada"))
        await writer.flush()
        async with database.session("read") as reader:
            assert await reader.many(select(User)) == []
            with pytest.raises(OperationalError, match="readonly"):
                await reader.execute(text("DELETE FROM user"))
    async with database.session() as writer:  # on the connection that was for reading before
        await writer.execute(text("DELETE FROM user"))
    await database.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_a_database_in_memory_is_one_for_async_and_sync_code(url: str) -> None:
    one, other = Database(url), Database(url)
    await one.create_all(blog.Blog)
    await other.create_all(blog.Blog)
    async with one.session() as db:
        db.add(User(name="Ada"))
    with one.sync_session() as sync:
        assert sync.many(select(User.name)) == ["Ada"]
    with other.sync_session() as sync:
        assert sync.many(select(User.name)) == []
    await one.dispose()
    await other.dispose()


def test_the_file_of_a_killed_process_is_removed_by_the_next_one() -> None:
    code = (
        "import os, sys; from quintet.db import Database; d = Database('sqlite://'); "
        "d.sync_engine.connect().close(); print(d.primary.url.database, flush=True); "
        "os.kill(os.getpid(), 9) if sys.argv[1] == 'die' else None"
    )

    def run(how: str) -> Path:
        done = subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=False)
        return Path(done.stdout.strip())

    mine = Database("sqlite://")
    with mine.sync_engine.connect():
        left = run("die")
        assert left.exists()
        assert not run("end").exists()
        assert not left.exists()
        assert Path(str(mine.primary.url.database)).exists()
    mine.dispose_sync()


OPEN = """
import os, sys
from quintet.db import Database
database = Database("sqlite://")
if sys.argv[1] == "unused":
    print(database.primary.url.database, flush=True)
    sys.stdin.read()
with database.sync_engine.connect():
    if os.fork() == 0:
        database.sync_engine.connect().close()
        print(database.primary.url.database, flush=True)
        sys.stdin.read()
    os._exit(0)
"""


@pytest.mark.parametrize("kind", ["unused", "forked"])
def test_the_file_of_a_process_that_lives_is_not_removed(kind: str) -> None:
    command = [sys.executable, "-c", OPEN, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        file = Path(run.stdout.readline().strip())
        if kind == "forked":
            run.wait()  # its child goes on with the file
        remove_abandoned(file.parents[1], new=0)
        assert file.parent.exists()
        assert file.exists() == (kind == "forked")
        run.kill()
        run.stdin.close()
        run.wait()
        assert run.stdout.read() == ""  # the child has ended too
    remove_abandoned(file.parents[1], new=0)
    assert not file.parent.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_the_files_of_other_users_are_left_alone(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "quintet-memory-theirs", tmp_path / "quintet-memory-ours"
    for folder in (theirs, ours):
        folder.mkdir()
        (folder / "memory.db").touch()
    os.chown(theirs, 65534, 65534)
    remove_abandoned(tmp_path)
    assert (theirs.exists(), ours.exists()) == (True, False)


async def test_development_is_told_of_a_lock_that_is_held_for_long(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(f"sqlite:///{tmp_path}/a.db")
    database.primary.watched = True
    await database.create_all(blog.Blog)
    with caplog.at_level(logging.WARNING, "quintet.db"):
        async with database.session() as db:
            await db.many(select(User))
            db.add(User(name="Ada"))
        assert not [record for record in caplog.records if record.name == "quintet.db"]
        async with database.session() as db:
            await db.many(select(User))
            await asyncio.sleep(0.15)
        assert "the write lock of SQLite was held for" in caplog.text
        caplog.clear()
        async with database.session("read") as db:
            await db.many(select(User))
            await asyncio.sleep(0.15)
        assert not [record for record in caplog.records if record.name == "quintet.db"]
    await database.dispose()


async def test_R18_a_full_disk_is_503_and_nothing_is_half_written(tmp_path: Path) -> None:
    database = await opened(tmp_path / "a.db")
    pages: list[int] = []
    event.listen(
        database.sync_engine, "connect", lambda c, _: pages.append(c.execute("PRAGMA page_count").fetchone()[0])
    )
    event.listen(database.sync_engine, "connect", lambda c, _: c.execute(f"PRAGMA max_page_count={pages[-1]}"))
    app = App(plugins=[database])

    @app.post("/users")
    def add(db: SyncSession) -> None:
        db.add_all([User(name=f"{n:040}") for n in range(1000)])

    async with AsyncClient(app) as client:
        response = await client.post("/users")
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    async with database.session("read") as db:
        assert await db.many(select(User)) == []
    await database.dispose()


def _write(path: str, process: int, count: int, failures: multiprocessing.Queue[str]) -> None:
    database = Database(f"sqlite:///{path}")
    for number in range(count):
        try:
            with database.sync_session() as db:
                db.many(select(User).limit(1))
                db.add(User(name=f"{process}-{number}"))
        except OperationalError as error:
            failures.put(str(error))
    database.dispose_sync()


async def test_processes_that_write_at_once_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = await opened(path)
    context = multiprocessing.get_context("spawn")
    failures: multiprocessing.Queue[str] = context.Queue()
    count = int(os.environ.get("QUINTET_TEST_SQLITE_WRITES", "25"))
    workers = [context.Process(target=_write, args=(str(path), n, count, failures)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        await asyncio.to_thread(worker.join, 120)
    assert [w.exitcode for w in workers] == [0] * 4
    assert failures.empty()
    async with database.session("read") as db:
        assert await db.one(select(text("count(*) FROM user"))) == 4 * count
    await database.dispose()


async def test_a_forked_process_opens_connections_of_its_own(tmp_path: Path) -> None:
    database = await opened(tmp_path / "a.db")
    with database.sync_session() as db:
        db.add(User(name="parent"))
    before = database.sync_engine
    child = os.fork()
    if child == 0:
        try:
            with database.sync_session() as db:
                db.add(User(name="child"))
            os._exit(0 if database.sync_engine is not before else 3)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with database.sync_session() as db:
        assert sorted(db.many(select(User.name))) == ["child", "parent"]
    await database.dispose()


# -- hops to the threads of connections, and the line of those that write ----------------------------------------------


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What asyncio asked the threads of connections to do."""
    made: list[str] = []
    original: Any = aiosqlite.Connection._execute  # pyright: ignore[reportUnknownMemberType, reportPrivateUsage]

    async def counted(self: Any, work: Any, *args: Any, **named: Any) -> Any:
        made.append(work.__name__)
        return await original(self, work, *args, **named)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    return made


async def test_a_unit_of_work_is_one_hop_for_each_statement_and_one_for_its_commit(
    tmp_path: Path, hops: list[str]
) -> None:
    database = await opened(tmp_path / "a.db")
    async with unit(database, "write") as db:
        await db.change(added("warm"))
    hops.clear()
    async with unit(database, "write") as db:
        await db.change(added("compiled"))
    assert len(hops) == 2
    async with unit(database, "write") as db:
        db.add(User(name="flushed"))
        await db.flush()
    assert len(hops) == 4
    async with unit(database, "write") as db:
        await db.one(select(User).where(User.name == "flushed"))
        await db.rollback()
        await db.rollback()
    assert len(hops) == 6
    async with unit(database, "read") as db:
        assert set(await db.many(select(User.name))) == {"warm", "compiled", "flushed"}
    await database.dispose()


async def test_many_that_write_at_once_stand_in_line(tmp_path: Path) -> None:
    database = await opened(tmp_path / "a.db")

    async def write(number: int) -> None:
        for turn in range(10):
            async with unit(database, "write") as db:
                await db.change(added(f"{number} {turn}"))
                if number % 3 == 0:
                    db.add(User(name=f"{number} {turn} too"))
                if turn == 5 and number % 4 == 0:
                    await db.rollback()

    async with asyncio.timeout(20):
        await asyncio.gather(*(write(n) for n in range(16)))
    async with database.session("read") as db:
        assert await db.scalar(select(func.count()).select_from(User)) == 160 + 60 - 4 - 2
    await database.dispose()


@pytest.mark.parametrize("turns", [1, 3, 8])
@pytest.mark.parametrize("kind", ["compiled", "flushed"])
async def test_who_goes_away_while_it_writes_leaves_no_lock(tmp_path: Path, kind: str, turns: int) -> None:
    database = await opened(tmp_path / "a.db")

    async def write(name: str) -> None:
        async with unit(database, "write") as db:
            if kind == "compiled":
                await db.change(added(name))
            db.add(User(name=f"{name} too"))
            await db.flush()
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(write(f"gone {n}")) for n in range(4)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(3):
        await asyncio.gather(*(write(f"kept {n}") for n in range(3)))
    async with database.session("read") as db:
        names = set(await db.many(select(User.name)))
    assert {n for n in names if n.startswith("gone")} == set()
    assert len(names) == (6 if kind == "compiled" else 3)
    await database.dispose()


async def test_a_lock_of_another_process_is_waited_for_and_its_refusal_leaves_the_session_usable(
    tmp_path: Path,
) -> None:
    database = await opened(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with database.session() as db:
            connection = await db.connection()
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.execute("PRAGMA busy_timeout=20")
            with pytest.raises(OperationalError, match="locked"):
                await db.execute(text("INSERT INTO user (name, is_staff) VALUES ('refused', 0)"))
            await db.rollback()
            other.execute("ROLLBACK")
            db.add(User(name="then"))
    async with database.session("read") as db:
        assert await db.many(select(User.name)) == ["then"]
    await database.dispose()


async def test_what_the_commit_refuses_is_rolled_back(tmp_path: Path) -> None:
    database = await opened(tmp_path / "a.db")
    db = Session(database)
    await db.change(added("refused"))
    lean = db._lean  # pyright: ignore[reportPrivateUsage] - it shall be committed by itself
    assert lean is not None
    await lean.dbapi.hop(lambda raw: raw.execute("PRAGMA defer_foreign_keys=ON"))
    await db.change(posted(999))
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        await db.commit()
    await db.close()
    async with database.session() as db:
        await db.change(added("next"))
    async with database.session("read") as db:
        assert await db.many(select(User.name)) == ["next"]
    await database.dispose()
