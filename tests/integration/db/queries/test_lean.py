"""Transactions of compiled statements alone, on PostgreSQL: they end like SQLAlchemy's, become them, leak nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Insert, event, exc, insert, select, text

from quintet.db import Database, PoolOptions, SyncSession, query
from quintet.db.plugin import unit
from tests.integration.db.queries import queries as q


@query
def returned(name: str) -> Insert:
    return insert(q.Thing).values(name=name).returning(q.Thing.id)


@pytest.fixture
def url(postgres_url: str) -> str:
    """PostgreSQL alone has transactions that begin and end without SQLAlchemy's session."""
    return postgres_url


@pytest.fixture
async def small(database: Database) -> AsyncGenerator[Database, None]:
    """The same database through a pool of one connection, so that each user gets what the one before has left."""
    text_ = database.primary.url.render_as_string(hide_password=False)
    small = Database(text_, pool=PoolOptions(size=1, overflow=0, timeout=2))
    yield small
    await small.dispose()


async def _names(database: Database) -> list[str]:
    async with database.session("read") as db:
        return await db.many(q.names())


async def _is_back(database: Database) -> bool:
    pool: Any = database.engine.pool
    for _ in range(60):
        if pool.checkedout() == 0:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_writes_are_committed_and_rolled_back_without_a_session_of_sqlalchemy(small: Database) -> None:
    async with unit(small, "write") as db:
        await db.change(q.add("kept"))
        await db.change(q.add("too"))
        assert db.is_plain
        assert db.in_transaction()
        assert {"kept", "too"} <= set(await db.many(q.names()))
        assert not {"kept", "too"} & set(await _names_elsewhere(small))
    async with unit(small, "write") as db:
        await db.change(q.add("lost"))
        await db.rollback()
        assert not db.in_transaction()
        assert db.is_plain
    with pytest.raises(RuntimeError):  # noqa: PT012 - the session's end is part of it
        async with unit(small, "write") as db:
            await db.change(q.add("lost"))
            raise RuntimeError
    assert {"kept", "too", "lost"} & set(await _names(small)) == {"kept", "too"}
    assert await _is_back(small)


async def _names_elsewhere(database: Database) -> list[str]:
    other = Database(database.primary.url.render_as_string(hide_password=False))
    try:
        return await _names(other)
    finally:
        await other.dispose()


async def test_an_insert_returns_its_key(small: Database) -> None:
    async with unit(small, "write") as db:
        key = await db.one(returned("new"))
        assert db.is_plain
    async with small.session("read") as db:
        assert await db.scalar(select(q.Thing.name).where(q.Thing.id == key)) == "new"


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_sqlalchemys_session_goes_on_in_the_transaction_that_was_begun(small: Database, end: str) -> None:
    async with small.session() as db:
        await db.change(q.add("compiled"))
        db.add(q.Thing(name="object"))
        assert not db.is_plain
        await db.execute(text("UPDATE q_thing SET name_of_thing = 'text' WHERE name_of_thing = 'thing 1'"))
        async with db.savepoint():
            await db.change(q.add("inside"))
        assert {"compiled", "object", "text", "inside"} <= set(await db.many(q.names()))
        await (db.commit() if end == "commit" else db.rollback())
    expected = {"compiled", "object", "text", "inside"} if end == "commit" else set[str]()
    assert {"compiled", "object", "text", "inside"} & set(await _names(small)) == expected
    assert await _is_back(small)


async def test_a_connection_older_than_the_pool_allows_keeps_its_transaction(database: Database) -> None:
    text_ = database.primary.url.render_as_string(hide_password=False)
    aged = Database(text_, pool=PoolOptions(size=1, overflow=0, recycle=1))
    async with aged.session() as db:
        await db.change(q.add("compiled"))
        await asyncio.sleep(1.2)
        db.add(q.Thing(name="object"))
    assert {"compiled", "object"} <= set(await _names(aged))
    await aged.dispose()


