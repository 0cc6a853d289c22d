"""An event loop in a thread of its own, through which synchronous code calls asynchronous code."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from quintet.server.run import new_event_loop

T = TypeVar("T")


class Portal:
    """Runs coroutines on an event loop in a thread.

    The thread starts with the first call and ends with `close`, or when nobody holds the portal any more.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[..., Any] | None = None

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result."""
        future = self.submit(coroutine)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError:
            raise RuntimeError("the call was cancelled, because its client was closed") from None

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine and return the future of its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._start())

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = self._loop = new_event_loop()
                thread = threading.Thread(target=_run, args=(loop,), name="quintet-test-client", daemon=True)
                thread.start()
                self._finalizer = weakref.finalize(self, _stop, loop, thread)
            return self._loop

    def close(self) -> None:
        """End the loop and its thread. A later call starts another."""
        with self._lock:
            self._loop = None
            if self._finalizer is not None:
                self._finalizer()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(5)
