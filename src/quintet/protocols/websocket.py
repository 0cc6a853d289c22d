"""WebSockets of servers that hand messages over one at a time: what ASGI and RSGI have in common.

A pump takes messages from the server ahead of the handler, as many as the route lets wait, so that a client that goes
away is noticed while the handler is busy.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from quintet.errors import NotFound
from quintet.http.channel import ABNORMAL, MESSAGE_TOO_BIG, Channel, WebSocketDisconnect, message_size
from quintet.http.headers import ResponseHeaders
from quintet.http.request import Request
from quintet.http.websocket import WebSocket, WebSocketOptions
from quintet.protocols.context import run_callbacks, run_in_context
from quintet.protocols.dispatcher import CompiledRoute, Dispatcher

if TYPE_CHECKING:
    from quintet.http.response import Response


class PulledChannel(Channel):
    """The channel of a server whose messages must be asked for."""

    def __init__(self, options: WebSocketOptions) -> None:
        super().__init__(options.max_queue, options.max_message)
        self._pump: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        # One message at a time: servers differ in what they make of two.
        self._sending = asyncio.Lock()

    @abstractmethod
    async def send_accept(self, subprotocol: str | None, headers: ResponseHeaders) -> None:
        """Tell the server to complete the handshake."""

    @abstractmethod
    async def pull(self) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketDisconnect: the client has gone.
        """

    @abstractmethod
    async def push(self, frame: str | bytes) -> None:
        """Hand a message to the server.

        Raises:
            WebSocketDisconnect: the client has gone.
        """

    @abstractmethod
    async def send_close(self, code: int, reason: str) -> None:
        """Tell the server to close."""

    async def accept(self, subprotocol: str | None, headers: ResponseHeaders) -> None:
        """Complete the handshake and begin to read."""
        await self.send_accept(subprotocol, headers)
        self._pump = asyncio.get_running_loop().create_task(self._read_all())

    async def write(self, frame: str | bytes) -> None:
        """Send a message."""
        async with self._sending:
            if self.ended is not None:
                raise WebSocketDisconnect(self.ended.code, self.ended.reason)
            try:
                await self.push(frame)
            except WebSocketDisconnect as exc:
                self.end(exc.code, exc.reason)
                raise

    async def shut(self, code: int, reason: str) -> None:
        """Send the close frame."""
        self.end(code, reason)
        # Granian closes nothing while it is asked for a message.
        await self.finish()
        async with self._sending:
            await self.send_close(code, reason)

    def has_room(self) -> None:
        """Go on reading."""
        self._room.set()

    async def finish(self) -> None:
        """Stop reading."""
        pump, self._pump = self._pump, None
        if pump is not None and pump is not asyncio.current_task():
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _read_all(self) -> None:
        try:
            while self.ended is None:
                message = await self.pull()
                if message_size(message, self.max_message) > self.max_message:
                    await self.shut(MESSAGE_TOO_BIG, "the message is too large")
                    continue
                self.feed(message)
                while self.is_full and self.ended is None:
                    self._room.clear()
                    await self._room.wait()
        except WebSocketDisconnect as exc:
            self.end(exc.code, exc.reason)
        finally:
            self.end(ABNORMAL)


def options_of(route: CompiledRoute) -> WebSocketOptions:
    """Return the WebSocket options of a route."""
    return (route.route.options.get("websocket") if route.route is not None else None) or WebSocketOptions()


def find_websocket(dispatcher: Dispatcher, request: Request) -> CompiledRoute | None:
    """Return the WebSocket route of a handshake, and give the request its parameters."""
    found = dispatcher.find_websocket(request.path)
    if found is None:
        return None
    request.route, request.params = found
    return found[0]


async def serve_handler(
    dispatcher: Dispatcher, request: Request, route: CompiledRoute | None, channel: PulledChannel
) -> Response[Any] | None:
    """Run the handler of a handshake.

    Returns:
        The response that refuses the handshake, or None where it was accepted.
    """
    if route is None:
        return await dispatcher.on_error(request, NotFound("there is no WebSocket at this address"))
    websocket: WebSocket[Any, Any] = WebSocket(request, channel, options_of(route))
    endpoint: Any = route.endpoint
    try:
        return await run_in_context(channel.run(endpoint(request, websocket)), copy_context())
    finally:
        await channel.finish()


async def read_content(response: Response[Any]) -> bytes:
    """Return the whole body of a response that refuses a handshake."""
    content = response.content or b""
    return content if isinstance(content, bytes) else b"".join([chunk async for chunk in content])


async def run_after(request: Request, response: Response[Any]) -> None:
    """Call what was to be called after the answer."""
    callbacks = [*(request.after or ()), *response.after]
    request.after = None
    await run_callbacks(callbacks)
