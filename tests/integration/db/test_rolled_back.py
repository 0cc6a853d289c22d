"""One transaction for every session of a test, on each database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DBAPIError

from quintet.db import Database, Session, SyncSession, query
from quintet.testing.db import assert_queries, capture_queries, make, make_many, rolled_back
from tests.integration.db.blog import Article, Blog, Tag, User


@query
def user_named(name: str) -> Any:
    return select(User).where(User.name == name)


@query
def forget(name: str) -> Any:
    return delete(User).where(User.name == name)


@query
def rename(old: str, new: str) -> Any:
    from sqlalchemy import update

    return update(User).where(User.name == old).values(name=new)


@pytest.fixture
async def inside(database: Database) -> AsyncGenerator[Database, None]:
    """The database inside a transaction; nothing is left of it."""
    with rolled_back(database):
        yield database
        await database.dispose()
    async with database.session() as db:
        assert await db.scalar(select(func.count()).select_from(User)) == 0


async def count(database: Database) -> int:
    async with database.session() as db:
        return await db.scalar(select(func.count()).select_from(User)) or 0


async def test_compiled_changes_are_part_of_it(inside: Database) -> None:
    async with inside.session() as db:
        await make(db, User, name="ada")
        assert await db.change(rename("ada", "bo")) == 1
    async with inside.session() as db:
        assert (await db.one(user_named("bo"))).name == "bo"
        assert await db.change(forget("bo")) == 1
        await db.rollback()
    assert await count(inside) == 1


async def test_compiled_changes_in_threads_are_part_of_it(inside: Database) -> None:
    def work() -> None:
        with inside.sync_session() as db:
            make(db, User, name="ada")
            assert db.change(rename("ada", "bo")) == 1
        with inside.sync_session() as db:
            assert db.one(user_named("bo")).name == "bo"
            assert [u.name for u in db.stream(user_named("bo"))] == ["bo"]
            assert [u.name for u in db.stream(select(User))] == ["bo"]

    await asyncio.to_thread(work)
    async with inside.session() as db:
        assert [u.name async for u in db.stream(user_named("bo"))] == ["bo"]
        assert [u.name async for u in db.stream(select(User))] == ["bo"]


async def add_and_run(database: Database, statement: str) -> None:
    async with database.session() as db:
        db.add(User(name="lost"))
        await db.flush()
        await db.execute(text(statement))


async def test_an_error_ends_a_unit_of_work_and_nothing_else(inside: Database) -> None:
    async with inside.session() as db:
        await make(db, User, name="ada")
    for statement in ("SELECT nothing FROM nowhere", "INSERT INTO nowhere VALUES (1)"):
        with pytest.raises(DBAPIError):
            await add_and_run(inside, statement)
    with pytest.raises(DBAPIError):
        async with inside.session("read") as db:
            await db.execute(text("SELECT nothing FROM nowhere"))
    assert await count(inside) == 1


async def test_savepoints_of_the_app_work_inside(inside: Database) -> None:
    async with inside.session() as db:
        await make(db, User, name="ada")
        async with db.begin_nested() as savepoint:
            db.add(User(name="lost"))
            await db.flush()
            await savepoint.rollback()
        async with db.savepoint():
            db.add(User(name="kept"))
    assert await count(inside) == 2


async def test_units_of_work_may_overlap_as_long_as_all_commit(inside: Database) -> None:
    async with Session(inside) as one, Session(inside) as two:
        one.add(User(name="one"))
        await one.flush()
        two.add(User(name="two"))
        await two.flush()
        await one.commit()
        await two.commit()
    assert await count(inside) == 2


async def test_a_rollback_below_another_unit_of_work_is_told(inside: Database) -> None:
    async with Session(inside) as one, Session(inside) as two:
        one.add(User(name="one"))
        await one.flush()
        two.add(User(name="two"))
        await two.flush()
        await one.rollback()
        with pytest.raises(RuntimeError, match="two units of work ran at the same time"):
            await two.scalar(select(func.count()).select_from(User))
        await two.rollback()
        assert await two.scalar(select(func.count()).select_from(User)) == 0


async def test_many_requests_at_once_take_turns(inside: Database) -> None:
    async def add(number: int) -> None:
        async with inside.session() as db:
            db.add(Tag(name=str(number)))

    await asyncio.gather(*map(add, range(12)))
    async with inside.session() as db:
        assert await db.scalar(select(func.count()).select_from(Tag)) == 12


async def test_a_cancelled_request_leaves_the_connection_whole(inside: Database) -> None:
    async def work() -> None:
        async with inside.session() as db:
            db.add(User(name="never committed"))
            for _ in range(1000):
                await db.scalar(select(func.count()).select_from(User))

    for delay in (0.0, 0.001, 0.005, 0.02):
        task = asyncio.ensure_future(work())
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await count(inside) == 0, delay


async def test_loops_and_threads_of_any_kind_see_the_same(inside: Database) -> None:
    def elsewhere() -> int:
        async def run() -> int:
            async with inside.session() as db:
                db.add(User(name="elsewhere"))
            number = await count(inside)
            await inside.dispose()
            return number

        return asyncio.run(run())

    async with inside.session() as db:
        await make(db, User, name="here")
    assert await asyncio.to_thread(elsewhere) == 2
    assert await count(inside) == 2


async def test_autocommit_takes_effect_at_once(inside: Database) -> None:
    async with inside.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(User.__table__.insert().values(name="ada", is_staff=False))
    assert await count(inside) == 1


async def test_tables_in_a_test(inside: Database) -> None:
    if inside.dialect in ("mysql", "mariadb"):
        with pytest.raises(RuntimeError, match="mark the test with @pytest.mark.real_transactions"):
            async with inside.engine.begin() as connection:
                await connection.execute(text("CREATE TABLE extra (id INTEGER)"))
        return
    async with inside.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE extra (id INTEGER)"))
        await connection.execute(text("INSERT INTO extra VALUES (1)"))


async def test_statements_are_counted_whoever_runs_them(inside: Database) -> None:
    async with inside.session() as db:
        with assert_queries(2):
            await make(db, Article)
        with assert_queries(1) as found:
            await db.first(user_named("nobody"))
        assert found[0].query == "user_named"
        assert "test_rolled_back.py" in found[0].source
    with pytest.raises(AssertionError, match="expected 0 queries, but 1 ran"), assert_queries(0):
        await count(inside)
    with capture_queries() as found:
        await asyncio.to_thread(_read, inside)
    assert [event.parameters for event in found] == [0, 1]


def _read(database: Database) -> None:
    with SyncSession(database) as db:
        db.many(select(User))
        db.first(user_named("nobody"))


async def test_reading_sessions_cannot_write_by_sql(inside: Database) -> None:
    if inside.dialect in ("mysql", "mariadb"):
        pytest.skip("sessions for reading are held to it by the server on SQLite and PostgreSQL")
    with pytest.raises(DBAPIError, match="(?i)read.?only"):
        async with inside.session("read") as db:
            await db.execute(text("DELETE FROM tag"))
    async with inside.session() as db:
        await db.execute(text("DELETE FROM tag"))


@pytest.fixture
def blog_in_memory() -> Generator[Database, None, None]:
    database = Database("sqlite://")
    with database.sync_engine.begin() as connection:
        Blog.metadata.create_all(connection)
    yield database
    database.dispose_sync()


def test_it_works_without_a_loop(blog_in_memory: Database) -> None:
    with rolled_back(blog_in_memory), blog_in_memory.sync_session() as db:
        make_many(db, Article, 3)
    with blog_in_memory.sync_session() as db:
        assert db.scalar(select(func.count()).select_from(Article)) == 0
