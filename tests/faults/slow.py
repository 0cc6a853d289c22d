"""R2, R3, R4: clients that send or read slowly. `python -m tests.faults.slow --connections 1000 --timeout 30`

With slowhttptest installed, `--tool` runs it against the server too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine

from tests.faults.target import Target, good_client, percentile, report, target

HEAD = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


async def drip(port: int, start: bytes, piece: bytes, pause: float) -> tuple[float, bytes]:
    """Send a start, and then a piece from time to time; return how long the server bore it, and its last words."""
    begin = time.monotonic()
    received = b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        with contextlib.suppress(OSError):
            writer.write(start)
            while True:
                await asyncio.sleep(pause)
                writer.write(piece)
                await writer.drain()

    sending = asyncio.create_task(send())
    with contextlib.suppress(OSError):
        received = await reader.read(-1)
    sending.cancel()
    writer.transport.abort()
    return time.monotonic() - begin, received


async def leave_unread(server: Target, count: int, path: str, most: float) -> tuple[float, int]:
    """Ask for much over many connections, and read next to nothing.

    Returns how long the server held the last of them, and the memory it took. The system may go on for the server with
    what it was given; the client cannot tell.
    """
    loop = asyncio.get_running_loop()
    before = await asyncio.to_thread(server.probe)
    begin = time.monotonic()
    sockets: list[socket.socket] = []
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        sockets.append(sock)
    grown = 0
    async with good_client(server.port) as times:
        while True:
            await asyncio.sleep(0.2)
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.recv(1)
            found = await asyncio.to_thread(server.probe)
            grown = max(grown, found["rss"] - before["rss"])
            if found["descriptors"] <= before["descriptors"] + 1:  # the good client may have one
                break
            assert time.monotonic() - begin < most, (
                f"{found['descriptors'] - before['descriptors']} connections are held"
            )
    held = time.monotonic() - begin
    for sock in sockets:
        sock.close()
    report(
        f"R4 slow readers of {path}",
        connections=count,
        held=held,
        good_p99=percentile(times, 0.99),
        grown_mb=grown / 1e6,
    )
    assert percentile(times, 0.99) < 1.0
    return held, grown


Attack = Callable[[int], Coroutine[None, None, tuple[float, bytes]]]


async def attack(server: Target, name: str, count: int, one: Attack) -> tuple[list[float], set[bytes], int]:
    """Run an attack over so many connections, beside a client that must not notice."""
    before = server.probe()
    most = before["rss"]
    async with good_client(server.port) as times:
        attacks = asyncio.gather(*[one(server.port) for _ in range(count)])
        while not attacks.done():
            await asyncio.sleep(0.5)
            most = max(most, (await asyncio.to_thread(server.probe))["rss"])
        ends = await attacks
    after = server.probe()
    report(
        name, connections=count, shortest=min(e[0] for e in ends), longest=max(e[0] for e in ends),
        good_p99=percentile(times, 0.99), grown_mb=(most - before["rss"]) / 1e6,
        statuses={e[1][9:12].decode() for e in ends},
    )  # fmt: skip
    assert percentile(times, 0.99) < 1.0
    assert after["threads"] <= before["threads"] + 1
    assert after["descriptors"] <= before["descriptors"] + 2
    return [e[0] for e in ends], {e[1][9:12] for e in ends}, most - before["rss"]


def slow_headers(count: int, timeout: float) -> None:
    """R2: a header field a second, without an end."""
    with target(header_timeout=timeout) as server:
        start = b"GET /fast HTTP/1.1\r\nHost: localhost\r\n"
        lives, statuses, _ = asyncio.run(
            attack(server, "R2 slow headers", count, lambda port: drip(port, start, b"X: y\r\n", 0.5))
        )
        assert max(lives) < timeout + 4
        assert statuses <= {b"408", b""}


def slow_bodies(count: int, timeout: float) -> None:
    """R3: a byte from time to time, never as late as the timeout, and far below the least rate."""
    with target(body_timeout=timeout) as server:
        lives, statuses, _ = asyncio.run(
            attack(server, "R3 slow bodies", count, lambda port: drip(port, HEAD, b"x", min(timeout / 4, 1.0)))
        )
        assert max(lives) < timeout + 4
        assert statuses <= {b"408", b""}
        lives, statuses, _ = asyncio.run(attack(server, "R3 no bodies", count, lambda port: drip(port, HEAD, b"", 1.0)))
        assert max(lives) < timeout + 4
        assert statuses <= {b"408", b""}


def slow_readers(count: int, timeout: float) -> None:
    """R4: a client that asks for 50 MB and takes a few bytes."""
    for path in ("/stream", "/file", "/held/stream"):
        with target(write_timeout=timeout) as server:
            held, grown = asyncio.run(leave_unread(server, count, path, 2 * timeout + 8))
            assert held > timeout * 0.5
            assert grown < 64e6
            assert server.probe()["active"] == 0


def with_tool(connections: int) -> None:
    """Run slowhttptest in its three modes; it says itself whether the server was available."""
    tool = shutil.which("slowhttptest")
    assert tool is not None, "slowhttptest is not installed"
    for mode in (
        ["-H", "-i", "10"],
        ["-B", "-i", "10", "-s", "8192"],
        ["-X", "-w", "1", "-y", "10", "-n", "5", "-z", "32"],
    ):
        with target() as server:
            path = {"-H": "/fast", "-B": "/upload", "-X": "/stream"}[mode[0]]
            url = f"http://127.0.0.1:{server.port}{path}"
            command = [tool, *mode, "-c", str(connections), "-r", "200", "-l", "90", "-p", "2", "-u", url]
            subprocess.run(command, check=True)
            assert server.client.get("/fast").status_code == 200


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--timeout", type=float, default=30)
    parser.add_argument("--tool", action="store_true")
    options = parser.parse_args()
    slow_headers(options.connections, options.timeout)
    slow_bodies(options.connections, options.timeout)
    slow_readers(min(options.connections, 50), options.timeout)
    if options.tool:
        with_tool(options.connections)
