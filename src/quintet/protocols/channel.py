"""What passes between a request and an app that is mounted: the body one way, the answer the other, in chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from quintet.errors import ClientDisconnected
from quintet.http.request import Request
from quintet.protocols.context import logger
from quintet.protocols.dispatcher import HostedResponse
from quintet.types import Message

#: Chunks of an answer that wait for the client.
WINDOW = 4

#: Fields of one connection (RFC 9110, section 7.6.1), and the length, which the server writes.
_LEFT_OUT = frozenset(
    (
        "connection", "content-length", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding",
        "upgrade",
    )
)  # fmt: skip
_running: set[asyncio.Task[Any]] = set()


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """Yield the body, without a limit of ours: the mounted app has its own."""
    body = request._body  # pyright: ignore[reportPrivateUsage]
    if body is not None:
        if body:
            yield body
        return
    source, request.source = request.source, None
    if source is not None:
        async for chunk in source:
            yield chunk


class Channel:
    """What an app sends, on its way to the client."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self._messages: asyncio.Queue[Message] = asyncio.Queue(WINDOW)
        self._task: asyncio.Task[Any]
        self._ended = False

    def run(self, call: Awaitable[Any]) -> None:
        """Run the app. It may go on when its answer is complete."""
        self._task = asyncio.ensure_future(call)  # pyright: ignore[reportAttributeAccessIssue]
        _running.add(self._task)
        self._task.add_done_callback(_running.discard)

    async def put(self, message: Message) -> None:
        """Take what the app sends; wait where the client reads slowly."""
        if not self.closed:
            await self._messages.put(message)

    def put_from_thread(self, message: Message) -> None:
        """Take what the app sends, from a thread.

        Raises:
            ClientDisconnected: nobody reads it.
        """
        if self.closed:
            raise ClientDisconnected("the client went away")
        asyncio.run_coroutine_threadsafe(self.put(message), self.loop).result()

    async def _get(self) -> Message | None:
        """Return the next message; None where the app has ended without one."""
        if self._messages.empty() and not self._task.done():
            getting = asyncio.ensure_future(self._messages.get())
            try:
                await asyncio.wait((getting, self._task), return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    return getting.result()
            finally:
                getting.cancel()
        if not self._messages.empty():
            return self._messages.get_nowait()
        self._task.result()  # raises what the app has raised
        return None

    async def response(self) -> HostedResponse:
        """Return the app's answer when it has begun."""
        try:
            start = await self._get()
            if start is None or start["type"] != "http.response.start":
                raise RuntimeError("the mounted app has not begun its answer")
            response = HostedResponse(None, start["status"])
            lengths: list[str] = []
            for raw_name, raw_value in start.get("headers", ()):
                name, value = bytes(raw_name).decode("latin-1").lower(), bytes(raw_value).decode("latin-1")
                if name == "content-length":
                    lengths.append(value)
                if name not in _LEFT_OUT:
                    response.headers.add(name, value)
            body = await self._get()
            if body is not None and not body.get("more_body", False):
                response.content = body.get("body", b"")
                self._finish()
                if lengths and not response.content:  # HEAD: the length of what GET would answer
                    response.length, response.content = int(lengths[0]), _empty()
            else:
                response.length = int(lengths[0]) if lengths else None
                response.content = self._chunks(body)
            return response
        except BaseException:
            await self.close()
            raise

    async def _chunks(self, message: Message | None) -> AsyncIterator[bytes]:
        try:
            while message is not None:
                chunk = message.get("body", b"")
                if chunk:
                    yield chunk
                if not message.get("more_body", False):
                    self._finish()
                    return
                message = await self._get()
            raise RuntimeError("the mounted app has not ended its answer")
        finally:
            await self.close()

    def _finish(self) -> None:
        """The answer is complete; what the app does now is its own."""
        self._ended = self.closed = True
        self._task.add_done_callback(_report)

    async def close(self) -> None:
        """Nobody reads any more: end the app unless its answer is complete."""
        self.closed = True
        if self._ended:
            return
        self._ended = True
        while not self._messages.empty():  # whoever waits to put goes on
            self._messages.get_nowait()
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.exception()


def _report(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a mounted app failed after its answer", exc_info=task.exception())


async def _empty() -> AsyncIterator[bytes]:
    for chunk in ():
        yield chunk
