"""The bounded pool of threads in which `def` handlers run, so that they never stall the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from typing import Any, Literal, TypeVar

import msgspec

from quintet.errors import ServiceUnavailable

T = TypeVar("T")


class ThreadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The size of the pool."""

    #: Threads at most.
    size: int = 32
    #: Calls that may wait for a thread; one more is answered 503.
    queue: int = 1000
    #: Seconds a call may wait for a thread; then it is answered 503.
    wait: float = 5.0


class _Waiting:
    """A call that waits for a place; the pool's lock guards its state."""

    __slots__ = ("future", "loop", "state")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.state: Literal["waits", "granted", "gone"] = "waits"

    def wake(self, error: Exception | None = None) -> None:
        if not self.future.done():
            if error is None:
                self.future.set_result(None)
            else:
                self.future.set_exception(error)


class ThreadPool:
    """Runs blocking functions in threads, with a bound on how many run and wait.

    A place is a thread that may be used. Whoever needs threads several times (a dependency, the handler, the
    dependency's end) keeps one place for all of them: else those that hold a connection could wait for the threads of
    those that wait for a connection.

    Thread-safe. Threads are started when they are first needed, in the process that needs them.
    """

    def __init__(self, settings: ThreadSettings | None = None) -> None:
        self.settings = settings or ThreadSettings()
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._free = self.settings.size
        self._waiting: deque[_Waiting] = deque()
        #: Calls running or waiting now.
        self.pending = 0
        #: Calls refused since the start.
        self.refused = 0

    async def run(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call `function` in a thread, in a copy of this context whose changes come back.

        Raises:
            ServiceUnavailable: too many calls wait, or this one waited too long.
        """
        await self.acquire()
        try:
            return await self.run_in_place(function, *args, **kwargs)
        finally:
            self.release()

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None, None]:
        """Keep a place for several calls of `run_in_place`, one after the other.

        Raises:
            ServiceUnavailable: too many calls wait, or this one waited too long.
        """
        await self.acquire()
        try:
            yield
        finally:
            self.release()

    async def acquire(self) -> None:
        """Take a place, or wait for one.

        Raises:
            ServiceUnavailable: too many calls wait, or this one waited too long.
        """
        with self._lock:
            if self._free > 0:
                self._free -= 1
                self.pending += 1
                return
            if len(self._waiting) >= self.settings.queue:
                self.refused += 1
                raise _busy()
            waiting = _Waiting(asyncio.get_running_loop())
            self._waiting.append(waiting)
            self.pending += 1
        timer = waiting.loop.call_later(self.settings.wait, self._give_up, waiting)
        try:
            await waiting.future
        except BaseException:
            with self._lock:
                granted = waiting.state == "granted"
                self._forget(waiting)
                self.pending -= not granted
            if granted:
                self.release()
            raise
        finally:
            timer.cancel()

    def release(self) -> None:
        """Give a place back, to the one that waits for the longest time."""
        with self._lock:
            self.pending -= 1
            while self._waiting:
                waiting = self._waiting.popleft()
                try:
                    waiting.loop.call_soon_threadsafe(waiting.wake)
                except RuntimeError:  # its event loop was closed
                    self.pending -= 1
                    continue
                waiting.state = "granted"
                return
            self._free += 1

    def _give_up(self, waiting: _Waiting) -> None:
        with self._lock:
            if waiting.state != "waits":
                return
            self._forget(waiting)
            self.refused += 1
        waiting.wake(_busy())

    def _forget(self, waiting: _Waiting) -> None:
        if waiting.state == "waits":
            waiting.state = "gone"
            self._waiting.remove(waiting)

    async def run_in_place(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call `function` in a thread, for a caller that has a place."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.settings.size, thread_name_prefix="quintet")
        context = copy_context()
        job = self._executor.submit(context.run, function, *args, **kwargs)
        future = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if job.cancel():  # no thread has begun it
                raise
            # The thread cannot be stopped: what it uses (a session, a file) must not be closed under it.
            while not future.done():
                try:
                    await asyncio.shield(future)
                except asyncio.CancelledError:
                    continue
                except Exception:  # noqa: BLE001 - the cancellation is what the caller hears
                    break
            raise
        finally:
            copy_back(context)

    def close(self) -> None:
        """Let running calls finish and end the threads."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def forget(self) -> None:
        """Take note that this is a new process, to which no thread of the old one has come along."""
        self._executor = None
        self._lock = threading.Lock()
        self._free = self.settings.size
        self._waiting.clear()
        self.pending = 0


def _busy() -> ServiceUnavailable:
    return ServiceUnavailable("all threads are busy", headers={"retry-after": "1"})


def copy_back(context: Context) -> None:
    """Take over the context variables that the thread has set."""
    current = copy_context()
    for variable, value in context.items():
        if variable not in current or current[variable] is not value:
            variable.set(value)
