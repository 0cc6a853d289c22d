"""Requests that go wrong at every stage: nothing is saved, and no connection is lost."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Annotated, Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from quintet import App, Depends, HTTPError, Request, Response, WebSocket
from quintet.db import Database, Mapped, Model, PoolOptions, Session, SyncSession, Use, primary_key, query
from quintet.testing import AsyncClient

KINDS = pytest.mark.parametrize("url", ["sqlite", "postgres", "mariadb"], indirect=True)


class Life(Model, database="default"):
    """The base of these models."""


class Note(Life):
    """A row, whose text is unique in the end: where a database can wait for the commit to look."""

    __tablename__ = "life_note"
    id: Mapped[int] = primary_key()
    text: Mapped[str]


@query
def notes():
    return select(Note).order_by(Note.id)


class Other(Model, database="other"):
    """The base of the second database's models."""


class Copy(Other):
    """A row of the second database."""

    __tablename__ = "life_copy"
    id: Mapped[int] = primary_key()
    text: Mapped[str]


class Failure(Exception):
    """What goes wrong."""


class Unencodable:
    """Nothing knows how to show this."""


@pytest.fixture
async def store(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url, pool=PoolOptions(size=2, overflow=0, timeout=2))
    await database.drop_all(Life)
    await database.create_all(Life)
    yield database
    await check_whole(database)
    await database.drop_all(Life)
    await database.dispose()


async def check_whole(database: Database) -> None:
    """Nothing is held, and every connection of both pools works."""
    held: list[int] = []
    for _ in range(500):
        held = [database.engine.pool.checkedout(), database.sync_engine.pool.checkedout()]  # type: ignore[attr-defined]
        if held == [0, 0]:
            break
        await asyncio.sleep(0.02)
    assert held == [0, 0]

    async def one(mode: Any) -> None:
        async with database.session(mode) as db:
            await db.execute(text("SELECT 1"))
            await asyncio.sleep(0.01)

    await asyncio.gather(one("read"), one("read"))
    await one("write")
    with database.sync_session() as db:
        db.execute(text("SELECT 1"))


async def saved(database: Database) -> list[str]:
    async with database.session("read") as db:
        return await db.many(select(Note.text).order_by(Note.id))


def build(database: Database) -> App:  # noqa: C901 - a handler for each stage
    app = App(plugins=[database], docs=False)

    async def uses(db: Session) -> Session:
        db.add(Note(text="dependency"))
        await db.flush()
        return db

    def uses_sync(db: SyncSession) -> SyncSession:
        db.add(Note(text="dependency"))
        db.flush()
        return db

    async def fails(db: Annotated[Session, Depends(uses)]) -> AsyncGenerator[int, None]:
        raise Failure
        yield 1

    def fails_sync(db: Annotated[SyncSession, Depends(uses_sync)]) -> Generator[int, None, None]:
        raise Failure
        yield 1

    async def fails_late(db: Annotated[Session, Depends(uses)]) -> AsyncGenerator[int, None]:
        yield 1
        await db.execute(insert(Note).values(text="late"))
        raise Failure

    def fails_late_sync(db: Annotated[SyncSession, Depends(uses_sync)]) -> Generator[int, None, None]:
        yield 1
        db.execute(insert(Note).values(text="late"))
        raise Failure

    @app.post("/dependency")
    async def dependency(value: Annotated[int, Depends(fails)]) -> int:
        return value

    @app.post("/sync/dependency")
    def dependency_sync(value: Annotated[int, Depends(fails_sync)]) -> int:
        return value

    @app.post("/late")
    async def late(value: Annotated[int, Depends(fails_late)]) -> int:
        return value

    @app.post("/sync/late")
    def late_sync(value: Annotated[int, Depends(fails_late_sync)]) -> int:
        return value

    @app.post("/handler")
    async def handler(db: Session) -> None:
        db.add(Note(text="handler"))
        await db.flush()
        raise Failure

    @app.post("/sync/handler")
    def handler_sync(db: SyncSession) -> None:
        db.add(Note(text="handler"))
        db.flush()
        raise Failure

    @app.post("/answer")
    async def answer(db: Session) -> None:
        await db.execute(insert(Note).values(text="answer"))
        raise HTTPError(418, "no")

    @app.post("/sync/answer")
    def answer_sync(db: SyncSession) -> None:
        db.execute(insert(Note).values(text="answer"))
        raise HTTPError(418, "no")

    @app.post("/flush")
    async def flush(db: Session) -> None:
        db.add(Note(id=1, text="one"))
        db.add(Note(id=2, text=None))  # type: ignore[arg-type] - what goes wrong

    @app.post("/sync/flush")
    def flush_sync(db: SyncSession) -> None:
        db.add(Note(id=1, text="one"))
        db.add(Note(id=2, text=None))  # type: ignore[arg-type]

    @app.post("/encode")
    async def encode(db: Session) -> Any:
        db.add(Note(text="encode"))
        return Unencodable()

    @app.post("/sync/encode")
    def encode_sync(db: SyncSession) -> Any:
        db.add(Note(text="encode"))
        return Unencodable()

    return app


