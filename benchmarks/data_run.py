"""Measures Quintet's data layer over HTTP against the same work by hand and other frameworks, in one run, with ratios.

    python benchmarks/data_run.py                          every row and server
    python benchmarks/data_run.py key insert --rounds 5    some rows
    python benchmarks/data_run.py --only quintet           by hand and the servers whose name holds a word

Server CPU (user and system, from the operating system) per request, without that of the database; the server on one
core, wrk on another, 64 connections (16 where a request sends twenty queries), rounds interleaved. Every answer is
checked against the databases before it is measured. Frameworks that are not installed are left out. Needs Linux, wrk
and PostgreSQL: that of QUINTET_BENCH_POSTGRES, the database `postgres` on 127.0.0.1:5432 by default, beside which it
makes one of its own.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec

from data_check import (
    NOTE,
    Check,
    Client,
    check_books,
    check_fortunes,
    check_key,
    check_notes,
    check_queries,
    check_sqlite,
    check_updates,
)
from data_tables import Filled, filled
from hosting import SERVERS
from run import HERE, Server, load, post_script


@dataclass(frozen=True)
class Row:
    """Something that every server does."""

    about: str
    method: str
    path: str
    check: Check
    #: What Quintet's compiled queries may cost: a ratio to the work by hand, and microseconds.
    ratio: float | None = None
    limit: float | None = None
    #: Connections of wrk: fewer where a request takes long, since those under way at the end are work and no answers.
    connections: int = 64
    query: str = ""
    body: bytes = b""


ROWS = {
    "key": Row("a row by key", "GET", "/db", check_key, 0.6, 45),
    "queries": Row("20 queries", "GET", "/queries", check_queries, 1.0, connections=16, query="?n=20"),
    "fortunes": Row("fortunes", "GET", "/fortunes", check_fortunes, 0.75),
    "updates": Row("20 updates", "POST", "/updates", check_updates, 1.0, connections=16, query="?n=20"),
    "insert": Row("insert, commit", "POST", "/notes", check_notes, limit=150, body=NOTE),
    "list": Row("100 with a relation", "GET", "/books", check_books),
    "sqlite": Row("a row by key, SQLite", "GET", "/sqlite", check_sqlite, limit=30),
}


@dataclass(frozen=True)
class Peer:
    """A server to measure."""

    name: str
    command: tuple[str, ...]
    #: What stands in front of its paths.
    prefix: str = ""
    #: The rows it takes part in.
    rows: tuple[str, ...] = tuple(ROWS)
    #: Modules it needs.
    needs: tuple[str, ...] = ()


def hosted(kind: str, server: str, app: str) -> tuple[str, ...]:
    """Return the command that serves an app as `hosting` does."""
    return tuple(part.replace("{app}", app) for part in SERVERS[kind][server])


HAND = (sys.executable, str(HERE / "data_by_hand.py"), "{port}")
OURS = hosted("asgi", "quintet", str(HERE / "data_app.py"))
PEERS = [
    Peer("by hand", HAND),
    Peer("by hand, BEGIN and COMMIT", HAND, "/unit", ("insert",)),
    Peer("Quintet, compiled queries", OURS),
    Peer("Quintet, objects in sessions", OURS, "/sessions"),
    Peer(
        "FastAPI, SQLAlchemy, uvicorn",
        hosted("asgi", "uvicorn", "peers.fastapi_app:app"),
        needs=("fastapi", "uvicorn"),
    ),
    Peer(
        "Litestar, SQLAlchemy, uvicorn",
        hosted("asgi", "uvicorn", "peers.litestar_app:app"),
        needs=("litestar", "uvicorn"),
    ),
    Peer("Django, gunicorn", hosted("wsgi", "gunicorn", "peers.django_app:app"), needs=("django", "gunicorn")),
    Peer("Django, Granian", hosted("wsgi", "granian", "peers.django_app:app"), needs=("django", "granian")),
]


@dataclass
class Figures:
    """What was measured of a row on a server."""

    #: CPU microseconds per request, and requests per second, of each round.
    rounds: list[tuple[float, float]]

    @property
    def median(self) -> float:
        return statistics.median(cpu for cpu, _ in self.rounds)

    @property
    def minimum(self) -> float:
        return min(cpu for cpu, _ in self.rounds)

    @property
    def rate(self) -> float:
        return statistics.median(rate for _, rate in self.rounds)


#: server -> row -> figures
Results = dict[str, dict[str, Figures]]


def chosen(only: list[str]) -> list[Peer]:
    """Return the servers that are wanted and can run."""
    found: list[Peer] = []
    for peer in PEERS:
        wanted = not only or peer.name == "by hand" or any(word.lower() in peer.name.lower() for word in only)
        missing = [name for name in peer.needs if find_spec(name) is None]
        if wanted and missing:
            print(f"left out: {peer.name}, since {' and '.join(missing)} cannot be imported")
        elif wanted:
            found.append(peer)
    return found


def measure(peers: list[Peer], rows: list[str], rounds: int, seconds: int, data: Filled) -> Results:
    """Check and measure every row on every server."""
    with ExitStack() as stack:
        servers: dict[Peer, Server] = {}
        for peer in peers:
            servers[peer] = Server(peer.name, peer.command, **data.environment)
            stack.callback(servers[peer].stop)
        results: Results = {peer.name: {} for peer in peers}
        for name in rows:
            row = ROWS[name]
            script = None
            if row.method == "POST":
                file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".lua"))
                file.write(post_script(row.body))
                file.flush()
                script = file.name
            taking_part = {peer: server for peer, server in servers.items() if name in peer.rows}
            for peer, server in taking_part.items():
                row.check(Client(server, row.method, peer.prefix + row.path, data.postgres))
            for peer, server in taking_part.items():  # now, so that nothing else is at work while answers are checked
                load(server, peer.prefix + row.path + row.query, script, 1, row.connections)
                results[peer.name][name] = Figures([])
            for _ in range(rounds):
                for peer, server in taking_part.items():
                    found = load(server, peer.prefix + row.path + row.query, script, seconds, row.connections)
                    results[peer.name][name].rounds.append(found)
            print(f"measured: {row.about}", file=sys.stderr, flush=True)
    return results


def table(title: str, rows: list[str], results: Results, cell: Callable[[Figures, Figures], str]) -> None:
    """Print a table: a line for each server, a column for each row; a cell knows the figures by hand as well."""
    print(f"\n{title}\n")
    print("| | " + " | ".join(ROWS[name].about for name in rows) + " |")
    print("|---|" + "---:|" * len(rows))
    hand = results["by hand"]
    for server, figures in results.items():
        cells = [cell(figures[name], hand[name]) if name in figures else "" for name in rows]
        print(f"| {server} | " + " | ".join(cells) + " |")


def budgets(rows: list[str], results: Results) -> None:
    """Print what Quintet's compiled queries may cost, and whether they do."""
    ours, hand = results.get("Quintet, compiled queries"), results["by hand"]
    if ours is None:
        return
    print("\nBudgets of compiled queries\n\n| | measured | budget | |\n|---|---:|---:|---|")
    for name in rows:
        row, found = ROWS[name], ours[name]
        ratio = found.minimum / hand[name].minimum
        if row.ratio is not None:
            print(f"| {row.about} | {ratio:.2f} of by hand | {row.ratio:.2f} | {verdict(ratio <= row.ratio)} |")
        if row.limit is not None:
            print(
                f"| {row.about} | {found.minimum:.1f} µs | {row.limit:g} µs | {verdict(found.minimum <= row.limit)} |"
            )


