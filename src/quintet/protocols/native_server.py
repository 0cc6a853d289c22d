"""What the connections of one event loop share on the built-in server: its clock, its limits, its counters, its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from quintet.http.dates import http_date
from quintet.http.head import Head
from quintet.http.request import id_prefix
from quintet.protocols.dispatcher import Dispatcher
from quintet.protocols.drive import Driver

if TYPE_CHECKING:
    from quintet.protocols.native import NativeProtocol
    from quintet.protocols.native_answers import AnswerProtocol

#: Connections over the limit that may be told so; further ones are cut.
TOLD = 256
#: Seconds between two looks at the clock and the deadlines.
TICK = 1.0
#: A deadline that never comes.
FAR = float("inf")


class Counters:
    """What the connections of one process have done since it began, as plain numbers."""

    __slots__ = ("accepted", "answers", "body_bytes", "refused", "requests", "timeouts", "websockets")

    def __init__(self) -> None:
        #: Connections that were accepted.
        self.accepted = 0
        #: Connections and requests that were answered 503 because there were too many.
        self.refused = 0
        #: Requests that were begun.
        self.requests = 0
        #: Answers by the first digit of their status, but for those of 2xx, which are the rest of the requests.
        self.answers = [0, 0, 0, 0, 0, 0]
        #: Bytes of bodies that came in on their own, after their head.
        self.body_bytes = 0
        #: Heads, bodies, handlers and answers that took too long.
        self.timeouts = 0
        #: WebSockets that were opened.
        self.websockets = 0


class NativeServer:
    """The connections of one event loop."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        loop: asyncio.AbstractEventLoop,
        *,
        is_full: Callable[[], bool] | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.limits = limits = dispatcher.limits
        self.loop = loop
        self.driver = Driver(loop)
        self.connections: set[NativeProtocol] = set()
        #: Connections that have gone while a handler of theirs, which goes on to its end, was at work.
        self.orphans: set[AnswerProtocol] = set()
        self.counters = Counters()
        #: Handlers that have suspended and have not begun their answer.
        self.pending = 0
        self.most_pending = limits.requests or FAR
        self.handler_timeout = limits.handler_timeout or FAR
        self.most_connections = limits.connections or FAR
        #: Tells whether all workers together have as many connections as they may.
        self.is_full = is_full
        self.now = time.monotonic()
        #: The Date field, renewed every second.
        self.date = b""
        #: When a connection that is idle from now on is closed.
        self.keep_alive_deadline = 0.0
        #: The field of the request's id, but for its number.
        self.id_field = f"x-request-id: {id_prefix()}".encode()
        self.stopping = False
        #: Called every second.
        self.on_tick: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._overloaded: tuple[Head, bytes] | None = None
        self._tick()

    def _tick(self) -> None:
        self.now = now = time.monotonic()
        self.keep_alive_deadline = now + self.limits.keep_alive
        self.date = b"date: %b\r\n" % http_date(time.time()).encode()
        late = now - TICK  # deadlines are set by a clock that may be as much behind; nobody's time is cut short by that
        for connection in [c for c in self.connections if c.deadline < late]:
            connection.expire()
        for connection in [c for c in self.orphans if c.deadline < late]:
            connection.cancel()
        for function in self.on_tick:
            function()
        self._timer = self.loop.call_later(TICK, self._tick)

    def admit(self, connection: NativeProtocol) -> bool:
        """Take a connection in; False where there are too many."""
        self.counters.accepted += 1
        self.connections.add(connection)
        return len(self.connections) <= self.most_connections and (self.is_full is None or not self.is_full())

    def overloaded(self) -> tuple[Head, bytes]:
        """Return the answer to what comes while there is too much; it costs next to nothing."""
        if self._overloaded is None:
            problem: dict[str, Any] = {
                "type": "about:blank",
                "title": "Service Unavailable",
                "status": 503,
                "detail": "the server is busy; try again in a second",
            }
            head = Head(503, "application/problem+json", self.dispatcher.security, (("retry-after", "1"),))
            self._overloaded = head, msgspec.json.encode(problem)
        return self._overloaded

    async def drain(self, grace: float, idle: float = 0.0) -> None:
        """Let connections end with their next answer, and wait until all have, at most `grace` seconds.

        One without a request is closed after `idle` seconds, so that a client that sends one just now is answered.
        """
        self.stopping = True
        # Connections taken in this turn of the loop are made in the next ones.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for connection in list(self.connections):
            connection.close_when_idle(idle)
        deadline = time.monotonic() + grace
        while (self.connections or self.orphans) and time.monotonic() < deadline:  # noqa: ASYNC110 - an event would cost each connection
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        for connection in list(self.orphans):
            connection.cancel()

    def close(self) -> None:
        """Stop the clock and the parked tasks."""
        if self._timer is not None:
            self._timer.cancel()
        self.driver.close()
