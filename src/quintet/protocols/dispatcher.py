"""The frozen app as protocols see it: where a request goes and what surrounds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any

from quintet.errors import BadRequest, HTTPError
from quintet.handlers.compile import Endpoint
from quintet.http.host import HostPolicy, valid_host
from quintet.http.limits import Limits
from quintet.http.response import Response
from quintet.http.security import SecurityHeaders

if TYPE_CHECKING:
    from quintet.handlers.plan import HandlerPlan
    from quintet.http.forwarded import ProxyPolicy
    from quintet.http.request import Request
    from quintet.routing.path import Converter, Template
    from quintet.routing.route import Route


class CompiledRoute:
    """One method of one path, ready to run."""

    __slots__ = (
        "cancel", "converters", "endpoint", "handler_timeout", "is_sync", "kind", "max_body", "method", "name", "plan",
        "route", "tasks", "template",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        method: str = "",
        name: str = "",
        kind: str = "http",
        max_body: int | None = None,
        cancel: bool = False,
        handler_timeout: float | None = None,
        is_sync: bool = False,
        route: Route | None = None,
        plan: HandlerPlan | None = None,
        template: Template | None = None,
        converters: tuple[Converter, ...] = (),
    ) -> None:
        self.endpoint = endpoint
        self.method = method
        self.name = name
        #: `http`, `websocket`, `mount`, `health` or `answer` (404, 405, OPTIONS, a redirect).
        self.kind = kind
        self.max_body = max_body
        #: Whether the handler is cancelled when its client goes away.
        self.cancel = cancel
        #: Seconds until the handler must begin its answer; None for those of the limits.
        self.handler_timeout = handler_timeout
        #: Whether nothing in it suspends: a `def` handler without async parts.
        self.is_sync = is_sync
        self.route = route
        self.plan = plan
        self.template = template
        self.converters = converters
        #: The calls that are expected to suspend (`drive.Habit`).
        self.tasks = 0


#: Finds the route of a method and a decoded path, and the path's parameters. It always finds something to answer with.
Find = Callable[[str, str], "tuple[CompiledRoute, tuple[str, ...]]"]
#: Called for each answered request: (request, status, body length or None, seconds).
AccessLog = Callable[["Request", int, "int | None", float], None]


class Dispatcher:
    """What protocols need of an app."""

    def __init__(
        self,
        *,
        find: Find,
        find_websocket: Callable[[str], tuple[CompiledRoute, tuple[str, ...]] | None],
        on_error: Callable[[Request, Exception], Awaitable[Response[Any]]],
        limits: Limits,
        hosts: HostPolicy,
        security: SecurityHeaders,
        proxies: ProxyPolicy | None = None,
        request_id: bool = True,
        access_log: AccessLog | None = None,
        lookup: Callable[[str], tuple[dict[str, CompiledRoute], tuple[str, ...]] | None] | None = None,
        static: dict[bytes, tuple[str, dict[str, CompiledRoute]]] | None = None,
        open_paths: Collection[str] = (),
    ) -> None:
        self.find = find
        #: Finds the routes of a decoded path by method, and its parameters: the short way, where `find` is the whole.
        self.lookup = lookup or _find_nothing
        self.find_websocket = find_websocket
        self.on_error = on_error
        self.limits = limits
        self.hosts = hosts
        self.security = security
        self.proxies = proxies
        self.request_id = request_id
        self._security_fields: dict[str, list[tuple[str, str]]] = {}
        self.access_log = access_log
        #: Paths without parameters by the bytes of their target: the decoded path and its routes by method.
        self.static: dict[bytes, tuple[str, dict[str, CompiledRoute]]] = static or {}
        #: Paths that are answered for any well-formed host, as text and as bytes.
        self.open_paths: frozenset[str | bytes] = frozenset([*open_paths, *(p.encode() for p in open_paths)])
        #: Whether WSGI runs a route in the server's thread; filled as it is asked.
        self.runs_inline: dict[Any, bool] = {}

    def security_fields(self, media_type: str) -> list[tuple[str, str]]:
        """Return the security headers of a media type; they are made once for each."""
        fields = self._security_fields.get(media_type)
        if fields is None:
            fields = self.security.for_type(media_type)
            if len(self._security_fields) < 256:
                self._security_fields[media_type] = fields
        return fields

    def check_host(self, host: bytes | None, count: int = 1, path: bytes | str = b"") -> None:
        """Refuse a request whose Host is missing, repeated, malformed or not ours (RFC 9112, section 3.2).

        `path` is that of the request as it was sent: some need no host of ours.

        Raises:
            BadRequest: with the reason.
        """
        if host is None:
            raise BadRequest("the Host header is missing")
        if count > 1:
            raise BadRequest("there is more than one Host header")
        if not valid_host(host):
            raise BadRequest("the Host header is malformed")
        if not self.hosts.allows(host) and path not in self.open_paths:
            raise BadRequest("this host is not served here")

    def refuse(self, error: HTTPError) -> CompiledRoute:
        """Return a route that answers with an error found before routing."""

        async def endpoint(request: Request) -> Response[Any]:
            return await self.on_error(request, error)

        return CompiledRoute(endpoint, kind="answer")


def _find_nothing(path: str) -> None:
    return None


class HostedResponse(Response[None]):
    """The answer of a mounted app: no default header fields are added to its own."""

    __slots__ = ()


def merge_headers(response: Response[Any], dispatcher: Dispatcher, request: Request) -> list[tuple[str, str]]:
    """Return the fields of a complete response with the default ones it lacks; without Date and lengths."""
    headers = response.headers
    items = headers.items()
    media_type = headers.get("content-type") or ""
    if not isinstance(response, HostedResponse):
        items += [pair for pair in dispatcher.security_fields(media_type) if pair[0] not in headers]
    if dispatcher.request_id and "x-request-id" not in headers:
        items.append(("x-request-id", request.id))
    return items
