"""What real clients and proxies are tried with: one app that tells what it has seen."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from quintet import App, CallNext, Event, EventStream, File, Limits, Request, Response, Stream, WebSocket

FOLDER = Path(os.environ.get("PROXIED_FOLDER", "."))
seen: Counter[str] = Counter()
events: dict[str, asyncio.Event] = {}


async def count(request: Request, call_next: CallNext) -> Response[Any]:
    """Count requests by their path: the side of the app in every comparison."""
    seen[f"{request.method} {request.path}"] += 1
    return await call_next(request)


app = App(
    docs=False,
    middleware=[count],
    limits=Limits(body=64 * 1024 * 1024, keep_alive=float(os.environ.get("PROXIED_KEEP_ALIVE", "20"))),
)


def event(name: str) -> asyncio.Event:
    return events.setdefault(name, asyncio.Event())


async def echo(request: Request) -> dict[str, Any]:
    body = await request.body()
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "client": request.client,
        "scheme": request.scheme,
        "host": request.host,
        "url": request.url,
        "headers": request.headers.items(),
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "pid": os.getpid(),
    }


app.route("/echo", ("GET", "POST", "PUT", "PATCH", "DELETE"))(echo)


async def marked(request: Request, rest: str) -> dict[str, Any]:
    return {"marker": rest, "length": len(await request.body())}


app.route("/m/{rest:path}", ("GET", "POST", "PUT"))(marked)


@app.get("/seen")
async def read_seen() -> dict[str, int]:
    return dict(seen)


@app.get("/large")
async def large(size: int = 1_000_000) -> bytes:
    return b"x" * size


@app.get("/streamed")
async def streamed(size: int = 1_000_000) -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        left = size
        try:
            while left:
                piece = min(left, 65_536)
                left -= piece
                yield b"y" * piece
                await asyncio.sleep(0)
        except (asyncio.CancelledError, GeneratorExit):
            seen["streams cut"] += 1
            raise

    return Stream(chunks())


@app.get("/file")
async def file() -> File:
    return File(FOLDER / "large.bin")


async def upload(request: Request, name: str = "") -> dict[str, Any]:
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
        if name and size:
            event(f"begun {name}").set()
    return {"size": size, "sha256": digest.hexdigest()}


app.route("/upload", ("POST", "PUT"))(upload)
app.route("/uploads/large", ("POST", "PUT"), max_body=1 << 30)(upload)


@app.get("/wait/{name}")
async def wait(name: str, seconds: float = 10) -> bool:
    """Tell whether an event happens in time."""
    try:
        async with asyncio.timeout(seconds):
            await event(name).wait()
    except TimeoutError:
        return False
    return True


@app.post("/set/{name}")
async def set_event(name: str) -> None:
    event(name).set()


@app.get("/events/{name}")
async def send_events(name: str) -> EventStream[str]:
    async def lines() -> AsyncIterator[Event[str]]:
        yield Event(data="one")
        await event(name).wait()
        yield Event(data="two")

    return EventStream(lines())


@app.get("/slow")
async def slow(seconds: float = 0.3) -> str:
    seen["slow begun"] += 1
    await asyncio.sleep(seconds)
    return "slow"


@app.post("/refuse", max_body=1000)
async def refuse(request: Request) -> int:
    return len(await request.body())


@app.get("/empty", status=204)
async def empty() -> None:
    return None


@app.get("/page")
async def page() -> Response[str]:
    return Response("<!doctype html><title>page</title><p id=answer>waiting</p>", media_type="text/html; charset=utf-8")


@app.websocket("/ws")
async def websocket(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)
