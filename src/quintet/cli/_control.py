"""What `reload`, `status` and `stop` share: finding the server that is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from quintet.errors import ConfigurationError, Problem


def pid_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--pid`."""
    return click.option("--pid", type=int, help="The server's process id; else the one started in this folder.")(
        function
    )


def find_server(pid: int | None) -> Path:
    """Return the control socket of the server that is meant.

    Raises:
        ConfigurationError: there is none, or there are several.
    """
    try:
        from quintet.server.control import find_supervisor
    except ImportError:  # no Unix sockets
        raise ConfigurationError(
            Problem(id="server.control", message="servers on this system have no supervisor to speak to")
        ) from None
    from quintet.config import load_settings
    from quintet.server.settings import ServerSettings

    try:
        control = load_settings(ServerSettings)[ServerSettings].control
    except ConfigurationError:  # the server tells what is wrong, and goes on with the settings it has
        control = ""
    return find_supervisor(control=control, pid=pid, folder=Path.cwd())


def send(path: Path, command: str, *, timeout: float | None) -> dict[str, Any] | None:
    """Send a command and return the answer; None where the server has ended.

    Raises:
        click.ClickException: the server says what went wrong, or says nothing.
    """
    from quintet.server.control import ask

    try:
        answer = ask(path, command, timeout=timeout)
    except OSError as exc:
        raise click.ClickException(f"the server does not answer: {exc}") from None
    if answer is not None and "error" in answer:
        raise click.ClickException(answer["error"].rstrip())
    return answer
