"""WSGI: `App` under gunicorn and any other WSGI server (PEP 3333).

A `def` handler runs in the server's own thread, an `async def` on one loop in the background. What WSGI cannot do:
there are no WebSockets; a client that goes away is noticed at the next chunk sent; the time a body may take is the
server's to limit; header fields that were sent twice arrive joined, and `X_Name` cannot be told from `X-Name`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import copy_context
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, cast

from quintet.errors import BadRequest, HTTPError, LengthRequired, NotImplementedByServer, status_phrase
from quintet.http.connection import Connection
from quintet.http.head import Head
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.http.url import check_path, decode_path
from quintet.protocols.background import Background, Conversation, background_of
from quintet.protocols.context import logger, run_callbacks
from quintet.protocols.dispatcher import CompiledRoute, Dispatcher, merge_headers
from quintet.protocols.intake import (
    DRAIN,
    METHODS,
    SMALL_BODY,
    Served,
    absolute_target,
    body_length,
    check_host,
    check_length,
    check_size,
    method_error,
    refused,
)
from quintet.types import Environ, RawHeaders

StartResponse = Callable[[str, "list[tuple[str, str]]"], Any]

#: Bytes read from a body at a time.
CHUNK = 64 * 1024

_NAMES: dict[str, bytes] = {"CONTENT_TYPE": b"content-type", "CONTENT_LENGTH": b"content-length"}
_DOUBLE = ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")


def serve(app: Served, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a WSGI call."""
    return _Exchange(app, background_of(app), environ).answer(start_response)


