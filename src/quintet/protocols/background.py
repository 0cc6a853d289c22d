"""The event loop behind a WSGI server: one per process, started at first use, in a thread of its own.

`async def` handlers, streams and the lifespan of an app run on it, while the server's thread waits and runs what is
sync for them. After a fork the child makes its own.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any
from weakref import WeakKeyDictionary

from quintet.handlers.threads import copy_back
from quintet.protocols.context import logger
from quintet.protocols.exchange import close_chunks
from quintet.protocols.intake import Served

#: Chunks of a stream that wait for the server's thread.
WINDOW = 4
#: Seconds the lifespan may take to end.
STOP_TIMEOUT = 10.0

_lock = threading.Lock()
_backgrounds: WeakKeyDictionary[Any, Background] = WeakKeyDictionary()


class Background:
    """The loop of one app in this process."""

    def __init__(self, app: Served) -> None:
        self._app = app
        self._process = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="quintet-loop", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        multiprocessing: Any = sys.modules.get("multiprocessing")
        if multiprocessing is not None and multiprocessing.parent_process() is not None:
            # Such a child leaves by `os._exit`, without the functions of `atexit` (Granian's workers).
            multiprocessing.util.Finalize(None, self.close, exitpriority=100)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def start(self) -> None:
        """Begin the app's life, and return when it has begun.

        Raises:
            ConfigurationError: everything that is wrong with the app.
        """
        asyncio.run_coroutine_threadsafe(self._app.ensure_started(), self.loop).result()

    def submit(self, coro: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine, and do not wait for it."""
        asyncio.run_coroutine_threadsafe(coro, self.loop)

    def close(self) -> None:
        """End the app's life and the loop."""
        if self._process != os.getpid() or self.loop.is_closed():
            return
        atexit.unregister(self.close)
        try:
            asyncio.run_coroutine_threadsafe(self._app.stop(), self.loop).result(STOP_TIMEOUT)
        except Exception:  # noqa: BLE001 - the process ends all the same
            logger.exception("the app did not stop in order")
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_TIMEOUT)
        if not self._thread.is_alive():
            self.loop.close()


def background_of(app: Served) -> Background:
    """Return the background of an app in this process; make it and start the app at the first call."""
    background = _backgrounds.get(app)
    if background is None or background.loop.is_closed():
        with _lock:
            background = _backgrounds.get(app)
            if background is None or background.loop.is_closed():
                background = _backgrounds[app] = Background(app)
    if not app.is_started:
        background.start()
    return background


def _forget() -> None:
    """In a forked child: nothing of the parent's loops has come along."""
    global _lock
    _lock = threading.Lock()
    for app in list(_backgrounds):
        app.forget_start()
    _backgrounds.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Conversation:
    """A server's thread that waits for the loop, and runs blocking functions for it meanwhile."""

    __slots__ = ("_background", "_context", "_ended", "_messages", "_room", "_task")

    def __init__(self, background: Background, context: Context) -> None:
        self._background = background
        self._context = context
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._room: asyncio.Semaphore | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = True

    # -- in the server's thread ---------------------------------------------------------------------------------

    def call(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop and return its result."""
        self._begin(self._run(coro))
        _, result = self._wait()
        return result

    def open(self, chunks: AsyncIterator[bytes]) -> None:
        """Begin to read chunks on the loop, a few ahead."""
        self._begin(self._read(chunks))

    def next_chunk(self) -> bytes | None:
        """Return the next chunk, or None at the end; raise what the stream has raised."""
        if self._ended:
            return None
        kind, value = self._wait()
        if kind == "chunk":
            assert self._room is not None
            self._background.loop.call_soon_threadsafe(self._room.release)
            return value
        return None

    def close(self) -> None:
        """Cancel what runs, and return when it has ended."""
        if self._ended:
            return
        self._background.loop.call_soon_threadsafe(self._cancel)
        while not self._ended:
            try:
                self._wait()
            except BaseException as exc:  # noqa: BLE001 - it was asked to end
                logger.debug("a stream was closed", exc_info=exc)

    def _begin(self, coro: Coroutine[Any, Any, None]) -> None:
        self._ended = False
        self._background.loop.call_soon_threadsafe(self._start, coro)

    def _wait(self) -> tuple[str, Any]:
        """Run functions for the loop until it has something to tell."""
        while True:
            kind, value = self._messages.get()
            if kind == "function":
                self._serve(*value)
                continue
            if kind != "chunk":
                self._ended = True
            if kind == "error":
                raise value
            return kind, value

    def _serve(self, context: Context, function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = context.run(function)
        except BaseException as exc:  # noqa: BLE001 - raised where the function was called for
            error = exc
        self._background.loop.call_soon_threadsafe(_settle, future, result, error)

    # -- on the loop --------------------------------------------------------------------------------------------

    def _start(self, coro: Coroutine[Any, Any, None]) -> None:
        self._task = self._background.loop.create_task(coro, context=self._context)
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # before its first step
            self._messages.put(("error", asyncio.CancelledError()))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, coro: Coroutine[Any, Any, Any]) -> None:
        try:
            result = await coro
        except BaseException as exc:  # noqa: BLE001 - raised in the server's thread
            self._messages.put(("error", exc))
        else:
            self._messages.put(("result", result))

    async def _read(self, chunks: AsyncIterator[bytes]) -> None:
        self._room = room = asyncio.Semaphore(WINDOW)
        try:
            try:
                async for chunk in chunks:
                    if chunk:
                        await room.acquire()
                        self._messages.put(("chunk", chunk))
            finally:
                await close_chunks(chunks)
        except BaseException as exc:  # noqa: BLE001 - raised in the server's thread
            self._messages.put(("error", exc))
        else:
            self._messages.put(("end", None))

    async def run_function(self, function: Callable[[], Any]) -> Any:
        """Call a blocking function in the server's thread, in a copy of this context whose changes come back."""
        context = copy_context()
        future: asyncio.Future[Any] = self._background.loop.create_future()
        self._messages.put(("function", (context, function, future)))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # It cannot be stopped: what it uses must not be closed under it.
            while not future.done():
                await asyncio.wait([future])
            raise
        finally:
            copy_back(context)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):  # a future cannot carry it
        future.set_exception(RuntimeError("a function raised StopIteration"))
    else:
        future.set_exception(error)
