"""Response heads prepared at start-up: a status and header fields that do not change from request to request."""

from __future__ import annotations

from quintet.errors import status_phrase
from quintet.http.security import SecurityHeaders

#: The first line of an HTTP/1.1 response by status.
STATUS_LINES: dict[int, bytes] = {s: b"HTTP/1.1 %d %s\r\n" % (s, status_phrase(s).encode()) for s in range(100, 600)}


class Head:
    """A prepared head. Without Date, Content-Length and request id, which the protocol adds.

    Args:
        status: the status code.
        media_type: the Content-Type, or an empty string for a response without content.
        security: the security headers to include.
        extra: further header fields, names in lower case.
    """

    __slots__ = ("fields", "h1", "is_plain", "media_type", "raw", "status")

    def __init__(
        self,
        status: int,
        media_type: str,
        security: SecurityHeaders,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.status = status
        self.media_type = media_type
        #: Whether it is a success that has content.
        self.is_plain = 200 <= status < 300 and status != 204
        #: The fields as text, for RSGI and WSGI.
        self.fields: list[tuple[str, str]] = [
            *([("content-type", media_type)] if media_type else []),
            *security.for_type(media_type),
            *extra,
        ]
        #: The fields as bytes, for ASGI.
        self.raw: list[tuple[bytes, bytes]] = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in self.fields]
        #: Status line and fields as HTTP/1.1, without the empty line at the end.
        self.h1: bytes = STATUS_LINES[status] + b"".join(b"%b: %b\r\n" % pair for pair in self.raw)
