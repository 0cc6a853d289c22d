"""ASGI 3 and 2: `App` under uvicorn, hypercorn and any other ASGI server.

The server writes Date, and a Transfer-Encoding where the length is not known.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from quintet.errors import ClientDisconnected, ConfigurationError, HTTPError
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.protocols.context import logger
from quintet.protocols.dispatcher import Dispatcher, merge_headers
from quintet.protocols.exchange import Exchange, PulledConnection, close_chunks
from quintet.protocols.intake import (
    METHODS,
    Served,
    absolute_target,
    check_host,
    check_size,
    fields_of,
    method_error,
    refused,
    settle_path,
)
from quintet.types import RawHeaders, Receive, Scope, Send


async def serve(app: Served, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an ASGI 3 call."""
    kind = scope["type"]
    if kind == "lifespan":
        await _live(app, receive, send)
        return
    if not app.is_started:
        await app.ensure_started()
    if kind == "http":
        await _Exchange(app.dispatcher, scope, receive, send).run()
    elif kind == "websocket":
        from quintet.protocols.asgi_websocket import serve_websocket

        await serve_websocket(app, scope, receive, send)
    else:
        raise RuntimeError(f"an ASGI scope of type {kind!r} is not known")


def serve_v2(app: Served, scope: Scope) -> Callable[[Receive, Send], Awaitable[None]]:
    """Return the instance that an ASGI 2 server calls."""

    async def instance(receive: Receive, send: Send) -> None:
        await serve(app, scope, receive, send)

    return instance


async def _live(app: Served, receive: Receive, send: Send) -> None:
    """Start and stop the app when the server says so."""
    while True:
        message = await receive()
        step = "startup" if message["type"] == "lifespan.startup" else "shutdown"
        try:
            await (app.start() if step == "startup" else app.stop())
        except Exception as exc:  # noqa: BLE001 - reported to the server, which logs it and ends
            text = str(exc) if isinstance(exc, ConfigurationError) else traceback.format_exc()
            await send({"type": f"lifespan.{step}.failed", "message": text})
            return
        await send({"type": f"lifespan.{step}.complete"})
        if step == "shutdown":
            return


