"""Compiled handlers: the order of dependencies, their lives, and where exceptions go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import pytest

from quintet import App, Depends, HTTPError, NotFound, Query, Request, Response, Stream
from quintet.http.context import current_request
from quintet.testing import Client


@pytest.fixture
def app() -> App:
    return App(docs=False)


@contextmanager
def client_of(app: App, **options: Any) -> Iterator[Client]:
    with Client(app, **options) as client:
        yield client


# -- order, caching, arguments ----------------------------------------------------------------------------------------


def test_dependencies_run_in_the_order_of_need_once_per_request(app: App) -> None:
    seen: list[str] = []

    async def base() -> int:
        seen.append("base")
        return len(seen)

    def left(value: Annotated[int, Depends(base)]) -> int:
        seen.append("left")
        return value

    async def right(value: Annotated[int, Depends(base)], factor: int = 1) -> int:
        seen.append("right")
        return value * factor

    @app.get("/")
    async def handler(
        a: Annotated[int, Depends(right)], b: Annotated[int, Depends(left)], c: Annotated[int, Depends(base)]
    ) -> list[int]:
        return [a, b, c]

    with client_of(app) as client:
        assert client.get("/?factor=7").json() == [7, 1, 1]
        assert seen == ["base", "right", "left"]
        client.get("/")
        assert seen.count("base") == 2


def test_a_dependency_that_is_not_cached_runs_each_time(app: App) -> None:
    numbers = iter(range(10))

    async def number() -> int:
        return next(numbers)

    @app.get("/")
    async def handler(
        a: Annotated[int, Depends(number, cached=False)], b: Annotated[int, Depends(number, cached=False)]
    ) -> list[int]:
        return [a, b]

    with client_of(app) as client:
        assert client.get("/").json() == [0, 1]


def test_dependencies_and_the_handler_share_a_parameter(app: App) -> None:
    async def doubled(n: int) -> int:
        return n * 2

    async def tripled(n: Query[int]) -> int:
        return n * 3

    @app.get("/{n}")
    async def by_path(n: int, a: Annotated[int, Depends(doubled)], b: Annotated[int, Depends(tripled)]) -> list[int]:
        return [n, a, b]

    with client_of(app) as client:
        assert client.get("/5?n=7").json() == [5, 10, 21]


def test_wrong_input_of_a_dependency_is_reported_with_the_handlers(app: App) -> None:
    async def paging(page: int, size: int = 20) -> tuple[int, int]:
        return page, size

    @app.get("/")
    async def handler(p: Annotated[tuple[int, int], Depends(paging)], q: int) -> None: ...

    with client_of(app) as client:
        answer = client.get("/?page=x&size=y&q=z").json()
    assert [".".join(e["loc"]) for e in answer["errors"]] == ["query.page", "query.size", "query.q"]


def test_callable_objects_classes_and_methods_are_dependencies(app: App) -> None:
    class Multiply:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        async def __call__(self, n: int) -> int:
            return self.factor * n

        def plus(self, n: int) -> int:
            return self.factor + n

    class Paging:
        def __init__(self, page: int = 1) -> None:
            self.page = page

    three = Multiply(3)

    @app.get("/")
    async def handler(
        a: Annotated[int, Depends(three)],
        b: Annotated[int, Depends(three.plus)],
        c: Annotated[Paging, Depends(Paging)],
    ) -> list[int]:
        return [a, b, c.page]

    with client_of(app) as client:
        assert client.get("/?n=5&page=9").json() == [15, 8, 9]


def test_def_dependencies_run_in_a_thread_unless_inline(app: App) -> None:
    def name() -> str:
        return threading.current_thread().name

    async def loop_name() -> str:
        return threading.current_thread().name

    @app.get("/")
    async def handler(
        thread: Annotated[str, Depends(name)],
        inline: Annotated[str, Depends(name, inline=True, cached=False)],
        loop: Annotated[str, Depends(loop_name)],
    ) -> list[str]:
        return [thread, inline, loop]

    with client_of(app) as client:
        thread, inline, loop = client.get("/").json()
    assert thread != loop
    assert thread.startswith("quintet")
    assert inline == loop


# -- generators -------------------------------------------------------------------------------------------------------


def make_generators(seen: list[str], scope: Any = "call") -> tuple[Depends, Depends]:
    """Return two dependencies that note what happens to them; the inner one needs the outer one."""

    async def outer() -> AsyncIterator[str]:
        seen.append("open outer")
        try:
            yield "outer"
        except Exception as exc:
            seen.append(f"outer sees {type(exc).__name__}")
            raise
        finally:
            seen.append("close outer")

    def inner(o: Any) -> Iterator[str]:
        seen.append("open inner")
        try:
            yield f"{o}.inner"
        except Exception as exc:
            seen.append(f"inner sees {type(exc).__name__}")
            raise
        finally:
            seen.append("close inner")

    inner.__annotations__["o"] = Annotated[str, Depends(outer, scope=scope)]
    return Depends(outer, scope=scope), Depends(inner, scope=scope)


def watch_sending(app: App, seen: list[str]) -> None:
    """Note when the answer has been sent."""

    @app.middleware
    async def note(request: Request, call_next: Any) -> Response[Any]:
        response: Response[Any] = await call_next(request)
        seen.append("answer encoded")
        request.call_after(lambda: seen.append("answer sent"))
        return response


def test_generators_are_cleaned_up_last_first_before_the_answer_is_sent(app: App) -> None:
    seen: list[str] = []
    outer, inner = make_generators(seen)
    watch_sending(app, seen)

    @app.get("/")
    async def handler(a: Annotated[str, outer], b: Annotated[str, inner]) -> str:
        seen.append("handler")
        return b

    with client_of(app) as client:
        assert client.get("/").text == "outer.inner"
    assert seen == [
        "open outer", "open inner", "handler", "close inner", "close outer", "answer encoded", "answer sent",
    ]  # fmt: skip


def test_with_scope_response_they_are_cleaned_up_after_it(app: App) -> None:
    seen: list[str] = []
    outer, inner = make_generators(seen, "response")

    @app.get("/")
    async def handler(a: Annotated[str, outer], b: Annotated[str, inner]) -> Stream:
        async def chunks() -> AsyncIterator[str]:
            seen.append("chunk")
            yield b

        seen.append("handler")
        return Stream(chunks())

    with client_of(app) as client:
        assert client.get("/").text == "outer.inner"
    assert seen == ["open outer", "open inner", "handler", "chunk", "close inner", "close outer"]


def test_a_generator_of_a_streaming_handler_lives_as_long_as_the_stream(app: App) -> None:
    seen: list[str] = []
    _, inner = make_generators(seen)

    @app.get("/")
    async def handler(b: Annotated[str, inner]) -> AsyncIterator[str]:
        seen.append("handler")
        yield b
        seen.append("more")
        yield "!"

    with client_of(app) as client:
        assert client.get("/").text == "outer.inner!"
    assert seen == ["open outer", "open inner", "handler", "more", "close inner", "close outer"]


@pytest.mark.parametrize("kind", [ValueError, NotFound])
def test_generators_see_the_exception_of_the_handler(app: App, kind: type[Exception]) -> None:
    seen: list[str] = []
    _, inner = make_generators(seen)

    @app.get("/")
    async def handler(b: Annotated[str, inner]) -> str:
        raise kind

    with client_of(app, raise_server_exceptions=False) as client:
        assert client.get("/").status_code == (404 if kind is NotFound else 500)
    assert seen[2:] == [
        f"inner sees {kind.__name__}", "close inner", f"outer sees {kind.__name__}", "close outer",
    ]  # fmt: skip


def test_an_answer_that_cannot_be_encoded_is_an_exception_to_generators(app: App) -> None:
    seen: list[str] = []
    outer, _ = make_generators(seen)

    @app.get("/")
    async def handler(a: Annotated[str, outer]) -> Any:
        return object()

    with client_of(app, raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 500
    assert seen == ["open outer", "outer sees TypeError", "close outer"]


def test_a_cleanup_that_fails_spoils_the_answer(app: App) -> None:
    async def commit() -> AsyncIterator[None]:
        yield
        raise HTTPError(409, "someone else was faster")

    @app.get("/")
    async def handler(c: Annotated[None, Depends(commit)]) -> str:
        return "saved"

    with client_of(app) as client:
        response = client.get("/")
    assert (response.status_code, response.json()["detail"]) == (409, "someone else was faster")


def test_a_dependency_may_turn_an_exception_into_another(app: App) -> None:
    async def translate() -> AsyncIterator[None]:
        try:
            yield
        except KeyError as exc:
            raise NotFound(f"no {exc}") from exc

    @app.get("/")
    async def handler(t: Annotated[None, Depends(translate)]) -> str:
        raise KeyError("article")

    with client_of(app) as client:
        assert client.get("/").status_code == 404


def test_a_dependency_that_swallows_an_exception_is_an_error_and_no_empty_answer(app: App) -> None:
    async def swallow() -> AsyncIterator[None]:
        try:
            yield
        except ValueError:
            pass

    @app.get("/")
    async def handler(s: Annotated[None, Depends(swallow)]) -> str:
        raise ValueError

    with client_of(app) as client, pytest.raises(RuntimeError, match="has swallowed the exception"):
        client.get("/")


def test_when_a_later_dependency_fails_the_earlier_ones_are_cleaned_up(app: App) -> None:
    seen: list[str] = []
    outer, _ = make_generators(seen)

    async def refuse(o: Annotated[str, outer]) -> None:
        raise NotFound

    for path, returns in (("/value", str), ("/stream", AsyncIterator[str])):

        async def handler(r: Annotated[None, Depends(refuse)]) -> Any: ...

        handler.__annotations__["return"] = returns
        app.get(path)(handler)
    with client_of(app) as client:
        for path in ("/value", "/stream"):
            seen.clear()
            assert client.get(path).status_code == 404
            assert seen == ["open outer", "outer sees NotFound", "close outer"], path


# -- providers and overrides ------------------------------------------------------------------------------------------


class Database:
    def __init__(self, name: str) -> None:
        self.name = name


def test_a_provider_is_a_dependency_by_type_with_a_life_and_dependencies(app: App) -> None:
    seen: list[str] = []

    async def database(request: Request) -> AsyncIterator[Database]:
        seen.append("open")
        yield Database(request.path)
        seen.append("close")

    app.provide(Database, database)

    @app.get("/{x}")
    async def handler(x: str, db: Database) -> str:
        return db.name

    with client_of(app) as client:
        assert client.get("/main").text == "/main"
    assert seen == ["open", "close"]


def test_what_lives_with_the_app_is_made_once(app: App) -> None:
    seen: list[str] = []

    async def database() -> AsyncIterator[Database]:
        seen.append("open")
        yield Database("app")
        seen.append("close")

    app.provide(Database, database, scope="app")

    @app.get("/")
    async def handler(db: Database) -> int:
        return id(db)

    with client_of(app) as client:
        assert client.get("/").json() == client.get("/").json()
        assert seen == ["open"]
    assert seen == ["open", "close"]


def test_what_lives_with_the_app_is_not_there_before_it_starts(app: App) -> None:
    app.provide(Database, lambda: Database("app"), scope="app")

    @app.get("/")
    async def handler(db: Database) -> str:
        return db.name

    client = Client(app)
    with pytest.raises(RuntimeError, match="lives as long as the app, which has not started"):
        client.get("/")
    client.close()


def test_dependencies_and_providers_are_overridden_for_a_time(app: App) -> None:
    async def user(token: str) -> str:
        return f"user of {token}"

    app.provide(Database, lambda: Database("real"))

    @app.get("/")
    async def handler(u: Annotated[str, Depends(user)], db: Database) -> list[str]:
        return [u, db.name]

    def other_user(name: str = "Ada") -> str:
        return name

    with client_of(app) as client:
        assert client.get("/?token=t").json() == ["user of t", "real"]
        with client.override(user, other_user), client.override(Database, Database("fake")):
            assert client.get("/").json() == ["Ada", "fake"]
            with app.override(user, lambda: "inner"):
                assert client.get("/").json() == ["inner", "fake"]
            assert client.get("/?name=Bob").json() == ["Bob", "fake"]
        assert client.get("/?token=t").json() == ["user of t", "real"]


# -- sync handlers ----------------------------------------------------------------------------------------------------


def test_the_request_is_current_everywhere_it_runs(app: App) -> None:
    def thread() -> str:
        return current_request.get().path

    @app.get("/def")
    def handler(t: Annotated[str, Depends(thread)]) -> list[str]:
        return [current_request.get().path, t]

    @app.get("/async")
    async def handler2() -> str:
        await asyncio.sleep(0)
        return current_request.get().path

    with client_of(app) as client:
        assert client.get("/def").json() == ["/def", "/def"]
        assert client.get("/async").text == "/async"


def test_def_handlers_run_in_threads_and_inline_ones_on_the_loop(app: App) -> None:
    @app.get("/thread")
    def thread() -> str:
        return threading.current_thread().name

    @app.get("/inline", inline=True)
    def inline() -> str:
        return threading.current_thread().name

    @app.get("/loop")
    async def loop() -> str:
        return threading.current_thread().name

    with client_of(app) as client:
        names = {path: client.get(path).text for path in ("/thread", "/inline", "/loop")}
    assert names["/thread"].startswith("quintet")
    assert names["/inline"] == names["/loop"] != names["/thread"]


def test_the_plan_of_a_route_can_be_read(app: App) -> None:
    @app.get("/{n}")
    async def handler(n: int, q: str = "x") -> str:
        return q * n

    app.freeze()
    compiled = next(c for c in app.compiled if c.name == "handler")
    assert compiled.plan is not None
    assert compiled.plan.source.startswith("async def endpoint(request):")
    assert "await handler" in compiled.plan.source
