"""Real servers for tests: processes started by the commands that users type, on free ports, ready when they answer."""

from __future__ import annotations

import http.client
import io
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httpx2

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

#: The commands, by the name of the server; `{app}` is `module:app`.
COMMANDS: dict[str, list[str]] = {
    "native": ["quintet", "run", "{app}", "--port", "{port}"],
    "granian-rsgi": ["granian", "--interface", "rsgi", "--port", "{port}", "{app}"],
    "granian-asgi": ["granian", "--interface", "asgi", "--port", "{port}", "{app}"],
    "granian-wsgi": ["granian", "--interface", "wsgi", "--blocking-threads", "4", "--port", "{port}", "{app}"],
    "uvicorn-httptools": ["uvicorn", "--http", "httptools", "--port", "{port}", "{app}"],
    "uvicorn-h11": ["uvicorn", "--http", "h11", "--port", "{port}", "{app}"],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}", "{app}"],
    "gunicorn-sync": ["gunicorn", "--bind", "127.0.0.1:{port}", "{app}"],
    "gunicorn-threads": ["gunicorn", "--threads", "4", "--bind", "127.0.0.1:{port}", "{app}"],
    "gunicorn-preload": ["gunicorn", "--preload", "--threads", "4", "--bind", "127.0.0.1:{port}", "{app}"],
    "wsgiref-validate": [sys.executable, "-m", "tests.integration.validated", "{app}", "{port}"],
}


class Answer(NamedTuple):
    """What came back over a plain socket."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [v for n, v in self.headers if n.lower() == name]


class Server:
    """A running server process."""

    def __init__(self, name: str, app: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.port = free_port()
        command = [part.format(app=app, port=self.port) for part in COMMANDS[name]]
        if not Path(command[0]).is_absolute():
            command[0] = str(BIN / command[0])
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20, trust_env=False)

    @property
    def protocol(self) -> str:
        """How it speaks to the app."""
        if self.name == "native":
            return "native"
        if self.name.startswith(("gunicorn", "wsgiref")) or self.name.endswith("wsgi"):
            return "wsgi"
        return "rsgi" if self.name.endswith("rsgi") else "asgi"

    def wait(self, timeout: float = 30) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.client.get("/")
                return
            except httpx2.TransportError:
                ended = self.process.poll()
                if ended is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()}") from None
                time.sleep(0.05)

    def stop(self) -> str:
        """End it in order and return what it has written."""
        self.client.close()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"{self.name} did not stop:\n{self.log.read_text()}") from None
        return self.log.read_text()

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def send(self, data: bytes, *, end: bool = False, method: str = "GET") -> Answer | None:
        """Send bytes and return the answer, or None where the connection is closed without one.

        Args:
            data: the request.
            end: close the sending side behind it.
            method: the request's method, which says whether the answer has a body.
        """
        with self.connect() as sock:
            sock.sendall(data)
            if end:
                sock.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(sock, method=method)
            try:
                response.begin()
                return Answer(response.status, response.getheaders(), response.read())
            except (http.client.BadStatusLine, ConnectionResetError):
                return None
            finally:
                response.close()

    def target(self, target: str, *fields: str, method: str = "GET") -> Answer | None:
        """Ask for a target that clients would tidy up."""
        lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *fields]
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1"), method=method)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def read_until(sock: socket.socket, text: bytes) -> bytes:
    """Read until `text` has come."""
    out = io.BytesIO()
    while text not in out.getvalue():
        chunk = sock.recv(65536)
        if not chunk:
            break
        out.write(chunk)
    return out.getvalue()
