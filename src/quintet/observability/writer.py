"""The way of log lines out of the process: a bounded queue and one thread for each output.

Who logs hands a line over and goes on; only the thread meets the output. Where the output takes nothing, lines are
dropped and counted, and the count is written when it takes lines again.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from quintet.observability.outputs import Output

#: A line with its end, or `(format, …)`: the thread calls `format` with the tuple and writes what it returns.
Item: TypeAlias = "str | tuple[Any, ...]"
#: The number of lines that wait for an output.
CAPACITY = 8192
#: Seconds that the end of the process waits for all outputs together.
EXIT_TIME = 2.0
#: Seconds between two looks at the queue while lines keep coming: they are written together.
_LINGER = 0.02


class LogWriter:
    """Hands lines to an output without ever waiting for it.

    Safe to call from any thread and from signal handlers. A forked child begins with an empty queue and a thread of
    its own; what waited belongs to the parent.

    Args:
        output: where lines go.
        capacity: the number of lines that may wait. A quarter more may wait of lines that are put with `reserve`.
        notice: makes the line that tells how many were dropped; empty where it tells it elsewhere.
    """

    def __init__(self, output: Output, *, capacity: int = CAPACITY, notice: Callable[[int], str] | None = None) -> None:
        self.output = output
        self.capacity = capacity
        #: The lines that wait. PERF: the access log appends to it itself, then calls `wake` where `is_idle`.
        self.queue: deque[Any] = deque()
        #: The thread sleeps, and must be woken.
        self.is_idle = True
        #: How many lines found no room in the queue.
        self.refused = 0
        #: How many lines the output has failed to take.
        self._lost = 0
        self.notice = notice or _plain_notice
        self._told = 0
        self._reserve = capacity + capacity // 4
        self._signal: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        #: The last write has failed.
        self._fails = False
        #: It has left the beginning of a line.
        self._torn = False
        self._refresh = False
        #: None while the process lives; at its end whether the output still takes lines.
        self._finished: bool | None = None
        _writers.add(self)

    @property
    def dropped(self) -> int:
        """How many lines were dropped since the process began."""
        return self.refused + self._lost

    def put(self, item: Item, *, reserve: bool = False) -> None:
        """Hand a line over; it is dropped, and counted, where too many wait."""
        if len(self.queue) >= (self._reserve if reserve else self.capacity):
            self.refused += 1
        else:
            self.queue.append(item)
        if self.is_idle:
            self.wake()
        if self._finished:
            self._finished = self.flush(EXIT_TIME / 4)

    def wake(self) -> None:
        """Let the thread look at the queue; it is started by the first call."""
        self.is_idle = False
        if self._thread is None:
            self._start()
        self._signal.put(None)

    def reopen(self) -> None:
        """Open the output's file anew, before the next line."""
        self._refresh = True
        self.wake()

    def flush(self, timeout: float) -> bool:
        """Wait until what was put is written, at most `timeout` seconds; tell whether it is."""
        if self._finished is False:
            return False
        if self._thread is None and not self.queue:
            return True
        done = threading.Event()
        self.queue.append(done)
        self.wake()
        return done.wait(timeout)

    def finish(self, timeout: float) -> bool:
        """Flush at the end of the process: what is put afterwards is written before `put` returns, in little time."""
        self._finished = self.flush(timeout)
        return self._finished

    def forget(self) -> None:
        """Begin anew, in a process that was just forked."""
        self.queue.clear()
        self._signal = SimpleQueue()
        self._starting = threading.Lock()
        self._thread = None
        self.refused = self._lost = self._told = 0
        self._fails = self._torn = False
        self._finished = None
        self.is_idle = True

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread, or the code that a signal has interrupted, is doing it
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="quintet-log", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:  # the interpreter is ending: no threads any more
            self._drain()
        finally:
            self._starting.release()

    # -- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        signal = self._signal
        while True:
            self._drain()
            with contextlib.suppress(Empty):
                signal.get(timeout=_LINGER)
            if self.queue:
                continue
            self.is_idle = True
            if not self.queue and not self._refresh:  # put while the flag was still down
                signal.get()
            self.is_idle = False

    def _drain(self) -> None:
        """Write what waits, in pieces that the output takes at once."""
        queue = self.queue
        if self._refresh:
            self._refresh = False
            self.output.refresh(force=True)
        elif queue:
            self.output.refresh()
        refused = self.refused  # their place is after the lines that wait now
        left = len(queue)
        lines: list[bytes] = []
        size = 0
        chunk = self.output.chunk
        while left:
            left -= 1
            item = queue.popleft()
            if item.__class__ is threading.Event:
                self._write(lines)
                lines, size = [], 0
                self._tell(refused)
                item.set()
                continue
            line = self._format(item)
            if lines and size + len(line) > chunk:
                self._write(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        self._write(lines)
        self._tell(refused)

    def _format(self, item: Any) -> bytes:
        try:
            text = item if item.__class__ is str else item[0](item)
            return text.encode(self.output.encoding, "backslashreplace")
        except Exception as exc:  # noqa: BLE001 - a line that cannot be made must not end the thread
            return f"a log line cannot be shown: {type(exc).__name__}\n".encode()

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        begin = b"\n" if self._torn else b""
        try:
            self.output.write(begin + b"".join(lines))
        except Exception as exc:  # noqa: BLE001 - full, closed or gone: the count tells it when it is back
            written: int = getattr(exc, "written", 0)
            self._fails = True
            self._lost += self._count_lost(lines, written - len(begin))
            self._torn = self._torn if written <= 0 else written - len(begin) not in _ends(lines)
        else:
            self._fails = self._torn = False

    @staticmethod
    def _count_lost(lines: list[bytes], written: int) -> int:
        return sum(end > written for end in _ends(lines))

    def _tell(self, refused: int) -> None:
        """Tell how many lines were dropped, once the output takes lines again."""
        count = refused + self._lost - self._told
        if not count or self._fails:
            return
        line = self.notice(count)
        if line:
            self._write([self._format(line)])
            if self._fails:
                self._lost -= 1  # the notice itself is none of those lost
                return
        self._told += count


def _ends(lines: list[bytes]) -> list[int]:
    return list(accumulate(map(len, lines)))


class ImmediateWriter(LogWriter):
    """Writes before `put` returns: in development, where lines stand in order with what the app prints."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._writing = threading.RLock()

    def wake(self) -> None:
        """Write what was put."""
        with self._writing:
            self._drain()

    def forget(self) -> None:
        """Begin anew, in a process that was just forked."""
        super().forget()
        self._writing = threading.RLock()


def _plain_notice(count: int) -> str:
    return f"{count} log lines were dropped: the output did not take them\n"


_writers: weakref.WeakSet[LogWriter] = weakref.WeakSet()


def reopen_all() -> None:
    """Open the files of all writers anew: for a signal of log rotation."""
    for writer in list(_writers):
        writer.reopen()


def flush_all(timeout: float = EXIT_TIME) -> bool:
    """Wait until all that was logged is written, at most `timeout` seconds: before a process is ended by force."""
    deadline = time.monotonic() + timeout
    flushed = [writer.flush(max(0.0, deadline - time.monotonic())) for writer in list(_writers)]
    return all(flushed)


def _finish_all() -> None:
    deadline = time.monotonic() + EXIT_TIME
    for writer in list(_writers):
        writer.finish(max(0.0, deadline - time.monotonic()))


def _forget_all() -> None:
    for writer in list(_writers):
        writer.forget()


atexit.register(_finish_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
