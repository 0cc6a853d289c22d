"""Running an app on the built-in server: one process, one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from quintet.errors import ConfigurationError, Problem
from quintet.protocols.native import NativeServer
from quintet.server.http1 import Http1Protocol

if TYPE_CHECKING:
    from quintet.app import Application

logger = logging.getLogger("quintet.server")

#: Seconds that requests under way have after the first signal.
GRACE = 30.0


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigurationError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as exc:
        sock.close()
        raise ConfigurationError(
            Problem(
                id="server.bind",
                message=f"cannot listen on {host}:{port}: {exc.strerror or exc}",
                fix=f"stop what listens there, or choose another port, such as --port {port + 1}",
            )
        ) from None
    sock.setblocking(False)
    return sock


def open_unix_socket(path: str) -> socket.socket:
    """Return a listening Unix socket; a dead one in its place is removed.

    Raises:
        ConfigurationError: the path cannot be bound.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            finally:
                probe.close()
        sock.bind(path)
        sock.listen(2048)
    except OSError as exc:
        sock.close()
        raise ConfigurationError(
            Problem(id="server.bind", message=f"cannot listen on {path}: {exc.strerror or exc}")
        ) from None
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """Return the URL of a listening socket."""
    name: Any = sock.getsockname()
    if sock.family == getattr(socket, "AF_UNIX", None):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"


async def serve(
    app: Application,
    sockets: Sequence[socket.socket],
    *,
    grace: float = GRACE,
    ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve an app on listening sockets until a signal, or until `stop` is set.

    SIGINT and SIGTERM let requests under way finish within `grace` seconds; a second one ends at once.

    Raises:
        ConfigurationError: everything that is wrong with the app.
    """
    loop = asyncio.get_running_loop()
    stop = stop or asyncio.Event()
    await app.start()
    native = NativeServer(app.dispatcher, loop)
    servers = [await loop.create_server(lambda: Http1Protocol(native), sock=s, backlog=2048) for s in sockets]
    forced = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            forced.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, on_signal)
    # PERF: what start-up made lives as long as the process; the collector need not look at it again.
    gc.collect()
    gc.freeze()
    try:
        if ready is not None:
            ready()
        await stop.wait()
    finally:
        for server in servers:
            server.close()
        draining = asyncio.ensure_future(native.drain(grace))
        forcing = asyncio.ensure_future(forced.wait())
        await asyncio.wait((draining, forcing), return_when=asyncio.FIRST_COMPLETED)
        for connection in list(native.connections):
            connection.abort()
        for task in (draining, forcing):
            task.cancel()
        native.close()
        await app.stop()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop loop where uvloop is installed, else asyncio's own."""
    if sys.platform != "win32":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def run(app: Application, sockets: Sequence[socket.socket], *, ready: Callable[[], None] | None = None) -> None:
    """Serve an app in this process until a signal; the process is expected to end then, and ignores further ones."""

    async def main() -> None:
        await serve(app, sockets, ready=ready)
        # What is left is the interpreter's own end; a late signal must not turn a clean stop into a death.
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
