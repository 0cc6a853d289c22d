"""Exceptions become answers: in the client's format, by the innermost handler, and saying nothing of the inside."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from quintet import App, BadRequest, HTTPError, NotFound, Request, Response, Router, ValidationError
from quintet.errors import FieldError
from quintet.testing import Client


class Odd(Exception):
    pass


class Odder(Odd):
    pass


def failing(error: Exception) -> tuple[App, Any]:
    app = App(docs=False)

    @app.get("/")
    async def handler() -> None:
        raise error

    return app, handler


def get(app: App, accept: str | None = None) -> Any:
    with Client(app, raise_server_exceptions=False) as client:
        return client.get("/", headers={} if accept is None else {"accept": accept})


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/problem+json"),
        ("*/*", "application/problem+json"),
        ("application/json", "application/problem+json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/xml", "application/problem+xml; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/msgpack", "application/msgpack"),
        ("image/png", "application/problem+json"),
    ],
)
def test_an_error_is_answered_in_the_format_the_client_prefers(accept: str | None, media_type: str) -> None:
    error = ValidationError([FieldError(loc=("query", "a<b"), msg="not <good>", code="type")])
    response = get(failing(error)[0], accept)
    assert (response.status_code, response.headers["content-type"]) == (422, media_type)
    assert "accept" in response.headers["vary"].lower()
    assert response.headers["cache-control"] == "no-store"
    if media_type == "application/msgpack":
        assert msgspec.msgpack.decode(response.content)["status"] == 422
    else:
        assert "not <good>" in response.text or "not &lt;good&gt;" in response.text
    if "html" in media_type or "xml" in media_type:
        assert "<good>" not in response.text
        assert "a<b" not in response.text


def test_an_error_has_headers_a_type_and_members_of_its_own() -> None:
    error = HTTPError(
        409,
        "taken",
        title="Already there",
        type="https://errors.example/taken",
        headers={"retry-after": "5"},
        extra={"name": "x"},
    )
    response = get(failing(error)[0])
    assert response.headers["retry-after"] == "5"
    assert response.json() == {
        "type": "https://errors.example/taken",
        "title": "Already there",
        "status": 409,
        "detail": "taken",
        "instance": "/",
        "name": "x",
    }


@pytest.mark.parametrize("accept", ["application/json", "text/html", "text/plain", "application/xml"])
def test_an_unexpected_exception_is_a_500_that_says_nothing_of_it(accept: str, caplog: Any) -> None:
    with caplog.at_level(logging.ERROR, "quintet.app"):
        response = get(failing(RuntimeError("secret detail"))[0], accept)
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "RuntimeError" not in response.text
    (record,) = [r for r in caplog.records if r.name == "quintet.app"]
    assert str(record.exc_info[1]) == "secret detail"


def test_observers_hear_of_unexpected_exceptions_alone() -> None:
    seen: list[Any] = []
    for error in (RuntimeError("x"), NotFound()):
        app, _ = failing(error)
        app.failures.observers.append(lambda request, exc: seen.append((request.path, exc)))
        get(app)
        assert len(seen) == 1, error
    assert seen[0][0] == "/"


def test_the_most_specific_handler_answers() -> None:
    app, _ = failing(Odder())

    @app.exception_handler(Exception)
    async def anything(request: Request, error: Exception) -> Response[str]:
        return Response("anything", 500)

    @app.exception_handler(Odd)
    def odd(request: Request, error: Odd) -> Response[str]:
        return Response(f"odd {type(error).__name__}", 418)

    response = get(app)
    assert (response.status_code, response.text) == (418, "odd Odder")


def test_a_handler_for_a_status_answers_every_error_of_it() -> None:
    app = App(docs=False)

    @app.exception_handler(404)
    async def lost(request: Request, error: HTTPError) -> Response[dict[str, str]]:
        return Response({"lost": request.path}, error.status)

    @app.get("/thrown")
    async def thrown() -> None:
        raise NotFound("…")

    @app.get("/number/{n}")
    async def number(n: int) -> None: ...

    with Client(app) as client:
        for path in ("/thrown", "/number/x", "/nowhere"):
            response = client.get(path)
            assert (response.status_code, response.json()) == (404, {"lost": path})


def test_a_router_answers_before_the_app() -> None:
    app, router = App(docs=False), Router("/r")

    @app.exception_handler(BadRequest)
    async def by_app(request: Request, error: BadRequest) -> Response[str]:
        return Response("app", 400)

    @router.exception_handler(HTTPError)
    async def by_router(request: Request, error: HTTPError) -> Response[str]:
        return Response("router", error.status)

    for group in (app, router):

        @group.get("/x")
        async def handler() -> None:
            raise BadRequest

    app.include(router)
    with Client(app) as client:
        assert client.get("/x").text == "app"
        assert client.get("/r/x").text == "router"


def test_validation_errors_have_handlers_like_others() -> None:
    app = App(docs=False)

    @app.exception_handler(ValidationError)
    async def short(request: Request, error: ValidationError) -> Response[list[str]]:
        return Response([str(e.loc[-1]) for e in error.errors], 400)

    @app.get("/")
    async def handler(n: int, m: int) -> None: ...

    response = get(app)
    assert (response.status_code, response.json()) == (400, ["n", "m"])


def test_an_error_handler_that_fails_is_answered_too() -> None:
    app, _ = failing(Odd())

    @app.exception_handler(Odd)
    async def broken(request: Request, error: Odd) -> None:
        raise RuntimeError("in the handler")

    assert get(app).status_code == 500

    app, _ = failing(Odd())

    @app.exception_handler(Odd)
    async def translate(request: Request, error: Odd) -> None:
        raise NotFound("translated")

    assert get(app).json()["detail"] == "translated"


def test_the_apps_own_page_is_shown_where_there_is_one(tmp_path: Any) -> None:
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "404.html").write_text("<h1>{{ error.detail }} at {{ request.path }}</h1>")
    app = App(docs=False, templates=tmp_path)
    with Client(app, headers={"accept": "text/html"}) as client:
        response = client.get("/<x>")
        assert response.status_code == 404
        assert response.text.startswith("<h1>")
        assert "&lt;x&gt;" in response.text
    (tmp_path / "errors" / "404.html").write_text("{{ 1 // 0 }}")
    with Client(App(docs=False, templates=tmp_path), headers={"accept": "text/html"}) as client:
        assert client.get("/nowhere").status_code == 404  # a page that fails gives way to the plain one
