"""What `run` and `dev` share: logging, the banner, and errors of starting."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from quintet._version import __version__
from quintet.errors import ConfigurationError, Problem
from quintet.http.context import current_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quintet.app import Application
    from quintet.observability.settings import LogSettings
    from quintet.observability.writer import LogWriter
    from quintet.server.hosted_app import HostedApp
    from quintet.server.settings import LoopKind


def load_log_settings(**given: Any) -> LogSettings:
    """Read the settings of the log; what an option gives comes first.

    Raises:
        ConfigurationError: everything that is wrong with them.
    """
    from quintet.config import load_settings
    from quintet.observability.settings import LogSettings

    explicit = {name: value for name, value in given.items() if value is not None}
    return load_settings(LogSettings, overrides={LogSettings: explicit})[LogSettings]


def set_up_logging(settings: LogSettings, *, queued: bool) -> LogWriter:
    """Send log records to standard error; those of a request carry its id.

    Args:
        settings: what is shown, and how.
        queued: hand lines to a thread, so that an output that takes none holds nobody up.
    """
    from quintet.observability.logging import configure_logging
    from quintet.observability.writer import ImmediateWriter, LogWriter

    output = _standard_output(sys.stderr)
    writer = LogWriter(output, capacity=settings.queue) if queued else ImmediateWriter(output)
    configure_logging(
        json=None if settings.format == "auto" else settings.format == "json",
        level=settings.level,
        request_id=current_request_id,
        writer=writer,
        repeat=settings.repeat,
    )
    logging.captureWarnings(True)
    return writer


def _standard_output(stream: Any) -> Any:
    from quintet.observability.outputs import DescriptorOutput, StreamOutput

    try:
        stream.flush()
        return DescriptorOutput(stream.fileno(), stream.encoding or "utf-8")
    except (OSError, ValueError, AttributeError):  # one in memory, or none at all
        return StreamOutput(stream)


def writes_json(settings: LogSettings) -> bool:
    """Tell whether log lines are JSON."""
    if settings.format != "auto":
        return settings.format == "json"
    return not (sys.stderr is not None and sys.stderr.isatty())


def log_access(app: Application | HostedApp, settings: LogSettings, writer: LogWriter) -> None:
    """Write a line for each request.

    Args:
        app: the app whose requests are logged.
        settings: what the lines look like, and where they go.
        writer: that of standard error.

    Raises:
        ConfigurationError: the file cannot be opened.
    """
    from quintet.observability.access import build_access_log

    style = settings.access_format
    if style == "auto":
        style = "json" if writes_json(settings) else "text"
    log = build_access_log(
        writer if settings.access_to == "stderr" else _access_writer(settings),
        format=style,
        sample=settings.access_sample,
        leave_out=() if settings.access_health else app.open_paths,
    )
    app.access_log = app.dispatcher.access_log = log


def _access_writer(settings: LogSettings) -> LogWriter:
    from quintet.observability.access import dropped_elsewhere
    from quintet.observability.outputs import FileOutput
    from quintet.observability.writer import LogWriter

    if settings.access_to == "stdout":
        output = _standard_output(sys.stdout)
    else:
        try:
            output = FileOutput(settings.access_to)
        except OSError as exc:
            raise ConfigurationError(
                Problem(
                    id="log.file",
                    message=f"the access log cannot be opened: {exc.strerror or exc}",
                    where=settings.access_to,
                    fix="give the path of a file that this user may write, stdout or stderr, in --access-log-to or "
                    "LOG_ACCESS_TO",
                )
            ) from None
    return LogWriter(output, capacity=settings.queue, notice=dropped_elsewhere)


def has_database(app: Application | HostedApp) -> bool:
    """Tell whether an app has a database that Quintet migrates."""
    return any(key.startswith("quintet.db") for key in getattr(app, "state", {}))


def look_at_databases(app: Application | HostedApp) -> None:
    """Log what the databases of an app lack that is served now: in a thread, for nobody waits for it."""
    if has_database(app):
        threading.Thread(target=_look, args=(app,), name="quintet-databases", daemon=True).start()


def _look(app: Application) -> None:
    from quintet.db.migrations.glance import look
    from quintet.db.migrations.plugin import tell

    try:
        tell(look(app))
    except Exception:
        logging.getLogger("quintet.db").exception("the databases could not be looked at")


def reopen_on_signal() -> None:
    """Open log files anew on SIGUSR1, as tools of log rotation ask for it."""
    from quintet.observability.writer import reopen_all

    def reopen(number: int, frame: object) -> None:
        del number, frame
        reopen_all()

    if hasattr(signal, "SIGUSR1"):
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGUSR1, reopen)


def docs_path(app: Application | HostedApp) -> str:
    """Return the path of the app's documentation page; empty where there is none."""
    plugin: Any = app.plugins.get("openapi")
    return getattr(plugin, "ui", "") if getattr(plugin, "docs", False) else ""


