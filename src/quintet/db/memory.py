"""SQLite in memory: a file in RAM, which is one database for every connection of the process.

The folder of each process is locked as long as it lives, so that those of processes that were killed can be told and
removed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

_PREFIX = "quintet-memory-"
#: The folders of this process; what holds the lock of one is never closed.
_folders: dict[str, tuple[int, int | None]] = {}


def new_file() -> str:
    """Return the path of a new database, which goes with the process."""
    shared = Path("/dev/shm")  # noqa: S108 - folders in it are made by mkdtemp, readable by this user alone
    parent = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    remove_abandoned(parent)
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
    if not _folders:
        atexit.register(_remove_own)
    _folders[folder] = (os.getpid(), _lock(folder))
    return str(Path(folder) / "memory.db")


def _lock(folder: str) -> int | None:
    """Lock a folder; None where that cannot be done, or another process has it.

    The lock is the kernel's: every container that sees the folder sees it too, forked processes hold it as well, and it
    ends with the last of them, whatever their numbers are.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def remove_abandoned(parent: Path, *, new: float = 60.0) -> None:
    """Remove the folders of processes that have ended.

    Args:
        parent: where they are.
        new: seconds in which a process locks a folder that it has made.
    """
    if not hasattr(os, "getuid"):
        return  # Windows, where no folder can be locked
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it goes at the same moment
            if str(folder) in _folders or not _may_be_abandoned(folder, new):
                continue
            descriptor = _lock(str(folder))
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


def _may_be_abandoned(folder: Path, new: float) -> bool:
    """Return whether a folder is this user's, and its process has had the time to lock it."""
    found = folder.lstat()
    if found.st_uid != os.getuid():
        return False
    return (folder / "memory.db").exists() or time.time() - found.st_ctime > new


def _remove_own() -> None:
    for folder, (process, _) in _folders.items():
        if process == os.getpid():
            shutil.rmtree(folder, ignore_errors=True)
