"""Generators are answered as they go: JSON Lines, CSV, text, bytes, server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest

from quintet import App, Depends, Event, EventStream, Request, Response, Stream, Struct
from quintet.errors import ConfigurationError
from quintet.testing import Client


class Row(Struct):
    id: int
    name: str = "x"


def serve(*handlers: Any, **options: Any) -> Client:
    app = App(docs=False)
    for handler in handlers:
        app.get(f"/{handler.__name__}", **options)(handler)
    return Client(app, raise_server_exceptions=False)


async def rows() -> AsyncIterator[Row]:
    yield Row(id=1)
    yield Row(id=2, name="a,b")


def sync_rows() -> Iterator[Row]:
    yield Row(id=1)
    yield Row(id=2, name="a,b")


def test_items_are_json_lines() -> None:
    with serve(rows, sync_rows) as client:
        for path in ("/rows", "/sync_rows"):
            response = client.get(path)
            assert response.headers["content-type"].startswith("application/jsonl")
            assert [json.loads(line) for line in response.text.splitlines()] == [
                {"id": 1, "name": "x"},
                {"id": 2, "name": "a,b"},
            ]


def test_items_are_csv_where_the_route_produces_it() -> None:
    with serve(rows, produces=("csv",)) as client:
        response = client.get("/rows")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.text.splitlines() == ["id,name", "1,x", '2,"a,b"']


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "text/csv"),
        ("*/*", "text/csv"),
        ("application/jsonl", "application/jsonl"),
        ("application/x-ndjson", "application/jsonl"),
        ("text/csv;q=0.5, application/jsonl", "application/jsonl"),
        ("application/jsonl;q=0.5, text/*", "text/csv"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/csv"),
    ],
)
def test_the_client_chooses_among_the_formats_of_a_stream(accept: str | None, chosen: str) -> None:
    bodies = {"text/csv": 'id,name\r\n1,x\r\n2,"a,b"\r\n', "application/jsonl": '{"id":1,"name":"x"}\n'}
    with serve(rows, sync_rows, produces=("csv", "html", "jsonl")) as client:
        for path in ("/rows", "/sync_rows"):
            for _ in range(2):  # parsed, then looked up
                answer = client.get(path, headers={} if accept is None else {"accept": accept})
                assert answer.headers["content-type"].partition(";")[0] == chosen
                assert answer.headers["vary"] == "accept"
                assert answer.text.startswith(bodies[chosen])
            head = client.head(path, headers={} if accept is None else {"accept": accept})
            assert {n: head.headers[n] for n in ("content-type", "vary")} == {
                n: answer.headers[n] for n in ("content-type", "vary")
            }


@pytest.mark.parametrize(
    ("produces", "offered"), [(("csv", "jsonl"), "text/csv, application/jsonl"), ((), "application/jsonl")]
)
def test_where_no_format_of_a_stream_fits_nothing_is_called(produces: tuple[str, ...], offered: str) -> None:
    seen: list[str] = []

    async def opened() -> AsyncIterator[int]:
        seen.append("dependency")
        yield 1

    async def handler(number: Annotated[int, Depends(opened)]) -> AsyncIterator[Row]:
        seen.append("handler")
        yield Row(id=number)

    with serve(handler, produces=produces) as client:
        answer = client.get("/handler", headers={"accept": "image/png"})
        assert (answer.status_code, answer.headers["vary"]) == (406, "accept")
        assert answer.json()["detail"] == f"this can be answered as {offered}"
        assert client.head("/handler", headers={"accept": "image/png"}).status_code == 406
    assert seen == []


def test_a_stream_with_one_format_varies_by_nothing() -> None:
    with serve(rows, produces=("csv",)) as client:
        assert "vary" not in client.get("/rows").headers


def test_a_csv_stream_without_columns_is_a_mistake() -> None:
    async def handler() -> AsyncIterator[dict[str, int]]:
        yield {"a": 1}

    with pytest.raises(ConfigurationError, match=r"a CSV stream of dict.* has no header"):
        serve(handler, produces=("jsonl", "csv")).get("/handler")


def test_a_generator_without_an_annotation_has_its_dependencies_while_it_runs() -> None:
    seen: list[str] = []

    async def opened() -> AsyncIterator[int]:
        seen.append("opened")
        yield 1
        seen.append("closed")

    async def handler(number: Annotated[int, Depends(opened)]):
        seen.append("ran")
        yield {"n": number}

    with serve(handler) as client:
        answer = client.get("/handler")
    assert (answer.text, answer.headers["content-type"]) == ('{"n":1}\n', "application/jsonl")
    assert seen == ["opened", "ran", "closed"]


def test_text_and_bytes_are_sent_as_they_are() -> None:
    async def text() -> AsyncIterator[str]:
        yield "hé"
        yield "llo"

    def raw() -> Iterator[bytes]:
        yield b"\x00"
        yield b"\xff"

    with serve(text, raw) as client:
        answer = client.get("/text")
        assert (answer.text, answer.headers["content-type"]) == ("héllo", "text/plain; charset=utf-8")
        answer = client.get("/raw")
        assert (answer.content, answer.headers["content-type"]) == (b"\x00\xff", "application/octet-stream")


def test_events_have_ids_names_and_times() -> None:
    async def events() -> AsyncIterator[Event[Row]]:
        yield Event(Row(id=1), id="7", event="row", retry=1500)
        yield Event(Row(id=2))

    async def stream() -> EventStream[Row]:
        async def values() -> AsyncIterator[Row]:
            yield Row(id=3)

        return EventStream(values())

    with serve(events, stream) as client:
        response = client.get("/events")
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        first, second = response.text.strip().split("\n\n")
        assert set(first.splitlines()) == {"id: 7", "event: row", "retry: 1500", 'data: {"id":1,"name":"x"}'}
        assert second == 'data: {"id":2,"name":"x"}'
        assert client.get("/stream").text == 'data: {"id":3,"name":"x"}\n\n'


def test_a_stream_has_a_status_and_a_type_of_its_own() -> None:
    async def handler() -> Stream:
        return Stream(iter(["a", "b"]), 206, media_type="text/x-own")

    with serve(handler) as client:
        response = client.get("/handler")
    assert (response.status_code, response.headers["content-type"], response.text) == (206, "text/x-own", "ab")


def test_a_generator_is_closed_when_it_has_ended_or_failed() -> None:
    seen: list[str] = []

    def make(name: str, error: type[Exception] | None) -> Any:
        async def handler() -> AsyncIterator[str]:
            try:
                yield "x"
                if error is not None:
                    raise error
            finally:
                seen.append(f"closed {name}")

        handler.__name__ = name
        return handler

    with serve(make("right", None), make("wrong", ValueError)) as client:
        assert client.get("/right").text == "x"
        with pytest.raises(Exception, match=r"."):  # the answer is cut off, never a tidy end
            client.get("/wrong")
    assert seen == ["closed right", "closed wrong"]


def test_a_generator_that_fails_before_its_first_item_is_an_ordinary_error() -> None:
    async def handler(n: int) -> AsyncIterator[str]:
        yield str(n)

    with serve(handler) as client:
        assert client.get("/handler?n=x").status_code == 422


def test_head_opens_no_stream() -> None:
    seen: list[str] = []

    async def handler() -> AsyncIterator[str]:
        seen.append("opened")
        yield "x"

    with serve(handler) as client:
        response = client.head("/handler")
    assert (response.status_code, response.content, seen) == (200, b"", [])


def test_a_body_is_read_as_it_arrives() -> None:
    app = App(docs=False)

    @app.post("/")
    async def handler(request: Request) -> Response[int]:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return Response(size)

    with Client(app) as client:
        assert client.post("/", content=iter([b"abc", b"de"])).json() == 5
