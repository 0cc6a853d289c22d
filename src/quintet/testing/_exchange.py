"""One connection of the test client to an app, and one HTTP exchange on it.

The request is written as real HTTP/1.1 and parsed by the built-in server's protocol; the answer's bytes are parsed
here. There are no sockets; the rest is the path of production.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator
from contextvars import Context
from typing import TYPE_CHECKING, Any

import httptools
import httpx2

from quintet.protocols.native_server import NativeServer
from quintet.server.http1 import Http1Protocol
from quintet.testing._memory import MemoryTransport

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.http.request import Request

#: The most that arrives at once, as on a socket.
PIECE = 64 * 1024
#: Seconds to wait for what goes on after an answer, such as its callbacks.
LINGER = 5.0
#: Seconds to wait for a handler to end whose client has gone.
LINGER_ABANDONED = 1.0

_WRONG = re.compile(rb"[\r\n\x00]")


class _Protocol(Http1Protocol):
    """The built-in server's protocol, which keeps the failures it would only log."""

    link: Link

    def report(self, message: str, error: BaseException) -> None:
        """Keep a failure for the test."""
        super().report(message, error)
        self.link.breakage = self.link.breakage or error


class Link:
    """A connection to an app in memory.

    Must be used on one event loop. `failure` is an unexpected exception that was answered with a 500, `breakage` one
    that could not be answered any more.
    """

    def __init__(self, app: Application, *, scheme: str, peer: tuple[str, int], context: Context) -> None:
        loop = asyncio.get_running_loop()
        self.failure: BaseException | None = None
        self.breakage: BaseException | None = None
        self._app = app
        self._server = NativeServer(app.dispatcher, loop)
        self._protocol = _Protocol(self._server)
        self._protocol.link = self
        extra: dict[str, Any] = {"peername": peer}
        if scheme in ("https", "wss"):
            extra["sslcontext"] = object()  # the protocol asks only whether there is one
        self.transport = MemoryTransport(loop, self._protocol, context, extra)
        app.failures.observers.append(self._observe)

    def _observe(self, request: Request, exc: Exception) -> None:
        if request.connection is self._protocol.connection:
            self.failure = self.failure or exc

    async def close(self, linger: float) -> None:
        """Hang up, and wait a while for handlers and callbacks to end."""
        deadline = asyncio.get_running_loop().time() + linger
        running = self._server.driver.running
        self.transport.hang_up()
        await asyncio.sleep(0)  # connection_lost is called
        while running and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(set(running), timeout=left)
        self._server.close()
        if self._observe in self._app.failures.observers:
            self._app.failures.observers.remove(self._observe)
        await asyncio.sleep(0)

    def raise_error(self) -> None:
        """Raise what the protocol itself raised: a bug of the server."""
        if self.transport.error is not None:
            raise self.transport.error


