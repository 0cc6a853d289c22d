"""What carries the frames of a WebSocket, one channel per protocol.

It holds the messages that wait, so that back-pressure and closing mean the same on every server.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from quintet.errors import QuintetError
from quintet.http.headers import ResponseHeaders

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


class WebSocketDisconnect(QuintetError):
    """The WebSocket is closed: by the peer, by the server, or because the connection broke (1006)."""

    def __init__(self, code: int = ABNORMAL, reason: str = "") -> None:
        #: The close code (RFC 6455, section 7.4).
        self.code = code
        self.reason = reason
        super().__init__(f"the WebSocket is closed: {code}" + (f" {reason}" if reason else ""))


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

    @abstractmethod
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
            except asyncio.CancelledError:
                if waiter.cancelled():
                    self._waiters.remove(waiter)
                else:  # it was told of a message that it will not take
                    self._wake()
                raise
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


def message_size(frame: str | bytes, limit: int) -> int:
    """Return the size of a message in bytes; at least right about whether it is above `limit`."""
    size = len(frame)
    return (
        size if isinstance(frame, bytes) or size > limit or frame.isascii() else len(frame.encode("utf-8", "replace"))
    )
