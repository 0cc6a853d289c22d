"""Groups of routes: `Router`, `Controller`, and the registering methods they share with `App`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, Unpack, cast

from quintet.errors import ConfigurationError, Problem
from quintet.routing.path import parse_template
from quintet.routing.route import ErrorHandler, GroupOptions, Guard, Middleware, Route, RouteOptions

H = TypeVar("H", bound=Callable[..., Any])
G = TypeVar("G", bound=Guard)
M = TypeVar("M", bound=Middleware)

#: The attribute in which `get`, `post` … leave their declaration on a controller's method.
_MARK = "__quintet_routes__"


def location(depth: int = 2) -> str:
    """Return the file and line of the code that called a registering method."""
    frame = sys._getframe(depth)  # pyright: ignore[reportPrivateUsage] - documented; `inspect` costs a thousandfold
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("quintet."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def root_folder() -> Path:
    """Return the folder of the file whose code called into Quintet; the working directory at a prompt."""
    file, _, _ = location().rpartition(":")
    return Path(file).resolve().parent if Path(file).is_file() else Path.cwd()


def location_of(handler: Callable[..., Any]) -> str:
    """Return the file and line of a handler's definition."""
    code = getattr(inspect.unwrap(handler), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def _names_around(handler: Any) -> dict[str, Any] | None:
    """Return the local names at a handler's definition, for one defined inside a function."""
    if "<locals>" not in getattr(handler, "__qualname__", ""):
        return None
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage] - as in `location`
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("quintet."):
        frame = frame.f_back
    names: dict[str, Any] = {}
    while frame is not None and frame.f_code.co_name != "<module>":
        names = {**frame.f_locals, **names}
        frame = frame.f_back
        if len(names) > 2000:
            break
    return names


