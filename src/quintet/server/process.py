"""A worker process as its supervisor sees it: how it is started, spoken to, and how it ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from quintet.server.board import open_nameless_file
from quintet.server.link import Link

State: TypeAlias = Literal["starting", "ready", "serving", "draining", "ended"]

# What belongs to the supervisor alone.
_OWN_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class WorkerProcess:
    """A worker process. It is a new interpreter: it shares nothing with the supervisor but what it is sent."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start a process.

        Args:
            command: what follows the interpreter; the descriptor of the link comes last.
        """
        ours, theirs = socket.socketpair()
        theirs.set_inheritable(True)
        environment = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
        argv = [sys.executable, *command, str(theirs.fileno())]
        # Other descriptors of this process are not inherited: Python opens them so (PEP 446).
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        with theirs:
            self.pid = os.posix_spawn(sys.executable, argv, environment, file_actions=[null])
        self.link = Link(ours)
        self.state: State = "starting"
        self.number = 0
        #: Its row of the board.
        self.row = 0
        self.born = time.monotonic()
        #: When it began to serve.
        self.served = 0.0
        #: When it is killed unless it has ended.
        self.deadline = float("inf")
        #: Why it is being replaced or killed; empty for one that is wanted.
        self.reason = ""
        #: What it said about its failure to start.
        self.failure: Any = None
        #: What it told when it was ready.
        self.facts: dict[str, Any] = {}
        #: Its last heartbeat, and the seconds for which the supervisor has seen no other.
        self.heartbeat = 0
        self.silence = 0.0
        #: Its share of what makes workers end at different moments: 1 to 1.1.
        self.jitter = 1.0
        #: A file for the stacks of a crash.
        self._crash = -1
        self._code: int | None = None

    def configure(self, message: dict[str, Any], board: int, sockets: Sequence[int]) -> None:
        """Tell it what to serve; it has been loading what every app needs."""
        self._crash = open_nameless_file("quintet-crash")
        self.link.send(message, [board, self._crash, *sockets])

    def poll(self) -> int | None:
        """Return how the process ended, negative for a signal; None while it runs."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                self._code = 1
            else:
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def stacks(self) -> str:
        """Return the stacks of its threads as a crash has left them; empty where there was none."""
        if self._crash < 0:
            return ""
        return os.pread(self._crash, 64 * 1024, 0).decode(errors="replace").strip()

    def close(self) -> None:
        """Give back what belonged to a process that has ended."""
        self.state = "ended"
        self.link.close()
        if self._crash >= 0:
            os.close(self._crash)

    def describe_end(self) -> str:
        """Say how the process ended."""
        code = self.poll()
        if code is None:
            return "has not ended"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"


def interpreter_options() -> list[str]:
    """Return the options of this interpreter (`-O`, `-W`, `-X dev` …), for another one."""
    import subprocess

    # Private, and what multiprocessing uses for the same purpose.
    options: Callable[[], list[str]] = vars(subprocess)["_args_from_interpreter_flags"]
    return options()
