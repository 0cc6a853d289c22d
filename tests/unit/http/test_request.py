"""A request as a handler meets it."""

from __future__ import annotations

from typing import Any

import pytest

from quintet import App, ProxyPolicy, Request
from quintet.errors import BadRequest, ContentTooLarge, UnsupportedMediaType
from quintet.http.connection import Connection
from quintet.http.limits import Limits
from quintet.http.request import next_number
from quintet.testing import Client


def request(
    method: str = "GET", path: str = "/", query: bytes = b"", body: bytes | None = b"", **headers: str
) -> Request:
    raw = [
        (k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in {"host": "example.org:8000", **headers}.items()
    ]
    connection = Connection("native", "192.0.2.1", "http", Limits(body=10))
    return Request(method, path, query, raw, dict(raw), body, connection)


def seen_by_handler(**options: Any) -> dict[str, Any]:
    app = App(docs=False, **options.pop("app", {}))

    @app.get("/a b/{x}")
    async def handler(x: str, request: Request) -> dict[str, Any]:
        return {
            "url": request.url,
            "client": request.client,
            "scheme": request.scheme,
            "host": request.host,
            "params": request.params,
            "repr": repr(request),
        }

    with Client(app, **options) as client:
        return client.get("/a%20b/%C3%A9?q=1%202").json()


def test_the_head_is_read_when_asked_for() -> None:
    r = request(query=b"a=1&a=2&b=%C3%A9", cookie="x=1; y=2", content_type="Text/Plain; charset=utf-8")
    assert r.query == {"a": ["1", "2"], "b": "é"}
    assert r.cookies == {"x": "1", "y": "2"}
    assert r.content_type == "text/plain"
    assert r.headers["HOST"] == r.host == "example.org:8000"
    assert (r.client, r.scheme, r.url) == ("192.0.2.1", "http", "http://example.org:8000/?a=1&a=2&b=%C3%A9")


def test_names_with_underscores_pose_as_no_others() -> None:
    raw = [(b"x_user", b"admin"), (b"x-user", b"ada")]
    r = Request("GET", "/", b"", raw, dict(raw), b"", Connection("native", "", "http", Limits()))
    assert r.headers.get("x-user") == "ada"
    assert "x_user" not in r.headers


def test_what_a_handler_sees() -> None:
    found = seen_by_handler(peer=("192.0.2.7", 1234))
    assert found == {
        "url": "https://testserver/a%20b/%C3%A9?q=1%202",
        "client": "192.0.2.7",
        "scheme": "https",
        "host": "testserver",
        "params": ["é"],
        "repr": "<Request GET /a b/é>",
    }


def test_a_proxy_is_believed_only_where_it_is_trusted() -> None:
    headers = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
    options = {"peer": ("192.0.2.7", 1), "base_url": "http://testserver", "headers": headers}
    assert seen_by_handler(**options)["client"] == "192.0.2.7"
    trusting = seen_by_handler(app={"proxies": ProxyPolicy(["192.0.2.0/24"], header="x-forwarded")}, **options)
    assert (trusting["client"], trusting["scheme"]) == ("203.0.113.9", "https")


def test_ids_are_unique_and_stay() -> None:
    first, second = request(), request()
    assert first.id == first.id != second.id
    assert next_number() < next_number()


def test_the_state_is_free_and_of_one_request() -> None:
    first, second = request(), request()
    first.state.user = "Ada"
    assert first.state.user == "Ada"
    assert not hasattr(second.state, "user")


async def test_a_body_is_read_once_and_kept() -> None:
    async def chunks() -> Any:
        yield b"abc"
        yield b"de"

    r = request("POST", body=None)
    r.source = chunks()
    assert await r.body() == b"abcde"
    assert await r.body() == b"abcde"
    assert [chunk async for chunk in r.stream()] == [b"abcde"]


async def test_a_body_that_was_streamed_is_gone() -> None:
    async def chunks() -> Any:
        yield b"abc"

    r = request("POST", body=None)
    r.source = chunks()
    assert [chunk async for chunk in r.stream()] == [b"abc"]
    with pytest.raises(RuntimeError, match="streamed already"):
        await r.body()


async def test_no_more_than_the_limit_is_read() -> None:
    read: list[int] = []

    async def chunks() -> Any:
        for n in range(100):
            read.append(n)
            yield b"12345"

    r = request("POST", body=None)
    r.source = chunks()
    with pytest.raises(ContentTooLarge):
        await r.body()
    assert read == [0, 1, 2]
    with pytest.raises(ContentTooLarge):
        await request("POST", body=b"x" * 11).body()
    raised = request("POST", body=b"x" * 11)
    raised.max_body = 11
    assert await raised.body() == b"x" * 11


async def test_json_and_forms_are_read_without_a_type() -> None:
    kind = "application/json"
    assert await request("POST", body=b'{"a":[1]}', content_type=kind).json() == {"a": [1]}
    with pytest.raises(BadRequest, match="not valid JSON"):
        await request("POST", body=b"{", content_type=kind).json()
    with pytest.raises(UnsupportedMediaType, match="not 'text/plain'"):  # what a form of another site can send
        await request("POST", body=b"{}", content_type="text/plain").json()
    form = await request("POST", body=b"a=1&b=%20", content_type="application/x-www-form-urlencoded").form()
    assert form.items == [("a", "1"), ("b", " ")]
    with pytest.raises(UnsupportedMediaType):
        await request("POST", body=b"a=1", content_type="text/plain").form()


def test_what_is_to_be_done_afterwards_is_done_when_the_answer_is_sent() -> None:
    seen: list[str] = []
    app = App(docs=False)

    @app.get("/")
    async def handler(request: Request) -> str:
        async def later() -> None:
            seen.append("async")

        request.call_after(lambda: seen.append("sync"))
        request.call_after(later)
        return "x"

    with Client(app) as client:
        assert client.get("/").text == "x"
    assert seen == ["sync", "async"]
