"""Server-sent events (HTML Standard, section 9.2): one event, and its form on the wire."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

T = TypeVar("T")

_LINE_END = re.compile(r"\r\n|\r|\n")


class Event(msgspec.Struct, Generic[T], frozen=True):
    """One event of a stream.

    Raises:
        ValueError: a line end in `event` or `id`, NUL in `id`, or a negative `retry`.
    """

    #: The content; an event without it reaches no listener, and only sets `id` and `retry`.
    data: T | UnsetType = UNSET
    #: The type listeners ask for; `message` in the browser when absent.
    event: str | None = None
    #: What the browser sends back as `Last-Event-ID` when it connects again; empty text resets it.
    id: str | None = None
    #: Milliseconds the browser waits before it connects again.
    retry: int | None = None
    #: Text that clients ignore, such as a keep-alive.
    comment: str | None = None

    def __post_init__(self) -> None:
        if self.event is not None and _LINE_END.search(self.event):
            raise ValueError(f"the event type {self.event[:100]!r} has a line end")
        if self.id is not None and (_LINE_END.search(self.id) or "\0" in self.id):
            raise ValueError(f"the event id {self.id[:100]!r} has a line end or NUL")
        if self.retry is not None and self.retry < 0:
            raise ValueError(f"retry is a number of milliseconds, not {self.retry}")


def encode_event(event: Event[Any], encode_data: Callable[[Any], bytes]) -> bytes:
    """Return the event as it is sent; `encode_data` makes bytes of UTF-8 of its data."""
    lines: list[bytes] = []
    if event.comment is not None:
        lines += [b": " + line.encode() for line in _LINE_END.split(event.comment)]
    if event.event is not None:
        lines.append(b"event: " + event.event.encode())
    if event.id is not None:
        lines.append(b"id: " + event.id.encode())
    if event.retry is not None:
        lines.append(b"retry: %d" % event.retry)
    if not isinstance(event.data, UnsetType):
        lines += _data_lines(encode_data(event.data))
    return b"\n".join(lines) + b"\n\n"


def _data_lines(data: bytes) -> list[bytes]:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return [b"data: " + line for line in data.split(b"\n")]
