"""The client's end of a WebSocket, for tests: frames by wsproto, over a connection in memory."""

from __future__ import annotations

import asyncio
import base64
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx2
import msgspec
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from quintet.http.channel import ABNORMAL, NORMAL, WebSocketDisconnect
from quintet.testing._exchange import LINGER_ABANDONED, Exchange, Link

if TYPE_CHECKING:
    from quintet.testing._portal import Portal

_encode = msgspec.json.Encoder(decimal_format="string").encode


class WebSocketRefused(Exception):
    """The app answered the handshake with a response; `response` has it, read."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        super().__init__(f"the WebSocket was refused: {response.status_code} {response.reason_phrase}\n{response.text}")


def handshake_headers(subprotocols: Sequence[str]) -> dict[str, str]:
    """Return the fields that ask for a WebSocket (RFC 6455, section 4.1)."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    if subprotocols:
        headers["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    return headers


class AsyncWebSocketSession:
    """An open WebSocket. `receive…` raise `WebSocketDisconnect` when it is closed, and what the handler raised."""

    def __init__(self, link: Link, response: httpx2.Response, rest: bytes, reraise: bool) -> None:
        self._link = link
        self._reraise = reraise
        self._connection = Connection(ConnectionType.CLIENT)
        self._messages: deque[str | bytes] = deque()
        self._pieces: list[Any] = []
        #: The answer to the handshake.
        self.response: httpx2.Response = response
        #: The subprotocol the app chose.
        self.subprotocol: str | None = response.headers.get("sec-websocket-protocol")
        #: The code and reason of the close, when it is closed.
        self.close_code: int | None = None
        self.close_reason: str = ""
        self._take(rest)

    @classmethod
    async def open(cls, link: Link, request: httpx2.Request, reraise: bool) -> Self:
        """Shake hands.

        Raises:
            WebSocketRefused: the app answered otherwise.
        """
        exchange = Exchange(link, request, None, reraise)
        response = await exchange.run()
        if response.status_code != 101:
            await response.aread()
            await response.aclose()
            raise WebSocketRefused(response)
        return cls(link, response, exchange.rest, reraise)

    # -- sending ------------------------------------------------------------------------------------------------

    async def send_text(self, text: str) -> None:
        """Send a text message."""
        await self._send(TextMessage(data=text))

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        await self._send(BytesMessage(data=data))

    async def send_json(self, value: Any) -> None:
        """Send a value as JSON, in a text message."""
        await self.send_text(_encode(value).decode())

    async def _send(self, event: Event) -> None:
        if self.close_code is not None:
            raise WebSocketDisconnect(self.close_code, self.close_reason)
        self._link.transport.feed(self._connection.send(event))
        await self._link.transport.fed()

    # -- receiving ----------------------------------------------------------------------------------------------

    async def receive(self, timeout: float | None = None) -> str | bytes:  # noqa: ASYNC109 - httpx2 names it so
        """Return the next message.

        Raises:
            WebSocketDisconnect: the WebSocket is closed.
            TimeoutError: nothing came in time.
        """
        async with asyncio.timeout(timeout):
            while not self._messages:
                if self.close_code is None:
                    await self._read()
                    continue
                self._raise_failure()
                raise WebSocketDisconnect(self.close_code, self.close_reason)
        return self._messages.popleft()

    async def receive_text(self, timeout: float | None = None) -> str:  # noqa: ASYNC109 - httpx2 names it so
        """Return the next message, which must be text."""
        message = await self.receive(timeout)
        if not isinstance(message, str):
            raise TypeError(f"the message is binary: {message[:100]!r}")
        return message

    async def receive_bytes(self, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpx2 names it so
        """Return the next message, which must be binary."""
        message = await self.receive(timeout)
        if not isinstance(message, bytes):
            raise TypeError(f"the message is text: {message[:100]!r}")
        return message

    async def receive_json(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - httpx2 names it so
        """Return the next message, decoded from JSON."""
        return msgspec.json.decode(await self.receive(timeout))

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while True:
            try:
                yield await self.receive()
            except WebSocketDisconnect:
                return

    async def _read(self) -> None:
        data = await self._link.transport.receive()
        if data:
            self._take(data)
            return
        self._link.raise_error()
        self.close_code = ABNORMAL if self.close_code is None else self.close_code

    def _take(self, data: bytes) -> None:
        if not data:
            return
        self._connection.receive_data(data)
        for event in self._connection.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                self._pieces.append(event.data)
                if event.message_finished:
                    empty: Any = "" if isinstance(event, TextMessage) else b""
                    self._messages.append(empty.join(self._pieces))
                    self._pieces.clear()
            elif isinstance(event, Ping):
                self._link.transport.feed(self._connection.send(event.response()))
            elif isinstance(event, CloseConnection):
                self.close_code, self.close_reason = event.code, event.reason or ""
                if self._connection.state is ConnectionState.REMOTE_CLOSING:
                    self._link.transport.feed(self._connection.send(event.response()))

    # -- closing ------------------------------------------------------------------------------------------------

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close, and wait for the app to agree."""
        if self.close_code is not None:
            return
        if self._connection.state is ConnectionState.OPEN:
            self._link.transport.feed(self._connection.send(CloseConnection(code=code, reason=reason or None)))
        try:
            async with asyncio.timeout(LINGER_ABANDONED):
                while self.close_code is None:
                    await self._read()
        except TimeoutError:
            self.close_code, self.close_reason = code, reason

    async def end(self) -> None:
        """Close, hang up, and let the handler end.

        Raises:
            Exception: what the handler raised unexpectedly.
        """
        await self.close()
        await self._link.close(LINGER_ABANDONED)
        self._raise_failure()

    def _raise_failure(self) -> None:
        """Raise what the handler raised unexpectedly, once."""
        if self._reraise and self._link.failure is not None:
            self._reraise = False
            raise self._link.failure


class AsyncWebSocketContext:
    """Opens a WebSocket for an `async with` block."""

    def __init__(self, link: Callable[[], Link], request: httpx2.Request, reraise: bool) -> None:
        self._link = link
        self._request = request
        self._reraise = reraise
        self._session: AsyncWebSocketSession | None = None

    async def __aenter__(self) -> AsyncWebSocketSession:
        self._session = await AsyncWebSocketSession.open(self._link(), self._request, self._reraise)
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is None:
            return
        try:
            await self._session.end()
        except Exception:
            if exc is None:  # what the test raised says more
                raise


class WebSocketSession:
    """An open WebSocket, used from synchronous code; see `AsyncWebSocketSession`."""

    def __init__(self, session: AsyncWebSocketSession, portal: Portal) -> None:
        self._session = session
        self._portal = portal

    @property
    def response(self) -> httpx2.Response:
        """The answer to the handshake."""
        return self._session.response

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol the app chose."""
        return self._session.subprotocol

    @property
    def close_code(self) -> int | None:
        """The code of the close, when it is closed."""
        return self._session.close_code

    @property
    def close_reason(self) -> str:
        """The reason of the close."""
        return self._session.close_reason

    def send_text(self, text: str) -> None:
        """Send a text message."""
        self._portal.call(self._session.send_text(text))

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self._portal.call(self._session.send_bytes(data))

    def send_json(self, value: Any) -> None:
        """Send a value as JSON, in a text message."""
        self._portal.call(self._session.send_json(value))

    def receive(self, timeout: float | None = None) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketDisconnect: the WebSocket is closed.
            TimeoutError: nothing came in time.
        """
        return self._portal.call(self._session.receive(timeout))

    def receive_text(self, timeout: float | None = None) -> str:
        """Return the next message, which must be text."""
        return self._portal.call(self._session.receive_text(timeout))

    def receive_bytes(self, timeout: float | None = None) -> bytes:
        """Return the next message, which must be binary."""
        return self._portal.call(self._session.receive_bytes(timeout))

    def receive_json(self, timeout: float | None = None) -> Any:
        """Return the next message, decoded from JSON."""
        return self._portal.call(self._session.receive_json(timeout))

    def __iter__(self) -> Iterator[str | bytes]:
        while True:
            try:
                yield self.receive()
            except WebSocketDisconnect:
                return

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close, and wait for the app to agree."""
        self._portal.call(self._session.close(code, reason))


def websocket_headers(headers: Any, subprotocols: Sequence[str]) -> Mapping[str, str]:
    """Return a handshake's fields with those of the caller."""
    merged = httpx2.Headers(headers)
    merged.update(handshake_headers(subprotocols))
    return merged
