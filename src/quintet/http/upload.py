"""An uploaded file, and the file name a client may choose for it.

A client's file name is text to show, not a path: `sanitize_filename` makes it a safe last component of one.
"""

from __future__ import annotations

import asyncio
import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from tempfile import SpooledTemporaryFile

#: The longest sanitised file name, in bytes of UTF-8.
MAX_FILENAME = 100
#: What a file is called whose own name leaves nothing usable.
DEFAULT_FILENAME = "upload"

_MAX_EXTENSION = 20
_COPY_SIZE = 1024 * 1024
_UNSAFE = re.compile(r'[<>:"|?*]')
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [device + digit for device in ("COM", "LPT") for digit in "0123456789¹²³"]
)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Upload:
    """A file of a multipart form, in memory or, past a limit, in a temporary file that has no name.

    The request closes it, so a handler that needs the content later saves or reads it.
    """

    __slots__ = ("content_type", "file", "filename", "headers", "in_memory", "raw_filename", "size")

    def __init__(
        self,
        file: SpooledTemporaryFile[bytes],
        *,
        raw_filename: str,
        content_type: str = "application/octet-stream",
        size: int = 0,
        headers: Mapping[str, str] | None = None,
        in_memory: bool = True,
    ) -> None:
        #: The content; its methods block.
        self.file: SpooledTemporaryFile[bytes] = file
        #: A safe file name of at most 100 bytes; never a path, never empty.
        self.filename: str = sanitize_filename(raw_filename)
        #: The file name as the client sent it: not safe in a path, a header or a page.
        self.raw_filename: str = raw_filename
        #: What the client says the content is.
        self.content_type: str = content_type
        #: The number of bytes.
        self.size: int = size
        #: The header fields of the part, names in lower case.
        self.headers: Mapping[str, str] = headers or {}
        #: Whether the content never reached the disk, so that reading it does not block.
        self.in_memory: bool = in_memory

    def __repr__(self) -> str:
        return f"Upload({self.filename!r}, content_type={self.content_type!r}, size={self.size})"

    async def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes from the present position, by default all that is left."""
        if self.in_memory:
            return self.file.read(size)
        return await run_blocking(self.file.read, size)

    async def seek(self, offset: int) -> None:
        """Move the position at which `read` continues."""
        self.file.seek(offset)

    async def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the whole content to `path` and return it.

        The file appears complete or not at all, readable by its owner and group (mode 0640, less the umask).

        Raises:
            FileExistsError: there is something at `path`, and `overwrite` is false.
        """
        return await run_blocking(self.save_sync, path, overwrite=overwrite)

    def save_sync(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Do what `save` does, from a `def` handler."""
        target = Path(path)
        if not overwrite and os.path.lexists(target):
            raise FileExistsError(f"{target} exists; give another name, or overwrite=True")
        position = self.file.tell()
        temporary = target.with_name(f".{os.urandom(8).hex()}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(temporary, flags, 0o640), "wb") as out:
                self.file.seek(0)
                while chunk := self.file.read(_COPY_SIZE):
                    out.write(chunk)
            _publish(temporary, target, overwrite=overwrite)
        finally:
            temporary.unlink(missing_ok=True)
            self.file.seek(position)
        return target

    def close(self) -> None:
        """Drop the content. Closing twice is a no-op."""
        self.file.close()


def sanitize_filename(raw: str) -> str:
    """Return a safe file name of at most 100 bytes.

    Directories of any system, control and invisible characters, reserved characters, leading dots and hyphens, and
    the names of Windows devices are removed or replaced; a long name keeps its extension.
    """
    # A name that long is an attack: cut before any work is done on it. The end is kept, for the extension.
    name = re.split(r"[/\\]", raw[-2000:])[-1]
    name = unicodedata.normalize("NFC", name)
    name = "".join("_" if unicodedata.category(char)[0] == "C" else char for char in name)
    name = _UNSAFE.sub("_", " ".join(name.split()))
    name = _shorten(name.lstrip(" .-").rstrip(" ."))
    if name.partition(".")[0].strip().upper() in _DEVICES:
        name = _shorten("_" + name)
    return name or DEFAULT_FILENAME


async def run_blocking(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call `function` in a thread; where no event loop runs, as under WSGI, right here.

    A cancellation waits for the thread: it may still be using what the caller is about to close.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return function(*args, **kwargs)
    future = loop.run_in_executor(None, lambda: function(*args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


def _shorten(name: str) -> str:
    if len(name.encode()) <= MAX_FILENAME:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _MAX_EXTENSION:
        stem, dot, extension = name, "", ""
    room = MAX_FILENAME - len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + dot + extension


def _publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
    elif os.name == "nt":
        os.rename(temporary, target)  # fails on Windows when the target exists
    else:
        try:
            os.link(temporary, target)  # unlike a test and a rename, one step
        except FileExistsError:
            raise FileExistsError(f"{target} exists; give another name, or overwrite=True") from None
        except OSError:  # the file system has no links: reserve the name, then replace what holds it
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
            os.replace(temporary, target)
