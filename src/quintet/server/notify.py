"""Telling systemd how the server is: the protocol of `sd_notify`. Without systemd nothing happens."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends states to the socket that systemd has named."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        # `@` stands for the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        own = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environ.get("WATCHDOG_USEC", "0") if own else "0"
        #: Seconds between two signs of life; 0 where none is expected. Half of what systemd waits.
        self.interval = int(microseconds) / 2_000_000 if microseconds.isdigit() else 0.0

    def ready(self, status: str) -> None:
        """The server serves."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """New code is being loaded; `ready` follows whatever comes of it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=Reloading")

    def stopping(self) -> None:
        """The server ends."""
        self._send("STOPPING=1\nSTATUS=Finishing requests")

    def alive(self) -> None:
        """The supervisor turns."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1)
                sock.sendto(text.encode(), self._address)
        except OSError:  # systemd has other ways to see that the server lives
            pass
