"""`quintet openapi`: the OpenAPI document of an app."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from quintet.cli._serving import start_or_exit
from quintet.cli.load import load_own_app

if TYPE_CHECKING:
    from quintet.app import Application


@click.command("openapi")
@click.argument("target", required=False)
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def command(target: str | None, out: Path | None) -> None:
    """Print the OpenAPI document of TARGET (FILE.py or module:app)."""
    app: Application = start_or_exit(lambda: load_own_app(target))
    document = start_or_exit(lambda: _document(app))
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


def _document(app: Application) -> dict[str, Any]:
    plugin: Any = app.plugins.get("openapi")
    if plugin is not None:
        return plugin.document()
    from quintet.openapi.document import build_document

    return build_document(app)
