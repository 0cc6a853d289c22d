from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from quintet.http.connection import Connection
from quintet.http.limits import Limits
from quintet.http.request import Request
from quintet.http.sse import Event
from quintet.http.streaming import KEEP_ALIVE_COMMENT, encoded_chunks, event_chunks, iterate_chunks

encode = msgspec.json.encode


class Line(Connection):
    """A connection whose client goes when the test says so."""

    __slots__ = ("gone",)

    def __init__(self) -> None:
        super().__init__("native", "", "http", Limits())
        self.gone = asyncio.Event()

    async def disconnected(self) -> None:
        await self.gone.wait()


def make_request(connection: Connection | None = None) -> Request:
    return Request("GET", "/", b"", [], {}, b"", connection or Line())


async def collect(chunks: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in chunks]


async def test_values_and_events_are_sent() -> None:
    async def events() -> AsyncIterator[Any]:
        yield {"a": 1}
        yield "text"
        yield Event(data=2, id="x")

    assert await collect(event_chunks(make_request(), events(), encode, 15)) == [
        b'data: {"a":1}\n\n', b"data: text\n\n", b"id: x\ndata: 2\n\n",
    ]  # fmt: skip


async def test_sync_events_are_read_in_threads() -> None:
    def events() -> Iterator[int]:
        yield 1
        yield 2

    assert await collect(event_chunks(make_request(), events(), encode, 15)) == [b"data: 1\n\n", b"data: 2\n\n"]


async def test_a_generator_runs_in_one_task_and_not_ahead() -> None:
    tasks: list[Any] = []

    async def events() -> AsyncIterator[int]:
        try:
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
                for number in range(3):
                    tasks.append(asyncio.current_task())
                    yield number
        finally:
            tasks.append(asyncio.current_task())

    chunks = event_chunks(make_request(), events(), encode, 15)
    await anext(chunks)
    await asyncio.sleep(0.01)
    assert len(tasks) == 1
    await collect(chunks)
    assert len(tasks) == 4
    assert len(set(tasks)) == 1


async def test_silence_is_commented() -> None:
    async def events() -> AsyncIterator[int]:
        await asyncio.sleep(0.1)
        yield 1

    *comments, last = await collect(event_chunks(make_request(), events(), encode, 0.03))
    assert comments
    assert set(comments) == {KEEP_ALIVE_COMMENT}
    assert last == b"data: 1\n\n"


@pytest.mark.parametrize("how", ["gone", "closed", "cancelled"])
async def test_the_generator_and_what_it_depends_on_end_with_the_client(how: str) -> None:
    ended: list[str] = []
    line = Line()

    async def events() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.append("generator")

    async def close() -> None:
        ended.append("dependencies")

    chunks: Any = event_chunks(make_request(line), events(), encode, 15, close=close)
    assert await anext(chunks) == b"data: 1\n\n"
    if how == "closed":
        await chunks.aclose()
    else:
        task = asyncio.create_task(collect(chunks))
        await asyncio.sleep(0.01)
        if how == "gone":
            line.gone.set()
            assert await task == []
        else:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert ended == ["generator", "dependencies"]


async def test_an_exception_ends_the_stream_and_is_raised() -> None:
    async def events() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    chunks = event_chunks(make_request(), events(), encode, 15)
    assert await anext(chunks) == b"data: 1\n\n"
    with pytest.raises(ValueError, match="broken"):
        await anext(chunks)


async def test_chunks_close_their_source() -> None:
    ended: list[str] = []

    async def values() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append("values")

    async def close() -> None:
        ended.append("close")

    chunks: Any = encoded_chunks(values(), encode, asyncio.to_thread, close, first=b"head;")
    assert [await anext(chunks), await anext(chunks)] == [b"head;", b"1"]
    await chunks.aclose()
    assert ended == ["values", "close"]


async def test_what_a_stream_depends_on_ends_where_nothing_was_asked_for() -> None:
    async def values() -> AsyncIterator[int]:
        yield 1

    for build in (
        lambda close: encoded_chunks(values(), encode, asyncio.to_thread, close),
        lambda close: event_chunks(make_request(), values(), encode, 15, close=close),
    ):
        ended: list[str] = []

        async def close(ended: list[str] = ended) -> None:
            ended.append("close")

        chunks = build(close)
        await chunks.aclose()
        await chunks.aclose()
        assert ended == ["close"]


async def test_text_and_bytes_are_chunks() -> None:
    assert await collect(iterate_chunks(iter(["é", b"b"]), asyncio.to_thread)) == ["é".encode(), b"b"]
