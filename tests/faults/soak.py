"""R27: everything at once, for long; memory, descriptors and threads stay flat.

`python -m tests.faults.soak --minutes 60` runs it at full length.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from typing import Any

import httpx2
import websockets.asyncio.client

from tests.faults.target import Target, report, target


async def mix(client: httpx2.AsyncClient, port: int, number: int) -> int:
    """Do one thing of many; return the number of requests."""
    kind = number % 10
    if kind == 0:
        assert (await client.post("/upload", content=b"x" * 300_000)).json() == 300_000
    elif kind == 1:
        answer = await client.post("/file", files={"file": ("a.bin", b"y" * 100_000)})
        assert answer.json() == 100_000
    elif kind == 2:
        assert (await client.get("/fail")).status_code == 500
    elif kind == 3:
        assert (await client.post("/items", json={"name": 1, "other": 2})).status_code == 422
    elif kind == 4:
        async with websockets.asyncio.client.connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as ws:
            for text in ("a", "b" * 10_000):
                await ws.send(text)
                assert await ws.recv() == text
    elif kind == 5:
        async with client.stream("GET", "/stream?size=10000000") as response:
            await anext(response.aiter_bytes())  # and away
    elif kind == 6:
        assert (await client.get("/thread")).text == "thread"
    elif kind == 7:
        assert (await client.get("/nothing")).status_code == 404
    else:
        for _ in range(10):
            assert (await client.get(f"/fast?n={number}")).status_code == 200
        return 10
    return 1


async def exercise(port: int, seconds: float) -> int:
    """Do everything for a time; return the number of requests."""
    numbers = itertools.count()
    end = time.monotonic() + seconds
    done = 0

    async def one(client: httpx2.AsyncClient) -> None:
        nonlocal done
        while time.monotonic() < end:
            done += await mix(client, port, next(numbers))

    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        await asyncio.gather(*[one(client) for _ in range(6)])
    return done


def sample(server: Target) -> dict[str, Any]:
    """Return the probe when the connections of a phase have gone."""
    time.sleep(0.3)
    return server.probe()


def run(*, minutes: float, phases: int, most_mb: float, warm: float = 0.0) -> None:
    """Exercise a server in phases; its figures after the first of them and after the last must be alike."""
    seconds = minutes * 60 / phases
    with target() as server:
        asyncio.run(exercise(server.port, warm or seconds))
        first, requests, samples = sample(server), 0, []
        for phase in range(phases):
            requests += asyncio.run(exercise(server.port, seconds))
            samples.append(sample(server))
            last = samples[-1]
            report(f"R27 soak {phase + 1}/{phases}", requests=requests, rss_mb=last["rss"] / 1e6,
                   descriptors=last["descriptors"], threads=last["threads"])  # fmt: skip
        last = samples[-1]
        assert last["rss"] - first["rss"] < most_mb * 1e6, f"grown by {(last['rss'] - first['rss']) / 1e6:.1f} MB"
        assert last["descriptors"] <= first["descriptors"] + 2
        assert last["threads"] <= first["threads"] + 1
        assert server.client.get("/tasks").json() < 20


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    # Less than a megabyte an hour, and what the allocator keeps of its first minutes.
    run(minutes=options.minutes, phases=max(2, int(options.minutes)), most_mb=8 + options.minutes / 60, warm=60)
