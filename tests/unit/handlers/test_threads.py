"""The pool of threads: bounded, with the context of the request, and waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from contextvars import ContextVar
from typing import Annotated

import pytest

from quintet import App, CallNext, Depends, Request, Response, ThreadSettings
from quintet.errors import ServiceUnavailable
from quintet.handlers.threads import ThreadPool
from quintet.testing import AsyncClient, Client

variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_a_function_runs_elsewhere_and_its_result_comes_back() -> None:
    pool = ThreadPool()

    def function(a: int, *, b: int) -> tuple[int, str]:
        return a + b, threading.current_thread().name

    result, name = await pool.run(function, 1, b=2)
    assert result == 3
    assert name.startswith("quintet")
    pool.close()


async def test_an_exception_comes_back() -> None:
    pool = ThreadPool()
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 // 0)
    assert pool.pending == 0
    pool.close()


async def test_context_variables_go_and_come_back() -> None:
    pool = ThreadPool()
    variable.set("outside")

    def function() -> str:
        before = variable.get()
        variable.set("inside")
        return before

    assert await pool.run(function) == "outside"
    assert variable.get() == "inside"
    pool.close()


async def test_more_than_the_pool_and_its_queue_hold_is_refused_at_once() -> None:
    pool = ThreadPool(ThreadSettings(size=1, queue=1))
    release = threading.Event()
    running = [asyncio.ensure_future(pool.run(release.wait, 10)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable, match="all threads are busy"):
        await pool.run(release.wait)
    assert (pool.pending, pool.refused) == (2, 1)
    release.set()
    assert await asyncio.gather(*running) == [True, True]
    assert pool.pending == 0
    pool.close()


async def test_a_call_that_waited_too_long_is_not_begun() -> None:
    pool = ThreadPool(ThreadSettings(size=1, wait=0.02))
    called: list[int] = []
    first = asyncio.ensure_future(pool.run(time.sleep, 0.1))
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable):
        await pool.run(called.append, 1)
    await first
    assert called == []
    pool.close()


async def test_a_cancelled_call_waits_for_its_thread() -> None:
    pool = ThreadPool()
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def function() -> None:
        begun.set()
        release.wait(10)
        ended.set()

    task = asyncio.ensure_future(pool.run(function))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()  # once more changes nothing
    await asyncio.sleep(0.01)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert pool.pending == 0
    pool.close()


async def test_a_cancelled_call_that_waits_is_never_begun() -> None:
    pool = ThreadPool(ThreadSettings(size=1))
    release = threading.Event()
    called: list[int] = []
    first = asyncio.ensure_future(pool.run(release.wait, 10))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(pool.run(called.append, 1))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0.01)
    release.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert called == []
    assert pool.pending == 0
    pool.close()


async def test_a_full_pool_is_a_503_with_a_time_to_come_back() -> None:
    app = App(docs=False, threads=ThreadSettings(size=1, queue=0))
    begun, release = threading.Event(), threading.Event()

    @app.get("/")
    def handler() -> str:
        begun.set()
        release.wait(10)
        return "done"

    @app.get("/async")
    async def other() -> str:
        return "still here"

    async with AsyncClient(app) as client:
        first = asyncio.ensure_future(client.get("/"))
        await asyncio.to_thread(begun.wait, 10)
        refused = await client.get("/")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert (await client.get("/async")).text == "still here"
        release.set()
        assert (await first).text == "done"


def test_what_a_def_handler_sets_is_seen_by_the_middleware_around_it() -> None:
    seen: list[str] = []

    async def middleware(request: Request, call_next: CallNext) -> Response[object]:
        variable.set("middleware")
        response = await call_next(request)
        seen.append(variable.get())
        return response

    app = App(docs=False, middleware=[middleware])

    @app.get("/")
    def handler() -> str:
        before = variable.get()
        variable.set("handler")
        return before

    with Client(app) as client:
        assert client.get("/").text == "middleware"
        assert client.get("/").text == "middleware"
    assert seen == ["handler", "handler"]


async def test_who_has_a_place_gets_a_thread_however_many_wait() -> None:
    pool = ThreadPool(ThreadSettings(size=2))
    free = threading.Semaphore(1)  # like a pool of connections that is smaller than that of threads
    order: list[str] = []

    async def request() -> None:
        async with pool.place():
            assert await pool.run_in_place(free.acquire, True, 5)
            await asyncio.sleep(0)
            await pool.run_in_place(order.append, "used")
            await pool.run_in_place(free.release)

    await asyncio.wait_for(asyncio.gather(*(request() for _ in range(20))), 4)
    assert len(order) == 20
    assert pool.pending == 0
    pool.close()


async def test_a_place_that_was_granted_to_one_who_went_away_goes_to_the_next() -> None:
    pool = ThreadPool(ThreadSettings(size=1))
    await pool.acquire()
    first, second = (asyncio.ensure_future(pool.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    pool.release()
    first.cancel()
    await asyncio.wait_for(second, 2)
    assert pool.pending == 1
    pool.release()
    assert pool.pending == 0


def test_a_dependency_and_its_handler_share_a_place() -> None:
    app = App(threads=ThreadSettings(size=2))
    connections = threading.Semaphore(1)

    def connection() -> Generator[int, None, None]:
        assert connections.acquire(timeout=5)
        yield 1
        connections.release()

    @app.get("/")
    def handler(one: Annotated[int, Depends(connection)]) -> int:
        return one

    async def ask() -> None:
        async with AsyncClient(app) as client:
            answers = await asyncio.gather(*(client.get("/") for _ in range(30)))
            assert {answer.status_code for answer in answers} == {200}

    begin = time.monotonic()
    asyncio.run(ask())
    assert time.monotonic() - begin < 4
