"""The pytest fixtures for databases, each in a real run of pytest of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SHOP = """
from __future__ import annotations
from typing import Annotated
from sqlalchemy import select, text
from sqlalchemy.orm import selectinload
from sqlalchemy.exc import IntegrityError
from quintet import App, Meta
from quintet.db import (
    Database, Mapped, Model, New, Session, SyncSession, allow_n_plus_one, belongs_to, column, foreign_key, has_many,
    primary_key, query,
)

class Author(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]] = column(unique=True)
    books: Mapped[list[Book]] = has_many()

class Book(Model):
    id: Mapped[int] = primary_key()
    title: Mapped[Annotated[str, Meta(max_length=50)]]
    author_id: Mapped[int] = foreign_key("author.id")
    author: Mapped[Author] = belongs_to()

@query
def author_by_name(name: str):
    return select(Author).where(Author.name == name)

@query
def author_by_id(id: int):
    return select(Author).where(Author.id == id)

database = Database({url!r})
app = App(plugins=[database])

@app.post("/authors", status=201)
async def add(data: New[Author], db: Session) -> Author:
    db.add(data)
    return data

@app.post("/sync/authors", status=201)
def add_sync(data: New[Author], db: SyncSession) -> Author:
    db.add(data)
    return data

@app.post("/commits")
async def commits(data: New[Author], db: Session) -> int:
    db.add(data)
    await db.commit()
    db.add(Author(name=data.name + " the second"))
    await db.flush()
    await db.rollback()
    return len(await db.many(select(Author)))

@app.post("/sync/commits")
def commits_sync(data: New[Author], db: SyncSession) -> int:
    db.add(data)
    db.commit()
    db.add(Author(name=data.name + " the second"))
    db.flush()
    db.rollback()
    return len(db.many(select(Author)))

@app.get("/authors")
async def everyone(db: Session) -> list[Author]:
    return await db.many(select(Author).order_by(Author.id))

@app.get("/sync/authors")
def everyone_sync(db: SyncSession) -> list[Author]:
    return db.many(select(Author).order_by(Author.id))

@app.get("/compiled/{{name}}")
async def compiled(name: str, db: Session) -> Author:
    return await db.one(author_by_name(name))

@app.get("/sync/compiled/{{name}}")
def compiled_sync(name: str, db: SyncSession) -> Author:
    return db.one(author_by_name(name))

@app.get("/writes-while-reading")
async def writes(db: Session) -> None:
    await db.execute(text("DELETE FROM author"))

@app.get("/books/slow")
async def slow(db: Session) -> list[str]:
    names = []
    for book in await db.many(select(Book)):
        author = await db.one(select(Author).where(Author.id == book.author_id))
        names.append(author.name)
    return names

@app.get("/sync/books/slow")
def slow_sync(db: SyncSession) -> list[str]:
    return [db.one(author_by_id(book.author_id)).name for book in db.many(select(Book))]

@app.get("/books/allowed")
async def allowed(db: Session) -> list[str]:
    with allow_n_plus_one("it shows how"):
        return await slow(db)

@app.get("/books")
async def books(db: Session) -> list[str]:
    return [b.author.name for b in await db.many(select(Book).options(selectinload(Book.author)))]

@app.post("/books/many")
async def many(db: Session) -> None:
    author = await db.first(select(Author))
    for number in range(6):
        db.add(Book(title=str(number), author=author))
        await db.flush()

@app.command()
async def census(db: Session) -> None:
    db.add(Author(name="counted"))
"""

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
pythonpath = .
quintet_app = shop:app
filterwarnings = error
"""

