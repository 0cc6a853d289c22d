"""Driving a handler in place: its first step runs without a task of its own.

Most handlers never suspend; a task for each would cost a third of the request. The first step runs inside a *parked*
task — made beforehand, waiting — so that `asyncio.current_task`, `asyncio.timeout`, `TaskGroup` and anyio work in it.
A handler that does suspend is handed to that task, which wakes and carries it on; the task is then used up. Where that
is to be expected, because the last one did (`Habit`), an ordinary task is cheaper.

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
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Protocol

#: Called with (result, exception) when a handler that suspended has ended.
Done = Callable[[Any, "BaseException | None"], None]

#: Returned by `start` for a handler that goes on in a task.
SUSPENDED = object()


class _Parked:
    """A task that waits for a coroutine to carry on, and the runner of first steps that goes with it."""

    __slots__ = ("context", "is_taken", "result", "runner", "send", "task", "wake", "yielded")

    def __init__(self) -> None:
        self.task: asyncio.Task[None]
        #: Set when the task is parked.
        self.wake: asyncio.Future[None]
        #: Whether the task carries a coroutine on: then, its context, and what it has yielded.
        self.is_taken = False
        self.context: Context
        self.yielded: Any
        #: What the last coroutine of the runner returned.
        self.result: Any = None
        self.renew()

    def renew(self) -> None:
        """Make a runner in the place of one that an exception has ended."""
        self.runner: Any = _run_each(self)
        self.send: Callable[[Any], Any] = self.runner.send
        self.send(None)


@types.coroutine
def _run_each(parked: _Parked) -> Generator[Any, Any, None]:
    """Run one coroutine after the other, each sent in; yield what it yields, and at its end `_ENDED`.

    PERF: the end of a coroutine that is sent to by hand is a StopIteration, raised and caught for 0.25 us; here it is
    a value.
    """
    coro: Coroutine[Any, Any, Any] = yield
    while True:
        parked.result = yield from coro  # pyright: ignore[reportGeneralTypeIssues, reportUnknownMemberType]
        coro = yield _ENDED


#: Yielded by a runner whose coroutine has ended.
_ENDED = object()


@types.coroutine
def _carry_on(parked: _Parked, cancelled: BaseException | None) -> Generator[Any, Any, Any]:
    """Drive a runner whose coroutine has yielded already, each step in the coroutine's own context."""
    runner, context, waiting = parked.runner, parked.context, parked.yielded
    error = cancelled
    while waiting is not _ENDED:
        value = None
        if error is None:
            try:
                value = yield waiting
            except BaseException as exc:  # noqa: BLE001 - whatever it is belongs to the handler
                error = exc
        if error is not None:
            thrown, error = error, None
            waiting = context.run(runner.throw, thrown)
        else:
            waiting = context.run(runner.send, value)
    return parked.result


