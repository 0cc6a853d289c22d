"""The link between the supervisor and a worker: a socket pair that carries lines of JSON and, once, descriptors.

When either process ends, however it ends, the other one reads the end of the stream.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import msgspec

#: Descriptors a message may carry; the bound of Linux is 253.
_MAX_DESCRIPTORS = 250


class Link:
    """One end of the socket pair."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.closed = False
        self._buffer = b""

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self.socket.fileno()

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message, with descriptors; where the other process has gone, nothing happens."""
        line = msgspec.json.encode(message) + b"\n"
        # A message is small and its reader waits for it; a reader that hangs must not hang the writer.
        self.socket.settimeout(1.0)
        try:
            if descriptors:
                line = line[socket.send_fds(self.socket, [line], descriptors) :]
            self.socket.sendall(line)
        except OSError:
            pass
        finally:
            self.socket.setblocking(False)

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have come; `closed` says whether no more will."""
        try:
            while chunk := self.socket.recv(65536):
                self._buffer += chunk
            self.closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True
        *lines, self._buffer = self._buffer.split(b"\n")
        return [msgspec.json.decode(line) for line in lines]

    def receive_first(self) -> tuple[dict[str, Any], list[int]]:
        """Wait for the first message and its descriptors.

        Raises:
            EOFError: the other process has gone.
        """
        self.socket.setblocking(True)
        descriptors: list[int] = []
        while b"\n" not in self._buffer:
            chunk, received, _, _ = socket.recv_fds(self.socket, 65536, _MAX_DESCRIPTORS)
            descriptors += received
            if not chunk:
                raise EOFError("the supervisor has gone")
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        self.socket.setblocking(False)
        return msgspec.json.decode(line), descriptors

    def close(self) -> None:
        """Close this end."""
        self.closed = True
        self.socket.close()
