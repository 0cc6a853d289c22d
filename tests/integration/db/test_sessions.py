"""The life of a session: when it begins, what it saves, what it refuses, on every database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import pytest
from sqlalchemy import event, select, text

from quintet import App, ConfigurationError, Depends, Response, WebSocket
from quintet.db import (
    CompiledQuery,
    Database,
    NoRow,
    Paginated,
    PoolOptions,
    ReadOnlySession,
    Session,
    SyncSession,
    UnloadedRelation,
    Use,
    View,
)
from quintet.testing import AsyncClient
from tests.integration.db.blog import Article, Tag, User


def count_connections(database: Database) -> list[str]:
    """Return a list that fills with what is done to connections of the async engine."""
    done: list[str] = []
    event.listen(database.engine.sync_engine, "checkout", lambda *_: done.append("checkout"))
    event.listen(database.engine.sync_engine, "begin", lambda *_: done.append("begin"))
    return done


async def test_a_session_that_nobody_uses_takes_no_connection(database: Database) -> None:
    app = App(plugins=[database])

    @app.get("/")
    async def idle(db: Session) -> str:
        return "idle"

    async with AsyncClient(app) as client:
        done = count_connections(database)
        assert (await client.get("/")).text == "idle"
        assert done == []


async def test_what_cannot_be_encoded_is_not_saved(database: Database) -> None:
    app = App(plugins=[database])

    @app.post("/")
    async def wrong(db: Session) -> dict[str, object]:
        db.add(User(name="Ada"))
        return {"user": object()}

    async with AsyncClient(app, raise_server_exceptions=False) as client:
        assert (await client.post("/")).status_code == 500
    async with database.session() as db:
        assert await db.many(select(User)) == []


async def test_keys_are_there_before_the_answer_is_encoded_and_rows_before_it_is_sent(database: Database) -> None:
    app = App(plugins=[database])

    @app.post("/", status=201)
    async def add(db: Session) -> User:
        user = User(name="Ada")
        db.add(user)
        return user

    @app.post("/sync", status=201)
    def add_sync(db: SyncSession) -> Response[User]:
        user = User(name="Bob")
        db.add(user)
        return Response(user, status=202)

    async with AsyncClient(app) as client:
        first = (await client.post("/")).json()
        async with database.session("read") as db:
            assert (await db.one(select(User))).id == first["id"]
        second = await client.post("/sync")
        assert (second.status_code, second.json()["id"]) == (202, first["id"] + 1)


async def test_a_handler_that_fails_saves_nothing(database: Database) -> None:
    app = App(plugins=[database])

    @app.post("/")
    async def fail(db: Session) -> None:
        db.add(User(name="Ada"))
        await db.flush()
        raise NoRow("nothing")

    @app.post("/sync")
    def fail_sync(db: SyncSession) -> None:
        db.add(User(name="Ada"))
        db.flush()
        raise NoRow("nothing")

    async with AsyncClient(app) as client:
        assert (await client.post("/")).status_code == 404
        assert (await client.post("/sync")).status_code == 404
    async with database.session() as db:
        assert await db.many(select(User)) == []


async def test_dependencies_and_the_handler_share_one_session(database: Database) -> None:
    async def current_user(db: Session) -> User:
        user = User(name="Ada")
        db.add(user)
        return user

    app = App(plugins=[database])

    @app.post("/")
    async def check(user: Annotated[User, Depends(current_user)], db: Session) -> bool:
        return user in db

    async with AsyncClient(app) as client:
        assert (await client.post("/")).json() is True


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_get_handler_cannot_write(database: Database, kind: str) -> None:
    app = App(plugins=[database])

    @app.get("/async")
    async def write(db: Session) -> None:
        db.add(User(name="Ada"))

    @app.get("/sync")
    def write_sync(db: SyncSession) -> None:
        db.add(User(name="Ada"))

    @app.get("/raw")
    async def write_raw(db: Session) -> None:
        await db.execute(User.__table__.delete())

    @app.get("/allowed")
    async def write_allowed(db: Annotated[Session, Use(write=True)]) -> None:
        db.add(User(name="Ada"))

    async with AsyncClient(app) as client:
        with pytest.raises(ReadOnlySession, match="in a session for reading"):
            await client.get(f"/{kind}")
        assert (await client.get("/allowed")).status_code == 204
    async with database.session() as db:
        assert len(await db.many(select(User))) == 1


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_handler_of_several_methods_writes_where_the_method_says_so(database: Database, kind: str) -> None:
    app = App(plugins=[database])

    @app.route("/async", ("GET", "POST"))
    async def either(db: Session) -> str:
        return db.mode

    @app.route("/sync", ("GET", "POST"))
    def either_sync(db: SyncSession) -> str:
        return db.mode

    async with AsyncClient(app) as client:
        assert [(await client.get(f"/{kind}")).text, (await client.post(f"/{kind}")).text] == ["read", "write"]


async def test_a_savepoint_takes_back_only_what_was_done_in_it(database: Database) -> None:
    async with database.session() as db:
        db.add(User(name="Ada"))
        await _fail_inside_a_savepoint(db)
        db.add(User(name="Eve"))
    with database.sync_session() as sync:
        assert [u.name for u in sync.many(select(User).order_by(User.id))] == ["Ada", "Eve"]


async def _fail_inside_a_savepoint(db: Session) -> None:
    try:
        async with db.savepoint():
            db.add(User(name="Bob"))
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass


async def test_verbs_give_values_objects_and_rows(database: Database) -> None:
    async with database.session() as db:
        db.add_all([User(name=name) for name in ("Ada", "Bob", "Eve")])
        await db.flush()
        assert await db.many(select(User.name).order_by(User.id)) == ["Ada", "Bob", "Eve"]
        name, staff = await db.one(select(User.name, User.is_staff).where(User.name == "Ada"))
        assert (name, staff) == ("Ada", False)
        assert await db.first(select(User).where(User.name == "Zoe")) is None
        page = await db.page(select(User.name).order_by(User.id), page=2, size=2)
        assert (page.items, page.total) == (["Eve"], 3)
        assert [n async for n in db.stream(select(User.name).order_by(User.id), batch=2)] == ["Ada", "Bob", "Eve"]
    with database.sync_session() as sync:
        assert sync.many(select(User.name).order_by(User.id)) == ["Ada", "Bob", "Eve"]
        assert sync.page(select(User.name).order_by(User.id), page=2, size=2).items == ["Eve"]
        assert list(sync.stream(select(User.name).order_by(User.id), batch=2)) == ["Ada", "Bob", "Eve"]
        with pytest.raises(NoRow, match="there is no such User"):
            sync.one(select(User).where(User.name == "Zoe"))


class Named(CompiledQuery[str]):
    """Stands for a compiled query."""

    def run(self, session: Session, verb: str, **options: Any) -> Any:
        return self._stream(session) if verb == "stream" else self._run(session, verb, options)

    async def _run(self, session: Session, verb: str, options: Any) -> Any:
        names = [row[0] for row in await session.execute(select(User.name).order_by(User.id))]
        return self._answer(names, verb, options)

    async def _stream(self, session: Session) -> AsyncIterator[str]:
        for name in await self._run(session, "many", {}):
            yield name

    def run_sync(self, session: SyncSession, verb: str, **options: Any) -> Any:
        names = [row[0] for row in session.execute(select(User.name).order_by(User.id))]
        return self._answer(names, verb, options)

    @staticmethod
    def _answer(names: list[str], verb: str, options: Any) -> Any:
        match verb:
            case "one" | "first":
                return names[0]
            case "page":
                return Paginated(items=names[: options["size"]], total=len(names), page=options["page"], size=1)
            case "stream":
                return iter(names)
            case _:
                return names


async def test_verbs_take_compiled_queries(database: Database) -> None:
    async with database.session() as db:
        db.add_all([User(name="Ada"), User(name="Bob")])
        await db.flush()
        assert (await db.one(Named()), await db.first(Named())) == ("Ada", "Ada")
        assert await db.many(Named()) == [n async for n in db.stream(Named())] == ["Ada", "Bob"]
        assert (await db.page(Named(), size=1)).items == ["Ada"]
    with database.sync_session() as sync:
        assert (sync.one(Named()), sync.first(Named())) == ("Ada", "Ada")
        assert sync.many(Named()) == list(sync.stream(Named())) == ["Ada", "Bob"]
        assert sync.page(Named(), size=1).total == 2


async def test_an_unloaded_relation_raises_and_says_how_to_load_it(database: Database) -> None:
    async with database.session() as db:
        db.add(Article(slug="a", title="T", body="b", author=User(name="Ada")))
    async with database.session() as db:
        article = await db.one(select(Article))
        with pytest.raises(UnloadedRelation, match=r"\.options\(selectinload\(Article\.author\)\)"):
            _ = article.author
        with pytest.raises(UnloadedRelation, match="Article.tags was not loaded"):
            _ = article.tags
        await db.refresh(article, ["author"])
        assert article.author.name == "Ada"
    with pytest.raises(UnloadedRelation):
        _ = article.tags
    with database.sync_session() as sync, pytest.raises(UnloadedRelation):
        _ = sync.one(select(Article)).author


async def test_collections_of_new_objects_are_there_before_and_after_they_are_saved(database: Database) -> None:
    async with database.session() as db:
        article = Article(slug="a", title="T", body="b", author=User(name="Ada"))
        assert article.tags == []
        db.add(article)
        await db.flush()
        article.tags.append(Tag(name="new"))
    async with database.session() as db:
        assert await db.many(select(Tag.name)) == ["new"]


async def test_both_sides_of_a_relation_follow_each_other() -> None:
    user, tag = User(name="Ada"), Tag(name="new")
    article = Article(slug="a", title="T", body="b", author=user, tags=[tag])
    assert user.articles == [article]
    assert tag.articles == [article]


async def test_a_view_shows_relations(database: Database) -> None:
    from sqlalchemy.orm import selectinload

    app = App(plugins=[database])

    @app.get("/")
    async def show(db: Session) -> list[Annotated[Article, View("author", "tags")]]:
        return await db.many(select(Article).options(selectinload(Article.author), selectinload(Article.tags)))

    async with database.session() as db:
        author = User(name="Ada")
        db.add(Article(slug="a", title="T", body="b", author=author, tags=[Tag(name="x")]))
    async with AsyncClient(app) as client:
        (shown,) = (await client.get("/")).json()
        assert shown["author"] == {"id": 1, "name": "Ada", "is_staff": False}
        assert shown["tags"] == [{"id": 1, "name": "x"}]
        schema = (await client.get("/openapi.json")).json()["components"]["schemas"]
        assert schema["ArticleWithAuthorTags"]["properties"]["author"] == {"$ref": "#/components/schemas/User"}


def test_the_wrong_session_for_a_handler_is_an_error_at_the_start() -> None:
    app = App(plugins=[Database("sqlite://")])

    @app.get("/a")
    def wrong(db: Session) -> None: ...

    @app.get("/b")
    async def wrong_too(db: SyncSession) -> None: ...

    @app.get("/c")
    async def unknown(db: Annotated[Session, Use("reports")]) -> None: ...

    @app.websocket("/d")
    async def socket(websocket: WebSocket, db: Session) -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    ids = ["session.kind", "session.kind", "session.database", "session.websocket"]
    assert [p.id for p in caught.value.problems] == ids
    assert "is a Session in `def`" in str(caught.value)
    assert "write `SyncSession`" in str(caught.value)


async def test_a_command_gets_a_session_and_its_work_is_saved(database: Database) -> None:
    from quintet.cli.custom import build_command

    app = App(plugins=[database])

    async def add_user(name: str, db: Session) -> str:
        db.add(User(name=name))
        return "added"

    command = build_command(app, "add-user", add_user)
    await asyncio.to_thread(command.main, ["Ada"], standalone_mode=False)
    async with database.session() as db:
        assert await db.many(select(User.name)) == ["Ada"]


async def test_when_all_connections_are_in_use_the_answer_is_503(
    url: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    # A database in memory belongs to its `Database`: the others are opened anew with a pool of one.
    small = database if url == "sqlite://" else Database(url, pool=PoolOptions(size=1, overflow=0, timeout=0.2))
    if small is database:
        database.primary.pool = msgspec.structs.replace(database.primary.pool, size=1, overflow=0, timeout=0.2)
        await database.dispose()
    app = App(plugins=[small])

    @app.get("/")
    async def read(db: Session) -> int:
        return await db.one(select(text("1")))

    async with AsyncClient(app) as client, small.engine.connect():
        with caplog.at_level(logging.WARNING, "quintet.db"):
            response = await client.get("/")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
    assert "all connections to the database are in use" in caplog.text
    await small.dispose()
