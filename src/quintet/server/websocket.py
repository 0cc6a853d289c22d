"""WebSockets (RFC 6455) of the built-in server: a connection after its upgrade.

The rules of a connection's end live here alone:

1. The first close wins: ours or the peer's close frame, a violation by the peer, or a lost connection.
2. A close frame is sent once, and nothing after it.
3. After our close frame the peer has `CLOSE_TIMEOUT` seconds to answer; then the connection is cut.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from contextvars import copy_context
from hashlib import sha1
from typing import TYPE_CHECKING, Any, cast

from quintet.errors import BadRequest, HTTPError
from quintet.http.channel import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, MESSAGE_TOO_BIG, Channel, WebSocketDisconnect
from quintet.http.headers import ResponseHeaders
from quintet.http.request import Request
from quintet.http.websocket import WebSocket, WebSocketOptions, cut_reason
from quintet.protocols.dispatcher import CompiledRoute
from quintet.protocols.drive import SUSPENDED
from quintet.server.deflate import BoundedMessages, negotiate_deflate
from quintet.server.frames import NO_STATUS, Event, FrameReader, FrameWriter

if TYPE_CHECKING:
    from quintet.http.response import Response
    from quintet.protocols.native import NativeProtocol
    from quintet.protocols.native_server import NativeServer

logger = logging.getLogger("quintet.server")

#: Seconds the peer has to answer a close frame.
CLOSE_TIMEOUT = 5.0
#: Bytes a client may send before its handshake is answered.
EARLY_BYTES = 64 * 1024

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REASONS = {
    1002: "this is not a valid WebSocket frame",
    1007: "the message is not valid UTF-8, or not validly compressed",
    MESSAGE_TOO_BIG: "the message is too large, or in too many fragments",
}
_FAR = float("inf")


def check_handshake(request: Request) -> HTTPError | None:
    """Return what is wrong with the head of a handshake (RFC 6455, section 4.2.1)."""
    fields = request.fields
    connection = [t.strip().lower() for v in request.headers.getall("connection") for t in v.split(",")]
    if "upgrade" not in connection:
        return BadRequest("a WebSocket handshake needs Connection: Upgrade")
    if fields.get(b"sec-websocket-version") != b"13":
        detail = "only version 13 of the WebSocket protocol is spoken here"
        headers = {"sec-websocket-version": "13", "upgrade": "websocket", "connection": "Upgrade"}
        return HTTPError(426, detail, headers=headers)
    keys = request.headers.getall("sec-websocket-key")
    try:
        if len(keys) != 1 or len(base64.b64decode(keys[0], validate=True)) != 16:
            raise ValueError
    except (ValueError, binascii.Error):
        return BadRequest("Sec-WebSocket-Key must be 16 bytes in base64, once")
    return None


def start_websocket(http: NativeProtocol, request: Request, rest: bytes) -> None:
    """Take over a connection whose client asks for a WebSocket.

    Args:
        http: the protocol that has read the handshake; it answers where the handshake is refused.
        rest: what came in behind the handshake.
    """
    found = http.dispatcher.find_websocket(request.path)
    if found is None:
        # RFC 9110, section 7.8: where there is no WebSocket, the request to upgrade is ignored.
        http.last = True
        http.start(request)
        return
    error = check_handshake(request)
    if error is None and (http.busy is not None or http.version_1_0):
        error = BadRequest("a WebSocket handshake must be an HTTP/1.1 request that waits for the answers before it")
    if error is not None:
        http.refuse(request, error)
        return
    route, request.params = found
    request.route = route
    WebSocketProtocol(http, request, route, rest).start()


class WebSocketProtocol(asyncio.Protocol):
    """One WebSocket connection."""

    def __init__(
        self,
        http: NativeProtocol,
        request: Request,
        route: CompiledRoute,
        rest: bytes,
        options: WebSocketOptions | None = None,
    ) -> None:
        options = (
            options or (route.route.options.get("websocket") if route.route is not None else None) or WebSocketOptions()
        )
        self.http = http
        self.server: NativeServer = http.server
        self.transport = http.transport
        self.request = request
        self.route = route
        self.options = options
        self.channel = ServerChannel(self, options)
        self.lost = False
        #: When silence has lasted too long.
        self.deadline = self.server.now + http.dispatcher.limits.header_timeout
        #: What reads and makes frames, as soon as the handshake is answered.
        self._reader: FrameReader | None = None
        self._writer: FrameWriter | None = None
        self._early = rest
        self._is_pinged = False
        self._is_reading = True
        self._is_closing = False
        #: Nothing that comes in is looked at any more.
        self._is_deaf = False
        self._paused: asyncio.Future[None] | None = None
        self._unsent = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take over the transport, and run the handler."""
        self.transport.set_protocol(self)
        connections = cast("set[Any]", self.server.connections)
        connections.discard(self.http)
        connections.add(self)
        self.server.counters.websockets += 1
        websocket: WebSocket[Any, Any] = WebSocket(self.request, self.channel, self.options)
        endpoint: Any = self.route.endpoint
        handling = self.channel.run(endpoint(self.request, websocket))
        driver = self.server.driver
        try:
            outcome = driver.start(handling, copy_context(), self._ended)
        except BaseException as exc:  # noqa: BLE001 - endpoints answer exceptions; this is a bug or a cancellation
            self._ended(None, exc)
            return
        if outcome is SUSPENDED:
            self._task = driver.task
        else:
            self._ended(outcome, None)

    def _ended(self, response: Response[Any] | None, error: BaseException | None) -> None:
        """The handler has ended: answer with the response that refuses the handshake, or close."""
        self._task = None
        if self.lost:
            cast("set[Any]", self.server.connections).discard(self)
        if error is not None:
            if not isinstance(error, asyncio.CancelledError):
                logger.error("a WebSocket ended without being closed", exc_info=error)
            if self._writer is None:
                self.abort()
            else:
                self.close(INTERNAL_ERROR, "")
        elif response is not None and not self.lost:
            self._refuse(response)
        elif self._writer is None:
            self.abort()
        elif not self._is_closing:
            self.close(1000, "")

    def _refuse(self, response: Response[Any]) -> None:
        """Give the connection back to HTTP for an answer that is not 101."""

        async def endpoint(request: Request) -> Response[Any]:
            return response

        connections = cast("set[Any]", self.server.connections)
        connections.discard(self)
        connections.add(self.http)
        self.transport.set_protocol(self.http)
        self.http.last = True
        self.request.route = CompiledRoute(endpoint, kind="answer")
        self.http.start(self.request)

    # -- the handshake --------------------------------------------------------------------------------------------

    def accept(self, subprotocol: str | None, headers: ResponseHeaders) -> None:
        """Answer 101, and read what has come in meanwhile."""
        key = self.request.fields[b"sec-websocket-key"]
        token = base64.b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n",
            b"sec-websocket-accept: %b\r\n" % token,
            self.server.date,
        ]
        extension = BoundedMessages(self.options.max_message)
        if self.options.compression:
            offers = ", ".join(self.request.headers.getall("sec-websocket-extensions"))
            found = negotiate_deflate(offers) if offers else None
            if found is not None:
                extension = BoundedMessages(self.options.max_message, found[0])
                lines.append(b"sec-websocket-extensions: %b\r\n" % found[1].encode())
        if subprotocol is not None:
            lines.append(b"sec-websocket-protocol: %b\r\n" % subprotocol.encode("latin-1"))
        if self.server.dispatcher.request_id:
            lines.append(b"x-request-id: %b\r\n" % self.request.id.encode())
        lines += [b"%b: %b\r\n" % (n.encode("latin-1"), v.encode("latin-1")) for n, v in headers.items()]
        lines.append(b"\r\n")
        self.transport.write(b"".join(lines))
        self._reader, self._writer = FrameReader(extension), FrameWriter(extension)
        self.deadline = self.server.now + self.options.ping_interval
        early, self._early = self._early, b""
        if self.server.stopping:
            self.close_when_idle()
        elif early:
            self.data_received(early)

    # -- what comes in --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse what has come in."""
        reader = self._reader
        if self._is_deaf:
            return
        if reader is None:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self.abort()
            return
        if not self._is_closing:
            self.deadline = self.server.now + self.options.ping_interval
            self._is_pinged = False
        reader.feed(data)
        self._read()

    def _read(self) -> None:
        """Handle complete frames until enough messages wait."""
        reader, writer = self._reader, self._writer
        assert reader is not None
        assert writer is not None
        while (event := reader.next_event()) is not None:
            if event.kind == "message":
                if not self._is_closing:
                    self.channel.feed(event.data)
            elif event.kind == "ping":
                if not self._is_closing:
                    self.transport.write(writer.pong(cast("bytes", event.data)))
            elif event.kind != "pong":
                self._closed_by_peer(event)
                return
            if self.channel.is_full and not self._is_closing:
                self._pause_reading()
                return
        self._resume_reading()

    def _closed_by_peer(self, event: Event) -> None:
        """The peer has sent a close frame, or something that it must not send."""
        if event.kind == "failed" and not self._is_closing:
            # Closing a socket that has unread data would reset it, and the peer would not see why: what still comes
            # is thrown away until the peer closes or the time is over.
            self._is_deaf = True
            self.close(event.code, _REASONS.get(event.code, ""))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            return
        if not self._is_closing:
            assert self._writer is not None
            self._is_closing = True
            self.transport.write(self._writer.close(event.code if event.code != NO_STATUS else 1000))
            self.channel.end(event.code, event.reason)
        self.transport.close()

    # -- what goes out --------------------------------------------------------------------------------------------

    async def write(self, frame: str | bytes) -> None:
        """Send a message; wait while the peer reads slowly."""
        writer = self._writer
        if writer is None or self._is_closing or self.lost:
            ended = self.channel.ended or WebSocketDisconnect()
            raise WebSocketDisconnect(ended.code, ended.reason)
        self.transport.write(writer.message(frame))
        if self._paused is not None:
            await asyncio.shield(self._paused)

    def close(self, code: int, reason: str) -> None:
        """Send the close frame, and give the peer some time to answer."""
        writer = self._writer
        if self._is_closing or self.lost or writer is None:
            return
        self._is_closing = True
        self.transport.write(writer.close(code, cut_reason(reason)))
        self.channel.end(code, reason)
        self.deadline = self.server.now + CLOSE_TIMEOUT
        self._resume_reading()

    # -- flow -----------------------------------------------------------------------------------------------------

    def _pause_reading(self) -> None:
        if self._is_reading and not self.lost:
            self._is_reading = False
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._is_reading and not self.lost and (self._paused is None or self._is_closing):
            self._is_reading = True
            self.deadline = max(self.deadline, self.server.now + CLOSE_TIMEOUT)
            self.transport.resume_reading()

    def has_room(self) -> None:
        """The handler has taken a message: read on."""
        if not self._is_reading and not self._is_closing and not self.lost:
            self._read()

    def pause_writing(self) -> None:
        """The peer reads too slowly: senders wait, and so does the peer, whose pings would be answered."""
        if self._paused is None:
            self._paused = self.server.loop.create_future()
        self._unsent = self.transport.get_write_buffer_size()
        self._pause_reading()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        paused, self._paused = self._paused, None
        if paused is not None and not paused.done():
            paused.set_result(None)
        if self._reader is not None and not self.channel.is_full:
            self.has_room()

    # -- the life of the connection -------------------------------------------------------------------------------

    def expire(self) -> None:
        """Silence has lasted too long: ping, or give up."""
        if self._writer is None or self._is_closing:
            self.abort()
            return
        self.deadline = self.server.now + self.options.ping_interval
        unsent = self.transport.get_write_buffer_size()
        if self._paused is not None:
            if unsent >= self._unsent:  # nothing was read for a whole interval
                self.abort()
            self._unsent = unsent
        elif not self._is_reading:
            return  # the peer waits for us
        elif self._is_pinged:
            self.abort()
        else:
            self._is_pinged = True
            self.transport.write(self._writer.ping())

    def close_when_idle(self, idle: float = 0.0) -> None:
        """The server stops: say so to the peer, whatever it is about to send."""
        self.close(GOING_AWAY, "the server is restarting")

    def abort(self) -> None:
        """Cut the connection; where that has happened, end the handler."""
        self.deadline = _FAR
        if self.lost:
            if self._task is not None:
                self._task.cancel()
        elif not self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.transport.abort()

    def eof_received(self) -> bool:
        """The peer sends nothing more: without a close frame that is the end."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has gone; a stopping server still waits for its handler."""
        self.lost = True
        self.deadline = _FAR
        self.http.connection_lost(exc)
        if self._task is None:
            cast("set[Any]", self.server.connections).discard(self)
        self.channel.end(ABNORMAL, "the connection was lost")
        paused, self._paused = self._paused, None
        if paused is not None and not paused.done():
            paused.set_result(None)


class ServerChannel(Channel):
    """The channel of the built-in server."""

    def __init__(self, protocol: WebSocketProtocol, options: WebSocketOptions) -> None:
        super().__init__(options.max_queue, options.max_message)
        self._protocol = protocol

    async def accept(self, subprotocol: str | None, headers: ResponseHeaders) -> None:
        """Complete the handshake.

        Raises:
            WebSocketDisconnect: the client has gone.
        """
        if self._protocol.lost:
            raise WebSocketDisconnect(ABNORMAL)
        self._protocol.accept(subprotocol, headers)

    async def write(self, frame: str | bytes) -> None:
        """Send a message."""
        await self._protocol.write(frame)

    async def shut(self, code: int, reason: str) -> None:
        """Send the close frame."""
        self._protocol.close(code, reason)

    def has_room(self) -> None:
        """Read on."""
        self._protocol.has_room()