TESTS = """
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from shop import Author, author_by_name, database
from quintet.testing.db import make

NAMES = ["first", "second"]

@pytest.mark.parametrize("name", ["ada", "ada"])
def test_each_test_begins_with_an_empty_table(client, sync_db, name):
    assert client.post("/authors", json={"name": name}).status_code == 201
    assert client.post("/sync/authors", json={"name": "bo"}).status_code == 201
    assert client.post("/sync/authors", json={"name": "bo"}).status_code == 409
    assert client.post("/authors", json={"name": "bo"}).status_code == 409
    for path in ("/authors", "/sync/authors"):
        assert [a["name"] for a in client.get(path).json()] == ["ada", "bo"]
    assert client.get("/compiled/ada").json() == client.get("/sync/compiled/ada").json()
    assert sync_db.one(author_by_name("bo")).name == "bo"

@pytest.mark.parametrize("path", ["/commits", "/sync/commits", "/commits"])
async def test_handlers_commit_and_roll_back(async_client, db, path):
    await make(db, Author, name="zoe")
    answer = await async_client.post(path, json={"name": "ada"})
    assert answer.json() == 2
    assert sorted((await db.scalars(select(Author.name))).all()) == ["ada", "zoe"]
    assert (await db.one(author_by_name("ada"))).name == "ada"

@pytest.mark.parametrize("turn", [1, 2])
async def test_the_session_survives_a_refused_row(async_client, db, turn):
    await async_client.post("/authors", json={"name": "ada"})
    db.add(Author(name="ada"))
    with pytest.raises(IntegrityError):
        await db.commit()
    await db.rollback()
    assert len((await async_client.get("/authors")).json()) == 1
    async with database.session() as other:
        assert await other.scalar(select(func.count()).select_from(Author)) == 1

def test_sessions_of_scripts_are_part_of_it(client):
    with database.sync_session() as db:
        db.add(Author(name="ada"))
    assert len(client.get("/authors").json()) == 1

def test_nothing_is_left_for_the_next(client):
    assert client.get("/authors").json() == []

def test_reading_handlers_cannot_write(client, sync_db):
    make(sync_db, Author)
    if database.dialect in ("sqlite", "postgresql"):
        with pytest.raises(Exception, match="(?i)read.?only"):
            client.get("/writes-while-reading")
        assert len(client.get("/authors").json()) == 1

@pytest.mark.real_transactions
@pytest.mark.parametrize("turn", [1, 2])
async def test_real_transactions_are_emptied(async_client, db, turn):
    assert (await async_client.post("/authors", json={"name": "ada"})).status_code == 201
    assert len(await db.many(select(Author))) == 1

def test_after_real_ones_nothing_is_left(live_url, sync_db):
    import httpx2
    assert httpx2.get(live_url + "/authors").json() == []
    assert httpx2.post(live_url + "/authors", json={"name": "live"}).status_code == 201
    assert [a.name for a in sync_db.many(select(Author))] == ["live"]

def test_commands_are_part_of_it(sync_db):
    from click.testing import CliRunner
    import shop, asyncio
    async def run():
        async with database.session() as db:
            await shop.census(db)
        await database.dispose()
    asyncio.run(run())
    assert sync_db.one(author_by_name("counted"))
"""

OFF = ("-p", "no:cacheprovider", "-p", "no:faker", "-p", "no:schemathesis", "-p", "no:hypothesispytest")


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs in here are none of the workers that may run this file."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


@pytest.fixture
def name() -> str:
    return f"quintet_dbtest_{secrets.token_hex(4)}"


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, require_service: Callable[[str], tuple[str, int]]
) -> Generator[str, None, None]:
    """The URL of an app's database that does not exist: tests never touch it."""
    match request.param:
        case "sqlite":
            yield f"sqlite:///{tmp_path}/{name}.db"
        case "memory":
            yield "sqlite://"
        case "postgres":
            host, port = require_service("postgres")
            yield f"postgresql://postgres@{host}:{port}/{name}"
            assert databases(f"postgresql://postgres@{host}:{port}/postgres", name) == []
        case _:
            host, port = require_service("mysql")
            yield f"mysql://root@{host}:{port}/{name}"


def databases(url: str, name: str) -> list[str]:
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT datname FROM pg_database WHERE datname LIKE :n"), {"n": f"{name}%"})
        return sorted(found.scalars())


