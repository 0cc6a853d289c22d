"""Granian as the server: HTTP/2 in front of the same app, over RSGI.

What Granian can do differently from the built-in server is refused with the reason, never left out in silence.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quintet.cli._listening import ListeningOptions, binds_of, load_tls
from quintet.cli._serving import (
    banner,
    docs_path,
    failure_of,
    log_access,
    look_at_databases,
    set_up_logging,
    start_or_exit,
)
from quintet.cli.load import load_app
from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Semaphore

    from quintet.http.limits import Limits
    from quintet.observability.settings import LogSettings
    from quintet.server.certificates import TLSSettings
    from quintet.server.sockets import Bind

#: Seconds that requests under way have after a signal.
GRACE = 30
#: Requests of one HTTP/2 connection at a time.
STREAMS = 128


def load_for_granian(target: str, parent: int, log: LogSettings, looks: Semaphore) -> Any:
    """Load the app in a worker of Granian. An empty target stands for `app.py`.

    The first worker after each start and reload finds one of `looks`, and looks at the databases for all.
    """
    _die_with(parent)
    writer = set_up_logging(log, queued=True)
    _join_logs()
    app = load_app(target or None)
    if log.access:
        log_access(app, log, writer)
    if looks.acquire(block=False):
        look_at_databases(app)
    return app


def failure_of_code(target: str) -> str:
    """Return why the code that is on the disk now cannot be loaded; empty where it can."""
    try:
        _ = load_app(target or None).dispatcher
    except BaseException as exc:  # noqa: BLE001 - told to the process that asks
        return failure_of(exc)[1]
    return ""


def _reload_if_it_loads(target: str, replace_workers: Callable[[], None]) -> None:
    """Let workers be replaced, unless the new code is broken: Granian would end the old ones all the same."""
    from quintet.server.supervisor import log

    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            failure = fresh.submit(failure_of_code, target).result()
    except BrokenExecutor:
        failure = "the process that tried to load it died"
    if failure:
        log(logging.ERROR, "reload: the new code does not start; the old code goes on serving", failure)
    else:
        replace_workers()


def _join_logs() -> None:
    """Let Granian's own records go the way of all others."""
    own = logging.getLogger("_granian")
    own.handlers.clear()
    own.propagate = True


