"""The native protocol: from a parsed HTTP/1.1 message to a written answer, without an interface in between.

`NativeProtocol` is what the built-in server and the test client share; a subclass parses bytes and calls
`message_complete` or `message_begun`. It knows asyncio's transports and nothing of the parser.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextvars import copy_context
from typing import Any

from quintet.errors import BadRequest, ClientDisconnected, ContentTooLarge, HTTPError, InternalServerError
from quintet.handlers.compile import Outcome
from quintet.http.connection import Connection
from quintet.http.dates import http_date
from quintet.http.head import STATUS_LINES
from quintet.http.request import Request, id_prefix, next_number
from quintet.http.response import Response
from quintet.http.url import decode_path, split_target
from quintet.protocols.dispatcher import CompiledRoute, Dispatcher, merge_headers
from quintet.protocols.drive import SUSPENDED, Driver

logger = logging.getLogger("quintet.server")

#: Bytes of a body that wait for the handler before the client is told to wait.
BODY_BUFFER = 256 * 1024
#: Seconds for which a connection whose request was not read to its end is kept for the client to read the answer.
LINGER = 2.0


class NativeServer:
    """What the connections of one event loop share."""

    def __init__(self, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop) -> None:
        self.dispatcher = dispatcher
        self.loop = loop
        self.driver = Driver(loop)
        self.connections: set[NativeProtocol] = set()
        self.now = time.monotonic()
        #: The Date field, renewed every second.
        self.date = b""
        #: When a connection that is idle from now on is closed.
        self.keep_alive_deadline = 0.0
        #: The field of the request's id, but for its number.
        self.id_field = f"x-request-id: {id_prefix()}".encode()
        self.stopping = False
        self._timer: asyncio.TimerHandle | None = None
        self._tick()

    def _tick(self) -> None:
        self.now = now = time.monotonic()
        self.keep_alive_deadline = now + self.dispatcher.limits.keep_alive
        self.date = b"date: %b\r\n" % http_date(time.time()).encode()
        for connection in [c for c in self.connections if c.deadline < now]:
            connection.expire()
        self._timer = self.loop.call_later(1.0, self._tick)

    async def drain(self, grace: float) -> None:
        """Stop accepting requests and wait until those under way are answered, at most `grace` seconds."""
        self.stopping = True
        for connection in list(self.connections):
            connection.close_when_idle()
        deadline = time.monotonic() + grace
        while self.connections and time.monotonic() < deadline:  # noqa: ASYNC110 - an event would cost each connection
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()

    def close(self) -> None:
        """Stop the clock and the parked tasks."""
        if self._timer is not None:
            self._timer.cancel()
        self.driver.close()


class BodyStream:
    """The chunks of a body as they arrive, with back-pressure."""

    __slots__ = ("_chunks", "_error", "_protocol", "_size", "_waiter", "ended")

    def __init__(self, protocol: NativeProtocol, chunks: list[bytes]) -> None:
        self._protocol = protocol
        self._chunks = deque(chunks)
        self._size = sum(map(len, chunks))
        self._waiter: asyncio.Future[None] | None = None
        #: Whether nothing more comes.
        self.ended = False
        self._error: BaseException | None = None

    def feed(self, chunk: bytes) -> None:
        """Add a chunk; the transport is paused when too much waits."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > BODY_BUFFER:
            self._protocol.pause_body()
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more comes; what happens after a body's end changes nothing."""
        if not self.ended:
            self.ended = True
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk.

        Raises:
            ClientDisconnected: the body is truncated.
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
        if self._size <= BODY_BUFFER // 2:
            self._protocol.resume_body()
        return chunk


class NativeConnection(Connection):
    """The connection of requests that the native protocol carries."""

    __slots__ = ("_owner",)

    def __init__(self, owner: NativeProtocol, peer: str, scheme: str) -> None:
        dispatcher = owner.server.dispatcher
        super().__init__("native", peer, scheme, dispatcher.limits, dispatcher.proxies)
        self._owner = owner

    def is_disconnected(self) -> bool:
        """Tell whether the client is known to have gone."""
        return self._owner.lost

    async def disconnected(self) -> None:
        """Return when the client has gone."""
        await self._owner.wait_lost()

    def is_stopping(self) -> bool:
        """Tell whether the server is about to end."""
        return self._owner.server.stopping


