"""The server's protocol in process, against byte streams of every kind."""

# ruff: noqa: E501 - tables of cases
from __future__ import annotations

import asyncio
import gc
import itertools
import re
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quintet.app import Application
from quintet.handlers.params import Body
from quintet.http.limits import Limits
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.protocols.native_server import NativeServer
from quintet.server.http1 import Http1Protocol

app = Application(request_id=False, limits=Limits(body=2000, url=300, header_block=2000, header_count=20, pipeline=3))


@app.get("/now/{number}")
async def now(number: int) -> int:
    return number


@app.get("/later/{number}")
async def later(number: int) -> int:
    await asyncio.sleep(0)
    return number


@app.post("/json")
async def read_json(value: Body[Any]) -> Any:
    return value


@app.post("/stream")
async def read_stream(request: Request) -> str:
    return str(sum([len(chunk) async for chunk in request.stream()]))


@app.get("/fail")
async def fail() -> str:
    raise SystemExit


@app.get("/odd")
async def odd() -> Response[str]:
    response = Response("x")
    response.status = 7
    return response


@app.get("/large")
async def large() -> bytes:
    return b"x" * 100_000


class FakeTransport:
    """Keeps what is written; may tell the protocol that its client reads slowly."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = self.aborted = self.reading = False
        self.ended = False
        self.reading = True
        self.protocol: Http1Protocol | None = None
        self.slow = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name == "peername" else default

    def write(self, data: bytes) -> None:
        assert not self.ended, "written after the end"
        if not self.closed:
            self.written += data
            if self.slow and self.protocol is not None:
                self.protocol.pause_writing()

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def converse(pieces: list[bytes], *, turns: int, slow: bool = False) -> FakeTransport:
    """Feed pieces to a connection, so many turns of the loop apart, and return it when all is answered."""
    server = NativeServer(app.dispatcher, asyncio.get_running_loop())
    server.date = b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    await asyncio.sleep(0)
    protocol = Http1Protocol(server)
    transport = FakeTransport()
    transport.protocol, transport.slow = protocol, slow
    protocol.connection_made(transport)  # type: ignore[arg-type]
    for piece in pieces:
        for _ in range(200):
            if transport.reading or transport.closed:
                break
            if slow:
                protocol.resume_writing()
            await asyncio.sleep(0)
        assert transport.reading or transport.closed, "reading never goes on"
        if transport.closed:
            break
        protocol.data_received(piece)
        for _ in range(turns):
            await asyncio.sleep(0)
    for _ in range(500):
        await asyncio.sleep(0)
        if slow:
            protocol.resume_writing()
        if protocol.busy is None and not protocol.queue:
            break
    assert protocol.busy is None or protocol.body is not None, "a request hangs"
    if not transport.closed:
        protocol.eof_received()
        for _ in range(20):
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    for _ in range(20):
        await asyncio.sleep(0)
    server.close()
    await asyncio.sleep(0)
    assert not server.driver.running, "a handler outlives its connection"
    return transport


def told(transport: FakeTransport) -> bytes:
    """Return what was written, without the ids of requests."""
    return re.sub(rb'"request_id":"[^"]+"', b"", re.sub(rb"content-length: \d+", b"", transport.written))


def answers(transport: FakeTransport) -> list[bytes]:
    """Return the answers, each from its status on."""
    return [part for part in re.split(rb"HTTP/1\.1 (?=\d{3} )", transport.written) if part]


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *lines, "", ""]).encode()


def post(path: str, body: bytes, *lines: str) -> bytes:
    return (
        "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *lines, f"Content-Length: {len(body)}", "", ""]).encode()
        + body
    )


def chunked(path: str, sizes: list[int], *lines: str) -> bytes:
    start = "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", *lines, "", ""]).encode()
    return start + b"".join(b"%x\r\n%b\r\n" % (n, b"x" * n) for n in sizes) + b"0\r\n\r\n"


JSON = "Content-Type: application/json"
REQUESTS = st.one_of(
    st.integers(0, 99).map(lambda n: get(f"/now/{n}")),
    st.integers(0, 99).map(lambda n: get(f"/later/{n}")),
    st.integers(0, 99).map(lambda n: get(f"/now/{n}", "X: " + "y" * n, "Accept: application/json")),
    st.sampled_from([get("/nothing"), get("/now/%41"), get("/now/x"), get("/odd-one"), get("/now/1", *["X: y"] * 17)]),
    st.integers(0, 300).map(lambda n: post("/stream", b"x" * n)),
    st.integers(0, 300).map(lambda n: post("/json", b'"' + b"x" * n + b'"', JSON)),
    st.lists(st.integers(1, 40), max_size=5).map(lambda sizes: chunked("/stream", sizes)),
    st.just(post("/json", b"[1,", JSON)),
    st.just(get("/now/1").replace(b"1.1", b"1.0").replace(b"Host: a", b"Host: a\r\nConnection: keep-alive")),
)
LAST = st.sampled_from(
    [get("/now/7", "Connection: close"), get("/fail"), get("/odd"), b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", get("/now/1 x"),
     get("/now/1").replace(b"1.1", b"1.0"), get("/now/1", "Host: b"), post("/stream", b"x" * 20, "Connection: close"), b""]
)  # fmt: skip
CONVERSATIONS = st.tuples(st.lists(REQUESTS, min_size=1, max_size=6), LAST)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({p % len(data) for p in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(CONVERSATIONS, st.lists(st.integers(0, 10_000), max_size=6), st.integers(0, 3), st.booleans())
@settings(max_examples=150)
def test_where_a_stream_is_cut_makes_no_difference(
    conversation: tuple[list[bytes], bytes], places: list[int], turns: int, slow: bool
) -> None:
    requests, last = conversation
    data = b"".join(requests) + last

    async def main() -> None:
        whole = await converse([*requests, *([last] if last else [])], turns=5)
        pieces = await converse(cut(data, places), turns=turns, slow=slow)
        assert told(pieces) == told(whole)
        assert len(answers(whole)) == len(requests) + bool(last)

    asyncio.run(main())


@pytest.mark.parametrize(
    "data",
    [
        get("/later/1") + post("/stream", b"hello") + chunked("/stream", [3, 4]) + get("/now/2", "Connection: close"),
        post("/json", b'{"a":1}', JSON) + get("/nothing") + post("/json", b"[1,", JSON) + get("/fail"),
        # extensions, trailers, an escaped path, HEAD, an empty line between requests
        b"POST /stream HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n"
        + get("/now/%34")
        + b"\r\n"
        + get("/now/5").replace(b"GET", b"HEAD")
        + get("/now/6").replace(b"1.1", b"1.0"),
    ],
)
def test_a_stream_may_be_cut_everywhere(data: bytes) -> None:
    async def main() -> None:
        whole = told(await converse([data], turns=0))
        assert told(await converse([data[i : i + 1] for i in range(len(data))], turns=0)) == whole
        for place in range(1, len(data)):
            for turns in (0, 2):
                found = await converse([data[:place], data[place:]], turns=turns)
                assert told(found) == whole, data[:place]

    asyncio.run(main())


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "delete", "replace", "repeat", "swap"]), st.integers(0, 5000), st.binary(max_size=6)
    ),
    min_size=1,
    max_size=5,
)
TOKENS = [b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"\r\n\r\n",
          b"Host: b\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0",
          b"ffffffffffffffffff\r\n", b";" * 500, b"x" * 3000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"%", b"\xff", b"chunked, "]  # fmt: skip


def mutate(data: bytes, mutations: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, text in mutations:
        at = place % (len(data) + 1)
        text = text or TOKENS[place % len(TOKENS)]
        if kind == "insert":
            data = data[:at] + text + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + len(text) :]
        elif kind == "replace":
            data = data[:at] + text + data[at + len(text) :]
        elif kind == "repeat":
            data = data[:at] + data[max(0, at - 20) : at] * 2 + data[at:]
        else:
            data = data[at:] + data[:at]
    return data


@given(CONVERSATIONS, MUTATIONS, st.lists(st.integers(0, 10_000), max_size=4), st.integers(0, 2), st.booleans())
@settings(max_examples=300)
def test_whatever_comes_in_is_answered_or_closed(
    conversation: tuple[list[bytes], bytes],
    mutations: list[tuple[str, int, bytes]],
    places: list[int],
    turns: int,
    slow: bool,
) -> None:
    data = mutate(b"".join(conversation[0]) + conversation[1], mutations) or b"x"

    async def main() -> None:
        found = await converse(cut(data, places), turns=turns, slow=slow)
        check_answers(found)

    asyncio.run(main())


@given(
    st.lists(
        st.sampled_from([*TOKENS, get("/now/1"), b"GET ", b"POST ", b"/json", b" HTTP/1.1\r\n", b"3\r\nabc\r\n"]),
        max_size=30,
    )
)
@example([b"\r\n"] * 30)
def test_any_order_of_tokens_is_answered_or_closed(tokens: list[bytes]) -> None:
    async def main() -> None:
        check_answers(await converse(tokens or [b"x"], turns=0))

    asyncio.run(main())


def check_answers(found: FakeTransport) -> None:
    """Only whole lines of answers, no server error but those asked for."""
    for part in answers(found):
        status = int(part[:3])
        assert status in (100, 200, 400, 404, 405, 406, 411, 413, 414, 415, 417, 422, 426, 431, 501, 505) or (
            status == 500 and b"the server failed to answer" in part
        ), part[:200]
    assert found.written == b"" or found.written.startswith(b"HTTP/1.1 ")


def test_a_client_that_does_not_read_is_not_written_to_without_end() -> None:
    async def main() -> None:
        server = NativeServer(app.dispatcher, asyncio.get_running_loop())
        await asyncio.sleep(0)
        protocol = Http1Protocol(server)
        transport = FakeTransport()
        transport.protocol, transport.slow = protocol, True
        protocol.connection_made(transport)  # type: ignore[arg-type]
        protocol.data_received(get("/large") * 100)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(transport.written) < 250_000
        assert not transport.reading
        for _ in range(100):
            protocol.resume_writing()
            await asyncio.sleep(0)
        assert len(transport.written) > 100 * 100_000
        assert transport.reading
        protocol.connection_lost(None)
        server.close()
        await asyncio.sleep(0)

    asyncio.run(main())


def test_many_waiting_requests_need_no_deep_stack() -> None:
    async def main() -> None:
        found = await converse([get("/later/1") + get("/now/2") * 3000 + get("/now/3", "Connection: close")], turns=0)
        assert found.written.count(b"HTTP/1.1 200 ") == 3002
        assert found.closed

    asyncio.run(main())


@pytest.mark.parametrize(
    "data",
    [
        get("/now/1"),
        get("/later/1"),
        get("/now/1", *["X: a"] * 200),
        get("/now/1", "Connection: close"),
        post("/stream", b"x" * 50),
        post("/stream", b"x" * 50)[:-10],
        chunked("/stream", [3, 4]),
        chunked("/stream", [3, 4])[:-3],
        b"GET / nonsense\r\n\r\n",
        b"",
    ],
)
@pytest.mark.parametrize("tasks", [0, 1])
def test_a_connection_that_has_ended_is_freed_at_once(data: bytes, tasks: int) -> None:
    async def main() -> None:
        for method, path in (("GET", "/now/1"), ("GET", "/later/1"), ("POST", "/stream")):
            app.dispatcher.find(method, path)[0].tasks = tasks
        server = NativeServer(app.dispatcher, asyncio.get_running_loop())
        await asyncio.sleep(0)
        protocol = Http1Protocol(server)
        transport = FakeTransport()
        protocol.connection_made(transport)  # type: ignore[arg-type]
        if data:
            protocol.data_received(data)
        for _ in range(5):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert sys.getrefcount(protocol) == 2, "something still refers to the connection"
        server.close()
        await asyncio.sleep(0)

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def test_the_version_belongs_to_the_request() -> None:
    old = get("/now/1").replace(b"1.1", b"1.0").replace(b"Host: a", b"Host: a\r\nConnection: keep-alive")

    async def main() -> None:
        found = await converse(
            [get("/later/1") + old + get("/later/2") + old + b"GET /now/3 HTTP/1.1\r\n\r\n"], turns=0
        )
        assert [a[:3] for a in answers(found)] == [b"200"] * 4 + [b"400"]
        assert [b"keep-alive" in a for a in answers(found)] == [False, True, False, True, False]

    asyncio.run(main())
