"""`quintet run`: serve an app for production.

This process supervises; it loads no app. Workers do, each a new interpreter.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from quintet.cli._hosting import hosting_options
from quintet.cli._listening import ListeningOptions, addresses_of, listen, listening_options
from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from quintet.observability.settings import LogSettings
    from quintet.observability.writer import LogWriter
    from quintet.server.control import ControlServer
    from quintet.server.process import WorkerProcess
    from quintet.server.settings import ServerSettings
    from quintet.server.supervisor import Supervisor


class Workers(click.ParamType[Any]):
    """A number of workers, or `auto`."""

    name = "number|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read what was given."""
        if value == "auto" or isinstance(value, int):
            return value
        return click.IntRange(0, 1024).convert(value, param, ctx)


@click.command("run")
@click.argument("target", required=False)
@listening_options
@click.option("--workers", "-w", type=Workers(), help="Worker processes; auto is one for each core, 0 serves in this "
              "process, without a supervisor.  [default: 1]")  # fmt: skip
@click.option("--loop", type=click.Choice(["auto", "uvloop", "asyncio"]), help="The event loop; auto is uvloop where "
              "it is installed.  [default: auto]")  # fmt: skip
@click.option("--grace", type=click.FloatRange(0), help="Seconds that requests under way have at the end.  "
              "[default: 30]")  # fmt: skip
@click.option("--max-requests", type=click.IntRange(0), help="Replace a worker after so many requests.")
@click.option("--max-age", type=click.FloatRange(0), help="Replace a worker after so many seconds.")
@click.option("--watchdog", type=click.FloatRange(0), help="Replace a worker whose loop hangs for so many seconds; "
              "0 never.  [default: 30]")  # fmt: skip
@click.option("--pid-file", help="Write the process id to this file.")
@click.option(
    "--server", type=click.Choice(["native", "granian"]), default="native", show_default=True, help="The host."
)
@click.option("--http", type=click.Choice(["auto", "1", "2"]), default="auto", show_default=True,
              help="The versions of HTTP that Granian speaks.")  # fmt: skip
@hosting_options
@click.option("--access-log/--no-access-log", default=None, help="Write a line for each request.")
@click.option(
    "--access-log-format",
    type=click.Choice(["auto", "json", "text", "combined", "common"]),
    help="What it looks like; combined and common are Apache's.  [default: auto, as --log-format]",
)
@click.option(
    "--access-log-sample",
    type=click.FloatRange(0, 1),
    help="The share of requests that get a line; errors of the server always do.  [default: 1]",
)
@click.option("--access-log-to", help="stderr, stdout or a file.  [default: stderr]")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    help="JSON lines or text; auto is text on a terminal.  [default: auto]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
    help="The least important level that is shown.  [default: info]",
)
def command(target: str | None, server: str, http: str, **options: Any) -> None:
    """Serve TARGET (FILE.py or module:app) for production.

    What is not given here comes from the settings: SERVER_PORT in the environment, or port below [server] in
    quintet.toml.
    """
    os.environ.pop("QUINTET_DEV", None)  # nothing in the environment makes this development
    listening = cast("ListeningOptions", {name: options.pop(name) for name in ListeningOptions.__annotations__})
    given = {name: value for name, value in options.items() if value is not None}
    log = {field: given.pop(name) for name, field in _LOG_OPTIONS.items() if name in given}
    # The first worker starts now: it loads what every app needs while this process loads what it needs itself.
    supervised = server == "native" and os.name == "posix" and given.get("workers") != 0
    first = _spawn(target) if supervised else None
    try:
        _run(target, server, http, first, listening, given, log)
    finally:
        if first is not None:
            first.kill()


#: The options about logs, and the fields of `[log]`.
_LOG_OPTIONS = {
    "access_log": "access",
    "access_log_format": "access_format",
    "access_log_sample": "access_sample",
    "access_log_to": "access_to",
    "log_format": "format",
    "log_level": "level",
}


def _run(
    target: str | None,
    server: str,
    http: str,
    first: WorkerProcess | None,
    listening: ListeningOptions,
    given: dict[str, Any],
    log: dict[str, Any],
) -> None:
    from quintet.cli._serving import load_log_settings, set_up_logging
    from quintet.config import load_settings
    from quintet.server.settings import ServerSettings, worker_count

    def load() -> ServerSettings:
        return load_settings(ServerSettings, overrides={ServerSettings: given})[ServerSettings]

    settings, log_settings = load(), load_log_settings(**log)
    _fill_in(listening, settings)
    if server == "granian":
        from quintet.cli._granian import run_granian

        set_up_logging(log_settings, queued=False)  # its workers log by themselves
        run_granian(target, listening, workers=max(1, worker_count(settings)), http=http, log=log_settings)
        return
    if http == "2":
        raise ConfigurationError(
            Problem(
                id="server.native",
                message="the built-in server has no HTTP/2",
                where="--server native",
                fix="add --server granian, or put a proxy in front",
            )
        )
    writer = set_up_logging(log_settings, queued=True)
    if first is None or settings.workers == 0:
        _serve_here(target, listening, settings, log_settings, writer)
        return
    from quintet.cli._serving import announce

    supervisor = _build_supervisor(
        load, target, first, {"target": target, "listening": listening, "settings": given, "log": log}
    )
    supervisor.announce = lambda facts: announce(
        supervisor.addresses, "production", log_settings, writer, workers=supervisor.size, **facts
    )
    _supervise(supervisor)