class RouteGroup:
    """The registering methods of `App`, `Router` and `Controller`."""

    def __init__(
        self,
        prefix: str = "",
        *,
        name: str = "",
        tags: Sequence[str] = (),
        guards: Sequence[Guard] = (),
        middleware: Sequence[Middleware] = (),
        **options: Unpack[GroupOptions],
    ) -> None:
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ConfigurationError(
                Problem(
                    id="routes.prefix",
                    message=f"the prefix {prefix!r} must begin with '/' and not end with it",
                    where=location(),
                    fix=f"write {'/' + prefix.strip('/')!r}",
                )
            )
        if prefix:
            try:
                parse_template(prefix)
            except ValueError as exc:
                raise ConfigurationError(Problem(id="routes.prefix", message=str(exc), where=location())) from None
        self.prefix = prefix
        self.group_name = name
        self.tags = list(tags)
        self.guards: list[Guard] = list(guards)
        self.middleware_list: list[Middleware] = list(middleware)
        self.options: GroupOptions = options
        self.routes: list[Route] = []
        self.children: list[tuple[str, RouteGroup]] = []
        self.error_handlers: dict[type[BaseException] | int, ErrorHandler] = {}

    # -- routes -------------------------------------------------------------------------------------------------

    def route(self, path: str, methods: Sequence[str], **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for a path and methods."""
        where = location()
        names = tuple(m.upper() for m in methods)

        def register(handler: H) -> H:
            self._record(path, names, handler, options, location_of(handler) or where)
            return handler

        return register

    def _record(
        self, path: str, methods: tuple[str, ...], handler: Any, options: RouteOptions, where: str, kind: str = "http"
    ) -> None:
        try:
            parse_template(self.prefix + path if path or not self.prefix else self.prefix)
        except ValueError as exc:
            raise ConfigurationError(Problem(id="routes.path", message=str(exc), where=where)) from None
        self.routes.append(
            Route(
                path=path,
                methods=methods,
                handler=handler,
                options=options,
                where=where,
                kind=kind,
                localns=_names_around(handler),
            )
        )
        self._changed()

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for GET (and HEAD)."""
        return self.route(path, ("GET",), **options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for POST."""
        return self.route(path, ("POST",), **options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for PUT."""
        return self.route(path, ("PUT",), **options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for PATCH."""
        return self.route(path, ("PATCH",), **options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for DELETE."""
        return self.route(path, ("DELETE",), **options)

    def page(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a page: GET shows it, POST submits its form."""
        options.setdefault("produces", ("html",))
        options.setdefault("accepts", ("form", "multipart"))
        return self.route(path, ("GET", "POST"), **options)

    def websocket(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a WebSocket handler."""
        where = location()

        def register(handler: H) -> H:
            self._record(path, ("GET",), handler, options, location_of(handler) or where, kind="websocket")
            return handler

        return register

    def mount(self, path: str, app: Any, *, name: str = "") -> None:
        """Hand every request under `path` to another ASGI or WSGI app."""
        where, path = location(), path.rstrip("/")
        options: RouteOptions = {"name": name, "include_in_schema": False}
        self._record(path + "/{path:path}", ("*",), app, options, where, kind="mount")
        if path or self.prefix:  # the bare prefix, without a slash
            self._record(path, ("*",), app, {"include_in_schema": False}, where, kind="mount")

    # -- what surrounds routes ----------------------------------------------------------------------------------

    def middleware(self, function: M) -> M:
        """Add a middleware around every route of this group; the first added is the outermost."""
        self.middleware_list.append(function)
        self._changed()
        return function

    def guard(self, function: G) -> G:
        """Add a guard to every route of this group."""
        self.guards.append(function)
        self._changed()
        return function

    def exception_handler(self, kind: type[BaseException] | int) -> Callable[[H], H]:
        """Register a handler for an exception type, or for HTTP errors of one status."""

        def register(handler: H) -> H:
            self.error_handlers[kind] = handler
            self._changed()
            return handler

        return register

    def include(self, group: RouteGroup | type[Controller] | Controller, prefix: str = "") -> None:
        """Add the routes of a router or controller under a prefix."""
        if isinstance(group, type):
            group = group()
        if isinstance(group, Controller):
            group = group.as_group()
        if group.includes(self):
            raise ConfigurationError(
                Problem(
                    id="routes.include",
                    message="a router cannot include itself, nor one that includes it",
                    where=location(),
                )
            )
        self.children.append((prefix, group))
        group.parents.append(self)
        self._changed()

    def includes(self, group: RouteGroup) -> bool:
        """Tell whether a group is this one, or below it."""
        return group is self or any(child.includes(group) for _, child in self.children)

    @property
    def parents(self) -> list[RouteGroup]:
        """The groups that include this one."""
        return self.__dict__.setdefault("_parents", [])

    def _changed(self) -> None:
        """Tell the app around it that its routes must be compiled again."""
        for parent in self.parents:
            parent._changed()

    def flatten(self) -> Iterable[Route]:
        """Yield every route of the group and its children with what the groups add."""
        for route in self.routes:
            yield self._extend(route, "", self.prefix)
        for prefix, child in self.children:
            for route in child.flatten():
                yield self._extend(route, prefix, self.prefix)

    def _extend(self, route: Route, between: str, prefix: str) -> Route:
        own = route.options
        options = cast("dict[str, Any]", dict(own))
        for key, value in self.options.items():
            options.setdefault(key, value)
        options["tags"] = [*self.tags, *(t for t in own.get("tags", ()) if t not in self.tags)]
        if not own.get("bare"):
            options["guards"] = [*self.guards, *own.get("guards", ())]
            options["middleware"] = [*self.middleware_list, *own.get("middleware", ())]
        if self.group_name:
            options["name"] = f"{self.group_name}.{route.name}"
        path = prefix + between + route.path
        handlers = (*route.error_handlers, self.error_handlers) if self.error_handlers else route.error_handlers
        return Route(
            path=path or "/",
            methods=route.methods,
            handler=route.handler,
            options=cast("RouteOptions", options),
            kind=route.kind,
            error_handlers=handlers,
            where=route.where,
            localns=route.localns,
        )


class Router(RouteGroup):
    """A group of routes with a prefix, tags, guards and middleware. Routers nest and are included by an app."""


class Controller:
    """A class whose methods are handlers of one resource.

    Methods are marked with `get`, `post`, `put`, `patch`, `delete` or `route` of this module; class attributes say
    what the group has in common.
    """

    #: The path in front of every route.
    path: ClassVar[str] = ""
    #: The groups of its routes in the documentation.
    tags: ClassVar[Sequence[str]] = ()
    #: Guards of every route.
    guards: ClassVar[Sequence[Guard]] = ()
    #: Middleware of every route.
    middleware: ClassVar[Sequence[Middleware]] = ()

    def as_group(self) -> RouteGroup:
        """Return the group of this controller's routes."""
        cls = type(self)
        group = Router(cls.path, tags=cls.tags, guards=cls.guards, middleware=cls.middleware)
        for attribute in dir(cls):
            function = inspect.getattr_static(cls, attribute)
            for path, methods, options in getattr(function, _MARK, ()):
                group.route(path, methods, **options)(getattr(self, attribute))
        return group


def route(path: str, methods: Sequence[str], **options: Unpack[RouteOptions]) -> Callable[[H], H]:
    """Mark a controller's method as the handler of a path and methods."""

    def mark(function: H) -> H:
        marks = function.__dict__.setdefault(_MARK, [])
        marks.append((path, tuple(methods), options))
        return function

    return mark


def get(path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
    """Mark a controller's method as the handler of GET."""
    return route(path, ("GET",), **options)


def post(path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
    """Mark a controller's method as the handler of POST."""
    return route(path, ("POST",), **options)


def put(path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
    """Mark a controller's method as the handler of PUT."""
    return route(path, ("PUT",), **options)


def patch(path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
    """Mark a controller's method as the handler of PATCH."""
    return route(path, ("PATCH",), **options)


def delete(path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
    """Mark a controller's method as the handler of DELETE."""
    return route(path, ("DELETE",), **options)
