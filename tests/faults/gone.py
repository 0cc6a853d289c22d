"""R7: clients that go away in the middle of everything. `python -m tests.faults.gone --times 2000`"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import struct
import time

from tests.faults.target import Target, report, target

POST = b"POST /work HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
#: What is sent before the client goes.
MOMENTS = {
    "in the head": b"POST /work HTTP/1.1\r\nHost: loc",
    "after the head": POST,
    "in the body": POST + b"x" * 500,
    "in the handler that writes": POST + b"x" * 1000,
    "in the handler that reads": b"GET /work?seconds=5 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "in the answer": b"GET /held/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


async def go_away(port: int, data: bytes, *, rudely: bool, chance: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(OSError):
        writer.write(data)
        await writer.drain()
        if data.startswith(b"GET /held/stream"):
            await reader.read(1000)
        await asyncio.sleep(chance.random() * 0.03)
    if rudely:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def leave(port: int, times: int) -> None:
    """Begin so many requests and leave them, some at a time."""
    chance = random.Random(7)
    moments = list(MOMENTS.values())
    for start in range(0, times, 50):
        await asyncio.gather(
            *[go_away(port, moments[n % len(moments)], rudely=chance.random() < 0.5, chance=chance)
              for n in range(start, min(times, start + 50))]
        )  # fmt: skip


def settle(server: Target, seconds: float = 2.0) -> dict[str, int]:
    """Wait until nothing is under way; return the probe."""
    deadline = time.monotonic() + seconds
    while True:
        found = server.probe()
        if found["active"] == 0 or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def run(*, times: int) -> None:
    """Nothing that a request has opened may stay open."""
    with target() as server:
        asyncio.run(leave(server.port, 60))
        before = settle(server)
        asyncio.run(leave(server.port, times))
        after = settle(server)
        tasks = server.client.get("/tasks").json()
        report("R7 clients gone", times=times, **{k: after[k] for k in ("opened", "closed", "active")}, tasks=tasks,
               grown_mb=(after["rss"] - before["rss"]) / 1e6)  # fmt: skip
        assert after["active"] == 0, "something is still open two seconds after its client has gone"
        assert after["opened"] == after["closed"] > times / 3
        assert after["descriptors"] <= before["descriptors"] + 1
        assert tasks < 20
        assert after["rss"] - before["rss"] < 16e6
        assert "Traceback" not in server.log(), server.log()[:3000]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=2000)
    run(times=parser.parse_args().times)