def _fill_in(listening: ListeningOptions, settings: ServerSettings) -> None:
    """Take from the settings where to listen, as far as no option says it."""
    if listening["bind"]:
        return
    if listening["host"] is None and listening["port"] is None and listening["uds"] is None:
        listening["uds"] = settings.uds
    listening["host"] = settings.host if listening["host"] is None else listening["host"]
    listening["port"] = settings.port if listening["port"] is None else listening["port"]


def _spawn(target: str | None) -> WorkerProcess:
    from quintet.server.process import WorkerProcess, interpreter_options

    arguments = [target] if target else []
    return WorkerProcess([*interpreter_options(), "-P", "-m", "quintet.cli._worker", *arguments])


def _build_supervisor(load: Any, target: str | None, first: WorkerProcess, options: dict[str, Any]) -> Supervisor:
    from quintet.server.supervisor import Supervisor

    listeners, _ = listen(options["listening"])
    waiting = [first]
    supervisor = Supervisor(
        load,
        listeners,
        spawn=lambda: waiting.pop() if waiting else _spawn(target),
        task={"argv": sys.argv, "options": options, "backlog": options["listening"]["backlog"]},
    )
    supervisor.addresses = addresses_of(listeners)
    return supervisor


def _supervise(supervisor: Supervisor) -> None:
    """Serve in workers, in their supervisor."""
    _warn_of_root()
    control = _open_control(supervisor, supervisor.settings)
    pid_file = Path(supervisor.settings.pid_file) if supervisor.settings.pid_file else None
    try:
        if pid_file is not None:
            pid_file.write_text(f"{os.getpid()}\n")
        code = supervisor.run()
    finally:
        if control is not None:
            control.close()
        if pid_file is not None:
            pid_file.unlink(missing_ok=True)
    failure = supervisor.failure
    if failure is not None:
        if failure.kind == "exception":
            click.echo(failure.text, err=True, nl=False)
        else:
            raise click.ClickException(failure.text)
    raise SystemExit(code)


def _open_control(supervisor: Supervisor, settings: ServerSettings) -> ControlServer | None:
    from quintet.server.control import ControlServer, default_path

    try:
        return ControlServer(supervisor, Path(settings.control) if settings.control else default_path())
    except OSError as exc:
        logging.getLogger("quintet.server").warning(
            "no control socket: %s. SIGHUP reloads this server; quintet reload, status and stop do not find it", exc
        )
        return None


def _warn_of_root() -> None:
    if os.geteuid() == 0:
        logging.getLogger("quintet.server").warning(
            "this server runs as root, and so would whoever takes it over: run it as a user of its own"
        )


def _serve_here(
    target: str | None, listening: ListeningOptions, settings: ServerSettings, log: LogSettings, writer: LogWriter
) -> None:
    """Serve in this process: Windows, or where no supervisor is wanted."""
    from quintet.cli._serving import (
        announce,
        docs_path,
        log_access,
        look_at_databases,
        loop_name,
        reopen_on_signal,
        start_or_exit,
    )
    from quintet.cli.load import load_served

    if settings.workers not in (0, 1, "auto"):
        raise ConfigurationError(
            Problem(
                id="server.workers",
                message=f"this system serves with one worker, and {settings.workers} are asked for",
                fix="leave --workers out, or run several servers on different ports behind a proxy",
            )
        )
    app = start_or_exit(lambda: load_served(target))
    start_or_exit(lambda: app.dispatcher)
    if log.access:
        log_access(app, log, writer)
    reopen_on_signal()

    def serve() -> None:
        from quintet.server.run import run

        listeners, certificates = listen(listening)
        addresses, docs, loop = addresses_of(listeners), docs_path(app), loop_name(settings.loop)

        def ready() -> None:
            announce(addresses, "production", log, writer, docs=docs, loop=loop)
            look_at_databases(app)

        try:
            run(
                app,
                [x.socket for x in listeners if not x.secure],
                grace=settings.grace,
                ready=ready,
                secure_sockets=[x.socket for x in listeners if x.secure],
                certificates=certificates,
                backlog=listening["backlog"],
                loop=settings.loop,
            )
        finally:
            for listener in listeners:
                listener.close()

    start_or_exit(serve)
