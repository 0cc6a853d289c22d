"""WebSockets on real servers, with a real client and with raw sockets. Names of tests carry the rows of the attack list
that they are about: A24 (frames) and A25 (foreign origins)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import struct
import time
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.integration.hosts import Host, running

HOSTS = ["native", "uvicorn", "hypercorn", "granian-asgi", "granian-rsgi"]
TARGET = "tests.integration.websocket_app:app"


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with running(request.param, TARGET) as found:
        yield found


@pytest.fixture(scope="module")
def native() -> Iterator[Host]:
    with running("native", TARGET) as found:
        yield found


def log_of(host: Host) -> list[str]:
    with urllib.request.urlopen(f"{host.http}/log", timeout=5) as answer:
        return json.load(answer)


async def eventually(check: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(check):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def refused(address: str, **options: Any) -> Any:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with connect(address, **options):
            pass
    return caught.value.response


async def close_code(ws: ClientConnection) -> int | None:
    async with asyncio.timeout(10):
        try:
            async for _ in ws:
                pass
        except websockets.ConnectionClosedError:
            pass
    return ws.close_code


# -- messages -----------------------------------------------------------------------------------------------------


async def test_text_is_echoed(host: Host) -> None:
    async with connect(f"{host.ws}/echo") as ws:
        for text in ("hello", "", "ünïcödé 🎻", "x" * 200_000):
            await ws.send(text)
            assert await ws.recv() == text


async def test_fragments_are_one_message(host: Host) -> None:
    async with connect(f"{host.ws}/echo") as ws:
        await ws.send(["a", "é", "", "b" * 1000])
        assert await ws.recv() == "aé" + "b" * 1000


async def test_binary_messages_are_bytes(host: Host) -> None:
    async with connect(f"{host.ws}/raw") as ws:
        await ws.send(b"\x00\xff")
        assert await ws.recv() == b"\x00\xff"
        await ws.send("text")
        assert await ws.recv() == "text"


async def test_a_handler_has_parameters_and_providers_and_shows_declared_fields_alone(host: Host) -> None:
    headers = {"X-Token": "t1", "Cookie": "flavour=oat"}
    async with connect(f"{host.ws}/typed/caf%C3%A9?suffix=!", additional_headers=headers) as ws:
        assert json.loads(await ws.recv()) == {"echo": "hello café t1 oat"}
        await ws.send('{"text": "ab", "times": 2}')
        assert json.loads(await ws.recv()) == {"echo": "abab!"}


async def test_binary_messages_are_msgpack_for_typed_handlers(host: Host) -> None:
    async with connect(f"{host.ws}/typed/a") as ws:
        await ws.recv()
        await ws.send(msgspec.msgpack.encode({"text": "b"}))
        assert msgspec.msgpack.decode(await ws.recv()) == {"echo": "b"}


async def test_every_wrong_field_is_told_and_the_connection_goes_on(host: Host) -> None:
    async with connect(f"{host.ws}/listen") as ws:
        await ws.send('{"text": 1, "times": 9, "extra": true}')
        problem = json.loads(await ws.recv())
        assert problem["status"] == 422
        assert problem["type"] == "about:blank"
        assert {(tuple(e["loc"]), e["code"]) for e in problem["errors"]} == {
            (("message", "text"), "type"),
            (("message", "times"), "le"),
            (("message", "extra"), "unknown_field"),
        }
        await ws.send('{"text": "still here"}')
        assert json.loads(await ws.recv()) == {"echo": "still here"}


async def test_malformed_messages_are_told(host: Host) -> None:
    async with connect(f"{host.ws}/listen") as ws:
        for wrong in ("{", "", "[" * 10_000, '{"text": "\\ud800"}'):
            await ws.send(wrong)
            assert json.loads(await ws.recv())["status"] in (400, 422)
        await ws.send(b"\xc1")
        assert msgspec.msgpack.decode(await ws.recv())["status"] == 400


async def test_a_listener_returns_its_answers(host: Host) -> None:
    async with connect(f"{host.ws}/listen") as ws:
        await ws.send('{"text": "nothing"}')
        await ws.send('{"text": "conflict"}')
        assert json.loads(await ws.recv())["status"] == 409
        await ws.send(msgspec.msgpack.encode({"text": "b"}))
        assert msgspec.msgpack.decode(await ws.recv()) == {"echo": "b"}


async def test_def_listeners_run_in_threads(host: Host) -> None:
    async with connect(f"{host.ws}/sync") as ws:
        await ws.send('{"text": "abc"}')
        assert json.loads(await ws.recv()) == {"echo": "ABC"}


async def test_any_type_is_a_message_with_body(host: Host) -> None:
    async with connect(f"{host.ws}/dict") as ws:
        await ws.send('{"a": 1}')
        assert json.loads(await ws.recv()) == {"a": 2}


async def test_many_messages_stay_in_order(host: Host) -> None:
    async with connect(f"{host.ws}/echo") as ws:
        sent = [str(n) for n in range(2000)]

        async def send() -> None:
            for text in sent:
                await ws.send(text)

        sending = asyncio.create_task(send())
        assert [await ws.recv() for _ in sent] == sent
        await sending


# -- handshakes ---------------------------------------------------------------------------------------------------


REFUSALS = {
    "/nowhere": 404, "/listen/more": 404, "/crash": 500, "/refuse": 403, "/flood?count=many": 422, "/guarded/ws": 401,
}  # fmt: skip


@pytest.mark.parametrize(("path", "status"), REFUSALS.items())
async def test_refusals_are_http_answers(host: Host, path: str, status: int) -> None:
    response = await refused(host.ws + path)
    assert response.status_code == status
    if host.name != "granian-rsgi":  # RSGI has a status alone
        assert json.loads(response.body)["status"] == status
        assert response.headers["content-type"] == "application/problem+json"
        if status == 401:
            assert response.headers["www-authenticate"] == "Key"


async def test_guards_let_in(host: Host) -> None:
    async with connect(f"{host.ws}/guarded/ws?key=secret") as ws:
        assert await ws.recv() == "welcome"


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null", "http://", "file:///etc"])
async def test_a25_foreign_origins_are_refused(host: Host, origin: str) -> None:
    assert (await refused(f"{host.ws}/echo", origin=origin)).status_code == 403


async def test_a25_own_and_allowed_origins_are_let_in(host: Host) -> None:
    async with connect(f"{host.ws}/echo", origin=f"http://127.0.0.1:{host.port}"):
        pass
    async with connect(f"{host.ws}/guarded/ws?key=secret", origin="https://friend.example"):
        pass
    assert (await refused(f"{host.ws}/guarded/ws?key=secret", origin="http://friend.example")).status_code == 403


async def test_subprotocols_and_headers(host: Host) -> None:
    if host.name == "granian-rsgi":
        pytest.skip("RSGI has neither")
    async with connect(f"{host.ws}/chat", subprotocols=["v1.chat", "other"]) as ws:
        assert ws.subprotocol == "v1.chat"
        if host.name != "granian-asgi":  # it drops the header fields
            assert ws.response is not None and ws.response.headers["x-greeting"] == "hello"
        assert await ws.recv() == "v1.chat"


# -- closing ------------------------------------------------------------------------------------------------------


async def test_the_end_of_a_handler_closes(host: Host) -> None:
    async with connect(f"{host.ws}/leave") as ws:
        assert await ws.recv() == "last words"
        assert await close_code(ws) == (1005 if host.name == "granian-rsgi" else 1000)


async def test_close_codes_and_reasons_arrive(host: Host) -> None:
    if host.name == "granian-rsgi":
        pytest.skip("RSGI has no close codes")
    async with connect(f"{host.ws}/close/4123") as ws:
        assert await close_code(ws) == 4123
        assert ws.close_reason is not None and ws.close_reason.startswith("é" * 50)


async def test_exceptions_close_with_1011(host: Host) -> None:
    for path, message in (("/crash-later", None), ("/listen", '{"text": "crash"}')):
        async with connect(host.ws + path) as ws:
            if message is not None:
                await ws.send(message)
            assert await close_code(ws) == (1005 if host.name == "granian-rsgi" else 1011)


async def test_strict_routes_close_on_wrong_messages(host: Host) -> None:
    for message, code in (('{"text": 1}', 1008), ("{", 1007)):
        async with connect(f"{host.ws}/strict") as ws:
            await ws.send(message)
            assert await close_code(ws) == (1005 if host.name == "granian-rsgi" else code)


async def test_handlers_are_told_that_the_client_has_closed(host: Host) -> None:
    async with connect(f"{host.ws}/echo") as ws:
        await ws.close(4321, "so long")
    known = 1005 if host.name == "granian-rsgi" else 1006 if host.name == "hypercorn" else 4321
    await eventually(lambda: f"echo ended with {known}" in log_of(host))


async def test_dependencies_end_with_a_cut_connection(host: Host) -> None:
    before = log_of(host).count("closed")
    async with connect(f"{host.ws}/resource") as ws:
        assert await ws.recv() == "/resource"
        ws.transport.abort()
    await eventually(lambda: log_of(host).count("closed") == before + 1)


# -- attacks ------------------------------------------------------------------------------------------------------


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv1: bool = False, size: int | None = None) -> bytes:
    """Return a masked frame (with the mask 0); `size` is what it claims."""
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    length = len(payload) if size is None else size
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + b"\0\0\0\0" + payload


class Raw:
    """A WebSocket by hand."""

    def __init__(self, host: Host, path: str = "/echo", extra: str = "") -> None:
        self.sock = socket.create_connection(("127.0.0.1", host.port), timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{host.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{extra}\r\n".encode()
        )
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            chunk = self.sock.recv(65536)
            assert chunk, self.data
            self.data += chunk
        self.head, _, self.data = self.data.partition(b"\r\n\r\n")

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # refused already

    def read(self) -> tuple[int, bytes] | None:
        """Return opcode and payload of the next frame, or None at the end."""
        try:
            while True:
                if len(self.data) >= 2:
                    length, start = self.data[1] & 127, 2
                    if length == 126:
                        length, start = int.from_bytes(self.data[2:4], "big"), 4
                    elif length == 127:
                        length, start = int.from_bytes(self.data[2:10], "big"), 10
                    if len(self.data) >= start + length:
                        found = self.data[0] & 15, self.data[start : start + length]
                        self.data = self.data[start + length :]
                        return found
                chunk = self.sock.recv(65536)
                if not chunk:
                    return None
                self.data += chunk
        except ConnectionError:
            return None

    def closed_with(self, *, answer: bool = True) -> int | None:
        """Return the close code, reading to the end: 1005 for none, 1006 for no close frame."""
        code = 1006
        while (found := self.read()) is not None:
            if found[0] == 8:
                code = int.from_bytes(found[1][:2], "big") if found[1] else 1005
                if answer:
                    self.send(frame(8, found[1]))
        self.sock.close()
        return code


def expect(host: Host, code: int | None, expected: int) -> None:
    """Check a close code; Granian and hypercorn close such connections without one, or without a close frame."""
    if host.is_native or host.name == "uvicorn":
        assert code == expected
    else:
        assert code in {expected, 1005, 1006}


A24_VIOLATIONS = {
    "invalid UTF-8": (frame(1, b"\xff\xfe"), 1007),
    "UTF-8 cut in the middle": (frame(1, "é".encode()[:1]), 1007),
    "a surrogate": (frame(1, b"\xed\xa0\x80"), 1007),
    "an unknown opcode": (frame(3, b"a"), 1002),
    "an unknown control opcode": (frame(11, b"a"), 1002),
    "a reserved bit": (frame(1, b"a", rsv1=True), 1002),
    "a continuation of nothing": (frame(0, b"a"), 1002),
    "a new message in a message": (frame(1, b"a", fin=False) + frame(1, b"a"), 1002),
    "a fragmented ping": (frame(9, b"a", fin=False), 1002),
    "a long ping": (frame(9, b"a" * 126), 1002),
    "no mask": (b"\x81\x01a", 1002),
    "a close frame of one byte": (frame(8, b"a"), 1002),
    "a close code that is reserved": (frame(8, struct.pack("!H", 1005)), 1002),
}


@pytest.mark.parametrize("name", A24_VIOLATIONS)
def test_a24_violations_close(host: Host, name: str) -> None:
    data, code = A24_VIOLATIONS[name]
    raw = Raw(host)
    raw.send(data)
    expect(host, raw.closed_with(), code)
    raw = Raw(host)  # the server is well
    raw.send(frame(1, b"ok"))
    assert raw.read() == (1, b"ok")
    raw.sock.close()


def test_a24_an_oversize_message_is_refused(host: Host) -> None:
    raw = Raw(host)
    raw.send(frame(1, b"x" * (1024 * 1024 + 1)))
    expect(host, raw.closed_with(), 1009)


def test_a24_a_small_limit_is_kept(host: Host) -> None:
    raw = Raw(host, "/small")
    raw.send(frame(1, b"x" * 100))
    assert raw.read() == (1, b"100")
    raw.send(frame(1, "é".encode() * 51))
    expect(host, raw.closed_with(), 1009)


def test_a24_a_frame_is_refused_by_its_claimed_size(native: Host) -> None:
    raw = Raw(native)
    raw.send(frame(2, b"", size=2**40))
    assert raw.closed_with() == 1009


def test_a24_a_message_may_not_grow_by_fragments(native: Host) -> None:
    raw = Raw(native)
    raw.send(frame(1, b"x" * 65535, fin=False) + frame(0, b"x" * 65535, fin=False) * 20)
    assert raw.closed_with() == 1009


def test_a24_a_flood_of_fragments_is_refused(native: Host) -> None:
    raw = Raw(native)
    raw.send(frame(1, b"x", fin=False) + frame(0, b"", fin=False) * 50_000)
    assert raw.closed_with() == 1009


def test_a24_a_compression_bomb_is_refused(host: Host) -> None:
    if host.name == "hypercorn":
        pytest.skip("hypercorn decompresses all of it before anybody can refuse")
    raw = Raw(host, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    if b"permessage-deflate" not in raw.head.lower():
        raw.sock.close()
        pytest.skip("this server does not compress")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflater.compress(b"\0" * 64 * 1024 * 1024) + deflater.flush(zlib.Z_SYNC_FLUSH)
    raw.send(frame(2, bomb[:-4], rsv1=True))
    expect(host, raw.closed_with(), 1009)


def test_a24_a_bomb_in_fragments_is_refused(native: Host) -> None:
    raw = Raw(native, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (deflater.compress(b"\0" * 64 * 1024 * 1024) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    raw.send(frame(2, bomb[:100], fin=False, rsv1=True))
    for start in range(100, len(bomb), 100):
        raw.send(frame(0, bomb[start : start + 100], fin=start + 100 >= len(bomb)))
    assert raw.closed_with() == 1009


def test_a24_data_that_does_not_decompress_is_refused(native: Host) -> None:
    raw = Raw(native, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    raw.send(frame(2, b"\xff\xff\xff", rsv1=True))
    assert raw.closed_with() == 1007


def test_a24_pings_are_answered_between_the_fragments_of_a_compressed_message(native: Host) -> None:
    raw = Raw(native, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = (deflater.compress(b"hello") + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    raw.send(frame(1, data[:3], fin=False, rsv1=True) + frame(9, b"p") + frame(0, data[3:]))
    assert raw.read() == (10, b"p")
    assert raw.read() == (1, b"hello")
    raw.sock.close()


def test_a24_a_final_deflate_block_ends_a_message_alone(native: Host) -> None:
    raw = Raw(native, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    for text in (b"first", b"second"):
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        raw.send(frame(1, deflater.compress(text) + deflater.flush() + b"\0", rsv1=True))
        assert raw.read() == (1, text)
    raw.sock.close()


# -- the built-in server ------------------------------------------------------------------------------------------


def _handshake(host: Host, *lines: str, path: str = "/echo", version: str = "HTTP/1.1") -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", host.port), timeout=5) as sock:
        head = "\r\n".join([f"GET {path} {version}", f"Host: 127.0.0.1:{host.port}", *lines, "", ""])
        sock.sendall(head.encode())
        data = b""
        while b"\r\n\r\n" not in data and (chunk := sock.recv(65536)):
            data += chunk
        return int(data.split()[1]), data


UPGRADE = ("Connection: keep-alive, Upgrade", "Upgrade: websocket")
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def test_the_accept_key_is_that_of_the_rfc(native: Host) -> None:
    status, data = _handshake(native, *UPGRADE, KEY, "Sec-WebSocket-Version: 13")
    assert status == 101
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in data


def test_wrong_handshakes_are_refused_with_the_reason(native: Host) -> None:
    status, data = _handshake(native, *UPGRADE, KEY, "Sec-WebSocket-Version: 8")
    assert status == 426
    assert b"sec-websocket-version: 13" in data.lower()
    assert _handshake(native, *UPGRADE, "Sec-WebSocket-Version: 13")[0] == 400
    assert _handshake(native, *UPGRADE, "Sec-WebSocket-Key: short", "Sec-WebSocket-Version: 13")[0] == 400
    assert _handshake(native, *UPGRADE, KEY, KEY, "Sec-WebSocket-Version: 13")[0] == 400


def test_an_upgrade_of_a_page_is_ignored(native: Host) -> None:
    status, data = _handshake(native, *UPGRADE, KEY, "Sec-WebSocket-Version: 13", path="/both")
    assert status == 200
    assert b"connection: close" in data.lower()


def test_frames_that_come_with_the_handshake_are_read(native: Host) -> None:
    with socket.create_connection(("127.0.0.1", native.port), timeout=5) as sock:
        head = "\r\n".join(["GET /echo HTTP/1.1", "Host: a", *UPGRADE, KEY, "Sec-WebSocket-Version: 13", "", ""])
        sock.sendall(head.encode() + frame(1, b"early"))
        data = b""
        while not data.endswith(b"\x81\x05early"):
            chunk = sock.recv(65536)
            assert chunk, data
            data += chunk


async def test_slow_clients_make_senders_wait(native: Host) -> None:
    before = log_of(native).count("flood sent")
    raw = await asyncio.to_thread(Raw, native, "/flood?count=5000")
    await asyncio.sleep(0.7)
    assert log_of(native).count("flood sent") == before  # 50 MB do not fit into buffers
    count = 0
    while count < 5000:
        found = await asyncio.to_thread(raw.read)
        assert found is not None and len(found[1]) == 10_000
        count += 1
    await eventually(lambda: log_of(native).count("flood sent") == before + 1)
    raw.sock.close()


async def test_slow_handlers_make_clients_wait(native: Host) -> None:
    raw = await asyncio.to_thread(Raw, native, "/slow")
    raw.sock.settimeout(0.3)
    sent = 0
    block = frame(1, b"x" * 60_000)
    try:
        while sent < 1000:
            raw.sock.sendall(block)
            sent += 1
    except TimeoutError:
        pass
    assert sent < 500  # 60 MB do not fit into buffers
    raw.sock.close()


async def test_silence_is_met_with_a_ping_and_death_with_the_end(native: Host) -> None:
    async with connect(f"{native.ws}/ping", ping_interval=None) as ws:
        await asyncio.sleep(2.5)  # the client answers pings by itself
        await ws.send("alive")
        assert await ws.recv() == "alive"
    raw = await asyncio.to_thread(Raw, native, "/ping")
    assert await asyncio.to_thread(raw.read) == (9, b"")
    assert await asyncio.to_thread(raw.closed_with) == 1006  # no pong: cut
    await eventually(lambda: "ping ended with 1006" in log_of(native))


async def test_a_stopping_server_says_so() -> None:
    with running("native", TARGET) as host:
        async with connect(f"{host.ws}/echo") as ws, connect(f"{host.ws}/echo") as other:
            await ws.send("hi")
            assert await ws.recv() == "hi"
            began = time.monotonic()
            host.process.send_signal(signal.SIGTERM)
            assert await close_code(ws) == 1001
            assert await close_code(other) == 1001
            await asyncio.to_thread(host.process.wait, 10)
            assert host.process.returncode == 0
            assert time.monotonic() - began < 8


async def test_a_stopping_server_waits_for_handlers_to_tidy_up(capfd: pytest.CaptureFixture[str]) -> None:
    with running("native", TARGET) as host:
        async with connect(f"{host.ws}/tidy") as ws:
            await ws.send("hi")
            assert await ws.recv() == "hi"
            host.process.send_signal(signal.SIGTERM)
            assert await close_code(ws) == 1001
        assert await asyncio.to_thread(host.process.wait, 10) == 0
    assert "the app stops after: tidied up" in capfd.readouterr().out


async def test_a_closing_handshake_that_is_not_answered_ends_too(native: Host) -> None:
    raw = await asyncio.to_thread(Raw, native, "/leave")
    began = time.monotonic()
    assert await asyncio.to_thread(lambda: raw.closed_with(answer=False)) == 1000
    assert time.monotonic() - began < 9


# -- the cases of the Autobahn suite, by hand -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536, 200_000])
@pytest.mark.parametrize("cut", [0, 997])
def test_messages_of_every_length_encoding(native: Host, size: int, cut: int) -> None:
    raw = Raw(native, "/raw")
    for opcode in (1, 2):
        sent = frame(opcode, b"*" * size)
        for start in range(0, len(sent), cut or len(sent)):
            raw.send(sent[start : start + (cut or len(sent))])
        assert raw.read() == (opcode, b"*" * size)
    raw.sock.close()


def test_pings_and_pongs(native: Host) -> None:
    raw = Raw(native)
    for payload in (b"", b"Hello", bytes([0, 255, 254, 253]), b"p" * 125):
        raw.send(frame(9, payload))
        assert raw.read() == (10, payload)
    raw.send(frame(10, b"nobody asked") + b"".join(frame(9, str(n).encode()) for n in range(10)))
    assert [raw.read() for _ in range(10)] == [(10, str(n).encode()) for n in range(10)]
    raw.send(frame(1, b"a", fin=False) + frame(9, b"between") + frame(0, b"b", fin=False) + frame(0, b"c"))
    assert [raw.read(), raw.read()] == [(10, b"between"), (1, b"abc")]
    raw.sock.close()


def test_texts_may_be_cut_inside_a_character(native: Host) -> None:
    raw = Raw(native)
    text = "κόσμε 🎻\U0010ffff".encode()
    for cut in range(1, len(text)):
        raw.send(frame(1, text[:cut], fin=False) + frame(0, text[cut:]))
        assert raw.read() == (1, text)
    raw.sock.close()


@pytest.mark.parametrize(
    "text", [b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xed\xbf\xbf", b"ok\x80"]
)
def test_a24_text_that_is_not_utf8(native: Host, text: bytes) -> None:
    raw = Raw(native)
    raw.send(frame(1, text[:1], fin=False) + frame(0, text[1:]))
    assert raw.closed_with() == 1007


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_closing_is_answered_with_its_own_code(native: Host, code: int) -> None:
    raw = Raw(native)
    raw.send(frame(8, struct.pack("!H", code) + b"because") + frame(1, b"nobody reads this"))
    assert raw.closed_with(answer=False) == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_a24_close_codes_that_nobody_may_send(native: Host, code: int) -> None:
    raw = Raw(native)
    raw.send(frame(8, struct.pack("!H", code)))
    assert raw.closed_with() == 1002


def test_closing_without_a_code_is_answered(native: Host) -> None:
    raw = Raw(native)
    raw.send(frame(8, b""))
    assert raw.closed_with(answer=False) == 1000


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate; client_no_context_takeover", "client_no_context_takeover"),
        ("permessage-deflate; server_no_context_takeover", "server_no_context_takeover"),
        ("permessage-deflate; server_max_window_bits=9", "server_max_window_bits=9"),
        ("permessage-deflate; client_max_window_bits", "client_max_window_bits=12"),
    ],
)
def test_compression_with_every_option(native: Host, offer: str, answer: str) -> None:
    raw = Raw(native, extra=f"Sec-WebSocket-Extensions: {offer}\r\n")
    assert answer.encode() in raw.head
    out = zlib.compressobj(9, zlib.DEFLATED, -12)
    back = zlib.decompressobj(-15)
    text = b"the same text again and again " * 30
    for _ in range(3):
        if "client_no" in answer:
            out = zlib.compressobj(9, zlib.DEFLATED, -12)
        if "server_no" in answer:
            back = zlib.decompressobj(-15)
        raw.send(frame(1, (out.compress(text) + out.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv1=True))
        found = raw.read()
        assert found is not None
        assert len(found[1]) < len(text) // 2
        assert back.decompress(found[1] + b"\0\0\xff\xff") == text
    raw.sock.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="resident memory is measured as Linux counts it")
def test_an_idle_websocket_takes_little_memory(native: Host) -> None:
    def resident() -> int:
        with open(f"/proc/{native.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def open_many(number: int) -> list[Raw]:
        found = [Raw(native) for _ in range(number)]
        for raw in found:
            raw.send(frame(1, b"hi"))
            assert raw.read() == (1, b"hi")
        return found

    warm = open_many(20)
    before = resident()
    many = open_many(200)
    each = (resident() - before) / 200
    for raw in (*warm, *many):
        raw.sock.close()
    assert each < 20 * 1024, f"{each / 1024:.1f} KiB"
