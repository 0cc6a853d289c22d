"""WebSockets as handlers see them: `WebSocket`, typed in both directions, and the options of a route.

What carries the frames is a `Channel`, one per protocol; it holds the messages that wait, so that back-pressure and
closing mean the same everywhere.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal

import msgspec

from quintet.errors import BadRequest, ConfigurationError, Forbidden, HTTPError, Problem, QuintetError
from quintet.http.headers import ResponseHeaders, is_token
from quintet.http.limits import MIB
from quintet.http.request import Request

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    In = TypeVar("In", default=str)
    Out = TypeVar("Out", default=Any)
else:
    from typing import TypeVar

    In = TypeVar("In")
    Out = TypeVar("Out")

#: Seconds a handler may go on after its peer has gone; then it is cancelled.
LINGER = 10.0

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
ABNORMAL = 1006
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011

_LONGEST_REASON = 123
_encode_json = msgspec.json.Encoder(decimal_format="string").encode
_encode_msgpack = msgspec.msgpack.Encoder(decimal_format="string").encode


class WebSocketDisconnect(QuintetError):
    """The WebSocket is closed: by the peer, by the server, or because the connection broke (1006)."""

    def __init__(self, code: int = ABNORMAL, reason: str = "") -> None:
        #: The close code (RFC 6455, section 7.4).
        self.code = code
        self.reason = reason
        super().__init__(f"the WebSocket is closed: {code}" + (f" {reason}" if reason else ""))


class WebSocketOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a WebSocket route allows: `@app.websocket("/ws", websocket=WebSocketOptions(max_message=65_536))`.

    Given to `App` or `Router` they hold for every WebSocket route below.

    Raises:
        ConfigurationError: an origin or a subprotocol that cannot be one, or a limit below 1.
    """

    #: Origins of pages that may connect besides those of the app's own host, such as `https://app.example`; `*` for all.
    origins: tuple[str, ...] = ()
    #: What a message of the wrong type leads to: `error` tells the client what is wrong and goes on, `close` ends.
    on_invalid: Literal["error", "close"] = "error"
    #: The size of a message in bytes, decompressed; a larger one closes the connection with 1009.
    max_message: int = MIB
    #: Messages that wait for the handler before the client is told to wait.
    max_queue: int = 32
    #: The subprotocols that are spoken, the preferred one first.
    subprotocols: tuple[str, ...] = ()
    #: Whether messages are compressed where the client can (permessage-deflate); the built-in server's.
    compression: bool = True
    #: Seconds of silence before a ping, and again before the connection counts as dead; the built-in server's.
    ping_interval: float = 20.0

    def __post_init__(self) -> None:
        problems = [
            Problem(
                id="websocket.origin",
                where="WebSocketOptions(origins=…)",
                message=f"{origin!r} is not an origin",
                fix="write scheme and host, and the port where it is not the usual one, such as 'https://app.example'",
            )
            for origin in self.origins
            if origin != "*" and parse_origin(origin) is None
        ]
        problems += [
            Problem(
                id="websocket.subprotocol",
                where="WebSocketOptions(subprotocols=…)",
                message=f"{name!r} is not a token (RFC 6455, section 4.1)",
            )
            for name in self.subprotocols
            if not is_token(name)
        ]
        if self.max_message < 1 or self.max_queue < 1 or self.ping_interval <= 0:
            problems.append(
                Problem(
                    id="websocket.limits",
                    where="WebSocketOptions(…)",
                    message="max_message, max_queue and ping_interval must be larger than 0",
                )
            )
        if problems:
            raise ConfigurationError(problems)


class Codec:
    """How frames become values and values frames.

    Args:
        decode: a frame to a value; raises HTTPError for what does not fit.
        encode: a value to a frame; binary where the flag says so.
    """

    __slots__ = ("decode", "encode")

    def __init__(self, decode: Callable[[str | bytes], Any], encode: Callable[[Any, bool], str | bytes]) -> None:
        self.decode = decode
        self.encode = encode