class Exchange:
    """One request and its answer.

    Args:
        link: a connection that nothing else uses.
        request: the request to send.
        body: its body where that is not asynchronous; the request's own stream when absent.
        reraise: raise what the handler raised unexpectedly.
    """

    def __init__(self, link: Link, request: httpx2.Request, body: AsyncIterator[bytes] | None, reraise: bool) -> None:
        self._link = link
        self._request = request
        self._body = body
        self._reraise = reraise
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: deque[bytes] = deque()
        self._reason = b""
        self._status = 0
        self._complete = False
        #: What came behind the head of an answer that switches to another protocol.
        self.rest = b""
        self._sending: asyncio.Task[None] | None = None
        self._closed = False
        timeout: dict[str, float | None] = request.extensions.get("timeout", {})
        self._timeout = timeout.get("read")

    # -- callbacks of the parser --------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins; what came before was an interim one."""
        self._headers, self._reason = [], b""

    def on_status(self, status: bytes) -> None:
        """A piece of the reason phrase."""
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or a trailer field, which is dropped."""
        if not self._status:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            self._status = status

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """The answer is complete, unless it was an interim one."""
        if self._status:
            self._complete = True

    # -- sending ------------------------------------------------------------------------------------------------

    async def run(self) -> httpx2.Response:
        """Send the request and return the answer, with its body still to come."""
        # One turn of the loop: the server's tasks are made, as they are on a server that waits for requests.
        await asyncio.sleep(0)
        try:
            self._send()
            while not self._status:
                await self._read()
            if self._reraise and self._link.failure is not None:
                raise self._link.failure
            if self._request.method == "HEAD" or self._status == 101:
                self._complete = True
        except BaseException:
            await self.close()
            raise
        stream: httpx2.AsyncByteStream = ResponseStream(self)
        if self._complete and self._status != 101:
            # PERF: what came at once needs no further turns of the loop, or of the thread it is in.
            stream = httpx2.ByteStream(b"".join(self._chunks))
            await self.close()
        return httpx2.Response(
            self._status,
            headers=self._headers,
            stream=stream,
            request=self._request,
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": self._reason},
        )

    def _send(self) -> None:
        request, transport = self._request, self._link.transport
        head = serialise_head(request)
        if isinstance(request.stream, httpx2.ByteStream):
            data = head + request.read()
            for start in range(0, len(data), PIECE):
                transport.feed(data[start : start + PIECE])
            return
        transport.feed(head)
        chunked = request.headers.get("transfer-encoding", "").lower() == "chunked"
        self._sending = asyncio.ensure_future(self._send_body(chunked))

    async def _send_body(self, chunked: bool) -> None:
        body: Any = self._body if self._body is not None else self._request.stream
        transport = self._link.transport
        try:
            async for chunk in body:
                for start in range(0, len(chunk), PIECE):
                    piece = chunk[start : start + PIECE]
                    transport.feed(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                    await transport.fed()
                if transport.is_closing():
                    return
            if chunked:
                transport.feed(b"0\r\n\r\n")
        except BaseException:
            transport.hang_up()
            raise

    # -- receiving ----------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Parse what comes next from the server."""
        try:
            async with asyncio.timeout(self._timeout):
                data = await self._link.transport.receive()
        except TimeoutError:
            raise httpx2.ReadTimeout("the app did not answer in time", request=self._request) from None
        if data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as exc:
                self.rest = data[exc.args[0] :]
            except httptools.HttpParserError as exc:
                raise httpx2.RemoteProtocolError(f"the answer is not HTTP/1.1: {exc}", request=self._request) from exc
            return
        self._link.raise_error()
        if self._sending is not None and self._sending.done() and not self._sending.cancelled():
            error = self._sending.exception()
            if error is not None:
                raise error
        if self._reraise and (error := self._link.breakage or self._link.failure) is not None:
            raise error
        if self._status and not self._has_framing() and not self._link.transport.aborted:
            self._complete = True
            return
        what = "an incomplete answer" if self._status else "no answer"
        raise httpx2.RemoteProtocolError(f"the app closed the connection after {what}", request=self._request)

    def _has_framing(self) -> bool:
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._complete:
                return
            await self._read()

    async def close(self) -> None:
        """End the exchange: the server sees the client go, if the answer was not complete."""
        if self._closed:
            return
        self._closed = True
        if self._sending is not None:
            if self._complete and not self._sending.done():
                self._sending.cancel()
            if not self._sending.done():
                self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._link.close(LINGER if self._complete else LINGER_ABANDONED)


class ResponseStream(httpx2.AsyncByteStream):
    """The body of an answer."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.exchange.chunks()

    async def aclose(self) -> None:
        """End the exchange."""
        await self.exchange.close()


def serialise_head(request: httpx2.Request) -> bytes:
    """Return the head of a request as HTTP/1.1.

    Raises:
        httpx2.LocalProtocolError: a field has a line end or NUL.
    """
    lines = [b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)]
    for name, value in request.headers.raw:
        if _WRONG.search(name) or _WRONG.search(value):
            raise httpx2.LocalProtocolError(f"the header field {name!r} has a line end or NUL", request=request)
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join([*lines, b"\r\n"])
