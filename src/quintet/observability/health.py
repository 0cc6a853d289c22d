"""Whether an app is ready: its checks, run together, each within its time, and their outcome kept for a moment.

Nothing here knows HTTP. A check never runs twice at a time, so neither a flood of probes nor one that hangs piles up.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from quintet.hooks import ReadinessCheck

logger = logging.getLogger("quintet.health")


class CheckResult(msgspec.Struct, frozen=True):
    """The outcome of one check."""

    name: str
    status: Literal["ok", "failed", "timeout"]
    #: Milliseconds it took.
    ms: float


class Report(msgspec.Struct, frozen=True):
    """What `/readyz` answers."""

    status: Literal["ready", "not ready"]
    checks: list[CheckResult]


class Readiness:
    """Runs the checks of an app.

    Args:
        checks: the checks; those that are added later are run too.
        keep: seconds for which an outcome is told again.
        clock: seconds that only grow.
    """

    def __init__(
        self, checks: Sequence[ReadinessCheck], *, keep: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._checks = checks
        self._keep = keep
        self._clock = clock
        self._known: tuple[float, int, list[CheckResult]] | None = None
        self._running: asyncio.Task[list[CheckResult]] | None = None
        self._pending: dict[int, asyncio.Future[Any]] = {}

    async def results(self) -> list[CheckResult]:
        """Return the outcome of every check. Who asks while they run waits for the same run."""
        if not self._checks:
            return []
        known = self._known
        if known is not None and self._clock() < known[0] and known[1] == len(self._checks):
            return known[2]
        running, loop = self._running, asyncio.get_running_loop()
        if running is None or running.done() or running.get_loop() is not loop:
            if running is not None and running.get_loop() is not loop:
                self._pending.clear()  # of a loop that has ended
            running = self._running = loop.create_task(self._run_all(list(self._checks)))
        return await asyncio.shield(running)

    async def _run_all(self, checks: list[ReadinessCheck]) -> list[CheckResult]:
        results = list(await asyncio.gather(*map(self._run, checks)))
        self._known = (self._clock() + self._keep, len(checks), results)
        return results

    async def _run(self, check: ReadinessCheck) -> CheckResult:
        began = self._clock()
        status = await self._status(check)
        return CheckResult(check.name, status, round((self._clock() - began) * 1000, 2))

    async def _status(self, check: ReadinessCheck) -> Literal["ok", "failed", "timeout"]:
        pending = self._pending.get(id(check))
        if pending is None or pending.done():
            pending = self._pending[id(check)] = _start(check)
        # Not wait_for: it would wait for a check that does not let itself be cancelled.
        await asyncio.wait((pending,), timeout=check.timeout)
        if not pending.done():
            pending.cancel()
            logger.warning("the readiness check %r takes longer than %g s", check.name, check.timeout)
            return "timeout"
        del self._pending[id(check)]
        error = None if pending.cancelled() else pending.exception()
        if error is not None or pending.cancelled():
            logger.warning("the readiness check %r failed: %s: %s", check.name, type(error).__name__, error)
            return "failed"
        if pending.result() is False:
            logger.warning("the readiness check %r failed: it returned False", check.name)
            return "failed"
        return "ok"


def _start(check: ReadinessCheck) -> asyncio.Future[Any]:
    """Start a check: on the loop where it is async, else in a thread of its own, which may hang without harm."""
    loop = asyncio.get_running_loop()
    if inspect.iscoroutinefunction(check.function):
        return loop.create_task(check.function())
    return _Thread(check.function, loop).done


class _Thread:
    """A check in a thread. Its future is done when the thread is, so that it cannot be started again before."""

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self._function = function
        self._loop = loop
        self.done = _Uncancelled(loop=loop)
        threading.Thread(target=self._run, name="quintet-readiness", daemon=True).start()

    def _run(self) -> None:
        try:
            result, error = self._function(), None
        except Exception as exc:  # noqa: BLE001 - the outcome of the check
            result, error = None, exc
        try:
            self._loop.call_soon_threadsafe(self._end, result, error)
        except RuntimeError:
            pass  # the loop has ended meanwhile

    def _end(self, result: Any, error: Exception | None) -> None:
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


class _Uncancelled(asyncio.Future[Any]):
    """A future of a thread, which nobody can cancel."""

    def cancel(self, msg: Any = None) -> bool:
        """Do nothing."""
        return False