def _die_with(parent: int) -> None:
    """End this worker when the process that started it is killed; Granian's own workers would serve on."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        # More than once: a signal that comes while the worker is starting reaches nobody.
        for _ in range(GRACE):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        os._exit(1)

    if os.name == "posix":
        threading.Thread(target=watch, name="quintet-parent", daemon=True).start()


def run_granian(
    target: str | None,
    listening: ListeningOptions,
    *,
    workers: int,
    http: str,
    log: LogSettings,
) -> None:
    """Serve an app with Granian until a signal.

    Raises:
        ConfigurationError: Granian is not installed or cannot do what is asked, the app cannot be served, or the
            address is taken.
    """
    try:
        from granian import Granian
        from granian.constants import HTTPModes, Interfaces
    except ModuleNotFoundError:
        raise ConfigurationError(
            Problem(
                id="server.granian",
                message="granian is not installed",
                where="--server granian",
                fix='pip install "quintet[granian]"',
            )
        ) from None
    tls = load_tls(listening)
    address = _address(binds_of(listening), listening, secure=tls is not None)
    app = start_or_exit(lambda: load_app(target))
    start_or_exit(lambda: app.dispatcher)
    # Each worker is a new interpreter, as those of the built-in server are: a fork would keep the code that is loaded
    # below to find what is wrong with it.
    multiprocessing.set_start_method("spawn", force=True)
    server: Any = Granian(
        target or "",
        **address,
        interface=Interfaces.RSGI,
        workers=workers,
        backlog=max(128, listening["backlog"]),
        http=HTTPModes(http),
        respawn_failed_workers=True,
        workers_kill_timeout=GRACE,
        **_settings_of(app.limits),
        **(_tls_of(tls) if tls is not None else {}),
    )
    replace_workers = server.signal_handler_reload

    def reload(*_: object) -> None:
        # Not in this thread: it has workers to watch, and signals to take.
        threading.Thread(target=_reload_if_it_loads, args=(target or "", replace_workers), daemon=True).start()

    server.signal_handler_reload = reload
    _join_logs()
    where = f"unix:{address['uds']}" if "uds" in address else _url(address, "https" if tls is not None else "http")
    text = banner([where], "production, Granian", docs=docs_path(app), workers=workers)
    server.on_startup(lambda: click.echo(text, err=True))
    looks = multiprocessing.Semaphore(0)
    server.on_startup(looks.release)
    server.on_reload(looks.release)
    loader = partial(load_for_granian, target or "", os.getpid(), log, looks)
    server.serve(target_loader=loader, wrap_loader=False)


def _address(binds: list[Bind], listening: ListeningOptions, *, secure: bool) -> dict[str, Any]:
    """Return the only address that Granian listens on, as its arguments."""
    from quintet.server.sockets import open_tcp_sockets, open_unix_socket

    bind = binds[0]
    if len(binds) > 1 or bind.kind == "fd" or listening["uds_owner"] or listening["reuse_port"]:
        raise _impossible("listens on one address or path of its own", "leave out what only the built-in server can do")
    if bind.secure is not None and bind.secure != secure:
        raise _impossible("speaks TLS where there is a certificate, and only there", "leave out http:// or https://")
    # A taken address is told in one line, before a worker is started.
    if bind.kind == "unix":
        open_unix_socket(bind.path).close()
        os.unlink(bind.path)
        mode = listening["uds_mode"]
        return {"uds": Path(bind.path), "uds_permissions": int(mode, 8) if mode else None}
    sockets = open_tcp_sockets(bind.host or "0.0.0.0", bind.port)  # noqa: S104 - an empty host is every address
    host, port = sockets[0].getsockname()[:2]
    for sock in sockets:
        sock.close()
    return {"address": host, "port": port}


def _url(address: dict[str, Any], scheme: str) -> str:
    host: str = address["address"]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{address['port']}"


def _settings_of(limits: Limits) -> dict[str, Any]:
    """Return the app's limits as Granian's; without them a header block may have 16 MiB in HTTP/2."""
    from granian.http import HTTP1Settings, HTTP2Settings

    return {
        "http1_settings": HTTP1Settings(
            header_read_timeout=min(60_000, max(1, int(limits.header_timeout * 1000))),
            max_buffer_size=max(8192, limits.header_block + limits.url),
        ),
        "http2_settings": HTTP2Settings(
            max_headers_size=limits.header_block,
            max_concurrent_streams=STREAMS,
            keep_alive_interval=min(60_000, max(1, int(limits.keep_alive * 1000))),
        ),
    }


def _tls_of(tls: TLSSettings) -> dict[str, Any]:
    from granian.constants import SSLProtocols

    from quintet.server.certificates import build_context

    build_context(tls)  # what is wrong with the files is told as everywhere
    if len(tls.certificate) > 1:
        raise _impossible("has one certificate", "name one, with all host names in it")
    if tls.client_certificates == "optional":
        raise _impossible("asks every client for a certificate or none", 'set client_certificates to "required"')
    certificate, key = tls.files[0]
    return {
        "ssl_cert": Path(certificate),
        "ssl_key": Path(key or certificate),
        "ssl_key_password": tls.key_password.reveal() if tls.key_password is not None else None,
        "ssl_protocol_min": SSLProtocols.tls12 if tls.minimum_version == "1.2" else SSLProtocols.tls13,
        "ssl_ca": Path(tls.client_ca) if tls.client_ca else None,
        "ssl_client_verify": tls.client_certificates == "required",
    }


def _impossible(message: str, fix: str) -> ConfigurationError:
    return ConfigurationError(
        Problem(id="server.granian", message=f"Granian {message}", where="--server granian", fix=fix)
    )
