"""The application: collects routes, providers and plugins, freezes them once, and dispatches.

It composes and does no work: reading signatures is `handlers`, finding routes `routing`, answering `protocols`.
`quintet.App` is this with the default plugins (`factory`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, Unpack

from quintet.errors import ConfigurationError, MethodNotAllowed, NotFound, Problem
from quintet.handlers.build import build_endpoint, build_plan, compose, converters_of
from quintet.handlers.failures import Failures
from quintet.handlers.lifetimes import as_context, check_factory, enter_value
from quintet.handlers.params import Depends
from quintet.handlers.plan import HandlerPlan, Result
from quintet.handlers.resolve import Resolver
from quintet.handlers.results import DEFAULT_PRODUCES, Encoders, Finisher
from quintet.handlers.services import Services
from quintet.handlers.threads import ThreadPool, ThreadSettings
from quintet.handlers.versions import Versioning, choose_version
from quintet.hooks import Plugin, ReadinessCheck
from quintet.http.forms import FormLimits
from quintet.http.forwarded import ProxyPolicy
from quintet.http.host import HostPolicy
from quintet.http.limits import Limits
from quintet.http.request import Request, quote_path
from quintet.http.response import Redirect, Response
from quintet.http.security import SecurityHeaders
from quintet.media.registry import default_registry
from quintet.protocols import asgi
from quintet.protocols.dispatcher import AccessLog, CompiledRoute, Dispatcher
from quintet.routing.group import RouteGroup, location, root_folder
from quintet.routing.route import Defaults, Guard, Middleware, Route, RouteOptions, reverse
from quintet.routing.table import Entry, RouteTable, shape_of

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])

#: The target of a path: its routes by method; `*` answers methods it has not.
Methods = dict[str, CompiledRoute]


class Application(RouteGroup):
    """A web application.

    Args:
        title: the name in the documentation.
        version: the version in the documentation.
        description: the text in the documentation, Markdown.
        plugins: parts to set up, in an order that satisfies what they require.
        limits: bounds on requests.
        security: the security headers.
        allowed_hosts: the hosts served; empty for any well-formed one.
        proxies: which proxies to believe about the client.
        threads: the pool for `def` handlers.
        trailing_slash: `redirect` sends `/a/` to `/a` where only that exists (and the reverse), `strict` answers 404.
        versioning: how a request says which version it wants, for routes with `version=`.
        request_id: send `X-Request-Id`.
        tags, guards, middleware: for every route.
        options: defaults for routes: `produces`, `accepts`, `max_body`, `timeout`.
    """

    def __init__(
        self,
        *,
        title: str = "Quintet app",
        version: str = "0.1.0",
        description: str = "",
        plugins: Sequence[Plugin] = (),
        limits: Limits | None = None,
        security: SecurityHeaders | None = None,
        allowed_hosts: Sequence[str] = (),
        proxies: ProxyPolicy | None = None,
        threads: ThreadSettings | None = None,
        trailing_slash: Literal["redirect", "strict"] = "redirect",
        versioning: Versioning | None = None,
        request_id: bool = True,
        tags: Sequence[str] = (),
        guards: Sequence[Guard] = (),
        middleware: Sequence[Middleware] = (),
        **options: Unpack[Defaults],
    ) -> None:
        super().__init__("", tags=tags, guards=guards, middleware=middleware, **options)
        #: The folder of the file that makes the app; relative folders of templates and files are looked for in it.
        self.root: Path = root_folder()
        self.title = title
        self.api_version = version
        self.description = description
        self.limits = limits or Limits()
        self.security = security or SecurityHeaders()
        self.hosts = HostPolicy(tuple(allowed_hosts))
        self.proxies = proxies
        if proxies is not None:
            proxies.hosts = self.hosts
        self.trailing_slash = trailing_slash
        self.versioning = versioning
        self.request_id = request_id
        self.access_log: AccessLog | None = None
        self.registry = default_registry()
        self.threads = ThreadPool(threads)
        self.failures = Failures()
        self.services = Services(self.registry, self.security, self.threads)
        self.services.at_hand["app"] = self
        self.services.max_fields = self.limits.fields
        self.services.form_limits = FormLimits(max_fields=self.limits.fields)
        self.plugins: dict[str, Plugin] = {}
        #: Commands of `quintet` that the app adds: names and functions, or commands of click.
        self.commands: list[tuple[str, Callable[..., Any]] | Any] = []
        self.checks: list[Callable[[], Sequence[Problem]]] = []
        self.readiness_checks: list[ReadinessCheck] = []
        #: Paths that are answered for any well-formed host, such as those of probes, which know an address alone.
        self.open_paths: list[str] = []
        self.settings: dict[type[Any], Any] = {}
        #: Free for plugins and the app's own code.
        self.state: dict[str, Any] = {}
        self._lifespans: list[Callable[..., Any]] = []
        self._before_freeze: list[Callable[[], None]] = []
        self._app_scope: list[tuple[Any, Callable[..., Any], dict[str, Any]]] = []
        self._stack: AsyncExitStack | None = None
        self._starting: asyncio.Future[None] | None = None
        # Servers look at `app.__call__` to tell ASGI 3 from ASGI 2 and WSGI; a call takes the method of the class.
        self.__dict__["__call__"] = partial(asgi.serve, self)
        self._dispatcher: Dispatcher | None = None
        self._table: RouteTable[Methods] = RouteTable([])
        self._static: dict[str, Methods] = {}
        self._websockets: RouteTable[CompiledRoute] = RouteTable([])
        self.compiled: list[CompiledRoute] = []
        for plugin in plugins:
            self.add_plugin(plugin)

    # -- what plugins and users add -----------------------------------------------------------------------------

    def add_plugin(self, plugin: Plugin) -> None:
        """Set up a plugin.

        Raises:
            ConfigurationError: its name is taken, or what it requires is not there.
        """
        name = plugin.name or type(plugin).__name__
        missing = [r for r in plugin.requires if r not in self.plugins]
        if name in self.plugins or missing:
            message = (
                f"there is a plugin {name!r} already"
                if not missing
                else (f"the plugin {name!r} requires {', '.join(map(repr, missing))}")
            )
            raise ConfigurationError(
                Problem(
                    id="plugins.order", message=message, where=location(), fix="list it once, after what it requires"
                )
            )
        self.plugins[name] = plugin
        plugin.setup(self)
        self._changed()

    def provide(
        self, kind: type[T] | Any, factory: Callable[..., Any], *, scope: Literal["call", "response", "app"] = "call"
    ) -> None:
        """Let handlers ask for a type: `app.provide(Database, open_database, scope="app")`.

        Args:
            kind: the annotation that asks for it.
            factory: a dependency; with scope `app` it may take nothing and is called when the app starts.
            scope: `call` ends before the answer is sent, `response` after, `app` with the app.

        Raises:
            ConfigurationError: a factory of scope `app` that needs arguments.
        """
        if scope == "app":
            check_factory(factory)
            box: dict[str, Any] = {}

            def current() -> Any:
                try:
                    return box["value"]
                except KeyError:
                    raise RuntimeError(
                        f"{getattr(kind, '__name__', kind)} lives as long as the app, which has not started; "
                        "use the test client as a context manager, or run the app on a server"
                    ) from None

            self._app_scope.append((current, factory, box))
            self.services.providers[kind] = Depends(current, inline=True)
        else:
            self.services.providers[kind] = Depends(factory, scope=scope)
        self._changed()

    def provide_value(self, kind: type[T], value: T) -> None:
        """Let handlers ask for a value that exists already, by its type."""
        self.services.providers[kind] = Depends(lambda: value, inline=True)
        self._changed()

    def add_resolver(self, resolver: Resolver) -> None:
        """Provide types by more than their name; asked before those of `provide`, for every parameter, at start-up."""
        self.services.resolvers.append(resolver)
        self._changed()

    @contextlib.contextmanager
    def override(self, dependency: Any, replacement: Callable[..., Any]) -> Generator[None, None, None]:
        """Put another function in the place of a dependency or provided type, for the time of a test."""
        provided = self.services.provider(dependency)
        function = provided.function if provided is not None else dependency
        before = self.services.overrides.get(function)
        self.services.overrides[function] = replacement
        self._changed()
        try:
            yield
        finally:
            if before is None:
                self.services.overrides.pop(function, None)
            else:
                self.services.overrides[function] = before
            self._changed()

    def command(self, name: str = "") -> Callable[[C], C]:
        """Register a command: `@app.command()`, then `quintet greet Ada --times 2`.

        Parameters become arguments and options by their annotations; injectable types and dependencies are injected.

        Args:
            name: the command's name; the function's, with hyphens, when absent.
        """

        def register(function: C) -> C:
            self.commands.append((name or function.__name__.strip("_").replace("_", "-"), function))
            return function

        return register

    def lifespan(self, function: C) -> C:
        """Register what surrounds the life of the app: an async generator that yields once, or a context manager.

        It may take the app. What stands before the `yield` runs at the start, what follows at the end.
        """
        self._lifespans.append(function)
        return function

    def before_freeze(self, function: Callable[[], None]) -> None:
        """Register a function that runs before routes are compiled, such as a plugin that adds routes at the end."""
        self._before_freeze.append(function)

    def check(self, function: Callable[[], Sequence[Problem]]) -> None:
        """Register a check that `quintet check` runs."""
        self.checks.append(function)

    def readiness(self, name: str = "", *, timeout: float = 2.0) -> Callable[[C], C]:
        """Register a check that `/readyz` runs: `@app.readiness("database")`.

        The function takes nothing, is async or not, and raises, or returns False, where its subject does not work.

        Args:
            name: what it is about; the function's name when absent.
            timeout: seconds it may take.
        """

        def register(function: C) -> C:
            self.readiness_checks.append(ReadinessCheck(name or function.__name__.strip("_"), function, timeout))
            return function

        return register

    def static(self, prefix: str, folder: str | Path, *, max_age: int = 3600, name: str = "") -> None:
        """Serve the files of a folder under a path. No listings, no dotfiles, nothing outside the folder.

        Args:
            prefix: the path in front of the files' names.
            folder: the folder; a relative one is looked for beside the file that makes the app.
            max_age: seconds that a client may keep a file without asking again.
            name: the route's name; the prefix's own when absent.
        """
        from quintet.middleware.static import static_handler

        handler = static_handler(self.root / folder, max_age, location())
        options: RouteOptions = {"name": name or prefix.strip("/") or "static", "include_in_schema": False}
        self.route(prefix.rstrip("/") + "/{path:path}", ("GET",), **options)(handler)

    # -- freezing -----------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        super()._changed()
        self._dispatcher = None

    @property
    def dispatcher(self) -> Dispatcher:
        """The frozen app. The first use freezes it; a change afterwards freezes it again.

        Raises:
            ConfigurationError: everything that is wrong with it.
        """
        if self._dispatcher is None:
            self._dispatcher = self.freeze()
        return self._dispatcher

    def freeze(self) -> Dispatcher:
        """Compile every route.

        Raises:
            ConfigurationError: everything that is wrong with the app, together.
        """
        before, self._before_freeze = self._before_freeze, []
        for function in before:
            function()
        problems: list[Problem] = []
        self.services.start(self.security)
        default = Result(Any, "dynamic", 200, tuple(self.options.get("produces", ()) or DEFAULT_PRODUCES))
        if "html" in default.produces:
            default.produces = tuple(p for p in default.produces if p != "html") or DEFAULT_PRODUCES
        self.services.default_encoders = Encoders(default, self.services)
        self._finisher = Finisher(default, self.services.default_encoders, self.services)
        self._on_error = self.failures.responder([self.error_handlers], self._finisher, reraise=False)
        planned: list[tuple[Route, HandlerPlan | None]] = []
        for route in self.flatten():
            try:
                plan = None if route.kind == "mount" else self._plan(route)
                planned.append((route, plan))
            except ConfigurationError as exc:
                problems += exc.problems
        compiled: list[CompiledRoute] = []
        for route, plan in planned:
            try:
                compiled += self._compile(route, plan)
            except ConfigurationError as exc:
                problems += exc.problems
        self._not_found = self._answer(self._missing)
        self._not_allowed = self._answer(self._refuse_method)
        self._options = self._answer(self._list_methods)
        problems += self._build_table(compiled)
        if problems:
            raise ConfigurationError(problems)
        self.compiled = compiled
        self._static = self._table.static
        return Dispatcher(
            find=self._find,
            find_websocket=self._websockets.find,
            lookup=self._table.find,
            on_error=self._on_error,
            limits=self.limits,
            hosts=self.hosts,
            security=self.security,
            proxies=self.proxies,
            request_id=self.request_id,
            access_log=self.access_log,
            static={p.encode(): (p, methods) for p, methods in self._static.items() if quote_path(p) == p},
            open_paths=self.open_paths,
        )

    def _plan(self, route: Route) -> HandlerPlan:
        injected: dict[Any, str] = {kind: "app" for kind in type(self).__mro__ if issubclass(kind, Application)}
        if route.kind == "websocket":
            from quintet.http.websocket import WebSocket

            injected[WebSocket] = "websocket"
        return build_plan(route, self.services, max_body=self.limits.body, localns=route.localns, injected=injected)

    def _compile(self, route: Route, plan: HandlerPlan | None) -> list[CompiledRoute]:
        template = route.template()
        if route.kind == "mount" or plan is None:
            from quintet.protocols.foreign import mount_endpoint

            endpoint = compose(
                mount_endpoint(route.handler, self.threads, template.text, self._on_error),
                route.options.get("middleware", ()),
                self._on_error,
                self._finisher.finish,
            )
            converters = converters_of(template, None)
            return [
                CompiledRoute(
                    endpoint,
                    method="*",
                    name=route.name,
                    kind="mount",
                    max_body=sys.maxsize,
                    handler_timeout=math.inf,
                    route=route,
                    template=template,
                    converters=converters,
                )
            ]
        converters = converters_of(template, plan)
        if route.kind == "websocket":
            from quintet.handlers.websocket import compile_websocket

            endpoint: Any = compile_websocket(plan, self.services, self, route)
            return [
                CompiledRoute(
                    endpoint,
                    method="GET",
                    name=route.name,
                    kind="websocket",
                    route=route,
                    plan=plan,
                    template=template,
                    converters=converters,
                )
            ]
        finisher = Finisher(plan.result, None, self.services)
        on_error = self.failures.responder(route.error_handlers, finisher, reraise=False)
        reraise = self.failures.responder(route.error_handlers, finisher, reraise=True)
        endpoint = build_endpoint(plan, self.services, route, on_error, reraise)
        return [
            CompiledRoute(
                endpoint,
                method=method,
                name=route.name,
                # A probe is answered however much there is to do: whoever asks would end a server that is only busy.
                kind="health" if route.options.get("bare") else "http",
                max_body=plan.max_body,
                cancel=route.options.get("cancel", method in ("GET", "HEAD")),
                # The route's own time ends first; this is for a handler that does not let itself be cancelled.
                handler_timeout=None if plan.timeout is None else plan.timeout + 5,
                is_sync=not plan.call.signature.is_async
                and not plan.middleware
                and not plan.guards
                and not plan.timeout
                and not any(d.signature.is_async for d in plan.dependencies),
                route=route,
                plan=plan,
                template=template,
                converters=converters,
            )
            for method in route.methods
        ]

    def _build_table(self, compiled: list[CompiledRoute]) -> list[Problem]:
        """Build the route table; return duplicate and shadowed routes as problems."""
        problems: list[Problem] = []
        groups: dict[Any, list[CompiledRoute]] = {}
        websockets: dict[Any, CompiledRoute] = {}
        for item in compiled:
            assert item.template is not None
            shape = shape_of(item.template, item.converters)
            if item.kind == "websocket":
                problems += _duplicate(websockets.get(shape), item)
                websockets[shape] = item
            else:
                groups.setdefault(shape, []).append(item)
        entries: list[Entry[Methods]] = []
        for items in groups.values():
            versions: dict[tuple[str, str], CompiledRoute] = {}
            for item in items:
                key = (item.method, item.route.options.get("version", "") if item.route else "")
                problems += _duplicate(versions.get(key), item)
                versions[key] = item
            problems += [
                Problem(
                    id="routes.shadowed",
                    message=f"{route.path!r} is mounted here, and takes the requests of the route",
                    where=route.where,
                    fix="give one of them another path",
                )
                for item in items
                if item.kind == "mount" and len(items) > 1 and (route := item.route) is not None
            ]
            first = items[0]
            assert first.template is not None
            entries.append(Entry(first.template, first.converters, self._methods(items)))
        self._table = RouteTable(entries)
        self._websockets = RouteTable(
            [Entry(w.template, w.converters, w) for w in websockets.values() if w.template is not None]
        )
        problems += self._duplicate_names(compiled)
        return problems

    def _duplicate_names(self, compiled: list[CompiledRoute]) -> list[Problem]:
        seen: dict[str, Route] = {}
        problems: list[Problem] = []
        for item in compiled:
            route = item.route
            if route is None or not (name := route.options.get("name")):
                continue
            other = seen.setdefault(name, route)
            if other is not route and other.path != route.path:
                problems.append(
                    Problem(
                        id="routes.name",
                        message=f"two routes are named {route.name!r}: {other.path} ({other.where}) and {route.path}",
                        where=route.where,
                        fix="give one of them another name",
                    )
                )
        return problems

    def _methods(self, items: list[CompiledRoute]) -> Methods:
        methods: Methods = {}
        by_method: dict[str, list[CompiledRoute]] = {}
        for item in items:
            by_method.setdefault(item.method, []).append(item)
        for method, routes in by_method.items():
            methods[method] = (
                routes[0] if len(routes) == 1 and not self._version_of(routes[0]) else self._choose(routes)
            )
        if "*" in methods:
            return methods
        if "GET" in methods:
            methods.setdefault("HEAD", methods["GET"])
        methods.setdefault("OPTIONS", self._options)
        methods["*"] = self._not_allowed
        return methods

    @staticmethod
    def _version_of(item: CompiledRoute) -> str:
        return item.route.options.get("version", "") if item.route else ""

    def _choose(self, routes: list[CompiledRoute]) -> CompiledRoute:
        by_version = {self._version_of(r): r for r in routes}
        first = routes[0]
        endpoint = choose_version(by_version, self.versioning, self._on_error)
        return CompiledRoute(
            endpoint,
            method=first.method,
            name=first.name,
            max_body=max((r.max_body or 0) for r in routes) or None,
            cancel=first.cancel,
            handler_timeout=max((r.handler_timeout for r in routes if r.handler_timeout), default=None),
            route=first.route,
            plan=first.plan,
            template=first.template,
            converters=first.converters,
        )

    def _answer(self, function: Callable[[Request], Response[Any]]) -> CompiledRoute:
        async def endpoint(request: Request) -> Response[Any]:
            try:
                return self._finisher.finish(request, function(request))
            except Exception as exc:  # noqa: BLE001 - answered below
                return await self._on_error(request, exc)

        return CompiledRoute(
            compose(endpoint, self.middleware_list, self._on_error, self._finisher.finish), kind="answer"
        )

    # -- dispatching --------------------------------------------------------------------------------------------

    def _find(self, method: str, path: str) -> tuple[CompiledRoute, tuple[str, ...]]:
        methods = self._static.get(path)
        if methods is not None:
            route = methods.get(method)
            return (route, ()) if route is not None else self._find_other(method, path)
        found = self._table.find(path)
        if found is None:
            return self._not_found, ()
        route = found[0].get(method)
        return (route, found[1]) if route is not None else self._find_other(method, path)

    def _find_other(self, method: str, path: str) -> tuple[CompiledRoute, tuple[str, ...]]:
        """Find a method that the most specific route of a path has not: `DELETE /users/{id}` beside `GET /users/me`."""
        answer: tuple[CompiledRoute, tuple[str, ...]] | None = None
        for methods, values in self._table.find_all(path):
            route = methods.get(method)
            if route is not None or methods["*"].kind == "mount":
                return route or methods["*"], values
            answer = answer or (methods["*"], values)
        return answer or (self._not_found, ())

    def _refuse_method(self, request: Request) -> Response[Any]:
        allow = self._allowed(request.path)
        raise MethodNotAllowed(f"{request.method} is not possible here, {allow} are", headers={"allow": allow})

    def _list_methods(self, request: Request) -> Response[Any]:
        return Response(None, 204, headers={"allow": self._allowed(request.path)})

    def _allowed(self, path: str) -> str:
        """Return the methods of a path, for `Allow`."""
        found = {method for methods, _ in self._table.find_all(path) for method in methods}
        return ", ".join(sorted(found - {"*"}))

    def _missing(self, request: Request) -> Response[Any]:
        """Answer a path that has no route: by a redirect where the other slash has one, else 404."""
        path = request.path
        if self.trailing_slash == "redirect" and not path.startswith(("//", "/\\")) and path != "/":
            other = path[:-1] if path.endswith("/") else path + "/"
            found = self._table.find(other)
            if (
                found is not None
                and not other.endswith("//")
                and "\\" not in other
                and next(iter(found[0].values())).kind != "mount"
            ):
                query = f"?{request.raw_query.decode('latin-1')}" if request.raw_query else ""
                return Redirect(quote_path(other) + query, 308)
        raise NotFound("there is nothing at this address")

    def url_for(self, name: str, /, **values: Any) -> str:
        """Return the path of a named route.

        Args:
            name: the route's name; with its group's name in front where the group has one.
            values: the path's parameters, as values of their types.

        Raises:
            ValueError: no route has this name, several have, or a value does not fit.
        """
        _ = self.dispatcher
        matches = {c.template.text: (c.template, c.converters) for c in self.compiled if c.name == name and c.template}
        if not matches:
            from difflib import get_close_matches

            near = get_close_matches(name, {c.name for c in self.compiled}, 1)
            raise ValueError(f"no route is named {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if len(matches) > 1:
            wanted = set(values)
            fitting = [m for m in matches.values() if {p.name for p in m[0].parameters} == wanted]
            if len(fitting) != 1:
                raise ValueError(
                    f"several routes are named {name!r}: {', '.join(matches)}; give them names of their own"
                )
            found = fitting[0]
        else:
            (found,) = matches.values()
        return reverse(*found, values)

    # -- the life of the app ------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Run the lifespan around a block: start, then stop whatever happens."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        """Freeze the app and run what stands before the `yield` of each lifespan.

        Raises:
            ConfigurationError: everything that is wrong with the app.
        """
        if self._stack is not None:
            raise RuntimeError("the app has started already")
        from quintet.protocols.foreign import lifespan_of

        _ = self.dispatcher
        stack = AsyncExitStack()
        try:
            for function in self._lifespans:
                await stack.enter_async_context(as_context(function, self))
            for current, factory, box in self._app_scope:
                if current in self.services.overrides:
                    continue  # a test has something else in its place
                function = self.services.overrides.get(factory, factory)
                box["value"] = await enter_value(stack, function)
                stack.callback(box.clear)
            mounted = {id(c.route.handler): c.route.handler for c in self.compiled if c.kind == "mount" and c.route}
            for lifespan in filter(None, map(lifespan_of, mounted.values())):
                await stack.enter_async_context(lifespan)
        except BaseException:
            await stack.aclose()
            raise
        self._stack = stack

    async def stop(self) -> None:
        """Run what follows the `yield` of each lifespan, last first, and end the threads."""
        stack, self._stack = self._stack, None
        try:
            if stack is not None:
                await stack.aclose()
        finally:
            self.threads.close()

    # -- protocols ----------------------------------------------------------------------------------------------

    @property
    def is_started(self) -> bool:
        """Whether the lifespan has begun."""
        return self._stack is not None

    async def ensure_started(self) -> None:
        """Start the app unless that has been done: for servers that do not say when they start.

        Raises:
            ConfigurationError: everything that is wrong with the app.
        """
        if self._stack is None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.ensure_future(self.start())
            await asyncio.shield(self._starting)

    def forget_start(self) -> None:
        """Take note that this is a new process, forked from one in which the app had started: here it has not."""
        self._stack = self._starting = None
        self.threads.forget()

    def __call__(self, *args: Any) -> Any:
        """Answer an ASGI 3 call `(scope, receive, send)`, an ASGI 2 call `(scope)` or a WSGI call `(environ, …)`."""
        if len(args) == 3:
            return asgi.serve(self, *args)
        if len(args) == 2:
            from quintet.protocols import wsgi

            return wsgi.serve(self, *args)
        return asgi.serve_v2(self, *args)

    def __rsgi__(self, scope: Any, protocol: Any) -> Awaitable[None]:
        """Answer an RSGI call."""
        from quintet.protocols import rsgi

        return rsgi.serve(self, scope, protocol)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self.start())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self.stop())


def _duplicate(other: CompiledRoute | None, item: CompiledRoute) -> list[Problem]:
    if other is None or other.route is None or item.route is None or item.template is None:
        return []
    return [
        Problem(
            id="routes.duplicate",
            message=f"{item.method} {item.template.text} is taken already by {other.name!r} ({other.route.where})",
            where=item.route.where,
            fix="remove one, or give it another path or version",
        )
    ]
