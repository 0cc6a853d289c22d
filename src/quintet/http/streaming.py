"""Bodies in chunks: from what a handler yields to bytes, with clean-up however the stream ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from quintet.http.sse import Event, encode_event

if TYPE_CHECKING:
    from quintet.http.request import Request

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


async def encoded_chunks(
    values: Any,
    encode: Callable[[Any], bytes] | None,
    run: Callable[..., Awaitable[Any]],
    close: Callable[[], Awaitable[None]] | None = None,
    *,
    first: bytes = b"",
) -> AsyncIterator[bytes]:
    """Yield `first`, and each value as bytes; text and bytes as they are where there is no `encode`."""
    iterator = iterate_async(values, run)
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


async def event_chunks(
    request: Request,
    events: AsyncIterable[Any],
    encode: Callable[[Any], bytes],
    keep_alive: float,
    run: Callable[..., Awaitable[Any]] | None = None,
    close: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[bytes]:
    """Yield server-sent events, and a comment after every `keep_alive` seconds of silence."""
    iterator: Any = iterate_async(events, run) if run is not None else events.__aiter__()
    pending: asyncio.Future[Any] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anext(iterator))
            done, _ = await asyncio.wait((pending,), timeout=keep_alive)
            if not done:
                yield b": keep-alive\n\n"
                continue
            try:
                value = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield encode_event(value if isinstance(value, Event) else Event(data=value), encode)
    finally:
        if pending is not None and not pending.done():
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        await _finish(iterator, close)


async def _finish(iterator: Any, close: Callable[[], Awaitable[None]] | None) -> None:
    try:
        aclose = getattr(iterator, "aclose", None)
        if aclose is not None:
            await aclose()
    finally:
        if close is not None:
            await close()
