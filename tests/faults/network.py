"""R32: a network that cuts, resets, delays and swallows. `python -m tests.faults.network --size 50000000`"""

from __future__ import annotations

import argparse
import asyncio
import time

import httpx2

from tests.faults.gone import settle
from tests.faults.target import LARGE, Target, ask, get, report, target
from tests.integration.fault_proxy import FaultProxy


async def resume(port: int, size: int) -> tuple[int, int]:
    """Download the first `size` bytes of the file over connections that break; return bytes and attempts."""
    received, attempts = 0, 0
    tag = ""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
        while received < size:
            attempts += 1
            assert attempts < 1000
            headers = {"range": f"bytes={received}-{size - 1}", **({"if-range": tag} if tag else {})}
            try:
                async with client.stream("GET", "/file", headers=headers) as response:
                    assert response.status_code == 206
                    assert response.headers["content-range"] == f"bytes {received}-{size - 1}/{LARGE}"
                    assert tag in ("", response.headers["etag"])
                    tag = response.headers["etag"]
                    async for chunk in response.aiter_raw():
                        received += len(chunk)
            except httpx2.TransportError:
                continue
    return received, attempts


async def downloads(server: Target, size: int) -> None:
    for fault in ({"cut": size // 5}, {"reset": size // 5}, {"delay": 0.001}):
        async with FaultProxy(server.port, **fault) as proxy:
            received, attempts = await resume(proxy.port, size)
        report(f"R32 {next(iter(fault))}", received=received, attempts=attempts)
        assert received == size
        assert attempts > 1 or "delay" in fault


async def uploads(server: Target) -> None:
    """A body that is cut on the way is never a whole one."""
    before = (await asyncio.to_thread(server.probe))["stored"]
    body = b"POST /work HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    async with FaultProxy(server.port, cut_request=50_000) as proxy:
        statuses = [s for s, _, _ in await asyncio.gather(*[ask(proxy.port, body) for _ in range(20)])]
    assert set(statuses) <= {0, 400}
    after = await asyncio.to_thread(settle, server)
    assert (after["stored"], after["active"]) == (before, 0)


async def swallowed(server: Target, timeout: float) -> None:
    """What the network swallows is given up at the deadlines."""
    before = (await asyncio.to_thread(server.probe))["descriptors"]
    begin = time.monotonic()
    head = b"POST /work HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    async with FaultProxy(server.port, blackhole=10) as proxy:
        asked = [asyncio.create_task(ask(proxy.port, get("/fast"), timeout=timeout + 6)) for _ in range(10)]
        asked += [asyncio.create_task(ask(proxy.port, head, timeout=timeout + 6)) for _ in range(10)]
        while (held := (await asyncio.to_thread(server.probe))["descriptors"]) < before + 20:
            assert time.monotonic() - begin < timeout, f"{held - before} of 20 connections have come"
            await asyncio.sleep(0.02)
        while (await asyncio.to_thread(server.probe))["descriptors"] > before:
            assert time.monotonic() - begin < timeout + 6, "connections of nobody stay"
            await asyncio.sleep(0.2)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    report("R32 swallowed", seconds=time.monotonic() - begin)


def run(*, size: int, timeout: float) -> None:
    """Go through every fault of the network."""
    with target(header_timeout=timeout, body_timeout=timeout, write_timeout=timeout) as server:
        asyncio.run(downloads(server, size))
        asyncio.run(uploads(server))
        asyncio.run(swallowed(server, timeout))
        assert server.client.get("/fast").status_code == 200
        assert "Traceback" not in server.log(), server.log()[:3000]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=LARGE)
    parser.add_argument("--timeout", type=float, default=30)
    options = parser.parse_args()
    run(size=options.size, timeout=options.timeout)
