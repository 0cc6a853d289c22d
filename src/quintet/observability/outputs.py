"""Where log lines go: a descriptor, a stream, a file that may be moved away.

Each may block for as long as it likes: the thread of its writer is the only one that waits.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import Protocol, TextIO

#: What one write hands over. A pipe takes as much at once or not at all, so lines of several processes stay whole.
_PIPE_SIZE = 4096
_FILE_SIZE = 65_536
#: Seconds until a descriptor that does not block is tried again.
_PAUSE = 0.02


class Output(Protocol):
    """Where lines go. The thread of one writer alone calls it."""

    #: The most bytes of one write.
    chunk: int
    #: How text becomes bytes.
    encoding: str

    def write(self, data: bytes) -> None:
        """Write all of it, waiting as long as it takes.

        Raises:
            OSError: it cannot be written.
        """
        ...

    def refresh(self, *, force: bool = False) -> None:
        """Look whether the place has changed, as when a file was moved away."""
        ...


class DescriptorOutput:
    """A descriptor that is open already: standard error, a pipe, a terminal."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self._descriptor = descriptor
        self.encoding = encoding
        self.chunk = _FILE_SIZE if _is_file(descriptor) else _PIPE_SIZE

    def write(self, data: bytes) -> None:
        """Write all of it, waiting as long as it takes."""
        write_all(self._descriptor, data)

    def refresh(self, *, force: bool = False) -> None:
        """Do nothing: a descriptor is what it is."""


class StreamOutput:
    """A stream without a descriptor, such as one in memory."""

    chunk = _FILE_SIZE

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = "utf-8"

    def write(self, data: bytes) -> None:
        """Write all of it."""
        text = data.decode("utf-8", "replace")
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(text.encode("ascii", "backslashreplace").decode())
            self._stream.flush()
        except (ValueError, AttributeError) as exc:  # it is closed
            raise OSError(str(exc)) from exc

    def refresh(self, *, force: bool = False) -> None:
        """Do nothing: a stream is what it is."""


class FileOutput:
    """A file that is appended to; when it is moved away, as logrotate does, a new one takes its place.

    Raises:
        OSError: it cannot be opened.
    """

    encoding = "utf-8"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.abspath(path)
        self._descriptor = -1
        self._looked = 0.0
        self._open()
        self.chunk = _FILE_SIZE if _is_file(self._descriptor) else _PIPE_SIZE

    def write(self, data: bytes) -> None:
        """Write all of it, waiting as long as it takes."""
        if self._descriptor < 0:
            self._open()
        write_all(self._descriptor, data)

    def refresh(self, *, force: bool = False) -> None:
        """Open the path again where another file, or none, is there now; look at most once a second."""
        now = time.monotonic()
        if not force and now - self._looked < 1.0:
            return
        self._looked = now
        if self._descriptor >= 0 and (force or self._is_moved()):
            os.close(self._descriptor)
            self._descriptor = -1
        if self._descriptor < 0:
            with contextlib.suppress(OSError):  # told by the write that follows
                self._open()

    def _is_moved(self) -> bool:
        try:
            there, own = os.stat(self._path), os.fstat(self._descriptor)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino)

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor, waiting as long as it takes; it may be one that does not block.

    Raises:
        OSError: it cannot be written; `written` is how much was.
    """
    view, done = memoryview(data), 0
    while done < len(view):
        try:
            done += os.write(descriptor, view[done:])
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError as exc:
            exc.written = done  # pyright: ignore[reportAttributeAccessIssue] - read by the writer
            raise


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False
