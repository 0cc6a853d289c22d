"""The board: memory that all processes of a server share, one row of integers for each worker.

A worker writes its own row once a second; the supervisor and every other worker read it at any time. The first row
holds what workers that have ended had counted, so that sums never shrink.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import msgspec

#: What only grows: the sums over all workers are kept when one ends.
CUMULATIVE = (
    "requests", "responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx", "accepted", "refused", "timeouts",
    "websockets", "body_bytes",
)  # fmt: skip
#: What is so at the moment.
CURRENT = ("connections", "pending")

_PROCESS = ("pid", "started", "heartbeat", "memory", "accepting")
_FIELDS = (*_PROCESS, *CURRENT, *CUMULATIVE)
_INDEX = {name: n for n, name in enumerate(_FIELDS)}
#: Integers in a row; some are free.
_WIDTH = 32


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker last told."""

    pid: int = 0
    #: When it began to serve, in milliseconds since 1970.
    started: int = 0
    #: When its loop last turned, in milliseconds of the system's monotonic clock.
    heartbeat: int = 0
    #: Its resident set in bytes.
    memory: int = 0
    #: Whether it takes connections: 1 or 0.
    accepting: int = 0
    #: Connections that are open.
    connections: int = 0
    #: Handlers that have begun no answer yet.
    pending: int = 0
    requests: int = 0
    responses_2xx: int = 0
    responses_3xx: int = 0
    responses_4xx: int = 0
    responses_5xx: int = 0
    #: Connections that were accepted.
    accepted: int = 0
    #: Connections and requests that were answered 503 because there were too many.
    refused: int = 0
    timeouts: int = 0
    #: WebSockets that were opened.
    websockets: int = 0
    #: Bytes of bodies that came in after their head.
    body_bytes: int = 0


class Board:
    """Rows in shared memory. A process that has the descriptor can attach to it."""

    def __init__(self, fd: int, rows: int) -> None:
        self.fd = fd
        self.rows = rows
        # Whole aligned words are written and read at once, so that no lock is needed.
        self._words: Any = memoryview(mmap.mmap(fd, rows * _WIDTH * 8)).cast("q")

    @classmethod
    def create(cls, workers: int) -> Board:
        """Make a board with room for so many workers."""
        rows = workers + 1
        fd = open_nameless_file("quintet-board")
        os.ftruncate(fd, rows * _WIDTH * 8)
        return cls(fd, rows)

    def write(self, row: int, **values: int) -> None:
        """Write fields of a worker's row."""
        base, words = row * _WIDTH, self._words
        for name, value in values.items():
            words[base + _INDEX[name]] = value

    def heartbeat(self, row: int) -> int:
        """Return when a worker's loop last turned."""
        return self._words[row * _WIDTH + _INDEX["heartbeat"]]

    def is_ahead(self, row: int, connections: int) -> bool:
        """Note how many connections a worker has now, and tell whether one that takes connections has fewer."""
        words = self._words
        words[row * _WIDTH + _INDEX["connections"]] = connections
        accepting, counts = (
            words[_INDEX["accepting"] :: _WIDTH].tolist(),
            words[_INDEX["connections"] :: _WIDTH].tolist(),
        )
        return any(takes and count < connections for takes, count in zip(accepting, counts, strict=True))

    def read(self, row: int) -> Row:
        """Return a row."""
        base = row * _WIDTH
        return Row(**dict(zip(_FIELDS, self._words[base : base + len(_FIELDS)].tolist(), strict=True)))

    def total(self, field: str) -> int:
        """Return the sum of a field over all workers; with those that have ended, where it is one that grows."""
        return sum(self._words[_INDEX[field] :: _WIDTH].tolist())

    def totals(self) -> dict[str, int]:
        """Return the sums of all that is counted."""
        return {name: self.total(name) for name in (*CURRENT, *CUMULATIVE)}

    def retire(self, row: int) -> None:
        """Clear the row of a worker that has ended, and keep what it had counted."""
        words, base = self._words, row * _WIDTH
        for name in CUMULATIVE:
            words[_INDEX[name]] += words[base + _INDEX[name]]
        for n in range(_WIDTH):
            words[base + n] = 0

    def close(self) -> None:
        """Give the memory back."""
        self._words.release()
        os.close(self.fd)


def open_nameless_file(name: str) -> int:
    """Return the descriptor of a new file that has no path and goes with its last descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    import tempfile

    fd, path = tempfile.mkstemp(prefix=name)
    os.unlink(path)
    return fd
