"""Bodies in chunks: from what a handler yields to bytes, with clean-up however the stream ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from quintet.http.sse import Event, encode_event

if TYPE_CHECKING:
    from quintet.http.request import Request

#: What an event stream sends in silence; clients ignore it.
KEEP_ALIVE_COMMENT = b": keep-alive\n\n"

_END = object()


async def _from_sync(values: Iterable[Any], run: Callable[..., Awaitable[Any]]) -> AsyncIterator[Any]:
    iterator = iter(values)
    try:
        while True:
            value = await run(next, iterator, _END)
            if value is _END:
                return
            yield value
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            await run(close)


def iterate_async(values: Any, run: Callable[..., Awaitable[Any]]) -> AsyncIterator[Any]:
    """Return an async iterator over an async or sync iterable; a sync one is read in a thread."""
    if hasattr(values, "__aiter__"):
        return values.__aiter__()
    return _from_sync(values, run)


class Chunks(AsyncIterator[bytes]):
    """Chunks that are made as they are asked for, and whose end is tidied up even where they never were.

    Closing an async generator that has not begun runs none of it, and a HEAD request begins none.
    """

    __slots__ = ("_begun", "_close", "_generator", "_source")

    def __init__(
        self, generator: AsyncGenerator[bytes, None], source: Any, close: Callable[[], Awaitable[None]] | None
    ) -> None:
        self._generator = generator
        self._source = source
        self._close = close
        self._begun = False

    def __anext__(self) -> Awaitable[bytes]:
        """Return the next chunk."""
        self._begun = True
        return self._generator.__anext__()

    async def aclose(self) -> None:
        """End, wherever it is."""
        begun, self._begun = self._begun, True
        await self._generator.aclose()
        if not begun:
            await _finish(self._source, self._close)


def encoded_chunks(
    values: Any,
    encode: Callable[[Any], bytes] | None,
    run: Callable[..., Awaitable[Any]],
    close: Callable[[], Awaitable[None]] | None = None,
    *,
    first: bytes = b"",
) -> Chunks:
    """Yield `first`, and each value as bytes; text and bytes as they are where there is no `encode`."""
    iterator = iterate_async(values, run)
    return Chunks(_encoded(iterator, encode, close, first), iterator, close)


async def _encoded(
    iterator: AsyncIterator[Any],
    encode: Callable[[Any], bytes] | None,
    close: Callable[[], Awaitable[None]] | None,
    first: bytes,
) -> AsyncGenerator[bytes, None]:
    try:
        if first:
            yield first
        async for value in iterator:
            if encode is not None:
                yield encode(value)
            else:
                yield value.encode() if isinstance(value, str) else value
    finally:
        await _finish(iterator, close)


def iterate_chunks(chunks: Any, run: Callable[..., Awaitable[Any]]) -> AsyncIterator[bytes]:
    """Yield chunks of bytes or text as bytes."""
    return encoded_chunks(chunks, None, run)


def event_chunks(
    request: Request,
    events: AsyncIterable[Any] | Iterable[Any],
    encode: Callable[[Any], bytes],
    keep_alive: float,
    run: Callable[..., Awaitable[Any]] | None = None,
    close: Callable[[], Awaitable[None]] | None = None,
) -> Chunks:
    """Yield server-sent events, and a comment after every `keep_alive` seconds of silence, until the client goes.

    A server that stops ends them at the next event or comment: clients connect again by themselves.
    Data that is text is sent as it is; other data goes through `encode`.
    """
    iterator = iterate_async(events, run or request.connection.run_sync or asyncio.to_thread)
    return Chunks(_events(request, iterator, encode, keep_alive, close), iterator, close)


async def _events(
    request: Request,
    iterator: AsyncIterator[Any],
    encode: Callable[[Any], bytes],
    keep_alive: float,
    close: Callable[[], Awaitable[None]] | None,
) -> AsyncGenerator[bytes, None]:
    items = _Items(iterator)
    gone = asyncio.ensure_future(request.connection.disconnected())

    def encode_data(data: Any) -> bytes:
        return data.encode() if isinstance(data, str) else encode(data)

    try:
        while not request.connection.is_stopping():
            item = items.ask()
            while not item.done():
                done, _ = await asyncio.wait((item, gone), timeout=keep_alive, return_when=asyncio.FIRST_COMPLETED)
                if gone in done or request.connection.is_stopping():
                    return
                if not done:
                    yield KEEP_ALIVE_COMMENT
            value = item.result()
            if value is _END:
                return
            event = cast("Event[Any]", value) if isinstance(value, Event) else Event(data=value)
            yield encode_event(event, encode_data)
    finally:
        gone.cancel()
        try:
            await items.stop()
        finally:
            if close is not None:
                await close()


class _Items:
    """Runs an iterator in one task, one item for each time it is asked.

    A generator that is waited for with a time limit needs a task; one for all its items, because what it opens around
    a `yield` (a task group, a timeout) belongs to the task that opened it.
    """

    def __init__(self, iterator: AsyncIterator[Any]) -> None:
        self._iterator = iterator
        self._wanted = asyncio.Event()
        self._item: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._run())

    def ask(self) -> asyncio.Future[Any]:
        """Return the next item as a future, `_END` behind the last one."""
        self._item = asyncio.get_running_loop().create_future()
        self._wanted.set()
        return self._item

    async def stop(self) -> None:
        """End the iterator where it is."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._item.done() and not self._item.cancelled():
            self._item.exception()  # nobody asks for it any more

    async def _run(self) -> None:
        try:
            await self._wanted.wait()
            self._wanted.clear()
            async for value in self._iterator:
                self._item.set_result(value)
                await self._wanted.wait()
                self._wanted.clear()
            self._item.set_result(_END)
        except Exception as exc:  # noqa: BLE001 - raised where the item was asked for
            if not self._item.done():
                self._item.set_exception(exc)
        finally:
            await _finish(self._iterator, None)


async def _finish(iterator: AsyncIterator[Any], close: Callable[[], Awaitable[None]] | None) -> None:
    try:
        aclose = getattr(iterator, "aclose", None)
        if aclose is not None:
            await aclose()
    finally:
        if close is not None:
            await close()
