"""Row R24: the clock on the wall may jump; what takes time is measured by one that only runs forward."""

from __future__ import annotations

import ast
import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx2
import pytest

import quintet
from quintet import App
from quintet.http.limits import Limits
from quintet.testing import live_server

ROOT = Path(quintet.__file__).parent
#: Where the time of day is what is wanted: Date, Last-Modified, years of two digits, stamps of the log and of rows, the
#: end of a certificate, since when something runs, the age of files and of connections, which SQLAlchemy counts so.
WALL = {
    "cli/status.py",
    "db/columns.py",
    "db/memory.py",
    "db/mixins.py",
    "db/pool.py",
    "db/queries/lean.py",
    "db/queries/lease.py",
    "http/conditional.py",
    "http/dates.py",
    "observability/access.py",
    "protocols/native_server.py",
    "server/certificates.py",
    "server/supervisor.py",
    "server/worker.py",
}
HOUR = 3600.0


def wall_clocks(path: Path) -> list[int]:
    """Return the lines that read the time of day."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr)
        in {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today")}
    ]


def test_r24_no_deadline_is_measured_by_the_time_of_day() -> None:
    found = {p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py") if wall_clocks(p)}
    assert found == WALL


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the time of day of this process forward or back."""
    real, offset = time.time, 0.0

    def shifted() -> float:
        return real() + offset

    def by(seconds: float) -> None:
        nonlocal offset
        offset = seconds

    monkeypatch.setattr(time, "time", shifted)
    return by


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_r24_connections_timeouts_and_answers_outlive_a_jump(jump: Callable[[float], None], shift: float) -> None:
    import asyncio

    app = App(limits=Limits(keep_alive=1.0))

    @app.get("/slow", timeout=5)
    async def slow() -> str:
        await asyncio.sleep(0.4)
        return "slow"

    @app.get("/late", timeout=0.3)
    async def late() -> str:
        jump(0.0)
        await asyncio.sleep(5)
        return "late"

    @app.get("/jump", timeout=5)
    async def jumping() -> str:
        jump(shift)
        await asyncio.sleep(0.4)
        return "jumped"

    with live_server(app) as url, httpx2.Client(base_url=url, timeout=10, trust_env=False) as client:
        assert client.get("/jump").text == "jumped"
        assert client.get("/slow").text == "slow"
        # The Date field follows the wall, a second later at most.
        time.sleep(1.1)
        date = parsedate_to_datetime(client.get("/slow").headers["date"]).timestamp()
        assert abs(date - time.time()) < 10
        begin = time.monotonic()
        assert client.get("/late").status_code == 503
        assert time.monotonic() - begin < 4
        jump(shift)
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as idle:
            idle.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            assert idle.recv(4096)
            begin = time.monotonic()
            assert idle.recv(4096) == b"", "an idle connection is closed all the same"
            assert 0.9 < time.monotonic() - begin < 8
