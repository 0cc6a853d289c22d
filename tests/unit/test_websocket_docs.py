"""What docs/how-to/websockets.md says of its examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.docs.websockets import app
from quintet.http.channel import WebSocketDisconnect
from quintet.testing import Client, WebSocketRefused


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(app) as found:
        yield found


def test_echo(client: Client) -> None:
    with client.websocket("/echo") as ws:
        ws.send_text("hello")
        assert ws.receive_text() == "HELLO"


def test_typed(client: Client) -> None:
    with client.websocket("/auctions/piano?start=5") as ws:
        assert ws.receive_json() == {"item": "piano", "highest": 5}
        ws.send_json({"amount": 7})
        assert ws.receive_json() == {"item": "piano", "highest": 7}
        ws.send_json({"amount": 0})
        assert ws.receive_json() == {
            "type": "about:blank",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "1 field is wrong",
            "errors": [
                {
                    "loc": ["message", "amount"],
                    "msg": "The value must be greater than 0.",
                    "code": "gt",
                    "ctx": {"gt": 0},
                }
            ],
        }


def test_listener(client: Client) -> None:
    with client.websocket("/sums") as ws:
        ws.send_json({"a": 1, "b": 2})
        assert ws.receive_json() == {"sum": 3}
        ws.send_json({"a": 1, "b": 1})
        assert ws.receive_json()["status"] == 409


def test_rooms(client: Client) -> None:
    rooms = [client.websocket(path) for path in ("/rooms/a", "/rooms/a", "/rooms/b")]
    with rooms[0] as one, rooms[1] as two, rooms[2] as other:
        one.send_text("hi")
        assert one.receive_text() == "hi"
        assert two.receive_text() == "hi"
        other.send_text("alone")
        assert other.receive_text() == "alone"


def test_guard(client: Client) -> None:
    with pytest.raises(WebSocketRefused) as caught, client.websocket("/private"):
        pass
    assert caught.value.response.status_code == 401
    with client.websocket("/private", headers={"cookie": "session=s3cret", "user-agent": "me"}) as ws:
        assert ws.response.headers["x-welcome"] == "back"
        assert ws.receive_text() == "hello, me"
        with pytest.raises(WebSocketDisconnect):
            ws.receive_text()
        assert (ws.close_code, ws.close_reason) == (4000, "that was all")


def test_options(client: Client) -> None:
    with client.websocket("/feed", subprotocols=["v1.feed", "v2.feed"]) as ws:
        assert ws.subprotocol == "v2.feed"
        ws.send_json({"a": 1, "b": 2})
        assert ws.receive_json() == {"sum": 30}
        ws.send_text("{")
        with pytest.raises(WebSocketDisconnect):
            ws.receive_text()
        assert ws.close_code == 1007
    with pytest.raises(WebSocketRefused), client.websocket("/feed", headers={"origin": "https://evil.example"}):
        pass
