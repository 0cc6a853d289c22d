"""Inside a worker process: it serves, tells the supervisor how it is, and ends when it is told to or left alone."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from quintet.server.board import Board
from quintet.server.link import Link
from quintet.server.run import Stop, new_event_loop, serve
from quintet.server.settings import IDLE_REPLACED
from quintet.server.signals import ignore_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from quintet.app import Application
    from quintet.protocols.native_server import NativeServer
    from quintet.server.certificates import Certificates
    from quintet.server.hosted_app import HostedApp
    from quintet.server.settings import ServerSettings

#: Seconds between two entries on the board.
BEAT = 1.0
_PR_SET_PDEATHSIG = 1


class Task(msgspec.Struct, kw_only=True):
    """What a worker is told first."""

    #: The worker's row of the board, and the number of rows.
    row: int
    rows: int
    #: How many workers share the sockets.
    workers: int
    #: Whether it is the first with this code: what is done once for all workers is done by it.
    is_first: bool
    #: Of each socket, whether TLS is spoken on it.
    secure: list[bool]
    #: Connections that may wait to be accepted.
    backlog: int
    #: The command line of the supervisor, and what it asks for beyond the settings.
    argv: list[str]
    options: dict[str, Any]


class Worker:
    """This process as a worker."""

    def __init__(self, descriptor: int) -> None:
        self.link = Link(socket.socket(fileno=descriptor))
        os.set_inheritable(descriptor, False)
        self._native: NativeServer | None = None
        self.sockets: list[socket.socket] = []
        self._stop: Stop | None = None
        self._admitted: asyncio.Event | None = None
        self._started = int(time.time() * 1000)
        die_with_parent()
        # Ctrl+C and the end of a terminal reach every process of the group; the supervisor says what follows from it.
        # Not SIG_IGN, which programs that the app starts would inherit.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: None)

    def receive_task(self) -> Task:
        """Wait for what is to be done.

        Raises:
            EOFError: the supervisor has gone.
        """
        message, descriptors = self.link.receive_first()
        board, crash, *sockets = descriptors
        self.task = task = msgspec.convert(message, Task)
        self._board = Board(board, task.rows)
        # A crash, or the supervisor's SIGABRT where the loop hangs, leaves the stacks of all threads there.
        faulthandler.enable(crash, all_threads=True)
        self.sockets = [socket.socket(fileno=fd) for fd in sockets]
        sys.argv[:] = task.argv
        return task

    def fail(self, kind: str, text: str) -> None:
        """Tell why this worker does not start."""
        self.link.send({"failed": text, "kind": kind})

    def run(
        self,
        app: Application | HostedApp,
        facts: Callable[[], dict[str, Any]],
        settings: ServerSettings,
        certificates: Certificates | None = None,
    ) -> None:
        """Serve the app until told to stop."""
        kinds = list(zip(self.sockets, self.task.secure, strict=True))
        self._most = settings.max_connections

        async def main() -> None:
            loop = asyncio.get_running_loop()
            self._stop = stop = Stop(settings.grace, IDLE_REPLACED)
            self._admitted = asyncio.Event()
            loop.add_reader(self.link.fileno(), self._listen)
            loop.add_signal_handler(signal.SIGTERM, self._on_signal)
            self._beat(loop)

            async def started() -> None:
                self.link.send({"ready": facts()})
                await self._wait_admitted(stop)

            await serve(
                app,
                [sock for sock, secure in kinds if not secure],
                secure_sockets=[sock for sock, secure in kinds if secure],
                certificates=certificates,
                backlog=self.task.backlog,
                stop=stop,
                started=started,
                made=self._watch,
                signals=(),
                is_ahead=self._is_ahead if self.task.workers > 1 else None,
                is_full=self._is_full if settings.max_connections else None,
            )
            self._write()
            self.link.send({"stopped": True})
            loop.remove_signal_handler(signal.SIGTERM)
            ignore_signals()
            loop.remove_reader(self.link.fileno())

        with asyncio.Runner(loop_factory=partial(new_event_loop, settings.loop)) as runner:
            runner.run(main())

    async def _wait_admitted(self, stop: Stop) -> None:
        assert self._admitted is not None
        waiting = [asyncio.ensure_future(event.wait()) for event in (self._admitted, stop.asked)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    def _listen(self) -> None:
        """Do what the supervisor says."""
        for message in self.link.receive():
            command = message["do"]
            if command == "serve" and self._admitted is not None:
                self._admitted.set()
                self._write()
            elif command == "stop" and self._stop is not None and not self._stop.asked.is_set():
                self._stop.grace, self._stop.idle = message["grace"], message["idle"]
                self._stop.set()
                self._write()
            elif command == "force" and self._stop is not None:
                self._stop.force()
        if self.link.closed:
            os._exit(1)  # an orphan would keep the port from the next server

    def _on_signal(self) -> None:
        """Somebody ends this worker alone; the supervisor hears of it at once, and starts another."""
        assert self._stop is not None
        if not self._stop.asked.is_set():
            self.link.send({"stopping": True})
        self._stop.on_signal()
        self._write()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._write()
        loop.call_later(BEAT, self._beat, loop)

    def _is_accepting(self) -> bool:
        admitted, stop = self._admitted, self._stop
        return admitted is not None and admitted.is_set() and stop is not None and not stop.asked.is_set()

    def _is_ahead(self, opening: int) -> bool:
        return self._board.is_ahead(self.task.row, self._connections() + opening)

    def _is_full(self) -> bool:
        # Each worker notes a connection as it comes; those that go are noted within a second.
        self._board.write(self.task.row, connections=self._connections())
        return self._board.total("connections") > self._most

    def _watch(self, native: NativeServer) -> None:
        self._native = native

    def _connections(self) -> int:
        return 0 if self._native is None else len(self._native.connections)

    def _write(self) -> None:
        self._board.write(
            self.task.row,
            **({} if self._native is None else figures(self._native)),
            connections=self._connections(),
            pid=os.getpid(),
            started=self._started,
            heartbeat=time.monotonic_ns() // 1_000_000,
            memory=resident_set(),
            accepting=int(self._is_accepting()),
        )


def figures(native: NativeServer) -> dict[str, int]:
    """Return what a worker has counted, by the names of the board."""
    counters = native.counters
    answers = {f"responses_{n}xx": counters.answers[n] for n in (3, 4, 5)}
    return {
        "pending": native.pending,
        "requests": counters.requests,
        "responses_2xx": max(0, counters.requests - native.pending - sum(answers.values())),
        **answers,
        "accepted": counters.accepted,
        "refused": counters.refused,
        "timeouts": counters.timeouts,
        "websockets": counters.websockets,
        "body_bytes": counters.body_bytes,
    }


def resident_set() -> int:
    """Return the memory of this process in bytes; its highest so far, where the system does not tell the present."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return highest if sys.platform == "darwin" else highest * 1024


def die_with_parent() -> None:
    """See to it that this process does not outlive its supervisor, even when its loop hangs."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0:
                return  # one that is gone already is noticed by the end of the link
    threading.Thread(target=wait_for_end, args=(os.getppid(),), name="quintet-parent", daemon=True).start()


def wait_for_end(parent: int, interval: float = 0.5) -> None:
    """End this process when it gets another parent."""
    while os.getppid() == parent:
        time.sleep(interval)
    os._exit(1)
