"""Listening sockets: what an operator asks for, as addresses, paths or inherited descriptors, becomes open sockets.

Everything that can be wrong with an address is told here, before an app is loaded or a worker started.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import sys
from collections.abc import Generator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from quintet.errors import ConfigurationError, Problem

#: Connections that may wait to be accepted; the system has a bound of its own (`net.core.somaxconn`).
BACKLOG = 2048
#: The first descriptor that systemd hands over.
FIRST_INHERITED = 3

# The path of a Unix socket has 108 bytes with its NUL on Linux, 104 elsewhere.
_LONGEST_PATH = 107 if sys.platform == "linux" else 103
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^:\[\]/]*)):(?P<port>[0-9]{1,5})")
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class Bind(msgspec.Struct, frozen=True):
    """One place to listen on, as it was asked for."""

    kind: Literal["tcp", "unix", "fd"]
    #: The host or address; empty for all addresses.
    host: str = ""
    port: int = 0
    path: str = ""
    #: The number of an inherited descriptor, or its name.
    descriptor: int | str = 0
    #: Whether TLS is spoken here; None where a certificate decides.
    secure: bool | None = None

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "fd":
            return f"fd://{self.descriptor}"
        return f"{f'[{self.host}]' if ':' in self.host else self.host or '*'}:{self.port}"


class Listener(NamedTuple):
    """A listening socket."""

    socket: socket.socket
    #: Whether TLS is spoken on it; None where a certificate decides.
    secure: bool | None = None
    #: The path of a Unix socket that this process has made.
    path: str = ""
    #: The device and inode of that path.
    inode: tuple[int, int] | None = None

    def close(self) -> None:
        """Close it; the path of a Unix socket goes, unless another process has put its own there."""
        self.socket.close()
        if self.path:
            with contextlib.suppress(OSError), _locked_folder(self.path):
                if _inode(self.path) == self.inode:
                    os.unlink(self.path)


class SocketOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How sockets are opened."""

    backlog: int = BACKLOG
    #: Several processes open the same port, and the system spreads connections over them.
    reuse_port: bool = False
    #: The permissions of Unix sockets.
    mode: int | None = None
    #: The owner of Unix sockets, as `user`, `user:group` or `:group`.
    owner: str = ""


def parse_bind(text: str) -> Bind:
    """Read `host:port`, `[v6]:port`, `:port`, `unix:/path`, `fd://3` or `fd://name`.

    `http://` or `https://` in front of an address says whether TLS is spoken there.

    Raises:
        ConfigurationError: it is none of these.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "fd" and rest:
        return Bind("fd", descriptor=int(rest) if rest.isascii() and rest.isdigit() else rest)
    if text.startswith("unix:") and len(text) > 5:
        return Bind("unix", path=text[5:].removeprefix("//"))
    secure = {"http": False, "https": True}.get(scheme) if separator else None
    found = _HOST_PORT.fullmatch((rest if secure is not None else text).removesuffix("/"))
    if found is None or int(found["port"]) > 65535:
        raise ConfigurationError(
            Problem(
                id="server.bind",
                message=f"{text!r} is no address to listen on",
                where="--bind",
                fix="write host:port, [::1]:port, :port, unix:/path or fd://3",
            )
        )
    return Bind("tcp", host=found["v6"] or found["host"], port=int(found["port"]), secure=secure)


def open_sockets(binds: Sequence[Bind], options: SocketOptions | None = None) -> list[Listener]:
    """Open every place to listen on: all of them, or none.

    Raises:
        ConfigurationError: with every place that cannot be opened.
    """
    options = options or SocketOptions()
    listeners: list[Listener] = []
    problems: list[Problem] = []
    for bind in binds:
        try:
            listeners += _open(bind, options)
        except ConfigurationError as exc:
            problems += exc.problems
    if problems:
        for listener in listeners:
            listener.close()
        raise ConfigurationError(problems)
    return listeners


def _open(bind: Bind, options: SocketOptions) -> list[Listener]:
    if bind.kind == "unix":
        return [Listener(open_unix_socket(bind.path, options), bind.secure, bind.path, _inode(bind.path))]
    if bind.kind == "fd":
        return [Listener(inherited_socket(bind.descriptor), bind.secure)]
    return [Listener(sock, bind.secure) for sock in open_tcp_sockets(bind.host, bind.port, options)]


# -- TCP --------------------------------------------------------------------------------------------------------------


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket on the first address of a host.

    Raises:
        ConfigurationError: the address is taken or not ours.
    """
    first, *others = open_tcp_sockets(host, port)
    _close_all(others)
    return first


