"""Deadlines and bounds of the built-in server, over real sockets and with short times."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from quintet import App
from quintet.app import Application
from quintet.http.limits import Limits
from quintet.http.request import Request
from quintet.testing import live_server

LIMITS = Limits(
    header_timeout=1,
    body_timeout=1,
    body_rate=10_000,
    handler_timeout=1,
    write_timeout=1,
    keep_alive=1,
    connections=8,
    requests=4,
    body=1 << 20,
)


def make_app() -> Application:
    app = Application(limits=LIMITS)
    ended: list[str] = []
    release = threading.Event()
    app.state.update(ended=ended, release=release)

    @app.get("/now")
    async def now() -> str:
        return "now"

    @app.get("/endless")
    async def endless() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("endless")
        return "never"

    @app.post("/stubborn")
    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        ended.append("stubborn")
        return "too late"

    @app.get("/thread")
    def thread() -> str:
        release.wait(20)
        ended.append("thread")
        return "too late"

    @app.get("/patient", timeout=20)
    async def patient() -> str:
        await asyncio.sleep(2.5)
        return "patient"

    @app.post("/upload")
    async def upload(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    @app.get("/large")
    async def large() -> bytes:
        return bytes(64 << 20)

    @app.get("/wait/{seconds}")
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "waited"

    return app


class Server:
    def __init__(self, url: str, app: Application) -> None:
        self.port = urlsplit(url).port
        self.ended: list[str] = app.state["ended"]
        self.release: threading.Event = app.state["release"]

    def connect(self, data: bytes = b"") -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=15)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(data)
        return sock

    def ask(self, data: bytes) -> tuple[int, bytes]:
        with self.connect(data) as sock:
            return answer(sock)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def answer(sock: socket.socket) -> tuple[int, bytes]:
    """Read one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += sock.recv(65536)
    return int(head.split(b" ")[1]), head + b"\r\n\r\n" + body


