"""The answer of a hosted app on its way to the socket: its head, its framing, and what breaks either.

What the app says about its content is kept; how the message is framed on this connection is decided here. Nothing is
written before the first piece of content, so that what fails until then can still become a 500.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from quintet.errors import HTTPError
from quintet.http.head import STATUS_LINES
from quintet.protocols.dispatcher import HostedResponse

if TYPE_CHECKING:
    from quintet.http.request import Request
    from quintet.server.hosted import HostedProtocol

#: Content beyond this size is handed to the transport as it is, and not joined with the head.
_LARGE = 64 * 1024

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PLAIN, _LENGTH, _DATE, _CONNECTION, _DROPPED = range(5)
_SPECIAL = {
    b"content-length": _LENGTH,
    b"date": _DATE,
    b"connection": _CONNECTION,
    b"transfer-encoding": _DROPPED,  # framing is the server's
    b"keep-alive": _DROPPED,
}
#: What is known about names of header fields, as they are written.
_names: dict[bytes, int] = {}


class Answer:
    """One answer: `begin` once, then `write` until its last piece.

    Both raise RuntimeError for what cannot be sent; nothing of that piece is written then.
    """

    __slots__ = (
        "_headers", "_left", "_line", "_protocol", "_request", "_status", "chunked", "closing", "is_sent", "size",
    )  # fmt: skip

    def __init__(self, protocol: HostedProtocol, request: Request) -> None:
        self._protocol = protocol
        self._request = request
        self._status = 0
        self._line = b""
        self._headers: Iterable[tuple[bytes, bytes]] = ()
        #: Bytes that the app has promised and not sent yet, or None where it has promised none.
        self._left: int | None = None
        #: Whether the head has gone out.
        self.is_sent = False
        self.chunked = False
        #: Bytes of content that were written.
        self.size = 0

    @property
    def status(self) -> int:
        """The status code; 0 before the answer has begun."""
        return self._status

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]], line: bytes | None = None) -> None:
        """Take the head. It is written with the first piece of content.

        Args:
            status: the status code.
            headers: the header fields.
            line: the status line, where the app has worded it itself.
        """
        if line is None:
            line = STATUS_LINES.get(status)
        if line is None or status < 200:
            if status.__class__ is not int or not 200 <= status <= 999:
                raise RuntimeError(f"{status!r} is not the status of an answer; it must be a number from 200 to 999")
            line = b"HTTP/1.1 %d \r\n" % status
        self._status = status
        self._line = line
        self._headers = headers

    def write(self, content: bytes, more: bool) -> None:
        """Write a piece of content, with the head before the first one; the last piece ends the message."""
        if not self.is_sent:
            self._write_first(content, more)
            return
        transport = self._protocol.transport
        if self._left is not None:
            self._count(len(content), more)
        if self._has_no_content():
            return
        self.size += len(content)
        if not self.chunked:
            if content:
                transport.write(content)
        elif content:
            transport.write(b"%x\r\n%b\r\n%b" % (len(content), content, b"" if more else b"0\r\n\r\n"))
        elif not more:
            transport.write(b"0\r\n\r\n")

    def _write_first(self, content: bytes, more: bool) -> None:  # noqa: C901 - PERF: one function; its steps are in order
        protocol = self._protocol
        status = self._status
        lines = [self._line]
        length: int | None = None
        dated = closing = False
        for name, value in self._headers:
            kind = _names.get(name)
            if kind is None:
                kind = _learn(name)
            if kind == _PLAIN:
                lines.append(b"%b: %b\r\n" % (name, value))
            elif kind == _LENGTH:
                length = _length_of(value)
            elif kind == _DATE:
                dated = True
                lines.append(b"date: %b\r\n" % value)
            elif kind == _CONNECTION:
                closing = closing or b"close" in bytes(value).lower()
        bodiless = status == 204 or status == 304
        is_head = self._request.method == "HEAD"
        if length is not None and not bodiless and not is_head:
            self._left = length
            self._count(len(content), more)
        server = protocol.server
        if (closing or (protocol.last and not protocol.queue) or server.stopping) or (
            not more and protocol.body is not None and not protocol.body.ended
        ):
            closing = True
        if length is None and not bodiless and not (is_head and not content):
            if not more:
                length = len(content)
            elif protocol.version_1_0:
                closing = True
            else:
                self.chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
        if length is not None and status != 204:
            lines.append(b"content-length: %d\r\n" % length)
        if not dated:
            lines.append(server.date)
        if closing:
            lines.append(b"connection: close\r\n")
        elif protocol.version_1_0:
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
            raise RuntimeError(f"a header field has a line break or NUL in it: {_culprit(lines)!r}")
        # From here on the answer is on its way.
        self.is_sent = True
        if closing or more or status >= 300:
            protocol.answer_begins(status, closing=closing)
        if bodiless or is_head:
            protocol.transport.write(head)
            return
        self.size = len(content)
        if self.chunked and content:
            content = b"%x\r\n%b\r\n" % (len(content), content)
        if len(content) < _LARGE:
            protocol.transport.write(head + content)
        else:
            protocol.transport.write(head)
            protocol.transport.write(content)

    def _has_no_content(self) -> bool:
        return self._status in (204, 304) or self._request.method == "HEAD"

    def _count(self, size: int, more: bool) -> None:
        """Hold the content against the length that was promised."""
        assert self._left is not None
        if size > self._left:
            raise RuntimeError(f"the content is longer than its Content-Length: {size - self._left} bytes too many")
        if not more and size < self._left:
            raise RuntimeError(f"the content is shorter than its Content-Length: {self._left - size} bytes are missing")
        self._left -= size


def error_response(error: HTTPError) -> HostedResponse:
    """Return the answer to what no app has answered: plain text, as nothing is known about the client's taste."""
    response = HostedResponse(None, error.status)
    response.headers.add("content-type", "text/plain; charset=utf-8")
    for name, value in error.headers.items():
        response.headers.add(name, value)
    response.content = (error.detail if error.status < 500 else "Internal Server Error").encode()
    return response


def _learn(name: bytes) -> int:
    """Check the name of a header field, and remember what it is."""
    if not isinstance(name, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - it comes from the app
        raise RuntimeError(f"the name of a header field must be bytes, not {type(name).__name__}: {name!r}")
    if _TOKEN.fullmatch(name) is None:
        raise RuntimeError(f"{name!r} is not the name of a header field")
    kind = _SPECIAL.get(name.lower(), _PLAIN)
    if len(_names) < 1024:
        _names[name] = kind
    return kind


def _length_of(value: bytes) -> int:
    text = bytes(value).strip()
    if not text.isdigit():
        raise RuntimeError(f"{value!r} is not a Content-Length")
    return int(text)


def _culprit(lines: list[bytes]) -> bytes:
    return next((line for line in lines if line.count(b"\n") + line.count(b"\r") != 2 or b"\0" in line), b"")[:200]
