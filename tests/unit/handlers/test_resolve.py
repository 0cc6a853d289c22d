"""Resolvers provide types by more than their name, and dependencies settle before the answer is encoded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest

from quintet import App, ConfigurationError, Depends, Struct
from quintet.handlers.params import Settle
from quintet.handlers.resolve import Wanted
from quintet.testing import Client


class Clock:
    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.settled = False


def test_a_resolver_sees_what_stands_beside_a_type_and_who_asks() -> None:
    seen: list[Wanted] = []
    app = App()

    def resolve(wanted: Wanted) -> Depends | None:
        if wanted.type is not Clock:
            return None
        seen.append(wanted)
        if "mars" in wanted.marks:
            raise wanted.problem("clock.zone", "is too far away", "stay here")
        return Depends(lambda: Clock(wanted.marks[0]), inline=True)

    app.add_resolver(resolve)

    @app.get("/a")
    async def zone(clock: Annotated[Clock, "here"]) -> str:
        return clock.zone

    @app.post("/b")
    def other(clock: Annotated[Clock, "there"]) -> str:
        return clock.zone

    with Client(app) as client:
        assert (client.get("/a").text, client.post("/b").text) == ("here", "there")
    assert [(w.name, w.is_async, tuple(w.methods)) for w in seen] == [
        ("clock", True, ("GET",)),
        ("clock", False, ("POST",)),
    ]

    @app.get("/c")
    async def far(clock: Annotated[Clock, "mars"]) -> str:
        return clock.zone

    with pytest.raises(ConfigurationError, match="the parameter 'clock' is too far away"):
        _ = app.dispatcher


def test_a_test_puts_something_else_in_the_place_of_what_is_resolved() -> None:
    app = App()
    app.add_resolver(lambda w: Depends(lambda: Clock("real"), inline=True) if w.type is Clock else None)

    @app.get("/")
    async def zone(clock: Clock) -> str:
        return clock.zone

    with app.override(Clock, lambda: Clock("test")), Client(app) as client:
        assert client.get("/").text == "test"


class Shown(Struct):
    settled: bool
    order: list[str]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_dependency_settles_between_the_handler_and_the_encoding(kind: str) -> None:
    order: list[str] = []

    async def settle(clock: Clock) -> None:
        order.append("settle")
        clock.settled = True

    def settle_sync(clock: Clock) -> None:
        order.append("settle")
        clock.settled = True

    async def provide() -> AsyncIterator[Clock]:
        yield Clock("")
        order.append("end")

    def provide_sync() -> Iterator[Clock]:
        yield Clock("")
        order.append("end")

    needed = Settle(lambda clock: not clock.settled, settle if kind == "async" else settle_sync)
    depends = Depends(provide if kind == "async" else provide_sync, settle=needed)
    app = App()

    class Late:
        """Shows what is so when it is encoded."""

        def __init__(self, clock: Clock) -> None:
            self.clock = clock

        @property
        def settled(self) -> bool:
            return self.clock.settled

        @property
        def order(self) -> list[str]:
            return list(order)

    @app.get("/")
    async def show(clock: Annotated[Clock, depends]) -> Shown:
        order.append("handler")
        late: Any = Late(clock)
        return late

    with Client(app) as client:
        assert client.get("/").json() == {"settled": True, "order": ["handler", "settle"]}
    assert order == ["handler", "settle", "end"]
