"""Logs of a real process: formats, outputs that are full or blocked, rotation, the end (rows H1, H3, R18, R29)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.command import PATIENCE, QUINTET, Command, run_to_end, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets, pipes, /dev/full")

APP = """
import logging
import os
import sys
import time
from quintet import App

app = App()
log = logging.getLogger("shop")

@app.get("/hello/{name}")
async def hello(name: str) -> str:
    return name

@app.get("/warn")
async def warn() -> str:
    log.error("it failed", exc_info=ValueError("x"))
    return "warned"

@app.get("/fail")
async def fail() -> str:
    raise ValueError("x")
"""
#: The formats as tools read them.
COMBINED = re.compile(
    r"^(\S+) (\S+) (\S+) \[([^\]]+)\] "
    r'"(?:-|([A-Z]+) (\S+) HTTP/(1\.[01]))" (\d{3}) (\d+|-)(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?$'
)
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("QUINTET_", "LOG_"))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@contextlib.contextmanager
def served(
    folder: Path, *arguments: str, stderr: int, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the app on a Unix socket, so that nobody has to read the log to find it."""
    path = folder / "s"
    process = subprocess.Popen(
        [QUINTET, "run", "app.py", "--uds", str(path), *arguments],
        cwd=folder, env={**CLEAN, **(env or {})}, stderr=stderr, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: is_answering(path))
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def is_answering(path: Path) -> bool:
    """Ask for the health, which is in no access log: the socket is there before the app is."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        try:
            sock.connect(str(path))
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return sock.recv(4096).startswith(b"HTTP/1.1 ")
        except OSError:
            return False


def ask(folder: Path, path: str = "/hello/you", times: int = 1) -> int:
    """Send requests over one connection; return how many were answered, each within a second."""
    done = 0
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(folder / "s"))
        for _ in range(times):
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {'a' * 200}\r\n\r\n".encode())
            begin = time.monotonic()
            assert sock.recv(4096).startswith(b"HTTP/1.1 ")
            assert time.monotonic() - begin < 1
            done += 1
    return done


def test_r29_requests_go_on_while_the_log_is_a_full_pipe_and_what_is_lost_is_counted(folder: Path) -> None:
    requests = 3000
    with served(folder, "--access-log", stderr=subprocess.PIPE, env={"LOG_QUEUE": "500"}) as process:
        assert ask(folder, times=requests) == requests
        ask(folder, "/warn", times=20)
        assert process.stderr is not None
        lines: list[str] = []

        def read() -> None:
            assert process.stderr is not None
            lines.extend(line.decode() for line in process.stderr)

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: any("were dropped" in line for line in lines), lambda: "".join(lines[-3:]))
        ask(folder, "/hello/after")
        process.terminate()
        assert process.wait(PATIENCE) == 0
        reader.join(PATIENCE)
    records = [json.loads(line) for line in lines]
    access = [r for r in records if r["logger"] == "quintet.access"]
    errors = [r for r in records if r["logger"] == "shop"]
    notices = [r for r in records if r["logger"] == "quintet.log"]
    assert {notice["level"] for notice in notices} == {"warning"}
    dropped = sum(notice["dropped"] for notice in notices)
    assert dropped > 1000
    assert len(errors) == 20, "errors find room where access lines do not"
    assert len(access) + dropped == requests + 20 + 1
    assert access[-1]["target"] == "/hello/after"


def test_r29_a_process_whose_log_is_a_full_pipe_can_be_stopped(folder: Path) -> None:
    with served(folder, "--access-log", stderr=subprocess.PIPE) as process:
        ask(folder, times=1000)
        begin = time.monotonic()
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - begin < 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_r18_a_full_disk_breaks_no_request(folder: Path) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        served(folder, "--access-log", "--access-log-to", "/dev/full", stderr=full.fileno()) as process,
    ):
        for path in ("/hello/you", "/warn", "/fail"):
            assert ask(folder, path, times=100) == 100
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_r18_a_log_that_nobody_reads_any_more_breaks_no_request(folder: Path) -> None:
    with served(folder, "--access-log", stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert ask(folder, times=100) == 100
        assert ask(folder, "/fail", times=10) == 10
        process.terminate()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("format", ["combined", "common", "text", "json"])
def test_each_request_is_one_line_of_the_format(folder: Path, format: str) -> None:
    to = folder / "access.log"
    options = ("--access-log", "--access-log-format", format, "--access-log-to", str(to))
    with Command("run", *options, folder=folder) as command:
        port = command.port
        command.client.get("/hello/Ada?x=1", headers={"user-agent": 'quote" \\ x', "referer": "https://a.example/b"})
        command.client.get("/nothing")
        command.client.get("/healthz")
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET /old HTTP/1.0\r\n\r\n")
            while sock.recv(4096):
                pass
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"\x16\x03\x01nonsense\r\n\r\n")
            while sock.recv(4096):
                pass
        wait_until(lambda: to.read_text().count("\n") == 4, to.read_text)
        assert command.stop() == 0
    lines = to.read_text().splitlines()
    assert len(lines) == 4, "one for each request but the health check, the malformed one too"
    if format == "json":
        assert [json.loads(line)["status"] for line in lines] == [200, 404, 404, 400]
        assert json.loads(lines[3])["method"] == json.loads(lines[3])["target"] == "-"
        return
    if format == "text":
        assert [line.split()[4] for line in lines] == ["200", "404", "404", "400"]
        return
    found = [COMBINED.match(line) for line in lines]
    assert all(found), lines
    first, _, old, malformed = [match.groups() for match in found if match]
    assert first[:3] == ("127.0.0.1", "-", "-")
    time.strptime(first[3], "%d/%b/%Y:%H:%M:%S %z")
    assert first[4:9] == ("GET", "/hello/Ada?x=1", "1.1", "200", "3")
    assert first[9:] == ((None, None) if format == "common" else ("https://a.example/b", r"quote\" \\ x"))
    assert old[6] == "1.0"
    assert malformed[4:8] == (None, None, None, "400")
    assert not any("access" in line for line in command.log.splitlines() if line.startswith("{")), "not twice"


def test_the_access_log_goes_to_standard_output(folder: Path) -> None:
    path = folder / "s"
    process = subprocess.Popen(
        [QUINTET, "run", "app.py", "--uds", str(path), "--access-log", "--access-log-to", "stdout"],
        cwd=folder, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: is_answering(path))
        ask(folder, times=3)
    finally:
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    assert [json.loads(line)["target"] for line in out.splitlines()] == ["/hello/you"] * 3
    assert "quintet.access" not in err


def test_a_sample_of_requests_and_every_failure_is_logged(folder: Path) -> None:
    to = folder / "access.log"
    environment = {"LOG_ACCESS": "true", "LOG_ACCESS_SAMPLE": "0.05", "LOG_ACCESS_TO": str(to)}
    with served(folder, stderr=subprocess.DEVNULL, env=environment) as process:
        ask(folder, times=1000)
        ask(folder, "/fail", times=10)
        process.terminate()
        assert process.wait(PATIENCE) == 0
    statuses = [json.loads(line)["status"] for line in to.read_text().splitlines()]
    assert statuses.count(500) == 10
    assert 15 <= statuses.count(200) <= 110


def test_logrotate_moves_the_file_away_and_no_line_is_lost(folder: Path) -> None:
    to = folder / "access.log"
    with Command("run", "--access-log", "--access-log-to", str(to), folder=folder) as command:
        for n in range(4):
            command.client.get(f"/hello/{n}")
        wait_until(lambda: to.exists() and to.read_text().count("\n") == 4)
        to.rename(folder / "access.log.1")
        command.process.send_signal(signal.SIGUSR1)
        wait_until(to.exists)
        for n in range(4, 8):
            command.client.get(f"/hello/{n}")
        assert command.stop() == 0
    targets = [
        [json.loads(line)["target"] for line in file.read_text().splitlines()] for file in (folder / "access.log.1", to)
    ]
    assert targets == [[f"/hello/{n}" for n in range(4)], [f"/hello/{n}" for n in range(4, 8)]]


def test_a_file_that_cannot_be_opened_is_told_at_once(folder: Path) -> None:
    result = run_to_end("run", "--access-log", "--access-log-to", "/nowhere/access.log", folder=folder)
    assert result.returncode == 1
    assert "the access log cannot be opened: No such file or directory" in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_settings_of_the_log_are_told_together(folder: Path) -> None:
    (folder / "quintet.toml").write_text('[log]\naccess_sample = 2\nformat = "yaml"\n')
    result = run_to_end("run", folder=folder)
    assert result.returncode == 1
    assert "2 problems" in result.stderr
    assert "[log] format" in result.stderr


def test_an_option_comes_before_the_settings(folder: Path) -> None:
    (folder / "quintet.toml").write_text('[log]\nlevel = "error"\naccess = true\nformat = "json"\n')
    with Command("run", "--log-format", "text", "--no-access-log", folder=folder) as command:
        command.client.get("/warn")
        command.wait_for("it failed")
    assert "/warn" not in command.log
    assert command.log.startswith("Quintet serves http://")


def test_the_banner_is_one_record_in_a_json_log_whatever_its_level(folder: Path) -> None:
    with Command("run", "--log-format", "json", "--log-level", "error", folder=folder) as command:
        (record,) = [json.loads(line) for line in command.log.splitlines()]
        assert record["addresses"] == [command.url]
        assert (record["mode"], record["docs"], record["workers"]) == ("production", "/docs", 1)
        assert record["loop"] in ("uvloop", "asyncio")
        assert record["pid"] == command.process.pid
        assert record["version"]


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
def test_errors_of_a_process_that_dies_by_an_exception_are_all_there(folder: Path) -> None:
    (folder / "app.py").write_text(
        "import logging\nfrom quintet import App\napp = App()\n"
        "@app.lifespan\nasync def life():\n"
        "    for n in range(1000):\n        logging.getLogger('shop').error('line %d', n)\n"
        "    raise LookupError('no database')\n    yield\n"
    )
    result = run_to_end("run", "--port", "0", "--log-format", "text", folder=folder)
    assert result.returncode == 1
    assert re.findall(r"shop: line (\d+)", result.stderr) == [str(n) for n in range(1000)]
    assert "LookupError: no database" in result.stderr


def test_while_it_drains_a_server_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import asyncio, logging\nfrom quintet import App\napp = App()\n"
        "@app.get('/slow')\nasync def slow() -> str:\n"
        "    logging.getLogger('shop').info('slow begins')\n    await asyncio.sleep(1)\n    return 'slow'\n"
    )
    with Command("run", folder=tmp_path) as command:
        with socket.create_connection(("127.0.0.1", command.port)) as sock:
            sock.settimeout(PATIENCE)
            sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
            two = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
            sock.sendall(two)
            command.wait_for("slow begins")
            command.process.terminate()
            answers = b""
            while piece := sock.recv(4096):
                answers += piece
        assert command.stop() == 0
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"503"]
    assert b'"name":"accepting","status":"failed"' in answers