def wait_until(condition: Any, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    app = make_app()
    with live_server(app) as url:
        yield Server(url, app)
        app.state["release"].set()


def problem(raw: bytes) -> dict[str, Any]:
    return json.loads(raw.partition(b"\r\n\r\n")[2])


def test_a_handler_that_takes_too_long_is_cancelled_and_answered_503(server: Server) -> None:
    with server.connect(get("/endless")) as sock:
        begun = time.monotonic()
        status, raw = answer(sock)
        assert 0.9 < time.monotonic() - begun < 5
        assert status == 503
        assert b"retry-after: 1" in raw
        assert "longer than 1 s" in problem(raw)["detail"]
        wait_until(lambda: "endless" in server.ended)
        sock.sendall(get("/now"))  # the connection goes on
        assert answer(sock)[0] == 200


def test_a_handler_that_refuses_to_be_cancelled_changes_nothing_of_the_answer(server: Server) -> None:
    with server.connect(b"POST /stubborn HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n") as sock:
        assert answer(sock)[0] == 503
        wait_until(lambda: "stubborn" in server.ended)
        sock.sendall(get("/now"))
        status, raw = answer(sock)
        assert (status, raw[-3:]) == (200, b"now")


def test_a_handler_whose_client_has_gone_has_no_more_time_than_others(server: Server) -> None:
    server.ended.clear()
    with server.connect(b"POST /stubborn HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"):
        time.sleep(0.1)
    assert not server.ended  # it is not cancelled at once: a POST is to be done, whoever waits for it
    wait_until(lambda: "stubborn" in server.ended)


def test_a_thread_that_takes_too_long_is_answered_for_and_ends_by_itself(server: Server) -> None:
    status, _ = server.ask(get("/thread"))
    assert status == 503
    assert "thread" not in server.ended
    server.release.set()
    wait_until(lambda: "thread" in server.ended)


def test_a_route_may_take_longer_by_its_own_timeout(server: Server) -> None:
    status, raw = server.ask(get("/patient"))
    assert (status, raw[-7:]) == (200, b"patient")


def test_a_slow_head_is_answered_408(server: Server) -> None:
    with server.connect(b"GET /now HTTP/1.1\r\nHost: loc") as sock:
        status, raw = answer(sock)
        assert status == 408
        assert b"connection: close" in raw
        assert sock.recv(1) == b""


def test_a_head_that_drips_is_answered_408(server: Server) -> None:
    with server.connect(b"GET /now HTTP/1.1\r\n") as sock:
        sock.settimeout(0.2)
        begun = time.monotonic()
        with contextlib.suppress(TimeoutError, OSError):
            while time.monotonic() - begun < 6:
                sock.sendall(b"X-A: b\r\n")
                try:
                    data = sock.recv(65536)
                except TimeoutError:
                    continue
                assert data.startswith(b"HTTP/1.1 408")
                break
        assert time.monotonic() - begun < 5


def test_a_body_that_stops_is_answered_408(server: Server) -> None:
    head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    status, raw = server.ask(head + b"abc")
    assert status == 408
    assert b"connection: close" in raw


def test_a_body_that_drips_is_answered_408(server: Server) -> None:
    with server.connect(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n") as sock:
        begun = time.monotonic()
        sock.settimeout(0.1)
        data = b""
        while not data and time.monotonic() - begun < 8:
            sock.sendall(b"x" * 50)
            with contextlib.suppress(TimeoutError):
                data = sock.recv(65536)
        assert data.startswith(b"HTTP/1.1 408"), data
        assert time.monotonic() - begun < 6


def test_a_slow_body_above_the_least_speed_is_taken(server: Server) -> None:
    with server.connect(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n") as sock:
        for _ in range(12):
            sock.sendall(b"x" * 5000)
            time.sleep(0.25)
        status, raw = answer(sock)
        assert (status, raw[-5:]) == (200, b"60000")


def test_a_client_that_reads_nothing_is_cut_off(server: Server) -> None:
    with server.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(get("/large"))
        time.sleep(4)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(1 << 20):
                received += len(piece)
        assert received < 64 << 20


def test_a_client_that_reads_slowly_but_steadily_gets_everything(server: Server) -> None:
    with server.connect(get("/large")) as sock:
        received = 0
        while received < 64 << 20:
            received += len(sock.recv(1 << 20))
            if received % (8 << 20) < 1 << 20:
                time.sleep(0.1)


def test_an_idle_connection_is_closed(server: Server) -> None:
    with server.connect(get("/now")) as sock:
        assert answer(sock)[0] == 200
        begun = time.monotonic()
        assert sock.recv(1) == b""
        assert time.monotonic() - begun < 4


def test_one_connection_too_many_is_answered_503_at_once(server: Server) -> None:
    wait_until(lambda: server.ask(get("/now"))[0] == 200)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(server.connect(get("/wait/0.9")))
        time.sleep(0.1)
        begun = time.monotonic()
        status, raw = server.ask(get("/now"))
        assert time.monotonic() - begun < 0.5
        assert status == 503
        assert b"retry-after: 1" in raw
        assert b"connection: close" in raw
        assert problem(raw)["status"] == 503
    wait_until(lambda: server.ask(get("/now"))[0] == 200)


def test_one_waiting_request_too_many_is_answered_503_at_once(server: Server) -> None:
    wait_until(lambda: server.ask(get("/now"))[0] == 200)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(server.connect(get("/wait/0.8"))) for _ in range(4)]
        time.sleep(0.1)
        begun = time.monotonic()
        with server.connect(get("/now")) as sock:
            assert answer(sock)[0] == 503
            assert time.monotonic() - begun < 0.5
            assert [answer(w)[0] for w in waiting] == [200] * 4
            sock.sendall(get("/now"))  # the connection is kept
            assert answer(sock)[0] == 200


@pytest.mark.parametrize("path", ["nothing", "now"])
def test_a_short_body_that_nobody_wants_does_not_cost_the_connection(server: Server, path: str) -> None:
    head = f"POST /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n".encode()
    with server.connect(head) as sock:
        status, raw = answer(sock)
        assert status in (404, 405)
        assert b"connection: close" not in raw
        sock.sendall(b"01234")
        time.sleep(0.05)
        sock.sendall(b"56789" + get("/now"))
        assert answer(sock)[0] == 200


def test_a_long_body_that_nobody_wants_ends_the_connection(server: Server) -> None:
    with server.connect(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n") as sock:
        status, raw = answer(sock)
        assert status == 404
        assert b"connection: close" in raw
        assert sock.recv(1) == b""


def test_the_last_request_of_a_connection_ends_it_though_its_body_is_short(server: Server) -> None:
    head = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 10\r\n\r\n"
    with server.connect(head) as sock:
        status, raw = answer(sock)
        assert status == 404
        assert b"connection: close" in raw
        assert sock.recv(1) == b""


def test_a_probe_is_answered_however_many_requests_wait() -> None:
    app = App(limits=Limits(requests=1), docs=False)

    @app.get("/wait")
    async def wait() -> str:
        await asyncio.sleep(1)
        return "waited"

    with live_server(app) as url:
        server = Server(url, make_app())
        with server.connect(get("/wait")) as waiting:
            time.sleep(0.1)
            assert server.ask(get("/wait"))[0] == 503
            assert server.ask(get("/healthz"))[0] == 200
            assert server.ask(get("/readyz"))[0] == 200
            assert answer(waiting)[0] == 200
