"""`quintet reload`: let a running server load the code anew."""

from __future__ import annotations

import click

from quintet.cli._control import find_server, pid_option, send


@click.command("reload")
@pid_option
def command(pid: int | None) -> None:
    """Start new workers with the code as it is now; the old ones end when the new ones are ready.

    Where the new code does not start, the old workers go on, and the error is shown.
    """
    answer = send(find_server(pid), "reload", timeout=None)
    if answer is None:
        raise click.ClickException("the server has ended")
    serving = [str(worker["pid"]) for worker in answer["workers"] if worker["state"] == "serving"]
    click.echo(f"Reloaded: {', '.join(serving)} serve {', '.join(answer['addresses'])}")
