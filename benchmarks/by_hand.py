"""The same contracts by hand: bare functions on uvloop and httptools, without a framework.

What one writes when little but speed counts, and still correct: requests and responses are objects, pipelined requests
are answered in order, bodies have a limit, idle connections are closed. No security headers, no Host check, no header
limits, no request id, no context and no task per request. The budgets compare Quintet with this, in one run.
"""

from __future__ import annotations

import asyncio
import sys
import time
import types
from collections.abc import Coroutine
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, unquote

import httptools
import jinja2
import msgspec
import uvloop
from contract import FORTUNES, TEMPLATES, Order, priced

encode = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(Order).decode
template = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True).get_template("fortunes.html")

OK = b"HTTP/1.1 200 OK\r\n"
BAD = b"HTTP/1.1 422 Unprocessable Entity\r\n"
MISSING = b"HTTP/1.1 404 Not Found\r\n"
JSON = b"application/json"
date = b""


class Request:
    __slots__ = ("body", "headers", "keep", "method", "path", "query")

    def __init__(
        self, method: bytes, path: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes, keep: bool
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.keep = keep


class Response:
    __slots__ = ("body", "kind", "line")

    def __init__(self, line: bytes, kind: bytes, body: bytes) -> None:
        self.line = line
        self.kind = kind
        self.body = body


async def plain(request: Request) -> Response:
    return Response(OK, JSON, encode({"message": "Hello, World!"}))


async def user(request: Request) -> Response:
    try:
        number = int(request.path[7:])
        query = parse_qs(request.query.decode())
        q = query["q"][0]
        limit = int(query["limit"][0]) if "limit" in query else 10
        if not (1 <= len(q) <= 50 and 1 <= limit <= 100):
            raise ValueError(limit)
    except (KeyError, ValueError):
        return Response(BAD, JSON, b'{"error":"invalid"}')
    return Response(OK, JSON, encode({"id": number, "q": q, "limit": limit}))


async def orders(request: Request) -> Response:
    try:
        order = decode_order(request.body)
    except msgspec.DecodeError as exc:
        return Response(BAD, JSON, encode({"error": str(exc)}))
    return Response(OK, JSON, encode(priced(order)))


async def fortunes(request: Request) -> Response:
    return Response(OK, b"text/html; charset=utf-8", template.render(fortunes=FORTUNES).encode())


async def suspended(request: Request) -> Response:
    await asyncio.sleep(0)
    return Response(OK, JSON, encode({"message": "Hello, World!"}))


async def missing(request: Request) -> Response:
    return Response(MISSING, b"text/plain", b"not found")


ROUTES = {"/json": plain, "/orders": orders, "/fortunes": fortunes, "/suspended": suspended}


@types.coroutine
def carry_on(coro: Coroutine[Any, Any, Any], waiting: Any) -> Any:
    """Go on with a coroutine that has yielded."""
    while True:
        try:
            value = yield waiting
        except BaseException as exc:  # noqa: BLE001 - it belongs to the coroutine
            waiting = coro.throw(exc)
            continue
        try:
            waiting = coro.send(value)
        except StopIteration as stop:
            return stop.value


class Connection(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.queue: list[Request] = []
        self.busy = False
        self.last = now
        self.reset()
        connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        connections.discard(self)

    def reset(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: list[bytes] = []
        self.size = 0

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > 1 << 20:
            self.transport.close()
        self.chunks.append(chunk)

    def on_message_complete(self) -> None:
        path, _, query = self.target.partition(b"?")
        parser, chunks = self.parser, self.chunks
        request = Request(
            parser.get_method(),
            unquote(path.decode()) if b"%" in path else path.decode(),
            query,
            self.headers,
            chunks[0] if len(chunks) == 1 else b"".join(chunks),
            parser.should_keep_alive(),
        )
        self.reset()
        if self.busy:
            self.queue.append(request)
        else:
            self.start(request)

    def start(self, request: Request) -> None:
        handler = ROUTES.get(request.path) or (user if request.path.startswith("/users/") else missing)
        coro = handler(request)
        try:
            waiting = coro.send(None)
        except StopIteration as stop:
            self.finish(request, stop.value)
        else:
            self.busy = True
            asyncio.get_running_loop().create_task(self.later(request, coro, waiting))

    async def later(self, request: Request, coro: Any, waiting: Any) -> None:
        response = await carry_on(coro, waiting)
        self.busy = False
        self.finish(request, response)
        if self.queue:
            self.start(self.queue.pop(0))

    def finish(self, request: Request, response: Response) -> None:
        body = response.body
        head = b"%b%bcontent-type: %b\r\ncontent-length: %d\r\n" % (response.line, date, response.kind, len(body))
        if request.method == b"HEAD":
            body = b""
        if request.keep:
            self.last = now
            self.transport.write(b"%b\r\n%b" % (head, body))
        else:
            self.transport.write(b"%bconnection: close\r\n\r\n%b" % (head, body))
            self.transport.close()


now = 0.0
connections: set[Connection] = set()


def tick(loop: asyncio.AbstractEventLoop) -> None:
    global date, now
    now = time.monotonic()
    date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
    for connection in list(connections):
        if not connection.busy and now - connection.last > 20:
            connection.transport.close()
    loop.call_later(1.0, tick, loop)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    tick(loop)
    server = await loop.create_server(Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