STAGES = ["dependency", "late", "handler", "answer", "flush", "encode"]


@KINDS
@pytest.mark.parametrize("prefix", ["", "/sync"], ids=["async", "sync"])
async def test_whatever_stage_fails_nothing_is_saved(store: Database, prefix: str) -> None:
    async with AsyncClient(build(store), raise_server_exceptions=False) as client:
        for stage in STAGES:
            for _ in range(3):
                answer = await client.post(f"{prefix}/{stage}")
                assert answer.status_code == (418 if stage == "answer" else 500), stage
            assert await saved(store) == [], stage
        await check_whole(store)


@KINDS
@pytest.mark.parametrize("prefix", ["", "/sync"], ids=["async", "sync"])
async def test_a_statement_that_failed_and_was_passed_over_never_answers_200_without_saving(
    store: Database, prefix: str
) -> None:
    app = App(plugins=[store], docs=False)

    @app.post("/")
    async def careless(db: Session) -> None:
        db.add(Note(text="first"))
        await db.flush()
        with contextlib.suppress(SQLAlchemyError):
            await db.execute(text("SELECT nothing FROM nowhere"))

    @app.post("/sync/")
    def careless_sync(db: SyncSession) -> None:
        db.add(Note(text="first"))
        db.flush()
        with contextlib.suppress(SQLAlchemyError):
            db.execute(text("SELECT nothing FROM nowhere"))

    async with AsyncClient(app, raise_server_exceptions=False) as client:
        answer = await client.post(f"{prefix}/")
        assert (answer.status_code < 300) == (await saved(store) == ["first"]), answer.status_code


@KINDS
async def test_a_handler_that_takes_too_long_is_rolled_back(store: Database) -> None:
    app = App(plugins=[store], docs=False)
    begun: list[str] = []
    ended: list[str] = []

    @app.post("/slow", timeout=0.1)
    async def slow(db: Session) -> None:
        db.add(Note(text="slow"))
        await db.flush()
        await asyncio.sleep(5)

    @app.post("/query", timeout=0.2)
    async def in_query(db: Session) -> None:
        db.add(Note(text="slow"))
        await db.flush()
        await db.execute(text(SLEEP[store.dialect]))

    @app.post("/sync/slow", timeout=0.1)
    def slow_sync(db: SyncSession) -> None:
        begun.append("sync")
        db.add(Note(text="slow"))
        db.flush()
        time.sleep(0.4)
        db.execute(text("SELECT 1"))  # the session is its own as long as it runs
        ended.append("sync")

    async with AsyncClient(app, raise_server_exceptions=False) as client:
        for path in ("/slow", "/query", "/sync/slow"):
            since = time.monotonic()
            answer = await client.post(path)
            assert answer.status_code == 503, (path, answer.text)
            assert time.monotonic() - since < 3, path
            await check_whole(store)
            assert await saved(store) == [], path
        while not begun:  # on a busy machine the time may be up before a thread has begun it
            assert (await client.post("/sync/slow")).status_code == 503
        await check_whole(store)
        assert await saved(store) == []
    assert ended == begun


SLEEP = {
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 30000000) SELECT max(n) FROM c",
    "postgresql": "SELECT pg_sleep(5)",
    "mysql": "SELECT sleep(5)",
}


