"""CPU per request of bytes through a protocol class: `python in_process.py hand|ours json params …`."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from contract import ORDER

HEAD = b" HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"
REQUESTS = {
    "json": b"GET /json" + HEAD + b"\r\n",
    "params": b"GET /users/7?q=abc%20d&limit=20" + HEAD + b"\r\n",
    "body": b"POST /orders%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (HEAD, len(ORDER), ORDER),
    "template": b"GET /fortunes" + HEAD + b"\r\n",
}


class NullTransport:
    """Keeps the last thing written."""

    last = b""

    def write(self, data: bytes) -> None:
        self.last = data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def close(self) -> None:
        raise SystemExit(f"the connection was closed: {self.last[:200]!r}")

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


def measure(protocol: Any, transport: NullTransport, data: bytes, count: int = 20_000) -> float:
    """Return the best CPU time per request, in microseconds."""
    best = 1e9
    for _ in range(2000):
        protocol.data_received(data)
    if not transport.last.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"a wrong answer: {transport.last[:200]!r}")
    for _ in range(7):
        start = time.process_time()
        for _ in range(count):
            protocol.data_received(data)
        best = min(best, time.process_time() - start)
    return best / count * 1e6


def main() -> None:
    """Measure and print as JSON."""
    kind, *rows = sys.argv[1:]
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    transport = NullTransport()
    out: dict[str, float] = {}

    async def prepare() -> Any:
        if kind == "hand":
            import by_hand

            by_hand.tick(loop)
            protocol: Any = by_hand.Connection()
        else:
            import app

            from quintet.protocols.native_server import NativeServer
            from quintet.server.http1 import Http1Protocol

            protocol = Http1Protocol(NativeServer(app.app.dispatcher, loop))
        protocol.connection_made(transport)
        await asyncio.sleep(0.01)
        return protocol

    protocol = loop.run_until_complete(prepare())

    def run() -> None:
        gc.collect()
        gc.freeze()
        for row in rows:
            if row in REQUESTS:
                out[row] = measure(protocol, transport, REQUESTS[row])
        loop.stop()

    loop.call_soon(run)
    loop.run_forever()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
