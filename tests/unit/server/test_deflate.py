from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from quintet.server.deflate import BoundedMessages, Deflate, negotiate_deflate
from quintet.server.frames import Event, FrameReader, FrameWriter


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            'permessage-deflate; client_max_window_bits="10"; server_max_window_bits=9; client_no_context_takeover',
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10; client_no_context_takeover",
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits=12; server_no_context_takeover",
        ),
        ("x-other, permessage-deflate; unknown, permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
    ],
)  # fmt: skip
def test_the_first_usable_offer_is_taken(offer: str, answer: str) -> None:
    found = negotiate_deflate(offer)
    assert found is not None
    assert found[1] == answer


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "permessage-bzip2",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=x",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
    ],
)
def test_unusable_offers_are_declined(offer: str) -> None:
    assert negotiate_deflate(offer) is None


@given(st.text())
def test_no_offer_raises(offer: str) -> None:
    negotiate_deflate(offer)
    negotiate_deflate("permessage-deflate;" + offer)


def pair(limit: int, deflate: Deflate | None) -> tuple[Connection, FrameReader, FrameWriter]:
    """Return a client of another make, and our server's two sides."""
    extensions: list[Any] = []
    if deflate is not None:
        extension = PerMessageDeflate()
        extension.finalize(deflate.header(client_bits_offered=True))
        extensions.append(extension)
    messages = BoundedMessages(limit, deflate)
    return Connection(ConnectionType.CLIENT, extensions), FrameReader(messages), FrameWriter(messages)


def read(reader: FrameReader, data: bytes) -> list[Event]:
    reader.feed(data)
    return list(iter(reader.next_event, None))


DEFLATES = st.none() | st.builds(Deflate, st.integers(9, 15), st.integers(9, 15), st.booleans(), st.booleans())


@given(st.lists(st.binary(max_size=3000) | st.text(max_size=1000), max_size=8), DEFLATES, st.integers(1, 500))
def test_messages_arrive_in_both_directions(messages: list[bytes | str], deflate: Deflate | None, cut: int) -> None:
    client, reader, writer = pair(10_000, deflate)
    for message in messages:
        sent = client.send(BytesMessage(message) if isinstance(message, bytes) else TextMessage(message))
        events = [e for start in range(0, len(sent), cut) for e in read(reader, sent[start : start + cut])]
        assert events == [Event("message", message)]
        client.receive_data(writer.message(message))
        joined: Any = (b"" if isinstance(message, bytes) else "").join(e.data for e in client.events())  # type: ignore[attr-defined]
        assert joined == message


@given(st.lists(st.text(max_size=300), min_size=1, max_size=6), DEFLATES)
def test_fragments_are_one_message_wherever_they_are_cut(pieces: list[str], deflate: Deflate | None) -> None:
    client, reader, _ = pair(10_000, deflate)
    sent = b"".join(
        client.send(TextMessage(piece, message_finished=n == len(pieces) - 1)) for n, piece in enumerate(pieces)
    )
    assert read(reader, sent) == [Event("message", "".join(pieces))]


@given(st.integers(0, 2000), DEFLATES)
def test_the_limit_is_exact(extra: int, deflate: Deflate | None) -> None:
    limit = 1000
    client, reader, _ = pair(limit, deflate)
    assert [e.kind for e in read(reader, client.send(BytesMessage(b"x" * limit)))] == ["message"]
    assert read(reader, client.send(BytesMessage(b"x" * (limit + 1 + extra)))) == [Event("failed", code=1009)]
    assert read(reader, client.send(BytesMessage(b"x"))) == []  # nothing follows a failure


def test_a_bomb_costs_no_more_memory_than_the_limit() -> None:
    _, reader, _ = pair(1000, Deflate())
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (deflater.compress(b"\0" * 1_800_000) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    size = len(bomb)
    assert 1000 < size < 2000
    head = bytes([0x82 | 0x40, 0x80 | 126]) + size.to_bytes(2, "big") + b"\0\0\0\0"
    tracemalloc.start()
    try:
        assert read(reader, head + bomb) == [Event("failed", code=1009)]
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_ping_inside_a_compressed_message_leaves_it_whole() -> None:
    client, reader, _ = pair(1000, Deflate())
    events = read(reader, client.send(TextMessage("hello ", message_finished=False)))
    events += read(reader, client.send(Ping(b"p")))
    events += read(reader, client.send(TextMessage("world")))
    assert events == [Event("ping", b"p"), Event("message", "hello world")]


def test_a_long_ping_is_answered_where_messages_must_be_short() -> None:
    client, reader, writer = pair(10, None)
    (event,) = read(reader, client.send(Ping(b"p" * 125)))
    assert event == Event("ping", b"p" * 125)
    client.receive_data(writer.pong(b"p" * 125))
    assert [type(e) for e in client.events()] == [Pong]


def test_a_frame_is_refused_by_its_claimed_size() -> None:
    _, reader, _ = pair(1000, None)
    assert read(reader, b"\x82\xff" + (2**40).to_bytes(8, "big")) == [Event("failed", code=1009)]


def test_events_are_made_as_they_are_asked_for() -> None:
    client, reader, _ = pair(1000, None)
    reader.feed(b"".join(client.send(TextMessage(str(n))) for n in range(3)))
    assert [reader.next_event() for _ in range(4)] == [*(Event("message", str(n)) for n in range(3)), None]


@pytest.mark.parametrize(("reason", "code"), [("", 1000), ("bye", 1000), ("é" * 61, 4999)])
def test_closing(reason: str, code: int) -> None:
    client, reader, writer = pair(1000, None)
    assert read(reader, client.send(CloseConnection(code, reason))) == [Event("closed", code=code, reason=reason)]
    client.receive_data(writer.close(code, reason))
    assert [(int(e.code), e.reason or "") for e in client.events() if isinstance(e, CloseConnection)] == [
        (code, reason)
    ]


@given(st.binary(max_size=200), st.integers(1, 200), DEFLATES)
def test_no_bytes_raise_and_cuts_change_nothing(data: bytes, cut: int, deflate: Deflate | None) -> None:
    whole = read(pair(100, deflate)[1], data)
    reader = pair(100, deflate)[1]
    pieces = [e for start in range(0, len(data), cut) for e in read(reader, data[start : start + cut])]
    assert pieces == whole
    assert sum(e.kind in ("closed", "failed") for e in whole) <= 1
