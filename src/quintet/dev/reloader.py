"""Runs a command again whenever a watched file changes.

The parent owns the listening sockets and the child inherits them: while no child runs, connections wait in the
socket's backlog and nobody is refused. The child is ended at once, whatever streams it has open.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

#: The environment variable that tells the child its listening sockets: file descriptors with commas between.
FDS_VARIABLE = "QUINTET_DEV_FDS"
#: Seconds between two looks at the files.
POLL_INTERVAL = 0.25
#: Seconds a child has to end by itself.
GRACE = 0.5

# Neither data nor assets: an app that writes a JSON file must not restart itself by that.
_SUFFIXES = frozenset({".py", ".html", ".htm", ".jinja", ".jinja2", ".j2", ".toml", ".sql"})
_NAMES = frozenset({".env"})
_IGNORED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "env", "dist", "build"})

_Stamp = tuple[int, int]


def inherited_sockets(environ: Mapping[str, str] | None = None) -> list[socket.socket]:
    """Return the listening sockets that the parent passed on; none when there is no parent."""
    text = (os.environ if environ is None else environ).get(FDS_VARIABLE, "")
    return [socket.socket(fileno=int(fd)) for fd in text.split(",") if fd]


def run_with_reload(
    argv: Sequence[str],
    *,
    watch: Sequence[Path],
    sockets: Sequence[socket.socket],
    env: Mapping[str, str] | None = None,
    report: Callable[[str], None] | None = None,
) -> int:
    """Run a command, and again after each change of a watched file, until a signal ends it.

    Args:
        argv: the command; the child finds the sockets with `inherited_sockets`.
        watch: files and folders; of folders the Python modules, templates and settings, at any depth.
        sockets: listening sockets that the children inherit.
        env: environment variables to add.
        report: takes a line for the developer; standard error when absent.

    Returns:
        The exit code: 0 after Ctrl+C or SIGTERM.
    """
    return _Reloader(argv, watch, sockets, env or {}, report or _print).run()


def _print(line: str) -> None:
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # the terminal is gone
        pass


class _Reloader:
    def __init__(
        self,
        argv: Sequence[str],
        watch: Sequence[Path],
        sockets: Sequence[socket.socket],
        env: Mapping[str, str],
        report: Callable[[str], None],
    ) -> None:
        self.argv = list(argv)
        self.watch = list(watch)
        # Windows hands sockets on in another way; there the child listens by itself.
        self.fds = [sock.fileno() for sock in sockets] if os.name == "posix" else []
        self.env = {**os.environ, **env, FDS_VARIABLE: ",".join(map(str, self.fds))}
        self.report = report
        self.ending = threading.Event()
        self.child: subprocess.Popen[bytes] | None = None
        self.broken: set[Path] = set()

    def run(self) -> int:
        for fd in self.fds:
            os.set_inheritable(fd, True)
        restore = self._take_signals()
        seen = Snapshot.of(self.watch)
        self.child = self._start()
        try:
            while not self.ending.is_set():
                changed = self._wait(seen)
                if not changed:
                    continue
                seen = self._settle()
                self._restart(changed)
        finally:
            self._stop()
            restore()
        return 0

    def _take_signals(self) -> Callable[[], None]:
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        signals = (signal.SIGINT, signal.SIGTERM)

        def end(number: int, frame: FrameType | None) -> None:
            self.ending.set()

        before = [signal.signal(number, end) for number in signals]

        def restore() -> None:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)

        return restore

    def _wait(self, seen: Snapshot) -> list[Path]:
        """Return the files that changed, after some time at most; tells when the child ended by itself."""
        self.ending.wait(POLL_INTERVAL)
        if self.child is not None and (code := self.child.poll()) is not None:
            self.child = None
            if not self.ending.is_set():
                self.report(f"The app ended with code {code}. Waiting for a change …")
        return seen.changes(Snapshot.of(self.watch))

    def _settle(self) -> Snapshot:
        # Editors and version control write several files; the last one is waited for, though not for long.
        before = Snapshot.of(self.watch)
        for _ in range(5):
            time.sleep(0.02)
            now = Snapshot.of(self.watch)
            if not before.changes(now):
                break
            before = now
        return before

    def _restart(self, changed: list[Path]) -> None:
        names = ", ".join(_short(path) for path in changed[:3]) + (" …" if len(changed) > 3 else "")
        errors = {path: error for path in sorted({*changed, *self.broken}) if (error := _syntax_error(path))}
        self.broken = set(errors)
        if errors:
            # The running app stays until the code can be read again.
            for error in errors.values():
                self.report(error)
            self.report("Waiting for a change …")
            return
        self.report(f"Changed: {names}. Starting again.")
        self._stop()
        self.child = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv, env=self.env, pass_fds=self.fds)  # noqa: S603  # the developer's command

    def _stop(self) -> None:
        child, self.child = self.child, None
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class Snapshot:
    """The modification times of the watched files at one moment."""

    def __init__(self, stamps: dict[str, _Stamp]) -> None:
        self._stamps = stamps

    @classmethod
    def of(cls, watch: Iterable[Path]) -> Snapshot:
        """Look at the files now."""
        return cls(dict(_stamps(watch)))

    def changes(self, later: Snapshot) -> list[Path]:
        """Return the files that are new, gone or different later."""
        mine, theirs = self._stamps, later._stamps
        return [Path(name) for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]


def _stamps(watch: Iterable[Path]) -> Iterator[tuple[str, _Stamp]]:
    for path in watch:
        if path.is_dir():
            yield from _stamps_below(str(path))
        else:
            try:
                status = path.stat()
            except OSError:
                continue
            yield str(path), (status.st_mtime_ns, status.st_size)


def _stamps_below(folder: str) -> Iterator[tuple[str, _Stamp]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        name = entry.name
        try:
            if entry.is_dir(follow_symlinks=False):
                if name not in _IGNORED_FOLDERS and not name.startswith("."):
                    yield from _stamps_below(entry.path)
            elif name in _NAMES or os.path.splitext(name)[1] in _SUFFIXES:
                status = entry.stat()
                yield entry.path, (status.st_mtime_ns, status.st_size)
        except OSError:  # gone meanwhile
            continue


def _syntax_error(path: Path) -> str | None:
    """Return where and why a module cannot be compiled; None if it can, or is no module."""
    if path.suffix != ".py":
        return None
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except OSError:
        return None
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        source = f"\n    {error.text.strip()}" if isinstance(error, SyntaxError) and error.text else ""
        return f'  File "{path}"{line}{source}\n{type(error).__name__}: {getattr(error, "msg", None) or error}'
    return None


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
