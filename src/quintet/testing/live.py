"""A live server for tests that need one: browsers, clients in other processes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING

from quintet.server.run import Stop, new_event_loop, serve
from quintet.server.sockets import address_of, open_socket

if TYPE_CHECKING:
    from quintet.app import Application

#: Seconds that requests under way have at the end.
GRACE = 1.0


@contextlib.contextmanager
def live_server(app: Application, *, host: str = "127.0.0.1", port: int = 0) -> Generator[str]:
    """Run the built-in server in a thread, with the app's lifespan; the value is its URL.

    Args:
        app: the app.
        host: the address to listen on.
        port: the port; a free one unless given.

    Raises:
        Exception: what kept the app from starting.
    """
    sock = open_socket(host, port)
    server = _Server(app)
    thread = threading.Thread(target=server.run, args=(sock,), name="quintet-live-server", daemon=True)
    thread.start()
    server.ready.wait()
    try:
        if server.error is not None:
            raise server.error
        yield address_of(sock)
    finally:
        server.stop()
        thread.join()
        sock.close()


class _Server:
    def __init__(self, app: Application) -> None:
        self.app = app
        self.ready = threading.Event()
        self.error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Stop | None = None

    def run(self, sock: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve(sock))
        except BaseException as exc:  # noqa: BLE001 - raised in the thread of the test
            self.error = exc
        finally:
            self.ready.set()

    async def _serve(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = Stop(GRACE)
        await serve(self.app, [sock], ready=self.ready.set, stop=self._stop)

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
