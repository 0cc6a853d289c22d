"""Signals at the end of a process that serves."""

from __future__ import annotations

import contextlib
import signal


def ignore_signals() -> None:
    """Ignore what is sent from now on: what is left of this process is the interpreter's own end.

    That end gives each signal with a handler in Python back to the system, whose answer is death: a late Ctrl+C would
    make a failure of a clean stop.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
        with contextlib.suppress(AttributeError, ValueError):  # Windows has two of them; this is not the main thread
            signal.signal(getattr(signal, name), signal.SIG_IGN)
