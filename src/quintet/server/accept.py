"""Taking connections from a listening socket that several workers share.

All idle workers are woken by a new connection, and the quickest one, which is mostly the same, would take it and all
that follow. So a worker that has more connections than another leaves a new one to that other for a moment.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

logger = logging.getLogger("quintet.server")

#: Seconds for which a worker that is ahead leaves connections to others.
TURN = 0.002
#: Connections in a second beyond which nobody waits: so many come and go that they spread by themselves.
MANY = 200


class Acceptor:
    """Takes connections for one worker of several.

    Args:
        loop: the worker's loop.
        sockets: the listening sockets.
        factory: makes a protocol.
        is_ahead: tells, given how many connections are being opened, whether another worker has fewer.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        factory: Callable[[], asyncio.BaseProtocol],
        is_ahead: Callable[[int], bool],
    ) -> None:
        self._loop = loop
        self._sockets = list(sockets)
        self._factory = factory
        self._is_ahead = is_ahead
        self._opening: set[asyncio.Task[None]] = set()
        self._taken = 0
        self._timers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._second = loop.call_later(1.0, self._begin_second)
        for sock in self._sockets:
            loop.add_reader(sock.fileno(), self._take, sock)

    def close(self) -> None:
        """Take no more connections."""
        self._second.cancel()
        for timer in self._timers.values():
            timer.cancel()
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    async def settle(self) -> None:
        """Wait until the connections taken so far are open, for a second at most."""
        if self._opening:
            await asyncio.wait(self._opening, timeout=1.0)

    def _begin_second(self) -> None:
        self._taken = 0
        self._second = self._loop.call_later(1.0, self._begin_second)

    def _take(self, listening: socket.socket) -> None:
        """Take one connection; when that puts this worker ahead, wait before the next one."""
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the client has gone
        except OSError as exc:
            logger.error("no connection can be taken: %s", exc)
            self._wait(listening, 1.0)
            return
        sock.setblocking(False)
        task = self._loop.create_task(self._open(sock))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        self._taken += 1
        if self._taken < MANY and self._is_ahead(len(self._opening)):
            self._wait(listening, TURN)

    async def _open(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, sock)
        except OSError:  # the client has gone
            sock.close()

    def _wait(self, listening: socket.socket, seconds: float) -> None:
        self._loop.remove_reader(listening.fileno())
        self._timers[listening] = self._loop.call_later(seconds, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        del self._timers[listening]
        self._loop.add_reader(listening.fileno(), self._take, listening)
