"""The writing half of a connection of the built-in server: outcomes become bytes, in order, at the client's speed."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from quintet.handlers.compile import Outcome
from quintet.http.head import STATUS_LINES
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.protocols.context import run_callbacks
from quintet.protocols.dispatcher import CompiledRoute, merge_headers
from quintet.protocols.drive import SUSPENDED
from quintet.protocols.native_body import BodyStream
from quintet.protocols.native_server import FAR, TOLD, NativeServer

if TYPE_CHECKING:
    from quintet.protocols.native import NativeConnection

logger = logging.getLogger("quintet.server")

#: A chunk of this size is written without being copied.
_LARGE_CHUNK = 16 * 1024

#: Seconds for which a connection whose request was not read to its end is kept for the client to read the answer.
LINGER = 2.0


class AnswerProtocol(asyncio.Protocol):
    """One connection: the request being answered, and its answer."""

    __slots__ = (
        "_advancing", "_crashes", "_gone", "_paused", "_sending", "_unsent", "_write_until", "_writer", "body", "busy",
        "checked_host", "connection", "connection_field", "deadline", "dispatcher", "driver", "expects", "host",
        "last", "lingering", "lost", "queue", "route", "server", "started", "task", "transport", "unread",
        "version_1_0", "waiting",
    )  # fmt: skip

    transport: asyncio.Transport
    connection: NativeConnection

    def __init__(self, server: NativeServer) -> None:
        self.server = server
        self.dispatcher = server.dispatcher
        self.driver = server.driver
        #: Requests that wait for their turn, and whether each is HTTP/1.0. A list: it is short, and mostly empty.
        self.queue: list[tuple[Request, bool]] = []
        #: The request being answered.
        self.busy: Request | None = None
        self.route: CompiledRoute | None = None
        self.task: asyncio.Task[None] | None = None
        self.body: BodyStream | None = None
        #: The Host field that has been checked on this connection.
        self.checked_host: bytes | None = None
        #: The same while a request may go the short way: the one before is answered, and the client takes its answers.
        self.host: bytes | None = None
        #: The Connection field that has been looked at.
        self.connection_field: Any = None
        #: No request comes after those that are here.
        self.last = False
        self.lost = False
        #: The client may still be sending what nobody will read.
        self.unread = False
        #: The last answer is written; the client has a moment to read it.
        self.lingering = False
        #: Whether the request being answered is HTTP/1.0.
        self.version_1_0 = False
        #: The client waits to be told to send its body.
        self.expects = False
        #: A request whose body is arriving waits for the answers before it.
        self.waiting = False
        self.started = 0.0
        #: The client reads too slowly.
        self._paused = False
        #: A stream that waits for the client to read.
        self._writer: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        #: Bytes that the client had not taken when its time began, and when that time ends.
        self._unsent = 0
        self._write_until = 0.0
        #: Something of the answer is written.
        self._sending = False
        #: The request being answered has crashed, and gets an answer that says so.
        self._crashes = False
        self._advancing = False
        self.deadline = server.now + server.limits.header_timeout

    # -- the client's speed -------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client reads too slowly: streams wait, and so do its next requests."""
        if not self._paused:
            self._paused = True
            self.host = None
            self._time_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        self._unsent = 0
        if self.busy is not None:
            self.deadline = FAR
            self.wake_writer()
        elif not self.lost and not self.lingering:
            self.deadline = self.server.keep_alive_deadline
            self.host = self.checked_host
            self.advance()

    def wake_writer(self) -> None:
        """Let a stream go on: its client has caught up, or gone."""
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)

    def _time_writing(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self.deadline = self._write_until = self.server.now + self.server.limits.write_timeout

    def is_writing(self) -> bool:
        """Tell whether the client has yet to take something, and cut a connection that took too little in time."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            return False
        server = self.server
        if not self._unsent:
            self._time_writing()
        elif server.now < self._write_until:
            self.deadline = self._write_until
        elif self._unsent - unsent < max(server.limits.write_timeout * server.limits.body_rate, 1):
            server.counters.timeouts += 1
            self.cut()
        else:
            self._time_writing()
        return True

    def cut(self) -> None:
        """Close at once, and let the system forget what the client has not taken."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    # -- answers ------------------------------------------------------------------------------------------------

    def finish(self, request: Request, outcome: Any) -> None:
        """Write an outcome and go on with the next request."""
        try:
            self._answer(request, outcome)
        except Exception as exc:  # noqa: BLE001 - an outcome that cannot be written, such as one with an unknown status
            self.crashed(exc)

    def _answer(self, request: Request, outcome: Outcome) -> None:  # noqa: C901 - PERF: one function; its steps are in order
        content: Any
        length: int | None
        response: Response[Any] | None = None
        if isinstance(outcome, tuple):
            head, content = outcome
            status, length = head.status, None
            lines = [head.h1]
            if self.dispatcher.request_id:
                lines.append(b"x-request-id: %b\r\n" % request.id.encode("latin-1"))
        else:
            response = outcome
            fields = merge_headers(outcome, self.dispatcher, request)
            status, content, length = outcome.status or 200, outcome.content or b"", outcome.length
            lines = [STATUS_LINES[status]]
            lines += [
                b"%b: %b\r\n" % (n.encode("latin-1"), v.encode("latin-1")) for n, v in fields if n != "connection"
            ]
        body = self.body
        if body is not None and not body.ended and (self.last or self.expects or not body.is_short):
            self.unread = self.last = True
        if self.server.stopping:
            self.last = True
        closing = self.last and not self.queue
        streamed = not isinstance(content, bytes)
        bodiless = status < 200 or status in (204, 304)
        if not streamed:
            length = len(content)
        if length is None and self.version_1_0:
            closing = self.last = True
            self.queue.clear()
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
        if status >= 300:
            self.server.counters.answers[status // 100] += 1
        if streamed and not bodiless and request.method != "HEAD":
            self.drive(self._send(request, content, b"".join(lines), chunked, status, response))
            return
        if not streamed and not bodiless and request.method != "HEAD":
            lines.append(content)
        self.transport.write(b"".join(lines))
        if streamed:
            self.drive(self._discard(request, content, status, response))
            return
        self.written(request, status, length, response)

    def drive(self, coro: Any) -> None:
        """Run the sending of a stream; it ends by going on itself."""
        request = self.busy
        try:
            outcome = self.driver.start(coro, copy_context(), self._sent)
        except BaseException as exc:  # noqa: BLE001 - a stream that fails cuts the connection
            self.crashed(exc)
            return
        if outcome is SUSPENDED and self.busy is request:
            self.task = self.driver.task
            self.deadline = self._write_until if self._paused else FAR

    def _sent(self, result: Any, error: BaseException | None) -> None:
        if error is not None:
            self.crashed(error)

    def report(self, message: str, error: BaseException) -> None:
        """Log a failure that no answer can tell; the test client also keeps it."""
        logger.error(message, exc_info=error)

    async def _send(
        self, request: Request, chunks: AsyncIterator[bytes], head: bytes, chunked: bool, status: int, response: Any
    ) -> None:
        """Write a stream, waiting where the client reads slowly."""
        size = 0
        write = self.transport.write
        write(head)
        try:
            async for chunk in chunks:
                if self.lost:
                    break
                if not chunk:
                    continue
                size += len(chunk)
                if not chunked:
                    write(chunk)
                elif len(chunk) < _LARGE_CHUNK:
                    write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                else:
                    # A copy would be held beside the chunk for as long as the client does not read.
                    self.transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
                if self._paused:
                    self._writer = self.server.loop.create_future()
                    await self._writer
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - reported below, and the connection is cut
            if not self.lost:
                # The head has gone out: the only honest end is a cut connection, never a tidy last chunk.
                if isinstance(exc, Exception):
                    self.report("a stream failed after its first byte", exc)
                self.transport.abort()
        else:
            if chunked and not self.lost:
                write(b"0\r\n\r\n")
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        self.written(request, status, size, response)

    async def _discard(self, request: Request, chunks: Any, status: int, response: Any) -> None:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
        self.written(request, status, None, response)

    def written(self, request: Request, status: int, length: int | None, response: Response[Any] | None) -> None:
        """Everything of an answer is written: log, call back, go on."""
        if self.dispatcher.access_log is not None:
            self.dispatcher.access_log(request, status, length, time.monotonic() - self.started)
        self.conclude(request, response)
        if self.lost:
            return
        if self.last and not self.queue:
            self.close()
            return
        self.deadline = self.server.keep_alive_deadline
        self.advance()

    def conclude(self, request: Request, response: Any) -> None:
        """Run what was to be done after the answer."""
        self.busy = None
        self.host = None if self._paused else self.checked_host
        self._sending = self._crashes = False
        self.task = None
        if self.lost:
            self.server.orphans.discard(self)
        if self.body is not None:
            self.body.close()
            self.body = None
        callbacks = [*(request.after or ()), *(response.after if isinstance(response, Response) else ())]
        request.after = None
        if callbacks:
            self.call_back(callbacks)

    def call_back(self, callbacks: list[Any]) -> None:
        """Call what was to be called after an answer."""
        self.driver.start(run_callbacks(callbacks), copy_context(), _forget)

    def cancel(self) -> None:
        """End a handler that has taken too long after its client has gone."""
        self.deadline = FAR
        if self.task is not None:
            self.task.cancel()

    # -- the next request and the last --------------------------------------------------------------------------

    def advance(self) -> None:
        """Answer the requests that have waited, as far as they end at once."""
        if self._advancing:
            return  # called by an answer that ended at once: the loop below goes on
        self._advancing = True
        try:
            while self.busy is None and not self._paused and not self.lost:
                if self.queue:
                    request, self.version_1_0 = self.queue.pop(0)
                    if len(self.queue) == self.server.limits.pipeline - 1:
                        self.transport.resume_reading()
                    self.start(request)
                elif self.waiting:
                    self.begin_waiting()
                else:
                    break
        finally:
            self._advancing = False

    def start(self, request: Request) -> None:
        """Answer a request."""
        raise NotImplementedError

    def begin_waiting(self) -> None:
        """Begin the request whose body is arriving; its turn has come."""

    def crashed(self, error: BaseException) -> None:
        """End a request whose endpoint or answer has failed."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection after its last answer.

        Where the client is still sending, the answer would be lost by a plain close: the system tells the client that
        nobody reads, and it throws away what it has received (RFC 9112, section 9.6). So what comes is read and dropped
        for a moment.
        """
        self.deadline = time.monotonic() + LINGER
        if not self.unread or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.lingering = True
        self.transport.write_eof()
        self.transport.resume_reading()

    def turn_away(self) -> None:
        """Answer 503 to a connection that is one too many, before it has said anything."""
        server = self.server
        server.counters.refused += 1
        self.last = self.unread = True
        if len(server.connections) > server.most_connections + TOLD:
            self.transport.abort()
            return
        head, content = server.overloaded()
        self.transport.write(
            b"%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (head.h1, server.date, len(content), content)
        )
        self.close()


#: Turned on, with no time: the connection is reset (socket(7)).
_NO_LINGER = struct.pack("ii" if sys.platform != "win32" else "hh", 1, 0)


def _forget(result: Any, error: BaseException | None) -> None:
    """Take no note of an end."""
