"""What a request must pass that another server has parsed: names, sizes, method, Host and path, the same for ASGI,
RSGI and WSGI. The built-in server checks the same things while it parses.

Pure functions: nothing is read or sent here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from quintet.errors import (
    BadRequest,
    ContentTooLarge,
    HeadersTooLarge,
    HTTPError,
    MethodNotAllowed,
    NotImplementedByServer,
    URITooLong,
)
from quintet.http.connection import Connection
from quintet.http.limits import Limits
from quintet.http.request import Request
from quintet.http.url import check_path, decode_path, split_target
from quintet.protocols.dispatcher import CompiledRoute, Dispatcher
from quintet.types import RawHeaders

#: Methods that routes can have.
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
#: A declared body of at most this many bytes is read before the handler begins.
SMALL_BODY = 64 * 1024
#: What nobody has read of a body is thrown away if it is at most this long; beyond it the connection may break.
DRAIN = 1024 * 1024
#: Seconds that takes at most.
DRAIN_TIME = 1.0


class Served(Protocol):
    """What protocols need of an application."""

    @property
    def dispatcher(self) -> Dispatcher:
        """The frozen app."""
        ...

    @property
    def middleware_list(self) -> Sequence[Any]:
        """The middleware around everything."""
        ...

    @property
    def error_handlers(self) -> Mapping[Any, Any]:
        """The handlers of exceptions around everything."""
        ...

    @property
    def is_started(self) -> bool:
        """Whether its lifespan has begun."""
        ...

    async def start(self) -> None:
        """Begin its life."""
        ...

    async def stop(self) -> None:
        """End its life."""
        ...

    async def ensure_started(self) -> None:
        """Begin its life, unless that has happened."""
        ...

    def forget_start(self) -> None:
        """Take note that this process was forked from one in which its life had begun."""
        ...


def method_error(method: str) -> HTTPError:
    """Return what is wrong with a method that no route can have."""
    if method in ("TRACE", "CONNECT", "QUERY"):
        return MethodNotAllowed(f"{method} is not served", headers={"allow": ", ".join(sorted(METHODS))})
    return NotImplementedByServer("this method is not known")


def fields_of(raw: RawHeaders) -> tuple[RawHeaders, dict[bytes, bytes]]:
    """Return the header fields, as they are and by name, without names that have an underscore.

    `X_Forwarded_For` would otherwise pass for `X-Forwarded-For` where names become variables.
    """
    fields = dict(raw)
    if b"_" in b"".join(fields):
        raw = [pair for pair in raw if b"_" not in pair[0]]
        fields = dict(raw)
    return raw, fields


def check_size(raw: RawHeaders, fields: dict[bytes, bytes], url_size: int, limits: Limits) -> None:
    """Refuse a head beyond the limits.

    Raises:
        URITooLong, HeadersTooLarge: with the limit.
    """
    if url_size > limits.url:
        raise URITooLong(f"the request target is longer than {limits.url} bytes")
    count = len(raw)
    if count > limits.header_count:
        raise HeadersTooLarge(f"there are more than {limits.header_count} header fields")
    if len(fields) == count:  # PERF: two joins measure a usual head
        size = len(b"".join(fields)) + len(b"".join(fields.values())) + 4 * count
    else:
        size = sum(len(name) + len(value) + 4 for name, value in raw)
    if size > limits.header_block:
        raise HeadersTooLarge(f"the header fields are larger than {limits.header_block} bytes")


def check_host(
    dispatcher: Dispatcher, raw: RawHeaders, fields: dict[bytes, bytes], version: str, path: str = ""
) -> None:
    """Refuse a request whose Host is missing, repeated, malformed or not ours.

    `path` is that of the request: some need no host of ours.

    Raises:
        BadRequest: with the reason.
    """
    host = fields.get(b"host")
    if host is not None and len(fields) == len(raw) and dispatcher.hosts.allows(host):
        return
    if host is None and version == "1.0":
        return
    dispatcher.check_host(host, sum(name == b"host" for name, _ in raw), path)


def settle_path(path: str, raw_path: bytes | None, prefix: str) -> str:
    """Return the path below `prefix`, decoded once and checked.

    Args:
        path: the path that the server has decoded.
        raw_path: the same path as it was sent, where the server has it.
        prefix: where the app is mounted in another.

    Raises:
        BadRequest: a broken escape, invalid UTF-8, a control character, or no path at all.
    """
    if raw_path is not None and (b"%" in raw_path or not raw_path.isascii()):
        # What cannot be decoded is an error, and not the replacement character that servers put in its place.
        decoded = decode_path(raw_path)
        if decoded.endswith(path) or not path.isprintable():
            path = decoded if not prefix or decoded.startswith(prefix) else path
    if prefix and path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
        path = path[len(prefix) :] or "/"
    return check_path(path)


def absolute_target(dispatcher: Dispatcher, target: bytes, raw: RawHeaders) -> tuple[bytes, RawHeaders]:
    """Split a target in absolute form; return its path, and the header fields with its authority as the Host.

    Raises:
        BadRequest: it has another form, or names a host that is not served here.
    """
    path, _, authority = split_target(target)
    if authority is None:
        raise BadRequest("the request target must be a path that begins with '/'")
    dispatcher.check_host(authority)
    return path, [(name, authority if name == b"host" else value) for name, value in raw]


def body_length(fields: dict[bytes, bytes]) -> int | None:
    """Return the declared length of the body, or None where there is none.

    Raises:
        BadRequest: it is not a number.
    """
    value = fields.get(b"content-length")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise BadRequest("the Content-Length is not a number")
    return int(value)


def check_length(dispatcher: Dispatcher, route: CompiledRoute, length: int) -> None:
    """Refuse a body that is declared longer than the route allows.

    Raises:
        ContentTooLarge: with the limit.
    """
    limit = dispatcher.limits.body if route.max_body is None else route.max_body
    if length > limit:
        raise ContentTooLarge(f"the body has {length} bytes, and {limit} are allowed", headers={"connection": "close"})


def refused(dispatcher: Dispatcher, connection: Connection, method: str, raw: RawHeaders, error: HTTPError) -> Request:
    """Return a request whose route answers with an error found before routing."""
    request = Request(method, "/", b"", raw, dict(raw), b"", connection)
    request.route = dispatcher.refuse(error)
    return request
