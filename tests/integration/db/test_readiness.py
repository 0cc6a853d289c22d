"""R14: a database that cannot be reached, and what the probes say of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
from sqlalchemy import text

from quintet import App
from quintet.db import Database, Session
from quintet.testing import AsyncClient


def make_app(url: str) -> App:
    app = App(plugins=[Database(url)])

    @app.get("/static-page")
    async def page() -> str:
        return "no database needed"

    @app.get("/row")
    async def row(db: Session) -> int:
        return await db.one(text("SELECT 1"))

    return app


@pytest.fixture
def silent_port() -> socket.socket:
    """A port that accepts connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_R14_a_refused_connection_is_not_ready_and_alive(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with AsyncClient(make_app(f"{scheme}://nobody@127.0.0.1:{port}/none")) as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert {c["name"]: c["status"] for c in ready.json()["checks"]}["database"] == "failed"
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/static-page")).status_code == 200
        answer = await client.get("/row")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


async def test_R14_a_silent_server_is_not_ready_in_time(silent_port: socket.socket) -> None:
    port = silent_port.getsockname()[1]
    with silent_port:
        async with AsyncClient(make_app(f"postgresql://nobody@127.0.0.1:{port}/none")) as client:
            ready = asyncio.ensure_future(client.get("/readyz"))
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/static-page")).status_code == 200
            async with asyncio.timeout(4.5):
                assert (await ready).status_code == 503


async def test_R14_a_database_that_answers_is_ready(postgres_url: str) -> None:
    async with AsyncClient(make_app(postgres_url)) as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        assert "database" in {c["name"] for c in ready.json()["checks"]}


async def test_each_database_has_its_check(require_service: Callable[[str], tuple[str, int]]) -> None:
    app = App(plugins=[Database("sqlite://"), Database("sqlite://", name="reports")])
    async with AsyncClient(app) as client:
        names = {c["name"] for c in (await client.get("/readyz")).json()["checks"]}
    assert {"database", "database.reports"} <= names
