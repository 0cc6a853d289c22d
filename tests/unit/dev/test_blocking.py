from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from quintet.dev.blocking import BlockingCall, BlockingDetector, assert_no_blocking

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return asyncio.run if request.param == "asyncio" else uvloop.run


async def blocking_handler(seconds: float) -> None:
    time.sleep(seconds)


def busy_helper(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def watch(run: Run, handler: Callable[[], Coroutine[Any, Any, None]]) -> list[BlockingCall]:
    found: list[BlockingCall] = []

    async def main() -> None:
        detector = BlockingDetector(threshold=0.1, report=found.append)
        detector.start()
        detector.start()
        await asyncio.sleep(0.02)
        await handler()
        await asyncio.sleep(0.02)
        detector.stop()
        detector.stop()

    run(main())
    return found


def test_a_blocking_call_is_found_with_its_line(run: Run) -> None:
    (call,) = watch(run, lambda: blocking_handler(0.6))
    assert call.file == __file__
    assert call.line == inspect.getsourcelines(blocking_handler)[1] + 1
    assert (call.function, call.code) == ("blocking_handler", "time.sleep(seconds)")
    assert "blocked for more than" in str(call)
    assert "asyncio.to_thread" in str(call)
    assert any("blocking_handler" in line for line in call.stack)


def test_busy_code_is_found_too(run: Run) -> None:
    async def handler() -> None:
        busy_helper(0.6)

    calls = watch(run, handler)
    assert {call.function for call in calls} == {"busy_helper"}


def test_a_library_that_blocks_is_told_by_the_line_that_called_it(run: Run) -> None:
    import subprocess
    import sys

    async def handler() -> None:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.6)"], check=True)

    (call,) = watch(run, handler)
    assert call.function.endswith("handler")
    assert call.code.startswith("subprocess.run(")


def test_each_place_is_told_once(run: Run) -> None:
    async def handler() -> None:
        for _ in range(3):
            await blocking_handler(0.3)
            await asyncio.sleep(0.05)

    assert len(watch(run, handler)) == 1


def test_waiting_without_blocking_is_fine(run: Run) -> None:
    async def handler() -> None:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(time.sleep, 0.3)

    assert watch(run, handler) == []


def test_the_warning_is_logged_at_the_place_of_the_call(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        detector = BlockingDetector()
        detector.start()
        await blocking_handler(0.6)
        detector.stop()

    with caplog.at_level(logging.WARNING, "quintet.dev"):
        asyncio.run(main())
    (record,) = caplog.records
    assert (record.pathname, record.funcName) == (__file__, "blocking_handler")
    assert "time.sleep(seconds)" in (record.stack_info or "")


def test_tests_can_refuse_blocking() -> None:
    async def bad() -> None:
        with assert_no_blocking():
            await asyncio.sleep(0.01)
            await blocking_handler(0.6)

    async def good() -> None:
        with assert_no_blocking():
            await asyncio.sleep(0.2)

    with pytest.raises(AssertionError, match="blocking_handler: time.sleep"):
        asyncio.run(bad())
    asyncio.run(good())


def test_a_failure_inside_is_not_hidden() -> None:
    async def main() -> None:
        with assert_no_blocking():
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(main())


def test_a_closed_loop_ends_the_thread() -> None:
    detector = BlockingDetector(threshold=0.02)

    async def main() -> None:
        detector.start()

    asyncio.run(main())
    time.sleep(0.1)
    detector.stop()
