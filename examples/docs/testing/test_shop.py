import pytest
from shop import app

from quintet import WebSocketDisconnect
from quintet.testing import AsyncClient, Client


def test_an_item_is_added() -> None:
    with Client(app) as client:
        response = client.post("/items", json={"name": "chair", "price": 80})
        assert response.status_code == 201
        assert client.get("/items").json()[1] == {"name": "chair", "price": 80}


def test_the_news_are_streamed() -> None:
    with Client(app) as client, client.stream("GET", "/news") as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines == ["data: open", "data: lamp sold"]


def test_the_chat_answers() -> None:
    with Client(app) as client, client.websocket("/chat") as ws:
        ws.send_text("hello")
        assert ws.receive_text() == "HELLO"
        ws.close()
        with pytest.raises(WebSocketDisconnect):
            ws.receive()
    assert ws.close_code == 1000


def test_a_bug_is_raised_here() -> None:
    with (
        Client(app) as client,
        pytest.raises(ValueError, match="no such shelf"),
    ):
        client.get("/broken")


def test_a_bug_is_a_500_for_the_client() -> None:
    with Client(app, raise_server_exceptions=False) as client:
        assert client.get("/broken").status_code == 500


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_works_from_async_code(anyio_backend: str) -> None:
    async with AsyncClient(app) as client:
        assert (await client.get("/items")).status_code == 200
