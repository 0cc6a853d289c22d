"""A request: what the client sent, read when asked for.

Built by a protocol with what it has at hand; everything derived is computed at first use and kept.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import msgspec

from quintet.errors import BadRequest, ContentTooLarge, UnsupportedMediaType
from quintet.http.cookies import parse_cookies
from quintet.http.forms import FormData, FormLimits, parse_multipart, parse_urlencoded
from quintet.http.headers import Headers
from quintet.http.origin import check_same_origin
from quintet.http.query import parse_query

if TYPE_CHECKING:
    from quintet.http.connection import Connection
    from quintet.types import RawHeaders

#: Return the number of the next request of this process.
next_number = count(1).__next__
#: The method of bytes that were answered and are no request.
NO_METHOD = "-"
_prefix = ""


def id_prefix() -> str:
    """Return what every request id of this process begins with; the request's number in hexadecimal follows."""
    return _prefix


def _renew_prefix() -> None:
    global _prefix
    _prefix = f"{token_hex(6)}-"


_renew_prefix()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_prefix)
_decode_json = msgspec.json.Decoder().decode


class State:
    """A free place for values of one request: `request.state.user = user`."""

    if TYPE_CHECKING:  # any name may be stored

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


class Request(msgspec.Struct, eq=False, repr_omit_defaults=True):  # PERF: built in C, at a third of the cost
    """An HTTP request.

    Not thread-safe; a `def` handler has it to itself while it runs.
    """

    #: The method, in capitals.
    method: str
    #: The percent-decoded path; never with a query.
    path: str
    #: The query string as it was sent, without the question mark.
    raw_query: bytes
    #: The header fields as they were sent, names in lower case.
    raw_headers: RawHeaders
    #: The header fields by name, the last one where a name comes twice.
    fields: dict[bytes, bytes]
    #: The whole body, or None while it is arriving.
    _body: bytes | None
    #: Where the request came in: peer, scheme, protocol.
    connection: Connection
    #: The route that answers, once it is found.
    route: Any = None
    #: The values of the path's parameters, as text.
    params: tuple[str, ...] = ()
    #: The chunks of a body that has not arrived as a whole.
    source: AsyncIterator[bytes] | None = None
    #: The most bytes of a body that are accepted; the connection's limit where the route sets none.
    max_body: int = -1
    #: Called when the response has been sent.
    after: list[Callable[[], Awaitable[None] | None]] | None = None
    #: Counts the requests of this process.
    number: int = 0
    _headers: Headers | None = None
    _query: dict[str, str | list[str]] | None = None
    _cookies: dict[str, str] | None = None
    _state: State | None = None
    _form: FormData | None = None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"

    # -- what the head says -------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """An identifier of this request, unique over processes and restarts."""
        if not self.number:
            self.number = next_number()
        return f"{_prefix}{self.number:x}"

    @property
    def headers(self) -> Headers:
        """The header fields, by name in any case.

        Names with an underscore are left out: behind a gateway they could pose as others.
        """
        if self._headers is None:
            self._headers = Headers([pair for pair in self.raw_headers if b"_" not in pair[0]])
        return self._headers

    @property
    def query(self) -> dict[str, str | list[str]]:
        """The query parameters; a name that comes twice has a list.

        Raises:
            BadRequest: a malformed percent-encoding, invalid UTF-8, or too many pairs.
        """
        if self._query is None:
            self._query = (
                parse_query(self.raw_query, max_fields=self.connection.limits.fields) if self.raw_query else {}
            )
        return self._query

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name."""
        if self._cookies is None:
            raw = b"; ".join(v for k, v in self.raw_headers if k == b"cookie")
            self._cookies = parse_cookies(raw.decode("latin-1")) if raw else {}
        return self._cookies

    @property
    def state(self) -> State:
        """A free place for values of this request."""
        if self._state is None:
            self._state = State()
        return self._state

    @property
    def client(self) -> str:
        """The address of the client, or of the last untrusted proxy; empty on a Unix socket."""
        return self.connection.client_of(self).host

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return self.connection.client_of(self).scheme

    @property
    def host(self) -> str:
        """The host the client asked for, with the port if it named one; it has passed the Host check."""
        return self.connection.client_of(self).authority or self.fields.get(b"host", b"").decode("latin-1")

    @property
    def url(self) -> str:
        """The whole URL, made of checked parts only."""
        query = f"?{self.raw_query.decode('latin-1')}" if self.raw_query else ""
        return f"{self.scheme}://{self.host}{quote_path(self.path)}{query}"

    @property
    def content_type(self) -> str:
        """The media type of the body without parameters, in lower case; empty when there is none."""
        value = self.fields.get(b"content-type")
        return "" if value is None else value.partition(b";")[0].strip().lower().decode("latin-1")

    # -- the body -----------------------------------------------------------------------------------------------

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the chunks of the body as they arrive.

        Raises:
            ContentTooLarge: the body is longer than the route's `max_body`.
            ClientDisconnected: the client went away, or its body is truncated.
        """
        limit = self.body_limit
        if self._body is not None:
            if len(self._body) > limit:
                raise _too_large(limit)
            if self._body:
                yield self._body
            return
        source, self.source = self.source, None
        if source is None:
            raise RuntimeError("the body of this request has been streamed already; keep what was read")
        size = 0
        async for chunk in source:
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            yield chunk

    async def body(self) -> bytes:
        """Return the whole body.

        Raises:
            ContentTooLarge: it is longer than the route's `max_body`.
            ClientDisconnected: the client went away, or its body is truncated.
        """
        if self._body is None:
            self._body = b"".join([chunk async for chunk in self.stream()])
        elif len(self._body) > self.body_limit:
            raise _too_large(self.body_limit)
        return self._body

    async def json(self) -> Any:
        """Return the body read as JSON, without a declared type.

        Raises:
            UnsupportedMediaType: its Content-Type is not JSON: what a form on another site could send is not read.
            BadRequest: it is not JSON.
        """
        kind = self.content_type
        if kind != "application/json" and not kind.endswith("+json"):
            raise UnsupportedMediaType(f"this reads application/json, {_found(kind)}")
        try:
            return _decode_json(await self.body())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise BadRequest(f"the body is not valid JSON: {exc}") from None

    async def form(self, limits: FormLimits | None = None, *, cross_site: bool = False) -> FormData:
        """Return the body read as a form, urlencoded or multipart.

        Files are on disk when they are large; they are closed when the response has been sent.

        Args:
            limits: what the form may cost.
            cross_site: take a form that a page of another site has submitted. What it does must then not depend on
                the visitor's cookies.

        Raises:
            Forbidden: the form was submitted from another site.
            UnsupportedMediaType: the body is of another type.
            BadRequest, ContentTooLarge: it is malformed or too large.
        """
        if self._form is not None:
            return self._form
        if not cross_site:
            check_same_origin(self)
        kind = self.content_type
        limits = limits or FormLimits(max_fields=self.connection.limits.fields)
        if kind == "application/x-www-form-urlencoded":
            form = parse_urlencoded(await self.body(), limits)
        elif kind == "multipart/form-data":
            content_type = self.fields[b"content-type"].decode("latin-1")
            form = await parse_multipart(self.stream(), content_type, limits)
            self.call_after(form.close)
        else:
            raise UnsupportedMediaType(f"a form is urlencoded or multipart/form-data, {_found(kind)}")
        self._form = form
        return form

    @property
    def body_limit(self) -> int:
        """The most bytes of a body that this request's route accepts."""
        return self.connection.limits.body if self.max_body < 0 else self.max_body

    def call_after(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call `callback` when the response has been sent, or the client has gone."""
        if self.after is None:
            self.after = []
        self.after.append(callback)


def _found(kind: str) -> str:
    return f"not {kind!r}" if kind else "and no Content-Type was sent"


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"the body is larger than {limit} bytes", headers={"connection": "close"})


def quote_path(path: str) -> str:
    """Percent-encode a decoded path for use in a URL."""
    from urllib.parse import quote

    return quote(path, safe="/:@!$&'()*+,;=~-._")
