"""RSGI: what Granian sees of an app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quintet import App, Limits, Request, Stream


class RSGIProtocolClosed(RuntimeError):
    """As Granian names it."""


class Headers:
    def __init__(self, items: list[tuple[str, str]]) -> None:
        self._items = items

    def items(self) -> list[tuple[str, str]]:
        return self._items


class Scope:
    def __init__(self, **values: Any) -> None:
        self.proto = "http"
        self.http_version = "1.1"
        self.client = "192.0.2.1:1234"
        self.scheme = "http"
        self.method = "GET"
        self.path = "/"
        self.query_string = ""
        self.authority: str | None = None
        self.headers = Headers([("host", "localhost"), *values.pop("headers", ())])
        self.__dict__.update(values)


class Protocol:
    """The near side of Granian: `chunks` is the body; None in it is where it breaks."""

    def __init__(self, *chunks: bytes | None) -> None:
        self.chunks = list(chunks)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.sent: list[bytes] = []
        self.gone = asyncio.Event()
        self.closed = False

    async def __call__(self) -> bytes:
        if None in self.chunks:
            raise RSGIProtocolClosed("closed")
        return b"".join(c for c in self.chunks if c)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            if chunk is None:
                yield b""
                break
            yield chunk
        yield b""

    async def client_disconnect(self) -> None:
        await self.gone.wait()

    def _start(self, status: int, headers: list[tuple[str, str]]) -> None:
        assert len({n for n, _ in headers}) == len(headers)
        self.status, self.headers = status, dict(headers)

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self._start(status, headers)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._start(status, headers)
        self.sent.append(body)

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Protocol:
        self._start(status, headers)
        return self

    async def send_bytes(self, data: bytes) -> None:
        if self.closed:
            raise RSGIProtocolClosed("closed")
        self.sent.append(data)
        await asyncio.sleep(0)

    @property
    def body(self) -> bytes:
        return b"".join(self.sent)


async def call(app: App, *chunks: bytes | None, **scope: Any) -> Protocol:
    protocol = Protocol(*chunks)
    await app.__rsgi__(Scope(**scope), protocol)
    return protocol


@pytest.fixture
def app() -> App:
    app = App(docs=False, limits=Limits(url=200, body=100_000))

    @app.get("/hello/{name}")
    async def hello(name: str, request: Request) -> dict[str, str]:
        return {"name": name, "client": request.client, "host": request.host}

    @app.post("/body")
    async def body(request: Request) -> bytes:
        return await request.body()

    return app


async def test_a_request_is_answered(app: App) -> None:
    answer = await call(app, path="/hello/a b")
    assert answer.status == 200
    assert json.loads(answer.body) == {"name": "a b", "client": "192.0.2.1", "host": "localhost"}
    assert answer.headers["content-length"] == str(len(answer.body))
    assert "date" not in answer.headers


def test_the_worker_starts_and_stops_the_app(app: App) -> None:
    log: list[str] = []

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        log.append("up")
        yield
        log.append("down")

    loop = asyncio.new_event_loop()
    app.__rsgi_init__(loop)
    app.__rsgi_del__(loop)
    loop.close()
    assert log == ["up", "down"]


async def test_the_first_request_starts_an_app_that_was_not(app: App) -> None:
    await call(app)
    assert app.is_started
    await app.stop()


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ({"path": "/hello/a/b"}, 404),
        ({"path": "/hello/\ufffd"}, 400),
        ({"path": "/hello/a\x00"}, 400),
        ({"path": "hello"}, 400),
        ({"path": "/" + "a" * 200}, 414),
        ({"method": "TRACE"}, 405),
        ({"headers": [("host", "localhost")]}, 400),
        ({"authority": "a@b"}, 400),
        ({"method": "POST", "path": "/body", "headers": [("content-length", "100001")]}, 413),
    ],
)
async def test_heads_that_are_refused(app: App, scope: dict[str, Any], status: int) -> None:
    assert (await call(app, **scope)).status == status


async def test_the_authority_is_the_host(app: App) -> None:
    answer = await call(app, path="/hello/a", authority="example.com")
    assert json.loads(answer.body)["host"] == "example.com"
    scope = Scope(path="/hello/a", authority="example.com", http_version="2")
    scope.headers = Headers([])
    protocol = Protocol()
    await app.__rsgi__(scope, protocol)
    assert json.loads(protocol.body)["host"] == "example.com"


@pytest.mark.parametrize("length", ["6", "70000", None])
async def test_a_body_arrives(app: App, length: str | None) -> None:
    field = ("content-length", length) if length else ("transfer-encoding", "chunked")
    chunks = (b"abc", b"def") if length != "70000" else (b"a" * 40_000, b"b" * 30_000)
    answer = await call(app, *chunks, method="POST", path="/body", headers=[field])
    assert answer.body == b"".join(chunks)


@pytest.mark.parametrize("length", ["10", "70000", None])
async def test_a_truncated_body_is_not_answered(app: App, length: str | None) -> None:
    field = ("content-length", length) if length else ("transfer-encoding", "chunked")
    answer = await call(app, b"abc", None, method="POST", path="/body", headers=[field])
    assert answer.status == 0


async def test_head_and_204_are_empty(app: App) -> None:
    @app.delete("/nothing")
    async def nothing() -> None: ...

    answer = await call(app, method="HEAD", path="/hello/a")
    assert answer.sent == []
    assert int(answer.headers["content-length"]) > 0
    answer = await call(app, method="DELETE", path="/nothing")
    assert (answer.status, answer.sent) == (204, [])
    assert "content-length" not in answer.headers


async def test_a_stream_is_sent_and_ends_with_its_client(app: App) -> None:
    log: list[str] = []

    @app.get("/stream")
    async def stream() -> Stream:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                for _ in range(3):
                    yield b"a"
            finally:
                log.append("closed")

        return Stream(chunks())

    assert (await call(app, path="/stream")).sent == [b"a"] * 3
    protocol = Protocol()
    protocol.closed = True
    await app.__rsgi__(Scope(path="/stream"), protocol)
    assert protocol.sent == []
    assert log == ["closed", "closed"]


async def test_a_stream_that_fails_is_raised_to_the_server(app: App) -> None:
    @app.get("/stream")
    async def stream() -> Stream:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError("broken")

        return Stream(chunks())

    with pytest.raises(ValueError, match="broken"):
        await call(app, path="/stream")


async def test_a_handler_is_cancelled_when_its_client_goes(app: App) -> None:
    log: list[str] = []

    @app.get("/slow")
    async def slow(request: Request) -> str:
        try:
            await asyncio.sleep(5)
        finally:
            log.append(f"gone: {request.connection.is_disconnected()}")
        return "slow"

    protocol = Protocol()
    asyncio.get_running_loop().call_later(0.15, protocol.gone.set)
    await app.__rsgi__(Scope(path="/slow"), protocol)
    assert log == ["gone: True"]
    assert protocol.status == 0


async def test_callbacks_run_after_the_answer(app: App) -> None:
    @app.get("/after")
    async def after(request: Request) -> str:
        request.call_after(lambda: seen.append(protocol.status))
        return "later"

    seen: list[int] = []
    protocol = Protocol()
    await app.__rsgi__(Scope(path="/after"), protocol)
    assert seen == [200]


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/other", 400)])
async def test_probes_are_answered_for_any_host(path: str, status: int) -> None:
    guarded = App(docs=False, allowed_hosts=["example.com"])
    assert (await call(guarded, path=path)).status == status