@KINDS
@pytest.mark.parametrize("prefix", ["", "/sync"], ids=["async", "sync"])
async def test_a_stream_that_fails_or_is_left_gives_its_connection_back(  # noqa: C901 - four kinds of streams
    store: Database, prefix: str
) -> None:
    app = App(plugins=[store], docs=False)

    @app.get("/stream")
    async def stream(db: Session, fail: int = -1) -> AsyncIterator[str]:
        number = 0
        async for note in db.stream(select(Note).order_by(Note.id), batch=2):
            if number == fail:
                raise Failure
            number += 1
            yield note.text

    @app.get("/sync/stream")
    def stream_sync(db: SyncSession, fail: int = -1) -> Iterator[str]:
        for number, note in enumerate(db.stream(select(Note).order_by(Note.id), batch=2)):
            if number == fail:
                raise Failure
            yield note.text

    @app.get("/compiled")
    async def compiled(db: Session, fail: int = -1) -> AsyncIterator[str]:
        number = 0
        async for note in db.stream(notes(), batch=2):
            if number == fail:
                raise Failure
            number += 1
            yield note.text

    @app.get("/sync/compiled")
    def compiled_sync(db: SyncSession, fail: int = -1) -> Iterator[str]:
        for number, note in enumerate(db.stream(notes(), batch=2)):
            if number == fail:
                raise Failure
            yield note.text

    async with store.session() as db:
        db.add_all([Note(text=f"{n}" * 100) for n in range(200)])
    async with AsyncClient(app, raise_server_exceptions=False) as client:
        for path in ("stream", "compiled"):
            whole = await client.get(f"{prefix}/{path}")
            assert len(whole.text.split()) in (1, 200)
            for fail in (1, 150):
                with contextlib.suppress(Exception):
                    await client.get(f"{prefix}/{path}", params={"fail": fail})
                await check_whole(store)
            for _ in range(3):
                async with client.stream("GET", f"{prefix}/{path}") as answer:
                    async for _ in answer.aiter_bytes():
                        break
                await check_whole(store)


@KINDS
async def test_savepoints_nest_and_take_back_only_what_is_theirs(store: Database) -> None:
    app = App(plugins=[store], docs=False)

    @app.post("/")
    async def nested(db: Session) -> None:
        db.add(Note(text="outer"))
        with contextlib.suppress(Failure):
            async with db.savepoint():
                db.add(Note(text="gone"))
                async with db.savepoint():
                    db.add(Note(text="gone too"))
                await db.flush()
                raise Failure
        async with db.savepoint():
            db.add(Note(text="kept"))
            with contextlib.suppress(SQLAlchemyError):
                async with db.savepoint():
                    await db.execute(text("SELECT nothing FROM nowhere"))
            assert [n.text for n in await db.many(notes())] == ["outer", "kept"]
        db.add(Note(text="last"))

    async with AsyncClient(app) as client:
        assert (await client.post("/")).status_code == 204
    assert await saved(store) == ["outer", "kept", "last"]


@KINDS
async def test_where_the_second_database_fails_the_answer_says_so(store: Database, tmp_path: Any) -> None:
    other = Database(f"sqlite:///{tmp_path}/other.db", name="other")
    await other.create_all(Other)
    app = App(plugins=[store, other], docs=False)

    @app.post("/{stage}")
    async def both(stage: str, db: Session, second: Annotated[Session, Use("other")]) -> None:
        db.add(Note(text=stage))
        second.add(Copy(text=stage if stage != "flush" else None))  # type: ignore[arg-type]

    @app.post("/one/session")
    async def one(db: Session) -> None:
        db.add(Note(text="one"))
        db.add(Copy(text=None))  # type: ignore[arg-type]

    async with AsyncClient(app, raise_server_exceptions=False) as client:
        assert (await client.post("/flush")).status_code == 500
        assert await saved(store) == []
        assert (await client.post("/one/session")).status_code == 500
        assert await saved(store) == []
        assert (await client.post("/fine")).status_code == 204
        assert await saved(store) == ["fine"]
        async with other.session("read") as db:
            assert await db.many(select(Copy.text)) == ["fine"]
    await check_whole(other)
    await other.dispose()


