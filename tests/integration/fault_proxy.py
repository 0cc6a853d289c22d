"""A TCP proxy that breaks connections in chosen ways: what a bad network does, on loopback.

`python -m tests.integration.fault_proxy 8001 127.0.0.1:8000 --cut 100000` runs it alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import struct
from types import TracebackType


class FaultProxy:
    """Passes bytes on to a server, with faults on the way to the client, or on the way to the server.

    Args:
        port: the server's port on 127.0.0.1.
        delay: seconds that every piece is late.
        cut: bytes towards the client after which the connection is closed.
        reset: bytes towards the client after which the connection is reset.
        cut_request: bytes towards the server after which the connection to it is closed.
        drip: bytes a second towards the server; 0 for any speed.
        blackhole: bytes towards the server after which nothing passes any more, either way.
    """

    def __init__(
        self,
        port: int,
        *,
        delay: float = 0.0,
        cut: int | None = None,
        reset: int | None = None,
        cut_request: int | None = None,
        drip: int = 0,
        blackhole: int | None = None,
    ) -> None:
        self.target = port
        self.delay, self.cut, self.reset = delay, cut, reset
        self.cut_request, self.drip, self.blackhole = cut_request, drip, blackhole
        self.connections = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        hole = asyncio.Event()
        try:
            up = self._pass(reader, server_writer, hole, self.cut_request, None, self.drip, self.blackhole)
            down = self._pass(server_reader, writer, hole, self.cut, self.reset, 0, None)
            await asyncio.gather(up, down)
        except (OSError, asyncio.CancelledError):
            pass  # the end of one side is the end of both; the proxy's is that of all
        finally:
            for each in (writer, server_writer):
                each.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        hole: asyncio.Event,
        cut: int | None,
        reset: int | None,
        drip: int,
        blackhole: int | None,
    ) -> None:
        passed = 0
        while data := await reader.read(drip // 10 or 1 if drip else 65_536):
            if self.delay:
                await asyncio.sleep(self.delay)
            if drip:
                await asyncio.sleep(len(data) / drip)
            end = cut if cut is not None else reset
            if end is not None:
                data = data[: end - passed]
            if blackhole is not None and passed + len(data) > blackhole:
                hole.set()
            if hole.is_set():
                await asyncio.sleep(3600)  # until the proxy ends
            writer.write(data)
            await writer.drain()
            passed += len(data)
            if end is not None and passed >= end:
                if reset is not None:
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise ConnectionResetError
        with contextlib.suppress(OSError, NotImplementedError):
            writer.write_eof()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("target")
    for name in ("cut", "reset", "cut-request", "blackhole"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--drip", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    options = vars(parser.parse_args())
    port, target = options.pop("port"), int(options.pop("target").rpartition(":")[2])
    proxy = FaultProxy(target, **options)
    proxy.port = port
    async with proxy:
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
