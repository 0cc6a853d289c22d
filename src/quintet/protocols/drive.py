"""Driving a handler in place: its first step runs without a task of its own.

Most handlers never suspend; a task for each would cost a third of the request. The first step runs inside a *parked*
task — made beforehand, waiting — so that `asyncio.current_task`, `asyncio.timeout`, `TaskGroup` and anyio work in it.
A handler that does suspend is handed to that task, which wakes and carries it on; the task is then used up.

The rules of this state machine live here alone:

1. Every step of a handler runs in its request's own `contextvars` context.
2. A parked task serves any number of handlers that do not suspend, and at most one that does.
3. A cancellation that arrives before the task has woken is thrown into the handler.
4. A task that was ever asked to cancel is not used again.

`asyncio.tasks._enter_task` and `_leave_task` are documented for those who extend asyncio.
"""

from __future__ import annotations

import asyncio
import types
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

#: Called with (result, exception) when a handler that suspended has ended.
Done = Callable[[Any, "BaseException | None"], None]

#: Returned by `start` for a handler that goes on in a task.
SUSPENDED = object()


class _Parked:
    """A task that waits for a coroutine to carry on."""

    __slots__ = ("context", "coro", "done", "task", "wake", "yielded")

    def __init__(self) -> None:
        self.coro: Coroutine[Any, Any, Any] | None = None
        self.task: asyncio.Task[None]
        #: Set when the task is parked.
        self.wake: asyncio.Future[None]
        #: Set with the coroutine: its context, what it has yielded, and whom to tell.
        self.context: Context
        self.yielded: Any
        self.done: Done


@types.coroutine
def _carry_on(parked: _Parked, cancelled: BaseException | None) -> Generator[Any, Any, Any]:
    """Drive a coroutine that has yielded already, each step in its own context."""
    coro, context, waiting = parked.coro, parked.context, parked.yielded
    assert coro is not None
    error = cancelled
    while True:
        value = None
        if error is None:
            try:
                value = yield waiting
            except BaseException as exc:  # noqa: BLE001 - whatever it is belongs to the handler
                error = exc
        try:
            if error is not None:
                thrown, error = error, None
                waiting = context.run(coro.throw, thrown)
            else:
                waiting = context.run(coro.send, value)
        except StopIteration as stop:
            return stop.value


async def _outcome(coro: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    """Return a coroutine's result or exception. A task that raises SystemExit would end the event loop."""
    try:
        return await coro, None
    except BaseException as exc:  # noqa: BLE001 - handed to whoever started the coroutine
        return None, exc


class Driver:
    """Runs coroutines for one event loop.

    Args:
        loop: the running loop.
        spares: the number of parked tasks to keep.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, spares: int = 4) -> None:
        self.loop = loop
        self._spares = spares
        self._parked: list[_Parked] = []
        self._making = 0
        self._closed = False
        self.running: set[asyncio.Task[Any]] = set()
        #: The task of the coroutine that was suspended last.
        self.task: asyncio.Task[Any] | None = None
        for _ in range(spares):
            self._make()

    def _make(self) -> None:
        self._making += 1
        parked = _Parked()
        parked.task = self.loop.create_task(self._park(parked))

    async def _park(self, parked: _Parked) -> None:
        # Parked only from its first step on: a task that has not begun cannot hand a cancellation to the handler.
        parked.wake = self.loop.create_future()
        self._making -= 1
        if self._closed:
            return
        self._parked.append(parked)
        cancelled: BaseException | None = None
        try:
            await parked.wake
        except asyncio.CancelledError as exc:
            cancelled = exc
        if parked.coro is None:
            self._forget(parked)
            return
        result: Any = None
        error: BaseException | None = None
        try:
            result = await _carry_on(parked, cancelled)
        except BaseException as exc:  # noqa: BLE001 - handed to whoever started the coroutine
            error = exc
        self.running.discard(parked.task)
        parked.done(result, error)

    def _forget(self, parked: _Parked) -> None:
        if parked in self._parked:
            self._parked.remove(parked)
        if not self._closed and len(self._parked) + self._making < self._spares:
            self._make()

    def start(self, coro: Coroutine[Any, Any, Any], context: Context, done: Done) -> Any:
        """Run a coroutine's first step.

        Returns:
            its result when it ended without suspending; it may raise. Otherwise `SUSPENDED`: `done` is called later.
        """
        try:
            parked = self._parked[-1]
        except IndexError:
            self._start_task(coro, context, done)
            return SUSPENDED
        try:
            _enter_task(self.loop, parked.task)
        except RuntimeError:  # called from inside a task: that one steps aside
            return self._start_inside(coro, context, done)
        try:
            yielded = context.run(coro.send, None)
        except StopIteration as stop:
            return stop.value
        else:
            self._hand_over(parked, coro, context, yielded, done)
            return SUSPENDED
        finally:
            _leave_task(self.loop, parked.task)
            if parked.coro is None and parked.wake.done():  # it was cancelled: it is not used again
                self._forget(parked)

    def _start_inside(self, coro: Coroutine[Any, Any, Any], context: Context, done: Done) -> Any:
        outer = asyncio.current_task(self.loop)
        assert outer is not None
        parked = self._parked[-1]
        in_use = parked.task is outer  # by a first step, which may need it yet
        if in_use:
            self._parked.pop()
        _leave_task(self.loop, outer)
        try:
            return self.start(coro, context, done)
        finally:
            _enter_task(self.loop, outer)
            if in_use:
                self._parked.append(parked)

    def _hand_over(
        self, parked: _Parked, coro: Coroutine[Any, Any, Any], context: Context, yielded: Any, done: Done
    ) -> None:
        """Let a parked task carry on a coroutine that has suspended."""
        self._parked.remove(parked)
        parked.coro, parked.context, parked.yielded, parked.done = coro, context, yielded, done
        self.running.add(parked.task)
        self.task = parked.task
        if not parked.wake.done():
            parked.wake.set_result(None)
        if len(self._parked) + self._making < self._spares:
            self._make()

    def _start_task(self, coro: Coroutine[Any, Any, Any], context: Context, done: Done) -> None:
        """Start a task the ordinary way; no parked one is at hand."""
        task = self.loop.create_task(_outcome(coro), context=context)
        self.running.add(task)
        self.task = task

        def ended(task: asyncio.Task[tuple[Any, BaseException | None]]) -> None:
            self.running.discard(task)
            if task.cancelled():  # before its first step
                coro.close()
                done(None, asyncio.CancelledError())
            else:
                done(*task.result())

        task.add_done_callback(ended)
        if self._making == 0 and not self._closed:
            for _ in range(self._spares):
                self._make()

    def close(self) -> None:
        """End the parked tasks. Running ones are left to their owner."""
        self._closed = True
        for parked in self._parked:
            if not parked.wake.done():
                parked.wake.set_result(None)
