"""Granian as the server: HTTP/2 in front of the same app, over RSGI."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from quintet.cli.load import load_app
from quintet.errors import ConfigurationError, Problem


def load_for_granian(target: str) -> Any:
    """Load the app in a worker of Granian. Empty stands for `app.py`."""
    return load_app(target or None)


def run_granian(target: str | None, *, host: str, port: int, uds: str | None, access_log: bool) -> None:
    """Serve an app with Granian until a signal.

    Raises:
        ConfigurationError: Granian is not installed, the app cannot be served, or the address is taken.
    """
    try:
        from granian import Granian
        from granian.constants import Interfaces
    except ModuleNotFoundError:
        raise ConfigurationError(
            Problem(
                id="server.granian",
                message="granian is not installed",
                where="--server granian",
                fix='pip install "quintet[granian]"',
            )
        ) from None
    from quintet.cli._serving import start_or_exit

    app = start_or_exit(lambda: load_app(target))
    start_or_exit(lambda: app.dispatcher)
    if uds is None:
        from quintet.server.run import open_socket

        open_socket(host, port).close()  # a taken address is told in one line
    server: Any = Granian(
        target or "",
        address=host,
        port=port,
        uds=Path(uds) if uds else None,
        interface=Interfaces.RSGI,
        respawn_failed_workers=True,
        log_access=access_log,
    )
    server.serve(target_loader=partial(load_for_granian, target or ""), wrap_loader=False)
