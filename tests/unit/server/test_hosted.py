"""Hosted apps in process: bytes through the protocol class, an app behind it, a transport that keeps what it gets."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from wsgiref.validate import validator

import pytest

from quintet.config import AppSettings
from quintet.errors import ConfigurationError
from quintet.server.hosted import HostedProtocol
from quintet.server.hosted_app import HostedApp, HostedSettings

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
GET = b"GET /a%20b?q=1 HTTP/1.1\r\nHost: example.com\r\n\r\n"


class FakeTransport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = self.aborted = False
        self.reading = True

    @property
    def written(self) -> bytes:
        return re.sub(rb"date: [^\r]+\r\n", b"", b"".join(self.writes))

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("192.0.2.1", 4000), "sockname": ("192.0.2.9", 80)}.get(name, default)

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Wire:
    """A connection to an app."""

    def __init__(self, protocol: HostedProtocol, transport: FakeTransport) -> None:
        self.protocol = protocol
        self.transport = transport

    def feed(self, data: bytes) -> bytes:
        """Send bytes; return all that has been written."""
        self.protocol.data_received(data)
        return self.transport.written

    async def until(self, what: Callable[[], bool]) -> bytes:
        for _ in range(500):
            if what():
                return self.transport.written
            await asyncio.sleep(0.01)
        raise AssertionError(f"it did not happen: {self.transport.written!r}")


@contextlib.asynccontextmanager
async def wire(app: Any, **settings: Any) -> AsyncIterator[Wire]:
    hosted = HostedApp(app, settings=HostedSettings(**settings), own=AppSettings())
    server, connect = hosted.new_server(asyncio.get_running_loop())
    await asyncio.sleep(0)
    protocol, transport = connect(), FakeTransport()
    protocol.connection_made(transport)  # pyright: ignore[reportArgumentType]
    yield Wire(protocol, transport)
    if not protocol.lost:
        protocol.connection_lost(None)
    server.close()
    await asyncio.sleep(0.01)


def app_of(*messages: dict[str, Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


# -- the answer -----------------------------------------------------------------------------------------------------


async def test_head_and_body_are_one_write_with_a_length() -> None:
    async with wire(app_of(START, {"type": "http.response.body", "body": b"hi"})) as w:
        assert w.feed(GET) == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi"
        assert len(w.transport.writes) == 1


async def test_a_body_in_pieces_is_chunked() -> None:
    pieces = [
        {"type": "http.response.body", "body": b, "more_body": m}
        for b, m in ((b"a", True), (b"", True), (b"bc", False))
    ]
    async with wire(app_of(START, *pieces)) as w:
        assert w.feed(GET).endswith(b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
        assert not w.transport.closed


async def test_http_1_0_gets_pieces_until_the_connection_ends() -> None:
    pieces = [{"type": "http.response.body", "body": b, "more_body": m} for b, m in ((b"a", True), (b"b", False))]
    async with wire(app_of(START, *pieces)) as w:
        written = w.feed(GET.replace(b"1.1", b"1.0"))
        assert b"connection: close" in written
        assert written.endswith(b"\r\n\r\nab")
        assert w.transport.closed


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_content_has_none(status: int) -> None:
    async with wire(app_of({**START, "status": status}, {"type": "http.response.body", "body": b"x"})) as w:
        assert w.feed(GET).endswith(b"\r\n\r\n")
        assert b"transfer-encoding" not in w.transport.written


async def test_head_keeps_the_length_and_drops_the_content() -> None:
    start = {**START, "headers": [(b"Content-Length", b"5")]}
    async with wire(app_of(start, {"type": "http.response.body", "body": b"hello"})) as w:
        assert w.feed(GET.replace(b"GET", b"HEAD")) == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"


async def test_the_app_may_close_and_does_not_frame() -> None:
    start = {**START, "headers": [(b"Connection", b"close"), (b"Transfer-Encoding", b"gzip"), (b"Date", b"now")]}
    async with wire(app_of(start, {"type": "http.response.body"})) as w:
        w.feed(GET)
        assert b"".join(w.transport.writes) == (
            b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        assert w.transport.closed


# -- messages out of order ------------------------------------------------------------------------------------------

BODY = {"type": "http.response.body", "body": b"x"}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([BODY], "send 'http.response.start' first"),
        ([START, START], "an answer begins once"),
        ([START, BODY, BODY], "the answer is complete"),
        ([START, BODY, START], "an answer begins once"),
        ([{"type": "http.response.push"}], "no message of an HTTP answer"),
        ([{"type": "http.response.start", "status": 100}], "not the status of an answer"),
        ([{"type": "http.response.start", "status": "200"}], "not the status of an answer"),
        ([{**START, "trailers": True}], "trailers are not spoken here"),
        ([START, {"type": "http.response.body", "body": "text"}], "must be bytes, not str"),
        ([{**START, "headers": [(b"x", b"a\r\nset-cookie: b")]}, BODY], "a header field has a line break"),
        ([{**START, "headers": [(b"x y", b"a")]}, BODY], "is not the name of a header field"),
        ([{**START, "headers": [("x", b"a")]}, BODY], "must be bytes, not str"),
        ([{**START, "headers": [(b"content-length", b"-1")]}, BODY], "is not a Content-Length"),
        ([{**START, "headers": [(b"content-length", b"0")]}, BODY], "longer than its Content-Length"),
        ([{**START, "headers": [(b"content-length", b"2")]}, BODY], "shorter than its Content-Length"),
    ],
)
async def test_a_wrong_message_is_told_to_the_app(messages: list[dict[str, Any]], expected: str) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for message in messages:
                await send(message)
        except RuntimeError as exc:
            seen.append(str(exc))

    async with wire(app) as w:
        w.feed(GET)
    assert len(seen) == 1
    assert expected in seen[0]


@pytest.mark.parametrize("messages", [[], [START], [{**START, "headers": [(b"content-length", b"9")]}, BODY]])
async def test_an_app_that_has_written_nothing_is_answered_by_500(messages: list[dict[str, Any]]) -> None:
    async with wire(app_of(*messages)) as w:
        w.feed(GET)
        written = await w.until(lambda: w.transport.closed)
        assert written.startswith(b"HTTP/1.1 500 ")
        assert written.endswith(b"Internal Server Error")


async def test_an_app_that_stops_in_the_middle_cuts_the_connection() -> None:
    async with wire(app_of(START, {**BODY, "more_body": True})) as w:
        assert w.feed(GET).endswith(b"1\r\nx\r\n")
        assert w.transport.aborted


# -- the request ----------------------------------------------------------------------------------------------------


async def test_the_scope_says_what_was_sent() -> None:
    scopes: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send(START)
        await send(BODY)

    async with wire(app, root_path="/shop/") as w:
        w.feed(GET)
        w.feed(GET)
        w.feed(b"PROPFIND http://other.example/%ff HTTP/1.1\r\nHost: example.com\r\nX_A: 1\r\n\r\n")
    assert scopes[0] == scopes[1]
    assert scopes[0] == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/shop/a b",
        "raw_path": b"/shop/a%20b",
        "query_string": b"q=1",
        "root_path": "/shop",
        "headers": [(b"host", b"example.com")],
        "client": ("192.0.2.1", 4000),
        "server": ("192.0.2.9", 80),
        "state": {},
        "extensions": {},
    }
    assert scopes[2]["method"] == "PROPFIND"
    assert (scopes[2]["path"], scopes[2]["raw_path"]) == ("/shop/\ufffd", b"/shop/%ff")
    assert scopes[2]["headers"] == [(b"host", b"other.example"), (b"x_a", b"1")]


async def test_a_body_comes_whole_or_in_pieces_and_then_nobody() -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            seen.append(message)
            if not message["more_body"]:
                await send(START)
                await send(BODY)
        seen.append(message)

    async with wire(app) as w:
        w.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
        await asyncio.sleep(0)
        assert seen == [{"type": "http.request", "body": b"ab", "more_body": False}, {"type": "http.disconnect"}]
        seen.clear()
        w.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        for piece in (b"a", b"b"):
            await asyncio.sleep(0.01)
            w.feed(piece)
        await asyncio.sleep(0.01)
        assert b"".join(m.get("body", b"") for m in seen) == b"ab"
        assert [m.get("more_body") for m in seen] == [True, False, None]
        assert w.transport.written.count(b"HTTP/1.1 200") == 2


async def test_a_waiting_app_hears_that_the_client_has_gone() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.append((await receive())["type"])
        await send(START)  # is dropped
        await send(BODY)

    async with wire(app) as w:
        w.feed(GET)
        assert seen == []
        w.protocol.connection_lost(None)
        await asyncio.sleep(0.01)
        assert seen == ["http.disconnect"]
        assert w.transport.written == b""


async def test_send_waits_while_the_client_reads_slowly() -> None:
    steps: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for step in range(2):
            await send({**BODY, "more_body": True})
            steps.append(step)
        await send(BODY)

    async with wire(app) as w:
        w.protocol.pause_writing()
        w.protocol.resume_writing()
        pausing = w.transport.write

        def write(data: bytes) -> None:
            pausing(data)
            w.protocol.pause_writing()

        w.transport.write = write
        w.feed(GET)
        await asyncio.sleep(0.01)
        assert steps == []
        w.transport.write = pausing
        w.protocol.resume_writing()
        await w.until(lambda: w.transport.written.endswith(b"0\r\n\r\n"))
        assert steps == [0, 1]


async def test_the_next_request_begins_while_an_app_goes_on_after_its_answer() -> None:
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await send(START)
        await send(BODY)
        order.append(f"answered {scope['path']}")
        await asyncio.sleep(0.02)
        order.append(f"done {scope['path']}")

    async with wire(app) as w:
        w.feed(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
        await w.until(lambda: len(order) == 4)
        assert order == ["answered /1", "answered /2", "done /1", "done /2"]
        assert w.transport.written.count(b"200 OK") == 2


async def test_asgi_2_and_other_awaitables_are_called() -> None:
    class Old:
        def __init__(self, scope: Any) -> None:
            self.scope = scope

        async def __call__(self, receive: Any, send: Any) -> None:
            await send(START)
            await send({"type": "http.response.body", "body": self.scope["path"].encode()})

    def later(scope: Any, receive: Any, send: Any) -> Any:
        return asyncio.ensure_future(Old(scope)(receive, send))

    def old(scope: Any) -> Any:
        return Old(scope)

    for app in (old, later):
        async with wire(app) as w:
            w.feed(GET)
            assert (await w.until(lambda: bool(w.transport.writes))).endswith(b"/a b")


@pytest.mark.parametrize("app", [3, lambda: None, lambda a, b, c, d: None])
def test_what_is_no_app_is_a_problem(app: Any) -> None:
    with pytest.raises(ConfigurationError, match="--interface"):
        HostedApp(app)


def test_a_root_path_must_be_a_path() -> None:
    with pytest.raises(ConfigurationError, match="hosting.root_path"):
        HostedApp(app_of(), settings=HostedSettings(root_path="shop"))


# -- WSGI -----------------------------------------------------------------------------------------------------------


async def ask(app: Any, request: bytes = GET, **settings: Any) -> bytes:
    """Return the whole answer of a WSGI app."""
    async with wire(app, interface="wsgi", threads=2, **settings) as w:
        w.feed(request)
        return await w.until(lambda: w.transport.closed or w.protocol.busy is None)


async def test_the_environment_satisfies_the_validator() -> None:
    environs: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environs.append(environ)
        assert environ["wsgi.input"].read(4) == b"body"
        start_response("200 Fine", [("Content-Type", "text/plain")])
        return [b"ok"]

    request = (
        b"POST /a%20b/%C3%A9?q=1 HTTP/1.1\r\nHost: elsewhere:99\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n"
        b"X-Two: 1\r\nX-Two: 2\r\nX_Under: 3\r\nProxy: evil\r\nCookie: a=1\r\nCookie: b=2\r\n\r\nbody"
    )
    written = await ask(validator(app), request, root_path="/shop")
    assert written.startswith(b"HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\n")
    assert b"ok" in written.partition(b"\r\n\r\n")[2]
    text = {k: v for k, v in environs[0].items() if not k.startswith("wsgi.")}
    assert text == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/shop",
        "PATH_INFO": "/a b/Ã©",
        "QUERY_STRING": "q=1",
        "REQUEST_URI": "/a%20b/%C3%A9?q=1",
        "SERVER_NAME": "192.0.2.9",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "quintet",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "4000",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "4",
        "HTTP_HOST": "elsewhere:99",
        "HTTP_X_TWO": "1,2",
        "HTTP_COOKIE": "a=1; b=2",
    }


async def test_pieces_are_sent_while_the_next_is_made() -> None:
    first = threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"one"
        assert first.wait(5)
        yield b"two"

    async with wire(app) as w:
        w.feed(GET)
        await w.until(lambda: b"3\r\none\r\n" in w.transport.written)
        first.set()
        assert (await w.until(lambda: w.protocol.busy is None)).endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_an_iterable_is_closed_and_cut_at_its_length() -> None:
    closed: list[bool] = []

    class Pieces:
        def __iter__(self) -> Any:
            return iter([b"abc", b"def", b"ghi"])

        def close(self) -> None:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "4")])
        return Pieces()

    async with wire(app) as w:
        w.feed(GET)
        assert (await w.until(lambda: w.protocol.busy is None)).endswith(b"content-length: 4\r\n\r\nabcd")
        await w.until(lambda: closed == [True])


async def test_write_and_a_second_start_work_as_pep_3333_says() -> None:
    seen: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            start_response("201 Created", [])
        except RuntimeError as exc:
            seen.append(str(exc))
        try:
            raise ValueError("replaced")
        except ValueError as exc:
            write = start_response("500 Oh", [("x-a", "1")], (type(exc), exc, exc.__traceback__))
        write(b"w")
        try:
            raise ValueError("too late")
        except ValueError as exc:
            start_response("500 Oh", [], (type(exc), exc, exc.__traceback__))
        return [b"never"]

    async with wire(app) as w:
        w.feed(GET)
        written = await w.until(lambda: w.transport.closed)
        assert "exc_info" in seen[0]
        assert b"never" not in written
        # Where the piece was not out yet, the failure is still answered as one.
        assert written.startswith((b"HTTP/1.1 500 Oh\r\nx-a: 1\r\n", b"HTTP/1.1 500 Internal"))


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [("OK", [], [b"x"]), ("200 OK\r\nx: y", [], [b"x"]), ("200 OK", [("a", "b\nc")], [b"x"]), ("200 OK", [], ["text"])],
)
async def test_what_cannot_be_sent_is_a_500(status: str, headers: Any, body: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, headers)
        return body

    assert (await ask(app)).startswith(b"HTTP/1.1 500 Internal")


async def test_an_app_that_never_starts_is_a_500() -> None:
    assert (await ask(lambda environ, start_response: [])).startswith(b"HTTP/1.1 500 ")
    assert (await ask(lambda environ, start_response: [b"x"])).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("size", [10, 400_000])
async def test_a_chunked_body_is_read_to_its_end(size: int) -> None:
    lengths: list[str | None] = []

    def app(environ: Any, start_response: Any) -> Any:
        lengths.append(environ.get("CONTENT_LENGTH"))
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [b"%d" % len(body)]

    async with wire(app) as w:
        w.feed(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, size, 50_000):
            piece = b"x" * min(50_000, size - start)
            w.feed(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        w.feed(b"0\r\n\r\n")
        assert (await w.until(lambda: w.protocol.busy is None)).endswith(b"\r\n\r\n%d" % size)
    assert lengths == ["10" if size == 10 else None]


async def test_a_truncated_body_raises_where_it_is_read() -> None:
    seen: list[BaseException] = []

    def app(environ: Any, start_response: Any) -> Any:
        try:
            environ["wsgi.input"].read()
        except OSError as exc:
            seen.append(exc)
            raise
        return []

    async with wire(app) as w:
        w.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"x" * 10)
        await asyncio.sleep(0.05)
        w.protocol.connection_lost(None)
        await w.until(lambda: len(seen) == 1)


async def test_a_slow_client_makes_the_app_wait_and_its_going_ends_it() -> None:
    made: list[int] = []
    ended = threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            for number in range(1000):
                made.append(number)
                yield b"x" * 65536
        finally:
            ended.set()

    async with wire(app) as w:
        write = w.transport.write

        def pausing(data: bytes) -> None:
            write(data)
            w.protocol.pause_writing()

        w.transport.write = pausing
        w.feed(GET)
        await asyncio.sleep(0.1)
        count = len(made)
        await asyncio.sleep(0.1)
        assert len(made) == count < 20
        w.protocol.connection_lost(None)
        await w.until(ended.is_set)


async def test_threads_are_bounded_and_calls_wait_for_one() -> None:
    running: list[int] = []
    most: list[int] = []

    def app(environ: Any, start_response: Any) -> Any:
        running.append(1)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()
        start_response("200 OK", [])
        return [b"ok"]

    hosted = HostedApp(app, settings=HostedSettings(threads=2), own=AppSettings())
    server, connect = hosted.new_server(asyncio.get_running_loop())
    wires: list[Wire] = []
    for _ in range(8):
        protocol, transport = connect(), FakeTransport()
        protocol.connection_made(transport)  # pyright: ignore[reportArgumentType]
        wires.append(Wire(protocol, transport))
        wires[-1].feed(GET)
    for w in wires:
        assert (await w.until(lambda w=w: w.protocol.busy is None)).endswith(b"ok")
    assert max(most) == 2
    server.close()
    await asyncio.sleep(0.01)
