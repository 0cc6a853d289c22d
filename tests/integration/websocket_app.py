"""An app with every kind of WebSocket handler, for tests on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from quintet import (
    App,
    Body,
    Conflict,
    Cookie,
    Depends,
    Header,
    Meta,
    Name,
    Request,
    Router,
    Struct,
    Unauthorized,
    WebSocket,
    WebSocketDisconnect,
    WebSocketOptions,
)

app = App()

#: What has happened to connections, for tests to ask about.
log: list[str] = []


class Message(Struct):
    text: str
    times: Annotated[int, Meta(ge=1, le=3)] = 1


class Reply(Struct):
    echo: str


class Secretive(Reply):
    password: str = "secret"


class Greeter:
    def greet(self, name: str) -> str:
        return f"hello {name}"


app.provide_value(Greeter, Greeter())


@app.get("/log")
async def read_log() -> list[str]:
    return log


@app.get("/both")
async def both() -> str:
    return "plain"


@app.websocket("/echo")
async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)
    log.append(f"echo ended with {ws.close_code}")


@app.websocket("/raw")
async def raw(ws: WebSocket[str | bytes, str | bytes]) -> None:
    async for message in ws:
        await ws.send(message)


@app.websocket("/typed/{room}")
async def typed(
    ws: WebSocket[Message, Reply],
    room: str,
    greeter: Greeter,
    suffix: str = "",
    token: Header[Annotated[str, Name("X-Token")]] = "none",
    flavour: Cookie[str] = "plain",
) -> None:
    await ws.send(Secretive(echo=f"{greeter.greet(room)} {token} {flavour}"))
    async for message in ws:
        await ws.send(Reply(echo=message.text * message.times + suffix), binary=ws.is_binary)


@app.websocket("/listen")
async def listen(message: Message, ws: WebSocket) -> Reply | None:
    if message.text == "nothing":
        return None
    if message.text == "conflict":
        raise Conflict("not now")
    if message.text == "crash":
        raise ValueError("crashed")
    if message.text == "bye":
        await ws.close(4000, "you said so")
        return None
    return Reply(echo=message.text)


@app.websocket("/sync")
def sync(message: Message) -> Reply:
    return Reply(echo=message.text.upper())


@app.websocket("/dict")
async def dictionary(message: Body[dict[str, int]]) -> dict[str, int]:
    return {key: value + 1 for key, value in message.items()}


@app.websocket("/strict", websocket=WebSocketOptions(on_invalid="close"))
async def strict(message: Message) -> Reply:
    return Reply(echo=message.text)


@app.websocket("/small", websocket=WebSocketOptions(max_message=100))
async def small(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send_text(str(len(message)))


@app.websocket("/chat", websocket=WebSocketOptions(subprotocols=("v2.chat", "v1.chat")))
async def chat(ws: WebSocket) -> None:
    await ws.accept(headers={"x-greeting": "hello"})
    await ws.send(ws.subprotocol or "none")


async def resource(request: Request) -> AsyncIterator[str]:
    log.append("opened")
    try:
        yield request.path
    finally:
        log.append("closed")


@app.websocket("/resource")
async def with_resource(ws: WebSocket, path: Annotated[str, Depends(resource)]) -> None:
    await ws.send(path)
    await ws.receive()


async def deny(request: Request) -> None:
    if request.query.get("key") != "secret":
        raise Unauthorized("who are you?", headers={"www-authenticate": "Key"})


guarded = Router("/guarded", guards=[deny], websocket=WebSocketOptions(origins=("https://friend.example",)))


@guarded.websocket("/ws")
async def guarded_ws(ws: WebSocket) -> None:
    await ws.send("welcome")


app.include(guarded)


@app.websocket("/crash")
async def crash(ws: WebSocket) -> None:
    raise ValueError("before the handshake")


@app.websocket("/crash-later")
async def crash_later(ws: WebSocket) -> None:
    await ws.accept()
    raise ValueError("after the handshake")


@app.websocket("/refuse")
async def refuse(ws: WebSocket) -> None:
    await ws.close(reason="not you")


@app.websocket("/leave")
async def leave(ws: WebSocket) -> None:
    await ws.send("last words")


@app.websocket("/close/{code:int}")
async def close(ws: WebSocket, code: int) -> None:
    await ws.accept()
    await ws.close(code, "é" * 100)


@app.websocket("/flood")
async def flood(ws: WebSocket, count: int) -> None:
    log.append("flood begins")
    try:
        for number in range(count):
            await ws.send_text("x" * 10_000)
            if number == count - 1:
                log.append("flood sent")
    except WebSocketDisconnect:
        log.append("flood cut")
    await ws.receive()


@app.websocket("/slow")
async def slow(ws: WebSocket) -> None:
    await ws.accept()
    await asyncio.sleep(1)
    count = 0
    async for message in ws:
        if message == "count":
            await ws.send(str(count))
        count += 1


@app.lifespan
async def life() -> AsyncIterator[None]:
    yield
    print(f"the app stops after: {', '.join(log)}", flush=True)


@app.websocket("/tidy")
async def tidy(ws: WebSocket) -> None:
    try:
        async for message in ws:
            await ws.send(message)
    finally:
        await asyncio.sleep(0.3)
        log.append("tidied up")


@app.websocket("/ping", websocket=WebSocketOptions(ping_interval=0.5))
async def ping(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)
    log.append(f"ping ended with {ws.close_code}")
