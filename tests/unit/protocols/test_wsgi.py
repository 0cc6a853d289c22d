"""WSGI: what a WSGI server sees of an app, with the standard library's validator in between."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from quintet import App, Body, Depends, File, Limits, Request, Stream, WebSocket
from quintet.protocols.background import background_of


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        return dict(self.headers).get(name)


def call(app: App, path: str = "/", method: str = "GET", body: bytes = b"", **environ: Any) -> Answer:
    values: dict[str, Any] = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "192.0.2.1", "SERVER_PROTOCOL": "HTTP/1.1"}
    values |= {
        "PATH_INFO": path.encode().decode("latin-1"),
        "REQUEST_METHOD": method,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
    }
    values["wsgi.input"] = io.BytesIO(body)
    if body:
        values["CONTENT_LENGTH"] = str(len(body))
    values |= environ
    values = {k: v for k, v in values.items() if v is not None}
    setup_testing_defaults(values)
    if environ.get("HTTP_HOST", "") is None:
        del values["HTTP_HOST"]
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        started.append((status, headers))
        return lambda data: None

    result: Any = validator(app)(values, start_response)
    try:
        content = b"".join(result)
    finally:
        result.close()
    ((status, headers),) = started
    assert len({n for n, _ in headers if n != "set-cookie"}) == len([n for n, _ in headers if n != "set-cookie"])
    return Answer(int(status[:3]), headers, content)


@pytest.fixture
def app() -> Iterator[App]:
    app = App(docs=False, limits=Limits(url=200, body=100_000))

    @app.get("/hello/{name}")
    async def hello(name: str) -> dict[str, str]:
        return {"name": name}

    @app.get("/describe")
    def describe(request: Request) -> dict[str, Any]:
        return {"path": request.path, "client": request.client, "thread": threading.current_thread().name}

    @app.post("/body")
    async def body(request: Request) -> bytes:
        return await request.body()

    @app.post("/numbers")
    def numbers(values: Body[list[int]]) -> int:
        return sum(values)

    yield app
    if app.is_started:
        background_of(app).close()


def test_both_kinds_of_handlers_answer(app: App) -> None:
    answer = call(app, "/hello/Ada")
    assert (answer.status, json.loads(answer.body)) == (200, {"name": "Ada"})
    assert answer.get("content-length") == "14"
    got = json.loads(call(app, "/describe").body)
    assert got == {"path": "/describe", "client": "192.0.2.1", "thread": threading.current_thread().name}


def test_a_def_handler_has_no_loop_around_it(app: App) -> None:
    seen: list[bool] = []

    def check() -> str:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            seen.append(False)
        else:
            seen.append(True)
        return ""

    @app.get("/here")
    def here() -> str:
        return check()

    @app.get("/there")
    def there(first: Annotated[str, Depends(other)]) -> str:
        return check()

    assert call(app, "/here").status == call(app, "/there").status == 200
    assert seen == [False, False]


async def other() -> str:
    await asyncio.sleep(0)
    return ""


def test_sync_parts_of_an_async_route_run_in_the_servers_thread(app: App) -> None:
    names: list[str] = []

    def dependency() -> str:
        names.append(threading.current_thread().name)
        return ""

    @app.get("/mixed")
    async def mixed(value: Annotated[str, Depends(dependency)]) -> str:
        names.append(threading.current_thread().name)
        return value

    assert call(app, "/mixed").status == 200
    assert names == [threading.current_thread().name, "quintet-loop"]


def test_the_lifespan_surrounds_the_process(app: App) -> None:
    log: list[str] = []

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        log.append("up")
        yield
        log.append("down")

    call(app)
    call(app)
    assert log == ["up"]
    background_of(app).close()
    assert log == ["up", "down"]


@pytest.mark.parametrize(
    ("path", "environ", "status"),
    [
        ("/hello/a b", {}, 200),
        ("/hello/ü", {}, 200),
        ("/hello/ü", {"RAW_URI": "/hello/%C3%BC?x=1"}, 200),
        ("/hello/ü", {"RAW_URI": "/app/hello/%C3%BC", "SCRIPT_NAME": "/app"}, 200),
        ("/hello/%zz", {"RAW_URI": "/hello/%zz"}, 400),
        ("/hello/a\x00", {}, 400),
        ("/hello/a", {"PATH_INFO": "/hello/\xff"}, 400),
        ("/hello/a", {"HTTP_HOST": None}, 400),
        ("/hello/a", {"HTTP_HOST": "a,b"}, 400),
        ("/hello/a", {"RAW_URI": "http://a@b/hello/a"}, 400),
        ("/" + "a" * 200, {}, 414),
        ("/", {"HTTP_X_LARGE": "a" * 70_000}, 431),
        ("/describe", {"REQUEST_METHOD": "PUT"}, 405),
        ("/nowhere", {}, 404),
    ],
)
def test_heads(app: App, path: str, environ: dict[str, Any], status: int) -> None:
    assert call(app, path, **environ).status == status


@pytest.mark.parametrize("size", [0, 3, 70_000])
def test_bodies_arrive(app: App, size: int) -> None:
    assert call(app, "/body", "POST", b"x" * size).body == b"x" * size


def test_a_body_is_validated(app: App) -> None:
    assert call(app, "/numbers", "POST", b"[1,2]", CONTENT_TYPE="application/json").body == b"3"
    assert call(app, "/numbers", "POST", b"[1,", CONTENT_TYPE="application/json").status == 400


@pytest.mark.parametrize("length", ["10", "80000"])
def test_a_truncated_body_is_400(app: App, length: str) -> None:
    answer = call(app, "/body", "POST", b"abc", CONTENT_LENGTH=length)
    assert answer.status == 400
    assert b"truncated" in answer.body


def test_a_long_body_is_413(app: App) -> None:
    assert call(app, "/body", "POST", b"x" * 100_001).status == 413


def test_a_body_without_a_length_needs_a_server_that_sees_its_end(app: App) -> None:
    environ: dict[str, Any] = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}
    assert call(app, "/body", "POST", b"abc", **environ).status == 411
    environ["wsgi.input_terminated"] = True
    assert call(app, "/body", "POST", b"abc", **environ).body == b"abc"
    environ["SERVER_SOFTWARE"] = "Granian"
    assert call(app, "/body", "POST", b"abc", **environ).status == 411


def test_head_204_and_304_have_no_body(app: App) -> None:
    @app.delete("/nothing")
    def nothing() -> None: ...

    answer = call(app, "/hello/Ada", "HEAD")
    assert (answer.get("content-length"), answer.body) == ("14", b"")
    answer = call(app, "/nothing", "DELETE")
    assert (answer.status, answer.body, answer.get("content-length")) == (204, b"", None)


def test_streams_are_read_on_the_loop(app: App) -> None:
    names: list[str] = []

    @app.get("/stream")
    async def stream() -> Stream:
        async def chunks() -> AsyncIterator[bytes]:
            for index in range(20):
                await asyncio.sleep(0)
                yield b"%d" % index
            names.append(threading.current_thread().name)

        return Stream(chunks())

    @app.get("/sync-stream")
    def sync_stream() -> Iterator[int]:
        yield from range(3)
        names.append(threading.current_thread().name)

    assert call(app, "/stream").body == b"".join(b"%d" % i for i in range(20))
    assert call(app, "/sync-stream").body == b"0\n1\n2\n"
    assert names == ["quintet-loop", threading.current_thread().name]
    assert call(app, "/stream", "HEAD").body == b""


def test_a_stream_is_ended_when_the_server_closes_it(app: App) -> None:
    ended = threading.Event()

    @app.get("/endless")
    async def endless() -> Stream:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"tick"
            finally:
                ended.set()

        return Stream(chunks())

    environ: dict[str, Any] = {"PATH_INFO": "/endless", "HTTP_HOST": "localhost"}
    setup_testing_defaults(environ)
    result: Any = app(environ, lambda status, headers: None)
    assert next(iter(result)) == b"tick"
    result.close()
    assert ended.is_set()


def test_a_stream_that_fails_is_raised_to_the_server(app: App) -> None:
    @app.get("/broken")
    async def broken() -> Stream:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError("broken")

        return Stream(chunks())

    with pytest.raises(ValueError, match="broken"):
        call(app, "/broken")


def test_files_are_served(app: App, tmp_path: Any) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(b"x" * 1_000_000)

    @app.get("/file")
    def serve() -> File:
        return File(file)

    answer = call(app, "/file")
    assert (answer.get("content-length"), len(answer.body)) == ("1000000", 1_000_000)
    assert call(app, "/file", HTTP_IF_NONE_MATCH=answer.get("etag")).status == 304


def test_a_redirect_is_valid_wsgi(app: App) -> None:
    assert call(app, "/describe/").status == 308


def test_callbacks_and_the_access_log_follow_the_answer(app: App) -> None:
    called = threading.Event()
    seen: list[tuple[str, int, int | None]] = []
    app.access_log = lambda request, status, length, seconds: seen.append((request.path, status, length))

    @app.get("/after")
    def after(request: Request) -> str:
        request.call_after(called.set)
        return "later"

    assert call(app, "/after").body == b"later"
    assert called.wait(5)
    assert seen == [("/after", 200, 5)]


class Broken(Exception):
    pass


def test_an_async_exception_handler_answers_a_def_handler(app: App) -> None:
    @app.exception_handler(Broken)
    async def on_broken(request: Request, error: Broken) -> str:
        await asyncio.sleep(0)
        return "mended"

    @app.get("/broken")
    def broken() -> str:
        raise Broken

    assert call(app, "/broken").body == b"mended"


def test_a_websocket_is_refused_with_the_reason(app: App) -> None:
    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None: ...

    answer = call(app, "/ws", HTTP_UPGRADE="websocket", HTTP_CONNECTION="Upgrade")
    assert answer.status == 501
    assert b"WSGI cannot carry WebSockets" in answer.body


def test_threads_share_the_loop(app: App) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(call(app, "/hello/x").status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert len([t for t in threading.enumerate() if t.name == "quintet-loop"]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_starts_again(app: App) -> None:
    starts: list[int] = []

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        starts.append(os.getpid())
        yield

    assert call(app, "/hello/x").status == 200
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            status = call(app, "/hello/x").status
            os.write(writer, json.dumps([status, len(starts), starts[-1] == os.getpid()]).encode())
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(writer)
    try:
        assert json.loads(os.read(reader, 1000)) == [200, 2, True]
    finally:
        os.close(reader)
        os.waitpid(child, 0)


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/other", 400)])
def test_probes_are_answered_for_any_host(path: str, status: int) -> None:
    guarded = App(docs=False, allowed_hosts=["example.com"])
    try:
        assert call(guarded, path, HTTP_HOST="10.1.2.3:8000").status == status
    finally:
        background_of(guarded).close()


def test_the_access_log_knows_the_version_of_http(app: App) -> None:
    seen: list[str] = []
    app.access_log = lambda request, status, length, seconds: seen.append(request.connection.http_version())
    call(app, "/hello/Ada", SERVER_PROTOCOL="HTTP/1.0")
    assert seen == ["1.0"]
