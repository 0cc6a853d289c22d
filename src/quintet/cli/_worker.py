"""A worker of `quintet run`: `python -m quintet.cli._worker [TARGET] DESCRIPTOR`, started by the supervisor alone."""

from __future__ import annotations

import signal
import sys
from typing import Any


def main() -> None:
    """Load the app and serve it until the supervisor says otherwise."""
    for number in (signal.SIGINT, signal.SIGHUP):  # whoever meant the supervisor has told it too
        signal.signal(number, lambda number, frame: None)
    from quintet.server.worker import Worker

    worker = Worker(int(sys.argv[-1]))
    # What every app needs is loaded while the supervisor reads its settings and opens its sockets.
    from quintet.cli._listening import load_tls
    from quintet.cli._serving import (
        docs_path,
        failure_of,
        load_log_settings,
        log_access,
        look_at_databases,
        reopen_on_signal,
        set_up_logging,
    )
    from quintet.cli.load import load_served
    from quintet.config import load_settings
    from quintet.factory import App as _
    from quintet.server.settings import ServerSettings

    options = worker.receive_task().options
    try:
        settings = load_settings(ServerSettings, overrides={ServerSettings: options["settings"]})[ServerSettings]
        log = load_log_settings(**options["log"])
        writer = set_up_logging(log, queued=True)
        reopen_on_signal()
        tls = load_tls(options["listening"]) if any(worker.task.secure) else None
        certificates = None
        if tls is not None:
            from quintet.server.certificates import Certificates

            certificates = Certificates(tls)
        app = load_served(options["target"])
        if log.access:
            _ = app.dispatcher
            log_access(app, log, writer)

        def facts() -> dict[str, Any]:
            import asyncio

            if worker.task.is_first:  # one look is enough
                look_at_databases(app)
            loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
            return {"docs": docs_path(app), "loop": loop}

        worker.run(app, facts, settings, certificates)
    except BaseException as exc:  # noqa: BLE001 - told to the supervisor, which decides what follows
        kind, text = failure_of(exc)
        worker.fail(kind, text)
        sys.exit(1)


if __name__ == "__main__":
    main()
