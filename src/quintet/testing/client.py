"""The test clients: httpx2's, over a transport that calls an app through the built-in server's protocol, in process.

Nothing listens on a port; parsing, limits, routing and writing are what `quintet run` does.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context, copy_context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import httpx2

from quintet.testing._exchange import Exchange, Link, ResponseStream
from quintet.testing._portal import Portal
from quintet.testing.websocket import (
    AsyncWebSocketContext,
    AsyncWebSocketSession,
    WebSocketSession,
    websocket_headers,
)

if TYPE_CHECKING:
    from httpx2._types import AuthTypes, CookieTypes, HeaderTypes, QueryParamTypes, TimeoutTypes

    from quintet.app import Application

#: Where requests go unless told otherwise. `https`, so that cookies marked Secure come back as in production.
BASE_URL = "https://testserver"
#: The address that the app sees as its client.
PEER = ("127.0.0.1", 50000)

_END = object()


class Lifespan:
    """Runs an app's lifespan in one task, whichever tasks start and stop it."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None
        #: What the lifespan has set; requests begin with it.
        self.context: Context | None = None

    async def start(self) -> None:
        """Start the app.

        Raises:
            Exception: what its lifespan raises, and ConfigurationError for what is wrong with it.
        """
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run(started, self._stop))
        await asyncio.wait((started, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            task, self._task = self._task, None
            await task

    async def _run(self, started: asyncio.Future[None], stop: asyncio.Event) -> None:
        async with self._app.running():
            self.context = copy_context()
            started.set_result(None)
            await stop.wait()

    async def stop(self) -> None:
        """Stop the app.

        Raises:
            Exception: what its lifespan raises.
        """
        task, self._task = self._task, None
        if task is not None and self._stop is not None:
            self._stop.set()
            await task


class _Caller:
    """Carries requests to an app; shared by both transports."""

    def __init__(self, app: Application, peer: tuple[str, int], reraise: bool) -> None:
        self.app = app
        self.peer = peer
        self.reraise = reraise
        self.lifespan = Lifespan(app)

    def link(self, scheme: str) -> Link:
        context = self.lifespan.context
        return Link(
            self.app,
            scheme=scheme,
            peer=self.peer,
            context=context.copy() if context is not None else Context(),
        )

    async def send(self, request: httpx2.Request, body: AsyncIterator[bytes] | None = None) -> httpx2.Response:
        return await Exchange(self.link(request.url.scheme), request, body, self.reraise).run()


class _AsyncTransport(httpx2.AsyncBaseTransport):
    def __init__(self, caller: _Caller) -> None:
        self.caller = caller

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self.caller.send(request)


class _SyncStream(httpx2.SyncByteStream):
    """The body of an answer, read through a portal."""

    def __init__(self, stream: ResponseStream, portal: Portal) -> None:
        self._stream = stream
        self._portal = portal

    def __iter__(self) -> Iterator[bytes]:
        chunks = aiter(self._stream)

        async def following() -> Any:
            return await anext(chunks, _END)

        while (chunk := self._portal.call(following())) is not _END:
            yield chunk

    def close(self) -> None:
        self._portal.call(self._stream.aclose())


class _SyncTransport(httpx2.BaseTransport):
    def __init__(self, caller: _Caller, portal: Portal) -> None:
        self.caller = caller
        self.portal = portal

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        stream = request.stream
        body = None if isinstance(stream, httpx2.AsyncByteStream) else _read_in_thread(cast("Any", stream))
        response = self.portal.call(self.caller.send(request, body))
        if isinstance(response.stream, ResponseStream):
            response.stream = _SyncStream(response.stream, self.portal)
        return response


async def _read_in_thread(stream: httpx2.SyncByteStream) -> AsyncIterator[bytes]:
    """Yield the chunks of a synchronous body, which may block, without stalling the app's loop."""
    loop = asyncio.get_running_loop()
    chunks = iter(stream)
    while True:
        chunk: Any = await loop.run_in_executor(None, next, chunks, _END)
        if chunk is _END:
            return
        yield chunk


class _SyncWebSocketContext(AbstractContextManager[WebSocketSession]):
    def __init__(self, context: AsyncWebSocketContext, portal: Portal) -> None:
        self._context = context
        self._portal = portal

    def __enter__(self) -> WebSocketSession:
        return WebSocketSession(self._portal.call(self._context.__aenter__()), self._portal)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._portal.call(self._context.__aexit__(kind, exc, traceback))


def _replacement(value: Any) -> Callable[..., Any]:
    """Return a dependency: the function itself, or one that returns the value."""
    if inspect.isroutine(value) or inspect.isclass(value):
        return value
    return lambda: value


class AsyncClient(httpx2.AsyncClient):
    """An httpx2 client that calls an app in process.

    As a context manager it runs the app's lifespan; without, requests work, but what lives as long as the app is not
    there.

    Args:
        app: the app.
        base_url: what is put in front of paths; its scheme and host are what the app sees.
        raise_server_exceptions: raise what a handler raised unexpectedly, instead of returning the 500.
        peer: the address and port that the app sees as its client.
        headers, cookies, params, auth, follow_redirects, timeout: defaults for requests, as in httpx2. There is no
            time limit unless one is given.
    """

    def __init__(
        self,
        app: Application,
        *,
        base_url: str = BASE_URL,
        raise_server_exceptions: bool = True,
        peer: tuple[str, int] = PEER,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        params: QueryParamTypes | None = None,
        auth: AuthTypes | None = None,
        follow_redirects: bool = False,
        timeout: TimeoutTypes = None,
    ) -> None:
        #: The app under test.
        self.app = app
        self._caller = _Caller(app, peer, raise_server_exceptions)
        super().__init__(
            transport=_AsyncTransport(self._caller),
            base_url=base_url,
            headers=headers,
            cookies=cookies,
            params=params,
            auth=auth,
            follow_redirects=follow_redirects,
            timeout=timeout,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await self._caller.lifespan.start()
        except BaseException:
            await super().__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            await super().__aexit__(exc_type, exc_value, traceback)
        finally:
            await self._caller.lifespan.stop()

    def websocket(  # pyright: ignore[reportIncompatibleMethodOverride] - httpx2's is for real networks
        self,
        url: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        params: QueryParamTypes | None = None,
    ) -> AbstractAsyncContextManager[AsyncWebSocketSession]:
        """Open a WebSocket for the time of an `async with` block.

        Raises:
            WebSocketRefused: when the block is entered; the app answered the handshake with a response.
        """
        fields = websocket_headers(headers, subprotocols)
        request = self.build_request("GET", url, headers=fields, cookies=cookies, params=params)
        return AsyncWebSocketContext(partial(self._caller.link, request.url.scheme), request, self._caller.reraise)

    def override(self, dependency: Any, replacement: Any) -> AbstractContextManager[None]:
        """Put something in the place of a dependency or provided type, for the time of a `with` block.

        A function or class is called as the dependency was; anything else is the value itself.
        """
        return self.app.override(dependency, _replacement(replacement))


class Client(httpx2.Client):
    """An httpx2 client that calls an app in process, from synchronous code.

    The app runs on an event loop in a thread of the client's own. As a context manager it runs the app's lifespan;
    without, requests work, but what lives as long as the app is not there.

    Args:
        app: the app.
        base_url, raise_server_exceptions, peer, headers, cookies, params, auth, follow_redirects, timeout:
            see `AsyncClient`.
    """

    def __init__(
        self,
        app: Application,
        *,
        base_url: str = BASE_URL,
        raise_server_exceptions: bool = True,
        peer: tuple[str, int] = PEER,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        params: QueryParamTypes | None = None,
        auth: AuthTypes | None = None,
        follow_redirects: bool = False,
        timeout: TimeoutTypes = None,
    ) -> None:
        #: The app under test.
        self.app = app
        self._caller = _Caller(app, peer, raise_server_exceptions)
        self._portal = Portal()
        super().__init__(
            transport=_SyncTransport(self._caller, self._portal),
            base_url=base_url,
            headers=headers,
            cookies=cookies,
            params=params,
            auth=auth,
            follow_redirects=follow_redirects,
            timeout=timeout,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._portal.call(self._caller.lifespan.start())
        except BaseException:
            super().__exit__(None, None, None)
            self._portal.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            super().__exit__(exc_type, exc_value, traceback)
        finally:
            try:
                self._portal.call(self._caller.lifespan.stop())
            finally:
                self._portal.close()

    def close(self) -> None:
        """End the client and its thread."""
        super().close()
        self._portal.close()

    def websocket(  # pyright: ignore[reportIncompatibleMethodOverride] - httpx2's is for real networks
        self,
        url: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        params: QueryParamTypes | None = None,
    ) -> AbstractContextManager[WebSocketSession]:
        """Open a WebSocket for the time of a `with` block.

        Raises:
            WebSocketRefused: when the block is entered; the app answered the handshake with a response.
        """
        fields = websocket_headers(headers, subprotocols)
        request = self.build_request("GET", url, headers=fields, cookies=cookies, params=params)
        return _SyncWebSocketContext(
            AsyncWebSocketContext(partial(self._caller.link, request.url.scheme), request, self._caller.reraise),
            self._portal,
        )

    def override(self, dependency: Any, replacement: Any) -> AbstractContextManager[None]:
        """Put something in the place of a dependency or provided type, for the time of a `with` block.

        A function or class is called as the dependency was; anything else is the value itself.
        """
        return self.app.override(dependency, _replacement(replacement))
