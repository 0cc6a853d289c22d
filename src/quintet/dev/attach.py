"""Attaching the tools of development to an app: the debugger, the check of hosts, the detector of blocking calls.

Whatever is attached answers on this machine's own names only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from quintet.app import Application
from quintet.dev.blocking import BlockingDetector
from quintet.dev.debugger import PREFIX, Debugger
from quintet.http.host import HostPolicy
from quintet.http.response import Response
from quintet.media.negotiation import negotiate
from quintet.protocols.dispatcher import CompiledRoute, Dispatcher
from quintet.server.hosted_app import HostedApp

if TYPE_CHECKING:
    from quintet.dev.debugger import Answer
    from quintet.http.request import Request

#: The names of this machine; a page of another site reaches the app under none of them.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")

_OFFERS = ("application/problem+json", "application/json", "text/html", "text/plain")


def attach_debugger(app: Application | HostedApp, debugger: Debugger) -> None:
    """Answer unexpected exceptions with the debugger's page, and serve the debugger's own paths.

    Afterwards the app answers for this machine's own names only. Nothing of the app is between a request for the
    debugger and the debugger: no middleware, no guard.
    """
    if isinstance(app, HostedApp):
        _attach_to_hosted(app, debugger)
        return
    app.failures.debug = lambda request, exc: _describe(debugger, request, exc)
    endpoint = CompiledRoute(_endpoint(debugger), name="debugger", kind="answer", max_body=128 * 1024)
    freeze = app.freeze

    def freeze_with_debugger() -> Dispatcher:
        dispatcher = freeze()
        find = dispatcher.find

        def find_debugger(method: str, path: str) -> tuple[CompiledRoute, tuple[str, ...]]:
            return (endpoint, ()) if path.startswith(PREFIX) else find(method, path)

        dispatcher.find = find_debugger
        return dispatcher

    app.hosts = HostPolicy(LOCAL_HOSTS)
    setattr(app, "freeze", freeze_with_debugger)  # noqa: B010 - on this one object, in development
    app.provide_value(Debugger, debugger)  # a change: the app freezes again


def _attach_to_hosted(app: HostedApp, debugger: Debugger) -> None:
    app.debug = lambda request, exc: _describe(debugger, request, exc)
    app.dispatcher.hosts = HostPolicy(LOCAL_HOSTS)
    app.answer_below(PREFIX, CompiledRoute(_endpoint(debugger), name="debugger", kind="answer"))


def attach_blocking_detector(app: Application | HostedApp, detector: BlockingDetector | None = None) -> None:
    """Report calls that block the event loop while the app runs."""
    watcher = detector or BlockingDetector()
    if isinstance(app, HostedApp):
        app.at_start.append(watcher.start)
        app.at_stop.append(watcher.stop)
        return

    async def watch() -> AsyncIterator[None]:
        watcher.start()
        try:
            yield
        finally:
            watcher.stop()

    app.lifespan(watch)


def broken_app(exc: Exception) -> Application:
    """Return an app that answers every request with an exception: the one that kept the real app from loading."""
    app = Application(title="This app cannot be loaded")
    origin = exc.__traceback__

    async def fail() -> None:
        raise exc.with_traceback(origin)

    async def fail_below(path: str) -> None:
        del path
        raise exc.with_traceback(origin)

    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    app.route("/", methods)(fail)
    app.route("/{path:path}", methods)(fail_below)
    return app


def _describe(debugger: Debugger, request: Request, exc: Exception) -> Response[Any]:
    """Return an exception as its client prefers it."""
    accept = request.fields.get(b"accept")
    index = negotiate(None if accept is None else accept.decode("latin-1"), _OFFERS)
    offer = _OFFERS[index or 0]
    if offer == "text/html":
        info = {"method": request.method, "path": request.path, "headers": request.raw_headers}
        return _response(debugger.page(exc, request_info=info))
    if offer == "text/plain":
        body, media_type = debugger.text(exc).encode(), "text/plain; charset=utf-8"
    else:
        document = {**debugger.json(exc), "instance": request.path, "request_id": request.id}
        body, media_type = msgspec.json.encode(document), "application/problem+json"
    return _response((500, [("content-type", media_type), ("cache-control", "no-store")], body))


def _endpoint(debugger: Debugger) -> Any:
    async def endpoint(request: Request) -> Response[Any]:
        query = {name: value for name, value in request.query.items() if isinstance(value, str)}
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in request.raw_headers]
        answer = await debugger.respond(request.method, request.path, query, headers, await request.body())
        assert answer is not None, "the path begins with the debugger's prefix"
        return _response(answer)

    return endpoint


def _response(answer: Answer) -> Response[Any]:
    status, headers, body = answer
    response: Response[Any] = Response(None, status, headers=headers)
    response.content = body
    return response
