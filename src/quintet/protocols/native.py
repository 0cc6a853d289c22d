"""The native protocol: from a parsed HTTP/1.1 message to a handler, without an interface in between.

`NativeProtocol` is what the built-in server and the test client share; a subclass parses bytes and calls
`message_complete` or `start_early`. It knows asyncio's transports and nothing of the parser.
"""

from __future__ import annotations

import asyncio
import copy
import time
from contextvars import copy_context
from typing import Any

from quintet.errors import (
    BadRequest,
    ClientDisconnected,
    ContentTooLarge,
    HTTPError,
    InternalServerError,
    RequestTimeout,
    ServiceUnavailable,
)
from quintet.http.connection import Connection
from quintet.http.request import NO_METHOD, Request, next_number
from quintet.http.url import decode_path, split_target
from quintet.protocols.dispatcher import CompiledRoute
from quintet.protocols.drive import SPELL, SUSPENDED
from quintet.protocols.native_answers import AnswerProtocol
from quintet.protocols.native_body import BodyStream
from quintet.protocols.native_server import TICK


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

    def http_version(self) -> str:
        """Return the version of HTTP of the request being answered."""
        return "1.0" if self._owner.version_1_0 else "1.1"


class NativeProtocol(AnswerProtocol):
    """One connection: requests in, answers out, in order."""

    __slots__ = ()

    # -- the transport ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # pyright: ignore[reportAttributeAccessIssue]
        peer: tuple[Any, ...] | str | None = transport.get_extra_info("peername")
        scheme = "https" if transport.get_extra_info("sslcontext") is not None else "http"
        self.connection = NativeConnection(self, str(peer[0]) if isinstance(peer, tuple) else "", scheme)
        if not self.server.admit(self):
            self.turn_away()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: cancel what nobody waits for, and fail what waits for more of the body."""
        self.lost = True
        self.server.connections.discard(self)
        self.queue.clear()
        if self.body is not None:
            self.body.end(ClientDisconnected("the client closed the connection in the middle of its request"))
        self.wake_writer()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        request, route, task = self.busy, self.route, self.task
        if request is None or route is None or task is None or task.done():
            return
        if route.cancel or request.method in ("GET", "HEAD"):
            task.cancel()
        else:
            self.deadline = self._handler_deadline()
            self.server.orphans.add(self)

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
        """Read no more of the body for now; it is the handler's turn."""
        if not self.lost:
            self.deadline = self._handler_deadline()
            self.transport.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if not self.lost and len(self.queue) < self.server.limits.pipeline:
            self.transport.resume_reading()
            if self.body is not None and not self._sending:
                self.deadline = self.body.deadline()

    def want_body(self) -> None:
        """The handler waits for the body: say so to a client that asked first."""
        if self.expects and not self.lost:
            self.expects = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def expire(self) -> None:
        """A deadline has passed: end what takes too long."""
        if self.is_writing():
            return
        body = self.body
        if self.task is None or self._sending or self.route is None or self.route.kind == "answer":
            self.abort()
        elif body is None or body.ended or body.paused_at is not None:
            self._abandon(self.task)
        else:
            self.server.counters.timeouts += 1
            self.last = self.unread = True
            self.deadline = self._handler_deadline()
            body.end(RequestTimeout("the body came too slowly", headers={"connection": "close"}))

    def _handler_deadline(self) -> float:
        patience = None if self.route is None else self.route.handler_timeout
        return self.server.now + (self.server.handler_timeout if patience is None else patience)

    def _abandon(self, task: asyncio.Task[None]) -> None:
        """Answer for a handler that takes too long, and cancel it; what was to come after it waits for its end."""
        request = self.busy
        assert request is not None
        self.server.counters.timeouts += 1
        answered = copy.copy(request)
        answered.after = None

        def ended(result: Any, error: BaseException | None) -> None:
            self.server.pending -= 1
            after, request.after = request.after, None
            if after:
                self.call_back(after)

        self.driver.abandon(task, ended)
        self.task = None
        if self.body is not None:
            self.body.end(ClientDisconnected("the handler took too long"))
            self.last = self.unread = True
        seconds = self.server.limits.handler_timeout
        error = ServiceUnavailable(f"the handler took longer than {seconds:g} s", headers={"retry-after": "1"})
        answered.route = self.dispatcher.refuse(error)
        self.start(answered)

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def close_when_idle(self, idle: float = 0.0) -> None:
        """Close after the request under way; without one in `idle` seconds, unless the client has long been silent."""
        if idle and self.busy is None and not self.last and not self._paused:
            now = time.monotonic()
            if self.deadline - self.server.limits.keep_alive > now - idle - TICK:
                self.host = None  # the next request takes the long way, whose answer says `Connection: close`
                # Deadlines are granted a tick more, for a clock that may be behind; this one is by the true time.
                self.deadline = min(self.deadline, now + idle - TICK)
                return
        self.last = True
        if self.busy is None and not self.lingering:
            self.close()

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
                self.dispatcher.check_host(host, sum(name == b"host" for name, _ in raw), path)
            if authority is not None:
                self.dispatcher.check_host(authority)
                fields[b"host"] = authority
                raw = [(n, authority if n == b"host" else v) for n, v in raw]
            else:
                # A host that was let through for its path alone is looked at again the next time.
                self.checked_host = None if path in self.dispatcher.open_paths else host
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
        server, dispatcher = self.server, self.dispatcher
        if (
            fields.get(b"host") != self.host
            or self.host is None
            or len(fields) != len(raw)
            or fields.get(b"connection") != self.connection_field
            or server.pending >= server.most_pending
            or (body and b"transfer-encoding" in fields)
        ):
            self.message_slowly(method, target, raw, body)
            return
        query, params = b"", ()
        static = dispatcher.static.get(target)
        if static is not None:
            path, methods = static
        else:
            path, _, query = target.partition(b"?")
            if b"%" in path or b"#" in query or target[0] != _SLASH or not path.isascii():
                self.message_slowly(method, target, raw, body)
                return
            path = path.decode()
            methods, params = dispatcher.lookup(path) or _NOTHING
        route = methods.get(method)
        if route is None:
            route, params = dispatcher.find(method, path)
        request = Request(method, path, query, raw, fields, body, self.connection, route, params)
        server.counters.requests += 1
        if dispatcher.access_log is not None:
            self.started = time.monotonic()
        try:
            coro: Any = route.endpoint(request)
            if route.tasks:  # PERF: `start_by_habit` in both cases would be a call more for what ends in place
                outcome = self.driver.start_by_habit(route, coro, copy_context(), self._ended)
            else:
                outcome = self.driver.start(coro, copy_context(), self._ended)
                if outcome is SUSPENDED:
                    route.tasks = SPELL
        except BaseException as exc:  # noqa: BLE001 - endpoints answer exceptions; this is a bug or a cancellation
            self.busy, self.host = request, None
            self.crashed(exc)
            return
        if outcome.__class__ is not tuple or method == "HEAD":
            self._take(request, route, outcome)
            return
        head, content = outcome
        if head.is_plain:
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
            self.written(request, head.status, len(content), None)
            return
        self._take(request, route, outcome)

    def _take(self, request: Request, route: CompiledRoute, outcome: Any) -> None:
        """Go on with the outcome of a first step."""
        self.busy, self.host = request, None
        self.route = route
        if outcome is SUSPENDED:
            self.server.pending += 1
            self.task = self.driver.task
            body = self.body
            self.deadline = self._handler_deadline() if body is None or body.ended else body.deadline()
        else:
            self.finish(request, outcome)

    def message_slowly(self, method: str, target: bytes, raw: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer a whole request step by step."""
        old = self.is_http_1_0()
        request, error = self.request(method, target, raw, body, old=old)
        field = request.fields.get(b"connection")
        # What the next request may say of the connection without being looked at: what this one said, in HTTP/1.1.
        self.connection_field = _NEVER if old or (field is not None and b"upgrade" in field.lower()) else field
        if error is not None:
            self.refuse(request, error)
        else:
            self.enter(request, old)

    def enter(self, request: Request, old: bool) -> None:
        """Answer a request, or let it wait for those before it, and for a client that reads slowly."""
        if self.busy is None and not self._paused and not self.queue:
            self.version_1_0 = old
            self.start(request)
            return
        self.queue.append((request, old))
        if len(self.queue) >= self.server.limits.pipeline:
            self.transport.pause_reading()

    def refuse(self, request: Request, error: HTTPError) -> None:
        """Answer an error found before routing, and close."""
        self.last = True
        request.route = self.dispatcher.refuse(error)
        self.enter(request, False)

    def start(self, request: Request) -> None:
        """Answer a request: find its route and drive its handler."""
        server, route = self.server, request.route
        if route is None:
            server.counters.requests += 1
            route, request.params = self.dispatcher.find(request.method, request.path)
            request.route = route
        self.busy, self.host = request, None
        self.route = route
        self.started = time.monotonic()
        if server.pending >= server.most_pending and route.kind not in _VITAL:
            server.counters.refused += 1
            self.finish(request, server.overloaded())
            return
        try:
            coro: Any = route.endpoint(request)
            outcome = self.driver.start_by_habit(route, coro, copy_context(), self._ended)
        except BaseException as exc:  # noqa: BLE001 - endpoints answer exceptions; this is a bug or a cancellation
            self.crashed(exc)
            return
        self._take(request, route, outcome)

    def start_early(self, request: Request, chunks: list[bytes], length: int | None) -> None:
        """Answer a request whose body is still arriving."""
        if self.busy is not None:
            raise RuntimeError("a body cannot be streamed while another request is being answered")
        self.body = BodyStream(self, chunks, length)
        request.source = self.body
        self.server.counters.requests += 1
        route, request.params = self.dispatcher.find(request.method, request.path)
        request.route = route
        limit = self.server.limits.body if route.max_body is None else route.max_body
        if length is not None and length > limit:
            self.refuse(request, ContentTooLarge(f"the body has {length} bytes, and {limit} are allowed"))
            return
        self.start(request)

    def _ended(self, result: Any, error: BaseException | None) -> None:
        """A handler that had suspended has ended."""
        request = self.busy
        self.task = None
        self.server.pending -= 1
        if request is None:
            return
        if error is not None:
            if not isinstance(error, asyncio.CancelledError) or not self.lost:
                self.crashed(error)
            else:
                self.conclude(request, None)
            return
        if self.lost:
            self.conclude(request, result)
        else:
            self.finish(request, result)

    def crashed(self, error: BaseException) -> None:
        """End a request whose endpoint has raised: by a 500 where nothing is written yet, else by a cut connection."""
        request = self.busy
        gone = self.lost or isinstance(error, ClientDisconnected)
        if not gone:
            self.report("a request ended without an answer", error)
        if gone or request is None or self._sending or self._crashes:
            if request is not None:
                self.conclude(request, None)
            self.transport.abort()
            return
        self._crashes = self.last = True
        answer = InternalServerError("the server failed to answer; the failure was logged")
        request.route = self.dispatcher.refuse(answer)
        self.start(request)

    def is_http_1_0(self) -> bool:
        """Tell whether the request just parsed is HTTP/1.0, and remember it."""
        return self.version_1_0

    def reject(self, error: HTTPError) -> None:
        """Answer bytes that are not HTTP, or too much of it, and close."""
        if self.lost:
            return
        request = Request(NO_METHOD, "/", b"", [], {}, b"", self.connection)
        self.refuse(request, error)


def _check_coding(coding: bytes, raw: list[tuple[bytes, bytes]], old: bool) -> None:
    """Refuse every Transfer-Encoding but one `chunked` (RFC 9112, section 6.1)."""
    if old:
        raise BadRequest("HTTP/1.0 has no Transfer-Encoding")
    if coding.lower() != b"chunked" or sum(name == b"transfer-encoding" for name, _ in raw) > 1:
        raise BadRequest("the only transfer coding is chunked")


#: What is answered however much there is to do.
_VITAL = ("answer", "health")
_SLASH = ord("/")
_NEVER = object()
_NOTHING: tuple[dict[str, CompiledRoute], tuple[str, ...]] = ({}, ())
