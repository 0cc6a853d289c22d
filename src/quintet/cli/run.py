"""`quintet run`: serve an app for production."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from quintet.cli._serving import banner, log_access, set_up_logging, start_or_exit
from quintet.cli.load import load_app

if TYPE_CHECKING:
    from quintet.app import Application


@click.command("run")
@click.argument("target", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default="8000",
    help="The port; 0 takes a free one.",
)
@click.option("--uds", help="Listen on this Unix socket instead.")
@click.option(
    "--server", type=click.Choice(["native", "granian"]), default="native", show_default=True, help="The host."
)
@click.option("--access-log/--no-access-log", default=False, help="Write a line for each request.")
@click.option("--log-format", type=click.Choice(["auto", "json", "text"]), default="auto", show_default=True,
              help="JSON lines or text; auto is text on a terminal.")  # fmt: skip
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
    default="info",
    show_default=True,
    help="The least important level that is shown.",
)
def command(
    target: str | None,
    host: str,
    port: int,
    uds: str | None,
    server: str,
    access_log: bool,
    log_format: str,
    log_level: str,
) -> None:
    """Serve TARGET (FILE.py or module:app) for production."""
    os.environ.pop("QUINTET_DEV", None)  # nothing in the environment makes this development
    json = None if log_format == "auto" else log_format == "json"
    set_up_logging(json=json, level=log_level.upper())
    if server == "granian":
        from quintet.cli._granian import run_granian

        run_granian(target, host=host, port=port, uds=uds, access_log=access_log)
        return
    app: Application = start_or_exit(lambda: load_app(target))
    start_or_exit(lambda: app.dispatcher)
    if access_log:
        log_access(app, json=_writes_json(json))
    start_or_exit(lambda: _serve(app, host, port, uds))


def _serve(app: Application, host: str, port: int, uds: str | None) -> None:
    from quintet.server.run import address_of, open_socket, open_unix_socket, run

    sock = open_unix_socket(uds) if uds else open_socket(host, port)
    line = banner(app, address_of(sock), "production")
    try:
        run(app, [sock], ready=lambda: click.echo(line, err=True))
    finally:
        if uds:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(uds)


def _writes_json(json: bool | None) -> bool:
    return not sys.stderr.isatty() if json is None else json
