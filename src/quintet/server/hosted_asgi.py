"""ASGI apps on the built-in server: their scope and their messages, without queues and without tasks of ours.

The app's coroutine is driven in place, and `send` writes to the transport. The answer is complete with its last
message; the app may go on after it while the next request begins.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from quintet.errors import ClientDisconnected
from quintet.protocols.drive import SUSPENDED
from quintet.server.hosted_answer import Answer

if TYPE_CHECKING:
    from quintet.server.hosted import HostedProtocol, HostedRequest
    from quintet.types import Message, Scope

logger = logging.getLogger("quintet.server")

#: What is spoken: with 2.4, `send` would have to raise where the client has gone, and apps would stop listening for it.
_SPEC_VERSION = "2.3"


class AsgiExchange:
    """One request to an ASGI app."""

    __slots__ = ("_answer", "_is_complete", "_is_over", "_is_read", "_is_stopped", "_protocol", "_request", "_waiters")

    def __init__(self, protocol: HostedProtocol, request: HostedRequest) -> None:
        self._protocol = protocol
        self._request = request
        self._answer = Answer(protocol, request)
        #: Nothing of the answer is wanted any more: it is complete, or the client has gone.
        self._is_over = False
        self._is_complete = False
        #: The client sends nothing more.
        self._is_stopped = False
        #: The app has had the whole body.
        self._is_read = False
        #: Who waits to hear that nobody is there any more.
        self._waiters: set[asyncio.Future[None]] | None = None

    def begin(self) -> None:
        """Call the app, and drive its first step."""
        protocol = self._protocol
        server = protocol.server
        hosted = server.hosted
        try:
            call: Any = hosted.call(build_scope(protocol, self._request), self.receive, self.send)
            if call.__class__ is not CoroutineType and not inspect.iscoroutine(call):
                call = _await(call)
            outcome = server.driver.start_by_habit(server, call, server.context.copy(), self._ended)
        except BaseException as exc:  # noqa: BLE001 - the app's; logged
            self._ended(None, exc)
            return
        if outcome is not SUSPENDED:
            self._ended(None, None)

    async def receive(self) -> Message:
        """Return the next message to the app: the body, then that nobody is there any more."""
        if not self._is_read:
            body = self._request._body  # pyright: ignore[reportPrivateUsage]
            if body is not None:
                self._is_read = True
                return {"type": "http.request", "body": body, "more_body": False}
            stream = self._protocol.stream
            if stream is not None and not self._is_over:
                try:
                    chunk = await stream.take()
                except ClientDisconnected:
                    self._is_read = self._is_over = True
                    return {"type": "http.disconnect"}
                self._is_read = stream.is_over
                return {"type": "http.request", "body": chunk, "more_body": not self._is_read}
        if not self._is_over and not self._is_stopped:
            waiter = self._protocol.server.loop.create_future()
            if self._waiters is None:
                self._waiters = set()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a message of the answer. What comes after the client has gone is dropped.

        Raises:
            RuntimeError: it is not the message's turn, or it cannot be sent.
        """
        protocol = self._protocol
        answer = self._answer
        kind = message["type"]
        if kind == "http.response.body":
            if not answer.status:
                raise RuntimeError("send 'http.response.start' first; this is 'http.response.body'")
            more = message.get("more_body", False)
            if self._is_over:
                await self._send_to_nobody()
                return
            body = message.get("body", b"")
            answer.write(body if body.__class__ is bytes else _bytes_of(body), more)
            if not more:
                self._is_over = self._is_complete = True
                if self._waiters:
                    self._wake()
                protocol.completed(self._request, answer.status, answer.size)
            elif protocol.is_paused:
                await protocol.wait_writable()
        elif kind == "http.response.start":
            if answer.status:
                raise RuntimeError("'http.response.start' was sent before; an answer begins once")
            answer.begin(message["status"], message.get("headers", ()))
            if message.get("trailers"):
                raise RuntimeError(
                    "trailers are not spoken here; look for 'http.response.trailers' in scope['extensions']"
                )
        else:
            raise RuntimeError(f"{kind!r} is no message of an HTTP answer that is spoken here")

    async def _send_to_nobody(self) -> None:
        if self._is_complete:
            raise RuntimeError("the answer is complete; nothing can be sent after the message without more_body")
        await asyncio.sleep(0)  # a stream that never looks whether somebody reads must not stop the loop

    def _ended(self, result: Any, error: BaseException | None) -> None:
        """The app has ended."""
        del result
        if self._is_complete:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                logger.error("the app failed after its answer", exc_info=error)
            return
        if self._is_over or self._is_stopped:
            if error is not None:
                logger.debug("the app ended after its client had gone", exc_info=error)
            error = ClientDisconnected("the client went away")
        elif error is None:
            how = "in the middle of its answer" if self._answer.status else "without an answer"
            error = RuntimeError(f"the app ended {how}")
        self._is_over = True
        self._protocol.failed(self._request, error, is_sent=self._answer.is_sent)

    def client_left(self) -> None:
        """The client has gone: whoever receives hears of it."""
        self._is_over = True
        self._wake()

    def client_stopped(self) -> None:
        """The client sends nothing more: whoever receives takes it for gone, and what is still sent is written."""
        self._is_stopped = True
        self._wake()

    def give_up(self) -> bool:
        """Write nothing more, as if the client had gone."""
        self.client_left()
        return self._answer.is_sent

    def _wake(self) -> None:
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)


def build_scope(protocol: HostedProtocol, request: HostedRequest) -> Scope:
    """Return the scope of a request."""
    hosted = protocol.hosted
    scheme, client = request.connection.scheme, protocol.client
    if hosted.has_proxies:
        scheme, client = protocol.far_end(request)
    root = hosted.root_path
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": _SPEC_VERSION},
        "http_version": "1.0" if protocol.version_1_0 else "1.1",
        "method": request.method,
        "scheme": scheme,
        "path": root + request.path if root else request.path,
        "raw_path": hosted.raw_root_path + request.raw_path if root else request.raw_path,
        "query_string": request.raw_query,
        "root_path": root,
        "headers": request.raw_headers,
        "client": client,
        "server": protocol.local,
        "state": hosted.state.copy(),
        "extensions": {},
    }


def _bytes_of(body: Any) -> bytes:
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise RuntimeError(f"the body of an answer must be bytes, not {type(body).__name__}")
    return bytes(body)  # pyright: ignore[reportUnknownArgumentType] - a memoryview of anything


async def _await(awaitable: Any) -> None:
    await awaitable
