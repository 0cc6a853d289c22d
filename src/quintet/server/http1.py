"""HTTP/1.1 on httptools (llhttp, in its strict mode): bytes to messages, within limits.

Everything after parsing is `protocols.native`. The framing rules are RFC 9112's; llhttp refuses conflicting lengths,
bad chunk sizes, folded lines, spaces before colons and control characters, and this module what llhttp lets pass.
"""

from __future__ import annotations

import httptools

from quintet.errors import (
    BadRequest,
    ClientDisconnected,
    HeadersTooLarge,
    HTTPError,
    MethodNotAllowed,
    NotImplementedByServer,
    URITooLong,
)
from quintet.protocols.native import BODY_BUFFER, NativeProtocol, NativeServer

_METHODS = {m.encode(): m for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class Http1Protocol(NativeProtocol):
    """One HTTP/1.1 connection of the built-in server."""

    __slots__ = (
        "_begun", "_chunks", "_head", "_head_size", "_headers_done", "_length", "_parser", "_raw", "_target",
        "_upgrade",
    )  # fmt: skip

    def __init__(self, server: NativeServer) -> None:
        super().__init__(server)
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._raw: list[tuple[bytes, bytes]] = []
        self._head: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._head_size = 0
        self._length = 0
        self._headers_done = False
        self._begun = False
        self._upgrade = None

    def data_received(self, data: bytes) -> None:
        """Parse what has come in."""
        if self.last and not self._headers_done:
            return  # what follows the last request is nobody's
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._switch(data[exc.args[0] :])
            return
        except httptools.HttpParserError as exc:
            self._malformed(exc)
            return
        if self._headers_done:
            if not self._begun:
                self._begin()
            else:
                self.deadline = self.server.now + self.dispatcher.limits.body_timeout
        elif self._target:
            self._check_head_size(len(data))

    def eof_received(self) -> bool:
        """The client has closed its sending side: an unfinished request is truncated."""
        if self.body is not None:
            self.body.end(ClientDisconnected("the body is truncated"))
            self.last = True
        elif self._headers_done or self._raw or self._target:
            if self.busy is None:
                self.reject(BadRequest("the request is truncated"))
        self.last = True
        if self.busy is None:
            return False
        return True

    def _check_head_size(self, size: int) -> None:
        """Bound a head that has not ended yet, counting every byte of it."""
        self._head_size += size
        limits = self.dispatcher.limits
        if len(self._target) > limits.url:
            self._fail(URITooLong(f"the request target is longer than {limits.url} bytes"))
        elif self._head_size > limits.header_block + limits.url:
            self._fail(HeadersTooLarge(f"the header fields are larger than {limits.header_block} bytes"))

    # -- callbacks of the parser --------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        self._raw.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete; fields that follow the body are trailers, which nobody reads."""
        self._headers_done = True
        self._head = self._raw
        self._raw = []

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        if self._begun:
            if self.body is not None:
                self.body.feed(chunk)
        else:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """The message is complete: answer it, unless that has begun."""
        parser = self._parser
        target, raw, chunks = self._target, self._head, self._chunks
        if self._begun or self._head_size or len(raw) > 16 or not parser.should_keep_alive():
            self._complete_slowly()
            return
        self._headers_done = self.waiting = False
        if parser.should_upgrade():
            return  # the parser raises HttpParserUpgrade next; _switch decides
        self._target = b""
        if self._raw:
            self._raw = []
        method = _METHODS.get(parser.get_method())
        if method is None or len(target) > self.dispatcher.limits.url:
            self._refuse_head(method, target, raw)
        elif chunks:
            self._chunks = []
            self.message_complete(method, target, raw, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        else:
            self.message_complete(method, target, raw, b"")

    def _complete_slowly(self) -> None:
        """Complete a message that began early, has many fields, or is the last."""
        parser = self._parser
        begun, chunks, target, raw = self._begun, self._chunks, self._target, self._head
        if not parser.should_keep_alive():
            self.last = True
        error = None if begun else self._head_error(_METHODS.get(parser.get_method()), target, raw)
        self._headers_done = self._begun = self.waiting = False
        self._head_size = 0
        if not begun and error is None and parser.should_upgrade():
            return
        self._target, self._raw, self._chunks = b"", [], []
        if begun:
            if self.body is not None:
                self.body.end()
        elif error is not None:
            self._fail(error)
        else:
            self.version_1_0 = parser.get_http_version() == "1.0"
            self.message_slowly(_METHODS[parser.get_method()], target, raw, b"".join(chunks))

    def _refuse_head(self, method: str | None, target: bytes, raw: list[tuple[bytes, bytes]]) -> None:
        error = self._head_error(method, target, raw)
        if error is not None:
            self._fail(error)

    def _head_error(self, method: str | None, target: bytes, raw: list[tuple[bytes, bytes]]) -> HTTPError | None:
        """Return what is wrong with a complete head, beyond its syntax."""
        limits = self.dispatcher.limits
        if len(raw) > limits.header_count:
            return HeadersTooLarge(f"there are more than {limits.header_count} header fields")
        if len(target) > limits.url:
            return URITooLong(f"the request target is longer than {limits.url} bytes")
        if sum(len(n) + len(v) + 4 for n, v in raw) > limits.header_block:
            return HeadersTooLarge(f"the header fields are larger than {limits.header_block} bytes")
        if method is None:
            name = self._parser.get_method()
            if name in (b"TRACE", b"CONNECT"):
                allow = ", ".join(_METHODS.values())
                return MethodNotAllowed(f"{name.decode()} is not served", headers={"allow": allow})
            return NotImplementedByServer("this method is not known")
        return None

    # -- messages that do not come at once ----------------------------------------------------------------------

    def _begin(self) -> None:
        """The head is here and the body is not: let the handler begin."""
        self.deadline = self.server.now + self.dispatcher.limits.body_timeout
        if self.busy is not None:
            # Its turn comes when the requests before it are answered; until then little of its body is read.
            self.waiting = True
            if sum(map(len, self._chunks)) > BODY_BUFFER:
                self.pause_body()
            return
        target, raw, chunks = self._target, self._head, self._chunks
        method = _METHODS.get(self._parser.get_method())
        self._begun = True
        error = self._head_error(method, target, raw)
        if error is not None:
            self._fail(error)
            return
        assert method is not None
        self.version_1_0 = self._parser.get_http_version() == "1.0"
        request, failure = self.request(method, target, raw, None)
        if failure is not None:
            self.refuse(request, failure)
            return
        length = next((int(v) for n, v in raw if n == b"content-length"), None)
        self.expects = request.fields.get(b"expect", b"").lower() == b"100-continue"
        self._chunks = []
        self.start_early(request, chunks, length)

    def is_http_1_0(self) -> bool:
        """Tell whether the request just parsed is HTTP/1.0, and remember it."""
        self.version_1_0 = self._parser.get_http_version() == "1.0"
        return self.version_1_0

    def begin_waiting(self) -> None:
        """Begin the request whose body is arriving; its turn has come."""
        self.waiting = False
        self.resume_body()
        if self._headers_done and not self._begun:
            self._begin()

    def _switch(self, rest: bytes) -> None:
        """The client asks for another protocol."""
        target, raw = self._target, self._head
        self._target, self._raw, self._chunks = b"", [], []
        self._headers_done = self._begun = False
        method = _METHODS.get(self._parser.get_method())
        error = self._head_error(method, target, raw)
        if error is not None or method is None:
            self._fail(error or BadRequest("this cannot be upgraded"))
            return
        request, failure = self.request(method, target, raw, b"")
        if failure is not None:
            self.refuse(request, failure)
            return
        if request.fields.get(b"upgrade", b"").lower() == b"websocket" and method == "GET":
            self.upgrade_websocket(request, rest)
            return
        # RFC 9110, section 7.8: an upgrade may be ignored. The connection ends with the answer, because what follows
        # may be in the other protocol.
        self.last = True
        self.start(request)

    def upgrade_websocket(self, request: object, rest: bytes) -> None:
        """Hand the connection to the WebSocket protocol."""
        from quintet.server.websocket import start_websocket

        start_websocket(self, request, rest)  # pyright: ignore[reportArgumentType]

    def _malformed(self, exc: httptools.HttpParserError) -> None:
        reason = str(exc) or type(exc).__name__
        error: HTTPError = BadRequest(f"this is not a valid HTTP/1.1 request: {reason}")
        if self.body is not None:
            self.body.end(ClientDisconnected("the body is malformed"))
            self.last = True
            return
        self._fail(error)

    def _fail(self, error: HTTPError) -> None:
        """Answer an error and read nothing more."""
        self._headers_done = False
        self._target, self._raw, self._chunks = b"", [], []
        if self.body is not None:
            self.body.end(ClientDisconnected(error.detail))
        self.reject(error)
        self.last = True
        if not self.lost and not self.transport.is_closing():
            self.transport.pause_reading()
