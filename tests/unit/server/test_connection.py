"""One connection as a state machine: whatever happens in whatever order, a few things always hold."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, ClassVar
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quintet.app import Application
from quintet.http.limits import Limits
from quintet.http.request import Request
from quintet.http.response import Stream
from quintet.protocols import native, native_answers, native_server
from quintet.protocols.native_server import NativeServer
from quintet.server.http1 import Http1Protocol

LIMITS = Limits(body=2000, url=300, header_block=2000, pipeline=3, header_timeout=30, body_timeout=30, keep_alive=20)
#: More than any deadline of a client that does nothing.
LONG = 100.0
#: Bytes that a client may leave before the server is told to wait.
HIGH_WATER = 600
app = Application(request_id=False, limits=LIMITS)


class World:
    """What handlers do and wait for, and what has happened to them."""

    current: ClassVar[World]

    def __init__(self) -> None:
        self.gates: list[asyncio.Future[str]] = []
        self.begun: Counter[int] = Counter()
        self.active: set[int] = set()

    async def gate(self) -> str:
        """Wait until the test says how to go on."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.gates.append(future)
        try:
            return await future
        finally:
            with contextlib.suppress(ValueError):
                self.gates.remove(future)

    def enter(self, number: int) -> None:
        self.begun[number] += 1
        assert not self.active, "two requests of one connection are answered at once"
        self.active.add(number)


@app.get("/now/{number}")
async def now(number: int) -> str:
    World.current.enter(number)
    World.current.active.discard(number)
    return f"<{number}>"


@app.get("/fail/{number}")
async def fail(number: int) -> str:
    World.current.begun[number] += 1
    raise RuntimeError(f"<{number}>")


async def wait(number: int) -> str:
    World.current.enter(number)
    try:
        if await World.current.gate() == "raise":
            raise RuntimeError("as the test wants")
        return f"<{number}>"
    finally:
        World.current.active.discard(number)


app.get("/wait/{number}")(wait)
app.post("/waits/{number}")(wait)


@app.get("/stream/{number}")
async def stream(number: int) -> Stream:
    World.current.enter(number)

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"<"
            if await World.current.gate() == "raise":
                raise RuntimeError("as the test wants")
            yield b"%d" % number
            yield b">"
        finally:
            World.current.active.discard(number)

    return Stream(chunks())


@app.post("/read/{number}")
async def read(number: int, request: Request) -> str:
    World.current.enter(number)
    try:
        async for _ in request.stream():
            pass
        return f"<{number}>"
    finally:
        World.current.active.discard(number)


