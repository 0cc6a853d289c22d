"""Real server processes for tests: each host serves `module:app` on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

COMMANDS = {
    "native": ["-m", "quintet", "run", "{target}", "--port", "{port}"],
    "uvicorn": ["-m", "uvicorn", "{target}", "--port", "{port}", "--log-level", "warning"],
    "hypercorn": ["-m", "hypercorn", "{target}", "--bind", "127.0.0.1:{port}"],
    "granian-asgi": ["-m", "granian", "--interface", "asgi", "{target}", "--port", "{port}"],
    "granian-rsgi": ["-m", "granian", "--interface", "rsgi", "{target}", "--port", "{port}"],
}


class Host:
    """A server process that runs."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.port = port
        self.process = process

    @property
    def ws(self) -> str:
        """The base of its WebSocket addresses."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        """The base of its addresses."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_native(self) -> bool:
        return self.name == "native"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def running(name: str, target: str) -> Iterator[Host]:
    """Run a server around a block."""
    port = free_port()
    command = [part.format(target=target, port=port) for part in COMMANDS[name]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, f"{name} ended with {process.returncode}"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{name} does not answer"
                time.sleep(0.05)
        yield Host(name, port, process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
