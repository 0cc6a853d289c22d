"""The target of the fault recipes: slow, large and failing routes, and a probe that tells how the process is."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import psutil

from quintet import App, Depends, File, Request, Stream, Struct, Upload, WebSocket

FOLDER = Path(os.environ.get("FAULTS_FOLDER", "."))
process = psutil.Process()
app = App(docs=False)
state = {"opened": 0, "closed": 0, "active": 0, "stored": 0}


class Item(Struct):
    name: str
    quantity: int = 1


@app.get("/probe", inline=True)
def probe() -> dict[str, Any]:
    return {
        "rss": process.memory_info().rss,
        "descriptors": process.num_fds(),
        "threads": threading.active_count(),
        "cpu": time.process_time(),
        "pid": os.getpid(),
        **state,
    }


@app.get("/tasks")
async def tasks() -> int:
    return len(asyncio.all_tasks())


@app.get("/fast")
async def fast() -> dict[str, str]:
    return {"hello": "world"}


@app.get("/slow")
async def slow(seconds: float = 0.05) -> str:
    await asyncio.sleep(seconds)
    return "slow"


@app.get("/thread")
def in_a_thread(seconds: float = 0.01) -> str:
    time.sleep(seconds)
    return "thread"


@app.get("/fail")
async def fail() -> str:
    raise RuntimeError("as the recipe wants")


@app.post("/items", status=201)
async def items(item: Item) -> Item:
    return item


async def resource() -> AsyncIterator[str]:
    """Stands for a connection of a database: opened and closed around a request, whatever happens."""
    state["opened"] += 1
    state["active"] += 1
    try:
        yield "resource"
    finally:
        state["active"] -= 1
        state["closed"] += 1


Resource = Annotated[str, Depends(resource)]


@app.post("/work")
async def work(request: Request, resource: Resource) -> int:
    size = len(await request.body())
    await asyncio.sleep(0.05)
    state["stored"] += 1
    return size


@app.get("/work")
async def read_work(resource: Resource, seconds: float = 0.2) -> str:
    await asyncio.sleep(seconds)
    return "done"


@app.get("/held/stream")
async def stream_work(resource: Resource, size: int = 50_000_000) -> Stream:
    return Stream(pieces(size))


@app.post("/upload", max_body=1 << 30)
async def upload(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@app.post("/file", max_body=1 << 30)
async def upload_file(file: Upload) -> int:
    return file.size


@app.get("/stream")
async def stream(size: int = 50_000_000) -> Stream:
    return Stream(pieces(size))


async def pieces(size: int) -> AsyncIterator[bytes]:
    while size > 0:
        yield b"x" * min(size, 65_536)
        size -= 65_536


@app.get("/file")
async def file() -> File:
    return File(FOLDER / "large.bin")


@app.websocket("/ws")
async def websocket(ws: WebSocket) -> None:
    async for text in ws:
        await ws.send(text)
