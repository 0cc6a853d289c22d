from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from quintet.server.deflate import BoundedMessages, Deflate, negotiate_deflate


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


def pair(limit: int, deflate: Deflate | None) -> tuple[Connection, Connection]:
    """Return a client and our server's side, which understand each other."""
    extensions: list[Any] = []
    if deflate is not None:
        extension = PerMessageDeflate()
        extension.finalize(deflate.header(client_bits_offered=True))
        extensions.append(extension)
    return Connection(ConnectionType.CLIENT, extensions), Connection(
        ConnectionType.SERVER, [BoundedMessages(limit, deflate)]
    )


def received(connection: Connection, data: bytes) -> list[Event]:
    connection.receive_data(data)
    return list(connection.events())


DEFLATES = st.none() | st.builds(Deflate, st.integers(9, 15), st.integers(9, 15), st.booleans(), st.booleans())


@given(st.lists(st.binary(max_size=3000) | st.text(max_size=1000), max_size=8), DEFLATES)
def test_messages_arrive_in_both_directions(messages: list[bytes | str], deflate: Deflate | None) -> None:
    client, server = pair(10_000, deflate)
    for message in messages:
        event: Any = BytesMessage(message) if isinstance(message, bytes) else TextMessage(message)
        for sender, receiver in ((client, server), (server, client)):
            events = received(receiver, sender.send(event))
            joined: Any = (b"" if isinstance(message, bytes) else "").join(e.data for e in events)  # type: ignore[attr-defined]
            assert joined == message


@given(st.integers(0, 2000), DEFLATES)
def test_the_limit_is_exact(extra: int, deflate: Deflate | None) -> None:
    limit = 1000
    client, server = pair(limit, deflate)
    assert not any(isinstance(e, CloseConnection) for e in received(server, client.send(BytesMessage(b"x" * limit))))
    (*_, last) = received(server, client.send(BytesMessage(b"x" * (limit + 1 + extra))))
    assert isinstance(last, CloseConnection)
    assert last.code == 1009


def test_a_bomb_costs_no_more_memory_than_the_limit() -> None:
    client, server = pair(1000, Deflate())
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (deflater.compress(b"\0" * 10_000_000) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    size = len(bomb)
    assert size < 65536
    head = bytes([0x82 | 0x40, 0x80 | 126]) + size.to_bytes(2, "big") + b"\0\0\0\0"
    (event,) = received(server, head + bomb)
    assert isinstance(event, CloseConnection)
    assert event.code == 1009
    del client


def test_a_ping_inside_a_compressed_message_leaves_it_whole() -> None:
    client, server = pair(1000, Deflate())
    events = received(server, client.send(TextMessage("hello ", message_finished=False)))
    events += received(server, client.send(Ping(b"p")))
    events += received(server, client.send(TextMessage("world")))
    assert "".join(e.data for e in events if isinstance(e, TextMessage)) == "hello world"
    assert Ping(b"p") in events
