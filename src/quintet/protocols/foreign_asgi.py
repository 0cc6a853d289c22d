"""Mounted ASGI apps: their scope, their messages, their lifespan."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from quintet.errors import ClientDisconnected
from quintet.http.host import split_host
from quintet.http.request import Request, quote_path
from quintet.protocols.channel import Channel, body_of
from quintet.protocols.lifespan import AsgiLifespan
from quintet.types import Message, Scope

#: Lifespan state of the apps, by the id of the app.
_states: dict[int, dict[str, Any]] = {}


def scope_of(app: Any, request: Request, prefix: str) -> Scope:
    """Return the scope of a request to an app mounted at `prefix`."""
    host, port = split_host(request.host) if request.host else ("", None)
    scheme = request.scheme
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": scheme,
        "path": request.path,
        "raw_path": quote_path(request.path).encode(),
        "root_path": prefix,
        "query_string": request.raw_query,
        "headers": [pair for pair in request.raw_headers if b"_" not in pair[0]],
        "client": (request.client, 0),
        "server": (host, port or (443 if scheme == "https" else 80)),
        "state": dict(_states.get(id(app), {})),
    }


async def call_asgi(app: Any, kind: str, scope: Scope, request: Request, channel: Channel) -> None:
    """Call an ASGI app and send its answer."""
    chunks = body_of(request)
    ended = False

    async def receive() -> Message:
        nonlocal ended
        if not ended:
            try:
                return {"type": "http.request", "body": await anext(chunks), "more_body": True}
            except StopAsyncIteration:
                ended = True
                return {"type": "http.request", "body": b"", "more_body": False}
            except ClientDisconnected:
                ended = True
                return {"type": "http.disconnect"}
        if not channel.closed:
            await request.connection.disconnected()
        return {"type": "http.disconnect"}

    if kind == "asgi2":
        await app(scope)(receive, channel.put)
    else:
        await app(scope, receive, channel.put)


@asynccontextmanager
async def lifespan_of(app: Any) -> AsyncGenerator[None]:
    """Run the lifespan of an ASGI 3 app around a block; of one that has none, nothing.

    Raises:
        RuntimeError: the app has failed to start.
    """
    lifespan = AsgiLifespan(app, "a mounted app")
    await lifespan.start()
    if lifespan.is_supported:
        _states[id(app)] = lifespan.state
    try:
        yield
    finally:
        _states.pop(id(app), None)
        await lifespan.stop()
