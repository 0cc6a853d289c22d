from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from quintet import (
    App,
    Conflict,
    Header,
    Meta,
    Request,
    Struct,
    Unauthorized,
    WebSocket,
    WebSocketDisconnect,
    WebSocketOptions,
)

app = App()


# --8<-- [start:echo]
@app.websocket("/echo")
async def echo(ws: WebSocket) -> None:
    async for text in ws:
        await ws.send(text.upper())


# --8<-- [end:echo]


# --8<-- [start:typed]
class Bid(Struct):
    amount: Annotated[int, Meta(gt=0)]


class Standing(Struct):
    item: str
    highest: int


@app.websocket("/auctions/{item}")
async def auction(
    item: str, ws: WebSocket[Bid, Standing], start: int = 0
) -> None:
    highest = start
    await ws.send(Standing(item=item, highest=highest))
    async for bid in ws:
        highest = max(highest, bid.amount)
        await ws.send(Standing(item=item, highest=highest))


# --8<-- [end:typed]


# --8<-- [start:listener]
class Question(Struct):
    a: int
    b: int


class Answer(Struct):
    sum: int


@app.websocket("/sums")
async def add(question: Question) -> Answer:
    if question.a == question.b:
        raise Conflict("that is too easy")
    return Answer(sum=question.a + question.b)


# --8<-- [end:listener]


# --8<-- [start:rooms]
rooms: dict[str, set[WebSocket]] = {}


@app.websocket("/rooms/{name}")
async def room(name: str, ws: WebSocket) -> None:
    await ws.accept()
    members = rooms.setdefault(name, set())
    members.add(ws)
    try:
        async for text in ws:
            for member in list(members):
                with suppress(WebSocketDisconnect):  # this member has just gone
                    await member.send(text)
    finally:
        members.discard(ws)


# --8<-- [end:rooms]


# --8<-- [start:guard]
async def known(request: Request) -> None:
    if request.cookies.get("session") != "s3cret":
        raise Unauthorized("log in first")


@app.websocket("/private", guards=[known])
async def private(ws: WebSocket, user_agent: Header[str] = "") -> None:
    await ws.accept(headers={"x-welcome": "back"})
    await ws.send(f"hello, {user_agent}")
    await ws.close(4000, "that was all")


# --8<-- [end:guard]


# --8<-- [start:options]
@app.websocket(
    "/feed",
    websocket=WebSocketOptions(
        origins=("https://app.example",),
        subprotocols=("v2.feed", "v1.feed"),
        max_message=64 * 1024,
        on_invalid="close",
    ),
)
async def feed(question: Question, ws: WebSocket) -> Answer:
    scale = 10 if ws.subprotocol == "v2.feed" else 1
    return Answer(sum=scale * (question.a + question.b))


# --8<-- [end:options]
