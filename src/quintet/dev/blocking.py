"""Finds calls that block the event loop.

A thread asks the loop for a sign of life again and again. When the answer is late, it looks where the loop's thread is
at that moment, while the call that blocks has not returned yet.
"""

from __future__ import annotations

import asyncio
import linecache
import logging
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

logger = logging.getLogger("quintet.dev")

#: Seconds on the loop without a pause that count as blocking.
THRESHOLD = 0.1

_HINT = "use a `def` handler, which runs in a thread, or `await asyncio.to_thread(…)`"
_MAX_PLACES = 1_000
_MAX_PER_MINUTE = 20
_LIBRARIES = tuple(
    {path + os.sep for path in (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))}
)
_FRAMEWORK = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@dataclass(frozen=True)
class BlockingCall:
    """Where the event loop was held up."""

    file: str
    line: int
    function: str
    #: The line of code.
    code: str
    #: What the line was waiting in, such as `sleep` or `Connection.recv`.
    inside: str
    #: Seconds until it was noticed; the call may have taken longer.
    seconds: float
    #: The stack, outermost call first.
    stack: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the event loop was blocked for more than {self.seconds * 1000:.0f} ms at "
            f"{self.file}:{self.line} in {self.function}: {self.code} — {_HINT}"
        )


class BlockingDetector:
    """Watches one event loop; `start` it on that loop.

    `report` is called from the watching thread, once for each place; it logs a warning when absent.
    """

    def __init__(self, *, threshold: float = THRESHOLD, report: Callable[[BlockingCall], None] | None = None) -> None:
        self.threshold = threshold
        self._report = report or _log
        self._seen: set[tuple[str, int]] = set()
        self._reported: list[float] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._entry: FrameType | None = None
        self._answered = True

    def start(self) -> None:
        """Begin to watch the running loop; does nothing when it is watched already."""
        if self._thread is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._loop.call_soon(self._note_entry)
        self._stopped.clear()
        self._thread = threading.Thread(target=self._watch, args=(self._loop,), name="quintet-blocking", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and wait for the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopped.set()
            thread.join()
        self._entry = None

    def _note_entry(self) -> None:
        # A loop written in C, such as uvloop, has no frame of its own: when it waits, its caller's frame is the last.
        self._entry = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # documented for such use

    def _answer(self) -> None:
        self._answered = True

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopped.wait(self.threshold / 2):
            self._answered = False
            asked = time.monotonic()
            try:
                loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # the loop is closed
                return
            told = False
            while not self._answered and not self._stopped.wait(self.threshold / 10):
                late = time.monotonic() - asked
                if late > self.threshold and not told:
                    told = True
                    self._look(late)

    def _look(self, late: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)  # pyright: ignore[reportPrivateUsage]  # documented
        if frame is None or self._answered or frame is self._entry or _waits(frame):
            return
        call = _describe(frame, late)
        place = (call.file, call.line)
        if place in self._seen or len(self._seen) >= _MAX_PLACES:
            return
        self._seen.add(place)
        now = time.monotonic()
        self._reported = [moment for moment in self._reported if now - moment < 60]
        if len(self._reported) < _MAX_PER_MINUTE:
            self._reported.append(now)
            self._report(call)


def _log(call: BlockingCall) -> None:
    if logger.isEnabledFor(logging.WARNING):
        stack = "Stack (most recent call last):\n" + "\n".join(call.stack)
        # Made by hand, so that the record's place is that of the call.
        record = logger.makeRecord(
            logger.name, logging.WARNING, call.file, call.line, "%s", (call,), None, call.function, sinfo=stack
        )
        logger.handle(record)


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _waits(frame: FrameType) -> bool:
    """Tell a loop that waits in `select`, and was merely not scheduled, from a busy one."""
    return frame.f_code.co_name == "select" and frame.f_code.co_filename.endswith("selectors.py")


def _describe(frame: FrameType, late: float) -> BlockingCall:
    stack = list(_frames(frame))
    own = next((f for f in stack if _is_own(f)), None) or next((f for f in stack if not _is_library(f)), frame)
    line = own.f_lineno
    return BlockingCall(
        file=own.f_code.co_filename,
        line=line,
        function=own.f_code.co_qualname,
        code=linecache.getline(own.f_code.co_filename, line).strip(),
        inside=frame.f_code.co_qualname,
        seconds=late,
        stack=tuple(_line(f) for f in reversed(stack)),
    )


def _is_library(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith((*_LIBRARIES, "<frozen"))


def _is_own(frame: FrameType) -> bool:
    return not _is_library(frame) and not frame.f_code.co_filename.startswith(_FRAMEWORK)


def _line(frame: FrameType) -> str:
    file, line = frame.f_code.co_filename, frame.f_lineno
    code = linecache.getline(file, line).strip()
    return f'  File "{file}", line {line}, in {frame.f_code.co_name}' + (f"\n    {code}" if code else "")


@contextmanager
def assert_no_blocking(*, threshold: float = THRESHOLD) -> Generator[None]:
    """Fail if the code inside blocks the running event loop.

    Raises:
        AssertionError: a call held the loop for longer than `threshold` seconds; it names the place.
    """
    found: list[BlockingCall] = []
    detector = BlockingDetector(threshold=threshold, report=found.append)
    detector.start()
    try:
        yield
    finally:
        detector.stop()
    if found:
        raise AssertionError("\n".join(map(str, found)))
