"""WebSockets of hosted ASGI apps: the messages of ASGI over the server's own channel."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from quintet.errors import BadRequest, Forbidden, InternalServerError
from quintet.http.channel import INTERNAL_ERROR, Channel, WebSocketDisconnect
from quintet.http.headers import ResponseHeaders
from quintet.http.websocket import WebSocket, WebSocketOptions, cut_reason
from quintet.protocols.dispatcher import CompiledRoute, HostedResponse
from quintet.server.hosted_answer import error_response
from quintet.server.hosted_asgi import build_scope
from quintet.server.websocket import WebSocketProtocol, check_handshake

if TYPE_CHECKING:
    from quintet.http.request import Request
    from quintet.http.response import Response
    from quintet.server.hosted import HostedProtocol, HostedRequest
    from quintet.server.hosted_app import HostedApp
    from quintet.types import Message, Scope

logger = logging.getLogger("quintet.server")


def start_hosted_websocket(http: HostedProtocol, request: HostedRequest, rest: bytes) -> None:
    """Take over a connection whose client asks for a WebSocket.

    Args:
        http: the protocol that has read the handshake; it answers where the handshake is refused.
        request: the handshake.
        rest: what came in behind it.
    """
    error = check_handshake(request)
    if error is None and (http.busy is not None or http.version_1_0):
        error = BadRequest("a WebSocket handshake must be an HTTP/1.1 request that waits for the answers before it")
    if error is not None:
        http.refuse(request, error)
        return
    scope = _scope_of(http, request)
    hosted = http.hosted

    async def endpoint(request: Request, websocket: WebSocket[Any, Any]) -> Response[Any] | None:
        channel = websocket._channel  # pyright: ignore[reportPrivateUsage]
        return await HostedSocket(hosted, request, scope, channel).run()

    options = WebSocketOptions(max_message=hosted.settings.max_message)
    route = CompiledRoute(endpoint, kind="websocket")  # pyright: ignore[reportArgumentType]
    WebSocketProtocol(http, request, route, rest, options).start()


def _scope_of(http: HostedProtocol, request: HostedRequest) -> Scope:
    scope = build_scope(http, request)
    del scope["method"]
    offered = ",".join(request.headers.getall("sec-websocket-protocol"))
    scope.update(
        type="websocket",
        scheme="wss" if scope["scheme"] == "https" else "ws",
        subprotocols=[name for part in offered.split(",") if (name := part.strip())],
        extensions={"websocket.http.response": {}},
    )
    return scope


class HostedSocket:
    """What an app sees of a WebSocket: `receive` and `send`."""

    def __init__(self, hosted: HostedApp, request: Request, scope: Scope, channel: Channel) -> None:
        self._hosted = hosted
        self._request = request
        self._scope = scope
        self._channel = channel
        self._is_told = False
        self._is_accepted = False
        self._is_closed = False
        #: The answer that refuses the handshake.
        self._denial: HostedResponse | None = None
        self._chunks: list[bytes] = []

    async def run(self) -> Response[Any] | None:
        """Call the app until it ends; return the answer that refuses the handshake, if it is refused."""
        try:
            await self._hosted.call(self._scope, self.receive, self.send)
        except WebSocketDisconnect:
            if not self._is_accepted:
                return self._refusal()
        except Exception as exc:
            ended = self._channel.ended
            if ended is None or self._is_closed:
                logger.exception("the app failed in a WebSocket")
            else:
                logger.debug("the app ended after its WebSocket had", exc_info=True)
            if self._is_accepted:
                await self._close(INTERNAL_ERROR, "")
            elif self._denial is None:
                return await self._hosted.answer_error(self._request, exc)
        if self._is_accepted:
            return None
        return self._refusal()

    def _refusal(self) -> Response[Any]:
        if self._denial is None:
            if self._channel.ended is None:
                logger.error("the app ended without accepting a WebSocket or refusing it")
            return error_response(InternalServerError())
        self._denial.content = b"".join(self._chunks)
        return self._denial

    async def receive(self) -> Message:
        """Return the next message to the app."""
        if not self._is_told:
            self._is_told = True
            return {"type": "websocket.connect"}
        if self._denial is not None:
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        try:
            frame = await self._channel.read()
        except WebSocketDisconnect as exc:
            return {"type": "websocket.disconnect", "code": exc.code, "reason": exc.reason}
        if isinstance(frame, str):
            return {"type": "websocket.receive", "text": frame}
        return {"type": "websocket.receive", "bytes": frame}

    async def send(self, message: Message) -> None:
        """Take a message of the app.

        Raises:
            RuntimeError: it is not the message's turn, or it cannot be sent.
            OSError: the WebSocket is closed.
        """
        kind = message["type"]
        if self._is_closed or (self._denial is not None and kind != "websocket.http.response.body"):
            raise RuntimeError(f"{kind!r} was sent after the WebSocket was closed or refused")
        if kind == "websocket.send":
            await self._send(message)
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            if self._is_accepted:
                await self._close(message.get("code", 1000) or 1000, message.get("reason") or "")
            else:
                self._denial = error_response(Forbidden())
                self._chunks = [b"Forbidden"]
                self._is_closed = True
        elif kind == "websocket.http.response.start":
            self._refuse(message)
        elif kind == "websocket.http.response.body" and self._denial is not None:
            self._chunks.append(bytes(message.get("body", b"")))
            self._is_closed = not message.get("more_body", False)
        else:
            raise RuntimeError(f"{kind!r} cannot be sent now; a WebSocket is accepted or refused first")

    async def _accept(self, message: Message) -> None:
        if self._is_accepted:
            raise RuntimeError("'websocket.accept' was sent before")
        subprotocol = message.get("subprotocol")
        if subprotocol is not None and subprotocol not in self._scope["subprotocols"]:
            raise RuntimeError(f"the client offers the subprotocols {self._scope['subprotocols']}, not {subprotocol!r}")
        headers = ResponseHeaders()
        for name, value in message.get("headers", ()):
            headers.add(bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
        self._is_accepted = True
        try:
            await self._channel.accept(subprotocol, headers)
        except WebSocketDisconnect as exc:
            raise _closed(exc) from None

    async def _send(self, message: Message) -> None:
        if not self._is_accepted:
            raise RuntimeError("'websocket.send' was sent before 'websocket.accept'")
        frame: Any = message.get("text")
        if frame is None:
            frame = message.get("bytes")
            if frame is None:
                raise RuntimeError("'websocket.send' needs 'text' or 'bytes'")
            frame = bytes(frame)
        try:
            if self._channel.ended is not None:
                raise self._channel.ended
            await self._channel.write(frame)
        except WebSocketDisconnect as exc:
            raise _closed(exc) from None

    async def _close(self, code: int, reason: str) -> None:
        self._is_closed = True
        if self._channel.ended is None:
            await self._channel.shut(code, cut_reason(reason))
            self._channel.end(code, reason)

    def _refuse(self, message: Message) -> None:
        if self._is_accepted:
            raise RuntimeError("'websocket.http.response.start' was sent after 'websocket.accept'")
        status = message["status"]
        if status.__class__ is not int or not 200 <= status <= 599:
            raise RuntimeError(f"{status!r} is not the status of an answer")
        response = HostedResponse(None, status)
        for name, value in message.get("headers", ()):
            text = bytes(name).decode("latin-1").lower()
            if text not in ("content-length", "transfer-encoding", "connection", "date"):
                response.headers.add(text, bytes(value).decode("latin-1"))
        self._denial = response


def _closed(exc: WebSocketDisconnect) -> OSError:
    return ConnectionError(str(exc))
