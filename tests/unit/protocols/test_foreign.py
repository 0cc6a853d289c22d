"""Mounted apps: ASGI and WSGI apps below a path, over the built-in server's protocol."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import flask
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from quintet import App, ConfigurationError, Request, Response
from quintet.protocols.foreign import kind_of
from quintet.testing import AsyncClient, Client


def mounted(other: Any) -> App:
    app = App(docs=False)
    app.mount("/legacy", other)

    @app.get("/own")
    async def own() -> str:
        return "own"

    return app


async def asgi_3(scope: Any, receive: Any, send: Any) -> None: ...


def asgi_3_returning(scope: Any, receive: Any, send: Any) -> Any: ...


def asgi_2(scope: Any) -> Any: ...


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode("latin-1")]


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        (asgi_3, "asgi"),
        (asgi_3_returning, "asgi"),
        (asgi_2, "asgi2"),
        (wsgi, "wsgi"),
        (flask.Flask("x"), "wsgi"),
        (Starlette(), "asgi"),
        (App(docs=False), "asgi"),
    ],
)
def test_kinds_are_told_apart(app: Any, kind: str) -> None:
    assert kind_of(app) == kind


@pytest.mark.parametrize("app", [5, lambda: None, "module:app"])
def test_what_is_no_app_is_a_start_up_error(app: Any) -> None:
    with pytest.raises(ConfigurationError, match="neither an ASGI nor a WSGI app"):
        _ = mounted(app).dispatcher


@pytest.mark.parametrize(
    ("path", "seen"),
    [("/legacy", "/legacy "), ("/legacy/", "/legacy /"), ("/legacy/a/b", "/legacy /a/b"), ("/legacy/ü", "/legacy /ü")],
)
def test_a_wsgi_app_sees_its_path(path: str, seen: str) -> None:
    with Client(mounted(wsgi)) as client:
        assert client.get(path).text == seen
        assert client.get("/own").text == "own"


def test_a_path_that_only_begins_alike_is_not_mounted() -> None:
    with Client(mounted(wsgi)) as client:
        assert client.get("/legacyx").status_code == 404


def test_flask_works_as_it_does_alone() -> None:
    other = flask.Flask("other")

    @other.post("/form/<name>")
    def form(name: str) -> flask.Response:
        response = flask.jsonify(name=name, form=flask.request.form.to_dict(), url=flask.url_for("form", name="x"))
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    with Client(mounted(other)) as client:
        answer = client.post("/legacy/form/Ada", data={"k": "v"})
        assert answer.json() == {"name": "Ada", "form": {"k": "v"}, "url": "/legacy/form/x"}
        assert [c.partition(";")[0] for c in answer.headers.get_list("set-cookie")] == ["a=1", "b=2"]
        assert "x-content-type-options" not in answer.headers
        assert client.get("/legacy/nowhere").status_code == 404


async def _describe(request: StarletteRequest) -> PlainTextResponse:
    body = await request.body()
    return PlainTextResponse(f"{request.url_for('describe').path} {request.state.value} {len(body)}")


async def _stream(request: StarletteRequest) -> StreamingResponse:
    async def chunks() -> AsyncIterator[str]:
        for index in range(20):
            yield f"{index} "
            await asyncio.sleep(0)

    return StreamingResponse(chunks())


def test_starlette_works_with_its_lifespan() -> None:
    log: list[str] = []

    async def life(app: Starlette) -> AsyncIterator[dict[str, int]]:
        log.append("up")
        yield {"value": 5}
        log.append("down")

    from contextlib import asynccontextmanager

    routes = [Route("/describe", _describe, methods=["POST"], name="describe"), Route("/stream", _stream)]
    other = Starlette(routes=routes, lifespan=asynccontextmanager(life))
    with Client(mounted(other)) as client:
        assert log == ["up"]
        assert client.post("/legacy/describe", content=b"x" * 3_000_000).text == "/legacy/describe 5 3000000"
        assert client.get("/legacy/stream").text == "".join(f"{i} " for i in range(20))
    assert log == ["up", "down"]


def test_a_lifespan_that_fails_stops_the_start() -> None:
    async def other(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="no database"), Client(mounted(other)):
        pass


def test_an_app_of_quintet_can_be_mounted() -> None:
    inner = App(docs=False)

    @inner.get("/path")
    async def path(request: Request) -> str:
        return request.path

    with Client(mounted(inner)) as client:
        answer = client.get("/legacy/path")
        assert answer.text == "/path"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_asgi_2_app_can_be_mounted() -> None:
    def other(scope: Any) -> Callable[..., Any]:
        async def instance(receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 299, "headers": []})
            await send({"type": "http.response.body", "body": scope["root_path"].encode()})

        return instance

    with Client(mounted(other)) as client:
        answer = client.get("/legacy/x")
        assert (answer.status_code, answer.text) == (299, "/legacy")


async def _fail(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("a secret")


def _fail_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    raise ValueError("a secret")


async def _silent(scope: Any, receive: Any, send: Any) -> None: ...


def _silent_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return [b"body"]


@pytest.mark.parametrize("other", [_fail, _fail_wsgi, _silent, _silent_wsgi])
def test_an_app_that_fails_is_answered_with_500(other: Any) -> None:
    with Client(mounted(other), raise_server_exceptions=False) as client:
        answer = client.get("/legacy/x")
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert client.get("/own").text == "own"


def test_head_keeps_the_length_of_the_app() -> None:
    with Client(mounted(flask_with_page())) as client:
        answer = client.head("/legacy/page")
        assert (answer.headers["content-length"], answer.content) == ("4", b"")


def flask_with_page() -> flask.Flask:
    other = flask.Flask("other")
    other.add_url_rule("/page", view_func=lambda: "page", endpoint="page")
    return other


def test_a_wsgi_app_streams_in_one_thread_and_is_closed() -> None:
    names: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            for index in range(20):
                names.append(threading.current_thread().name)
                yield b"%d " % index

        def close(self) -> None:
            names.append("closed")

    def other(environ: Any, start_response: Any) -> Body:
        start_response("200 OK", [])
        return Body()

    with Client(mounted(other)) as client:
        assert client.get("/legacy/x").text == "".join(f"{i} " for i in range(20))
    assert len(set(names[:-1])) == 1
    assert names[-1] == "closed"


def test_the_old_ways_of_wsgi_work() -> None:
    def other(environ: Any, start_response: Any) -> list[bytes]:
        lines = environ["wsgi.input"].readline(), list(environ["wsgi.input"])
        start_response("200 OK", [])
        write = start_response("201 Created", [("X-Second", "1")], (ValueError, ValueError(), None))
        write(b"written ")
        return [repr(lines).encode()]

    with Client(mounted(other)) as client:
        answer = client.post("/legacy/x", content=b"a\nb\nc")
        assert (answer.status_code, answer.headers["x-second"]) == (201, "1")
        assert answer.text == "written (b'a\\n', [b'b\\n', b'c'])"


async def test_an_asgi_app_is_ended_when_nobody_reads_it() -> None:
    ended = asyncio.Event()

    async def other(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("HTTP alone")
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"tick", "more_body": True})
                await asyncio.sleep(0)
        finally:
            ended.set()

    async with AsyncClient(mounted(other)) as client:
        async with client.stream("GET", "/legacy/x") as answer:
            async for _ in answer.aiter_raw():
                break
        await asyncio.wait_for(ended.wait(), 5)


def test_work_after_the_answer_goes_on() -> None:
    done = threading.Event()

    async def other(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("HTTP alone")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        await asyncio.sleep(0.02)
        done.set()

    with Client(mounted(other)) as client:
        assert client.get("/legacy/x").text == "done"
        assert done.wait(5)


def test_middleware_surrounds_a_mounted_app() -> None:
    app = mounted(wsgi)

    @app.middleware
    async def mark(request: Request, call_next: Any) -> Response[Any]:
        response = await call_next(request)
        response.headers.set("x-mark", "1")
        return response

    with Client(app) as client:
        assert client.get("/legacy/x").headers["x-mark"] == "1"


def test_a_form_reaches_a_mounted_app_unread() -> None:
    def other(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        stream: io.BufferedReader = environ["wsgi.input"]
        return [f"{environ['CONTENT_TYPE']} {environ['CONTENT_LENGTH']} {len(stream.read(3))}".encode()]

    with Client(mounted(other)) as client:
        answer = client.post("/legacy/x", content=b"abcdef", headers={"content-type": "text/x"})
        assert answer.text == "text/x 6 3"
