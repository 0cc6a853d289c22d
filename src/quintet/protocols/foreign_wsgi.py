"""Mounted WSGI apps: their environment, their input, their call in a thread."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, cast

from quintet.errors import ClientDisconnected
from quintet.http.host import split_host
from quintet.http.request import Request
from quintet.protocols.channel import Channel, body_of
from quintet.types import Environ


def environ_of(request: Request, prefix: str, rest: str, channel: Channel) -> Environ:
    """Return the environment of a request to an app mounted at `prefix`; `rest` is the path below it."""
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
        "wsgi.input": io.BytesIO(body) if body is not None else io.BufferedReader(_input(request, channel)),
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


def _input(request: Request, channel: Channel) -> WsgiInput:
    chunks = body_of(request)

    async def take() -> bytes:
        return await anext(chunks, b"")

    return WsgiInput(take, channel.loop)


class WsgiInput(io.RawIOBase):
    """A body that arrives on the loop, read in a thread.

    Args:
        take: returns the next bytes; none at the end.
        loop: the loop on which it runs.
    """

    def __init__(self, take: Callable[[], Coroutine[Any, Any, bytes]], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._take = take
        self._loop = loop
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
                chunk = asyncio.run_coroutine_threadsafe(self._take(), self._loop).result()
            except ClientDisconnected as exc:
                raise OSError(str(exc)) from exc
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def call_wsgi(app: Callable[..., Any], environ: Environ, channel: Channel) -> None:
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
    result: Iterable[bytes] = app(environ, start_response)
    try:
        if isinstance(result, (list, tuple)) and not sent:
            last = b"".join(cast("Iterable[bytes]", result))
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
