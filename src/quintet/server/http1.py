"""HTTP/1.1 on httptools (llhttp, in its strict mode): bytes to messages, within limits.

Everything after parsing is `protocols.native`. The framing rules are RFC 9112's; llhttp refuses conflicting lengths,
bad chunk sizes, folded lines, spaces before colons and control characters, and this module what llhttp lets pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import httptools

from quintet.errors import (
    BadRequest,
    ClientDisconnected,
    HeadersTooLarge,
    HTTPError,
    MethodNotAllowed,
    NotImplementedByServer,
    RequestTimeout,
    URITooLong,
)
from quintet.protocols.native import NativeProtocol
from quintet.protocols.native_body import BODY_BUFFER
from quintet.protocols.native_server import NativeServer

_METHODS = {m.encode(): m for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class Http1Protocol(NativeProtocol):
    """One HTTP/1.1 connection of the built-in server."""

    __slots__ = (
        "_begun", "_chunked", "_chunks", "_few", "_head", "_head_size", "_headers_done", "_parser", "_piece", "_quiet",
        "_raw", "_target",
    )  # fmt: skip

    #: The methods that are answered, by their name on the wire.
    methods: ClassVar[Mapping[bytes, str]] = _METHODS

    def __init__(self, server: NativeServer) -> None:
        super().__init__(server)
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._raw: list[tuple[bytes, bytes]] = []
        self._head: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._head_size = 0
        self._headers_done = False
        self._begun = False
        self._chunked = False
        limits = server.limits
        #: The longest piece that is parsed in one step, unless it is content.
        self._piece = min(4096, limits.header_block)
        #: The most header fields that need not be counted.
        self._few = min(16, limits.header_count)
        #: Bytes of a chunked body in a row that are not content: extensions or trailers.
        self._quiet = 0

    def data_received(self, data: bytes) -> None:
        """Parse what has come in."""
        if self.last and (not self._headers_done or self.lingering):
            return  # what follows the last request is nobody's
        try:
            if len(data) <= self._piece or (self._headers_done and not self._chunked):
                self._parser.feed_data(data)
            else:
                self._feed_pieces(data)
            if self._headers_done:
                self._check_quiet(len(data) if len(data) <= self._piece else 0)
        except httptools.HttpParserUpgrade as exc:
            self._switch(data[exc.args[0] :])
            return
        except httptools.HttpParserError as exc:
            self._malformed(exc)
            return
        if self._headers_done:
            if not self._begun:
                self._begin()
            elif self.body is not None and not self._sending and self.body.paused_at is None:
                self.deadline = self.body.deadline()
        elif self._target and not self.last and len(data) <= self._piece:
            self._check_head_size(len(data))

    def _feed_pieces(self, data: bytes) -> None:
        """Parse a long piece step by step, so that what is not content cannot hide in it."""
        for start in range(0, len(data), self._piece):
            try:
                self._parser.feed_data(data[start : start + self._piece])
            except httptools.HttpParserUpgrade as exc:
                raise httptools.HttpParserUpgrade(start + exc.args[0]) from None
            if self._headers_done:
                self._check_quiet(self._piece)
            elif self._target and not self.last:
                self._check_head_size(self._piece)

    def _check_quiet(self, size: int) -> None:
        """Bound what is not content in a chunked body: chunk extensions and trailers, which nobody reads."""
        self._quiet = 0 if self._quiet < 0 else self._quiet + size
        if self._quiet > _MOST_QUIET:
            raise httptools.HttpParserError("chunk extensions or trailers are too large")

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: let go of what refers back to this object.

        The collector comes late to a busy process; until then a cycle would keep every byte of the last request.
        """
        super().connection_lost(exc)
        del self._parser, self.connection
        self._raw = self._head = []

    def eof_received(self) -> bool:
        """The client has closed its sending side: an unfinished request is truncated.

        It may still read (a half-closed connection), so what is being answered is answered. Only a handler that is to
        be cancelled when its client goes away is: nothing tells a client that has closed both sides from this one.
        """
        if self._begun:
            if self.body is not None:
                self.body.end(ClientDisconnected("the body is truncated"))
        elif (self._headers_done or self._raw or self._target) and not self.last:
            self.reject(BadRequest("the request is truncated"))
        self.last = True
        self.waiting = self._headers_done = False
        self.leave()
        if self.task is not None and self.route is not None and self.route.cancel:
            return False  # the transport closes, and connection_lost cancels
        return self.busy is not None or bool(self.queue)

    def _check_head_size(self, size: int) -> None:
        """Bound a head that has not ended yet, counting every byte of it."""
        limits = self.server.limits
        if not self._head_size:  # what came before in the same piece may belong to other requests
            if self.busy is None:
                self.deadline = self.server.now + limits.header_timeout
            size = len(self._target) + sum(len(n) + len(v) + 4 for n, v in self._raw)
        self._head_size += size
        if len(self._target) > limits.url:
            self._fail(URITooLong(f"the request target is longer than {limits.url} bytes"))
        elif self._head_size > limits.header_block + limits.url:
            self._fail(HeadersTooLarge(f"the header fields are larger than {limits.header_block} bytes"))

    # -- callbacks of the parser --------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field; those that follow the body are trailers, which nobody reads."""
        if not self._headers_done:
            self._raw.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._headers_done = True
        self._head = self._raw
        self._raw = []

    def on_chunk_header(self) -> None:
        """The first line of a chunk is complete."""
        self._chunked = True
        self._quiet = -1

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        self._quiet = -1
        if self._begun:
            if self.body is not None:
                self.body.feed(chunk)
        else:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """The message is complete: answer it, unless that has begun."""
        parser = self._parser
        target, raw, chunks = self._target, self._head, self._chunks
        if self._begun or self.last or self._head_size or len(raw) > self._few or not parser.should_keep_alive():
            self._complete_slowly()
            return
        self._headers_done = self.waiting = False
        self._target = b""
        if self._raw:
            self._raw = []
        method = self.methods.get(parser.get_method())
        if method is None or len(target) > self.server.limits.url:
            self._refuse_head(method, target, raw)
        elif self._chunked:
            self._chunks = []
            self._chunked = False
            self.message_slowly(method, target, raw, b"".join(chunks))
        elif chunks:
            self._chunks = []
            self.message_complete(method, target, raw, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        else:
            self.message_complete(method, target, raw, b"")

    def _complete_slowly(self) -> None:
        """Complete a message that began early, has many fields, or is the last."""
        parser = self._parser
        begun, chunks, target, raw = self._begun, self._chunks, self._target, self._head
        if self.last and not begun:
            self._ignore()
            return
        if not parser.should_keep_alive():
            self.last = True
        error = None if begun else self._head_error(self.methods.get(parser.get_method()), target, raw)
        self._headers_done = self._begun = self.waiting = self._chunked = False
        self._head_size = 0
        if not begun and error is None and parser.should_upgrade():
            return
        self._target, self._raw, self._chunks = b"", [], []
        if begun:
            if self.body is not None:
                self.body.deadline()  # counts what came last
                self.body.end()
                if self.task is not None and not self._sending:
                    self.deadline = self._handler_deadline()
        elif error is not None:
            self._fail(error)
        else:
            super().message_slowly(self.methods[parser.get_method()], target, raw, b"".join(chunks))

    def _ignore(self) -> None:
        """Drop what follows the last request."""
        self._target, self._raw, self._chunks = b"", [], []
        self._headers_done = self.waiting = False
        self.unread = True

    def _refuse_head(self, method: str | None, target: bytes, raw: list[tuple[bytes, bytes]]) -> None:
        error = self._head_error(method, target, raw)
        if error is not None:
            self._fail(error)

    def _head_error(self, method: str | None, target: bytes, raw: list[tuple[bytes, bytes]]) -> HTTPError | None:
        """Return what is wrong with a complete head, beyond its syntax."""
        limits = self.server.limits
        if self._parser.get_http_version() not in _VERSIONS:
            return HTTPError(505, "the versions served are HTTP/1.1 and HTTP/1.0")
        if len(raw) > limits.header_count:
            return HeadersTooLarge(f"there are more than {limits.header_count} header fields")
        if len(target) > limits.url:
            return URITooLong(f"the request target is longer than {limits.url} bytes")
        if sum(len(n) + len(v) + 4 for n, v in raw) > limits.header_block:
            return HeadersTooLarge(f"the header fields are larger than {limits.header_block} bytes")
        if method is None:
            name = self._parser.get_method()
            if name in (b"TRACE", b"CONNECT", b"QUERY"):
                allow = ", ".join(self.methods.values())
                return MethodNotAllowed(f"{name.decode()} is not served", headers={"allow": allow})
            return NotImplementedByServer("this method is not known")
        return None

    # -- messages that do not come at once ----------------------------------------------------------------------

    def _begin(self) -> None:
        """The head is here and the body is not: let the handler begin."""
        if self.last:
            self._ignore()
            return
        self._chunked = any(name == b"transfer-encoding" for name, _ in self._head)
        if self.busy is not None or self.queue or self._paused:
            # Its turn comes when the requests before it are answered; until then little of its body is read.
            self.waiting = True
            if sum(map(len, self._chunks)) > BODY_BUFFER:
                self.pause_body()
            return
        target, raw, chunks = self._target, self._head, self._chunks
        method = self.methods.get(self._parser.get_method())
        self._begun = True
        self.last = not self._parser.should_keep_alive()
        error = self._head_error(method, target, raw)
        if error is not None:
            self._fail(error)
            return
        assert method is not None
        self.version_1_0 = old = self.is_http_1_0()
        request, failure = self.request(method, target, raw, None, old=old)
        if failure is not None:
            self.refuse(request, failure)
            return
        length = next((int(v) for n, v in raw if n == b"content-length"), None)
        self.expects = request.fields.get(b"expect", b"").lower() == b"100-continue"
        self._chunks = []
        self.start_early(request, chunks, length)

    def message_slowly(self, method: str, target: bytes, raw: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer a whole request step by step; the first of a connection always comes this way."""
        if self._parser.should_upgrade():
            self._target, self._head = target, raw
            return  # the parser raises HttpParserUpgrade next; _switch decides
        error = self._head_error(method, target, raw)
        if error is not None:
            self._fail(error)
        else:
            super().message_slowly(method, target, raw, body)

    def expire(self) -> None:
        """A deadline has passed: a head that is unfinished gets an answer, the rest is the protocol's."""
        unfinished = (self._target or self._raw or self._headers_done) and not self._begun
        if unfinished and self.busy is None and not self.last and not self.transport.get_write_buffer_size():
            self.server.counters.timeouts += 1
            self._fail(RequestTimeout("the request came too slowly"))
        else:
            super().expire()

    def is_http_1_0(self) -> bool:
        """Tell whether the request just parsed is HTTP/1.0."""
        return self._parser.get_http_version() == "1.0"

    def begin_waiting(self) -> None:
        """Begin the request whose body is arriving; its turn has come."""
        self.waiting = False
        self.resume_body()
        if self._headers_done and not self._begun:
            self._begin()

    def _switch(self, rest: bytes) -> None:
        """The client asks for another protocol."""
        if self.last:
            self._ignore()
            return
        target, raw = self._target, self._head
        self._target, self._raw, self._chunks = b"", [], []
        self._headers_done = self._begun = False
        method = self.methods.get(self._parser.get_method())
        error = self._head_error(method, target, raw)
        if error is not None or method is None:
            self._fail(error or BadRequest("this cannot be upgraded"))
            return
        old = self.is_http_1_0()
        if self.busy is None:
            self.version_1_0 = old
        request, failure = self.request(method, target, raw, b"", old=old)
        if failure is not None:
            self.refuse(request, failure)
            return
        if request.fields.get(b"upgrade", b"").lower() == b"websocket" and method == "GET":
            self.upgrade_websocket(request, rest)
            return
        # RFC 9110, section 7.8: an upgrade may be ignored. The connection ends with the answer, because what follows
        # may be in the other protocol.
        self.last = self.unread = True
        self.enter(request, old)

    def upgrade_websocket(self, request: object, rest: bytes) -> None:
        """Hand the connection to the WebSocket protocol."""
        from quintet.server.websocket import start_websocket

        start_websocket(self, request, rest)  # pyright: ignore[reportArgumentType]

    def _malformed(self, exc: httptools.HttpParserError) -> None:
        if self.last and not self._begun:
            self._ignore()
            return
        reason = str(exc) or type(exc).__name__
        if self._begun and self.body is not None:
            # The request is under way; its handler hears of it when it reads on.
            self.body.end(ClientDisconnected("the body is malformed"))
            self.last = self.unread = True
            self._headers_done = self._begun = False
            return
        self._fail(BadRequest(f"this is not a valid HTTP/1.1 request: {reason}"))

    def _fail(self, error: HTTPError) -> None:
        """Answer an error and read nothing more."""
        self._headers_done = self.waiting = False
        self._target, self._raw, self._chunks = b"", [], []
        if self._begun and self.body is not None:
            self.body.end(ClientDisconnected(error.detail))
        self.unread = True
        if not self.lost and not self.transport.is_closing():
            self.transport.pause_reading()
        self.reject(error)


#: Bytes of a chunked body in a row that may not be content.
_MOST_QUIET = 12 * 1024
_VERSIONS = ("1.0", "1.1")
