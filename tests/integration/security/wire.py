"""Raw HTTP/1.1 over a socket: a client that keeps no rule, and a reader that keeps them all."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

#: What must never be seen in an answer.
INTERNALS = (b"Traceback", b"hunter2", b"postgresql://", b"SELECT *", b".py", b"site-packages", b"quintet/")


class Answer(msgspec.Struct):
    """A response as it was on the wire."""

    status: int
    lines: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = True

    def header(self, name: str) -> str | None:
        values = [v for n, v in self.lines if n == name]
        return ", ".join(values) if values else None

    def json(self) -> Any:
        return json.loads(self.body)


def parse(raw: bytes, methods: Iterable[str] = ()) -> list[Answer]:
    """Return every response in `raw`; it must be made of nothing else."""
    answers: list[Answer] = []
    waiting = iter(methods)
    while raw:
        head, separator, raw = raw.partition(b"\r\n\r\n")
        assert separator, f"an incomplete head: {head[:200]!r}"
        first, *lines = head.split(b"\r\n")
        version, status, _ = first.split(b" ", 2)
        assert version == b"HTTP/1.1", first
        assert all(b"\n" not in line and b"\r" not in line for line in lines)
        pairs = [
            (n.decode("latin-1").lower(), v.strip().decode("latin-1")) for n, _, v in (x.partition(b":") for x in lines)
        ]
        answer = Answer(int(status), pairs)
        if answer.status == 100:
            answers.append(answer)
            continue
        method = next(waiting, "GET")
        if method == "HEAD" or answer.status in (204, 304):
            pass
        elif answer.header("transfer-encoding") == "chunked":
            answer.body, raw, answer.complete = _chunked(raw)
        elif (length := answer.header("content-length")) is not None:
            answer.body, raw = raw[: int(length)], raw[int(length) :]
            answer.complete = len(answer.body) == int(length)
        else:
            answer.body, raw = raw, b""
        answers.append(answer)
    return answers


def _chunked(raw: bytes) -> tuple[bytes, bytes, bool]:
    out = b""
    while True:
        size, separator, rest = raw.partition(b"\r\n")
        if not separator:
            return out, b"", False
        number = int(size, 16)
        if number == 0:
            return out, rest[2:], True
        if len(rest) < number + 2:
            return out + rest[:number], b"", False
        out, raw = out + rest[:number], rest[number + 2 :]


class Server:
    """A real `quintet run` process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def connect(self, timeout: float = 10.0) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def exchange(
        self,
        data: bytes | Iterable[bytes],
        *,
        half_close: bool = False,
        idle: float | None = None,
        timeout: float = 20.0,
        pause: float = 0.0,
    ) -> bytes:
        """Send bytes and return all that comes back, until the server closes.

        Args:
            half_close: close the sending side after the data.
            idle: stop after so many seconds of silence, for connections that stay open.
            pause: seconds between pieces.
        """
        received: list[bytes] = []
        with self.connect(timeout) as sock:
            # An early answer may come, and the connection end, before everything is sent: that is the server's right.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for piece in [data] if isinstance(data, bytes) else data:
                    sock.sendall(piece)
                    if pause:
                        time.sleep(pause)
                if half_close:
                    sock.shutdown(socket.SHUT_WR)
            if idle is not None:
                sock.settimeout(idle)
            with contextlib.suppress(ConnectionResetError):
                while True:
                    try:
                        piece = sock.recv(1 << 20)
                    except TimeoutError:
                        if idle is None:
                            raise
                        break
                    if not piece:
                        break
                    received.append(piece)
        return b"".join(received)

    def send(
        self,
        method: str,
        target: str | bytes,
        headers: Iterable[tuple[str, str | bytes]] = (),
        body: bytes = b"",
        *,
        host: str = "localhost",
    ) -> Answer:
        """Send one well-framed request and return its only answer."""
        raw = b"%b %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n" % (
            method.encode(),
            target.encode() if isinstance(target, str) else target,
            host.encode(),
        )
        for name, value in headers:
            raw += b"%b: %b\r\n" % (name.encode(), value.encode("latin-1") if isinstance(value, str) else value)
        if body or method in ("POST", "PUT", "PATCH"):
            raw += b"Content-Length: %d\r\n" % len(body)
        answers = parse(self.exchange(raw + b"\r\n" + body), [method])
        assert len(answers) == 1, answers
        check_clean(answers[0])
        return answers[0]

    def get(self, target: str | bytes, *headers: tuple[str, str | bytes], host: str = "localhost") -> Answer:
        return self.send("GET", target, headers, host=host)

    def post(
        self, target: str, body: bytes, content_type: str = "application/json", *headers: tuple[str, str]
    ) -> Answer:
        return self.send("POST", target, [("content-type", content_type), *headers] if content_type else headers, body)

    def probe(self) -> dict[str, Any]:
        answer = self.send("GET", "/probe")
        assert answer.status == 200
        return answer.json()

    def raw(self, data: bytes | Iterable[bytes], **options: Any) -> list[Answer]:
        """Send bytes as they are; return the answers, each checked."""
        answers = parse(self.exchange(data, **options))
        for answer in answers:
            check_clean(answer)
        return answers

    def cost(self, action: Callable[[], object], times: int = 3) -> float:
        """Return the least CPU seconds the server spent on `action`."""
        costs: list[float] = []
        for _ in range(times):
            before = self.probe()["cpu"]
            action()
            costs.append((self.probe()["cpu"] - before) / 1e9)
        return min(costs)

    def check_linear(self, attack: Callable[[int], object], size: int, most: float = 0.2) -> None:
        """Check the timing rule: eight times the input costs less than sixteen times the CPU, and at most `most` s."""
        attack(size)
        small, large = self.cost(lambda: attack(size)), self.cost(lambda: attack(8 * size))
        assert large < most, f"{large:.3f} s of CPU for {8 * size}"
        assert large < 0.02 or large < 16 * max(small, 0.0005), (
            f"{small:.4f} s for {size}, {large:.4f} s for {8 * size}"
        )

    def records(self) -> list[dict[str, Any]]:
        """Return the log so far; every line of it must be one record, but for the line that names the address."""
        return [
            json.loads(line)
            for line in self.log.read_text().split("\n")
            if line and not line.startswith("Quintet serves")
        ]

    def settle(self) -> None:
        """Wait until all that was logged is written: the line of one more request comes after it."""
        own = self.send("GET", "/probe").header("x-request-id") or ""
        deadline = time.monotonic() + 20
        while f'"{own}"' not in self.log.read_text():
            assert time.monotonic() < deadline, "the line of a request does not come"
            time.sleep(0.01)

    @contextlib.contextmanager
    def logging(self) -> Iterator[list[dict[str, Any]]]:
        """Give, after the block, the records that were written in it."""
        self.settle()
        before = len(self.records())
        found: list[dict[str, Any]] = []
        yield found
        self.settle()
        found += [r for r in self.records()[before:] if r.get("target") != "/probe"]


def warnings(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records at WARNING or above."""
    return [r for r in records if r["level"] in ("warning", "error", "critical")]


def check_clean(answer: Answer) -> None:
    """Nothing of the server's inside may be seen."""
    for secret in INTERNALS:
        assert secret not in answer.body, answer.body[:2000]
        assert all(secret.decode() not in value for _, value in answer.lines), answer.lines


def head(method: str = "GET", target: str = "/echo", *lines: str | bytes, host: bool = True) -> bytes:
    """Return a request head with the lines given."""
    out = f"{method} {target} HTTP/1.1\r\n".encode()
    if host:
        out += b"Host: localhost\r\n"
    for line in lines:
        out += (line.encode("latin-1") if isinstance(line, str) else line) + b"\r\n"
    return out + b"\r\n"
