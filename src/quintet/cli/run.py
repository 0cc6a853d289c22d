"""`quintet run`: serve an app for production."""

from __future__ import annotations

import click

from quintet.cli.load import load_app


@click.command("run")
@click.argument("target", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", "-p", default=8000, show_default=True, help="The port; 0 takes a free one.")
@click.option("--uds", help="Listen on this Unix socket instead.")
def command(target: str | None, host: str, port: int, uds: str | None) -> None:
    """Serve TARGET (FILE.py or module:app) for production."""
    from quintet.server.run import address_of, open_socket, open_unix_socket, run

    app = load_app(target)
    _ = app.dispatcher
    sock = open_unix_socket(uds) if uds else open_socket(host, port)
    address = address_of(sock)
    run(app, [sock], ready=lambda: click.echo(f"Quintet serves {address}", err=True))