class NativeProtocol(asyncio.Protocol):
    """One connection: requests in, answers out, in order."""

    __slots__ = (
        "_advancing", "_crashes", "_gone", "_paused", "_sending", "body", "busy", "connection", "deadline",
        "dispatcher", "driver", "expects", "host", "last", "lingering", "lost", "queue", "route", "server", "started",
        "task", "transport", "unread", "version_1_0", "waiting",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, server: NativeServer) -> None:
        self.server = server
        self.dispatcher = server.dispatcher
        self.driver = server.driver
        #: Requests that wait for their turn, and whether each is HTTP/1.0.
        self.queue: deque[tuple[Request, bool]] = deque()
        #: The request being answered.
        self.busy: Request | None = None
        self.route: CompiledRoute | None = None
        self.task: asyncio.Task[None] | None = None
        self.body: BodyStream | None = None
        self.host: bytes | None = None
        #: No request comes after those that are here.
        self.last = False
        self.lost = False
        #: The client may still be sending what nobody will read.
        self.unread = False
        #: The last answer is written; the client has a moment to read it.
        self.lingering = False
        #: Whether the request being answered is HTTP/1.0.
        self.version_1_0 = False
        self.expects = False
        #: A request whose body is arriving waits for the answers before it.
        self.waiting = False
        self.started = 0.0
        self._paused: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        #: Something of the answer is written.
        self._sending = False
        #: The request being answered has crashed, and gets an answer that says so.
        self._crashes = False
        self._advancing = False
        self.deadline = server.now + self.dispatcher.limits.header_timeout

    # -- the transport ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # pyright: ignore[reportAttributeAccessIssue]
        peer: tuple[Any, ...] | str | None = transport.get_extra_info("peername")
        scheme = "https" if transport.get_extra_info("sslcontext") is not None else "http"
        self.connection = NativeConnection(self, str(peer[0]) if isinstance(peer, tuple) else "", scheme)
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: cancel what nobody waits for, and fail what waits for more of the body."""
        self.lost = True
        self.server.connections.discard(self)
        self.queue.clear()
        if self.body is not None:
            self.body.end(ClientDisconnected("the client closed the connection in the middle of its request"))
        for future in (self._paused, self._gone):
            if future is not None and not future.done():
                future.set_result(None)
        request, route, task = self.busy, self.route, self.task
        if request is None or route is None or task is None or task.done():
            return
        if route.cancel or request.method in ("GET", "HEAD"):
            task.cancel()

    def pause_writing(self) -> None:
        """The client reads too slowly: streams wait, and so do its next requests."""
        if self._paused is None:
            self._paused = self.server.loop.create_future()
            self.host = None  # PERF: keeps requests away from the short way, which need not look for this

    def resume_writing(self) -> None:
        """The client has caught up."""
        paused, self._paused = self._paused, None
        if paused is not None and not paused.done():
            paused.set_result(None)
        if self.busy is None and not self.lost:
            self._advance()

    async def wait_lost(self) -> None:
        """Return when the client has gone."""
        if not self.lost:
            if self._gone is None:
                self._gone = self.server.loop.create_future()
            await asyncio.shield(self._gone)

    def leave(self) -> None:
        """The client sends nothing more: an answer under way is finished, a stream that waits in silence is not."""
        if self._gone is None:
            self._gone = self.server.loop.create_future()
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_body(self) -> None:
        """Read no more of the body for now."""
        if not self.lost:
            self.transport.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if not self.lost and len(self.queue) < self.dispatcher.limits.pipeline:
            self.transport.resume_reading()

    def want_body(self) -> None:
        """The handler waits for the body: say so to a client that asked first."""
        if self.expects and not self.lost:
            self.expects = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def expire(self) -> None:
        """A deadline has passed: close."""
        if self.body is not None:
            self.body.end(ClientDisconnected("the client took too long to send its body"))
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def close_when_idle(self) -> None:
        """Close after the request under way, or now."""
        self.last = True
        if self.busy is None:
            self.transport.close()

    # -- requests -----------------------------------------------------------------------------------------------

    def request(
        self, method: str, target: bytes, raw: list[tuple[bytes, bytes]], body: bytes | None, *, old: bool = False
    ) -> tuple[Request, HTTPError | None]:
        """Build a request from a parsed head; the error is what makes it unanswerable by any route.

        `old` is whether it is HTTP/1.0.
        """
        fields = dict(raw)
        try:
            path, query, authority = split_target(target)
            coding = fields.get(b"transfer-encoding")
            if coding is not None:
                _check_coding(coding, raw, old)
            host = fields.get(b"host")
            if host is not None or not old:
                self.dispatcher.check_host(host, sum(name == b"host" for name, _ in raw))
            if authority is not None:
                self.dispatcher.check_host(authority)
                fields[b"host"] = authority
                raw = [(n, authority if n == b"host" else v) for n, v in raw]
            else:
                self.host = host if self._paused is None else None
            text = decode_path(path)
        except HTTPError as exc:
            return Request(method, "/", b"", raw, fields, body, self.connection), exc
        return Request(method, text, query, raw, fields, body, self.connection), None

    def message_complete(self, method: str, target: bytes, raw: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole request has arrived: answer it, or let it wait for its turn.

        The caller keeps connections that end, and HTTP/1.0, away from the short way by `message_slowly`.

        PERF: the usual request is built, driven and written in this one function; what is unusual goes through
        `request`, `start` and `finish`, which do the same step by step.
        """
        fields = dict(raw)
        if (
            fields.get(b"host") != self.host
            or len(fields) != len(raw)
            or self.busy is not None
            or self.host is None
            or self.last
            or (body and b"transfer-encoding" in fields)
            or (b"connection" in fields and self.is_http_1_0())
        ):
            self.message_slowly(method, target, raw, body)
            return
        dispatcher, server = self.dispatcher, self.server
        static = dispatcher.static.get(target)
        if static is not None:
            request = Request(method, static[0], b"", raw, fields, body, self.connection)
            route = static[1].get(method)
            if route is None:
                route, request.params = dispatcher.find(method, static[0])
        else:
            path, _, query = target.partition(b"?")
            if b"%" in path or b"#" in query or target[0] != _SLASH or not path.isascii():
                self.message_slowly(method, target, raw, body)
                return
            request = Request(method, path.decode(), query, raw, fields, body, self.connection)
            route, request.params = dispatcher.find(method, request.path)
        self.version_1_0 = False
        request.route = route
        self.started = time.monotonic() if dispatcher.access_log is not None else server.now
        try:
            outcome = self.driver.start(route.endpoint(request), copy_context(), self._ended)  # pyright: ignore[reportArgumentType]
        except BaseException as exc:  # noqa: BLE001 - endpoints answer exceptions; this is a bug or a cancellation
            self.busy = request
            self._crashed(exc)
            return
        if outcome.__class__ is not tuple or method == "HEAD":
            self._take(request, route, outcome)
            return
        head, content = outcome
        if head.status != 204:
            if dispatcher.request_id:
                if not request.number:
                    request.number = next_number()
                self.transport.write(
                    b"%b%b%b%x\r\ncontent-length: %d\r\n\r\n%b"
                    % (head.h1, server.date, server.id_field, request.number, len(content), content)
                )
            else:
                self.transport.write(
                    b"%b%bcontent-length: %d\r\n\r\n%b" % (head.h1, server.date, len(content), content)
                )
            if request.after is None and dispatcher.access_log is None:
                self.deadline = server.keep_alive_deadline
                return
            self._written(request, head.status, len(content), None)
            return
        self._take(request, route, outcome)

    def _take(self, request: Request, route: CompiledRoute, outcome: Any) -> None:
        """Go on with the outcome of a first step."""
        self.busy = request
        self.route = route
        if outcome is SUSPENDED:
            self.task = self.driver.task
            self.deadline = _FAR
        else:
            self.finish(request, outcome)

    def message_slowly(self, method: str, target: bytes, raw: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer a whole request step by step."""
        old = self.is_http_1_0()
        request, error = self.request(method, target, raw, body, old=old)
        if error is not None:
            self.refuse(request, error)
        else:
            self.enter(request, old)

    def enter(self, request: Request, old: bool) -> None:
        """Answer a request, or let it wait for those before it, and for a client that reads slowly."""
        if self.busy is None and self._paused is None and not self.queue:
            self.version_1_0 = old
            self.start(request)
            return
        self.queue.append((request, old))
        if len(self.queue) >= self.dispatcher.limits.pipeline:
            self.transport.pause_reading()

    def refuse(self, request: Request, error: HTTPError) -> None:
        """Answer an error found before routing, and close."""
        self.last = True
        request.route = self.dispatcher.refuse(error)
        self.enter(request, False)

    def start(self, request: Request) -> None:
        """Answer a request: find its route and drive its handler."""
        route = request.route
        if route is None:
            route, request.params = self.dispatcher.find(request.method, request.path)
            request.route = route
        self.busy = request
        self.route = route
        self.started = time.monotonic() if self.dispatcher.access_log is not None else self.server.now
        try:
            coro: Any = route.endpoint(request)
            outcome = self.driver.start(coro, copy_context(), self._ended)
        except BaseException as exc:  # noqa: BLE001 - endpoints answer exceptions; this is a bug or a cancellation
            self._crashed(exc)
            return
        self._take(request, route, outcome)

    def start_early(self, request: Request, chunks: list[bytes], length: int | None) -> None:
        """Answer a request whose body is still arriving."""
        if self.busy is not None:
            raise RuntimeError("a body cannot be streamed while another request is being answered")
        self.body = BodyStream(self, chunks)
        request.source = self.body
        route, request.params = self.dispatcher.find(request.method, request.path)
        request.route = route
        limit = self.dispatcher.limits.body if route.max_body is None else route.max_body
        if length is not None and length > limit:
            self.refuse(request, ContentTooLarge(f"the body has {length} bytes, and {limit} are allowed"))
            return
        self.start(request)

    def _ended(self, result: Any, error: BaseException | None) -> None:
        """A handler that had suspended has ended."""
        request = self.busy
        self.task = None
        if request is None:
            return
        if error is not None:
            if not isinstance(error, asyncio.CancelledError) or not self.lost:
                self._crashed(error)
            else:
                self._conclude(request, None)
            return
        if self.lost:
            self._conclude(request, result)
        else:
            self.finish(request, result)

    def _crashed(self, error: BaseException) -> None:
        """End a request whose endpoint has raised: by a 500 where nothing is written yet, else by a cut connection."""
        request = self.busy
        gone = self.lost or isinstance(error, ClientDisconnected)
        if not gone:
            self.report("a request ended without an answer", error)
        if gone or request is None or self._sending or self._crashes:
            if request is not None:
                self._conclude(request, None)
            self.transport.abort()
            return
        self._crashes = self.last = True
        answer = InternalServerError("the server failed to answer; the failure was logged")
        request.route = self.dispatcher.refuse(answer)
        self.start(request)

    # -- answers ------------------------------------------------------------------------------------------------

    def finish(self, request: Request, outcome: Any) -> None:
        """Write an outcome and go on with the next request."""
        try:
            self._answer(request, outcome)
        except Exception as exc:  # noqa: BLE001 - an outcome that cannot be written, such as one with an unknown status
            self._crashed(exc)

    def _answer(self, request: Request, outcome: Outcome) -> None:  # noqa: C901 - PERF: one function; its steps are in order
        content: Any
        length: int | None
        response: Response[Any] | None = None
        if isinstance(outcome, tuple):
            head, content = outcome
            fields = list(head.fields)
            status, length = head.status, None
            if self.dispatcher.request_id:
                fields.append(("x-request-id", request.id))
        else:
            response = outcome
            fields = merge_headers(outcome, self.dispatcher, request)
            status, content, length = outcome.status or 200, outcome.content or b"", outcome.length
        if self.body is not None and not self.body.ended:
            self.unread = self.last = True
        closing = (self.last and not self.queue) or self.server.stopping
        if closing:
            self.last = True
        streamed = not isinstance(content, bytes)
        bodiless = status < 200 or status in (204, 304)
        if not streamed:
            length = len(content)
        if length is None and self.version_1_0:
            closing = self.last = True
            self.queue.clear()
        lines = [STATUS_LINES[status]]
        lines += [b"%b: %b\r\n" % (n.encode("latin-1"), v.encode("latin-1")) for n, v in fields if n != "connection"]
        lines.append(self.server.date)
        chunked = False
        if not bodiless:
            if length is not None:
                lines.append(b"content-length: %d\r\n" % length)
            elif not self.version_1_0:
                chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
        if closing:
            lines.append(b"connection: close\r\n")
        elif self.version_1_0:
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        self._sending = True
        if streamed and not bodiless and request.method != "HEAD":
            self.transport.write(b"".join(lines))
            sending = self._send(request, content, chunked, status, response)
            self._drive(sending)
            return
        if not streamed and not bodiless and request.method != "HEAD":
            lines.append(content)
        self.transport.write(b"".join(lines))
        if streamed:
            self._drive(self._discard(request, content, status, response))
            return
        self._written(request, status, length, response)

    def _drive(self, coro: Any) -> None:
        """Run the sending of a stream; it ends by going on itself."""
        request = self.busy
        try:
            outcome = self.driver.start(coro, copy_context(), self._sent)
        except BaseException as exc:  # noqa: BLE001 - a stream that fails cuts the connection
            self._crashed(exc)
            return
        if outcome is SUSPENDED and self.busy is request:
            self.task = self.driver.task
            self.deadline = _FAR

    def _sent(self, result: Any, error: BaseException | None) -> None:
        if error is not None:
            self._crashed(error)

    def report(self, message: str, error: BaseException) -> None:
        """Log a failure that no answer can tell; the test client also keeps it."""
        logger.error(message, exc_info=error)

    async def _send(
        self, request: Request, chunks: AsyncIterator[bytes], chunked: bool, status: int, response: Any
    ) -> None:
        """Write a stream, waiting where the client reads slowly."""
        size = 0
        try:
            async for chunk in chunks:
                if self.lost:
                    break
                if not chunk:
                    continue
                size += len(chunk)
                self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._paused is not None:
                    await asyncio.shield(self._paused)
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - reported below, and the connection is cut
            if not self.lost:
                # The head has gone out: the only honest end is a cut connection, never a tidy last chunk.
                if isinstance(exc, Exception):
                    self.report("a stream failed after its first byte", exc)
                self.transport.abort()
        else:
            if chunked and not self.lost:
                self.transport.write(b"0\r\n\r\n")
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        self._written(request, status, size, response)

    async def _discard(self, request: Request, chunks: Any, status: int, response: Any) -> None:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
        self._written(request, status, None, response)

    def _written(self, request: Request, status: int, length: int | None, response: Response[Any] | None) -> None:
        """Everything of an answer is written: log, call back, go on."""
        if self.dispatcher.access_log is not None:
            self.dispatcher.access_log(request, status, length, time.monotonic() - self.started)
        self._conclude(request, response)
        if self.lost:
            return
        if self.last and not self.queue:
            self._close()
            return
        self.deadline = self.server.keep_alive_deadline
        self._advance()

    def _advance(self) -> None:
        """Answer the requests that have waited, as far as they end at once."""
        if self._advancing:
            return  # called by an answer that ended at once: the loop below goes on
        self._advancing = True
        try:
            while self.busy is None and self._paused is None and not self.lost:
                if self.queue:
                    self._next()
                elif self.waiting:
                    self.begin_waiting()
                else:
                    break
        finally:
            self._advancing = False

    def _close(self) -> None:
        """Close the connection after its last answer.

        Where the client is still sending, the answer would be lost by a plain close: the system tells the client that
        nobody reads, and it throws away what it has received (RFC 9112, section 9.6). So what comes is read and dropped
        for a moment.
        """
        if not self.unread or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.lingering = True
        self.deadline = time.monotonic() + LINGER
        self.transport.write_eof()
        self.transport.resume_reading()

    def is_http_1_0(self) -> bool:
        """Tell whether the request just parsed is HTTP/1.0, and remember it."""
        return self.version_1_0

    def begin_waiting(self) -> None:
        """Begin the request whose body is arriving; its turn has come."""

    def _conclude(self, request: Request, response: Any) -> None:
        """Run what was to be done after the answer."""
        self.busy = None
        self._sending = self._crashes = False
        self.task = None
        self.body = None
        callbacks = [*(request.after or ()), *(response.after if isinstance(response, Response) else ())]
        request.after = None
        if callbacks:
            self._start_callbacks(callbacks)

    def _start_callbacks(self, callbacks: list[Any]) -> None:
        async def run() -> None:
            for callback in callbacks:
                try:
                    result = callback()
                    if result is not None:
                        await result
                except Exception:
                    logger.exception("a callback after the response failed")

        def done(result: Any, error: BaseException | None) -> None:
            del result, error

        self.driver.start(run(), copy_context(), done)

    def _next(self) -> None:
        request, self.version_1_0 = self.queue.popleft()
        if len(self.queue) == self.dispatcher.limits.pipeline - 1:
            self.transport.resume_reading()
        self.start(request)

    def reject(self, error: HTTPError) -> None:
        """Answer bytes that are not HTTP, or too much of it, and close."""
        if self.lost:
            return
        request = Request("GET", "/", b"", [], {}, b"", self.connection)
        self.refuse(request, error)


def _check_coding(coding: bytes, raw: list[tuple[bytes, bytes]], old: bool) -> None:
    """Refuse every Transfer-Encoding but one `chunked` (RFC 9112, section 6.1)."""
    if old:
        raise BadRequest("HTTP/1.0 has no Transfer-Encoding")
    if coding.lower() != b"chunked" or sum(name == b"transfer-encoding" for name, _ in raw) > 1:
        raise BadRequest("the only transfer coding is chunked")


_FAR = float("inf")
_SLASH = ord("/")