def loop_name(kind: LoopKind = "auto") -> str:
    """Return the name of the event loop that serves.

    Raises:
        ConfigurationError: it is not installed.
    """
    from quintet.server.run import new_event_loop

    loop = new_event_loop(kind)
    loop.close()
    return type(loop).__module__.partition(".")[0]


def banner(addresses: Sequence[str], mode: str, *, docs: str = "", workers: int = 1, loop: str = "") -> str:
    """Return what is told when an app is served: two lines, the second indented.

    Args:
        addresses: the URLs, or `unix:` and a path.
        mode: `production` or `development`.
        docs: the path of the documentation page.
        workers: the number of processes that serve.
        loop: the name of their event loop.
    """
    first, *others = addresses
    text = f"Quintet serves {first}" + "".join(f" and {other}" for other in others) + f" ({mode})"
    if docs and first.startswith("http"):
        text += f", documentation on {first}{docs}"
    facts = [f"{workers} worker{'' if workers == 1 else 's'}", loop, f"process {os.getpid()}", f"Quintet {__version__}"]
    return f"{text}\n    {', '.join(filter(None, facts))}"


def announce(
    addresses: Sequence[str],
    mode: str,
    settings: LogSettings,
    writer: LogWriter,
    *,
    docs: str = "",
    workers: int = 1,
    loop: str = "",
) -> None:
    """Tell what is served: as a block of text, or as one record where the log is JSON, at every level."""
    text = banner(addresses, mode, docs=docs, workers=workers, loop=loop)
    if not writes_json(settings):
        writer.put(text + "\n", reserve=True)
        return
    record = logging.makeLogRecord(
        {
            "name": "quintet.server",
            "levelno": logging.INFO,
            "levelname": "INFO",
            "msg": text.partition("\n")[0],
            "addresses": list(addresses),
            "mode": mode,
            "docs": docs,
            "workers": workers,
            "loop": loop,
            "pid": os.getpid(),
            "version": __version__,
        }
    )
    ours = [handler for handler in logging.getLogger().handlers if getattr(handler, "writer", None) is writer]
    for handler in ours:
        handler.handle(record)
    if not ours:  # the app has set up logging of its own
        writer.put(text + "\n", reserve=True)


def failure_of(exc: BaseException) -> tuple[str, str]:
    """Return the kind and the text of what kept an app from starting."""
    if isinstance(exc, ConfigurationError):
        return "configuration", message_of(exc)
    if isinstance(exc, SystemExit):
        return "configuration", f"the app ended the process: SystemExit({exc.code!r})"
    from quintet.cli.load import own_traceback

    return "exception", own_traceback(exc)


def message_of(exc: ConfigurationError) -> str:
    """Return what is wrong; one problem alone needs no heading."""
    return str(exc.problems[0]) if len(exc.problems) == 1 else str(exc)


def start_or_exit(start: Callable[[], Any]) -> Any:
    """Call what loads or serves an app; what the app's own code raises is printed, and the command ends.

    Raises:
        ConfigurationError: what is wrong with the app; the group of commands prints it.
        SystemExit: the app's own code raised something else.
    """
    import click

    from quintet.cli.load import own_traceback

    try:
        return start()
    except (ConfigurationError, click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as exc:  # noqa: BLE001 - shown to its author
        click.echo(own_traceback(exc), err=True, nl=False)
        raise SystemExit(1) from None