def open_tcp_sockets(host: str, port: int, options: SocketOptions | None = None) -> list[socket.socket]:
    """Return a listening socket for each address of a host: `localhost` has two, an empty host every address there is.

    A socket for IPv6 never takes IPv4 too, so that clients have the address they came from. An address of a family
    that this machine has not is left out, unless none remains. Port 0 is one free port for all of them.

    Raises:
        ConfigurationError: an address is taken, not ours, or not allowed.
    """
    options = options or SocketOptions()
    for attempt in range(8):
        try:
            return _open_addresses(host, port, options)
        except OSError as exc:
            # The port that was free for the first address need not be free for the second.
            if port or exc.errno != errno.EADDRINUSE or attempt == 7:
                raise ConfigurationError(_why(Bind("tcp", host=host, port=port), exc)) from None
    raise AssertionError


def _open_addresses(host: str, port: int, options: SocketOptions) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # IPv4 first: it is what `--port 0` is told by, and what scripts expect.
    addresses = sorted(dict.fromkeys((family, address) for family, _, _, _, address in found), key=_is_ipv6)
    try:
        for family, address in addresses:
            if port == 0 and sockets:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sockets.append(_listen(family, address, options))
            except OSError as exc:
                if exc.errno not in _NO_SUCH_FAMILY or len(addresses) == 1:
                    raise
                absent = exc
        if absent is not None and not sockets:
            raise absent
    except OSError:
        _close_all(sockets)
        raise
    return sockets


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _is_ipv6(found: tuple[Any, Any]) -> bool:
    return found[0] == socket.AF_INET6


def _listen(family: int, address: Any, options: SocketOptions) -> socket.socket:
    # asyncio sets TCP_NODELAY on what such a socket accepts, where it says that it is TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two processes have the same port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.reuse_port:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise OSError(errno.ENOPROTOOPT, "this system has no SO_REUSEPORT")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(options.backlog)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _why(bind: Bind, exc: OSError) -> Problem:
    """Return what is wrong with an address, and how to go on."""
    message, fix = f"cannot listen on {bind}: {exc.strerror or exc}", ""
    if isinstance(exc, socket.gaierror):
        fix = "name a host or an address of this machine, such as 127.0.0.1 or 0.0.0.0"
    elif exc.errno == errno.EADDRINUSE:
        fix = f"stop what listens there, or choose another port, such as {(bind.port + 1) % 65536}"
    elif exc.errno == errno.EADDRNOTAVAIL:
        fix = "name an address of this machine; 0.0.0.0 is all of IPv4, [::] all of IPv6"
    elif exc.errno in (errno.EACCES, errno.EPERM) and 0 < bind.port < 1024:
        message = f"cannot listen on {bind}: ports below 1024 are not for this user"
        fix = "choose a higher port, let systemd open it, or give AmbientCapabilities=CAP_NET_BIND_SERVICE"
    return Problem(id="server.bind", message=message, where=f"--bind {bind}", fix=fix)


# -- Unix sockets -----------------------------------------------------------------------------------------------------


