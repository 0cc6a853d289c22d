from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from quintet import App, Stream, Struct

app = App()


# --8<-- [start:items]
class Reading(Struct):
    second: int
    value: float


@app.get("/readings", produces=("jsonl", "csv"))
async def readings() -> AsyncIterator[Reading]:
    for second in range(3):
        yield Reading(second=second, value=second / 2)


# --8<-- [end:items]


# --8<-- [start:text]
@app.get("/poem")
async def poem() -> AsyncIterator[str]:
    yield "Roses are red,\n"
    yield "violets are blue.\n"


# --8<-- [end:text]


# --8<-- [start:stream]
@app.get("/backup")
async def backup() -> Stream:
    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield b"data"

    return Stream(chunks(), media_type="application/x-tar")


# --8<-- [end:stream]
