"""`quintet dev`: serve an app on this machine, reload it, debug it.

The parent owns the socket and watches the files; each child loads the app and serves it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from quintet.cli._hosting import hosting_options
from quintet.cli.load import load_served, own_traceback, watched_paths
from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.dev.debugger import Debugger
    from quintet.observability.settings import LogSettings
    from quintet.observability.writer import LogWriter
    from quintet.server.hosted_app import HostedApp

#: Seconds that requests under way have before a reload.
GRACE = 0.1
#: How the parent tells its children the secrets of the debugger, so that a browser stays unlocked over reloads.
PIN_VARIABLE = "QUINTET_DEV_PIN"
KEY_VARIABLE = "QUINTET_DEV_KEY"


@click.command("dev")
@click.argument("target", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address; of this machine only.")
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default="8000",
    help="The port; 0 takes a free one.",
)
@click.option("--reload/--no-reload", default=True, help="Load changed code.  [default: reload]")
@click.option("--debugger/--no-debugger", default=True, help="Show exceptions with a console.  [default: debugger]")
@hosting_options
@click.option("--access-log/--no-access-log", default=True, help="Show each request.  [default: access-log]")
def command(target: str | None, host: str, port: int, reload: bool, debugger: bool, access_log: bool) -> None:
    """Develop TARGET (FILE.py or module:app): reload, debugger, this machine only."""
    from quintet.dev.reloader import inherited_sockets

    os.environ["QUINTET_DEV"] = "1"
    sockets = inherited_sockets()
    if sockets:
        _serve(target, sockets, debugger, access_log)
        return
    if debugger and not is_own_address(host):
        raise ConfigurationError(
            Problem(
                id="dev.public",
                message=f"the debugger runs any code it is given, and {host} can be reached from other machines",
                where="--host",
                fix="leave --host out; or use `quintet run`, or `quintet dev --no-debugger`",
            )
        )
    from quintet.server.sockets import open_socket

    sock = open_socket(host, port)
    if debugger:
        _make_secrets()
    if not reload:
        _serve(target, [sock], debugger, access_log)
        return
    _watch(target, sock, debugger, access_log)


def is_own_address(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _make_secrets() -> None:
    from quintet.dev.debugger import new_pin

    pin = os.environ.setdefault(PIN_VARIABLE, new_pin())
    os.environ.setdefault(KEY_VARIABLE, secrets.token_hex(32))
    click.echo(f"Debugger PIN: {pin}", err=True)


def _watch(target: str | None, sock: socket.socket, debugger: bool, access_log: bool) -> None:
    """Serve in children, a new one after each change."""
    from quintet.dev.reloader import run_with_reload

    argv = [sys.executable, "-P", "-m", "quintet", "dev", *([target] if target else [])]
    argv += [] if debugger else ["--no-debugger"]
    argv += [] if access_log else ["--no-access-log"]
    raise SystemExit(
        run_with_reload(
            argv, watch=watched_paths(target), sockets=[sock], report=lambda line: click.echo(line, err=True)
        )
    )


def _serve(target: str | None, sockets: list[socket.socket], with_debugger: bool, access_log: bool) -> None:
    """Load the app and serve it; one that cannot be loaded is served as a page that says why."""
    from quintet.cli._serving import load_log_settings, set_up_logging
    from quintet.dev.attach import broken_app

    log = load_log_settings(format="text", access_to="stderr")
    writer = set_up_logging(log, queued=False)

    def serve_app(app: Application | HostedApp) -> None:
        _serve_app(app, sockets, debugger, access_log, log, writer)

    debugger = _debugger() if with_debugger else None
    try:
        app = load_served(target)
        _ = app.dispatcher
        serve_app(app)
        return
    except Exception as exc:
        if debugger is None:
            raise
        failure = exc
    if isinstance(failure, ConfigurationError):
        click.echo(str(failure), err=True)
    else:
        click.echo(own_traceback(failure), err=True, nl=False)
    click.echo("Waiting for a change …", err=True)
    serve_app(broken_app(failure))


def _debugger() -> Debugger:
    from quintet.dev.debugger import Debugger

    return Debugger(pin=os.environ.pop(PIN_VARIABLE, None), key=os.environ.pop(KEY_VARIABLE, None), announce=False)


def _serve_app(
    app: Application | HostedApp,
    sockets: list[socket.socket],
    debugger: Debugger | None,
    access_log: bool,
    log: LogSettings,
    writer: LogWriter,
) -> None:
    from quintet.cli._serving import announce, docs_path, log_access, look_at_databases, loop_name
    from quintet.dev.attach import attach_blocking_detector, attach_debugger
    from quintet.server.run import new_event_loop, serve
    from quintet.server.sockets import address_of

    if debugger is not None:
        attach_debugger(app, debugger)
    attach_blocking_detector(app)
    if access_log:
        log_access(app, log, writer)
    addresses, docs, loop = [address_of(sock) for sock in sockets], docs_path(app), loop_name()

    def ready() -> None:
        announce(addresses, "development", log, writer, docs=docs, loop=loop)
        look_at_databases(app)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(app, sockets, grace=GRACE, ready=ready))
