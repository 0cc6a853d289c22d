"""Other apps below a path: any ASGI or WSGI app, with bodies streamed both ways.

An ASGI app runs in a task of its own, a WSGI app in one thread from its call to the end of its body. Both speak to the
endpoint through a channel that holds a few chunks. Not carried: WebSockets. A path is percent-decoded before it is
routed, so a mounted app sees `%2F` as a slash.
"""

from __future__ import annotations

import inspect
from contextlib import AbstractAsyncContextManager
from typing import Any

from quintet.errors import ConfigurationError, Problem
from quintet.handlers.compile import Endpoint, OnError, Outcome
from quintet.handlers.threads import ThreadPool
from quintet.http.request import Request
from quintet.protocols import foreign_asgi
from quintet.protocols.channel import Channel
from quintet.protocols.foreign_asgi import call_asgi, scope_of
from quintet.protocols.foreign_wsgi import call_wsgi, environ_of


def kind_of(app: Any) -> str:
    """Return `asgi`, `asgi2` or `wsgi`.

    Raises:
        ConfigurationError: it is none of them.
    """
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004
        return "asgi"
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    kind = {1: "asgi2", 2: "wsgi", 3: "asgi"}.get(len(needed)) if callable(app) else None
    if kind is None:
        raise ConfigurationError(
            Problem(
                id="mounts.kind",
                message=f"{type(app).__name__} is neither an ASGI nor a WSGI app",
                fix="mount a callable that takes (scope, receive, send) or (environ, start_response)",
            )
        )
    return kind


def mount_endpoint(app: Any, threads: ThreadPool, template: str, on_error: OnError) -> Endpoint:
    """Return the endpoint that hands requests to another app.

    Args:
        app: an ASGI 3, ASGI 2 or WSGI app.
        threads: where a WSGI app runs.
        template: the path it is mounted at; with a last parameter for the rest, or without for the bare prefix.
        on_error: answers what the app raises before its answer has begun.

    Raises:
        ConfigurationError: the app is neither ASGI nor WSGI.
    """
    kind = kind_of(app)
    has_rest = template.endswith(":path}")

    async def endpoint(request: Request) -> Outcome:
        rest = "/" + request.params[-1] if has_rest else ""
        prefix = request.path[: len(request.path) - len(rest)]
        channel = Channel()
        if kind == "wsgi":
            call = threads.run(call_wsgi, app, environ_of(request, prefix, rest, channel), channel)
        else:
            call = call_asgi(app, kind, scope_of(app, request, prefix), request, channel)
        channel.run(call)
        try:
            return await channel.response()
        except Exception as exc:  # noqa: BLE001 - the answer to every exception
            return await on_error(request, exc)

    return endpoint


def lifespan_of(app: Any) -> AbstractAsyncContextManager[None] | None:
    """Return the lifespan of a mounted app as a context manager, or None for a kind of app that has none."""
    return foreign_asgi.lifespan_of(app) if kind_of(app) == "asgi" else None
