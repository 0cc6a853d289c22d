"""The group of commands."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from quintet._version import __version__
from quintet.errors import ConfigurationError

#: The commands: name -> module of this package that defines `command`.
COMMANDS = ("dev", "run")


class LazyGroup(click.Group):
    """A group that loads a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"quintet.cli.{cmd_name}").command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what is wrong with the app is printed without a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as exc:
            raise click.ClickException(_message(exc)) from None


def _message(exc: ConfigurationError) -> str:
    """Return what is wrong; one problem alone needs no heading."""
    return str(exc.problems[0]) if len(exc.problems) == 1 else str(exc)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quintet")
def main() -> None:
    """Quintet, a Python web framework."""
