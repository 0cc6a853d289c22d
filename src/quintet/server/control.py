"""The control socket: how `quintet reload`, `status` and `stop` find a supervisor and speak to it.

A request is a line of JSON, and so is the answer. The sockets stand in a folder that belongs to one user alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from quintet.server.rollout import Failure
    from quintet.server.supervisor import Supervisor

_LONGEST_REQUEST = 4096


def control_folder() -> Path:
    """Return the folder of this user's control sockets; made when it is not there.

    Raises:
        OSError: it cannot be made, or others can write to it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(runtime, "quintet") if runtime else Path(os.environ.get("TMPDIR") or "/tmp", f"quintet-{os.getuid()}")  # noqa: S108 - checked below
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone")
    return folder


def default_path() -> Path:
    """Return where this process puts its control socket.

    Raises:
        OSError: there is no folder for it.
    """
    return control_folder() / f"{os.getpid()}.sock"


class ControlServer:
    """Answers requests in the supervisor."""

    def __init__(self, supervisor: Supervisor, path: Path) -> None:
        """Listen.

        Raises:
            OSError: the path cannot be bound.
        """
        self.path = path
        self._supervisor = supervisor
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode) and not _is_served(path):
                path.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(str(path))
            path.chmod(0o600)
            self._socket.listen(8)
        except OSError:
            self._socket.close()
            raise
        self._buffers: dict[socket.socket, bytes] = {}
        supervisor.watch(self._socket, self._accept)

    def close(self) -> None:
        """Listen no more; those who wait read the end."""
        for client in (*self._buffers, self._socket):
            self._supervisor.unwatch(client)
            client.close()
        self._buffers.clear()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._socket.accept()
            client.setblocking(False)
            self._buffers[client] = b""
            self._supervisor.watch(client, lambda: self._read(client))

    def _read(self, client: socket.socket) -> None:
        try:
            chunk = client.recv(_LONGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self._buffers[client] += chunk
        line, end, _ = self._buffers[client].partition(b"\n")
        if end:
            self._supervisor.unwatch(client)
            self._do(client, line)
        elif not chunk or len(line) > _LONGEST_REQUEST:
            self._drop(client)

    def _do(self, client: socket.socket, line: bytes) -> None:
        try:
            command = msgspec.json.decode(line, type=dict[str, Any]).get("command")
        except msgspec.DecodeError:
            command = None
        if command == "status":
            self._answer(client, self._supervisor.status())
        elif command == "reload":

            def answer(failure: Failure | None) -> None:
                status = self._supervisor.status()
                self._answer(client, status if failure is None else {"error": failure.text})

            self._supervisor.reload(answer)
        elif command == "stop":
            self._supervisor.stop()  # the client reads the end when all has ended
        else:
            self._answer(client, {"error": "the commands are reload, status and stop"})

    def _answer(self, client: socket.socket, data: dict[str, Any]) -> None:
        client.settimeout(1.0)
        with contextlib.suppress(OSError):
            client.sendall(msgspec.json.encode(data) + b"\n")
        self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._supervisor.unwatch(client)
        self._buffers.pop(client, None)
        client.close()


def ask(path: Path, command: str, *, timeout: float | None = 5.0) -> dict[str, Any] | None:
    """Send a command to a supervisor and return its answer; None where it has ended without one.

    Raises:
        OSError: nobody answers there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(str(path))
        sock.sendall(msgspec.json.encode({"command": command}) + b"\n")
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    return msgspec.json.decode(answer) if answer else None


def find_supervisor(*, control: str = "", pid: int | None = None, folder: Path | None = None) -> Path:
    """Return the control socket of the supervisor that is meant.

    Args:
        control: its path, where settings name one.
        pid: the supervisor's process id, where it was given.
        folder: the project; supervisors that were started elsewhere are not meant, unless the process id was given.

    Raises:
        ConfigurationError: there is none, or there are several.
    """
    if control and pid is None:
        if _is_served(Path(control)):
            return Path(control)
        raise _problem(f"no server answers at {control}", "start it with `quintet run`")
    try:
        paths = sorted(control_folder().glob("*.sock"))
    except OSError as exc:
        raise _problem(f"servers of this user cannot be found: {exc}", "set `control` below [server]") from None
    found: list[tuple[Path, dict[str, Any]]] = []
    for path in paths:
        try:
            status = ask(path, "status")
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # left by a server that was killed
            continue
        except OSError:
            continue
        if status is not None and _is_meant(status, pid, folder):
            found.append((path, status))
    if len(found) == 1:
        return found[0][0]
    if not found:
        where = f"with the process id {pid}" if pid is not None else f"that was started in {folder}"
        raise _problem(f"there is no server of this user {where}", "start it with `quintet run`, or go to its folder")
    several = "".join(f"\n    {s['pid']}: {', '.join(s['addresses'])} {s['target']}".rstrip() for _, s in found)
    raise _problem(f"there are {len(found)} servers:{several}", "say which: --pid")


def _is_meant(status: dict[str, Any], pid: int | None, folder: Path | None) -> bool:
    if pid is not None:
        return status["pid"] == pid
    return folder is None or status["folder"] == str(folder)


def _is_served(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(1.0)
            sock.connect(str(path))
    except OSError:
        return False
    return True


def _problem(message: str, fix: str) -> ConfigurationError:
    return ConfigurationError(Problem(id="server.control", message=message, fix=fix))