def verdict(met: bool) -> str:
    """Return how a budget is called."""
    return "met" if met else "missed"


def stop(number: int, frame: object) -> None:
    """End in order, so that servers are stopped and the database is dropped."""
    sys.exit(128 + number)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="row", help=", ".join(ROWS))
    parser.add_argument("--only", nargs="+", default=[], metavar="word", help="servers whose name holds a word")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of a round; whole, for wrk")
    options = parser.parse_args()
    rows: list[str] = options.rows or list(ROWS)
    unknown = [name for name in rows if name not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed")
    signal.signal(signal.SIGTERM, stop)
    with filled() as data:
        results = measure(chosen(options.only), rows, options.rounds, options.seconds, data)
    about = f"of {options.rounds} rounds of {options.seconds} s"
    table(
        f"CPU µs per request, median (minimum) {about}",
        rows,
        results,
        lambda f, _: f"{f.median:,.1f} ({f.minimum:,.1f})",
    )
    table(
        "Ratio to by hand, of medians (of minima)",
        rows,
        results,
        lambda f, hand: f"{f.median / hand.median:.2f} ({f.minimum / hand.minimum:.2f})",
    )
    table(f"Requests per second, median {about}", rows, results, lambda f, _: f"{f.rate:,.0f}")
    budgets(rows, results)


if __name__ == "__main__":
    main()
