"""An app with event streams, for tests on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from quintet import App, Depends, Event, EventStream, Header, Name, Struct

app = App()
log: list[str] = []


class Tick(Struct):
    number: int


class Detailed(Tick):
    secret: str = "hidden"


@app.get("/log")
async def read_log() -> list[str]:
    return log


@app.get("/ticks")
async def ticks(last: Header[Annotated[int, Name("Last-Event-ID")]] = 0) -> AsyncIterator[Event[Tick]]:
    yield Event(retry=1500, comment="begin")
    for number in range(last + 1, last + 4):
        yield Event(data=Detailed(number=number), id=str(number), event="tick")


@app.get("/texts")
async def texts() -> EventStream[str]:
    async def lines() -> AsyncIterator[str]:
        yield "one\ntwo\r\nthree"
        yield "naïve 🎻"
        yield ""

    return EventStream(lines())


@app.get("/sync")
def in_thread() -> Iterator[Event[int]]:
    for number in range(3):
        yield Event(data=number)


async def resource() -> AsyncIterator[str]:
    log.append("opened")
    try:
        yield "resource"
    finally:
        log.append("resource closed")


@app.get("/forever")
async def forever(name: Annotated[str, Depends(resource)]) -> AsyncIterator[Event[str]]:
    try:
        yield Event(data=name)
        async with asyncio.timeout(60):
            await asyncio.Event().wait()
    finally:
        log.append("generator closed")


@app.post("/forever")
async def forever_posted() -> AsyncIterator[Event[str]]:
    try:
        while True:
            yield Event(data="x" * 1000)
            await asyncio.sleep(0.01)
    finally:
        log.append("post closed")


@app.get("/quiet")
async def quiet() -> EventStream[str]:
    async def events() -> AsyncIterator[str]:
        await asyncio.sleep(0.7)
        yield "at last"

    return EventStream(events(), keep_alive=0.2)


@app.get("/broken")
async def broken() -> AsyncIterator[Event[str]]:
    yield Event(data="fine")
    raise ValueError("broken")
