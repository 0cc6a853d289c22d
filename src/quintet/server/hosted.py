"""Other frameworks' apps on the built-in server: each request is one exchange with the app, without a router between.

Parsing, framing, limits and the order of answers are those of every connection (`server.http1`). What is the app's own
business is left to it: hosts, paths, the size of bodies, security headers, errors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from urllib.parse import unquote_to_bytes

from quintet.errors import ClientDisconnected, ContentTooLarge, HTTPError
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.http.url import split_target
from quintet.protocols.dispatcher import CompiledRoute
from quintet.protocols.native_body import BODY_BUFFER, BodyStream
from quintet.protocols.native_server import FAR, NativeServer
from quintet.server.http1 import Http1Protocol

if TYPE_CHECKING:
    from quintet.server.hosted_app import HostedApp

_SLASH = ord("/")
#: What llhttp knows, without TRACE (it tells an attacker's page what a cookie holds) and CONNECT (it is for proxies).
_METHODS = (
    "ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS "
    "PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
)


class HostedRequest(Request, eq=False):
    """A request to a hosted app: with the path as it was sent."""

    #: The path without the query, as bytes of the request line.
    raw_path: bytes = b""


class Exchange(Protocol):
    """One request to an app, and its answer."""

    def begin(self) -> None:
        """Call the app."""
        ...

    def client_left(self) -> None:
        """The client has gone."""
        ...

    def client_stopped(self) -> None:
        """The client sends nothing more; it may have gone, and it may still read."""
        ...

    def give_up(self) -> bool:
        """Write nothing more, as if the client had gone; tell whether something was written."""
        ...


class HostedServer(NativeServer):
    """What the connections to a hosted app share on one event loop."""

    def __init__(
        self, hosted: HostedApp, loop: asyncio.AbstractEventLoop, *, is_full: Callable[[], bool] | None = None
    ) -> None:
        super().__init__(hosted.dispatcher, loop, is_full=is_full)
        self.hosted = hosted
        #: What each request's own context is a copy of: nothing leaks from one request into another.
        self.context: Context = copy_context()
        #: The calls of an ASGI app that are expected to suspend (`drive.Habit`).
        self.tasks = 0

    async def drain(self, grace: float, idle: float = 0.0) -> None:
        """Wait for the answers under way, and for what apps do after their answers."""
        deadline = time.monotonic() + grace
        await super().drain(grace, idle)
        while (self.driver.running or self.hosted.is_busy()) and time.monotonic() < deadline:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Stop the clock, the parked tasks and the threads."""
        super().close()
        self.hosted.close()


class HostedBody(BodyStream):
    """A body that arrives while the app runs."""

    __slots__ = ("_limit", "_seen")

    _protocol: HostedProtocol

    def __init__(self, protocol: HostedProtocol, chunks: list[bytes], length: int | None) -> None:
        super().__init__(protocol, chunks, length)
        self._limit = protocol.hosted.max_body
        self._seen = self._size

    def feed(self, chunk: bytes) -> None:
        """Add a chunk that has arrived."""
        if self._limit is not None:
            self._seen += len(chunk)
            if self._seen > self._limit:
                self._protocol.body_too_long(self._limit)
                return
        super().feed(chunk)

    @property
    def is_full(self) -> bool:
        """Whether the client has been told to wait."""
        return self._size > BODY_BUFFER // 2

    @property
    def is_over(self) -> bool:
        """Whether the body was complete and has been taken to its end."""
        return self.ended and not self._chunks and self._error is None

    async def take(self) -> bytes:
        """Return all that has arrived; wait where that is nothing, and return nothing at the end.

        Raises:
            ClientDisconnected: the body is truncated.
        """
        chunk = await anext(self, b"")
        if self._chunks:
            chunk += b"".join(self._chunks)
            self._chunks.clear()
            self._size = 0
            self.read_on()
        return chunk

    def give_back(self, chunk: bytes) -> None:
        """Put back what was taken."""
        self._chunks.appendleft(chunk)
        self._size += len(chunk)

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more comes: from here on time is the app's."""
        super().end(error)
        if error is None:
            self._protocol.deadline = FAR


