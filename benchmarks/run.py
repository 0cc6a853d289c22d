"""Measures Quintet against the same work by hand, in one run, and prints ratios.

    python benchmarks/run.py                 every row, over HTTP and in process
    python benchmarks/run.py json params     some rows
    python benchmarks/run.py --rounds 5 --seconds 3

Over HTTP: server CPU (user and system, from the operating system) per request, the server on one core and wrk on
another, rounds interleaved, medians. In process: CPU per request of the bytes through the protocol class, without a
kernel; it repeats within 5 %, so believe it first. Needs Linux and wrk.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from contract import ORDER  # noqa: E402 - found beside this file

TICK = os.sysconf("SC_CLK_TCK")
#: row -> (path, wrk script, compared with `hand` or another row of ours, budget)
ROWS = {
    "json": ("/json", False, 1.10),
    "params": ("/users/7?q=abc%20d&limit=20", False, 0.95),
    "body": ("/orders", True, 1.10),
    "template": ("/fortunes", False, 0.95),
    "suspended": ("/suspended", False, None),
    "routes": ("/api/same/res17/42/items/7", False, 1.10),
}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def family(pid: int) -> list[int]:
    """Return a process and those it has started."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return [pid, *children]


class Server:
    """A server on one core."""

    def __init__(self, name: str, command: Sequence[str], **environment: str) -> None:
        self.name = name
        self.port = free_port()
        command = [part.replace("{port}", str(self.port)) for part in command]
        if shutil.which("taskset"):
            command = ["taskset", "-c", "0", *command]
        env = {**os.environ, "PYTHONPATH": str(HERE), **environment}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.process.kill()
                    raise SystemExit(f"the server {name!r} did not start: {' '.join(command)}") from None
                time.sleep(0.05)

    def cpu(self) -> float:
        """Return the seconds of CPU used so far, by the supervisor and its worker."""
        ticks = 0
        for pid in family(self.process.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def stop(self) -> None:
        """End the process."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def start(kind: str) -> Server:
    """Start the work by hand (`hand`) or Quintet (`ours`, `ours-10` and `ours-1000` with so many routes)."""
    if kind == "hand":
        return Server(kind, [sys.executable, str(HERE / "by_hand.py"), "{port}"])
    command = [sys.executable, "-m", "quintet", "run", str(HERE / "app.py"), "--port", "{port}"]
    return Server(kind, command, QUINTET_BENCH_ROUTES=kind.partition("-")[2] or "0")


def post_script(body: bytes) -> str:
    """Return the script that makes wrk send JSON by POST."""
    return (
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{body.decode()}]==]\n'
    )


def load(server: Server, path: str, script: str | None, seconds: int, connections: int = 64) -> tuple[float, float]:
    """Load a server; return CPU microseconds per request and requests per second."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", *(["-s", script] if script else [])]
    if shutil.which("taskset"):
        command = ["taskset", "-c", "1", *command]
    before, start = server.cpu(), time.monotonic()
    out = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    used, elapsed = server.cpu() - before, time.monotonic() - start
    found = re.search(r"(\d+) requests in", out)
    if found is None or "Non-2xx" in out:
        raise SystemExit(f"wrong answers from {path}:\n{out}")
    requests = int(found[1])
    if not requests:  # where a busy machine meets a slow app
        if seconds > 30:
            raise SystemExit(f"{server.name} answered nothing from {path} in {seconds:g} s")
        return load(server, path, script, 2 * seconds, connections)
    return used / requests * 1e6, requests / elapsed


def over_http(rows: list[str], rounds: int, seconds: int) -> None:
    """Print the table of server CPU per request."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua", delete=False) as file:
        file.write(post_script(ORDER))
    print(f"over HTTP: CPU us per request, median (minimum) of {rounds} rounds of {seconds:g} s\n")
    print(f"{'row':<12}{'by hand':>16}{'quintet':>16}{'req/s':>10}{'ratio':>8}{'of minima':>11}{'budget':>8}")
    for row in rows:
        path, posts, budget = ROWS[row]
        kinds = ("ours-10", "ours-1000") if row == "routes" else ("hand", "ours")
        servers = [start(kind) for kind in kinds]
        try:
            figures: list[list[tuple[float, float]]] = [[], []]
            for server in servers:
                load(server, path, file.name if posts else None, 1)
            for _ in range(rounds):
                for server, into in zip(servers, figures, strict=True):
                    into.append(load(server, path, file.name if posts else None, seconds))
        finally:
            for server in servers:
                server.stop()
        (a, a_min), (b, b_min) = ((statistics.median(x[0] for x in f), min(x[0] for x in f)) for f in figures)
        rate = statistics.median(x[1] for x in figures[1])
        first = "10 routes" if row == "routes" else ""
        print(
            f"{row:<12}{f'{a:.1f} ({a_min:.1f})':>16}{f'{b:.1f} ({b_min:.1f})':>16}{rate:>10,.0f}{b / a:>8.2f}"
            f"{b_min / a_min:>11.2f}{budget or '':>8} {first}"
        )
    os.unlink(file.name)


def in_process(rows: list[str], rounds: int) -> None:
    """Print the table of CPU per request without a kernel."""
    print("\nin process: CPU us per request, best of runs\n")
    print(f"{'row':<12}{'by hand':>10}{'quintet':>10}{'ratio':>8}")
    figures: dict[str, dict[str, float]] = {"hand": {}, "ours": {}}
    for _ in range(max(1, rounds // 2)):
        for kind, into in figures.items():
            out = subprocess.run(
                [sys.executable, str(HERE / "in_process.py"), kind, *(r for r in rows if r != "routes")],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for row, value in json.loads(out).items():
                into[row] = min(value, into.get(row, 1e9))
    for row in figures["ours"]:
        hand, ours = figures["hand"][row], figures["ours"][row]
        print(f"{row:<12}{hand:>10.2f}{ours:>10.2f}{ours / hand:>8.2f}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="row", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of a round; whole, for wrk")
    options = parser.parse_args()
    rows = options.rows or list(ROWS)
    if shutil.which("wrk"):
        over_http(rows, options.rounds, options.seconds)
    else:
        print("wrk is not installed: only in process")
    in_process(rows, options.rounds)


if __name__ == "__main__":
    main()
