"""Measures apps of other frameworks on Quintet's server against the servers they usually run on, with ratios.

    python benchmarks/hosting.py                      every app and server
    python benchmarks/hosting.py fastapi flask        some apps
    python benchmarks/hosting.py --rounds 5 --seconds 3

Server CPU (user and system, from the operating system, of the process and its children) per request, the server on one
core and wrk on another, rounds interleaved, medians of one run. ASGI apps: uvicorn with uvloop and httptools, granian;
WSGI apps: gunicorn with threads, granian. Servers that are not installed are left out. Needs Linux and wrk.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from contract import ORDER  # noqa: E402 - found beside this file
from run import free_port, post_script  # noqa: E402 - found beside this file

ASGI = ("bare", "starlette", "fastapi", "django-asgi")
WSGI = ("bare-wsgi", "flask", "django-wsgi")
PYTHON = [sys.executable, "-m"]
SERVERS = {
    "asgi": {
        "quintet": [*PYTHON, "quintet", "run", "{app}", "--port", "{port}"],
        "uvicorn": [
            *PYTHON, "uvicorn", "{app}", "--port", "{port}", "--no-access-log", "--log-level", "warning",
            "--loop", "uvloop", "--http", "httptools",
        ],
        "granian": [
            *PYTHON, "granian", "--interface", "asgi", "--loop", "uvloop", "--no-ws", "--port", "{port}", "{app}",
        ],
    },
    "wsgi": {
        "quintet": [*PYTHON, "quintet", "run", "{app}", "--port", "{port}"],
        "gunicorn": [*PYTHON, "gunicorn", "-k", "gthread", "--threads", "8", "-b", "127.0.0.1:{port}", "{app}"],
        "granian": [
            *PYTHON, "granian", "--interface", "wsgi", "--blocking-threads", "8", "--port", "{port}", "{app}",
        ],
    },
}  # fmt: skip


class Server:
    """A server with one app, on one core."""

    def __init__(self, name: str, kind: str, app: str) -> None:
        self.name = name
        self.port = free_port()
        command = [part.format(port=self.port, app="hosted_apps:app") for part in SERVERS[kind][name]]
        if shutil.which("taskset"):
            command = ["taskset", "-c", "0", *command]
        env = {**os.environ, "PYTHONPATH": str(HERE), "QUINTET_BENCH_APP": app}
        self.process = psutil.Popen(command, cwd=HERE, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while subprocess.run(
            ["curl", "-sf", "-o", os.devnull, f"http://127.0.0.1:{self.port}/json"], check=False
        ).returncode:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"{name} did not start with {app}")
            time.sleep(0.1)

    def cpu(self) -> float:
        """Return the seconds of CPU used so far."""
        processes = [self.process, *self.process.children(recursive=True)]
        return sum(t.user + t.system for t in (p.cpu_times() for p in processes))

    def stop(self) -> None:
        """End the processes."""
        processes = [self.process, *self.process.children(recursive=True)]
        self.process.terminate()
        _, alive = psutil.wait_procs(processes, timeout=5)
        for process in alive:
            process.kill()


def load(server: Server, script: str | None, connections: int, seconds: int) -> float:
    """Load a server; return CPU microseconds per request."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *(["-s", script] if script else [])]
    if shutil.which("taskset"):
        command = ["taskset", "-c", "1", *command]
    before = server.cpu()
    out = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/json"], capture_output=True, text=True, check=True
    ).stdout
    used = server.cpu() - before
    found = re.search(r"(\d+) requests in", out)
    if found is None or "Non-2xx" in out:
        raise SystemExit(f"wrong answers from {server.name}:\n{out}")
    return used / int(found[1]) * 1e6


def measure(app: str, rounds: int, seconds: int, connections: int) -> None:
    """Print the figures of one app."""
    kind = "asgi" if app in ASGI else "wsgi"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(post_script(ORDER))
        file.flush()
        names = [name for name in SERVERS[kind] if importlib.util.find_spec(name) is not None]
        for row, script in (("GET", None), ("POST", file.name)):
            figures: dict[str, list[float]] = {name: [] for name in names}
            servers = [Server(name, kind, app) for name in names]
            try:
                for server in servers:
                    load(server, script, connections, 1)
                for _ in range(rounds):
                    for server in servers:
                        figures[server.name].append(load(server, script, connections, seconds))
            finally:
                for server in servers:
                    server.stop()
            ours = statistics.median(figures["quintet"])
            cells = [
                f"{name} {statistics.median(f):8.1f} ({statistics.median(f) / ours:.2f} x)"
                for name, f in figures.items()
            ]
            print(f"{app:<12}{row:<6}" + "   ".join(cells), flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("apps", nargs="*", metavar="app", help=", ".join((*ASGI, *WSGI)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of a round; whole, for wrk")
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    print(
        f"CPU us per request, median of {options.rounds} rounds of {options.seconds} s (and as a multiple of Quintet)\n"
    )
    for app in options.apps or (*ASGI, *WSGI):
        measure(app, options.rounds, options.seconds, options.connections)


if __name__ == "__main__":
    main()
