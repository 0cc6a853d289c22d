"""RSGI: `App` on Granian, with fewer steps than ASGI.

Granian hands bodies over as one awaitable, which raises `RSGIProtocolClosed` where the body is truncated, or as chunks:
an intact body ends with one empty chunk, a broken one with two. It writes Date and Transfer-Encoding itself. What it
hides: paths come decoded, with a replacement character for what is not UTF-8, so a path that holds one is refused; and
a header field that is not ASCII is dropped.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, cast

from quintet.errors import BadRequest, ClientDisconnected, HTTPError
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.http.url import check_path
from quintet.protocols.context import logger
from quintet.protocols.dispatcher import Dispatcher, merge_headers
from quintet.protocols.exchange import Exchange, PulledConnection, close_chunks
from quintet.protocols.intake import (
    METHODS,
    Served,
    check_host,
    check_size,
    fields_of,
    method_error,
    refused,
)


async def serve(app: Served, scope: Any, protocol: Any) -> None:
    """Answer an RSGI call."""
    if not app.is_started:
        await app.ensure_started()
    if scope.proto == "http":
        await _Exchange(app.dispatcher, scope, protocol).run()
    else:
        from quintet.protocols.rsgi_websocket import serve_websocket

        await serve_websocket(app, scope, protocol)


def is_closed(exc: BaseException) -> bool:
    """Tell whether an exception is Granian's word for a client that has gone."""
    return type(exc).__name__ in ("RSGIProtocolClosed", "RSGIProtocolError")


class RSGIConnection(PulledConnection):
    """The connection of one RSGI request; also the chunks of its body."""

    __slots__ = ("_chunks", "_protocol")

    def __init__(self, dispatcher: Dispatcher, scope: Any, protocol: Any) -> None:
        super().__init__("rsgi", scope.client.rpartition(":")[0].strip("[]"), scope.scheme, dispatcher)
        self._protocol = protocol
        self._chunks: Any = None

    @property
    def is_read(self) -> bool:
        """Always true: Granian tells of the client beside the body."""
        return True

    async def wait_lost(self) -> None:
        """Return when the client has gone."""
        await self._protocol.client_disconnect()
        self.lose()

    async def read_small(self, length: int) -> bytes:
        """Return a body of a known, small length.

        Raises:
            ClientDisconnected: it is truncated.
            RequestTimeout: the client sends nothing more.
        """
        body: bytes = await self._receive(self._protocol())
        if len(body) != length:
            raise ClientDisconnected("the body is truncated")
        return body

    async def _receive(self, receiving: Any) -> Any:
        try:
            return await self.timed(receiving)
        except RuntimeError as exc:
            if not is_closed(exc):
                raise
            self.lose()
            raise ClientDisconnected("the client closed the connection in the middle of its request") from None

    async def __anext__(self) -> bytes:
        """Return the next chunk of the body.

        Raises:
            ClientDisconnected: the body is truncated.
            RequestTimeout: the client sends nothing more.
        """
        if self._chunks is None:
            self._chunks = aiter(self._protocol)
        chunk: bytes = await self._receive(anext(self._chunks))
        if not chunk:
            self.left = 0
            chunk = await self._receive(anext(self._chunks))
            if not chunk:
                raise ClientDisconnected("the body is truncated or malformed")
        self.left -= len(chunk)
        return chunk


class _Exchange(Exchange):
    """One request and its answer."""

    __slots__ = ("_protocol", "_scope")

    def __init__(self, dispatcher: Dispatcher, scope: Any, protocol: Any) -> None:
        super().__init__(dispatcher, RSGIConnection(dispatcher, scope, protocol), scope.http_version)
        self._scope = scope
        self._protocol = protocol

    def _read_head(self) -> Request:
        scope, dispatcher = self._scope, self.dispatcher
        method: str = scope.method
        raw, fields = fields_of([(n.encode("latin-1"), v.encode("latin-1")) for n, v in scope.headers.items()])
        path: str = scope.path
        query: bytes = scope.query_string.encode()
        authority: str | None = scope.authority
        try:
            check_size(raw, fields, len(path) + len(query), dispatcher.limits)
            if authority is not None:  # of HTTP/2, or of a target in absolute form
                if b"host" in fields:
                    check_host(dispatcher, raw, fields, self.version, path)
                raw = [*(pair for pair in raw if pair[0] != b"host"), (b"host", authority.encode())]
                fields = dict(raw)
            check_host(dispatcher, raw, fields, self.version, path)
            if "\ufffd" in check_path(path):
                raise BadRequest("the path is not valid UTF-8")
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
            headers = [*head.fields]
            if dispatcher.request_id:
                headers.append(("x-request-id", request.id))
        else:
            status, headers, content, length = self._complete(cast("Response[Any]", outcome))
        bodiless = status < 200 or status in (204, 304)
        if length is not None and not bodiless:
            headers.append(("content-length", str(length)))
        if self.connection.left and isinstance(content, bytes):
            await self.connection.drain()
        if self.connection.lost:
            await close_chunks(content)
        elif bodiless or request.method == "HEAD":
            self.done = True
            self._protocol.response_empty(status, headers)
            await close_chunks(content)
        elif isinstance(content, bytes):
            self.done = True
            self._protocol.response_bytes(status, headers, content)
        else:
            length = await self._stream(content, status, headers)
        if dispatcher.access_log is not None:
            dispatcher.access_log(request, status, length, time.monotonic() - started)

    def _complete(
        self, response: Response[Any]
    ) -> tuple[int, list[tuple[str, str]], bytes | AsyncIterator[bytes], int | None]:
        self.callbacks = response.after
        content = response.content or b""
        # A connection of HTTP/2 is not closed by a field (RFC 9113, section 8.2.2).
        left_out = ("content-length",) if self.version[:2] in ("1", "1.") else ("content-length", "connection")
        headers = [p for p in merge_headers(response, self.dispatcher, self.request) if p[0] not in left_out]
        return response.status or 200, headers, content, len(content) if isinstance(content, bytes) else response.length

    async def _stream(self, chunks: AsyncIterator[bytes], status: int, headers: list[tuple[str, str]]) -> int:
        """Send chunks as they are made, waiting where the client reads slowly."""
        connection, size = self.connection, 0
        transport = self._protocol.response_stream(status, headers)
        try:
            self.watch()
            async for chunk in chunks:
                if connection.lost:
                    break
                if chunk:
                    size += len(chunk)
                    await transport.send_bytes(chunk)
        except Exception as exc:
            if connection.lost or is_closed(exc):
                return size
            # The head has gone out: the only honest end is a cut connection, never a tidy last chunk.
            logger.error("a stream failed after its first byte")
            raise
        finally:
            self.done = True
            await close_chunks(chunks)
        return size