class WSGIConnection(Connection):
    """The connection of one WSGI request; also the chunks of its body."""

    __slots__ = ("_conversation", "_input", "_left", "_version")

    def __init__(self, dispatcher: Dispatcher, environ: Environ, conversation: Conversation) -> None:
        peer, scheme = environ.get("REMOTE_ADDR") or "", environ.get("wsgi.url_scheme", "http")
        super().__init__("wsgi", peer, scheme, dispatcher.limits, dispatcher.proxies)
        self.run_sync = self._run_sync
        self._conversation = conversation
        self._input = environ["wsgi.input"]
        #: Bytes of the body to come; below zero where only the end tells.
        self._left = 0
        self._version = environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/")

    def http_version(self) -> str:
        """Return the version of HTTP of the request being answered."""
        return self._version

    def expect_body(self, length: int | None) -> None:
        """Set the length of the body; None where only its end tells."""
        self._left = -1 if length is None else length

    def read(self) -> bytes:
        """Return the next bytes of the body; empty at its end. Blocks.

        Raises:
            BadRequest: the body is truncated or malformed.
        """
        left = self._left
        if left == 0:
            return b""
        try:
            chunk: bytes = self._input.read(CHUNK if left < 0 else min(left, CHUNK))
        except Exception as exc:
            raise BadRequest("the body is truncated or malformed", headers={"connection": "close"}) from exc
        if left > 0:
            if not chunk:
                raise BadRequest("the body is truncated", headers={"connection": "close"})
            self._left = left - len(chunk)
        elif not chunk:
            self._left = 0
        return chunk

    def read_small(self) -> bytes:
        """Return the whole body. Blocks.

        Raises:
            BadRequest: it is truncated or malformed.
        """
        chunk = self.read()
        if not self._left:
            return chunk
        chunks = [chunk]
        while self._left:
            chunks.append(self.read())
        return b"".join(chunks)

    def drain(self) -> None:
        """Read what nobody has read of a body, unless it is long: some servers cut the answer short otherwise."""
        try:
            while 0 < self._left <= DRAIN:
                self.read()
        except BadRequest:
            self._left = 0

    async def _run_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a blocking function in the server's thread."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # this is the server's thread
            return function(*args, **kwargs)
        return await self._conversation.run_function(partial(function, *args, **kwargs))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk of the body.

        Raises:
            BadRequest: the body is truncated or malformed.
        """
        chunk: bytes = await self._run_sync(self.read)
        if not chunk:
            raise StopAsyncIteration
        return chunk


class _Exchange:
    """One request and its answer."""

    __slots__ = ("_app", "_background", "_context", "_conversation", "_environ", "_started", "connection", "dispatcher")

    def __init__(self, app: Served, background: Background, environ: Environ) -> None:
        self.dispatcher = dispatcher = app.dispatcher
        self._app = app
        self._background = background
        self._environ = environ
        self._context = copy_context()
        self._conversation = Conversation(background, self._context)
        self.connection = WSGIConnection(dispatcher, environ, self._conversation)
        self._started = time.monotonic() if dispatcher.access_log is not None else 0.0

    # -- the request --------------------------------------------------------------------------------------------

    def _read_head(self) -> Request:
        environ, dispatcher = self._environ, self.dispatcher
        method: str = environ["REQUEST_METHOD"]
        raw = fields_of(environ)
        fields = dict(raw)
        query: bytes = environ.get("QUERY_STRING", "").encode("latin-1")
        target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
        version = "1.0" if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" else "1.1"
        try:
            path = environ.get("PATH_INFO", "")
            check_size(raw, fields, max(len(target), len(path) + len(query)), dispatcher.limits)
            check_host(dispatcher, raw, fields, version, path)
            if target and not target.startswith("/") and "://" in target:
                _, raw = absolute_target(dispatcher, target.encode("latin-1"), raw)
                fields = dict(raw)
            elif "%" in target:
                decode_path(target.partition("?")[0].encode("latin-1"))  # what servers do not refuse
            text = _decode(path or ("/" if environ.get("SCRIPT_NAME") else ""))
            if method not in METHODS:
                raise method_error(method)
            if b"upgrade" in fields and dispatcher.find_websocket(text) is not None:
                raise NotImplementedByServer(
                    "WSGI cannot carry WebSockets: serve this app by `quintet run`, ASGI or RSGI"
                )
        except HTTPError as exc:
            return refused(dispatcher, self.connection, method, raw, exc)
        return Request(method, text, query, raw, fields, None, self.connection)

    def _find_route(self, request: Request) -> CompiledRoute:
        if request.route is not None:  # it answers an error
            return request.route
        route, request.params = self.dispatcher.find(request.method, request.path)
        request.route = route
        connection, fields, environ = self.connection, request.fields, self._environ
        try:
            length = body_length(fields)
            if length is None and b"transfer-encoding" in fields:
                # Granian ends a broken body as if it were whole.
                if not environ.get("wsgi.input_terminated") or environ.get("SERVER_SOFTWARE") == "Granian":
                    raise LengthRequired("behind this server a body needs a Content-Length")
            elif not length:
                request._body = b""  # pyright: ignore[reportPrivateUsage]
                return route
            else:
                check_length(self.dispatcher, route, length)
            connection.expect_body(length)
            if length is not None and length <= SMALL_BODY and route.kind != "mount":
                request._body = connection.read_small()  # pyright: ignore[reportPrivateUsage]
                return route
        except HTTPError as exc:
            request._body = b""  # pyright: ignore[reportPrivateUsage]
            request.route = route = self.dispatcher.refuse(exc)
            return route
        request.source = connection
        return route

    # -- the answer ---------------------------------------------------------------------------------------------

    def answer(self, start_response: StartResponse) -> Iterable[bytes]:
        """Read the request, run its handler, return the body."""
        dispatcher = self.dispatcher
        request = self._read_head()
        route = self._find_route(request)
        endpoint = cast("Any", route.endpoint(request))
        if _runs_here(self._app, dispatcher, route):
            try:
                self._context.run(endpoint.send, None)
            except StopIteration as stop:
                outcome = stop.value
            else:
                endpoint.close()
                raise RuntimeError(f"{request!r}: something in a `def` handler's route has suspended")
        else:
            outcome = self._conversation.call(endpoint)
        callbacks: list[Any] = []
        content: bytes | AsyncIterator[bytes]
        if type(outcome) is tuple:
            head, content = cast("tuple[Head, bytes]", outcome)
            status, headers, length = head.status, [*head.fields], len(content)
            if dispatcher.request_id:
                headers.append(("x-request-id", request.id))
        else:
            status, headers, content, length = self._complete(request, cast("Response[Any]", outcome))
            callbacks = outcome.after
        bodiless = status < 200 or status in (204, 304)
        if length is not None and not bodiless:
            headers.append(("content-length", str(length)))
        start_response(f"{status} {status_phrase(status)}", headers)
        finish = None
        if callbacks or request.after or dispatcher.access_log is not None:
            finish = partial(self._finish, request, status, callbacks)
        empty = bodiless or request.method == "HEAD"
        if not isinstance(content, bytes):
            return _Stream(self._conversation, content, finish, empty=empty)
        self.connection.drain()
        chunks = [] if empty else [content]
        return chunks if finish is None else _Chunks(chunks, finish)

    def _complete(
        self, request: Request, response: Response[Any]
    ) -> tuple[int, list[tuple[str, str]], bytes | AsyncIterator[bytes], int | None]:
        status, content = response.status or 200, response.content or b""
        headers = merge_headers(response, self.dispatcher, request)
        # PEP 3333: hop-by-hop fields are the server's.
        headers = [pair for pair in headers if pair[0] not in ("content-length", "connection")]
        if status in (204, 304):
            headers = [pair for pair in headers if pair[0] != "content-type"]
        elif "content-type" not in response.headers:  # wsgiref.validate wants one
            headers.append(("content-type", "text/plain; charset=utf-8"))
        return status, headers, content, len(content) if isinstance(content, bytes) else response.length

    def _finish(self, request: Request, status: int, callbacks: list[Any], size: int) -> None:
        """The answer has been sent."""
        if self.dispatcher.access_log is not None:
            self.dispatcher.access_log(request, status, size, time.monotonic() - self._started)
        callbacks = [*(request.after or ()), *callbacks]
        request.after = None
        if callbacks:
            self._background.submit(run_callbacks(callbacks))


class _Chunks:
    """A body of a list of chunks, with something to do at its end."""

    def __init__(self, chunks: list[bytes], finish: Callable[[int], None]) -> None:
        self._chunks = chunks
        self._finish = finish

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        """Everything has been sent, or the client has gone."""
        self._finish(sum(map(len, self._chunks)))


class _Stream:
    """A body in chunks that are made on the loop, a few ahead of the client."""

    def __init__(
        self,
        conversation: Conversation,
        chunks: AsyncIterator[bytes],
        finish: Callable[[int], None] | None,
        *,
        empty: bool,
    ) -> None:
        self._conversation = conversation
        self._finish = finish
        self._size = 0
        self._empty = empty
        conversation.open(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next chunk."""
        if self._empty:
            raise StopIteration
        try:
            chunk = self._conversation.next_chunk()
        except Exception:
            logger.error("a stream failed after its first byte")
            raise
        if chunk is None:
            raise StopIteration
        self._size += len(chunk)
        return chunk

    def close(self) -> None:
        """Everything has been sent, or the client has gone."""
        try:
            self._conversation.close()
        finally:
            finish, self._finish = self._finish, None
            if finish is not None:
                finish(self._size)


