"""A connection in memory: the server's end is an asyncio transport, the client's end reads and feeds bytes.

Both directions have back-pressure as a socket has. The server's callbacks run from the event loop, in a context of
their own, never inside the client's call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextvars import Context
from typing import Any

#: Bytes that wait for the client to read them; beyond, the server is asked to pause.
HIGH_WATER = 64 * 1024
LOW_WATER = 16 * 1024


class MemoryTransport(asyncio.Transport):
    """The server's end of a connection, with the client's end in `feed`, `receive` and `hang_up`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        context: Context,
        extra: Mapping[str, Any],
    ) -> None:
        super().__init__(dict(extra))
        self._loop = loop
        self._protocol = protocol
        self._context = context
        self._incoming: deque[bytes] = deque()
        self._outgoing: deque[bytes] = deque()
        self._size = 0
        self._high, self._low = HIGH_WATER, LOW_WATER
        self._reading = True
        self._pumping = False
        self._asked_to_pause = False
        self._closing = False
        self._is_lost = False
        #: Whether the server cut the connection.
        self.aborted = False
        #: What the server's protocol raised, which it never should.
        self.error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        loop.call_soon(self._call, "connection_made", self, context=context)

    def _call(self, name: str, *args: Any) -> None:
        try:
            getattr(self._protocol, name)(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:  # noqa: BLE001 - the client raises it in the test
            self.error = exc
            self.abort()

    # -- the client's end ---------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Send bytes to the server."""
        if data and not self._closing:
            self._incoming.append(data)
            self._schedule_pump()

    def _schedule_pump(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump, context=self._context)

    def _pump(self) -> None:
        self._pumping = False
        while self._incoming and self._reading and not self._closing:
            self._call("data_received", self._incoming.popleft())
        if not self._incoming or self._closing:
            _wake(self._writer)

    async def fed(self) -> None:
        """Wait until the server has taken all that was fed."""
        while self._incoming and not self._closing:
            self._writer = self._loop.create_future()
            await self._writer

    async def receive(self) -> bytes:
        """Return the next bytes from the server; none at the end of the connection."""
        while not self._outgoing:
            if self._closing:
                return b""
            self._reader = self._loop.create_future()
            await self._reader
        data = self._outgoing.popleft()
        self._size -= len(data)
        if self._asked_to_pause and self._size <= self._low:
            self._asked_to_pause = False
            self._loop.call_soon(self._call, "resume_writing", context=self._context)
        if self._closing and not self._outgoing:
            self._lose()
        return data

    def hang_up(self) -> None:
        """Close the connection from the client's side."""
        self._closing = True
        self._outgoing.clear()
        self._lose()

    # -- the server's end ---------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send bytes to the client."""
        if self._closing or not data:
            return
        self._outgoing.append(bytes(data))
        self._size += len(data)
        _wake(self._reader)
        if self._size > self._high and not self._asked_to_pause:
            self._asked_to_pause = True
            self._call("pause_writing")

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the client has not read."""
        return self._size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and high marks."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks for pausing."""
        self._high = HIGH_WATER if high is None else high
        self._low = self._high // 4 if low is None else low

    def can_write_eof(self) -> bool:
        """Tell that half-closing is not possible here."""
        return False

    def pause_reading(self) -> None:
        """Take no more bytes from the client for now."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take bytes again."""
        if not self._reading:
            self._reading = True
            self._schedule_pump()

    def is_reading(self) -> bool:
        """Tell whether bytes are taken."""
        return self._reading and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol in charge."""
        return self._protocol

    def is_closing(self) -> bool:
        """Tell whether the connection is closed or closing."""
        return self._closing

    def close(self) -> None:
        """Close when the client has read what was written."""
        if not self._closing:
            self._closing = True
            if not self._outgoing:
                self._lose()
            _wake(self._reader)

    def abort(self) -> None:
        """Cut the connection."""
        if not self._closing:
            self.aborted = True
        self._closing = True
        self._lose()

    def _lose(self) -> None:
        _wake(self._reader)
        _wake(self._writer)
        if not self._is_lost:
            self._is_lost = True
            self._loop.call_soon(self._call, "connection_lost", None, context=self._context)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
