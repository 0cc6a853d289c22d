"""Where `run` listens, and with which certificates: the options, and what they open."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click
import msgspec

from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from quintet.server.certificates import Certificates, TLSSettings
    from quintet.server.sockets import Bind, Listener

C = TypeVar("C", bound=Callable[..., Any])


class ListeningOptions(TypedDict):
    """The values of `listening_options`."""

    bind: tuple[str, ...]
    host: str | None
    port: int | None
    uds: str | None
    uds_mode: str | None
    uds_owner: str
    backlog: int
    reuse_port: bool
    tls_certificate: tuple[str, ...]
    tls_key: tuple[str, ...]


def listening_options(command: C) -> C:
    """Add the options that say where to listen."""
    options = (
        click.option("--host", help="The address to listen on; 127.0.0.1 when absent."),
        click.option("--port", "-p", type=click.IntRange(0, 65535), help="The port; 8000 when absent, 0 a free one."),
        click.option("--uds", metavar="PATH", help="Listen on this Unix socket instead."),
        click.option("--bind", "-b", multiple=True, metavar="ADDRESS",
                     help="Listen here, and wherever --bind says again: host:port, [::1]:port, :port, unix:/path, "
                     "fd://3; with http:// in front without TLS."),
        click.option("--uds-mode", metavar="OCTAL", help="The permissions of Unix sockets, such as 660."),
        click.option("--uds-owner", default="", metavar="USER:GROUP", help="The owner of Unix sockets."),
        click.option("--backlog", type=click.IntRange(1, 65535), default=2048, show_default=True,
                     help="Connections that may wait to be accepted."),
        click.option("--reuse-port/--no-reuse-port", default=False,
                     help="Let other processes open the same port, each with a queue of its own."),
        click.option("--tls-certificate", multiple=True, metavar="FILE",
                     help="Speak HTTPS with this certificate and its chain; once more for each further host name."),
        click.option("--tls-key", multiple=True, metavar="FILE", help="The key of the certificate at the same place."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def binds_of(options: ListeningOptions) -> list[Bind]:
    """Return where to listen: what `--bind` says, or `--uds`, or systemd, or `--host` and `--port`.

    Raises:
        ConfigurationError: something is no address, or is said twice.
    """
    from quintet.server.sockets import Bind, inherited_descriptors, parse_bind

    host, port, uds = options["host"], options["port"], options["uds"]
    if options["bind"]:
        if host is not None or port is not None or uds is not None:
            raise ConfigurationError(
                Problem(
                    id="server.bind",
                    message="there are both --bind and --host, --port or --uds",
                    fix="write all addresses with --bind",
                )
            )
        return [parse_bind(text) for text in options["bind"]]
    if uds is not None:
        return [Bind("unix", path=uds)]
    inherited = inherited_descriptors()
    if inherited and host is None and port is None:
        return [Bind("fd", descriptor=number) for number in inherited]
    return [Bind("tcp", host="127.0.0.1" if host is None else host.strip("[]"), port=8000 if port is None else port)]


def load_tls(options: ListeningOptions) -> TLSSettings | None:
    """Return how TLS is spoken, or None where no certificate is given.

    Raises:
        ConfigurationError: settings that are wrong.
    """
    from quintet.config import load_settings
    from quintet.server.certificates import TLSSettings

    settings = load_settings(TLSSettings)[TLSSettings]
    if options["tls_certificate"]:
        settings = msgspec.structs.replace(settings, certificate=options["tls_certificate"], key=options["tls_key"])
    elif options["tls_key"]:
        settings = msgspec.structs.replace(settings, key=options["tls_key"])
    return settings if settings.certificate or settings.key else None


def listen(options: ListeningOptions) -> tuple[list[Listener], Certificates | None]:
    """Load the certificates and open the sockets; those with TLS are marked `secure`.

    Raises:
        ConfigurationError: everything that is wrong with them.
    """
    from quintet.server.sockets import SocketOptions, open_sockets

    tls = load_tls(options)
    certificates: Certificates | None = None
    if tls is not None:
        from quintet.server.certificates import Certificates

        certificates = Certificates(tls)
    binds = binds_of(options)
    if certificates is None and any(bind.secure for bind in binds):
        raise ConfigurationError(
            Problem(
                id="server.tls",
                message="there is an https:// address and no certificate",
                where="--bind",
                fix="give --tls-certificate and --tls-key",
            )
        )
    listeners = open_sockets(
        binds,
        SocketOptions(
            backlog=options["backlog"],
            reuse_port=options["reuse_port"],
            mode=_mode(options["uds_mode"]),
            owner=options["uds_owner"],
        ),
    )
    if any(bind.kind == "fd" for bind in binds):
        for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)  # they are ours, and not our children's
    secured = certificates is not None
    return [x._replace(secure=secured if x.secure is None else x.secure) for x in listeners], certificates


def _mode(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise ConfigurationError(
            Problem(
                id="server.bind",
                message=f"{text!r} is no set of permissions",
                where="--uds-mode",
                fix="write three octal digits, such as 660",
            )
        )
    return mode


def addresses_of(listeners: Sequence[Listener]) -> list[str]:
    """Return the URLs of listeners, for people."""
    from quintet.server.sockets import address_of

    return [address_of(x.socket, "https" if x.secure else "http") for x in listeners]
