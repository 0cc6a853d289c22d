"""A server with its workers as real processes, and clients that count what fails."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.integration.command import PATIENCE, QUINTET, Command, wait_until

APP = """
import asyncio
import ctypes
import os
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator

from quintet import App, Request, WebSocket

VERSION = "one"

app = App(docs=False)
token = secrets.token_hex(16)
lock = threading.Lock()
pair = socket.socketpair()


@app.lifespan
async def life():
    yield
    with open("ended", "a") as file:
        file.write(f"{os.getpid()}\\n")


@app.get("/")
async def index() -> dict[str, str | int]:
    return {"version": VERSION, "pid": os.getpid(), "token": token, "inode": os.fstat(pair[0].fileno()).st_ino}


@app.get("/slow")
async def slow(seconds: float = 1.0) -> dict[str, int]:
    await asyncio.sleep(seconds)
    return {"pid": os.getpid()}


@app.get("/blocking")
def blocking(seconds: float = 1.0) -> dict[str, int]:
    with lock:
        time.sleep(seconds)
    return {"pid": os.getpid()}


@app.get("/stream")
async def stream(request: Request) -> AsyncIterator[str]:
    yield "begin\\n"
    while not request.connection.is_stopping():
        await asyncio.sleep(0.02)
    yield "told\\n"


@app.websocket("/ws")
async def ws(websocket: WebSocket[str, str]) -> None:
    async for message in websocket:
        await websocket.send(message)


@app.get("/exit")
async def leave(code: int = 7) -> None:
    os._exit(code)


@app.get("/segfault")
async def segfault() -> None:
    ctypes.string_at(0)


@app.get("/hang")
async def hang() -> None:
    while True:
        pass


@app.get("/hang-in-thread", inline=False)
def hang_in_thread() -> None:
    while True:
        pass


@app.post("/keep/{number}", status=201)
def keep(number: int) -> dict[str, int]:
    with open("kept", "a") as file:
        file.write(f"{number}\\n")
        file.flush()
        os.fsync(file.fileno())
    return {"kept": number}
"""


class Supervised(Command):
    """`quintet run` with workers that are quick to be replaced."""

    def __init__(self, *arguments: str, folder: Path, env: dict[str, str] | None = None) -> None:
        # A folder of control sockets of its own: tests run side by side.
        runtime = folder / "runtime"
        runtime.mkdir(exist_ok=True)
        self.folder = folder
        self.env = {"XDG_RUNTIME_DIR": str(runtime), **(env or {})}
        super().__init__("run", *arguments, folder=folder, env=self.env)

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes there are."""
        return [p for p in psutil.Process(self.pid).children() if p.status() != psutil.STATUS_ZOMBIE]

    def ask(self, path: str = "/") -> Any:
        """Ask over a connection of its own."""
        answer = self.client.get(path, headers={"connection": "close"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def quintet(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command in the same folder."""
        return subprocess.run(
            [str(QUINTET), *arguments],
            cwd=self.folder,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        done = self.quintet("status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def serving(self) -> list[int]:
        """Return the processes that serve."""
        return [worker["pid"] for worker in self.status()["workers"] if worker["state"] == "serving"]

    def cut(self, path: str) -> None:
        """Send a request that its worker does not survive."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert sock.recv(100) == b""

    def kill_all(self) -> None:
        """Kill every process at once, as a power cut would."""
        workers = self.workers()
        for process in [psutil.Process(self.pid), *workers]:
            process.send_signal(signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: all(map(has_ended, workers)))


def has_ended(process: psutil.Process) -> bool:
    """Whether a process runs no more. One whose parent died may stay a zombie until process 1 gets round to it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Load:
    """Constant requests on kept and on new connections, in threads; counts what is answered and what is not."""

    def __init__(self, port: int, *, kept: int = 2, new: int = 2) -> None:
        self.port = port
        self.answered = 0
        self.failures: list[str] = []
        self.versions: set[str] = set()
        self.pids: set[int] = set()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n < kept,)) for n in range(kept + new)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def wait(self, count: int) -> None:
        """Wait for so many more answers."""
        goal = self.answered + count
        wait_until(lambda: self.answered >= goal or bool(self.failures))

    def _run(self, kept: bool) -> None:
        sock = None
        while not self._ending.is_set():
            try:
                if sock is None:
                    sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
                head, body = self._exchange(sock, kept)
                data = json.loads(body)
                self.versions.add(data["version"])
                self.pids.add(data["pid"])
                self.answered += 1
                if b"connection: close" in head or not kept:
                    sock.close()
                    sock = None
            except (OSError, ValueError) as exc:
                self.failures.append(repr(exc))
                if sock is not None:
                    sock.close()
                    sock = None
            time.sleep(0.005)
        if sock is not None:
            sock.close()

    def _exchange(self, sock: socket.socket, kept: bool) -> tuple[bytes, bytes]:
        field = b"" if kept else b"Connection: close\r\n"
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % field)
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = sock.recv(65536)
            if not chunk:
                raise ConnectionError(f"closed after {data!r}")
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += sock.recv(65536)
        return head.lower(), body


def is_port_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def lines_of(path: Path) -> Iterator[str]:
    yield from path.read_text().splitlines() if path.exists() else ()