async def test_a_failed_statement_ends_the_transaction(small: Database) -> None:
    async with small.session() as db:
        await db.change(q.add("lost"))
        with pytest.raises(exc.IntegrityError):
            await db.change(q.add("thing 1"))
        with pytest.raises(exc.PendingRollbackError):
            await db.commit()
        await db.rollback()
        await db.change(q.add("kept"))
    assert {"lost", "kept"} & set(await _names(small)) == {"kept"}
    assert await _is_back(small)


async def test_what_the_commit_refuses_is_an_error_and_the_connection_is_used_again(small: Database) -> None:
    async with small.engine.begin() as connection:
        await connection.execute(
            text("ALTER TABLE q_thing ADD CONSTRAINT late UNIQUE (name_of_thing) DEFERRABLE INITIALLY DEFERRED")
        )
        await connection.execute(text("ALTER TABLE q_thing DROP CONSTRAINT q_thing_name_of_thing_key"))
    pid = text("SELECT pg_backend_pid()")
    async with small.engine.connect() as connection:
        before = await connection.scalar(pid)
    async with small.session() as db:
        await db.change(q.add("twice"))
        await db.change(q.add("twice"))
        with pytest.raises(exc.IntegrityError, match="late"):
            await db.commit()
        assert not db.in_transaction()
    async with small.engine.connect() as connection:
        assert await connection.scalar(pid) == before
    assert "twice" not in await _names(small)


@pytest.mark.parametrize("delay", [0.0, 0.0003, 0.0006, 0.001, 0.002, 0.004])
async def test_a_caller_that_goes_away_anywhere_leaves_no_transaction(small: Database, delay: float) -> None:
    async def write() -> None:
        async with unit(small, "write") as db:
            await db.change(q.add("first"))
            await db.change(q.add("second"))
            raise asyncio.CancelledError

    task = asyncio.ensure_future(write())
    await asyncio.sleep(delay)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await _is_back(small)
    async with small.engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        assert not raw.is_in_transaction()
        assert raw._top_xact is None
    assert not {"first", "second"} & set(await _names(small))


async def test_statements_under_gather_share_one_transaction(small: Database) -> None:
    async with small.session() as db:
        await asyncio.gather(*(db.change(q.add(f"new {n}")) for n in range(5)))
        assert db.is_plain
        await db.rollback()
        await asyncio.gather(db.change(q.add("compiled")), db.execute(text("SELECT 1")), db.change(q.add("other")))
        await db.rollback()
    assert not [n for n in await _names(small) if n.startswith(("new", "compiled", "other"))]
    assert await _is_back(small)


async def test_a_connection_killed_in_the_transaction_is_an_error_and_the_next_works(small: Database) -> None:
    for goes_on in ("compiled", "object", "commit"):
        async with small.session() as db:
            await db.change(q.add("lost"))
            await _kill(small)
            with pytest.raises(exc.SQLAlchemyError):  # noqa: PT012 - one of three ways
                if goes_on == "compiled":
                    await db.many(q.names())
                elif goes_on == "object":
                    db.add(q.Thing(name="object"))
                    await db.commit()
                else:
                    await db.commit()
            await db.rollback()
            await db.change(q.add(f"after {goes_on}"))
        names = await _names(small)
        assert "lost" not in names
        assert "object" not in names
        assert f"after {goes_on}" in names
    assert await _is_back(small)


async def _kill(database: Database) -> None:
    other = Database(database.primary.url.render_as_string(hide_password=False))
    async with other.engine.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    await other.dispose()
    await asyncio.sleep(0.05)


async def test_somebody_who_listens_to_commits_hears_those_of_compiled_statements(small: Database) -> None:
    heard: list[Any] = []

    def hear(session: Any) -> None:
        heard.append(session)

    event.listen(SyncSession, "after_commit", hear)
    try:
        async with unit(small, "write") as db:
            await db.change(q.add("heard"))
            assert not db.is_plain
        assert len(heard) == 1
    finally:
        event.remove(SyncSession, "after_commit", hear)
    async with unit(small, "write") as db:
        await db.change(q.add("unheard"))
        assert db.is_plain


