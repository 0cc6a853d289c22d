from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from quintet import App, Event, EventStream, Header, Struct

app = App()


# --8<-- [start:typed]
class Progress(Struct):
    done: int
    total: int


@app.get("/progress")
async def progress() -> AsyncIterator[Event[Progress]]:
    for done in range(1, 4):
        yield Event(data=Progress(done=done, total=3), event="progress")
        await asyncio.sleep(0.01)
    yield Event(event="end", comment="close the EventSource now")


# --8<-- [end:typed]


# --8<-- [start:resume]
headlines = ["Rain", "Snow", "Sun"]


@app.get("/headlines")
async def news(last_event_id: Header[int] = 0) -> AsyncIterator[Event[str]]:
    yield Event(retry=2000)
    for number, headline in enumerate(
        headlines[last_event_id:], last_event_id + 1
    ):
        yield Event(data=headline, id=str(number))


# --8<-- [end:resume]


# --8<-- [start:stream]
@app.get("/answer")
async def answer(question: str) -> EventStream[str]:
    async def words() -> AsyncIterator[str]:
        for word in f"You asked: {question}".split():
            yield word

    return EventStream(words(), keep_alive=5)


# --8<-- [end:stream]
