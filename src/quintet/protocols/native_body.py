"""The body of a request as it arrives on the built-in server: chunks, with back-pressure and a least speed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from quintet.errors import ClientDisconnected

if TYPE_CHECKING:
    from quintet.protocols.native import NativeProtocol

#: Bytes of a body that wait for the handler before the client is told to wait.
BODY_BUFFER = 256 * 1024
#: The longest body that is read to its end though nobody wants it, so that the connection can be kept.
DRAINED = 64 * 1024


class BodyStream:
    """The chunks of a body as they arrive.

    A client may be as slow as `body_rate`, and late by `body_timeout` seconds; time in which it was told to wait does
    not count.
    """

    __slots__ = (
        "_chunks",
        "_error",
        "_fresh",
        "_protocol",
        "_since",
        "_size",
        "_waiter",
        "ended",
        "is_short",
        "paused_at",
    )

    def __init__(self, protocol: NativeProtocol, chunks: list[bytes], length: int | None) -> None:
        self._protocol = protocol
        self._chunks = deque(chunks)
        self._size = sum(map(len, chunks))
        self._waiter: asyncio.Future[None] | None = None
        #: Bytes that came since the deadline was looked at.
        self._fresh = self._size
        #: Until when the client has earned its time by what it has sent.
        self._since = protocol.server.now
        #: Since when the client has been told to wait.
        self.paused_at: float | None = None
        #: Whether nothing more comes.
        self.ended = False
        #: Whether it is short enough to be read to its end where nobody wants it.
        self.is_short = length is not None and length <= DRAINED
        self._error: BaseException | None = None

    def feed(self, chunk: bytes) -> None:
        """Add a chunk; the transport is paused when too much waits."""
        size = len(chunk)
        self._chunks.append(chunk)
        self._size += size
        self._fresh += size
        if self._size > BODY_BUFFER and self.paused_at is None:
            self.paused_at = self._protocol.server.now
            self._protocol.pause_body()
        if self._waiter is not None:
            self._wake()

    def deadline(self) -> float:
        """Return when the client has been too slow, if nothing more comes until then."""
        server = self._protocol.server
        now, limits = server.now, server.limits
        server.counters.body_bytes += self._fresh
        if limits.body_rate:
            self._since = min(now, self._since + self._fresh / limits.body_rate)
        else:
            self._since = now
        self._fresh = 0
        return self._since + limits.body_timeout

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more comes; what happens after a body's end changes nothing."""
        if not self.ended:
            self.ended = True
            self._error = error
            self._wake()

    def close(self) -> None:
        """The request is over. What was raised refers to its frames, and they to this: that cycle ends here."""
        if self._error is not None:
            self._error = ClientDisconnected("the request is over")

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk.

        Raises:
            ClientDisconnected: the body is truncated.
            RequestTimeout: the client is too slow.
        """
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.ended:
                raise StopAsyncIteration
            self._protocol.want_body()
            self._waiter = self._protocol.server.loop.create_future()
            await self._waiter
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        if self.paused_at is not None:
            self.read_on()
        return chunk

    def read_on(self) -> None:
        """Let a client go on that was told to wait, if there is room."""
        if self.paused_at is not None and self._size <= BODY_BUFFER // 2:
            self._since += self._protocol.server.now - self.paused_at
            self.paused_at = None
            self._protocol.resume_body()
