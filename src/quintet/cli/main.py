"""The group of commands."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import click

from quintet._version import __version__
from quintet.errors import ConfigurationError

#: The commands: each is a module of this package that defines `command`, loaded when it is used.
COMMANDS = {
    "dev": "Develop an app: reload, debugger, this machine only.",
    "run": "Serve an app for production.",
    "reload": "Let a running server load the code anew, without losing a request.",
    "status": "Show the workers of a running server.",
    "stop": "Let a running server finish its requests and end.",
    "routes": "List the routes.",
    "explain": "Explain how a request is answered.",
    "check": "Check an app; with --deploy for production.",
    "shell": "Open a Python prompt with the app loaded.",
    "openapi": "Print the OpenAPI document.",
    "db": "Change the tables of a database as its models change.",
}


class LazyGroup(click.Group):
    """A group that loads a command's module when the command is used; other names are looked for in the app."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return [*COMMANDS, *self._custom_names(ctx)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        names = self._custom_names(ctx)
        if names:
            with formatter.section("Commands of the app"):
                formatter.write_dl([(name, self._short_help(ctx, name)) for name in names])

    def _short_help(self, ctx: click.Context, name: str) -> str:
        try:
            found = self.get_command(ctx, name)
        except ConfigurationError:
            return "(cannot be called; `quintet check` says why)"
        return found.get_short_help_str() if found is not None else ""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name in COMMANDS:
            return import_module(f"quintet.cli.{cmd_name}").command
        if ctx.resilient_parsing:
            return None
        app = _app(ctx, required=_named_app(ctx) is not None)
        if app is None:
            return None
        from quintet.cli.custom import find_command

        return find_command(app, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what is wrong with the app is printed without a traceback."""
        named = _named_app(ctx)
        if named is not None:
            os.environ["QUINTET_APP"] = named
        try:
            return super().invoke(ctx)
        except ConfigurationError as exc:
            from quintet.cli._serving import message_of

            raise click.ClickException(message_of(exc)) from None

    def _custom_names(self, ctx: click.Context) -> list[str]:
        try:
            app = _app(ctx, required=False)
        except (Exception, SystemExit):  # noqa: BLE001 - help is shown whatever the app's code does
            return []
        if app is None:
            return []
        from quintet.cli.custom import command_names

        return command_names(app)


def _named_app(ctx: click.Context) -> str | None:
    return ctx.params.get("app") or os.environ.get("QUINTET_APP") or None


def _app(ctx: click.Context, *, required: bool) -> Any:
    """Return the app that commands are looked for in; None where there is none and none is required."""
    from quintet.cli._serving import start_or_exit
    from quintet.cli.load import default_target, load_own_app

    target = _named_app(ctx) or default_target()
    if target is None and not required:
        return None
    return start_or_exit(lambda: load_own_app(target))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="quintet")
@click.option("--app", "-a", metavar="TARGET", help="The app, FILE.py or module:app; else QUINTET_APP, quintet.toml, "
              "or app.py.")  # fmt: skip
def main(app: str | None) -> None:
    """Quintet, a Python web framework."""
