"""ASGI: what an ASGI server sees of an app."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Iterable
from contextvars import ContextVar
from typing import Annotated, Any

import pytest
from hypercorn.utils import is_asgi
from uvicorn import Config

from quintet import App, Body, ConfigurationError, Depends, Limits, Request, Response, Stream

Message = dict[str, Any]
variable: ContextVar[str] = ContextVar("variable", default="unset")


class Server:
    """Calls an app as a server would: the events it hands over are given, those it gets are kept."""

    def __init__(self, app: App, events: Iterable[Message] = (), **scope: Any) -> None:
        self.app = app
        self.events = list(events)
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.scope: Message = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "client": ("192.0.2.1", 1234),
            **scope,
        }

    async def receive(self) -> Message:
        if self.events:
            return self.events.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def call(self) -> Server:
        await self.app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {n.decode(): v.decode() for n, v in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m["body"] for m in self.sent[1:])


async def get(app: App, path: str = "/", **scope: Any) -> Server:
    return await Server(app, path=path, **scope).call()


def host(*fields: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"localhost"), *fields]


def posted(*chunks: bytes, end: bool = True) -> list[Message]:
    events = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    if end:
        events[-1]["more_body"] = False
    return events


@pytest.fixture
def app() -> App:
    app = App(docs=False, limits=Limits(header_count=20, header_block=2000, url=200, body=100_000, body_timeout=0.05))

    @app.get("/hello/{name}")
    async def hello(name: str) -> dict[str, str]:
        return {"name": name}

    @app.get("/describe")
    async def describe(request: Request) -> dict[str, Any]:
        return {"path": request.path, "names": sorted(request.headers), "client": request.client, "host": request.host}

    @app.post("/body")
    async def body(request: Request) -> bytes:
        return await request.body()

    return app


def test_servers_take_it_for_asgi_3(app: App) -> None:
    assert inspect.iscoroutinefunction(app.__call__)
    config = Config(app)
    config.load()
    assert config.interface == "asgi3"
    assert is_asgi(app)


async def test_a_request_is_answered(app: App) -> None:
    server = await get(app, "/hello/Ada")
    assert server.status == 200
    assert json.loads(server.body) == {"name": "Ada"}
    assert server.headers["content-length"] == str(len(server.body))
    assert server.headers["x-content-type-options"] == "nosniff"
    assert "date" not in server.headers  # the server's


async def test_an_asgi_2_call_is_answered(app: App) -> None:
    server = Server(app, path="/hello/Ada")
    await app(server.scope)(server.receive, server.send)
    assert server.status == 200


async def test_a_handler_that_does_not_suspend_costs_no_task(app: App) -> None:
    await get(app, "/hello/Ada")
    made = 0

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        nonlocal made
        made += 1
        return asyncio.Task(coro, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    try:
        await get(app, "/hello/Ada")
    finally:
        loop.set_task_factory(None)
    assert made == 0


# -- the life of the app --------------------------------------------------------------------------------------------


async def live(app: App, *steps: str) -> list[Message]:
    events = [{"type": f"lifespan.{step}"} for step in steps]
    server = Server(app, events, type="lifespan")
    await server.call()
    return server.sent


async def test_the_lifespan_surrounds_the_requests(app: App) -> None:
    log: list[str] = []

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        log.append("up")
        yield
        log.append("down")

    sent = await live(app, "startup", "shutdown")
    assert [m["type"] for m in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert log == ["up", "down"]


async def test_a_wrong_configuration_is_told_to_the_server(app: App) -> None:
    @app.get("/hello/{name}")
    async def again(name: str) -> str:
        return name

    (sent,) = await live(app, "startup")
    assert sent["type"] == "lifespan.startup.failed"
    assert "is taken already" in sent["message"]
    assert "Traceback" not in sent["message"]


async def test_a_failing_start_is_told_to_the_server(app: App) -> None:
    @app.lifespan
    async def life() -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    (sent,) = await live(app, "startup")
    assert sent["type"] == "lifespan.startup.failed"
    assert "no database" in sent["message"]


async def test_without_a_lifespan_the_first_request_starts_the_app_once(app: App) -> None:
    starts = 0

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        nonlocal starts
        await asyncio.sleep(0)
        starts += 1
        yield

    await asyncio.gather(*(get(app, "/hello/a") for _ in range(3)))
    assert starts == 1
    await app.stop()


async def test_a_wrong_configuration_reaches_a_server_without_lifespan(app: App) -> None:
    @app.get("/hello/{name}")
    async def again(name: str) -> str:
        return name

    with pytest.raises(ConfigurationError):
        await get(app)


# -- heads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "status", "path"),
    [
        ({"path": "/hello/a b", "raw_path": b"/hello/a%20b"}, 200, "a b"),
        ({"path": "/hello/a%2Fb", "raw_path": b"/hello/a%252Fb"}, 200, "a%2Fb"),
        ({"path": "/hello/a/b", "raw_path": b"/hello/a%2Fb"}, 404, None),
        ({"path": "/hello/\ufffd", "raw_path": b"/hello/%FF"}, 400, None),
        ({"path": "/hello/%zz", "raw_path": b"/hello/%zz"}, 400, None),
        ({"path": "/hello/a\x00", "raw_path": b"/hello/a%00"}, 400, None),
        ({"path": "/hello/a\x00"}, 400, None),
        ({"path": "/hello/ü"}, 200, "ü"),
        ({"path": "/api/hello/a", "root_path": "/api"}, 200, "a"),
        ({"path": "/api/hello/ü", "raw_path": b"/api/hello/%C3%BC", "root_path": "/api"}, 200, "ü"),
        ({"path": "/hello/ü", "raw_path": b"/api/hello/%C3%BC", "root_path": "/api"}, 200, "ü"),
        ({"path": "/hello/a", "root_path": "/api"}, 200, "a"),
        ({"path": "/apiary/hello/a", "root_path": "/api"}, 404, None),
        ({"path": "*", "raw_path": b"*"}, 400, None),
    ],
)
async def test_paths(app: App, scope: dict[str, Any], status: int, path: str | None) -> None:
    server = await get(app, **scope)
    assert server.status == status
    if path is not None:
        assert json.loads(server.body)["name"] == path


async def test_an_absolute_target_decides_the_host(app: App) -> None:
    server = await get(app, "http://example.com/describe", raw_path=b"http://example.com/describe")
    assert json.loads(server.body)["host"] == "example.com"


async def test_names_with_an_underscore_are_dropped(app: App) -> None:
    server = await get(app, "/describe", headers=host((b"x_forwarded_for", b"6.6.6.6"), (b"x-a", b"1")))
    assert json.loads(server.body)["names"] == ["host", "x-a"]


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ({"headers": []}, 400),
        ({"headers": [], "http_version": "1.0"}, 404),
        ({"headers": host((b"host", b"localhost"))}, 400),
        ({"headers": [(b"host", b"a@b")]}, 400),
        ({"headers": host(*((b"x-%d" % i, b"1") for i in range(20)))}, 431),
        ({"headers": host((b"x", b"1" * 2000))}, 431),
        ({"headers": host((b"x", b"1" * 1000), (b"x", b"1" * 1000))}, 431),
        ({"path": "/" + "a" * 200}, 414),
        ({"query_string": b"a" * 200}, 414),
        ({"method": "TRACE"}, 405),
        ({"method": "FOO"}, 501),
        ({"headers": host((b"content-length", b"x")), "method": "POST", "path": "/body"}, 400),
        ({"headers": host((b"content-length", b"100001")), "method": "POST", "path": "/body"}, 413),
    ],
)
async def test_heads_that_are_refused(app: App, scope: dict[str, Any], status: int) -> None:
    server = await get(app, **scope)
    assert server.status == status


# -- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [(b"abc",), (b"a", b"bc"), (b"abc", b"")])
@pytest.mark.parametrize("length", [b"3", None])
async def test_a_body_arrives_however_it_is_cut(app: App, chunks: tuple[bytes, ...], length: bytes | None) -> None:
    field = (b"content-length", length) if length else (b"transfer-encoding", b"chunked")
    server = await Server(app, posted(*chunks), method="POST", path="/body", headers=host(field)).call()
    assert server.body == b"abc"


async def test_a_body_of_http_2_needs_no_length(app: App) -> None:
    server = await Server(app, posted(b"abc"), method="POST", path="/body", http_version="2").call()
    assert server.body == b"abc"


@pytest.mark.parametrize("length", [b"10", b"90000", None])
async def test_a_truncated_body_is_not_answered_and_rolled_back(app: App, length: bytes | None) -> None:
    log: list[str] = []

    async def transaction() -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            log.append("rolled back")
            raise
        log.append("committed")

    @app.post("/rows")
    async def create(request: Request, within: Annotated[None, Depends(transaction)]) -> str:
        await request.body()
        return "created"

    field = (b"content-length", length) if length else (b"transfer-encoding", b"chunked")
    events = [*posted(b"abc", end=False), {"type": "http.disconnect"}]
    server = await Server(app, events, method="POST", path="/rows", headers=host(field)).call()
    assert server.sent == []
    assert "committed" not in log


async def test_a_body_that_stops_coming_is_408(app: App) -> None:
    for length in (b"10", b"90000"):
        headers = host((b"content-length", length))
        server = await Server(app, posted(b"abc", end=False), method="POST", path="/body", headers=headers).call()
        assert server.status == 408
        assert server.headers["connection"] == "close"


async def test_a_long_body_without_a_length_is_413(app: App) -> None:
    events = posted(*[b"x" * 60_000] * 3)
    headers = host((b"transfer-encoding", b"chunked"))
    server = await Server(app, events, method="POST", path="/body", headers=headers).call()
    assert server.status == 413


async def test_connection_is_no_field_of_http_2(app: App) -> None:
    headers = host((b"content-length", b"100001"))
    server = await get(app, "/body", method="POST", headers=headers, http_version="2")
    assert server.status == 413
    assert "connection" not in server.headers


# -- answers --------------------------------------------------------------------------------------------------------


async def test_head_has_a_length_and_no_body(app: App) -> None:
    server = await get(app, "/hello/Ada", method="HEAD")
    assert (server.headers["content-length"], server.body) == ("14", b"")


async def test_204_has_no_length(app: App) -> None:
    @app.delete("/nothing")
    async def nothing() -> None: ...

    server = await get(app, "/nothing", method="DELETE")
    assert (server.status, server.body) == (204, b"")
    assert "content-length" not in server.headers


async def test_callbacks_run_when_everything_is_sent(app: App) -> None:
    seen: list[int] = []

    @app.get("/after")
    async def after(request: Request) -> Response[str]:
        request.call_after(lambda: seen.append(len(server.sent)))
        response = Response("later")
        response.after.append(lambda: seen.append(-1))
        return response

    server = Server(app, path="/after")
    await server.call()
    assert seen == [2, -1]


async def test_the_access_log_is_told_of_every_answer(app: App) -> None:
    seen: list[tuple[str, int, int | None]] = []
    app.access_log = lambda request, status, length, seconds: seen.append((request.path, status, length))
    await get(app, "/hello/Ada")
    await get(app, "/nowhere")
    assert seen[0] == ("/hello/Ada", 200, 14)
    assert seen[1][:2] == ("/nowhere", 404)


async def test_a_stream_is_sent_in_pieces_and_closed(app: App) -> None:
    log: list[str] = []

    @app.get("/stream")
    async def stream() -> Stream:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                yield b"a"
                yield b""
                yield b"b"
            finally:
                log.append("closed")

        return Stream(chunks())

    server = await get(app, "/stream")
    assert [m["body"] for m in server.sent[1:]] == [b"a", b"b", b""]
    assert [m["more_body"] for m in server.sent[1:]] == [True, True, False]
    assert "content-length" not in server.headers
    assert log == ["closed"]


async def test_a_stream_that_fails_has_no_end(app: App) -> None:
    @app.get("/stream")
    async def stream() -> Stream:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError("broken")

        return Stream(chunks())

    server = Server(app, path="/stream")
    with pytest.raises(ValueError, match="broken"):
        await server.call()
    assert [m.get("more_body") for m in server.sent] == [None, True]


@pytest.mark.parametrize(("method", "cancelled"), [("GET", True), ("POST", False)])
async def test_a_handler_is_cancelled_when_its_client_goes(app: App, method: str, cancelled: bool) -> None:
    log: list[str] = []

    @app.route("/slow", (method,))
    async def slow() -> str:
        try:
            await asyncio.sleep(0.3)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise
        log.append("finished")
        return "slow"

    server = Server(app, path="/slow", method=method)
    asyncio.get_running_loop().call_later(0.15, server.gone.set)
    await server.call()
    assert log == ["cancelled" if cancelled else "finished"]
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    assert server.sent == []


async def test_a_cancellation_by_the_server_is_passed_on(app: App) -> None:
    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(5)
        return "slow"

    task = asyncio.create_task(Server(app, path="/slow").call())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_every_request_has_a_context_of_its_own(app: App) -> None:
    @app.get("/set")
    async def set_variable() -> str:
        before = variable.get()
        variable.set("set")
        await asyncio.sleep(0)
        return before + variable.get()

    for _ in range(2):
        assert (await get(app, "/set")).body == b"unsetset"
    assert variable.get() == "unset"


async def test_an_unread_body_is_received_before_the_answer(app: App) -> None:
    @app.post("/unread")
    async def unread() -> str:
        return "unread"

    events = posted(b"x" * 40_000, b"x" * 40_000)
    server = await Server(
        app, events, method="POST", path="/unread", headers=host((b"content-length", b"80000"))
    ).call()
    assert server.body == b"unread"
    assert server.events == []


async def test_a_scope_of_another_kind_is_an_error(app: App) -> None:
    with pytest.raises(RuntimeError, match="'gopher' is not known"):
        await get(app, type="gopher")


async def test_a_body_is_validated(app: App) -> None:
    @app.post("/numbers")
    async def numbers(values: Body[list[int]]) -> int:
        return sum(values)

    headers = host((b"content-length", b"5"), (b"content-type", b"application/json"))
    server = await Server(app, posted(b"[1,2]"), method="POST", path="/numbers", headers=headers).call()
    assert server.body == b"3"


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/hello/Ada", 400), ("/readyz/", 400)]
)
async def test_probes_are_answered_for_any_host(path: str, status: int) -> None:
    guarded = App(docs=False, allowed_hosts=["example.com"])
    server = await get(guarded, path, headers=[(b"host", b"10.1.2.3:8000")])
    assert server.sent[0]["status"] == status


async def test_the_access_log_knows_the_version_of_http(app: App) -> None:
    seen: list[str] = []
    app.access_log = lambda request, status, length, seconds: seen.append(request.connection.http_version())
    await get(app, "/hello/Ada")
    await get(app, "/hello/Ada", http_version="2")
    assert seen == ["1.1", "2"]
