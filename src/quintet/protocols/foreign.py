"""Other apps below a path: any ASGI or WSGI app, with bodies streamed both ways.

An ASGI app runs in a task of its own, a WSGI app in one thread from its call to the end of its body. Both speak to the
endpoint through a channel that holds a few chunks. Not carried: WebSockets. A path is percent-decoded before it is
routed, so a mounted app sees `%2F` as a slash.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from quintet.errors import ClientDisconnected, ConfigurationError, Problem
from quintet.handlers.compile import Endpoint
from quintet.handlers.threads import ThreadPool
from quintet.http.host import split_host
from quintet.http.request import Request, quote_path
from quintet.protocols.context import logger
from quintet.protocols.dispatcher import HostedResponse
from quintet.types import Environ, Message, Receive, Scope, Send

#: Chunks of an answer that wait for the client.
WINDOW = 4

_HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
    )
)
#: Lifespan state of mounted ASGI apps, by the id of the app.
_states: dict[int, dict[str, Any]] = {}
_running: set[asyncio.Task[Any]] = set()


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


def mount_endpoint(app: Any, threads: ThreadPool, template: str) -> Endpoint:
    """Return the endpoint that hands requests to another app.

    Args:
        app: an ASGI 3, ASGI 2 or WSGI app.
        threads: where a WSGI app runs.
        template: the path it is mounted at; with a last parameter for the rest, or without for the bare prefix.

    Raises:
        ConfigurationError: the app is neither ASGI nor WSGI.
    """
    kind = kind_of(app)
    has_rest = template.endswith(":path}")

    async def endpoint(request: Request) -> HostedResponse:
        rest = "/" + request.params[-1] if has_rest else ""
        prefix = request.path[: len(request.path) - len(rest)]
        channel = _Channel()
        if kind == "wsgi":
            call = threads.run(_call_wsgi, app, _environ(request, prefix, rest, channel), channel)
        else:
            call = _call_asgi(app, kind, _scope(app, request, prefix), request, channel)
        channel.run(call)
        return await channel.response()

    return endpoint


class _Channel:
    """What an app sends, on its way to the client."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self._messages: asyncio.Queue[Message] = asyncio.Queue(WINDOW)
        self._task: asyncio.Task[Any]
        self._ended = False

    def run(self, call: Awaitable[Any]) -> None:
        """Run the app. It may go on when its answer is complete."""
        self._task = asyncio.ensure_future(call)  # pyright: ignore[reportAttributeAccessIssue]
        _running.add(self._task)
        self._task.add_done_callback(_running.discard)

    async def put(self, message: Message) -> None:
        """Take what the app sends; wait where the client reads slowly."""
        if not self.closed:
            await self._messages.put(message)

    def put_from_thread(self, message: Message) -> None:
        """Take what the app sends, from a thread.

        Raises:
            ClientDisconnected: nobody reads it.
        """
        if self.closed:
            raise ClientDisconnected("the client went away")
        asyncio.run_coroutine_threadsafe(self.put(message), self.loop).result()

    async def _get(self) -> Message | None:
        """Return the next message; None where the app has ended without one."""
        if self._messages.empty() and not self._task.done():
            getting = asyncio.ensure_future(self._messages.get())
            try:
                await asyncio.wait((getting, self._task), return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    return getting.result()
            finally:
                getting.cancel()
        if not self._messages.empty():
            return self._messages.get_nowait()
        self._task.result()  # raises what the app has raised
        return None

    async def response(self) -> HostedResponse:
        """Return the app's answer when it has begun."""
        try:
            start = await self._get()
            if start is None or start["type"] != "http.response.start":
                raise RuntimeError("the mounted app has not begun its answer")
            response = HostedResponse(None, start["status"])
            lengths: list[str] = []
            for raw_name, raw_value in start.get("headers", ()):
                name, value = bytes(raw_name).decode("latin-1").lower(), bytes(raw_value).decode("latin-1")
                if name == "content-length":
                    lengths.append(value)
                if name not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            body = await self._get()
            if body is not None and not body.get("more_body", False):
                response.content = body.get("body", b"")
                self._finish()
                if lengths and not response.content:  # HEAD: the length of what GET would answer
                    response.length, response.content = int(lengths[0]), _empty()
            else:
                response.length = int(lengths[0]) if lengths else None
                response.content = self._chunks(body)
            return response
        except BaseException:
            await self.close()
            raise

    async def _chunks(self, message: Message | None) -> AsyncIterator[bytes]:
        try:
            while message is not None:
                chunk = message.get("body", b"")
                if chunk:
                    yield chunk
                if not message.get("more_body", False):
                    self._finish()
                    return
                message = await self._get()
            raise RuntimeError("the mounted app has not ended its answer")
        finally:
            await self.close()

    def _finish(self) -> None:
        """The answer is complete; what the app does now is its own."""
        self._ended = self.closed = True
        self._task.add_done_callback(_report)

    async def close(self) -> None:
        """Nobody reads any more: end the app unless its answer is complete."""
        self.closed = True
        if self._ended:
            return
        self._ended = True
        while not self._messages.empty():  # whoever waits to put goes on
            self._messages.get_nowait()
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.exception()


def _report(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a mounted app failed after its answer", exc_info=task.exception())


async def _empty() -> AsyncIterator[bytes]:
    for chunk in ():
        yield chunk


# -- ASGI -------------------------------------------------------------------------------------------------------


def _scope(app: Any, request: Request, prefix: str) -> Scope:
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


async def _call_asgi(app: Any, kind: str, scope: Scope, request: Request, channel: _Channel) -> None:
    chunks = _body_of(request)
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


async def _body_of(request: Request) -> AsyncIterator[bytes]:
    """Yield the body, without a limit of ours: the mounted app has its own."""
    body = request._body  # pyright: ignore[reportPrivateUsage]
    if body is not None:
        if body:
            yield body
        return
    source, request.source = request.source, None
    if source is not None:
        async for chunk in source:
            yield chunk


@asynccontextmanager
async def lifespan_of(app: Any) -> AsyncIterator[None]:
    """Run the lifespan of an ASGI app around a block; of one that has none, nothing.

    Raises:
        RuntimeError: the app has failed to start.
    """
    if kind_of(app) != "asgi":
        yield
        return
    state: dict[str, Any] = {}
    to_app: asyncio.Queue[Message] = asyncio.Queue()
    from_app: asyncio.Queue[Message] = asyncio.Queue()
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    send: Send = from_app.put
    receive: Receive = to_app.get
    task: asyncio.Task[None] = asyncio.ensure_future(app(scope, receive, send))
    try:
        if await _lifespan_step(task, to_app, from_app, "startup"):
            _states[id(app)] = state
            yield
            await _lifespan_step(task, to_app, from_app, "shutdown")
        else:
            yield
    finally:
        _states.pop(id(app), None)
        task.cancel()
        await asyncio.wait((task,))


async def _lifespan_step(
    task: asyncio.Task[None], to_app: asyncio.Queue[Message], from_app: asyncio.Queue[Message], step: str
) -> bool:
    """Take a step; return False where the app knows no lifespan."""
    await to_app.put({"type": f"lifespan.{step}"})
    getting = asyncio.ensure_future(from_app.get())
    try:
        await asyncio.wait((getting, task), return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            if not task.cancelled():
                task.exception()  # an app without a lifespan raises (ASGI, "Lifespan protocol")
            return False
        message = getting.result()
    finally:
        getting.cancel()
    if message["type"] == f"lifespan.{step}.failed":
        raise RuntimeError(f"{step} of a mounted app failed: {message.get('message', '')}")
    return True


# -- WSGI -------------------------------------------------------------------------------------------------------


def _environ(request: Request, prefix: str, rest: str, channel: _Channel) -> Environ:
    host, port = split_host(request.host) if request.host else ("localhost", None)
    scheme = request.scheme
    body = request._body  # pyright: ignore[reportPrivateUsage]
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": prefix.encode().decode("latin-1"),
        "PATH_INFO": rest.encode().decode("latin-1"),
        "QUERY_STRING": request.raw_query.decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or (443 if scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(body) if body is not None else io.BufferedReader(_Input(request, channel)),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        if name in ("content-type", "content-length"):
            environ[name.upper().replace("-", "_")] = value
        elif name not in ("transfer-encoding", "proxy"):  # `Proxy` would pass for the variable HTTP_PROXY
            environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ


class _Input(io.RawIOBase):
    """A body that arrives on the loop, read in a thread."""

    def __init__(self, request: Request, channel: _Channel) -> None:
        super().__init__()
        self._chunks = _body_of(request)
        self._loop = channel.loop
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read bytes into a buffer; 0 at the end.

        Raises:
            OSError: the body is truncated.
        """
        if not self._rest:
            try:
                chunk = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            except ClientDisconnected as exc:
                raise OSError(str(exc)) from exc
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    async def _next(self) -> bytes:
        return await anext(self._chunks, b"")


def _call_wsgi(app: Callable[..., Any], environ: Environ, channel: _Channel) -> None:
    """Call a WSGI app and send its answer; in a thread."""
    head: list[tuple[str, list[tuple[str, str]]]] = []
    sent = False

    def send_head() -> None:
        nonlocal sent
        if not head:
            raise RuntimeError("the mounted WSGI app has not called start_response")
        sent = True
        status, headers = head[-1]
        raw = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]
        channel.put_from_thread({"type": "http.response.start", "status": int(status[:3]), "headers": raw})

    def send_chunk(chunk: bytes) -> None:
        if not sent:
            send_head()
        if chunk:
            channel.put_from_thread({"type": "http.response.body", "body": chunk, "more_body": True})

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info is not None:
            if sent:
                raise exc_info[1].with_traceback(exc_info[2])
        elif head:
            raise RuntimeError("start_response was called before")
        head.append((status, headers))
        return send_chunk

    last = b""
    result = app(environ, start_response)
    try:
        if isinstance(result, (list, tuple)) and not sent:
            last = b"".join(cast("list[bytes]", result))
        else:
            for chunk in result:
                send_chunk(chunk)
        if not sent:
            send_head()
        channel.put_from_thread({"type": "http.response.body", "body": last, "more_body": False})
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
