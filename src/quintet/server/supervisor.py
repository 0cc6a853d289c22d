"""The supervisor: the process that owns the listening sockets, starts workers, and replaces those that end.

It never loads the app: new code is read by a new interpreter, so that broken code cannot hurt what runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from quintet.errors import ConfigurationError
from quintet.server.board import Board
from quintet.server.notify import Notifier
from quintet.server.process import WorkerProcess
from quintet.server.rollout import Failure, Kind, Outcome, Rollout
from quintet.server.settings import IDLE_REPLACED, IDLE_STOPPED, ServerSettings, worker_count
from quintet.server.signals import ignore_signals
from quintet.server.sockets import Listener

logger = logging.getLogger("quintet.server")

#: Seconds between two looks at the workers.
TICK = 1.0
#: The longest pause before a worker is started again.
LONGEST_PAUSE = 5.0
#: Seconds a worker has for the end of its lifespan, beyond the grace of requests.
CLOSING = 4.0
#: Seconds a worker has to write its stacks.
LAST_WORDS = 1.0
#: Seconds until a worker whose replacement did not start is replaced again.
RETRY = 60.0


class Supervisor:
    """Runs workers until a signal.

    Args:
        load_settings: reads the settings, at the start and again at each reload.
        listeners: the listening sockets.
        spawn: starts a worker process.
        task: what each worker is told beside its row.
    """

    def __init__(
        self,
        load_settings: Callable[[], ServerSettings],
        listeners: Sequence[Listener],
        *,
        spawn: Callable[[], WorkerProcess],
        task: dict[str, Any],
    ) -> None:
        self._load_settings = load_settings
        self.settings = self._before = load_settings()
        self.listeners = list(listeners)
        self.addresses: list[str] = []
        self.started = time.time()
        self.workers: list[WorkerProcess] = []
        self.failure: Failure | None = None
        self._spawn = spawn
        self._task = task
        #: Called with what the first worker told, when all are ready.
        self.announce: Callable[[dict[str, Any]], None] = lambda facts: None
        self.size = max(1, worker_count(self.settings))
        self.board = Board.create(max(128, 6 * self.size))
        self._free_rows = list(range(self.board.rows - 1, 0, -1))
        self._selector = selectors.DefaultSelector()
        self._notifier = Notifier()
        self._rollouts: list[Rollout] = []
        self._again: list[Outcome] | None = None
        self._number = 0
        self._deaths = 0
        self._last_death = 0.0
        self._respawn_at = 0.0
        self._recycle_at = 0.0
        self._looked = self._told_alive = time.monotonic()
        self._signals: list[int] = []
        self._stopping = self._forced = self._cut = False
        self._terminal = _terminal()

    # -- life ---------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until everything has ended; return the exit code. `failure` says why the server did not start."""
        wakeup, give_back = self._take_signals()
        self.watch(wakeup, lambda: self._on_signals(wakeup))
        self._rollouts.append(Rollout("boot", self.size))
        try:
            while self.workers or not self._stopping:
                self._advance()
                for key, _ in self._selector.select(self._pause()):
                    key.data()
                self._reap()
                if time.monotonic() - self._looked >= TICK:
                    self._look()
        finally:
            for worker in self.workers:
                worker.kill()
            give_back()
            wakeup.close()
            self._close_listeners()
            self.board.close()
        return 1 if self.failure is not None or self._cut else 0

    def watch(self, source: Any, call: Callable[[], None]) -> None:
        """Call a function whenever a socket can be read."""
        self._selector.register(source, selectors.EVENT_READ, call)

    def unwatch(self, source: Any) -> None:
        """Watch a socket no longer."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(source)

    def stop(self) -> None:
        """Accept nothing new, and end when the requests under way are answered; at once, when called again."""
        if self._stopping:
            self._force()
            return
        self._stopping = True
        self._notifier.stopping()
        self._close_listeners()
        rollouts, self._rollouts = self._rollouts, []
        for outcome in [*(self._again or []), *(outcome for rollout in rollouts for outcome in rollout.waiting)]:
            outcome(Failure("the server is being stopped"))
        for worker in self.workers:
            self._drain(worker, "the server stops", IDLE_STOPPED)

    def reload(self, *waiting: Outcome) -> None:
        """Replace all workers by new ones, which load the code anew; `waiting` hear how it went."""
        if any(rollout.kind in ("boot", "reload") for rollout in self._rollouts):
            # What is being started may have read the old code already.
            self._again = [*(self._again or []), *waiting]
            return
        failure = Failure("the server is being stopped") if self._stopping else self._read_settings()
        if failure is not None:
            for outcome in waiting:
                outcome(failure)
            return
        logger.info("reloading")
        for rollout in [rollout for rollout in self._rollouts if rollout.kind == "recycle"]:
            self._rollouts.remove(rollout)
            self._abandon(rollout)
        rollout = Rollout("reload", self.size)
        rollout.waiting = list(waiting)
        self._rollouts.append(rollout)

    def _read_settings(self) -> Failure | None:
        """Take over settings that may have changed; wrong ones change nothing."""
        self._notifier.reloading()
        try:
            settings = self._load_settings()
        except ConfigurationError as exc:
            failure = Failure(str(exc), "configuration")
        else:
            size = max(1, worker_count(settings))
            if size * 3 < self.board.rows:
                self._before, self.settings, self.size = self.settings, settings, size
                return None
            failure = Failure(f"{size} workers are more than this server was started for: restart it")
        log(logging.ERROR, "reload: the settings are wrong; nothing has changed", failure.text)
        self._notifier.ready(self._status())
        return failure

    def _pause(self) -> float:
        """Return the seconds until something is to be done without an event."""
        now = time.monotonic()
        pause = self._looked + TICK - now
        if self._serving_missing() and not self._stopping:
            pause = min(pause, self._respawn_at - now)
        return max(0.0, pause)

    # -- signals ------------------------------------------------------------------------------------------------

    def _take_signals(self) -> tuple[socket.socket, Callable[[], None]]:
        reading, writing = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        before_fd = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
        for number in numbers:
            signal.signal(number, lambda number, frame: None)

        def give_back() -> None:
            signal.set_wakeup_fd(before_fd)
            ignore_signals()
            writing.close()

        return reading, give_back

    def _on_signals(self, wakeup: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in wakeup.recv(4096):
                if number in (signal.SIGINT, signal.SIGTERM):
                    self.stop()
                elif number == signal.SIGUSR1:  # log files were moved away
                    for worker in self.workers:
                        if worker.state != "starting":  # one that starts opens them anew in any case
                            worker.kill(signal.SIGUSR1)
                elif number == signal.SIGHUP:
                    if self._terminal is not None and _terminal() is None:
                        self.stop()  # the terminal was closed
                    else:
                        self.reload()

    # -- starting workers ---------------------------------------------------------------------------------------

    def _serving_missing(self) -> int:
        """Return how many workers are to be started in place of dead ones."""
        if any(rollout.kind in ("boot", "reload") for rollout in self._rollouts):
            return 0
        serving = sum(worker.state == "serving" for worker in self.workers)
        return self.size - serving - sum(rollout.kind == "respawn" for rollout in self._rollouts)

    def _advance(self) -> None:
        """Start what is to be started."""
        if self._stopping:
            return
        if self._again is not None and not any(r.kind in ("boot", "reload") for r in self._rollouts):
            waiting, self._again = self._again, None
            self.reload(*waiting)
        if time.monotonic() >= self._respawn_at:
            self._rollouts += [Rollout("respawn", 1) for _ in range(self._serving_missing())]
        for rollout in self._rollouts:
            for _ in range(rollout.missing):
                if not self._free_rows:
                    return  # workers that end give theirs back
                self._start(rollout)

    def _start(self, rollout: Rollout) -> None:
        worker = self._spawn()
        self._number += 1
        worker.number, worker.row = self._number, self._free_rows.pop()
        worker.jitter = 1.0 + os.urandom(1)[0] / 2550
        worker.deadline = time.monotonic() + self.settings.start_timeout
        worker.configure(
            {
                **self._task,
                "row": worker.row,
                "rows": self.board.rows,
                "workers": self.size,
                "is_first": rollout.kind in ("boot", "reload") and not rollout.new,
                "secure": [bool(listener.secure) for listener in self.listeners],
            },
            self.board.fd,
            [listener.socket.fileno() for listener in self.listeners],
        )
        self.watch(worker.link, lambda: self._hear(worker))
        rollout.new.append(worker)
        self.workers.append(worker)

    def _hear(self, worker: WorkerProcess) -> None:
        """Take in what a worker says."""
        for message in worker.link.receive():
            if "ready" in message:
                worker.facts = message["ready"]
                self._on_ready(worker)
            elif "failed" in message:
                worker.failure = Failure(message["failed"], message["kind"])
            elif "stopping" in message:  # somebody has sent it a signal
                logger.info("worker %d ends, because a signal told it to; another one is started", worker.pid)
                self._await_end(worker, "it was told to by a signal", self.settings.grace + CLOSING)
            elif "stopped" in message:
                worker.deadline = min(worker.deadline, time.monotonic() + CLOSING)
        if worker.link.closed:
            self.unwatch(worker.link)

    def _on_ready(self, worker: WorkerProcess) -> None:
        if worker.state != "starting":
            return
        worker.state = "ready"
        worker.deadline = float("inf")
        rollout = self._rollout_of(worker)
        if rollout is not None and rollout.is_complete:
            self._complete(rollout)

    def _rollout_of(self, worker: WorkerProcess) -> Rollout | None:
        return next((rollout for rollout in self._rollouts if worker in rollout.new), None)

    def _complete(self, rollout: Rollout) -> None:
        """Let the new workers serve and the old ones end."""
        self._rollouts.remove(rollout)
        old = rollout.old
        if rollout.kind == "reload":
            for other in self._rollouts:
                self._abandon(other)
            self._rollouts.clear()
            old = [worker for worker in self.workers if worker.state == "serving"]
        for worker in rollout.new:
            worker.state, worker.served = "serving", time.monotonic()
            worker.link.send({"do": "serve"})
        for worker in old:
            self._drain(worker, worker.reason or "new code took over", IDLE_REPLACED)
        if rollout.kind == "boot":
            self.announce(rollout.new[0].facts)
        if rollout.kind in ("boot", "reload"):
            self._deaths = 0
            self._notifier.ready(self._status())
        if rollout.kind != "boot":
            numbers = ", ".join(str(worker.pid) for worker in rollout.new)
            logger.info("%s: %s serve", _TITLES[rollout.kind], numbers)
        rollout.tell(None)

    def _fail(self, rollout: Rollout, failure: Failure) -> None:
        """Give up a set of new workers; the old ones go on."""
        self._rollouts.remove(rollout)
        self._abandon(rollout)
        rollout.tell(failure)
        if rollout.kind == "boot":
            self.failure = failure
            self._cut = True
            self.stop()
            return
        if rollout.kind == "reload":
            log(logging.ERROR, "reload: the new code does not start; the old code goes on serving", failure.text)
            self.settings, self.size = self._before, max(1, worker_count(self._before))
            self._notifier.ready(self._status())
        elif rollout.kind == "recycle":
            log(logging.ERROR, "a worker was to be replaced, and its replacement does not start", failure.text)
            self._recycle_at = time.monotonic() + RETRY
            for worker in rollout.old:
                worker.reason = ""
        else:
            log(logging.ERROR, "a worker does not start", failure.text)
            self._count_death(0.0)

    def _abandon(self, rollout: Rollout) -> None:
        for worker in rollout.new:
            self._drain(worker, "it is not needed", IDLE_STOPPED)

    # -- ending workers -----------------------------------------------------------------------------------------

    def _drain(self, worker: WorkerProcess, reason: str, idle: float) -> None:
        """Tell a worker to finish what it has begun, and to end."""
        if worker.state == "draining":
            return
        if worker.state == "starting":
            worker.kill()
        grace = self.settings.grace
        worker.link.send({"do": "stop", "grace": grace, "idle": idle})
        self._await_end(worker, reason, grace + CLOSING)

    def _await_end(self, worker: WorkerProcess, reason: str, seconds: float) -> None:
        worker.state, worker.reason = "draining", reason
        worker.deadline = min(worker.deadline, time.monotonic() + seconds)

    def _force(self) -> None:
        if self._forced:
            return
        self._forced = True
        for worker in self.workers:
            worker.link.send({"do": "force"})
            worker.deadline = min(worker.deadline, time.monotonic() + LAST_WORDS)

    def _reap(self) -> None:
        """Take note of workers that have ended."""
        for worker in list(self.workers):
            if worker.poll() is None:
                continue
            self._hear(worker)
            self.unwatch(worker.link)
            self.workers.remove(worker)
            self.board.retire(worker.row)
            self._free_rows.insert(0, worker.row)
            self._on_end(worker)
            worker.close()

    def _on_end(self, worker: WorkerProcess) -> None:
        how, stacks = worker.describe_end(), worker.stacks()
        if worker.state == "draining":
            details = stacks if worker.failure is None else worker.failure.text
            cut = self._stopping and worker.served > 0 and worker.poll() != 0
            self._cut = self._cut or cut
            level = logging.ERROR if details else logging.WARNING if cut else logging.DEBUG
            log(level, f"worker {worker.pid} {how}: {worker.reason}", details)
        elif (rollout := self._rollout_of(worker)) is not None:
            text = f"worker {worker.pid} {how} before it was ready" + (f"\n{stacks}" if stacks else "")
            self._fail(rollout, worker.failure or Failure(text))
        else:
            if worker.reason:
                how += f", because {worker.reason}"
            log(logging.ERROR, f"worker {worker.pid} {how}; another one is started", stacks)
            self._count_death(time.monotonic() - worker.served)

    def _count_death(self, age: float) -> None:
        """Start the next worker at once, or after a pause where workers die young; give up where none lives."""
        now = self._last_death = time.monotonic()
        healthy = self.settings.healthy_after
        if age >= healthy:
            self._deaths = 0
            return
        self._deaths += 1
        delay = self.settings.respawn_delay * 2 ** min(self._deaths - 1, 30)
        self._respawn_at = now + min(delay, LONGEST_PAUSE)
        survivors = any(w.state == "serving" and now - w.served >= healthy for w in self.workers)
        if self._deaths >= self.settings.max_deaths and not survivors and not self._stopping:
            text = f"{self._deaths} workers in a row died within {healthy:g} seconds: the server gives up"
            logger.critical(text)
            self.failure = Failure(text)
            self.stop()

    # -- the look at all workers, once a second -------------------------------------------------------------------

    def _look(self) -> None:
        now = time.monotonic()
        # A machine that was asleep, or a stopped process group, is no hung worker.
        elapsed = min(now - self._looked, 2 * TICK)
        self._looked = now
        for worker in list(self.workers):
            self._check_deadline(worker, now)
            if worker.state in ("ready", "serving", "draining"):
                self._check_heartbeat(worker, elapsed)
        if self._deaths and now - self._last_death >= self.settings.healthy_after:
            self._deaths = 0
        self._recycle(now)
        interval = self._notifier.interval
        if interval and now - self._told_alive >= min(interval, TICK):
            self._told_alive = now
            self._notifier.alive()

    def _check_deadline(self, worker: WorkerProcess, now: float) -> None:
        if now < worker.deadline:
            return
        if worker.state == "starting":
            worker.failure = Failure(
                f"worker {worker.pid} was not ready within {self.settings.start_timeout:g} seconds"
            )
            log(logging.WARNING, f"{worker.failure.text}: it is killed", "")
        elif not self._forced:
            logger.warning("worker %d has not ended in time: it is killed", worker.pid)
        self._cut = self._cut or self._stopping
        worker.kill()

    def _check_heartbeat(self, worker: WorkerProcess, elapsed: float) -> None:
        beat, limit = self.board.heartbeat(worker.row), self.settings.watchdog
        if beat != worker.heartbeat:
            worker.heartbeat, worker.silence = beat, 0.0
            return
        worker.silence += elapsed
        if not limit or worker.silence < limit:
            return
        worker.reason = f"its loop had not turned for {worker.silence:.0f} seconds"
        if worker.silence - elapsed < limit:
            worker.kill(signal.SIGABRT)  # it leaves the stacks of its threads, and ends
        elif worker.silence >= limit + LAST_WORDS:
            worker.kill()

    def _recycle(self, now: float) -> None:
        """Replace one worker that is old, large, or has served much."""
        if self._rollouts or self._stopping or now < self._recycle_at:
            return
        for worker in self.workers:
            if worker.state == "serving" and (reason := self._why_recycle(worker, now)):
                worker.reason = reason
                self._rollouts.append(Rollout("recycle", 1, [worker]))
                return

    def _why_recycle(self, worker: WorkerProcess, now: float) -> str:
        settings, jitter = self.settings, worker.jitter
        if settings.max_age and now - worker.served >= settings.max_age * jitter:
            return "it is old"
        row = self.board.read(worker.row)
        if settings.max_requests and row.requests >= settings.max_requests * jitter:
            return f"it has served {row.requests} requests"
        if settings.max_memory and row.memory >= settings.max_memory * jitter:
            return f"it takes {row.memory >> 20} MiB"
        return ""

    # -- what is told -------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return the state of the server as data."""
        now = time.monotonic()
        rows = [(worker, self.board.read(worker.row)) for worker in self.workers]
        return {
            "pid": os.getpid(),
            "started": self.started,
            "folder": os.getcwd(),
            "target": self._task["options"].get("target") or "",
            "addresses": self.addresses,
            "workers": [
                {
                    "pid": worker.pid,
                    "state": worker.state,
                    "age": round(now - worker.born, 1),
                    "requests": row.requests,
                    "connections": row.connections,
                    "pending": row.pending,
                    "memory": row.memory,
                }
                for worker, row in rows
            ],
            "totals": self.board.totals(),
        }

    def _status(self) -> str:
        return f"{self.size} worker{'s' * (self.size > 1)} on {', '.join(self.addresses)}"

    def _close_listeners(self) -> None:
        listeners, self.listeners = self.listeners, []
        for listener in listeners:
            listener.close()


_TITLES: dict[Kind, str] = {"reload": "reloaded", "recycle": "replaced a worker", "respawn": "started a worker again"}


def _terminal() -> int | None:
    """Return the process group that the terminal serves; None without a terminal."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno()) if sys.__stdin__ is not None else None
    except (OSError, ValueError):
        return None


def log(level: int, message: str, details: str) -> None:
    """Log a message with a text of many lines, such as a traceback from another process."""
    record = logger.makeRecord(logger.name, level, __file__, 0, message, (), None)
    record.exc_text = details or None
    if logger.isEnabledFor(level):
        logger.handle(record)
