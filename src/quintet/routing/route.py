"""Routes as they are declared: what a decorator records. Nothing is decided here."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypedDict

import msgspec

from quintet.errors import ConfigurationError, Problem
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.http.websocket import WebSocketOptions
from quintet.routing.path import Converter, Template, parse_template, quote_segment

#: What a server refuses in a path, and what a browser resolves before it sends one.
_ASTRAY = re.compile(r"[\x00-\x1f\x7f]|(?:\A|/)\.\.?(?:/|\Z)")

#: A handler: any function whose parameters and result Quintet can read.
Handler: TypeAlias = "Callable[..., Any]"
#: What a middleware calls to go on.
CallNext: TypeAlias = "Callable[[Request], Awaitable[Response[Any]]]"
#: `async def middleware(request, call_next) -> Response`.
Middleware: TypeAlias = "Callable[[Request, CallNext], Awaitable[Response[Any]]]"
#: `async def guard(request) -> None`, raising an HTTPError to refuse.
Guard: TypeAlias = "Callable[[Request], Awaitable[None]]"
#: `async def handler(request, error) -> Response`, for one type of exception.
ErrorHandler: TypeAlias = "Callable[[Request, Any], Any]"


class Defaults(TypedDict, total=False):
    """What an app can set for all its routes."""

    #: The body formats it reads, by name: `("json", "xml", "form", "multipart")`.
    accepts: Sequence[str]
    #: The formats it answers with, by name, the first being the default: `("html", "json", "xml", "csv")`.
    produces: Sequence[str]
    #: The largest body, in bytes.
    max_body: int
    #: The longest the handler may take, in seconds; then the answer is 503.
    timeout: float


class GroupOptions(Defaults, total=False):
    """What a group can set for all its routes."""

    #: The version of the API this route belongs to.
    version: str
    #: Whether it is in the OpenAPI document.
    include_in_schema: bool
    #: What a WebSocket route allows: origins, sizes, subprotocols.
    websocket: WebSocketOptions


class RouteOptions(GroupOptions, total=False):
    """What every route decorator takes."""

    #: The name for `url_for`; the handler's name when absent.
    name: str
    #: The status of a successful answer.
    status: int
    #: The groups this route has in the documentation.
    tags: Sequence[str]
    #: Functions that refuse the request by raising.
    guards: Sequence[Guard]
    #: Middleware of this route alone, outermost first.
    middleware: Sequence[Middleware]
    #: Leave out the guards and the middleware of the groups around it: for probes, which must be answered always.
    bare: bool
    #: The template of the HTML answer.
    template: str
    #: Run a `def` handler on the event loop; only for one that never blocks.
    inline: bool
    #: Cancel the handler when the client goes away, for methods other than GET and HEAD.
    cancel: bool
    #: Marks it as deprecated in the OpenAPI document.
    deprecated: bool
    #: A short title for the documentation; from the docstring when absent.
    summary: str
    #: A longer text for the documentation; from the docstring when absent.
    description: str
    #: Further answers for the documentation: the body's type by status.
    responses: dict[int, Any]
    #: Members merged into the OpenAPI operation as they are (callbacks, examples, security…).
    openapi: dict[str, Any]


class Route(msgspec.Struct, kw_only=True):
    """One declared route, with what its groups added."""

    path: str
    methods: tuple[str, ...]
    handler: Handler
    options: RouteOptions
    #: `http`, `websocket` or `mount`.
    kind: str = "http"
    #: Exception handlers of the groups around it, innermost first.
    error_handlers: tuple[dict[type[BaseException] | int, ErrorHandler], ...] = ()
    #: The file and line of its declaration.
    where: str = ""
    #: Names defined around the handler, for annotations inside functions.
    localns: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The name for `url_for`."""
        return self.options.get("name") or getattr(self.handler, "__name__", "")

    def template(self) -> Template:
        """Return the parsed path.

        Raises:
            ConfigurationError: it is no path, with the prefixes of its groups.
        """
        try:
            return parse_template(self.path)
        except ValueError as exc:
            raise ConfigurationError(Problem(id="routes.path", message=str(exc), where=self.where)) from None


def reverse(template: Template, converters: Sequence[Converter], values: dict[str, Any]) -> str:
    """Return the path of a template with these parameter values.

    Raises:
        ValueError: a value is missing, superfluous, or one that its converter would not accept.
    """
    left = dict(values)
    pieces: list[str] = []
    convert = iter(converters)
    for segment in template.segments:
        if isinstance(segment, str):
            pieces.append(quote_segment(segment))
            continue
        converter = next(convert)
        if segment.name not in left:
            raise ValueError(f"the path {template.text!r} needs a value for {segment.name!r}")
        value = left.pop(segment.name)
        try:
            text = converter.to_text(value)
        except (ValueError, TypeError, AttributeError) as exc:
            raise ValueError(f"{segment.name}={value!r} does not fit {template.text!r}: {exc}") from None
        if not text or (converter.pattern is not None and converter.pattern.match(text) is None):
            raise ValueError(f"{segment.name}={value!r} does not fit {template.text!r} ({converter.name})")
        if _ASTRAY.search(text) or ("/" in text and converter.name != "path"):
            raise ValueError(
                f"{segment.name}={value!r} does not fit {template.text!r}: a segment holds no '/' and no control "
                "character, and is not '.' or '..'"
            )
        pieces.append(quote_segment(text, rest=converter.name == "path"))
    if left:
        raise ValueError(f"the path {template.text!r} has no parameter {', '.join(map(repr, left))}")
    return "/" + "/".join(pieces)
