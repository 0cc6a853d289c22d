"""`quintet routes`: the routes of an app."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from quintet.cli._serving import start_or_exit
from quintet.cli._text import columns
from quintet.cli.load import load_own_app
from quintet.handlers.signature import describe

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.protocols.dispatcher import CompiledRoute

_HEAD = ("METHOD", "PATH", "NAME", "HANDLER", "GUARDS", "MIDDLEWARE")


class RouteRow(msgspec.Struct, frozen=True):
    """One route, as it is listed."""

    methods: list[str]
    path: str
    name: str
    handler: str
    guards: list[str]
    middleware: list[str]
    where: str
    kind: str
    version: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the texts of its row."""
        path = self.path + (f"  (version {self.version})" if self.version else "")
        lists = (", ".join(self.guards), ", ".join(self.middleware))
        return ("|".join(self.methods), path, self.name, self.handler, *lists)


@click.command("routes")
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(target: str | None, as_json: bool) -> None:
    """List the routes of TARGET (FILE.py or module:app)."""
    app = start_or_exit(lambda: load_own_app(target))
    rows = start_or_exit(lambda: list_routes(app))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        click.echo("\n".join(columns([_HEAD, *(row.cells() for row in rows)], "")))


def list_routes(app: Application) -> list[RouteRow]:
    """Return the routes of an app, by path; methods of one handler at one path are one row.

    Raises:
        ConfigurationError: everything that is wrong with the app.
    """
    _ = app.dispatcher
    by_route: dict[int, list[CompiledRoute]] = {}
    for item in app.compiled:
        by_route.setdefault(id(item.route), []).append(item)
    return sorted(map(_row, by_route.values()), key=lambda row: (row.path, row.methods))


def _row(items: list[CompiledRoute]) -> RouteRow:
    first = items[0]
    route, plan = first.route, first.plan
    assert route is not None
    word = {"websocket": "WEBSOCKET", "mount": "MOUNT"}.get(first.kind)
    guards: list[Any] = list(plan.guards) if plan is not None else []
    middleware: list[Any] = list(route.options.get("middleware", ()))
    return RouteRow(
        methods=[word] if word else [item.method for item in items],
        path=first.template.text if first.template is not None else route.path,
        name=first.name,
        handler=describe(route.handler),
        guards=list(map(describe, guards)),
        middleware=list(map(describe, middleware)),
        where=route.where,
        kind=first.kind,
        version=route.options.get("version", ""),
    )


def _print_table(rows: list[RouteRow]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading, style in zip(_HEAD, ("bold", "cyan", "", "dim", "yellow", "magenta"), strict=True):
        table.add_column(heading, style=style, overflow="fold")
    for row in rows:
        table.add_row(*(cell.replace("[", "\\[") for cell in row.cells()))
    Console().print(table)
