"""The types of WebSockets as a user's type checker sees them."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import Any, assert_type

from quintet import App, Struct, WebSocket


class Message(Struct):
    text: str


class Reply(Struct):
    echo: str


app = App()


@app.websocket("/typed")
async def typed(ws: WebSocket[Message, Reply]) -> None:
    assert_type(await ws.receive(), Message)
    async for message in ws:
        assert_type(message, Message)
        await ws.send(Reply(echo=message.text))


@app.websocket("/plain")
async def plain(ws: WebSocket) -> None:
    assert_type(ws, WebSocket[str, Any])
    assert_type(await ws.receive(), str)
    await ws.send({"anything": 1})


@app.websocket("/listen")
async def listen(message: Message) -> Reply:
    return Reply(echo=message.text)