class HostedProtocol(Http1Protocol):
    """One connection to a hosted app."""

    __slots__ = ("client", "exchange", "hosted", "local")

    server: HostedServer

    methods: ClassVar[Mapping[bytes, str]] = {m.encode(): m for m in _METHODS.split()}

    def __init__(self, server: HostedServer) -> None:
        super().__init__(server)
        self.hosted = server.hosted
        #: The exchange whose answer is not complete.
        self.exchange: Exchange | None = None
        #: The other end of the connection; None on a Unix socket.
        self.client: tuple[str, int] | None = None
        #: This end; on a Unix socket its path, and no port.
        self.local: tuple[str, int | None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        peer: tuple[Any, ...] | str | None = transport.get_extra_info("peername")
        local: tuple[Any, ...] | str | None = transport.get_extra_info("sockname")
        self.client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        self.local = (str(local[0]), int(local[1])) if isinstance(local, tuple) else (local, None) if local else None

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: tell the app, which decides what that means."""
        super().connection_lost(exc)
        if self.exchange is not None:
            self.exchange.client_left()

    def leave(self) -> None:
        """The client sends nothing more; see docs/decisions/0009."""
        super().leave()
        if self.exchange is not None and self.busy is not None and self.busy.method in ("GET", "HEAD"):
            self.exchange.client_stopped()

    def resume_body(self) -> None:
        """Read on."""
        super().resume_body()
        if self.body is not None and self.body.ended:
            self.deadline = FAR

    def _handler_deadline(self) -> float:
        return FAR  # an app takes the time it wants

    @property
    def stream(self) -> HostedBody | None:
        """The body that arrives while the app runs."""
        body = self.body
        assert body is None or isinstance(body, HostedBody)
        return body

    # -- requests -----------------------------------------------------------------------------------------------

    def request(
        self, method: str, target: bytes, raw: list[tuple[bytes, bytes]], body: bytes | None, *, old: bool = False
    ) -> tuple[Request, HTTPError | None]:
        """Build a request from a parsed head, with the grammar of its target, Host and coding checked."""
        try:
            path, query, authority = split_target(target)
        except HTTPError as exc:
            return super().request(method, b"/", raw, body, old=old)[0], exc
        probe = b"/" if authority is None else b"http://%b/" % authority
        checked, error = super().request(method, probe, raw, body, old=old)
        request = HostedRequest(
            method, decode(path), query, checked.raw_headers, checked.fields, body, self.connection, raw_path=path
        )
        return request, error

    def message_complete(self, method: str, target: bytes, raw: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole request has arrived: answer it, or let it wait for its turn.

        PERF: the usual request; what is unusual goes through `message_slowly`, which does the same step by step.
        """
        fields = dict(raw)
        path, _, query = target.partition(b"?")
        if (
            fields.get(b"host") != self.host
            or self.host is None
            or len(fields) != len(raw)
            or fields.get(b"connection") != self.connection_field
            or (body and b"transfer-encoding" in fields)
            or b"#" in query
            or target[0] != _SLASH
        ):
            self.message_slowly(method, target, raw, body)
            return
        text = path.decode() if b"%" not in path and path.isascii() else decode(path)
        self.start(HostedRequest(method, text, query, raw, fields, body, self.connection, raw_path=path))

    def start(self, request: Request) -> None:
        """Answer a request: call the app."""
        if request.route is not None:  # an error has been found
            super().start(request)
            return
        body = request._body  # pyright: ignore[reportPrivateUsage]
        limit = self.hosted.max_body
        if limit is not None and body is not None and len(body) > limit:
            self.refuse_now(request, ContentTooLarge(f"the body has {len(body)} bytes, and {limit} are allowed"))
            return
        self.busy, self.host = request, None
        self.deadline = FAR
        self.server.counters.requests += 1
        if self.dispatcher.access_log is not None:
            self.started = time.monotonic()
        exchange = self.exchange = self.hosted.exchange(self, request)
        exchange.begin()

    def start_early(self, request: Request, chunks: list[bytes], length: int | None) -> None:
        """Answer a request whose body is still arriving."""
        if self.busy is not None:
            raise RuntimeError("a body cannot be streamed while another request is being answered")
        limit = self.hosted.max_body
        body = self.body = HostedBody(self, chunks, length)
        if limit is not None and length is not None and length > limit:
            self.refuse(request, ContentTooLarge(f"the body has {length} bytes, and {limit} are allowed"))
            return
        request.source = body
        self.start(request)
        if self.body is body and not body.ended and body.paused_at is None and not self._sending:
            self.deadline = body.deadline()

    def refuse_now(self, request: Request, error: Exception) -> None:
        """Answer an error in the place of the app, and close."""
        self.last = True
        hosted = self.hosted

        async def endpoint(request: Request) -> Response[Any]:
            return await hosted.answer_error(request, error)

        request.route = CompiledRoute(endpoint, kind="answer")
        super().start(request)

    def body_too_long(self, limit: int) -> None:
        """More of a body has come than is allowed: answer that in the place of the app, or cut what it has begun."""
        request, exchange, body = self.busy, self.exchange, self.body
        if body is not None:
            body.end(ClientDisconnected("the body is too long"))
        if request is None or exchange is None:
            return
        self.exchange = None
        self.unread = True
        self.transport.pause_reading()
        is_sent = exchange.give_up()
        if is_sent:
            self.transport.abort()
        else:
            self.refuse_now(request, ContentTooLarge(f"the body is longer than the {limit} bytes that are allowed"))

    def far_end(self, request: Request) -> tuple[str, tuple[str, int] | None]:
        """Return the scheme and the client, as trusted proxies tell them."""
        client = request.connection.client_of(request)
        if self.client is not None and client.host == self.client[0] and client.port is None:
            return client.scheme, self.client
        return client.scheme, (client.host, client.port or 0) if client.host else None

    # -- answers ------------------------------------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """Whether the client reads too slowly."""
        return self._paused

    async def wait_writable(self) -> None:
        """Return when the client has caught up, or has gone."""
        while self._paused and not self.lost:
            if self._writer is None:
                self._writer = self.server.loop.create_future()
            await asyncio.shield(self._writer)  # several may wait for it

    def answer_begins(self, status: int, *, closing: bool) -> None:
        """The head of an answer goes out; `closing` is whether it says that the connection ends."""
        self._sending = True
        if status >= 300:
            self.server.counters.answers[min(status // 100, 5)] += 1
        if closing:
            self.last = True
            if self.queue or (self.body is not None and not self.body.ended):
                self.queue.clear()
                self.unread = True

    def completed(self, request: Request, status: int, size: int) -> None:
        """The answer is complete, whatever the app does now."""
        self.exchange = None
        if self.body is not None and not self.body.ended:
            self.last = self.unread = True
        self.written(request, status, size, None)

    def failed(self, request: Request, error: BaseException, *, is_sent: bool) -> None:
        """The app has failed: by a 500 where nothing is written yet, else by a cut connection."""
        if self.busy is not request:
            return
        self.exchange = None
        self._sending = is_sent
        if self.hosted.debug is not None and not is_sent and not self.lost and isinstance(error, Exception):
            self.report("the app failed", error)
            self.refuse_now(request, error)
            return
        self.crashed(error)

    def advance(self) -> None:
        """Answer the requests that have waited."""
        # The answer before may have ended in the middle of its app, which goes on first.
        if self.queue or self.waiting:
            self.server.loop.call_soon(super().advance)

    def upgrade_websocket(self, request: object, rest: bytes) -> None:
        """Hand the connection to the WebSocket protocol, if the app can have WebSockets."""
        assert isinstance(request, HostedRequest)
        if not self.hosted.has_websockets:
            self.last = self.unread = True
            self.enter(request, self.is_http_1_0())
            return
        from quintet.server.hosted_websocket import start_hosted_websocket

        start_hosted_websocket(self, request, rest)


class RoutedExchange:
    """A request that a route of ours answers in the place of the app."""

    def __init__(self, protocol: HostedProtocol, request: Request, route: CompiledRoute) -> None:
        self._protocol = protocol
        self._request = request
        self._request.route = route

    def begin(self) -> None:
        """Call the route."""
        self._protocol.exchange = None
        self._protocol.start(self._request)

    def client_left(self) -> None:
        """Never called: the exchange is over as it begins."""

    client_stopped = client_left

    def give_up(self) -> bool:
        """Never called: the exchange is over as it begins."""
        return False


def decode(path: bytes) -> str:
    """Return a path percent-decoded; what is not UTF-8 shows as U+FFFD, and is to be had from the raw path."""
    return unquote_to_bytes(path).decode("utf-8", "replace")
