"""WebSockets over ASGI: uvicorn, hypercorn, Granian's ASGI and any other server."""

from __future__ import annotations

from typing import Any, cast

from quintet.errors import HTTPError
from quintet.http.channel import ABNORMAL, WebSocketDisconnect
from quintet.http.connection import Connection
from quintet.http.headers import ResponseHeaders
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.http.websocket import WebSocketOptions
from quintet.protocols.dispatcher import Dispatcher, merge_headers
from quintet.protocols.intake import Served, check_host, check_size, fields_of, settle_path
from quintet.protocols.websocket import (
    PulledChannel,
    find_websocket,
    options_of,
    read_content,
    run_after,
    serve_handler,
)
from quintet.types import RawHeaders, Receive, Scope, Send

_SCHEMES = {"ws": "http", "wss": "https"}


async def serve_websocket(app: Served, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket."""
    dispatcher = app.dispatcher
    if (await receive())["type"] != "websocket.connect":
        return
    request, error = _read_head(dispatcher, scope)
    if error is not None:
        response: Response[Any] | None = await dispatcher.on_error(request, error)
    else:
        route = find_websocket(dispatcher, request)
        options = WebSocketOptions() if route is None else options_of(route)
        response = await serve_handler(dispatcher, request, route, ASGIChannel(options, receive, send))
    if response is not None:
        await _refuse(dispatcher, scope, send, request, response)
        await run_after(request, response)


def _read_head(dispatcher: Dispatcher, scope: Scope) -> tuple[Request, HTTPError | None]:
    client = scope.get("client")
    scheme = _SCHEMES.get(scope.get("scheme", "ws"), "http")
    connection = Connection("asgi", client[0] if client else "", scheme, dispatcher.limits, dispatcher.proxies)
    raw, fields = fields_of(cast("RawHeaders", list(scope["headers"])))
    query: bytes = scope.get("query_string", b"")
    path: str = scope["path"]
    raw_path: bytes | None = scope.get("raw_path")
    error: HTTPError | None = None
    try:
        check_size(raw, fields, len(path if raw_path is None else raw_path) + len(query), dispatcher.limits)
        check_host(dispatcher, raw, fields, scope.get("http_version", "1.1"))
        path = settle_path(path, raw_path, scope.get("root_path") or "")
    except HTTPError as exc:
        path, error = "/", exc
    return Request("GET", path, query, raw, fields, b"", connection), error


async def _refuse(dispatcher: Dispatcher, scope: Scope, send: Send, request: Request, response: Response[Any]) -> None:
    """Answer a handshake with an HTTP response where the server can, else with its 403."""
    content = await read_content(response)
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in merge_headers(response, dispatcher, request)]
    headers = [pair for pair in headers if pair[0] not in (b"content-length", b"connection", b"upgrade")]
    headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "websocket.http.response.start", "status": response.status or 403, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": content, "more_body": False})


class ASGIChannel(PulledChannel):
    """The channel of an ASGI server."""

    def __init__(self, options: WebSocketOptions, receive: Receive, send: Send) -> None:
        super().__init__(options)
        self._receive = receive
        self._send = send

    async def send_accept(self, subprotocol: str | None, headers: ResponseHeaders) -> None:
        """Tell the server to complete the handshake.

        Raises:
            WebSocketDisconnect: the client has gone.
        """
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._push({"type": "websocket.accept", "subprotocol": subprotocol, "headers": pairs})

    async def pull(self) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketDisconnect: the client has gone.
        """
        message = await self._receive()
        if message["type"] != "websocket.receive":
            raise WebSocketDisconnect(int(message.get("code") or 1005), message.get("reason") or "")
        text: str | None = message.get("text")
        return text if text is not None else message["bytes"]

    async def push(self, frame: str | bytes) -> None:
        """Hand a message to the server.

        Raises:
            WebSocketDisconnect: the client has gone.
        """
        kind = "text" if isinstance(frame, str) else "bytes"
        await self._push({"type": "websocket.send", kind: frame})

    async def send_close(self, code: int, reason: str) -> None:
        """Tell the server to close."""
        try:
            await self._push({"type": "websocket.close", "code": code, "reason": reason})
        except WebSocketDisconnect:
            pass  # it is closed already

    async def _push(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError) as exc:  # ASGI 2.4 says OSError, Granian RuntimeError
            raise WebSocketDisconnect(ABNORMAL, "the client has gone") from exc
