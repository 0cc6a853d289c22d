"""An app of another framework, as the built-in server runs it: its kind, its settings, its life."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from quintet.config import AppSettings, Settings, load_settings
from quintet.errors import ConfigurationError, HTTPError, InternalServerError, NotFound, Problem
from quintet.factory import limits_of, proxies_of
from quintet.http.host import HostPolicy
from quintet.http.limits import MIB
from quintet.http.security import SecurityHeaders
from quintet.protocols.dispatcher import CompiledRoute, Dispatcher
from quintet.protocols.foreign import kind_of
from quintet.protocols.lifespan import AsgiLifespan
from quintet.server.hosted import HostedProtocol, HostedServer, RoutedExchange
from quintet.server.hosted_answer import error_response
from quintet.server.hosted_asgi import AsgiExchange

if TYPE_CHECKING:
    import asyncio

    from quintet.http.request import Request
    from quintet.http.response import Response
    from quintet.protocols.dispatcher import AccessLog
    from quintet.server.hosted import Exchange, HostedRequest

logger = logging.getLogger("quintet.server")


class HostedSettings(Settings, section="hosted"):
    """Settings of apps that are not Quintet's own. Limits, times and proxies are those of `AppSettings`."""

    #: How the app is called; `auto` looks at what it is.
    interface: Literal["auto", "asgi", "wsgi"] = "auto"
    #: The target is a function without parameters that makes the app.
    factory: bool = False
    #: Where the app is for its clients, such as `/shop`, when a proxy removes that prefix.
    root_path: str = ""
    #: The longest request body; without it the app alone decides.
    max_body: Annotated[int, Meta(ge=0)] | None = None
    #: The longest WebSocket message.
    max_message: Annotated[int, Meta(gt=0)] = 16 * MIB
    #: The number of threads for a WSGI app.
    threads: Annotated[int, Meta(gt=0)] = 32


