"""From a route to an endpoint: converters by annotation, timeouts, limits, what surrounds a handler."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import date
from enum import IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest

from quintet import App, CallNext, Depends, Meta, Request, Response
from quintet.handlers.build import derive_converter
from quintet.testing import Client


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (Annotated[int, Meta(gt=0)], "int"),
        (float, "float"),
        (UUID, "uuid"),
        (date, "date"),
        (str, "str"),
        (Level, "enum:Level"),
        (Literal["a", "b"], "literal:a|b"),
        (Annotated[str, Meta(pattern="x")], "str"),
        (int | str, "str"),
    ],
)
def test_a_converter_follows_from_the_annotation(annotation: Any, name: str) -> None:
    assert derive_converter(annotation).name == name


def test_routes_of_one_shape_are_told_apart_by_their_annotations() -> None:
    app = App(docs=False)

    @app.get("/{key}")
    async def by_number(key: int) -> str:
        return f"number {key}"

    @app.get("/{key}")
    async def by_uuid(key: UUID) -> str:
        return "uuid"

    @app.get("/{key}")
    async def by_level(key: Literal["low", "high"]) -> str:
        return f"level {key}"

    @app.get("/{key}")
    async def by_text(key: str) -> str:
        return f"text {key}"

    with Client(app) as client:
        answers = [client.get(f"/{k}").text for k in ("5", "12345678-1234-5678-1234-567812345678", "low", "other")]
    assert answers == ["number 5", "uuid", "level low", "text other"]


def test_an_enum_in_the_path_is_its_value() -> None:
    app = App(docs=False)

    @app.get("/{level}")
    async def handler(level: Level) -> str:
        return level.name

    with Client(app) as client:
        assert client.get("/2").text == "HIGH"
        assert client.get("/3").status_code == 404


def test_a_handler_that_takes_too_long_is_a_503() -> None:
    seen: list[str] = []
    app = App(docs=False)

    async def resource() -> AsyncIterator[None]:
        try:
            yield
        finally:
            seen.append("closed")

    @app.get("/slow", timeout=0.02)
    async def slow(r: Annotated[None, Depends(resource)]) -> None:
        await asyncio.sleep(30)

    @app.get("/own", timeout=30)
    async def own() -> None:
        raise TimeoutError("of something else")

    with Client(app, raise_server_exceptions=False) as client:
        response = client.get("/slow")
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert "longer than 0.02 s" in response.json()["detail"]
        assert seen == ["closed"]
        assert client.get("/own").status_code == 500


def test_a_timeout_waits_for_the_thread_of_a_def_handler() -> None:
    ended = threading.Event()
    app = App(docs=False)

    @app.get("/", timeout=0.02)
    def handler() -> None:
        threading.Event().wait(0.1)
        ended.set()

    with Client(app) as client:
        assert client.get("/").status_code == 503
        assert ended.is_set()


def test_middleware_sees_and_changes_the_encoded_answer() -> None:
    app = App(docs=False)

    @app.middleware
    async def shout(request: Request, call_next: CallNext) -> Response[Any]:
        request.state.user = "Ada"
        response = await call_next(request)
        assert isinstance(response.content, bytes)
        response.content = response.content.upper()
        response.headers.set("x-seen", response.headers.get("content-type") or "")
        return response

    @app.get("/")
    async def handler(request: Request) -> dict[str, str]:
        return {"user": request.state.user}

    with Client(app) as client:
        response = client.get("/")
    assert response.text == '{"USER":"ADA"}'
    assert response.headers["x-seen"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-length"] == str(len(response.content))


def test_middleware_sees_unexpected_exceptions_and_answers_of_known_ones() -> None:
    seen: list[Any] = []
    app = App(docs=False)

    @app.middleware
    async def watch(request: Request, call_next: CallNext) -> Response[Any]:
        try:
            response = await call_next(request)
        except Exception as exc:
            seen.append(type(exc))
            raise
        seen.append(response.status)
        return response

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    @app.get("/wrong")
    async def wrong(n: int) -> None: ...

    with Client(app, raise_server_exceptions=False) as client:
        assert [client.get(p).status_code for p in ("/broken", "/wrong", "/nowhere")] == [500, 422, 404]
        assert client.delete("/wrong").status_code == 405
        assert client.options("/wrong").status_code == 204
    assert seen == [ZeroDivisionError, 422, 404, 405, 204]


def test_middleware_may_call_the_next_one_twice() -> None:
    numbers = iter(range(10))
    app = App(docs=False)

    @app.middleware
    async def again(request: Request, call_next: CallNext) -> Response[Any]:
        await call_next(request)
        return await call_next(request)

    @app.post("/")
    async def handler(request: Request) -> list[int]:
        return [next(numbers), len(await request.body())]

    with Client(app) as client:
        assert client.post("/", content=b"abc").json() == [1, 3]
