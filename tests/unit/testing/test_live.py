from __future__ import annotations

import threading
from collections.abc import AsyncIterator

import httpx2
import pytest

from quintet import App, ConfigurationError
from quintet.testing import live_server


def make_app() -> App:
    app = App(docs=False)

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        app.state["events"] = ["start"]
        yield
        app.state["events"].append("stop")

    @app.get("/")
    async def index() -> str:
        return "hello"

    return app


def test_a_real_client_reaches_it_and_the_lifespan_runs() -> None:
    app = make_app()
    with live_server(app) as url:
        assert httpx2.get(url + "/").text == "hello"
    assert app.state["events"] == ["start", "stop"]
    assert "quintet-live-server" not in {t.name for t in threading.enumerate()}
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url + "/")


def test_what_keeps_the_app_from_starting_is_raised() -> None:
    app = make_app()

    @app.get("/{unused}")
    async def wrong() -> None: ...

    with pytest.raises(ConfigurationError, match="routes.unused"), live_server(app):
        pass


def test_a_taken_port_is_told() -> None:
    with live_server(make_app()) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match="server.bind"), live_server(make_app(), port=port):
            pass