class HostedApp:
    """An ASGI or WSGI app that the built-in server calls directly.

    It has of an `Application` what the server and the commands use.

    Args:
        app: the app.
        settings: its settings; read from the environment when absent.
        own: the settings of the wire; read from the environment when absent.

    Raises:
        ConfigurationError: it is neither ASGI nor WSGI, or a setting is wrong.
    """

    def __init__(
        self,
        app: Any,
        *,
        settings: HostedSettings | None = None,
        own: AppSettings | None = None,
    ) -> None:
        loaded = load_settings(HostedSettings, AppSettings)
        own = own or loaded[AppSettings]
        self.settings = settings or loaded[HostedSettings]
        self.app = app
        #: `asgi`, `asgi2` or `wsgi`.
        self.kind: str = _kind(app, self.settings.interface)
        self.root_path: str = _root_path(self.settings.root_path)
        self.raw_root_path: bytes = self.root_path.encode()
        #: The same for WSGI: bytes as latin-1.
        self.script_name: str = self.raw_root_path.decode("latin-1")
        self.max_body: int | None = self.settings.max_body
        #: What the app has stored at its start, for each request to copy.
        self.state: dict[str, Any] = {}
        #: Calls an ASGI app as ASGI 3.
        self.call: Callable[..., Any] = _asgi2(app) if self.kind == "asgi2" else app
        #: Describes what the app has raised before its answer, in development.
        self.debug: Callable[[Request, Exception], Response[Any]] | None = None
        #: Called when the app's life has begun, and before it ends.
        self.at_start: list[Callable[[], object]] = []
        self.at_stop: list[Callable[[], object]] = []
        #: No plugin works on an app that is not ours.
        self.plugins: dict[str, Any] = {}
        #: No path is answered but by the app.
        self.open_paths: tuple[str, ...] = ()
        self.access_log: AccessLog | None = None
        self._lifespan: AsgiLifespan | None = None
        hosts = HostPolicy(own.allowed_hosts)
        proxies = proxies_of(own)
        if proxies is not None:
            proxies.hosts = hosts
        self.has_proxies: bool = proxies is not None
        self.dispatcher: Dispatcher = Dispatcher(
            find=_find_nothing,
            find_websocket=lambda path: None,
            on_error=self.answer_error,
            limits=limits_of(own),
            hosts=hosts,
            security=SecurityHeaders(),
            proxies=proxies,
            request_id=False,
        )
        self.exchange: Callable[[HostedProtocol, Any], Exchange]
        if self.kind == "wsgi":
            from quintet.server.hosted_wsgi import WsgiExchange, WsgiThreads

            self.threads: WsgiThreads | None = WsgiThreads(self.settings.threads)
            self.exchange = WsgiExchange
        else:
            self.threads = None
            self.exchange = AsgiExchange

    @property
    def has_websockets(self) -> bool:
        """Whether the app can be asked for a WebSocket."""
        return self.kind != "wsgi"

    def new_server(
        self, loop: asyncio.AbstractEventLoop, *, is_full: Callable[[], bool] | None = None
    ) -> tuple[HostedServer, Callable[[], HostedProtocol]]:
        """Return what the connections of a loop share, and what makes a connection."""
        server = HostedServer(self, loop, is_full=is_full)
        if self.threads is not None:
            self.threads.attach(loop)
        return server, lambda: HostedProtocol(server)

    async def start(self) -> None:
        """Begin the app's life.

        Raises:
            ConfigurationError: the app says that it cannot start.
        """
        if self.kind == "asgi":
            await self._start_lifespan()
        for call in self.at_start:
            call()

    async def _start_lifespan(self) -> None:
        lifespan = AsgiLifespan(self.app)
        try:
            await lifespan.start()
        except RuntimeError as exc:
            raise ConfigurationError(
                Problem(
                    id="hosting.lifespan",
                    message=str(exc).strip(),
                    fix="repair what the app does at its start",
                )
            ) from None
        self._lifespan = lifespan
        self.state = lifespan.state
        if lifespan.refusal is not None:
            logger.debug("the app takes no part in the lifespan protocol", exc_info=lifespan.refusal)

    async def stop(self) -> None:
        """End the app's life."""
        for call in self.at_stop:
            call()
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            try:
                await lifespan.stop()
            except RuntimeError as exc:
                logger.error("%s", exc)

    def is_busy(self) -> bool:
        """Tell whether threads of the app are at work."""
        return self.threads is not None and self.threads.pending > 0

    def close(self) -> None:
        """End the threads that wait for work."""
        if self.threads is not None:
            self.threads.close()

    async def answer_error(self, request: Request, error: Exception) -> Response[Any]:
        """Answer what the app has not: in plain text, as nothing is known about the client's taste."""
        if isinstance(error, HTTPError):
            return error_response(error)
        return self.debug(request, error) if self.debug is not None else error_response(InternalServerError())

    def answer_below(self, prefix: str, route: CompiledRoute) -> None:
        """Answer requests whose path begins with `prefix` by a route, and not by the app."""
        exchange = self.exchange

        def choose(protocol: HostedProtocol, request: HostedRequest) -> Exchange:
            if request.path.startswith(prefix):
                return RoutedExchange(protocol, request, route)
            return exchange(protocol, request)

        self.exchange = choose


def _find_nothing(method: str, path: str) -> tuple[CompiledRoute, tuple[str, ...]]:
    async def endpoint(request: HostedRequest) -> Response[Any]:
        return error_response(NotFound())

    return CompiledRoute(endpoint, kind="answer"), ()  # pyright: ignore[reportArgumentType]


def _kind(app: Any, interface: str) -> str:
    if interface == "wsgi":
        return "wsgi"
    if interface == "asgi":
        try:
            found = kind_of(app)
        except ConfigurationError:
            found = "asgi"
        return found if found == "asgi2" else "asgi"
    try:
        return kind_of(app)
    except ConfigurationError as exc:
        problem = msgspec.structs.replace(
            exc.problems[0],
            id="hosting.interface",
            fix="name a callable that takes (scope, receive, send) or (environ, start_response); where it hides "
            "its parameters, say which by --interface; where it makes the app, add --factory",
        )
        raise ConfigurationError(problem) from None


def _root_path(text: str) -> str:
    if not text or text == "/":
        return ""
    if not text.startswith("/") or "?" in text or "#" in text:
        raise ConfigurationError(
            Problem(
                id="hosting.root_path",
                where="root_path",
                message=f"{text!r} is not a path",
                fix="write it with a slash in front and none behind, such as /shop",
            )
        )
    return text.rstrip("/")


def _asgi2(app: Any) -> Callable[..., Any]:
    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app(scope)(receive, send)

    return call