class Wire(asyncio.Transport):
    """A transport that keeps asyncio's rules, with a client that reads when the test says so."""

    def __init__(self, protocol: Http1Protocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.protocol, self.loop = protocol, loop
        self.written = b""
        self.reading = True
        self.closing = self.cut = self.lost = self.ended = False
        self.stalled = self.paused = False
        self.unsent = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def write(self, data: bytes) -> None:  # type: ignore[override]
        assert not self.closing, "written after the connection was closed"
        assert not self.ended, "written after the end of the answers"
        self.written += data
        if self.stalled:
            self.unsent += len(data)
            if self.unsent > HIGH_WATER and not self.paused:
                self.paused = True
                self.protocol.pause_writing()

    def drain(self) -> None:
        """The client reads on."""
        self.stalled, self.unsent = False, 0
        if self.closing:
            self.loop.call_soon(self.lose)
        elif self.paused:
            self.paused = False
            self.protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self.unsent:
                self.loop.call_soon(self.lose)

    def abort(self) -> None:
        self.closing = self.cut = True
        self.loop.call_soon(self.lose)

    def lose(self) -> None:
        if not self.lost:
            self.closing = self.lost = True
            self.protocol.connection_lost(None)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Clock:
    """The time of the server."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.passed

    def time(self) -> float:
        return time.time() + self.passed


KINDS = st.sampled_from(
    ["now", "now", "wait", "work", "stream", "read", "read chunked", "fail", "bad", "odd", "close", "HEAD", "1.0"]
)


def request(kind: str, number: int, size: int) -> bytes:
    """Return a request of a kind."""
    if kind in ("now", "wait", "stream", "fail", "close"):
        last = "Connection: close\r\n" if kind == "close" else ""
        path = "now" if kind == "close" else kind
        return f"GET /{path}/{number} HTTP/1.1\r\nHost: a\r\n{last}\r\n".encode()
    if kind == "HEAD":
        return f"HEAD /now/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    if kind == "1.0":
        return f"GET /now/{number} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".encode()
    if kind == "read chunked":
        start = f"POST /read/{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        return start + b"".join(b"%x\r\n%b\r\n" % (n, b"x" * n) for n in (1, size + 1)) + b"0\r\n\r\n"
    if kind in ("read", "work"):
        return f"POST /{kind}/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size
    if kind == "odd":
        return f"GET /nothing/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    return b"GET /bad path HTTP/1.1\r\n\r\n"


class Connection(RuleBasedStateMachine):
    """A client that sends, stalls and goes away; handlers that end in every way; time; a server that stops."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        logging.disable()  # failures are logged, and there are thousands
        self.patches = contextlib.ExitStack()
        self.patches.callback(logging.disable, logging.NOTSET)
        for module in (native, native_answers, native_server):
            self.patches.enter_context(mock.patch.object(module, "time", self.clock))
        self.world = World.current = World()
        self.numbers = 0
        self.sent: list[tuple[int, str]] = []
        #: What the client has sent and the server not read.
        self.pending = b""
        self.half_closed = self.told_end = False
        #: The client has sent a part of something, and sends nothing more.
        self.stuck = False

        async def connect() -> None:
            self.server = NativeServer(app.dispatcher, self.loop)
            self.protocol = Http1Protocol(self.server)
            self.wire = Wire(self.protocol, self.loop)
            self.protocol.connection_made(self.wire)

        self.loop.run_until_complete(connect())
        self.turn()

    def turn(self, times: int = 4) -> None:
        """Let the loop turn, and deliver what the client has sent where the server reads."""

        async def main() -> None:
            for _ in range(times):
                await asyncio.sleep(0)
                self.deliver()

        self.loop.run_until_complete(main())

    def deliver(self) -> None:
        wire = self.wire
        if wire.closing or not wire.reading:
            return
        if self.pending:
            data, self.pending = self.pending, b""
            self.protocol.data_received(data)
        elif self.half_closed and not self.told_end:
            self.told_end = True
            if not self.protocol.eof_received():
                wire.close()

    def is_open(self) -> bool:
        return not self.wire.closing

    # -- what the client does -----------------------------------------------------------------------------------

    @precondition(lambda self: not self.half_closed and not self.stuck)
    @rule(kind=KINDS, size=st.integers(0, 60), cut=st.integers(0, 200), whole=st.booleans())
    def send(self, kind: str, size: int, cut: int, whole: bool) -> None:
        self.numbers += 1
        self.sent.append((self.numbers, kind))
        data = request(kind, self.numbers, size)
        first = data if whole else data[: cut % len(data)]
        self.pending += first
        self.turn()
        self.rest = data[len(first) :]
        if self.rest:
            self.sending_rest()

    def sending_rest(self) -> None:
        """Send the rest of the request; it may come after anything, but before another request."""
        self.pending += self.rest
        self.turn()

    @precondition(lambda self: not self.half_closed and not self.stuck)
    @rule(kind=KINDS, cut=st.integers(1, 200))
    def send_half_a_request(self, kind: str, cut: int) -> None:
        """What is never finished; nothing is sent after it."""
        self.numbers += 1
        self.sent.append((self.numbers, kind))
        data = request(kind, self.numbers, 50)
        self.pending += data[: max(1, cut % len(data))]
        self.stuck = True
        self.turn()

    @precondition(lambda self: not self.half_closed)
    @rule()
    def half_close(self) -> None:
        self.half_closed = True
        self.turn()

    @precondition(lambda self: not self.wire.lost)
    @rule()
    def go_away(self) -> None:
        self.wire.lose()
        self.turn()

    @precondition(lambda self: not self.wire.stalled and self.is_open())
    @rule()
    def stop_reading(self) -> None:
        self.wire.stalled = True

    @precondition(lambda self: self.wire.stalled)
    @rule()
    def read_on(self) -> None:
        self.wire.drain()
        self.turn()

    # -- what handlers, time and the server do ------------------------------------------------------------------

    @precondition(lambda self: self.world.gates)
    @rule(how=st.sampled_from(["go on", "go on", "raise"]), turns=st.integers(0, 3))
    def let_a_handler_go_on(self, how: str, turns: int) -> None:
        gate = self.world.gates[0]
        if not gate.done():
            gate.set_result(how)
        self.turn(turns + 1)

    @rule(turns=st.integers(1, 5))
    def let_the_loop_turn(self, turns: int) -> None:
        self.turn(turns)

    @rule(seconds=st.sampled_from([1.0, 15.0, 25.0, 45.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.tick(seconds)

    def tick(self, seconds: float) -> None:
        self.clock.passed += seconds

        async def main() -> None:
            timer = self.server._timer
            assert timer is not None
            timer.cancel()
            self.server._tick()

        self.loop.run_until_complete(main())
        self.turn()

    @precondition(lambda self: not self.server.stopping)
    @rule()
    def stop_the_server(self) -> None:
        async def main() -> None:
            self.server.stopping = True
            for connection in list(self.server.connections):
                connection.close_when_idle()

        self.loop.run_until_complete(main())
        self.turn()

    # -- what always holds --------------------------------------------------------------------------------------

    def markers(self) -> list[int]:
        """Return the numbers of the answers that have one, in the order in which they were written."""
        return [int(n) for n in re.findall(rb"<(?:\r\n[0-9a-f]+\r\n)?(\d+)", self.wire.written)]

    @invariant()
    def answers_come_in_order_and_once(self) -> None:
        found = self.markers()
        assert found == sorted(set(found)), "answers out of order, or twice"
        assert set(found) <= {n for n, _ in self.sent}
        heads = len(re.findall(rb"HTTP/1\.1 [2-5]\d\d ", self.wire.written))
        assert heads <= len(self.sent) + 1, "more answers than requests"

    @invariant()
    def no_handler_runs_twice(self) -> None:
        assert all(times == 1 for times in self.world.begun.values())
        assert len(self.protocol.queue) <= LIMITS.pipeline * 20

    @invariant()
    def connections_are_known_while_they_live(self) -> None:
        assert (self.protocol in self.server.connections) == (not self.wire.lost)

    @invariant()
    def whoever_waits_for_the_client_has_a_deadline(self) -> None:
        protocol = self.protocol
        if self.is_open() and protocol.busy is None and not protocol.queue:
            assert protocol.deadline < self.server.now + LONG, "an idle connection stays for ever"

    def teardown(self) -> None:
        try:
            self.end()
        finally:
            self.patches.close()
            self.server.close()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.turn(8)
            self.loop.close()

    def end(self) -> None:
        """A client that does nothing more loses its connection, and nothing is left of it."""
        for _ in range(len(self.sent) + 2):  # each of its requests has a deadline of its own
            self.tick(LONG)
            self.turn(6)
        assert self.wire.lost or self.protocol._sending, "the connection of a silent client stays"
        # What may still wait is a stream that says nothing for long, and a handler whose client has gone.
        for _ in range(len(self.sent) + 2):
            for gate in list(self.world.gates):
                gate.set_result("go on")
            self.tick(LONG)
            self.turn(6)
        self.answers_come_in_order_and_once()
        self.no_handler_runs_twice()
        assert self.wire.lost, "the connection of a silent client stays"
        assert not self.world.active, "a handler is left"
        assert not self.world.gates
        assert not self.server.connections
        assert not self.server.driver.running, "a task is left"
        tasks = [t for t in asyncio.all_tasks(self.loop) if not t.done()]
        assert len(tasks) <= self.server.driver._spares, tasks


@pytest.mark.filterwarnings("ignore:.*was never awaited")
class TestConnection(Connection.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


def test_a_kept_connection_has_the_seconds_it_is_given_at_the_end_and_no_more() -> None:
    # A client that keeps its connection open holds a stopping server up for as long as it may ask once more.
    machine = Connection()
    machine.begin()
    machine.sent.append((1, "now"))
    machine.protocol.data_received(request("now", 1, 0))
    machine.turn()
    assert machine.wire.written.endswith(b"<1>")
    machine.protocol.close_when_idle(1.0)
    machine.tick(0.9)
    assert not machine.wire.closing
    machine.tick(0.2)
    assert machine.wire.closing
    machine.turn()
    machine.teardown()