def run(pytester: pytest.Pytester, url: str, tests: str, *arguments: str, ini: str = INI) -> pytest.RunResult:
    pytester.makepyfile(shop=SHOP.format(url=url), test_shop=tests)
    pytester.makeini(ini)
    return pytester.runpytest_subprocess(*OFF, *arguments)


def test_a_test_is_one_transaction_for_everybody(pytester: pytest.Pytester, url: str) -> None:
    run(pytester, url, TESTS).assert_outcomes(passed=14)


REPEATS = """
import pytest
from sqlalchemy import select
from shop import Author, Book, SyncSession, database
from quintet.testing.db import RepeatedQuery, make_many

def test_async(client, sync_db):
    make_many(sync_db, Book, 5)
    client.get("/books/slow")

def test_sync_and_compiled(client, sync_db):
    make_many(sync_db, Book, 5)
    client.get("/sync/books/slow")

async def test_the_answer_alone(app, db):
    from quintet.testing import AsyncClient
    await make_many(db, Book, 5)
    async with AsyncClient(app, raise_server_exceptions=False) as client:
        assert (await client.get("/books/slow")).status_code == 500

@pytest.mark.allow_n_plus_one(reason="five at most")
def test_allowed_by_mark(client, sync_db):
    make_many(sync_db, Book, 5)
    assert len(client.get("/books/slow").json()) == 5

def test_allowed_in_the_app(client, sync_db):
    make_many(sync_db, Book, 5)
    assert len(client.get("/books/allowed").json()) == 5

def test_fine_ones(client, sync_db):
    make_many(sync_db, Book, 5)
    assert len(client.get("/books").json()) == 5
    client.post("/books/many")
    make_many(sync_db, Author, 3)
    for _ in range(6):
        client.get("/authors")

def test_three_are_no_list(client, sync_db):
    make_many(sync_db, Book, 3)
    assert len(client.get("/books/slow").json()) == 3

def test_counts(client, sync_db, assert_queries, assert_max_queries):
    make_many(sync_db, Book, 3)
    with assert_queries(2) as ran:
        client.get("/books")
    assert "shop.py:" in ran[0].source
    with assert_queries(1):
        client.get("/compiled/none")
    with assert_max_queries(4):
        client.get("/sync/books/slow")
    with assert_queries(1):
        client.post("/authors", json={"name": "new"})

def test_a_wrong_count(client, sync_db, assert_queries):
    make_many(sync_db, Book, 1)
    with assert_queries(3):
        client.get("/books")

@pytest.mark.allow_n_plus_one
def test_no_reason(client):
    pass
"""


def test_repeated_queries_fail_a_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, "sqlite://", REPEATS)
    result.assert_outcomes(passed=5, failed=4, errors=1)
    out = result.stdout.str()
    assert "GET /books/slow ran the same query 4 times from" in out
    assert "shop.py:86, once for each row of a list (N+1)" in out
    assert "load it with the query of the list: .options(selectinload(Book.author))" in out
    assert "GET /sync/books/slow ran the same query 4 times" in out
    assert "say why: @pytest.mark.allow_n_plus_one(reason='…')" in out
    result.stdout.fnmatch_lines([
        "*AssertionError: expected 3 queries, but 2 ran:",
        "*1. SELECT book.*",
        "*from *shop.py:*",
        "*2. SELECT author.*",
    ])  # fmt: skip


WORKERS = """
import pytest
from sqlalchemy import select
from shop import Author, database

@pytest.mark.parametrize("turn", range(8))
def test_each_worker_has_its_own(client, sync_db, worker_id, turn):
    name = str(database.primary.url.database).rpartition("/")[2]
    assert name.removesuffix(".db").endswith("_test_" + worker_id), name
    assert client.post("/authors", json={"name": "ada"}).status_code == 201
"""


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_each_worker_has_a_database(pytester: pytest.Pytester, url: str, name: str) -> None:
    run(pytester, url, WORKERS, "-n", "2").assert_outcomes(passed=8)