def open_unix_socket(path: str, options: SocketOptions | None = None) -> socket.socket:
    """Return a listening Unix socket; a dead one in its place is removed, one that is served is not.

    Raises:
        ConfigurationError: the path cannot be bound.
    """
    options = options or SocketOptions()
    if not hasattr(socket, "AF_UNIX"):
        raise _unix_problem(path, "this system has no Unix sockets", "listen on a port")
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise _unix_problem(path, f"the path is longer than {_LONGEST_PATH} bytes", "choose a shorter one, below /run")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _locked_folder(path):
            _remove_dead_socket(path)
            sock.bind(path)
            # Nobody can connect before `listen`: there is no moment with the wrong permissions.
            if options.owner:
                os.chown(path, *_owner_of(options.owner))
            if options.mode is not None:
                os.chmod(path, options.mode)
            sock.listen(options.backlog)
    except OSError as exc:
        sock.close()
        fix = ""
        if exc.errno == errno.ENOENT:
            fix = f"make the folder {os.path.dirname(path) or '.'}"
        elif exc.errno == errno.EADDRINUSE:
            fix = "stop what serves it, or choose another path"
        raise _unix_problem(path, exc.strerror or str(exc), fix) from None
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


@contextlib.contextmanager
def _locked_folder(path: str) -> Generator[None]:
    """Keep others that start at the same moment from taking the same dead socket away twice."""
    import fcntl

    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_dead_socket(path: str) -> None:
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise FileExistsError(errno.EEXIST, "something that is no socket is there")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except BlockingIOError:
        raise OSError(errno.EADDRINUSE, "another process serves it") from None
    else:
        raise OSError(errno.EADDRINUSE, "another process serves it")
    finally:
        probe.close()


def _inode(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _owner_of(text: str) -> tuple[int, int]:
    import grp
    import pwd

    user, _, group = text.partition(":")
    try:
        uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid if user else -1
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise OSError(errno.EINVAL, f"there is no user or group {text!r}") from None
    return uid, gid


def _unix_problem(path: str, reason: str, fix: str) -> ConfigurationError:
    return ConfigurationError(
        Problem(id="server.bind", message=f"cannot listen on {path}: {reason}", where=f"--bind unix:{path}", fix=fix)
    )


# -- inherited sockets ------------------------------------------------------------------------------------------------


def inherited_descriptors() -> dict[int, str]:
    """Return the descriptors that systemd has handed to this process, with their names (`sd_listen_fds`)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    try:
        count = int(os.environ.get("LISTEN_FDS", "0"))
    except ValueError:
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    return {FIRST_INHERITED + n: names[n] if n < len(names) else "" for n in range(min(count, 256))}


def inherited_socket(which: int | str) -> socket.socket:
    """Return an inherited listening socket by its number or its name (systemd's `FileDescriptorName=`).

    Raises:
        ConfigurationError: there is none, or it does not listen for streams.
    """
    number = which
    if isinstance(which, str):
        found = inherited_descriptors()
        number = next((fd for fd, name in found.items() if name == which), -1)
        if number == -1:
            known = ", ".join(sorted(filter(None, found.values()))) or "none"
            raise _inherited_problem(which, f"no inherited socket has this name; those there are: {known}")
    assert isinstance(number, int)
    try:
        sock = socket.socket(fileno=os.dup(number))
    except OSError as exc:
        raise _inherited_problem(which, f"this is no inherited socket: {exc.strerror or exc}") from None
    try:
        listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError:
        listens = False
    if not listens:
        sock.close()
        raise _inherited_problem(which, "this socket does not listen for streams")
    os.set_inheritable(number, False)
    sock.setblocking(False)
    return sock


def _inherited_problem(which: int | str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        Problem(
            id="server.bind",
            message=f"cannot listen on fd://{which}: {reason}",
            where=f"--bind fd://{which}",
            fix="let a systemd unit of type .socket, or the parent process, hand over a listening socket",
        )
    )


def address_of(sock: socket.socket, scheme: str = "http") -> str:
    """Return the URL of a listening socket."""
    name: Any = sock.getsockname()
    if sock.family == getattr(socket, "AF_UNIX", None):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{scheme}://{host}:{name[1]}"