@KINDS
@pytest.mark.parametrize("prefix", ["", "/sync"], ids=["async", "sync"])
async def test_a_session_used_after_its_request_is_an_error_and_loses_no_connection(
    store: Database, prefix: str
) -> None:
    app = App(plugins=[store], docs=False)
    happened: list[Any] = []

    @app.post("/")
    async def after(db: Session, request: Request) -> None:
        db.add(Note(text="in time"))

        async def late() -> None:
            for call in (lambda: db.many(select(Note)), lambda: db.many(notes()), lambda: db.one(notes())):
                try:
                    happened.append(await call())
                except Exception as error:
                    happened.append(error)

        request.call_after(late)

    @app.post("/sync/")
    def after_sync(db: SyncSession, request: Request) -> None:
        db.add(Note(text="in time"))

        async def late() -> None:
            for call in (lambda: db.many(select(Note)), lambda: db.many(notes()), lambda: db.one(notes())):
                try:
                    happened.append(call())
                except Exception as error:
                    happened.append(error)

        request.call_after(late)

    async with AsyncClient(app) as client:
        assert (await client.post(f"{prefix}/")).status_code == 204
        for _ in range(50):
            if len(happened) == 3:
                break
            await asyncio.sleep(0.02)
    assert [str(type(e).__name__) for e in happened] == ["SessionClosed"] * 3
    assert await saved(store) == ["in time"]


@KINDS
async def test_two_at_once_in_one_session_lose_no_connection(store: Database) -> None:
    app = App(plugins=[store], docs=False)

    @app.post("/")
    async def at_once(db: Session) -> int:
        results = await asyncio.gather(
            *(db.many(select(Note)) for _ in range(4)), *(db.many(notes()) for _ in range(4)), return_exceptions=True
        )
        return sum(isinstance(r, list) for r in results)

    async with AsyncClient(app, raise_server_exceptions=False) as client:
        for _ in range(5):
            assert (await client.post("/")).status_code in (200, 500)
            await check_whole(store)


@KINDS
async def test_a_websocket_and_a_mounted_app_use_the_database_too(store: Database) -> None:
    app, inner = App(plugins=[store], docs=False), App(plugins=[store], docs=False)

    @app.websocket("/ws")
    async def socket(websocket: WebSocket[str, str], database: Database) -> None:
        async for message in websocket:
            async with database.session() as db:
                db.add(Note(text=message))
            if message == "fail":
                raise Failure
            await websocket.send(message)

    @inner.post("/notes")
    async def add(db: Session) -> None:
        db.add(Note(text="mounted"))

    @inner.post("/fail")
    async def fail(db: Session) -> None:
        db.add(Note(text="never"))
        await db.flush()
        raise Failure

    app.mount("/inner", inner)
    async with AsyncClient(app, raise_server_exceptions=False) as client:
        with contextlib.suppress(Exception):
            async with client.websocket("/ws") as ws:
                await ws.send_text("one")
                assert await ws.receive_text() == "one"
                await ws.send_text("fail")
                await ws.receive_text()
        assert (await client.post("/inner/notes")).status_code == 204
        assert (await client.post("/inner/fail")).status_code == 500
    assert await saved(store) == ["one", "fail", "mounted"]


@KINDS
async def test_middleware_that_fails_after_the_commit_loses_no_connection(store: Database) -> None:
    app = App(plugins=[store], docs=False)

    @app.middleware
    async def fails(request: Request, call_next: Any) -> Response[Any]:
        response = await call_next(request)
        if request.method == "POST":
            raise Failure
        return response

    @app.post("/")
    async def add(db: Session) -> None:
        db.add(Note(text="saved"))

    async with AsyncClient(app, raise_server_exceptions=False) as client:
        assert (await client.post("/")).status_code == 500
    assert await saved(store) == ["saved"]


@KINDS
async def test_requests_that_are_cancelled_at_any_moment_save_all_or_nothing(store: Database) -> None:
    app = App(plugins=[store], docs=False)
    threads = threading.active_count()

    @app.post("/{number}")
    async def add(number: int, db: Session) -> None:
        db.add(Note(text=f"{number} a"))
        await db.flush()
        db.add(Note(text=f"{number} b"))

    async with AsyncClient(app, raise_server_exceptions=False) as client:
        for number in range(25):
            task = asyncio.create_task(client.post(f"/{number}"))
            await asyncio.sleep(number * 0.0004)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await check_whole(store)
    kept = await saved(store)
    for number in range(25):
        assert (f"{number} a" in kept) == (f"{number} b" in kept)
    assert threading.active_count() <= threads + 8
