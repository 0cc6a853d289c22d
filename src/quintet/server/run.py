"""Running an app on the built-in server: one process, one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from quintet.errors import ConfigurationError, Problem
from quintet.protocols.native_server import NativeServer
from quintet.server.accept import Acceptor
from quintet.server.hosted_app import HostedApp
from quintet.server.http1 import Http1Protocol
from quintet.server.settings import IDLE_STOPPED, LoopKind
from quintet.server.signals import ignore_signals
from quintet.server.sockets import BACKLOG

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.server.certificates import Certificates

logger = logging.getLogger("quintet.server")

#: Seconds that requests under way have after the first signal.
GRACE = 30.0
#: The most file descriptors that a process asks for, and those it keeps for what is no connection of a client.
MOST_DESCRIPTORS = 65_536
SPARE_DESCRIPTORS = 128
#: What ends a server.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Says to a server that it is to end, and how much time it has."""

    def __init__(self, grace: float = GRACE, idle: float = 0.0) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()
        #: Seconds that requests under way have.
        self.grace = grace
        #: Seconds that a connection without a request stays open for one more.
        self.idle = min(idle, grace)

    def set(self) -> None:
        """End in order."""
        self.asked.set()

    def force(self) -> None:
        """End at once, and cut what is under way."""
        self.asked.set()
        self.forced.set()

    def on_signal(self) -> None:
        """End in order; at once, where that was asked for before."""
        if self.asked.is_set():
            self.force()
        self.set()


def new_server(
    app: Application | HostedApp, loop: asyncio.AbstractEventLoop, *, is_full: Callable[[], bool] | None = None
) -> tuple[NativeServer, Callable[[], Http1Protocol]]:
    """Return what the connections of a loop to `app` share, and what makes one of them."""
    if isinstance(app, HostedApp):
        return app.new_server(loop, is_full=is_full)
    native = NativeServer(app.dispatcher, loop, is_full=is_full)
    return native, lambda: Http1Protocol(native)


async def serve(
    app: Application | HostedApp,
    sockets: Sequence[socket.socket],
    *,
    grace: float = GRACE,
    ready: Callable[[], None] | None = None,
    stop: Stop | None = None,
    started: Callable[[], Awaitable[None]] | None = None,
    made: Callable[[NativeServer], None] | None = None,
    signals: Sequence[signal.Signals] = SIGNALS,
    is_ahead: Callable[[int], bool] | None = None,
    is_full: Callable[[], bool] | None = None,
    secure_sockets: Sequence[socket.socket] = (),
    certificates: Certificates | None = None,
    backlog: int = BACKLOG,
) -> None:
    """Serve an app on listening sockets until a signal, or until it is stopped.

    Args:
        app: the app.
        sockets: listening sockets.
        grace: seconds that requests under way have after the first signal; a second one ends at once.
        ready: called when connections are accepted.
        stop: ends the server; its own grace comes first.
        started: awaited when the app has started, before the first connection is accepted.
        made: is given what the connections share, before the first of them.
        signals: what ends the server.
        is_full: tells whether all processes together have as many connections as they may.
        secure_sockets: listening sockets on which TLS is spoken, with `certificates`.
        certificates: the certificates of those.
        backlog: connections that may wait to be accepted.
        is_ahead: where other processes listen on these sockets, tells whether one of them has fewer connections.

    Raises:
        ConfigurationError: everything that is wrong with the app.
    """
    loop = asyncio.get_running_loop()
    stop = stop or Stop(grace)
    await app.start()
    native, connect = new_server(app, loop, is_full=is_full)
    descriptors = raise_descriptor_limit()
    if descriptors is not None:
        native.most_connections = min(native.most_connections, max(1, descriptors - SPARE_DESCRIPTORS))
    if made is not None:
        made(native)
    servers: list[asyncio.AbstractServer | Acceptor] = []
    ways: list[tuple[Sequence[socket.socket], Callable[[], asyncio.BaseProtocol]]] = [(sockets, connect)]
    if certificates is not None:
        ways.append((secure_sockets, _secure(certificates, connect)))
        certificates.watch(loop)
    for number in signals:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.on_signal)
    # PERF: what start-up made lives as long as the process; the collector need not look at it again.
    gc.collect()
    gc.freeze()
    try:
        if started is not None:
            await started()
        if not stop.asked.is_set():
            for listening, make in ways:
                servers += await _listen(loop, listening, make, is_ahead, backlog)
            if ready is not None:
                ready()
        await stop.asked.wait()
    finally:
        await _close(servers)
        if certificates is not None:
            certificates.close()
        draining = asyncio.ensure_future(native.drain(stop.grace, stop.idle))
        forcing = asyncio.ensure_future(stop.forced.wait())
        await asyncio.wait((draining, forcing), return_when=asyncio.FIRST_COMPLETED)
        for connection in list(native.connections):
            connection.abort()
        for task in (draining, forcing):
            task.cancel()
        native.close()
        await app.stop()


async def _listen(
    loop: asyncio.AbstractEventLoop,
    sockets: Sequence[socket.socket],
    make: Callable[[], asyncio.BaseProtocol],
    is_ahead: Callable[[int], bool] | None,
    backlog: int,
) -> list[asyncio.AbstractServer | Acceptor]:
    if is_ahead is not None:
        return [Acceptor(loop, sockets, make, is_ahead)]
    return [await loop.create_server(make, sock=sock, backlog=backlog) for sock in sockets]


async def _close(servers: Sequence[asyncio.AbstractServer | Acceptor]) -> None:
    for server in servers:
        server.close()
    for server in servers:
        if isinstance(server, Acceptor):
            await server.settle()


def _secure(certificates: Certificates, connect: Callable[[], Http1Protocol]) -> Callable[[], asyncio.BaseProtocol]:
    from quintet.server.tls import TLSConnection

    return lambda: TLSConnection(certificates, connect)


def new_event_loop(kind: LoopKind = "auto") -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's where it is installed, unless asyncio's own is asked for.

    Raises:
        ConfigurationError: uvloop is asked for, and is not installed.
    """
    if kind != "asyncio" and sys.platform != "win32":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            return uvloop.new_event_loop()
    if kind == "uvloop":
        raise ConfigurationError(
            Problem(
                id="server.loop",
                message="uvloop is asked for, and is not installed",
                where="server.loop",
                fix="pip install uvloop (not on Windows), or leave the setting out",
            )
        )
    return asyncio.new_event_loop()


def raise_descriptor_limit() -> int | None:
    """Let this process have as many descriptors as the system allows it, and return how many; None where none says.

    Shells and service managers often give 1024, and each connection takes one.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return None if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(OSError, ValueError):  # macOS refuses more than a limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft


def run(
    app: Application | HostedApp,
    sockets: Sequence[socket.socket],
    *,
    grace: float = GRACE,
    ready: Callable[[], None] | None = None,
    secure_sockets: Sequence[socket.socket] = (),
    certificates: Certificates | None = None,
    backlog: int = BACKLOG,
    loop: LoopKind = "auto",
) -> None:
    """Serve an app in this process until a signal; the process is expected to end then, and ignores further ones."""

    async def main() -> None:
        await serve(
            app,
            sockets,
            ready=ready,
            stop=Stop(grace, IDLE_STOPPED),
            secure_sockets=secure_sockets,
            certificates=certificates,
            backlog=backlog,
        )
        for number in SIGNALS:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().remove_signal_handler(number)
        ignore_signals()

    with asyncio.Runner(loop_factory=partial(new_event_loop, loop)) as runner:
        runner.run(main())