async def test_what_was_read_alone_belongs_to_the_session_when_it_is_used_again(small: Database) -> None:
    async with small.session("read") as db:
        thing = await db.one(q.thing(1))
        assert db.is_plain
        assert await db.one(q.thing(1)) is thing
        assert await db.get(q.Thing, 1) is thing
        assert thing in db


@pytest.mark.parametrize(
    ("leave", "look", "clean"),
    [
        ("SET work_mem = '7MB'", "SHOW work_mem", "4MB"),
        ("SET search_path = pg_catalog", "SHOW search_path", '"$user", public'),
        ("SELECT set_config('work_mem', '7MB', false)", "SHOW work_mem", "4MB"),
        ("CREATE TEMP TABLE left_over (id int)", "SELECT to_regclass('pg_temp.left_over')::text", None),
        ("SELECT pg_advisory_lock(4711)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711",
         0),
        ("LISTEN news", "SELECT count(*) FROM pg_listening_channels()", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_nothing_of_one_user_reaches_the_next(
    small: Database, kind: str, leave: str, look: str, clean: Any
) -> None:
    pid = text("SELECT pg_backend_pid()")
    if kind == "async":
        async with small.session() as db:
            await db.execute(text(leave))
            before = await db.scalar(pid)
        async with small.session() as db:
            assert await db.scalar(pid) == before
            assert await db.scalar(text(look)) == clean
        return

    def both() -> None:
        with small.sync_session() as db:
            db.execute(text(leave))
            before = db.scalar(pid)
        with small.sync_session() as db:
            assert db.scalar(pid) == before
            assert db.scalar(text(look)) == clean

    await asyncio.to_thread(both)


# -- BEGIN travels with the first statement ----------------------------------------------------------------------------


async def _round_trips(database: Database, work: Callable[[Any, str], Awaitable[Any]]) -> int:
    """Return how often asyncpg waits for the server in a unit of work, on a connection that knows its statements."""
    counts: list[int] = []
    for number in range(3):
        async with database.engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
        async with unit(database, "write") as db:
            await work(db, f"{work.__name__} {number}")
        counts.append(raw._protocol.queries_count)
    return counts[2] - counts[1]


async def test_an_insert_and_its_commit_are_two_round_trips(small: Database) -> None:
    async def changed(db: Any, name: str) -> None:
        await db.change(q.add(name))

    async def flushed(db: Any, name: str) -> None:
        db.add(q.Thing(name=name))
        await db.flush()

    assert await _round_trips(small, changed) == 2
    assert await _round_trips(small, flushed) == 2
    assert {"changed 2", "flushed 2"} <= set(await _names(small))


async def test_a_value_that_the_driver_refuses_leaves_no_transaction(small: Database) -> None:
    for _ in range(2):
        with pytest.raises(exc.DBAPIError):
            async with unit(small, "write") as db:
                await db.change(q.add(7))  # type: ignore[arg-type] - no text
        async with unit(small, "write") as db:
            await db.change(q.add("after"))
            await db.rollback()
    assert "after" not in await _names(small)


async def test_a_transaction_begins_as_it_was_asked_to(small: Database) -> None:
    options: dict[str, Any] = {
        "isolation_level": "REPEATABLE READ", "postgresql_readonly": True, "postgresql_deferrable": True,
    }  # fmt: skip
    async with small.engine.connect() as connection:
        await connection.execution_options(**options)
        for name, value in (("isolation", "repeatable read"), ("read_only", "on"), ("deferrable", "on")):
            assert await connection.scalar(text(f"SHOW transaction_{name}")) == value
    async with small.engine.connect() as connection:
        assert await connection.scalar(text("SHOW transaction_isolation")) == "read committed"
        assert await connection.scalar(text("SHOW transaction_read_only")) == "off"


async def test_a_stream_begins_its_transaction_first(small: Database) -> None:
    async with small.session("write") as db:
        assert [name async for name in db.stream(select(q.Thing.name).order_by(q.Thing.id), batch=2)]
    async with small.session("write") as db:
        await db.change(q.add("streamed"))
        assert "streamed" in [name async for name in db.stream(q.names())]