class Channel(ABC):
    """What carries the frames of one WebSocket. A protocol feeds it, a `WebSocket` reads and writes it.

    Args:
        max_queue: messages that may wait.
        max_message: the size of a message in bytes.
    """

    def __init__(self, max_queue: int, max_message: int) -> None:
        self.max_message = max_message
        self.max_queue = max_queue
        #: Why it is closed, as soon as it is.
        self.ended: WebSocketDisconnect | None = None
        self._messages: deque[str | bytes] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False

    # -- for the WebSocket ----------------------------------------------------------------------------------------

    @abstractmethod
    async def accept(self, subprotocol: str | None, headers: ResponseHeaders) -> None:
        """Complete the handshake."""

    @abstractmethod
    async def write(self, frame: str | bytes) -> None:
        """Send a message; wait while the peer reads too slowly.

        Raises:
            WebSocketDisconnect: it is closed.
        """

    @abstractmethod
    async def shut(self, code: int, reason: str) -> None:
        """Send the close frame."""

    def has_room(self) -> None:
        """Go on reading: fewer messages wait than may."""

    async def read(self) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketDisconnect: there is none, and none comes.
        """
        while not self._messages:
            if self.ended is not None:
                raise WebSocketDisconnect(self.ended.code, self.ended.reason)
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                elif waiter.cancelled() and self._messages:
                    self._wake()
        message = self._messages.popleft()
        if len(self._messages) == self.max_queue - 1:
            self.has_room()
        return message

    # -- for the protocol -----------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether as many messages wait as may."""
        return len(self._messages) >= self.max_queue

    def feed(self, message: str | bytes) -> None:
        """Add a message that has arrived."""
        self._messages.append(message)
        self._wake()

    def end(self, code: int, reason: str = "") -> None:
        """Say that it is closed, and by what; the first reason counts.

        A handler that does not notice within `LINGER` seconds is cancelled.
        """
        if self.ended is not None:
            return
        self.ended = WebSocketDisconnect(code, reason)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        if self._task is not None:
            self._timer = self._task.get_loop().call_later(LINGER, self._expire)

    async def run(self, handling: Any) -> Any:
        """Await a handler's coroutine, at most `LINGER` seconds longer than the connection lasts."""
        task = self._task = asyncio.current_task()
        try:
            return await handling
        except asyncio.CancelledError:
            if not self._expired or task is None or task.uncancel() > 0:
                raise
            return None
        finally:
            self._task = None
            if self._timer is not None:
                self._timer.cancel()

    def _expire(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class WebSocket(Generic[In, Out]):
    """A WebSocket, typed by what comes in and what goes out: `WebSocket[Message, Reply]`.

    `str` and `bytes` are text and binary messages as they are. Any other type is JSON in text messages and MessagePack
    in binary ones. `WebSocket` alone receives text and sends anything.

    Not thread-safe. One task receives; any number may send.
    """

    __slots__ = ("_channel", "_last_binary", "_options", "_state", "_subprotocol", "codec", "request")

    if not TYPE_CHECKING:

        def __class_getitem__(cls, params: Any) -> Any:
            # Python 3.11 has no defaults of type variables: `WebSocket[Message]` is `WebSocket[Message, Any]`.
            params = params if isinstance(params, tuple) else (params, Any)
            return super().__class_getitem__(params)

    def __init__(
        self, request: Request, channel: Channel, options: WebSocketOptions, codec: Codec | None = None
    ) -> None:
        #: The request of the handshake: path, query, headers, cookies, client, state.
        self.request = request
        #: How messages are read and written.
        self.codec: Codec = codec or RAW
        self._channel = channel
        self._options = options
        self._state: Literal["connecting", "open", "closed"] = "connecting"
        self._subprotocol: str | None = None
        self._last_binary = False

    def __repr__(self) -> str:
        return f"<WebSocket {self.request.path} {self._state}>"

    # -- the handshake --------------------------------------------------------------------------------------------

    @property
    def accepted(self) -> bool:
        """Whether the handshake is over."""
        return self._state != "connecting"

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._state == "closed" or self._channel.ended is not None

    @property
    def close_code(self) -> int | None:
        """The code it was closed with, or None while it is open."""
        return None if self._channel.ended is None else self._channel.ended.code

    @property
    def close_reason(self) -> str:
        """The reason that came with the code."""
        return "" if self._channel.ended is None else self._channel.ended.reason

    @property
    def offered_subprotocols(self) -> list[str]:
        """The subprotocols the client speaks, its preferred one first."""
        lines = self.request.headers.getall("sec-websocket-protocol")
        return [name for line in lines for part in line.split(",") if (name := part.strip())]

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed upon."""
        return self._subprotocol

    @property
    def is_binary(self) -> bool:
        """Whether the message received last was binary."""
        return self._last_binary

    async def accept(
        self, subprotocol: str | None = None, headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None
    ) -> None:
        """Complete the handshake. The first `receive` or `send` does it where the handler has not.

        Args:
            subprotocol: one that the client offered; the first of the route's that it offered when absent.
            headers: header fields of the answer, such as `Set-Cookie`.

        Raises:
            RuntimeError: it was accepted already.
            ValueError: a subprotocol that the client did not offer, or a header that cannot be sent.
            WebSocketDisconnect: the client has gone.
        """
        if self._state != "connecting":
            raise RuntimeError("this WebSocket was accepted already; call accept once, before receive and send")
        offered = self.offered_subprotocols
        if subprotocol is None:
            subprotocol = next((name for name in self._options.subprotocols if name in offered), None)
        elif subprotocol not in offered:
            raise ValueError(f"the client offers the subprotocols {offered}, not {subprotocol!r}")
        fields = ResponseHeaders(headers)
        self._state = "open"
        self._subprotocol = subprotocol
        await self._channel.accept(subprotocol, fields)

    # -- messages -------------------------------------------------------------------------------------------------

    async def receive(self) -> In:
        """Return the next message, validated.

        A message that does not fit is answered with a problem document and skipped, or closes the connection, as the
        route's `on_invalid` says.

        Raises:
            WebSocketDisconnect: the WebSocket is closed.
        """
        while True:
            frame = await self._read()
            self._last_binary = isinstance(frame, bytes)
            try:
                value: In = self.codec.decode(frame)
            except HTTPError as exc:
                await self.refuse(exc)
            else:
                return value

    async def receive_text(self) -> str:
        """Return the next message as text, whatever the declared type.

        Raises:
            WebSocketDisconnect: the WebSocket is closed, as it is by a binary message.
        """
        frame = await self._read()
        if isinstance(frame, str):
            return frame
        raise await self._unsupported("text")

    async def receive_bytes(self) -> bytes:
        """Return the next message as bytes, whatever the declared type.

        Raises:
            WebSocketDisconnect: the WebSocket is closed, as it is by a text message.
        """
        frame = await self._read()
        if isinstance(frame, bytes):
            return frame
        raise await self._unsupported("binary")

    def __aiter__(self) -> WebSocket[In, Out]:
        """Iterate over messages until the WebSocket is closed."""
        return self

    async def __anext__(self) -> In:
        try:
            return await self.receive()
        except WebSocketDisconnect:
            raise StopAsyncIteration from None

    async def send(self, value: Out, *, binary: bool = False) -> None:
        """Send a message of the declared type, as JSON.

        Args:
            value: what to send.
            binary: as MessagePack in a binary message.

        Raises:
            WebSocketDisconnect: the WebSocket is closed.
        """
        await self._write(self.codec.encode(value, binary))

    async def send_text(self, text: str) -> None:
        """Send text, whatever the declared type.

        Raises:
            WebSocketDisconnect: the WebSocket is closed.
        """
        await self._write(text)

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes, whatever the declared type.

        Raises:
            WebSocketDisconnect: the WebSocket is closed.
        """
        await self._write(data)

    async def refuse(self, error: HTTPError) -> None:
        """Tell the client what is wrong with its message, as a problem document; or close, as the route says.

        Raises:
            WebSocketDisconnect: the WebSocket is closed now.
        """
        if self._options.on_invalid == "close":
            code = error.extra.get("close", INVALID_DATA if isinstance(error, BadRequest) else POLICY_VIOLATION)
            await self.close(code, error.detail)
            raise WebSocketDisconnect(code, error.detail)
        document = {k: v for k, v in error.document().items() if k != "close"}
        await self._write(_encode_msgpack(document) if self._last_binary else _encode_json(document).decode())

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the WebSocket. Before it is accepted, refuse it: that ends the handler with `Forbidden`.

        Args:
            code: 1000, one that RFC 6455 registers, or one of the app's own from 3000 to 4999.
            reason: a text for the client's programmer; what exceeds 123 bytes is cut off.

        Raises:
            ValueError: a code that cannot be sent.
            Forbidden: it was not accepted yet.
        """
        if not (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) and not 3000 <= code <= 4999:
            raise ValueError(f"{code} is not a close code that can be sent; take 1000, or one from 3000 to 4999")
        if self.closed:
            return
        if self._state == "connecting":
            raise Forbidden(reason)
        self._state = "closed"
        await self._channel.shut(code, cut_reason(reason))
        self._channel.end(code, reason)

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _read(self) -> str | bytes:
        if self._state == "connecting":
            await self.accept()
        return await self._channel.read()

    async def _write(self, frame: str | bytes) -> None:
        if self._state == "connecting":
            await self.accept()
        ended = self._channel.ended
        if ended is not None:
            raise WebSocketDisconnect(ended.code, ended.reason)
        await self._channel.write(frame)

    async def _unsupported(self, kind: str) -> WebSocketDisconnect:
        reason = f"only {kind} messages are understood here"
        await self.close(UNSUPPORTED_DATA, reason)
        return WebSocketDisconnect(UNSUPPORTED_DATA, reason)


def cut_reason(reason: str) -> str:
    """Return as much of a reason as fits into a close frame (RFC 6455, section 5.5)."""
    raw = reason.encode("utf-8", "replace")
    return raw[:_LONGEST_REASON].decode("utf-8", "ignore")


def message_size(frame: str | bytes, limit: int) -> int:
    """Return the size of a message in bytes; at least right about whether it is above `limit`."""
    size = len(frame)
    return (
        size if isinstance(frame, bytes) or size > limit or frame.isascii() else len(frame.encode("utf-8", "replace"))
    )


# -- origins ------------------------------------------------------------------------------------------------------

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def parse_origin(text: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin (RFC 6454), or None where it is not one."""
    from quintet.http.host import split_host

    scheme, separator, rest = text.lower().partition("://")
    if not separator or scheme not in _PORTS:
        return None
    try:
        host, port = split_host(rest)
    except ValueError:
        return None
    return scheme, host, port or _PORTS[scheme]


def allows_origin(request: Request, origins: Sequence[str]) -> bool:
    """Tell whether a handshake comes from a page of the app's own host, of an allowed origin, or from no page at all."""
    origin = request.fields.get(b"origin")
    if origin is None or "*" in origins:
        return True
    found = parse_origin(origin.decode("latin-1"))
    if found is None:
        return False
    own = parse_origin(f"{found[0]}://{request.host}")
    return found == own or any(found == parse_origin(allowed) for allowed in origins)


def _decode_raw(frame: str | bytes) -> str | bytes:
    return frame


def _encode_raw(value: Any, binary: bool) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return _encode_msgpack(value) if binary else _encode_json(value).decode()


#: Frames as they are.
RAW = Codec(_decode_raw, _encode_raw)