class ASGIConnection(PulledConnection):
    """The connection of one ASGI request; also the chunks of its body."""

    __slots__ = ("_ended", "_receive", "_received")

    def __init__(self, dispatcher: Dispatcher, scope: Scope, receive: Receive) -> None:
        client = scope.get("client")
        super().__init__("asgi", client[0] if client else "", scope.get("scheme", "http"), dispatcher)
        self._receive = receive
        self._received = 0
        self._ended = False

    @property
    def is_read(self) -> bool:
        """Whether the whole body has been received."""
        return self._ended

    def skip_body(self) -> None:
        """Take note that there is no body."""
        self._ended = True

    async def read_small(self, length: int) -> bytes:
        """Return a body of a known, small length.

        Raises:
            ClientDisconnected: it is truncated.
            RequestTimeout: the client sends nothing more.
        """
        chunks: list[bytes] = []
        while not self._ended and self._received < length:
            chunks.append(await self._next())
        if self._received != length:
            raise ClientDisconnected("the body is truncated")
        self._ended = True
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _next(self) -> bytes:
        message = await self.timed(self._receive())
        if message["type"] == "http.disconnect":
            self._ended = True
            self.lose()
            raise ClientDisconnected("the client closed the connection in the middle of its request")
        chunk: bytes = message.get("body", b"")
        if message.get("more_body", False):
            self.left -= len(chunk)
        else:
            self._ended = True
            self.left = 0
        self._received += len(chunk)
        return chunk

    async def wait_lost(self) -> None:
        """Return when the client has gone; only once the body has been received."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.lose()

    async def __anext__(self) -> bytes:
        """Return the next chunk of the body.

        Raises:
            ClientDisconnected: the body is truncated.
            RequestTimeout: the client sends nothing more.
        """
        while not self._ended:
            chunk = await self._next()
            if chunk:
                return chunk
        if self.lost:
            raise ClientDisconnected("the client closed the connection in the middle of its request")
        raise StopAsyncIteration


class _Exchange(Exchange):
    """One request and its answer."""

    __slots__ = ("_scope", "_send")

    def __init__(self, dispatcher: Dispatcher, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(dispatcher, ASGIConnection(dispatcher, scope, receive), scope.get("http_version", "1.1"))
        self._scope = scope
        self._send = send

    def _read_head(self) -> Request:
        scope, dispatcher = self._scope, self.dispatcher
        method: str = scope["method"]
        received: RawHeaders = scope["headers"]
        raw, fields = fields_of(received)
        query: bytes = scope.get("query_string", b"")
        path: str = scope["path"]
        raw_path: bytes | None = scope.get("raw_path")
        try:
            check_size(raw, fields, len(path if raw_path is None else raw_path) + len(query), dispatcher.limits)
            check_host(dispatcher, raw, fields, self.version, path)
            if not path.startswith("/") and raw_path is not None and b"://" in raw_path:
                raw_path, raw = absolute_target(dispatcher, raw_path, raw)
                fields = dict(raw)
                path = raw_path.decode("latin-1")
            if (
                raw_path is None
                or b"%" in raw_path
                or not raw_path.isascii()
                or not path.isprintable()
                or path[:1] != "/"
                or scope.get("root_path")
            ):
                path = settle_path(path, raw_path, scope.get("root_path") or "")
            if method not in METHODS:
                raise method_error(method)
        except HTTPError as exc:
            return refused(dispatcher, self.connection, method, raw, exc)
        return Request(method, path, query, raw, fields, None, self.connection)

    async def answer(self) -> None:
        """Read the request, run its handler, send the outcome."""
        dispatcher = self.dispatcher
        started = time.monotonic() if dispatcher.access_log is not None else 0.0
        self.request = request = self._read_head()
        route = await self.find_route(request)
        outcome = await route.endpoint(request)
        if type(outcome) is tuple:
            head, content = outcome
            status, length = head.status, len(content)
            headers = [*head.raw]
            if dispatcher.request_id:
                headers.append((b"x-request-id", request.id.encode()))
        else:
            status, headers, content, length = self._complete(cast("Response[Any]", outcome))
        bodiless = status < 200 or status in (204, 304)
        if length is not None and not bodiless:
            headers.append((b"content-length", b"%d" % length))
        if self.connection.left and isinstance(content, bytes):
            await self.connection.drain()
        if self.connection.lost:
            await close_chunks(content)
        elif isinstance(content, bytes):
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
            self.done = True
            if bodiless or request.method == "HEAD":
                content = b""
            await self._send({"type": "http.response.body", "body": content, "more_body": False})
        else:
            length = await self._stream(content, status, headers, empty=bodiless or request.method == "HEAD")
        if dispatcher.access_log is not None:
            dispatcher.access_log(request, status, length, time.monotonic() - started)

    def _complete(
        self, response: Response[Any]
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes | AsyncIterator[bytes], int | None]:
        self.callbacks = response.after
        content = response.content or b""
        # A connection of HTTP/2 is not closed by a field (RFC 9113, section 8.2.2).
        left_out = ("content-length",) if self.version[:2] == "1." else ("content-length", "connection")
        headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in merge_headers(response, self.dispatcher, self.request)
            if name not in left_out
        ]
        return response.status or 200, headers, content, len(content) if isinstance(content, bytes) else response.length

    async def _stream(
        self, chunks: AsyncIterator[bytes], status: int, headers: list[tuple[bytes, bytes]], *, empty: bool
    ) -> int:
        """Send chunks as they are made; the server's `send` waits where the client reads slowly."""
        send, connection, size = self._send, self.connection, 0
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            if not empty:
                self.watch()
                async for chunk in chunks:
                    if connection.lost:
                        return size
                    if chunk:
                        size += len(chunk)
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self.done = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except Exception:
            if not connection.lost:
                # The head has gone out: the only honest end is a cut connection, never a tidy last chunk.
                logger.error("a stream failed after its first byte")
                raise
        finally:
            await close_chunks(chunks)
        return size
