"""Running a coroutine in a `contextvars` context of its own, without a task of its own."""

from __future__ import annotations

import logging
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

logger = logging.getLogger("quintet.server")


@types.coroutine
def run_in_context(
    coro: Coroutine[Any, Any, Any], context: Context, suspended: Callable[[], None] | None = None
) -> Generator[Any, Any, Any]:
    """Run a coroutine, each step in `context`, as a part of the awaiting task.

    Args:
        coro: the coroutine.
        context: its context.
        suspended: called when the coroutine suspends for the first time.
    """
    try:
        waiting = context.run(coro.send, None)
    except StopIteration as stop:
        return stop.value
    if suspended is not None:
        suspended()
    while True:
        error: BaseException | None = None
        value: Any = None
        try:
            value = yield waiting
        except GeneratorExit:
            coro.close()
            raise
        except BaseException as exc:  # noqa: BLE001 - whatever it is belongs to the coroutine
            error = exc
        try:
            waiting = context.run(coro.send, value) if error is None else context.run(coro.throw, error)
        except StopIteration as stop:
            return stop.value


async def run_callbacks(callbacks: list[Callable[[], Any]]) -> None:
    """Call what was to be called after an answer; one that fails stops none of the others."""
    for callback in callbacks:
        try:
            result = callback()
            if result is not None:
                await result
        except Exception:
            logger.exception("a callback after the response failed")
