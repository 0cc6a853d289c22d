"""Databases for tests: each test of the contract runs on SQLite in a file and in memory, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from quintet.db import Database
from tests.integration.db import blog
from tests.integration.own_database import Require, server_database

KINDS = ("sqlite", "memory", "postgres", "mariadb")


@pytest.fixture(scope="module")
def postgres_url(require_service: Require) -> Generator[str, None, None]:
    """The URL of a PostgreSQL database of the module's own."""
    with server_database("postgres", require_service) as url:
        yield url


@pytest.fixture(scope="module")
def mariadb_url(require_service: Require) -> Generator[str, None, None]:
    """The URL of a MariaDB database of the module's own."""
    with server_database("mariadb", require_service) as url:
        yield url


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database, of each kind in turn."""
    match request.param:
        case "sqlite":
            return f"sqlite:///{tmp_path}/test.db"
        case "memory":
            return "sqlite://"
        case kind:
            return request.getfixturevalue(f"{kind}_url")


@pytest.fixture
async def database(url: str) -> AsyncGenerator[Database, None]:
    """A database with the empty tables of the blog."""
    database = Database(url)
    await database.drop_all(blog.Blog)
    await database.create_all(blog.Blog)
    yield database
    await database.dispose()
