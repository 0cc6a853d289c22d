"""What `run` and `dev` share: logging, the banner, and errors of starting."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import click

from quintet.cli.load import own_traceback
from quintet.errors import ConfigurationError
from quintet.http.context import current_request_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from quintet.app import Application
    from quintet.http.request import Request


def set_up_logging(*, json: bool | None, level: str) -> None:
    """Send log records to standard error; those of a request carry its id."""
    from quintet.observability.logging import configure_logging

    configure_logging(json=json, level=level, request_id=current_request_id)
    logging.captureWarnings(True)


def log_access(app: Application, *, json: bool) -> None:
    """Write a line for each request."""
    import time

    from quintet.http.request import quote_path
    from quintet.observability.logging import access_line, write_safely

    stream = sys.stderr

    def log(request: Request, status: int, size: int | None, seconds: float) -> None:
        query = f"?{request.raw_query.decode('latin-1')}" if request.raw_query else ""
        line = access_line(
            json=json,
            now=time.time(),
            client=request.client or "-",
            method=request.method,
            target=quote_path(request.path) + query,
            status=status,
            size=size or 0,
            seconds=seconds,
            request_id=request.id,
            user_agent=request.fields.get(b"user-agent", b"").decode("latin-1"),
        )
        write_safely(stream, line + "\n")

    app.access_log = app.dispatcher.access_log = log


def banner(app: Application, address: str, mode: str) -> str:
    """Return the line that says what is served where."""
    text = f"Quintet serves {address} ({mode})"
    plugin: Any = app.plugins.get("openapi")
    page = getattr(plugin, "ui", "")
    if page and address.startswith("http"):
        text += f", documentation on {address}{page}"
    return text


def start_or_exit(start: Callable[[], Any]) -> Any:
    """Call what loads or serves an app; what the app's own code raises is printed, and the command ends.

    Raises:
        ConfigurationError: what is wrong with the app; the group of commands prints it.
        SystemExit: the app's own code raised something else.
    """
    try:
        return start()
    except (ConfigurationError, click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as exc:  # noqa: BLE001 - shown to its author
        click.echo(own_traceback(exc), err=True, nl=False)
        raise SystemExit(1) from None