REUSE = """
from sqlalchemy import text
from shop import database

def test_it(sync_db):
    made = sync_db.scalar(text("SELECT count(*) FROM author"))
    print("made earlier:", made)

def test_left_by_hand(request):
    import sqlalchemy
    url = request.getfixturevalue("quintet_databases")["default"].primary.url
    engine = sqlalchemy.create_engine(url.set(drivername="postgresql+psycopg"), poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO author (name) VALUES ('left')"))
"""


def test_a_database_is_kept_and_taken_again(
    pytester: pytest.Pytester, name: str, require_service: Callable[[str], tuple[str, int]]
) -> None:
    host, port = require_service("postgres")
    server = f"postgresql://postgres@{host}:{port}"
    try:
        for earlier in (0, 1):
            result = run(pytester, f"{server}/{name}", REUSE, "-s", "--reuse-db")
            assert f"made earlier: {earlier}" in result.stdout.str()
            assert databases(f"{server}/postgres", name) == [f"{name}_test"]
    finally:
        result = run(pytester, f"{server}/{name}", REUSE, "-s", "--create-db")
    assert "made earlier: 0" in result.stdout.str()
    assert databases(f"{server}/postgres", name) == []


ANYIO = """
import pytest
from shop import Author, author_by_name
from quintet.testing.db import make

pytestmark = pytest.mark.anyio

@pytest.fixture(params=["asyncio"])
def anyio_backend(request):
    return request.param

@pytest.mark.parametrize("turn", [1, 2])
async def test_it_is_shared(async_client, db, turn):
    await make(db, Author, name="ada")
    assert (await async_client.get("/sync/compiled/ada")).status_code == 200
    assert (await async_client.post("/authors", json={"name": "bo"})).status_code == 201
    assert (await db.one(author_by_name("bo"))).name == "bo"
"""


@pytest.mark.parametrize("url", ["memory"], indirect=True)
def test_it_works_with_anyio(pytester: pytest.Pytester, url: str) -> None:
    ini = INI.replace("asyncio_mode = auto", "asyncio_mode = strict")
    run(pytester, url, ANYIO, ini=ini).assert_outcomes(passed=2)


def test_apps_without_a_database_do_not_load_sqlalchemy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        shop="from quintet import App\napp = App()\n",
        test_shop="""
import sys

def test_client(client):
    assert client.get("/healthz").status_code == 200
    assert "sqlalchemy" not in sys.modules

def test_asking_for_one_says_so(sync_db): ...
""",
    )
    pytester.makeini(INI)
    result = pytester.runpytest_subprocess(*OFF)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the app has no database*"])


MIGRATED = """
from sqlalchemy import text

def test_the_tables_are_those_of_the_revisions(client, sync_db):
    assert sync_db.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    assert client.post("/authors", json={"name": "ada"}).status_code == 201
"""


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_databases_are_migrated_where_the_app_has_revisions(pytester: pytest.Pytester, url: str) -> None:
    import os
    import subprocess
    import sys

    pytester.makepyfile(shop=SHOP.format(url="sqlite:///scratch.db"), app="from shop import app as app")
    subprocess.run(
        [sys.executable, "-m", "quintet", "db", "revision", "-m", "Begin"],
        cwd=pytester.path, env={**os.environ, "PYTHONPATH": "."}, check=True, capture_output=True,
    )  # fmt: skip
    run(pytester, url, MIGRATED).assert_outcomes(passed=1)


def test_the_example_of_the_page_passes(pytester: pytest.Pytester) -> None:
    import shutil

    page = Path(__file__).parents[3] / "examples/docs/testing_databases"
    shutil.copytree(page, pytester.path, dirs_exist_ok=True)
    pytester.makeini(INI.replace("quintet_app = shop:app\n", ""))
    pytester.runpytest_subprocess(*OFF).assert_outcomes(passed=7)