def fields_of(environ: Environ) -> RawHeaders:
    """Return the header fields of an environment."""
    raw: RawHeaders = []
    for key, value in environ.items():
        if key[:5] == "HTTP_":
            if key in _DOUBLE:
                continue
        elif key not in ("CONTENT_TYPE", "CONTENT_LENGTH") or not value:
            continue
        name = _NAMES.get(key)
        if name is None:
            name = key[5:].replace("_", "-").lower().encode("latin-1")
            if len(_NAMES) < 256:
                _NAMES[key] = name
        raw.append((name, value.encode("latin-1")))
    return raw


def _decode(path: str) -> str:
    try:
        return check_path(path.encode("latin-1").decode())
    except UnicodeError:
        raise BadRequest("the path is not valid UTF-8") from None


def _runs_here(app: Served, dispatcher: Dispatcher, route: CompiledRoute) -> bool:
    """Tell whether an endpoint runs in the server's thread, because nothing in it can suspend."""
    known = dispatcher.runs_inline.get(route.kind if route.kind == "answer" else route)
    if known is None:
        if route.kind == "answer":
            known = not app.middleware_list and not _any_async(app.error_handlers)
            dispatcher.runs_inline["answer"] = known
        else:
            known = dispatcher.runs_inline[route] = _never_suspends(route)
    return known


def _never_suspends(route: CompiledRoute) -> bool:
    plan, declared = route.plan, route.route
    if not route.is_sync or plan is None or declared is None or any(map(_any_async, declared.error_handlers)):
        return False
    if plan.body is not None and "multipart" in plan.body.accepts:  # files are written in threads of the loop
        return False
    return not any(dependency.signature.is_generator for dependency in plan.dependencies)


def _any_async(handlers: Any) -> bool:
    return any(iscoroutinefunction(handler) for handler in handlers.values())
