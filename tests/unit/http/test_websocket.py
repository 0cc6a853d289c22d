from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from quintet.errors import BadRequest, ConfigurationError, Forbidden, ValidationError
from quintet.http import channel as channels
from quintet.http.channel import Channel, WebSocketDisconnect, message_size
from quintet.http.connection import Connection
from quintet.http.headers import ResponseHeaders
from quintet.http.limits import Limits
from quintet.http.origin import allows_origin, parse_origin
from quintet.http.request import Request
from quintet.http.websocket import Codec, WebSocket, WebSocketOptions, cut_reason


class MemoryChannel(Channel):
    """A channel whose other side is the test."""

    def __init__(self, max_queue: int = 4) -> None:
        super().__init__(max_queue, 1000)
        self.accepted: list[tuple[str | None, list[tuple[str, str]]]] = []
        self.sent: list[str | bytes] = []
        self.shut_with: tuple[int, str] | None = None
        self.room = 0

    async def accept(self, subprotocol: str | None, headers: ResponseHeaders) -> None:
        self.accepted.append((subprotocol, headers.items()))

    async def write(self, frame: str | bytes) -> None:
        self.sent.append(frame)

    async def shut(self, code: int, reason: str) -> None:
        self.shut_with = (code, reason)

    def has_room(self) -> None:
        self.room += 1


def make_request(**headers: str) -> Request:
    raw = [(n.replace("_", "-").encode(), v.encode()) for n, v in {"host": "app.example", **headers}.items()]
    return Request("GET", "/ws", b"", raw, dict(raw), b"", Connection("native", "", "http", Limits()))


def make(
    codec: Codec | None = None, options: WebSocketOptions | None = None, **headers: str
) -> tuple[WebSocket[Any, Any], MemoryChannel]:
    channel = MemoryChannel()
    return WebSocket(make_request(**headers), channel, options or WebSocketOptions(), codec), channel


async def test_the_first_message_accepts() -> None:
    ws, channel = make()
    channel.feed("hi")
    assert not ws.accepted
    assert await ws.receive() == "hi"
    assert channel.accepted == [(None, [])]
    await ws.send("there")
    assert channel.accepted == [(None, [])]
    assert channel.sent == ["there"]


async def test_accepting_twice_is_an_error() -> None:
    ws, _ = make()
    await ws.accept()
    with pytest.raises(RuntimeError, match="accepted already"):
        await ws.accept()


async def test_the_first_subprotocol_of_the_route_that_is_offered_is_taken() -> None:
    options = WebSocketOptions(subprotocols=("b", "a"))
    ws, channel = make(options=options, sec_websocket_protocol="a, b,c")
    await ws.accept(headers={"X-A": "1"})
    assert channel.accepted == [("b", [("x-a", "1")])]
    assert ws.subprotocol == "b"
    ws, _ = make(options=options, sec_websocket_protocol="a")
    with pytest.raises(ValueError, match="offers the subprotocols"):
        await ws.accept("z")
    assert not ws.accepted


async def test_headers_that_could_split_the_answer_are_refused() -> None:
    ws, _ = make()
    with pytest.raises(ValueError, match=r"header|line"):
        await ws.accept(headers={"X-A": "1\r\nX-B: 2"})


async def test_iteration_ends_with_the_connection() -> None:
    ws, channel = make()
    channel.feed("a")
    channel.feed("b")
    channel.end(4000, "done")
    assert [m async for m in ws] == ["a", "b"]
    assert (ws.closed, ws.close_code, ws.close_reason) == (True, 4000, "done")
    with pytest.raises(WebSocketDisconnect) as caught:
        await ws.receive()
    assert (caught.value.code, caught.value.reason) == (4000, "done")
    with pytest.raises(WebSocketDisconnect):
        await ws.send("late")


async def test_values_go_out_as_json_text_or_msgpack() -> None:
    ws, channel = make()
    await ws.send({"a": 1})
    await ws.send({"a": 1}, binary=True)
    await ws.send(b"raw")
    assert channel.sent == ['{"a":1}', msgspec.msgpack.encode({"a": 1}), b"raw"]


def fussy(frame: str | bytes) -> Any:
    if frame in ("bad", b"bad"):
        raise BadRequest("malformed")
    if frame == "wrong":
        raise ValidationError([])
    return frame


CODEC = Codec(fussy, lambda value, binary: value)


async def test_a_wrong_message_is_told_and_skipped() -> None:
    ws, channel = make(CODEC)
    for frame in ("bad", b"bad", "good"):
        channel.feed(frame)
    assert await ws.receive() == "good"
    text, data = channel.sent
    expected = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "malformed"}
    assert json.loads(text) == expected
    assert isinstance(data, bytes)
    assert msgspec.msgpack.decode(data) == expected


