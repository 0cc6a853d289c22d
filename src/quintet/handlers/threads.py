"""The bounded pool of threads in which `def` handlers run, so that they never stall the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any, TypeVar

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


class ThreadPool:
    """Runs blocking functions in threads, with a bound on how many run and wait.

    Thread-safe. Threads are started when they are first needed, in the process that needs them.
    """

    def __init__(self, settings: ThreadSettings | None = None) -> None:
        self.settings = settings or ThreadSettings()
        self._executor: ThreadPoolExecutor | None = None
        #: Calls running or waiting now.
        self.pending = 0
        #: Calls refused since the start.
        self.refused = 0

    async def run(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call `function` in a thread, in a copy of this context whose changes come back.

        Raises:
            ServiceUnavailable: too many calls wait, or this one waited too long.
        """
        if self.pending >= self.settings.size + self.settings.queue:
            self.refused += 1
            raise _busy()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.settings.size, thread_name_prefix="quintet")
        context = copy_context()
        deadline = time.monotonic() + self.settings.wait
        self.pending += 1
        job = self._executor.submit(self._call, context, deadline, function, args, kwargs)
        future = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if job.cancel():  # it was still waiting for a thread
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
            self.pending -= 1
            copy_back(context)

    def _call(self, context: Context, deadline: float, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        if time.monotonic() > deadline:
            self.refused += 1
            raise _busy()
        return context.run(function, *args, **kwargs)

    def close(self) -> None:
        """Let running calls finish and end the threads."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def forget(self) -> None:
        """Take note that this is a new process, to which no thread of the old one has come along."""
        self._executor = None
        self.pending = 0


def _busy() -> ServiceUnavailable:
    return ServiceUnavailable("all threads are busy", headers={"retry-after": "1"})


def copy_back(context: Context) -> None:
    """Take over the context variables that the thread has set."""
    current = copy_context()
    for variable, value in context.items():
        if variable not in current or current[variable] is not value:
            variable.set(value)
