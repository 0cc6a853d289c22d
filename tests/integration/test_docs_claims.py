"""What the how-to pages say in words, beside their transcripts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pytest

from quintet import App, Body, CallNext, Depends, File, Forbidden, Request, Response, Router, Struct
from quintet.config import AppSettings
from quintet.errors import ConfigurationError
from quintet.testing import Client

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def client_of(app: App) -> Client:
    return Client(app, raise_server_exceptions=False)


class Item(Struct):
    name: str


# -- https ----------------------------------------------------------------------------------------------------------


def test_https_alone_is_a_middleware() -> None:
    from examples.docs.https import app

    assert client_of(app).get("/prices").json() == [1, 2, 3]  # the client of tests speaks HTTPS
    plain = Client(app, base_url="http://testserver")
    assert plain.get("/prices").status_code == 403
    page = plain.get("/prices", headers={"accept": BROWSER}, follow_redirects=False)
    assert page.headers["location"] == "https://testserver/prices"


# -- routing --------------------------------------------------------------------------------------------------------


def test_a_type_without_a_converter_answers_404_for_a_wrong_text() -> None:
    app = App()

    @app.get("/at/{when}")
    async def at(when: datetime) -> int:
        return when.year

    assert client_of(app).get("/at/2030-01-01T10:00:00Z").text == "2030"
    assert client_of(app).get("/at/tomorrow").status_code == 404


def test_head_and_options_are_answered() -> None:
    app = App()

    @app.get("/")
    async def home() -> str:
        return "home"

    client = client_of(app)
    head, options = client.head("/"), client.options("/")
    assert (head.status_code, head.text, head.headers["content-length"]) == (200, "", "4")
    assert options.headers["allow"] == "GET, HEAD, OPTIONS"


def test_an_encoded_slash_is_a_slash_and_only_the_rest_takes_it() -> None:
    app = App()

    @app.get("/one/{name}")
    async def one(name: str) -> str:
        return name

    @app.get("/rest/{rest:path}")
    async def rest(rest: str) -> str:
        return rest

    client = client_of(app)
    assert client.get("/one/a%2Fb").status_code == 404
    assert client.get("/rest/a%2Fb").text == "a/b"
    assert client.get("/one/%00").status_code == 400
    assert client.get("/one/%ff").status_code == 400


def test_a_slash_too_many_is_404_where_the_app_is_strict() -> None:
    app = App(trailing_slash="strict")
    app.get("/a")(lambda: "a")
    assert client_of(app).get("/a/").status_code == 404


def test_a_duplicate_route_names_both_places() -> None:
    app = App()

    @app.get("/a")
    async def first() -> str:
        return ""

    @app.get("/a")
    async def second() -> str:
        return ""

    with pytest.raises(ConfigurationError) as caught:
        client_of(app).get("/a")
    assert str(caught.value).count("test_docs_claims.py:") == 2


def test_static_files_have_no_dotfiles(tmp_path: Path) -> None:
    (tmp_path / ".secret").write_text("x")
    (tmp_path / "page.txt").write_text("x")
    app = App()
    app.static("/files", tmp_path)
    client = client_of(app)
    assert client.get("/files/page.txt").status_code == 200
    assert client.get("/files/.secret").status_code == 404
    assert client.get("/files/").status_code == 404


def test_options_of_a_router_hold_for_its_routes() -> None:
    app = App()
    router = Router("/small", max_body=3)

    @router.post("")
    async def post(request: Request) -> str:
        return (await request.body()).decode()

    app.include(router)
    assert client_of(app).post("/small", content=b"abc").text == "abc"
    assert client_of(app).post("/small", content=b"abcd").status_code == 413


# -- input ----------------------------------------------------------------------------------------------------------


def test_too_much_is_refused() -> None:
    app = App()

    @app.get("/")
    async def home(a: list[int] | None = None) -> str:
        return "home"

    client = client_of(app)
    assert client.get("/?" + "a=1&" * 1001).status_code == 400
    assert client.get("/?a=" + "1" * 9000).status_code == 414
    assert client.get("/", headers={"x": "a" * 70_000}).status_code == 431
    assert client.get("/", headers=[(f"x{n}", "a") for n in range(150)]).status_code == 431


def test_deep_nesting_is_a_client_error() -> None:
    app = App()

    @app.post("/")
    async def post(data: Body[list[Any]]) -> str:
        return "ok"

    answer = client_of(app).post("/", content=b"[" * 100_000, headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_the_defaults_are_those_of_the_pages() -> None:
    app, own = App(), AppSettings()
    assert (own.threads, own.thread_queue, own.thread_wait) == (32, 1000, 5)
    assert (own.max_body, own.max_url, own.max_header_block, own.max_headers) == (2_621_440, 8192, 65_536, 100)
    assert (own.max_fields, own.max_files) == (1000, 100)
    assert (own.header_timeout, own.body_timeout, own.keep_alive) == (30, 30, 20)
    assert (app.limits.body, app.threads.settings.size) == (2_621_440, 32)


# -- output ---------------------------------------------------------------------------------------------------------


def test_a_browser_gets_json_rather_than_xml() -> None:
    app = App()

    @app.get("/", produces=("json", "xml"))
    async def home() -> Item:
        return Item(name="tea")

    answer = client_of(app).get("/", headers={"accept": BROWSER})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "accept"


def test_messagepack_is_there_for_who_names_it() -> None:
    app = App()

    @app.get("/")
    async def home() -> Item:
        return Item(name="tea")

    answer = client_of(app).get("/", headers={"accept": "application/vnd.msgpack"})
    assert answer.content == b"\x81\xa4name\xa3tea"


def test_active_files_are_downloads_unless_told(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<b>")
    app = App()

    @app.get("/download")
    async def download() -> File:
        return File(tmp_path / "a.html")

    @app.get("/show")
    async def show() -> File:
        return File(tmp_path / "a.html", inline=True)

    client = client_of(app)
    assert client.get("/download").headers["content-disposition"].startswith("attachment")
    assert "attachment" not in client.get("/show").headers.get("content-disposition", "")
    parts = client.get("/show", headers={"range": "bytes=0-0,2-2"})
    assert parts.status_code == 206
    assert parts.headers["content-type"].startswith("multipart/byteranges")


# -- around handlers ------------------------------------------------------------------------------------------------


def test_a_guard_runs_before_the_input_is_read() -> None:
    async def refuse(request: Request) -> None:
        raise Forbidden("no")

    app = App()

    @app.post("/", guards=[refuse])
    async def post(item: Item) -> Item:
        return item

    assert client_of(app).post("/", content=b"{").status_code == 403


def test_a_middleware_sees_unexpected_exceptions_and_answers_of_expected_ones() -> None:
    seen: list[object] = []
    app = App()
    app.failures.observers.append(lambda request, error: seen.append(("observed", type(error))))

    @app.middleware
    async def watch(request: Request, call_next: CallNext) -> Response[Any]:
        try:
            response = await call_next(request)
        except RuntimeError as error:
            seen.append(("raised", type(error)))
            raise
        seen.append(response.status)
        return response

    @app.get("/broken")
    async def broken() -> str:
        raise RuntimeError

    client = client_of(app)
    assert client.get("/broken").status_code == 500
    assert client.get("/nowhere").status_code == 404
    assert seen == [("raised", RuntimeError), ("observed", RuntimeError), 404]


def test_a_dependency_of_scope_response_ends_after_the_answer() -> None:
    order: list[str] = []

    async def early() -> AsyncIterator[str]:
        yield "early"
        order.append("call ends")

    def late() -> Iterator[str]:
        yield "late"
        order.append("response ends")

    app = App()

    @app.get("/")
    async def home(b: Annotated[str, Depends(late, scope="response")], a: Annotated[str, Depends(early)]) -> str:
        return a + b

    with client_of(app) as client:
        assert client.get("/").text == "earlylate"
        until = time.monotonic() + 5
        while len(order) < 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert order == ["call ends", "response ends"]


def test_a_sync_handler_past_its_time_is_answered_503_when_its_thread_is_done() -> None:
    done: list[bool] = []
    app = App()

    @app.get("/", timeout=0.01)
    def slow() -> str:
        time.sleep(0.1)
        done.append(True)
        return "late"

    assert client_of(app).get("/").status_code == 503
    assert done == [True]
