"""WebSockets over RSGI: Granian.

RSGI has no subprotocols, no header fields in the answer, no close codes in either direction, and refuses a handshake
with a status alone. A handler that needs these finds `RuntimeError`; the built-in server and ASGI have them.
"""

from __future__ import annotations

from typing import Any

from quintet.errors import HTTPError
from quintet.http.channel import ABNORMAL, WebSocketDisconnect
from quintet.http.connection import Connection
from quintet.http.headers import ResponseHeaders
from quintet.http.request import Request
from quintet.http.websocket import WebSocketOptions
from quintet.protocols.dispatcher import Dispatcher
from quintet.protocols.intake import Served, check_host, check_size, fields_of, settle_path
from quintet.protocols.websocket import PulledChannel, find_websocket, options_of, run_after, serve_handler

_CLOSE, _BYTES = 0, 1


async def serve_websocket(app: Served, scope: Any, protocol: Any) -> None:
    """Serve one WebSocket."""
    dispatcher = app.dispatcher
    request, error = _read_head(dispatcher, scope)
    if error is not None:
        response = await dispatcher.on_error(request, error)
    else:
        route = find_websocket(dispatcher, request)
        options = WebSocketOptions() if route is None else options_of(route)
        response = await serve_handler(dispatcher, request, route, RSGIChannel(options, protocol))
    if response is not None:
        protocol.close(response.status or 403)
        await run_after(request, response)


def _read_head(dispatcher: Dispatcher, scope: Any) -> tuple[Request, HTTPError | None]:
    peer: str = scope.client.rpartition(":")[0].strip("[]")
    scheme = "https" if scope.scheme in ("https", "wss") else "http"
    connection = Connection("rsgi", peer, scheme, dispatcher.limits, dispatcher.proxies)
    raw, fields = fields_of([(n.encode("latin-1"), v.encode("latin-1")) for n, v in scope.headers.items()])
    target: bytes = scope.path.encode()
    query: bytes = scope.query_string.encode()
    error: HTTPError | None = None
    path = "/"
    try:
        if b"host" not in fields and scope.authority:  # HTTP/2 has it in :authority
            raw.append((b"host", scope.authority.encode()))
            fields = dict(raw)
        check_size(raw, fields, len(target) + len(query), dispatcher.limits)
        check_host(dispatcher, raw, fields, scope.http_version)
        path = settle_path(target.decode(), target, "")
    except HTTPError as exc:
        error = exc
    return Request("GET", path, query, raw, fields, b"", connection), error


class RSGIChannel(PulledChannel):
    """The channel of an RSGI server."""

    def __init__(self, options: WebSocketOptions, protocol: Any) -> None:
        super().__init__(options)
        self._protocol = protocol
        self._transport: Any = None

    async def send_accept(self, subprotocol: str | None, headers: ResponseHeaders) -> None:
        """Tell the server to complete the handshake.

        Raises:
            RuntimeError: header fields were given, or a subprotocol.
            WebSocketDisconnect: the client has gone.
        """
        if headers.items() or subprotocol is not None:
            raise RuntimeError(
                "RSGI cannot send header fields or a subprotocol in the answer to a WebSocket handshake; "
                "serve the app with the built-in server or over ASGI"
            )
        try:
            self._transport = await self._protocol.accept()
        except RuntimeError as exc:
            raise _gone(exc) from None

    async def pull(self) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketDisconnect: the client has gone.
        """
        if self._transport is None:
            raise WebSocketDisconnect(ABNORMAL)
        try:
            message = await self._transport.receive()
        except RuntimeError as exc:
            raise _gone(exc) from None
        if message.kind == _CLOSE:
            raise WebSocketDisconnect(1005)
        return message.data

    async def push(self, frame: str | bytes) -> None:
        """Hand a message to the server.

        Raises:
            WebSocketDisconnect: the client has gone.
        """
        try:
            if isinstance(frame, str):
                await self._transport.send_str(frame)
            else:
                await self._transport.send_bytes(frame)
        except RuntimeError as exc:
            raise _gone(exc) from None

    async def finish(self) -> None:
        """Stop reading, and let go of the transport: Granian keeps the connection as long as anybody holds it."""
        await super().finish()
        self._transport = None

    async def send_close(self, code: int, reason: str) -> None:
        """Tell the server to close; it sends no code and no reason."""
        self._protocol.close(code)


def _gone(exc: RuntimeError) -> Exception:
    is_closed = type(exc).__name__ in ("RSGIProtocolClosed", "RSGIProtocolError")
    return WebSocketDisconnect(ABNORMAL, "the client has gone") if is_closed else exc
