"""Failures: exceptions become answers — problem documents (RFC 9457), or a page where the client prefers HTML."""

from __future__ import annotations

import errno
import inspect
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Any, cast

import msgspec

from quintet.errors import ClientDisconnected, HTTPError, InternalServerError, ValidationError
from quintet.http.headers import vary
from quintet.http.request import quote_path
from quintet.http.response import HTML, Response
from quintet.media.negotiation import negotiate

if TYPE_CHECKING:
    from quintet.handlers.results import Finisher
    from quintet.http.request import Request
    from quintet.routing.route import ErrorHandler

#: What a write fails with where there is no room: on the disk, in the quota, in the file.
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}

logger = logging.getLogger("quintet.app")

#: What errors can be answered as, the usual first.
OFFERS = ("application/problem+json", "application/json", "text/html", "application/problem+xml", "application/xml",
          "text/plain", "application/msgpack")  # fmt: skip

_encode = msgspec.json.Encoder(decimal_format="string").encode

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto;padding:0 1.5rem;color:#1c1c22}"
    "h1{font-size:1.6rem;margin:0 0 .5rem}p{margin:.3rem 0;color:#444}code{color:#666}"
    "@media(prefers-color-scheme:dark){body{background:#16161a;color:#eee}p{color:#bbb}}"
)
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_CSP = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"

#: Draws the page of an error, or returns None to leave it to the plain one.
ErrorPage = Callable[["Request", HTTPError], "str | None"]
#: Answers an unexpected exception in development, or returns None.
DebugPage = Callable[["Request", Exception], "Response[Any] | None"]
Handlers = "Sequence[dict[type[BaseException] | int, ErrorHandler]]"


class Failures:
    """Answers exceptions for an app."""

    def __init__(self) -> None:
        self.page: ErrorPage | None = None
        self.debug: DebugPage | None = None
        #: Told of every unexpected exception, after it has been logged.
        self.observers: list[Callable[[Request, Exception], None]] = []

    def responder(
        self, handlers: Sequence[dict[type[BaseException] | int, ErrorHandler]], finisher: Finisher, *, reraise: bool
    ) -> Callable[[Request, Exception], Awaitable[Response[Any]]]:
        """Return the function that answers exceptions of routes with these handlers.

        Args:
            handlers: by exception type or status, innermost group first.
            finisher: completes what the handlers return.
            reraise: whether unexpected exceptions are raised again, for a middleware around the handler.
        """

        async def respond(request: Request, exc: Exception) -> Response[Any]:
            handler = find_handler(handlers, exc)
            if handler is not None:
                try:
                    value = handler(request, exc)
                    if inspect.isawaitable(value):
                        value = await value
                    return finisher.finish(request, _answer_of(value, exc))
                except Exception as error:  # noqa: BLE001 - an error handler that fails is an error too
                    exc = error
            if isinstance(exc, HTTPError):
                return self.answer(request, exc)
            if reraise or isinstance(exc, ClientDisconnected):
                try:
                    raise exc
                finally:
                    del exc  # it refers to this frame: together they would wait for the collector
            return self.unexpected(request, exc)

        return respond

    def unexpected(self, request: Request, exc: Exception) -> Response[Any]:
        """Log an exception that nobody expected, and answer 500 without a word of what it was."""
        try:
            logger.error("%s %s failed", request.method, request.path, exc_info=exc)
            for observe in self.observers:
                observe(request, exc)
            if self.debug is not None:
                response = self.debug(request, exc)
                if response is not None:
                    return response
        except Exception:
            logger.exception("the answer to an exception failed")
        if isinstance(exc, OSError) and exc.errno in _FULL:
            return self.answer(request, HTTPError(507, "there is no room to store this"))
        return self.answer(request, InternalServerError("the server failed to answer; the failure was logged"))

    def answer(self, request: Request, error: HTTPError) -> Response[Any]:
        """Return the response of an HTTP error in the form its client prefers."""
        accept = request.fields.get(b"accept")
        index = negotiate(None if accept is None else accept.decode("latin-1"), OFFERS)
        offer = OFFERS[0 if index is None else index]
        if offer == "application/json":
            offer = OFFERS[0]
        response: Response[Any] = Response(None, error.status, headers=error.headers)
        document = error.document()
        document.setdefault("instance", quote_path(request.path))  # a URI reference (RFC 9457, section 3.1.5)
        if error.status >= 500:
            document["request_id"] = request.id
        if offer == "text/html":
            page = None
            if self.page is not None:
                try:
                    page = self.page(request, error)
                except Exception:
                    logger.exception("the error page failed")
            if page is None:
                response.headers.set("content-security-policy", _CSP)
                page = plain_page(error, document)
            response.content = page.encode()
            offer = "text/html; charset=utf-8"
        elif offer == "text/plain":
            response.content = plain_text(error).encode()
            offer = "text/plain; charset=utf-8"
        elif offer in ("application/problem+xml", "application/xml"):
            response.content = problem_xml(document)
            offer = "application/problem+xml; charset=utf-8"
        elif offer == "application/msgpack":
            response.content = msgspec.msgpack.encode(document)
        else:
            response.content = _encode(document)
        response.headers.set("content-type", offer)
        response.headers.setdefault("cache-control", "no-store")
        vary(response.headers, "accept")
        return response


