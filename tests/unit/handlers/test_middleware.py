from __future__ import annotations

from typing import Any

from quintet import App, CallNext, Redirect, Request, Response
from quintet.testing import Client


def test_a_middleware_answers_with_data_of_its_own() -> None:
    seen: list[object] = []

    async def outer(request: Request, call_next: CallNext) -> Response[Any]:
        response = await call_next(request)
        seen.append(response.content)
        return response

    async def inner(request: Request, call_next: CallNext) -> Response[Any]:
        return Response({"closed": True}, status=503)

    app = App(middleware=[outer, inner])

    @app.get("/")
    async def home() -> str:
        return "open"

    for path in ("/", "/nowhere"):
        answer = Client(app).get(path)
        assert (answer.status_code, answer.json()) == (503, {"closed": True})
        assert answer.headers["content-type"] == "application/json"
    assert seen == [b'{"closed":true}'] * 2


def test_a_middleware_redirects() -> None:
    async def move(request: Request, call_next: CallNext) -> Response[Any]:
        return Redirect("/new")

    app = App(middleware=[move])
    assert Client(app).get("/").headers["location"] == "/new"


def test_a_middleware_that_returns_nothing_is_an_error_and_not_an_empty_answer() -> None:
    async def forgets(request: Request, call_next: CallNext) -> Any:
        await call_next(request)

    app = App(middleware=[forgets])

    @app.get("/")
    async def home() -> str:
        return "home"

    assert Client(app, raise_server_exceptions=False).get("/").status_code == 500
