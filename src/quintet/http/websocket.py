"""WebSockets as handlers see them: `WebSocket`, typed in both directions, and the options of a route.

What carries the frames is a `Channel`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal

import msgspec

from quintet.errors import BadRequest, ConfigurationError, Forbidden, HTTPError, Problem
from quintet.http.channel import (
    INVALID_DATA,
    NORMAL,
    POLICY_VIOLATION,
    UNSUPPORTED_DATA,
    Channel,
    WebSocketDisconnect,
)
from quintet.http.headers import ResponseHeaders, is_token
from quintet.http.limits import MIB
from quintet.http.origin import parse_origin
from quintet.http.request import Request

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    In = TypeVar("In", default=str)
    Out = TypeVar("Out", default=Any)
else:
    from typing import TypeVar

    In = TypeVar("In")
    Out = TypeVar("Out")

_LONGEST_REASON = 123
_encode_json = msgspec.json.Encoder(decimal_format="string").encode
_encode_msgpack = msgspec.msgpack.Encoder(decimal_format="string").encode


class WebSocketOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a WebSocket route allows: `@app.websocket("/ws", websocket=WebSocketOptions(max_message=65_536))`.

    Given to `App` or `Router` they hold for every WebSocket route below.

    Raises:
        ConfigurationError: an origin or a subprotocol that cannot be one, or a limit below 1.
    """

    #: Origins of pages that may connect besides the app's own, such as `https://app.example`; `*` for all.
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


def _decode_raw(frame: str | bytes) -> str | bytes:
    return frame


def _encode_raw(value: Any, binary: bool) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    return _encode_msgpack(value) if binary else _encode_json(value).decode()


#: Frames as they are.
RAW = Codec(_decode_raw, _encode_raw)
