"""A server to break, a client that behaves well beside the fault, and figures."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2

from tests.integration.command import wait_until

ROOT = Path(__file__).resolve().parents[2]
LARGE = 50_000_000


class Target:
    """A real `quintet run` of the faults' app, with settings from the environment."""

    def __init__(self, **settings: object) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name)
        with (path / "large.bin").open("wb") as file:
            file.truncate(LARGE)
        self._log = path / "log"
        environment = {**os.environ, "FAULTS_FOLDER": self.folder.name, "PYTHONPATH": str(ROOT)}
        environment.update({f"APP_{name.upper()}": str(value) for name, value in settings.items()})
        command = [sys.executable, "-m", "quintet", "run", str(ROOT / "tests/faults/app.py"), "--port", "0"]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=path, env=environment, stdout=out, stderr=out)
        self.port = 0
        wait_until(self._is_ready, self.log)
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20, trust_env=False)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.log())
        self.port = int(found[1]) if found else 0
        return bool(found)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def probe(self) -> dict[str, Any]:
        return self.client.get("/probe").json()

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        code = self.process.wait(40)
        text = self.log()
        self.folder.cleanup()
        assert code == 0, text[-3000:]


@contextlib.contextmanager
def target(**settings: object) -> Iterator[Target]:
    """Run a target around a block."""
    running = Target(**settings)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def raise_descriptors(wanted: int) -> int:
    """Let this process and its children have so many descriptors; return how many they may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


async def ask(port: int, data: bytes, timeout: float = 30.0) -> tuple[int, bytes, float]:
    """Send bytes on a connection of their own; return status, answer and seconds. The status is 0 without an answer."""
    begin = time.perf_counter()
    received = b""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                with contextlib.suppress(OSError):
                    writer.write(data)
                    await writer.drain()
                received = await reader.read(-1)
            finally:
                writer.transport.abort()
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", received)
    return int(found[1]) if found else 0, received, time.perf_counter() - begin


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


@contextlib.asynccontextmanager
async def good_client(port: int, path: str = "/fast", pause: float = 0.02) -> AsyncIterator[list[float]]:
    """Ask again and again beside a fault; every answer must be 200. Gives the times."""
    times: list[float] = []
    wrong: list[int] = []

    async def loop() -> None:
        while True:
            status, _, seconds = await ask(port, get(path))
            times.append(seconds)
            if status != 200:
                wrong.append(status)
            await asyncio.sleep(pause)

    task = asyncio.create_task(loop())
    try:
        yield times
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert not wrong, f"the good client got {wrong[:5]}"
    assert times, "the good client got nothing"


def report(name: str, **figures: object) -> None:
    """Print what a recipe has found."""
    text = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items())
    print(f"{name}: {text}", flush=True)
