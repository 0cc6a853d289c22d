from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest

from quintet import Depends, Event, EventStream, Struct
from quintet.app import Application
from quintet.testing import Client


class Tick(Struct):
    number: int


closed: list[str] = []


def source() -> Iterator[str]:
    yield "open"
    closed.append("closed")


async def ticks() -> AsyncIterator[Event[Tick]]:
    yield Event(Tick(number=1), id="a")
    assert not closed
    yield Event(Tick(number=2), id="b")


async def generated() -> AsyncIterator[Event[Tick]]:
    async for event in ticks():
        yield event


async def returned() -> EventStream[Tick]:
    return EventStream(ticks(), headers={"x-own": "1"})


async def with_dependency(_: Annotated[str, Depends(source)]) -> EventStream[Tick]:
    return EventStream(ticks())


@pytest.mark.parametrize("handler", [generated, returned, with_dependency])
def test_events_are_sent_whether_yielded_or_returned(handler: Callable[..., Any]) -> None:
    closed.clear()
    app = Application()
    app.get("/events")(handler)
    with Client(app) as client:
        response = client.get("/events")
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers.get("x-own") == ("1" if handler is returned else None)
    assert response.text == 'id: a\ndata: {"number":1}\n\nid: b\ndata: {"number":2}\n\n'
    assert closed == (["closed"] if handler is with_dependency else [])
