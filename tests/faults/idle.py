"""Many connections that are open and idle. `python -m tests.faults.idle --connections 10000`"""

from __future__ import annotations

import argparse
import asyncio
import socket

from tests.faults.target import good_client, percentile, raise_descriptors, report, target

REQUEST = b"GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def open_idle(port: int, count: int) -> list[socket.socket]:
    """Open connections that have had one answer each."""
    loop = asyncio.get_running_loop()

    async def one() -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, REQUEST)
        assert (await loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 200")
        return sock

    found: list[socket.socket] = []
    while len(found) < count:
        found += await asyncio.gather(*[one() for _ in range(min(100, count - len(found)))])
    return found


async def hold(port: int, sockets: list[socket.socket], seconds: float) -> list[float]:
    """Hold connections beside a client that must not notice; each must still be served after."""
    loop = asyncio.get_running_loop()
    async with good_client(port) as times:
        await asyncio.sleep(seconds)
    for sock in sockets[:: max(1, len(sockets) // 100)]:
        await loop.sock_sendall(sock, REQUEST)
        assert (await loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 200")
    return times


def run(*, connections: int, seconds: float = 2.0) -> None:
    """Hold idle connections; they cost little memory and nobody's time."""
    allowed = raise_descriptors(connections + 200)
    connections = min(connections, allowed - 200)
    with target(keep_alive=600) as server:
        for sock in asyncio.run(open_idle(server.port, 200)):  # warm
            sock.close()
        before = server.probe()
        sockets = asyncio.run(open_idle(server.port, connections))
        during = server.probe()
        times = asyncio.run(hold(server.port, sockets, seconds))
        for sock in sockets:
            sock.close()
        each = (during["rss"] - before["rss"]) / connections / 1024
        report("idle connections", connections=connections, kib_each=each, good_p50=percentile(times, 0.5),
               good_p99=percentile(times, 0.99))  # fmt: skip
        assert during["descriptors"] - before["descriptors"] == connections
        assert each <= 5.0
        assert percentile(times, 0.99) < 1.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    run(connections=options.connections, seconds=options.seconds)
