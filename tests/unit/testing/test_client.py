from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Annotated

import httpx2
import pytest

from quintet import App, ConfigurationError, Cookie, Depends, Redirect, Request, Response, Struct, Upload
from quintet.http.limits import MIB
from quintet.testing import AsyncClient, Client


class Item(Struct):
    name: str
    qty: int = 1


class Clock:
    def __init__(self, hour: int) -> None:
        self.hour = hour


def current_user() -> str:
    return "nobody"


class World:
    """An app, and what happened in it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.task: asyncio.Task[None] | None = None
        self.app = App(docs=False)
        self.add_routes(self.app)

    def add_routes(self, app: App) -> None:  # noqa: C901 - a list of small handlers
        events = self.events

        @app.lifespan
        async def life() -> AsyncIterator[None]:
            events.append("start")
            yield
            events.append("stop")

        async def open_clock() -> AsyncIterator[Clock]:
            yield Clock(12)

        app.provide(Clock, open_clock, scope="app")

        @app.get("/hello/{name}")
        async def hello(name: str, times: int = 1) -> dict[str, str]:
            return {"message": ", ".join([name] * times)}

        @app.get("/thread")
        def thread() -> str:
            return threading.current_thread().name

        @app.post("/items", status=201)
        async def create(item: Item) -> Item:
            return item

        @app.post("/size")
        async def size(request: Request) -> dict[str, int]:
            total = 0
            async for chunk in request.stream():
                total += len(chunk)
            return {"size": total}

        @app.post("/upload", max_body=10 * MIB)
        async def upload(file: Upload) -> dict[str, object]:
            return {"name": file.filename, "size": len(await file.read())}

        @app.get("/time")
        async def time(clock: Clock) -> dict[str, int]:
            return {"hour": clock.hour}

        @app.get("/user")
        async def user(name: Annotated[str, Depends(current_user)]) -> dict[str, str]:
            return {"name": name}

        @app.get("/boom")
        async def boom() -> None:
            raise ValueError("boom")

        @app.get("/late-boom")
        async def late_boom() -> AsyncIterator[str]:
            yield "first"
            raise ValueError("late boom")

        @app.get("/login")
        async def login() -> Response[None]:
            response: Response[None] = Response(None, 204)
            response.set_cookie("__Host-session", "s3")
            return response

        @app.get("/session")
        async def session(session: Cookie[str] = "", request: Request = None) -> dict[str, object]:  # type: ignore[assignment]
            return {"cookies": dict(request.cookies), "scheme": request.scheme, "client": request.client}

        @app.get("/ticks")
        async def ticks() -> AsyncIterator[str]:
            events.append("open")
            try:
                for number in range(10**9):
                    yield f"tick {number}\n"
                    await asyncio.sleep(0.001)
            finally:
                events.append("closed")

        @app.get("/flood")
        async def flood() -> AsyncIterator[bytes]:
            for number in range(1000):
                events.append(f"chunk {number}")
                yield bytes(16 * 1024)

        @app.get("/after")
        async def after(request: Request) -> dict[str, str]:
            async def later() -> None:
                await asyncio.sleep(0.02)
                events.append("after")

            request.call_after(later)
            return {}

        @app.get("/old")
        async def old() -> Redirect:
            return Redirect("/hello/new")

        @app.get("/forever")
        async def forever() -> None:
            await asyncio.sleep(3600)

        @app.get("/refused", max_body=10)
        async def refused() -> None: ...


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    with Client(world.app) as one:
        yield one


@pytest.fixture
async def async_client(world: World) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(world.app) as one:
        yield one


def test_a_request_is_answered(client: Client) -> None:
    response = client.get("/hello/Ada", params={"times": 2})
    assert response.status_code == 200
    assert response.json() == {"message": "Ada, Ada"}
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.http_version == "HTTP/1.1"
    assert response.reason_phrase == "OK"


async def test_a_request_is_answered_from_async_code(async_client: AsyncClient) -> None:
    response = await async_client.post("/items", json={"name": "x", "qty": 2})
    assert response.status_code == 201
    assert response.json() == {"name": "x", "qty": 2}


async def test_requests_run_at_the_same_time(async_client: AsyncClient) -> None:
    answers = await asyncio.gather(*(async_client.get(f"/hello/{n}") for n in range(20)))
    assert [a.json()["message"] for a in answers] == [str(n) for n in range(20)]


def test_errors_of_input_are_answers(client: Client) -> None:
    response = client.post("/items", json={"name": 1})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["body", "name"]


def test_a_def_handler_runs_in_a_thread_of_the_app(client: Client) -> None:
    assert client.get("/thread").text.startswith("quintet")


def test_head_has_no_body(client: Client) -> None:
    response = client.head("/hello/Ada")
    assert response.content == b""
    assert int(response.headers["content-length"]) > 0


# -- bodies -----------------------------------------------------------------------------------------------------------


def test_a_generator_is_a_chunked_body(client: Client) -> None:
    response = client.post("/size", content=(bytes(100_000) for _ in range(5)))
    assert response.json() == {"size": 500_000}


async def test_an_async_generator_is_a_chunked_body(async_client: AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(100_000)
            await asyncio.sleep(0)

    response = await async_client.post("/size", content=chunks())
    assert response.json() == {"size": 500_000}


def test_a_body_of_several_megabytes_arrives(client: Client) -> None:
    assert client.post("/size", content=bytes(2 * MIB)).json() == {"size": 2 * MIB}


def test_files_are_uploaded(client: Client) -> None:
    response = client.post("/upload", files={"file": ("a.bin", bytes(3 * MIB))})
    assert response.json() == {"name": "a.bin", "size": 3 * MIB}


def test_a_body_over_the_limit_is_refused_as_by_the_server(client: Client) -> None:
    assert (
        client.post("/items", content=bytes(5 * MIB), headers={"content-type": "application/json"}).status_code == 413
    )


def test_a_body_that_fails_raises_its_own_exception(client: Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        client.post("/size", content=chunks())


# -- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_is_read_as_it_comes_and_ends_with_its_reader(client: Client, world: World) -> None:
    with client.stream("GET", "/ticks") as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(3)] == ["tick 0", "tick 1", "tick 2"]
        assert world.events == ["start", "open"]
    assert world.events == ["start", "open", "closed"]


async def test_a_stream_ends_with_its_reader_in_async_code(async_client: AsyncClient, world: World) -> None:
    async with async_client.stream("GET", "/ticks") as response:
        async for line in response.aiter_lines():
            if line == "tick 5":
                break
    assert world.events[-1] == "closed"


async def test_a_slow_reader_makes_the_handler_wait(async_client: AsyncClient, world: World) -> None:
    async with async_client.stream("GET", "/flood") as response:
        await asyncio.sleep(0.05)
        assert len(world.events) < 50
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
    assert size == 1000 * 16 * 1024


# -- the life of the app ----------------------------------------------------------------------------------------------


def test_the_context_manager_runs_the_lifespan(world: World) -> None:
    with Client(world.app) as client:
        assert world.events == ["start"]
        assert client.get("/time").json() == {"hour": 12}
    assert world.events == ["start", "stop"]


def test_without_the_context_manager_requests_work(world: World) -> None:
    assert Client(world.app).get("/hello/x").status_code == 200
    assert world.events == []


def test_without_the_lifespan_values_of_the_app_say_how_to_get_them(world: World) -> None:
    with pytest.raises(RuntimeError, match="use the test client as a context manager"):
        Client(world.app).get("/time")


async def test_the_lifespan_starts_and_stops_in_one_task(world: World) -> None:
    tasks: list[object] = []

    @world.app.lifespan
    async def life() -> AsyncIterator[None]:
        tasks.append(asyncio.current_task())
        yield
        tasks.append(asyncio.current_task())

    client = AsyncClient(world.app)
    await asyncio.create_task(client.__aenter__())  # type: ignore[arg-type]
    await asyncio.create_task(client.__aexit__(None, None, None))  # type: ignore[arg-type]
    assert tasks[0] is tasks[1]


def test_a_lifespan_that_fails_fails_the_test(world: World) -> None:
    @world.app.lifespan
    async def life() -> AsyncIterator[None]:
        raise LookupError("no database")
        yield

    with pytest.raises(LookupError, match="no database"), Client(world.app):
        pass


def test_a_wrong_app_says_everything_that_is_wrong() -> None:
    app = App(docs=False)

    @app.get("/x/{name}")
    async def x() -> None: ...

    with pytest.raises(ConfigurationError, match="routes.unused"):
        Client(app).get("/x/1")


def client_threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name == "quintet-test-client"}


def test_clients_leave_no_threads_behind(world: World) -> None:
    gc.collect()
    before = client_threads()
    with Client(world.app) as client:
        client.get("/hello/x")
        assert client_threads() - before
    other = Client(world.app)
    other.get("/hello/x")
    other.close()
    assert not client_threads() - before


def test_a_client_nobody_closed_ends_its_thread(world: World) -> None:
    gc.collect()
    before = client_threads()
    client = Client(world.app)
    client.get("/hello/x")
    assert client_threads() - before
    del client
    gc.collect()
    assert not client_threads() - before


# -- exceptions -------------------------------------------------------------------------------------------------------


def test_an_unexpected_exception_is_raised_in_the_test(client: Client) -> None:
    with pytest.raises(ValueError, match="boom") as caught:
        client.get("/boom")
    assert caught.traceback[-1].name == "boom"


async def test_an_unexpected_exception_is_raised_in_async_code(async_client: AsyncClient) -> None:
    with pytest.raises(ValueError, match="boom"):
        await async_client.get("/boom")
    assert (await async_client.get("/hello/x")).status_code == 200


def test_an_exception_in_a_stream_is_raised_while_it_is_read(client: Client) -> None:
    with client.stream("GET", "/late-boom") as response:
        assert response.status_code == 200
        chunks = response.iter_text()
        assert next(chunks) == "first"
        with pytest.raises(ValueError, match="late boom"):
            next(chunks)


def test_exceptions_can_be_answers(world: World) -> None:
    with Client(world.app, raise_server_exceptions=False) as client:
        response = client.get("/boom")
        assert response.status_code == 500
        assert "ValueError" not in response.text
        with client.stream("GET", "/late-boom") as stream, pytest.raises(httpx2.RemoteProtocolError):
            stream.read()


def test_handled_exceptions_are_not_raised(world: World) -> None:
    @world.app.exception_handler(ValueError)
    async def handle(request: Request, error: ValueError) -> Response[dict[str, str]]:
        return Response({"handled": str(error)}, 418)

    with Client(world.app) as client:
        assert client.get("/boom").json() == {"handled": "boom"}


async def test_only_the_request_that_failed_raises(async_client: AsyncClient) -> None:
    results = await asyncio.gather(
        async_client.get("/boom"), async_client.get("/hello/x"), async_client.get("/boom"), return_exceptions=True
    )
    assert [type(r) for r in results] == [ValueError, httpx2.Response, ValueError]


# -- cookies, addresses, redirects ------------------------------------------------------------------------------------


def test_secure_cookies_come_back(client: Client) -> None:
    client.get("/login")
    assert client.get("/session").json()["cookies"] == {"__Host-session": "s3"}


def test_the_app_sees_the_scheme_and_the_peer(world: World) -> None:
    assert Client(world.app).get("/session").json()["scheme"] == "https"
    client = Client(world.app, base_url="http://example.com", peer=("192.0.2.7", 4711))
    assert client.get("/session").json() == {"cookies": {}, "scheme": "http", "client": "192.0.2.7"}


def test_a_wrong_host_is_refused(world: World) -> None:
    app = App(docs=False, allowed_hosts=["example.com"])
    assert Client(app).get("/").status_code == 400
    assert Client(app, base_url="https://example.com").get("/").status_code == 404


def test_redirects_are_followed_on_demand(client: Client) -> None:
    assert client.get("/old").status_code == 303
    assert client.get("/old", follow_redirects=True).json() == {"message": "new"}


def test_what_runs_after_the_answer_has_run_when_the_request_returns(client: Client, world: World) -> None:
    client.get("/after")
    assert world.events[-1] == "after"


def test_a_time_limit_is_kept(client: Client) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        client.get("/forever", timeout=0.05)


async def test_a_cancelled_request_cancels_its_handler(world: World) -> None:
    async with AsyncClient(world.app) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.get("/forever")
        names = {getattr(t.get_coro(), "__name__", "") for t in asyncio.all_tasks()}
        assert "forever" not in names


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\x00b"])
def test_a_header_with_a_line_end_is_refused(client: Client, value: str) -> None:
    with pytest.raises(httpx2.LocalProtocolError):
        client.get("/hello/x", headers={"x-test": value})


# -- overrides --------------------------------------------------------------------------------------------------------


def test_a_dependency_is_overridden_by_a_function_or_a_value(client: Client) -> None:
    with client.override(current_user, lambda: "Ada"):
        assert client.get("/user").json() == {"name": "Ada"}
    with client.override(current_user, "Grace"):
        assert client.get("/user").json() == {"name": "Grace"}
    assert client.get("/user").json() == {"name": "nobody"}


async def test_a_provided_type_is_overridden(async_client: AsyncClient) -> None:
    with async_client.override(Clock, Clock(3)):
        assert (await async_client.get("/time")).json() == {"hour": 3}
    assert (await async_client.get("/time")).json() == {"hour": 12}


async def test_context_variables_of_the_test_do_not_reach_handlers(world: World) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="the handler's own")

    @world.app.get("/variable")
    async def read() -> str:
        return variable.get()

    async with AsyncClient(world.app) as client:
        variable.set("the test's")
        assert (await client.get("/variable")).text == "the handler's own"


async def test_context_variables_of_the_lifespan_reach_handlers(world: World) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="nothing")

    @world.app.lifespan
    async def life() -> AsyncIterator[None]:
        variable.set("the lifespan's")
        yield

    @world.app.get("/variable")
    async def read() -> str:
        return variable.get()

    async with AsyncClient(world.app) as client:
        assert (await client.get("/variable")).text == "the lifespan's"


def test_what_is_overridden_before_the_start_is_not_opened(world: World) -> None:
    opened: list[str] = []

    class Database: ...

    async def open_database() -> AsyncIterator[Database]:
        opened.append("the real one")
        yield Database()

    world.app.provide(Database, open_database, scope="app")
    client = Client(world.app)
    with client.override(Database, Database()), client:
        assert client.get("/hello/x").status_code == 200
    assert not opened


def test_importing_the_package_does_not_load_httpx2() -> None:
    import subprocess

    code = "import sys, quintet.testing, quintet.testing.pytest_plugin; assert 'httpx2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
