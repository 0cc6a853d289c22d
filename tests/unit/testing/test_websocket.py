from __future__ import annotations

from collections.abc import Iterator

import pytest

from quintet import App, Struct, WebSocket, WebSocketDisconnect, WebSocketOptions
from quintet.testing import AsyncClient, Client, WebSocketRefused


class Move(Struct):
    x: int


def make_app() -> App:
    app = App(docs=False)
    seen: list[int] = app.state.setdefault("codes", [])

    @app.websocket("/echo/{room}")
    async def echo(websocket: WebSocket[str, str], room: int) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send(f"{room}: {await websocket.receive()}")
        except WebSocketDisconnect as exc:
            seen.append(exc.code)
            raise

    @app.websocket("/moves")
    async def moves(move: Move) -> Move:
        if move.x < 0:
            raise ValueError("negative")
        return Move(x=move.x + 1)

    @app.websocket("/bytes")
    async def binary(websocket: WebSocket[bytes, bytes]) -> None:
        await websocket.accept()
        await websocket.send(bytes(300_000))
        await websocket.close(4001, "enough")

    @app.websocket("/chat", websocket=WebSocketOptions(subprotocols=("v2", "v1")))
    async def chat(websocket: WebSocket[str, str]) -> None:
        await websocket.accept()
        await websocket.receive()

    return app


@pytest.fixture
def app() -> App:
    return make_app()


@pytest.fixture
def client(app: App) -> Iterator[Client]:
    with Client(app) as one:
        yield one


async def test_messages_go_both_ways(app: App) -> None:
    async with AsyncClient(app) as client, client.websocket("/echo/3") as ws:
        await ws.send_text("a")
        await ws.send_text("b")
        assert await ws.receive_text() == "3: a"
        assert await ws.receive_text() == "3: b"
        assert ws.close_code is None
    assert ws.close_code == 1000
    assert app.state["codes"] == [1000]


def test_messages_go_both_ways_in_sync_code(client: Client, app: App) -> None:
    with client.websocket("/echo/3") as ws:
        ws.send_text("é")
        assert ws.receive() == "3: é"
        ws.close(4000, "bye")
    assert (ws.close_code, app.state["codes"]) == (4000, [4000])


def test_typed_messages_are_json(client: Client) -> None:
    with client.websocket("/moves") as ws:
        ws.send_json({"x": 1})
        assert ws.receive_json() == {"x": 2}
        ws.send_json({"x": "?"})
        assert ws.receive_json()["errors"][0]["loc"] == ["message", "x"]


def test_the_close_of_the_app_is_raised_with_its_code(client: Client) -> None:
    with client.websocket("/bytes") as ws:
        assert len(ws.receive_bytes()) == 300_000
        with pytest.raises(WebSocketDisconnect) as caught:
            ws.receive()
        assert (caught.value.code, caught.value.reason) == (4001, "enough")
    assert (ws.close_code, ws.close_reason) == (4001, "enough")


def test_a_session_can_be_iterated(client: Client) -> None:
    with client.websocket("/bytes") as ws:
        assert [len(message) for message in ws] == [300_000]


def test_the_subprotocol_is_negotiated(client: Client) -> None:
    with client.websocket("/chat", subprotocols=["v1", "v3"]) as ws:
        assert ws.subprotocol == "v1"
        assert ws.response.status_code == 101


@pytest.mark.parametrize("path", ["/echo/x", "/none"])
def test_a_refused_handshake_has_its_response(client: Client, path: str) -> None:
    with pytest.raises(WebSocketRefused) as caught, client.websocket(path):
        pass
    assert caught.value.response.status_code == 404


def test_the_exception_of_a_handler_is_raised(client: Client) -> None:
    with client.websocket("/moves") as ws:
        ws.send_json({"x": -1})
        with pytest.raises(ValueError, match="negative"):
            ws.receive()


def test_the_exception_of_a_handler_is_raised_at_the_end(client: Client) -> None:
    with pytest.raises(ValueError, match="negative"), client.websocket("/moves") as ws:
        ws.send_json({"x": -1})


def test_the_exception_of_a_handler_can_be_a_close_code(app: App) -> None:
    with Client(app, raise_server_exceptions=False) as client, client.websocket("/moves") as ws:
        ws.send_json({"x": -1})
        with pytest.raises(WebSocketDisconnect):
            ws.receive()
        assert ws.close_code == 1011


def test_waiting_for_a_message_can_be_limited(client: Client) -> None:
    with client.websocket("/echo/1") as ws:
        with pytest.raises(TimeoutError):
            ws.receive(timeout=0.05)
        ws.send_text("still open")
        assert ws.receive_text() == "1: still open"