@pytest.mark.parametrize(("frame", "code"), [("bad", 1007), ("wrong", 1008)])
async def test_a_wrong_message_can_close(frame: str, code: int) -> None:
    ws, channel = make(CODEC, WebSocketOptions(on_invalid="close"))
    channel.feed(frame)
    with pytest.raises(WebSocketDisconnect) as caught:
        await ws.receive()
    assert caught.value.code == code
    assert channel.shut_with is not None
    assert channel.shut_with[0] == code


async def test_text_and_bytes_can_be_asked_for() -> None:
    ws, channel = make(CODEC)
    channel.feed("bad")
    channel.feed(b"bytes")
    assert await ws.receive_text() == "bad"
    assert await ws.receive_bytes() == b"bytes"
    channel.feed("text")
    with pytest.raises(WebSocketDisconnect) as caught:
        await ws.receive_bytes()
    assert caught.value.code == 1003
    assert channel.shut_with is not None


async def test_closing_is_done_once_and_with_a_code_that_can_be_sent() -> None:
    ws, channel = make()
    await ws.accept()
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
        with pytest.raises(ValueError, match="close code"):
            await ws.close(code)
    await ws.close(3000, "é" * 100)
    await ws.close(3001)
    assert channel.shut_with == (3000, "é" * 61)
    assert ws.closed


async def test_closing_before_accepting_refuses() -> None:
    ws, channel = make()
    with pytest.raises(Forbidden):
        await ws.close(reason="no")
    assert channel.shut_with is None
    assert not ws.accepted


async def test_messages_wait_up_to_the_limit() -> None:
    channel = MemoryChannel(max_queue=2)
    channel.feed("a")
    assert not channel.is_full
    channel.feed("b")
    assert channel.is_full
    assert await channel.read() == "a"
    assert channel.room == 1
    assert await channel.read() == "b"
    assert channel.room == 1


async def test_a_cancelled_reader_loses_no_message() -> None:
    channel = MemoryChannel()
    first = asyncio.create_task(channel.read())
    second = asyncio.create_task(channel.read())
    await asyncio.sleep(0)
    channel.feed("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"
    assert await asyncio.gather(first, return_exceptions=True) != ["a"]


async def test_a_handler_that_does_not_notice_the_end_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "LINGER", 0.01)
    channel = MemoryChannel()

    async def handler() -> None:
        channel.end(1006)
        await asyncio.sleep(60)

    assert await asyncio.wait_for(asyncio.create_task(channel.run(handler())), 5) is None


async def test_a_cancellation_from_outside_is_passed_on() -> None:
    channel = MemoryChannel()
    task = asyncio.create_task(channel.run(asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_wrong_options_are_reported_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebSocketOptions(origins=("example.com", "https://fine.example"), subprotocols=("a b",), max_message=0)
    assert [p.id for p in caught.value.problems] == ["websocket.origin", "websocket.subprotocol", "websocket.limits"]


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://app.example", "app.example", True),
        ("https://APP.example", "app.example", True),
        ("http://app.example:80", "app.example", True),
        ("http://app.example", "app.example:80", True),
        ("http://app.example:8000", "app.example:8000", True),
        ("http://app.example:8000", "app.example", False),
        ("http://app.example.evil.example", "app.example", False),
        ("http://evil.example", "app.example", False),
        ("https://friend.example", "app.example", True),
        ("http://friend.example", "app.example", False),
        ("https://friend.example:8443", "app.example", False),
        ("null", "app.example", False),
        ("", "app.example", False),
        ("http://app.example/path", "app.example", False),
        ("http://user@app.example", "app.example", False),
        ("app.example", "app.example", False),
    ],
)
def test_a25_origins(origin: str, host: str, allowed: bool) -> None:
    assert allows_origin(make_request(host=host, origin=origin), ("https://friend.example",)) is allowed


def test_programs_and_open_routes_need_no_origin() -> None:
    assert allows_origin(make_request(), ())
    assert allows_origin(make_request(origin="https://anyone.example"), ("*",))


def test_origins_have_scheme_host_and_port() -> None:
    assert parse_origin("https://a.example") == ("https", "a.example", 443)
    assert parse_origin("http://[::1]:8000") == ("http", "[::1]", 8000)
    assert parse_origin("ftp://a.example") is None


def test_sizes_are_those_in_utf8() -> None:
    assert message_size("é" * 10, 15) == 20
    assert message_size("a" * 10, 15) == 10
    assert message_size(b"\xff" * 10, 15) == 10


def test_reasons_are_cut_between_characters() -> None:
    assert cut_reason("x" * 200) == "x" * 123
    assert cut_reason("x" + "🎻" * 50).encode() == ("x" + "🎻" * 30).encode()
