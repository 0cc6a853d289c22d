"""`quintet status`: show the workers of a running server."""

from __future__ import annotations

import json as json_module
import time
from typing import Any

import click

from quintet.cli._control import find_server, pid_option, send

_COLUMNS = ("pid", "state", "age", "requests", "pending", "connections", "memory")


@click.command("status")
@pid_option
@click.option("--json", is_flag=True, help="For programs.")
def command(pid: int | None, json: bool) -> None:
    """Show the workers of a running server: requests, connections, memory."""
    status = send(find_server(pid), "status", timeout=5.0)
    if status is None:
        raise click.ClickException("the server has ended")
    if json:
        click.echo(json_module.dumps(status, indent=2))
        return
    age = time.time() - status["started"]
    click.echo(f"{status['pid']} supervises {', '.join(status['addresses'])} for {duration(age)}\n")
    rows = [_COLUMNS, *([_cell(worker, name) for name in _COLUMNS] for worker in status["workers"])]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_COLUMNS))]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _cell(worker: dict[str, Any], name: str) -> str:
    value = worker[name]
    if name == "age":
        return duration(value)
    return f"{value / 2**20:.0f} MiB" if name == "memory" else str(value)


def duration(seconds: float) -> str:
    """Return a time for people: `12 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
