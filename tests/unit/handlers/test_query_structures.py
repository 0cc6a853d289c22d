from __future__ import annotations

import pytest

from quintet.factory import App
from quintet.handlers.inputs import InputFailure
from quintet.handlers.params import Query
from quintet.handlers.plan import Input
from quintet.schema.struct import Struct


class Window(Struct):
    limit: int = 10


class Words(Struct):
    q: str = ""


def inputs(app: App) -> dict[str, Input]:
    _ = app.dispatcher
    plan = next(c.plan for c in app.compiled if c.name == "search")
    assert plan is not None
    return {i.name: i for i in plan.inputs}


@pytest.fixture
def app() -> App:
    app = App()

    @app.get("/")
    async def search(window: Window, words: Query[Words], page: int = 1) -> str:
        return ""

    return app


def test_a_structure_in_the_query_does_not_see_the_parameters_of_others(app: App):
    found = inputs(app)
    query = {"limit": "5", "page": "2", "q": "lamp"}
    assert found["window"].read is not None
    assert found["words"].read is not None
    assert found["window"].read(query) == Window(limit=5)
    assert found["words"].read(query) == Words(q="lamp")


def test_a_structure_in_the_query_still_refuses_what_nobody_takes(app: App):
    read = inputs(app)["window"].read
    assert read is not None
    with pytest.raises(InputFailure) as caught:
        read({"limit": "5", "wrong": "1"})
    assert [e.loc for e in caught.value.errors] == [("query", "wrong")]
