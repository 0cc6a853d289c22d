"""Mistakes of those who write an app are told at its start, with the way out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quintet import App, Request
from quintet.errors import ConfigurationError
from quintet.testing import Client


class Database:
    pass


def problem_of(app: App) -> str:
    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    return str(caught.value)


def test_a_guard_that_is_not_async() -> None:
    app = App()

    def refuse(request: Request) -> None: ...

    @app.get("/", guards=[refuse])  # pyright: ignore[reportArgumentType]
    async def home() -> str:
        return ""

    assert "refuse is not async [guards.sync]" in problem_of(app)


def test_a_template_without_a_folder() -> None:
    app = App()

    @app.get("/", template="home.html")
    async def home() -> dict[str, int]:
        return {}

    assert 'write App(templates="templates")' in problem_of(app)


def test_a_type_that_nobody_provides() -> None:
    app = App()

    @app.get("/")
    async def home(database: Database) -> str:
        return ""

    assert "app.provide(Database, …)" in problem_of(app)


def test_a_factory_of_the_app_that_wants_arguments() -> None:
    def open_database(url: str) -> Database:
        return Database()

    with pytest.raises(ConfigurationError, match=r"no request can give it 'url'"):
        App().provide(Database, open_database, scope="app")


def test_a_lifespan_may_be_a_plain_generator() -> None:
    app = App()
    seen: list[str] = []

    @app.lifespan
    def life() -> Iterator[None]:
        seen.append("start")
        yield
        seen.append("end")

    with Client(app):
        assert seen == ["start"]
    assert seen == ["start", "end"]
