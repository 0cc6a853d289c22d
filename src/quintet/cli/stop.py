"""`quintet stop`: let a running server end."""

from __future__ import annotations

import click

from quintet.cli._control import find_server, pid_option, send


@click.command("stop")
@pid_option
def command(pid: int | None) -> None:
    """Let a running server finish the requests under way, and wait until it has ended."""
    send(find_server(pid), "stop", timeout=None)
    click.echo("Stopped.")
