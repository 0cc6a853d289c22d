"""One request that another server has parsed, and its answer: what ASGI and RSGI have in common.

A handler runs in the server's own task. Nothing watches for the client to go away unless the handler takes long or
streams: a watching task for each request would cost more than most handlers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextvars import copy_context
from typing import Any

from quintet.errors import ClientDisconnected, HTTPError, RequestTimeout
from quintet.http.connection import Connection
from quintet.http.request import Request
from quintet.protocols.context import logger, run_callbacks, run_in_context
from quintet.protocols.dispatcher import CompiledRoute, Dispatcher
from quintet.protocols.intake import DRAIN, DRAIN_TIME, SMALL_BODY, body_length, check_length

#: Seconds a handler may take before its connection is watched.
WATCH_AFTER = 0.1


class PulledConnection(Connection):
    """The connection of one request of an async server; also the chunks of its body."""

    __slots__ = ("_gone", "left", "lost", "version")

    def __init__(self, protocol: str, peer: str, scheme: str, dispatcher: Dispatcher) -> None:
        super().__init__(protocol, peer, scheme, dispatcher.limits, dispatcher.proxies)
        self._gone: asyncio.Future[None] | None = None
        #: The client has gone.
        self.lost = False
        #: Bytes of the body that are still to come, where it is known.
        self.left = 0
        #: The version of HTTP.
        self.version = "1.1"

    def http_version(self) -> str:
        """Return the version of HTTP of the request being answered."""
        return self.version

    def is_disconnected(self) -> bool:
        """Tell whether the client is known to have gone."""
        return self.lost

    async def disconnected(self) -> None:
        """Return when the client has gone."""
        if not self.lost:
            if self._gone is None:
                self._gone = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._gone)

    def lose(self) -> None:
        """Take note that the client has gone."""
        self.lost = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    @property
    def is_read(self) -> bool:
        """Whether watching for the client to go takes nothing away from a body that is still to be read."""
        raise NotImplementedError

    def skip_body(self) -> None:
        """Take note that there is no body."""

    async def read_small(self, length: int) -> bytes:
        """Return a body of a known, small length.

        Raises:
            ClientDisconnected: it is truncated.
            RequestTimeout: the client sends nothing more.
        """
        raise NotImplementedError

    async def wait_lost(self) -> None:
        """Return when the client has gone."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Receive what nobody has read of a short body: some servers cut the answer off otherwise."""
        if self.left > DRAIN:
            return
        try:
            async with asyncio.timeout(DRAIN_TIME):
                while self.left > 0:
                    await anext(self)
        except (ClientDisconnected, RequestTimeout, StopAsyncIteration, TimeoutError):
            self.left = 0

    async def timed(self, receiving: Awaitable[Any]) -> Any:
        """Wait for a piece of the body.

        Raises:
            RequestTimeout: nothing came.
        """
        try:
            async with asyncio.timeout(self.limits.body_timeout):
                return await receiving
        except TimeoutError:
            raise RequestTimeout(
                f"nothing of the body came for {self.limits.body_timeout:g} s", headers={"connection": "close"}
            ) from None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk of the body.

        Raises:
            ClientDisconnected: the body is truncated.
            RequestTimeout: the client sends nothing more.
        """
        raise NotImplementedError


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_task", "_timer", "_watcher", "callbacks", "cancelled", "connection", "dispatcher", "done", "request",
        "version",
    )  # fmt: skip

    request: Request

    def __init__(self, dispatcher: Dispatcher, connection: PulledConnection, version: str) -> None:
        self.dispatcher = dispatcher
        self.connection: Any = connection
        #: The version of HTTP.
        self.version = connection.version = version
        #: What the response wants to be called when it has been sent.
        self.callbacks: list[Any] = []
        #: The handler was cancelled because its client has gone.
        self.cancelled = False
        #: The end of the answer is on its way: the client may go.
        self.done = False
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Answer the request, in a context of its own; then call what is to be called after it."""
        try:
            await run_in_context(self.answer(), copy_context(), self._suspended)
        except ClientDisconnected:
            pass  # there is nobody to answer
        except asyncio.CancelledError:
            if not self.cancelled:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        finally:
            self.done = True
            if self._timer is not None:
                self._timer.cancel()
            if self._watcher is not None:
                self._watcher.cancel()
            request = self.request
            if self.callbacks or request.after:
                callbacks = [*(request.after or ()), *self.callbacks]
                request.after = None
                await run_callbacks(callbacks)

    async def answer(self) -> None:
        """Read the request, run its handler, send the outcome."""
        raise NotImplementedError

    # -- the request --------------------------------------------------------------------------------------------

    async def find_route(self, request: Request) -> CompiledRoute:
        """Return the route that answers, with the body received where it is small, and ready to stream elsewhere."""
        if request.route is not None:  # it answers an error
            return request.route
        route, request.params = self.dispatcher.find(request.method, request.path)
        request.route = route
        connection, fields = self.connection, request.fields
        try:
            length = body_length(fields)
            if not length and (length == 0 or (b"transfer-encoding" not in fields and self.version[:2] == "1.")):
                connection.skip_body()
                request._body = b""  # pyright: ignore[reportPrivateUsage]
                return route
            if length is not None:
                check_length(self.dispatcher, route, length)
                if length <= SMALL_BODY and b"expect" not in fields and route.kind != "mount":
                    request._body = await connection.read_small(length)  # pyright: ignore[reportPrivateUsage]
                    return route
                if b"expect" not in fields:
                    connection.left = length
        except HTTPError as exc:
            request._body = b""  # pyright: ignore[reportPrivateUsage]
            request.route = route = self.dispatcher.refuse(exc)
            return route
        request.source = connection
        return route

    # -- watching -----------------------------------------------------------------------------------------------

    def _suspended(self) -> None:
        """The handler has suspended: watch its connection if it takes long."""
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER, self.watch)

    def watch(self) -> None:
        """Watch the connection from now on."""
        if self._watcher is not None or self.done:
            return
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._task = asyncio.current_task()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.connection.is_read:
            self._watcher = loop.create_task(self._watch())
        else:  # who reads the body sees the client go; look again later
            self._timer = loop.call_later(WATCH_AFTER, self.watch)

    async def _watch(self) -> None:
        try:
            await self.connection.wait_lost()
        except Exception as exc:  # noqa: BLE001 - a server that cannot tell
            logger.debug("the server does not say when a client goes away", exc_info=exc)
            return
        task = self._task
        if self.done or task is None or task.done():
            return
        if self.request.route.cancel or self.request.method in ("GET", "HEAD"):
            self.cancelled = True
            task.cancel()


async def close_chunks(chunks: Any) -> None:
    """Close an async generator that has not been read to its end."""
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