async def _outcome(coro: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    """Return a coroutine's result or exception. A task that raises SystemExit would end the event loop."""
    try:
        return await coro, None
    except BaseException as exc:  # noqa: BLE001 - handed to whoever started the coroutine
        return None, exc


class Habit(Protocol):
    """What is remembered of a handler: whether it is expected to suspend."""

    #: How many of its next calls begin as tasks; the one after them shows in place whether it still suspends.
    tasks: int


#: The calls that begin as tasks after one that has suspended in place.
SPELL = 64


class Driver:
    """Runs coroutines for one event loop.

    Args:
        loop: the running loop.
        spares: the number of parked tasks to keep.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, spares: int = 4) -> None:
        self.loop = loop
        #: That of nobody's request: ends are told in it.
        self._context = copy_context()
        self._spares = spares
        self._parked: list[_Parked] = []
        self._making = 0
        self._closed = False
        #: The tasks of coroutines that have suspended, and whom to tell of their end.
        self.running: dict[asyncio.Task[Any], Done] = {}
        #: The task of the coroutine that was suspended last.
        self.task: asyncio.Task[Any] | None = None
        for _ in range(spares):
            self._make()

    def _make(self) -> None:
        self._making += 1
        parked = _Parked()
        parked.task = task = self.loop.create_task(self._park(parked))
        # A spare that is left when its loop is thrown away loses nobody's work; one that carries a handler on does.
        task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]

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
        if not parked.is_taken:
            self._forget(parked)
            return
        result: Any = None
        error: BaseException | None = None
        try:
            result = await _carry_on(parked, cancelled)
        except BaseException as exc:  # noqa: BLE001 - handed to whoever started the coroutine
            error = exc
        # PERF: the runner refers to the parked task, its context to the request, and an error to this frame: what is
        # cut here need not wait for the collector.
        del parked.runner, parked.send, parked.context, parked.yielded
        self.running.pop(parked.task)(result, error)
        del error

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
            if self._making == 0 and not self._closed:
                for _ in range(self._spares):
                    self._make()
            return self.start_task(coro, context, done)
        try:
            _enter_task(self.loop, parked.task)
        except RuntimeError:  # called from inside a task: that one steps aside
            return self._start_inside(coro, context, done)
        try:
            yielded = context.run(parked.send, coro)
            if yielded is _ENDED:
                result, parked.result = parked.result, None
                return result
            self._hand_over(parked, context, yielded, done)
            return SUSPENDED
        except BaseException:
            parked.renew()
            raise
        finally:
            _leave_task(self.loop, parked.task)
            if parked.wake.done() and not parked.is_taken:  # it was cancelled: it is not used again
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

    def _hand_over(self, parked: _Parked, context: Context, yielded: Any, done: Done) -> None:
        """Let a parked task carry on a coroutine that has suspended."""
        self._parked.remove(parked)
        parked.is_taken, parked.context, parked.yielded = True, context, yielded
        self.task = task = parked.task
        task._log_destroy_pending = True  # pyright: ignore[reportAttributeAccessIssue]
        self.running[task] = done
        if not parked.wake.done():
            parked.wake.set_result(None)
        if len(self._parked) + self._making < self._spares:
            self._make()

    def start_by_habit(self, habit: Habit, coro: Coroutine[Any, Any, Any], context: Context, done: Done) -> Any:
        """Do what `start` does; in a task where the last one in place has suspended."""
        if habit.tasks:
            habit.tasks -= 1
            return self.start_task(coro, context, done)
        outcome = self.start(coro, context, done)
        if outcome is SUSPENDED:
            habit.tasks = SPELL
        return outcome

    def start_task(self, coro: Coroutine[Any, Any, Any], context: Context, done: Done) -> Any:
        """Run a coroutine the ordinary way, in a task of its own that begins soon.

        PERF: half the cost of a first step in place followed by a hand-over; for what is expected to suspend.

        Returns:
            `SUSPENDED`: `done` is called later.
        """
        self.task = task = self.loop.create_task(_outcome(coro), context=context)
        self.running[task] = done
        task.add_done_callback(partial(self._task_ended, coro), context=self._context)
        return SUSPENDED

    def _task_ended(self, coro: Coroutine[Any, Any, Any], task: asyncio.Task[tuple[Any, BaseException | None]]) -> None:
        done = self.running.pop(task)
        if self.task is task:  # its result need not live until the next one suspends
            self.task = None
        if task.cancelled():  # before its first step
            coro.close()
            done(None, asyncio.CancelledError())
        else:
            done(*task.result())

    def abandon(self, task: asyncio.Task[Any], done: Done) -> None:
        """Cancel a coroutine whose result nobody waits for any more; `done` is told of its end instead."""
        if task in self.running:
            self.running[task] = done
            task.cancel()

    def close(self) -> None:
        """End the parked tasks. Running ones are left to their owner."""
        self._closed = True
        for parked in self._parked:
            if not parked.wake.done():
                parked.wake.set_result(None)