def _answer_of(value: Any, exc: Exception) -> Response[Any]:
    """Return what an error handler gave as a response, with the error's status unless it has one of its own."""
    response = cast("Response[Any]", value if isinstance(value, Response) else Response(value))
    if response.status is None:
        response.status = exc.status if isinstance(exc, HTTPError) else 500
    if isinstance(value, str) and not isinstance(value, HTML):  # text, whatever the route answers with
        response.content = value.encode()
        response.headers.set("content-type", "text/plain; charset=utf-8")
    return response


def find_handler(
    handlers: Sequence[dict[type[BaseException] | int, ErrorHandler]], exc: Exception
) -> ErrorHandler | None:
    """Return the handler for an exception: the innermost group's, and there the most specific type's."""
    for group in handlers:
        if isinstance(exc, HTTPError) and exc.status in group:
            return group[exc.status]
        for kind in type(exc).__mro__:
            if kind in group:
                return group[kind]
    return None


def plain_text(error: HTTPError) -> str:
    """Return an error as text."""
    lines = [f"{error.status} {error.title}"]
    if error.detail:
        lines.append(error.detail)
    if isinstance(error, ValidationError):
        lines += [f"{'.'.join(map(str, e.loc))}: {e.msg}" for e in error.errors]
    return "\n".join(lines) + "\n"


def plain_page(error: HTTPError, document: dict[str, Any]) -> HTML:
    """Return an error as a page."""
    rows = "".join(
        f"<li><code>{escape('.'.join(map(str, e.loc)))}</code>: {escape(e.msg)}</li>"
        for e in (error.errors if isinstance(error, ValidationError) else ())
    )
    request_id = document.get("request_id")
    return HTML(
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{error.status} {escape(error.title)}</title><style>{_STYLE}</style>"
        f"<h1>{error.status} {escape(error.title)}</h1>"
        + (f"<p>{escape(error.detail)}</p>" if error.detail else "")
        + (f"<ul>{rows}</ul>" if rows else "")
        + (f"<p><code>{escape(request_id)}</code></p>" if request_id else "")
        + "</html>\n"
    )


def problem_xml(document: dict[str, Any]) -> bytes:
    """Return a problem document as XML (RFC 9457, appendix B)."""

    def element(name: str, value: Any) -> str:
        if isinstance(value, msgspec.Struct):
            value = msgspec.to_builtins(value)
        if isinstance(value, dict):
            inner = "".join(element(str(k), v) for k, v in cast("dict[Any, Any]", value).items())
        elif isinstance(value, (list, tuple)):
            inner = "".join(element("i", v) for v in cast("list[Any]", value))
        else:
            inner = escape("".join(c for c in str(value) if c >= " " or c in "\t\n"))
        tag = name if name.isidentifier() else "i"
        return f"<{tag}>{inner}</{tag}>"

    body = "".join(element(k, v) for k, v in document.items())
    return f'<?xml version="1.0" encoding="utf-8"?>\n<problem xmlns="urn:ietf:rfc:7807">{body}</problem>'.encode()
