"""Encoding a sequence while it is made: one item, one piece of the body."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import msgspec


class ItemEncoder(msgspec.Struct, frozen=True):
    """How a format writes items one after the other."""

    #: Turns one item into bytes, with its line end.
    encode: Callable[[Any], bytes]
    #: What stands before the first item.
    head: bytes = b""

    def join(self, items: Iterable[Any]) -> bytes:
        """Return the whole body."""
        return self.head + b"".join(map(self.encode, items))

    def chunks(self, items: Iterable[Any]) -> Iterator[bytes]:
        """Iterate over the pieces of the body."""
        if self.head:
            yield self.head
        yield from map(self.encode, items)

    async def achunks(self, items: AsyncIterable[Any]) -> AsyncIterator[bytes]:
        """Iterate over the pieces of the body while the items arrive."""
        if self.head:
            yield self.head
        async for item in items:
            yield self.encode(item)
