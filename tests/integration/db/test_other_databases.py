"""Other libraries as plugins: the examples of the page, run."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from quintet import App
from quintet.cli.custom import find_command
from quintet.testing import Client


def create_tables(app: App) -> None:
    command = find_command(app, "create-tables")
    assert command is not None
    for _ in range(2):  # they may be there already
        command.main([], standalone_mode=False)


@pytest.fixture
def with_peewee(tmp_path: Path) -> Any:
    from examples.docs import peewee_orm as example

    file = str(tmp_path / "notes.db")
    example.database.init(file, check_same_thread=False)
    create_tables(example.app)
    return example


@pytest.fixture
def with_sql(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Any, None, None]:
    import importlib

    import asyncpg

    async def execute(sql: str) -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(sql)
        await connection.close()

    monkeypatch.setenv("NOTES_DATABASE_URL", postgres_url)
    from examples.docs import plain_sql

    example = importlib.reload(plain_sql)
    create_tables(example.app)
    yield example
    asyncio.run(execute("DROP TABLE note"))


@pytest.fixture(params=["with_peewee", "with_sql"])
def example(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_a_row_is_written_and_read(example: Any) -> None:
    with Client(example.app) as client:
        made = client.post("/notes", json={"text": "hello"})
        assert made.status_code == 201, made.text
        number = made.json()["id"]
        assert client.get(f"/notes/{number}").json() == {"id": number, "text": "hello"}
        assert client.get("/notes/4711").status_code == 404
        assert client.get("/readyz").status_code == 200


def test_an_error_takes_everything_back(example: Any) -> None:
    app: App = example.app
    with Client(app, raise_server_exceptions=False) as client:
        client.post("/notes", json={"text": "hello"})
        assert client.post("/notes", json={"text": "hello"}).status_code == 409
        assert client.post("/notes", json={"text": "other"}).status_code == 201
        assert client.get("/notes/1").json()["text"] == "hello"


def test_what_fails_after_the_write_is_not_saved(example: Any) -> None:
    app: App = example.app
    is_async = hasattr(example, "asyncpg")
    kind = example.Connection if is_async else example.peewee.Database

    async def write_and_fail(db: Any) -> None:
        await db.execute("INSERT INTO note (text) VALUES ('lost')")
        raise RuntimeError("no")

    def write_and_fail_sync(db: Any) -> None:
        example.Note.create(text="lost")
        raise RuntimeError("no")

    handler: Any = write_and_fail if is_async else write_and_fail_sync
    handler.__annotations__ = {"db": kind, "return": None}
    app.post(f"/fail/{'a' if is_async else 's'}")(handler)
    with Client(app, raise_server_exceptions=False) as client:
        assert client.post(f"/fail/{'a' if is_async else 's'}").status_code == 500
        assert client.post("/notes", json={"text": "lost"}).status_code == 201


def test_many_requests_at_once_have_a_connection_each(example: Any) -> None:
    from quintet.testing import AsyncClient

    async def run() -> list[int]:
        async with AsyncClient(example.app, raise_server_exceptions=False) as client:
            await client.post("/notes", json={"text": "first"})
            answers = await asyncio.gather(*(client.get("/notes/1") for _ in range(20)))
            return [answer.status_code for answer in answers]

    assert asyncio.run(run()) == [200] * 20
