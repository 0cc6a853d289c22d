"""How many Python functions of ours a request passes: an extra hop on the hot path is a decision, not an accident."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

import quintet
from quintet import App
from quintet.protocols.native_server import NativeServer
from quintet.server.http1 import Http1Protocol

OURS = str(Path(quintet.__file__).parent)


class NullTransport:
    """Takes what is written and forgets it."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written = data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


def count_calls(app: App, request: bytes) -> tuple[list[str], bytes]:
    """Return the names of our functions (and the handler's) that one request calls, and the answer."""
    loop = asyncio.new_event_loop()
    calls: list[str] = []
    transport = NullTransport()

    async def prepare() -> Http1Protocol:
        server = NativeServer(app.dispatcher, loop)
        protocol = Http1Protocol(server)
        protocol.connection_made(transport)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        return protocol

    def profile(frame: Any, event: str, argument: Any) -> None:
        code = frame.f_code
        ours = code.co_filename.startswith((OURS, "<quintet")) or code.co_filename == __file__
        if event == "call" and ours and code.co_name != "write":
            calls.append(code.co_name)

    def run(protocol: Http1Protocol) -> None:
        for _ in range(3):  # what is learnt once is learnt
            protocol.data_received(request)
        sys.setprofile(profile)
        try:
            protocol.data_received(request)
        finally:
            sys.setprofile(None)
            loop.stop()

    try:
        protocol = loop.run_until_complete(prepare())
        loop.call_soon(run, protocol)
        loop.run_forever()
        protocol.server.close()
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    return calls, transport.written


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def make_app() -> App:
    app = App(docs=False)

    @app.get("/json")
    async def plain() -> dict[str, str]:
        return {"message": "Hello, World!"}

    @app.get("/users/{id}")
    async def user(id: int) -> dict[str, int]:
        return {"id": id}

    @app.get("/search/{id}")
    async def search(id: int, q: str, limit: int = 10) -> dict[str, object]:
        return {"id": id, "q": q, "limit": limit}

    return app


@pytest.mark.parametrize(
    ("path", "most"),
    [("/json", 10), ("/users/7", 11), ("/search/7?q=abc&limit=20", 12)],
)
def test_a_json_get_crosses_few_python_calls(path: str, most: int) -> None:
    calls, answer = count_calls(make_app(), get(path))
    assert answer.startswith(b"HTTP/1.1 200 OK"), answer
    assert len(calls) <= most, calls
