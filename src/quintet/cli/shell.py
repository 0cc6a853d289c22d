"""`quintet shell`: a Python prompt with the app loaded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from quintet.cli._serving import start_or_exit
from quintet.cli.load import load_own_app

if TYPE_CHECKING:
    from quintet.app import Application


@click.command("shell")
@click.argument("target", required=False)
@click.option("--command", "-c", "code", help="Run this code instead of a prompt.")
def command(target: str | None, code: str | None) -> None:
    """Open a Python prompt with TARGET (FILE.py or module:app) loaded: `app`, `client`, `url_for`."""
    app: Application = start_or_exit(lambda: load_own_app(target))
    start_or_exit(lambda: app.dispatcher)
    names = namespace(app)
    client = names.get("client")
    if client is None:
        start_or_exit(lambda: _prompt(names, code))
        return
    with client:
        start_or_exit(lambda: _prompt(names, code))


def namespace(app: Application) -> dict[str, Any]:
    """Return the names that the prompt has."""
    names: dict[str, Any] = {"app": app, "url_for": app.url_for}
    try:
        from quintet.testing.client import Client
    except ModuleNotFoundError:
        return names
    names["client"] = Client(app)
    return names


def _prompt(names: dict[str, Any], code: str | None) -> None:
    if code is not None:
        exec(compile(code, "<command>", "exec"), names)  # noqa: S102 - the developer's own
        return
    text = f"Quintet on Python {sys.version.split()[0]}: {', '.join(names)}"
    try:
        import IPython  # pyright: ignore[reportMissingImports]
    except ImportError:
        import code as code_module

        _complete(names)
        code_module.interact(banner=text, local=names, exitmsg="")
    else:
        click.echo(text)
        IPython.start_ipython(argv=["--no-banner"], user_ns=names)  # pyright: ignore[reportUnknownMemberType]


def _complete(names: dict[str, Any]) -> None:
    """Complete names with the tab key, where the platform can."""
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
