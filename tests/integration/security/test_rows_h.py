"""Rows H1, H2, H3, H6, H7, H11 and H12 of the security table: logs, headers, the development server."""

# ruff: noqa: E501 - tables of cases
from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from quintet.http.dates import parse_http_date
from quintet.http.host import valid_host
from tests.integration.security.wire import Server, head, parse, warnings


def test_H1_one_line_for_one_request(server: Server) -> None:
    server.settle()
    before = len(server.log.read_text().split("\n"))
    paths = [
        "/a%0aFAKE 200",
        "/%1b[31m",
        "/%e2%80%a8FAKE",
        "/%c2%85x",
        "/a%0d%0aFAKE",
        "/%c2%9bx",
        "/\u2028",
        "/a?x=%0aFAKE",
    ]
    sent = 0
    for path in paths:
        raw = head(
            "GET", quote(path, safe="/%?=[]"), "Connection: close", b"User-Agent: x\xe2\x80\xa8FAKE\xc2\x85\x9b31m"
        )
        assert parse(server.exchange(raw))
        sent += 1
    for path in ("/fail/handler", "/fail/exit"):
        server.get(path + "?name=%e2%80%a8FAKE%1b[31m", ("User-Agent", b"\xc2\x85FAKE"))
    server.settle()
    text = server.log.read_text()
    lines = text.split("\n")[before - 1 :]
    assert [json.loads(line) for line in lines if line]
    added = "\n".join(lines)
    assert len([line for line in lines if '"quintet.access"' in line]) == sent + 2 + 1, "and that of the settling"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", added)


def test_H2_secrets_are_masked_in_logs(server: Server) -> None:
    server.settle()
    start = server.log.stat().st_size
    lines = [("Authorization", "Bearer hunter2-token"), ("Cookie", "session=hunter2-cookie")]
    answer = server.get("/fail/handler?token=hunter2-query&password=hunter2-pass", *lines)
    assert b"hunter2" not in answer.body
    server.settle()
    added = server.log.read_bytes()[start:].decode()
    assert "Traceback" in added
    for secret in (
        "hunter2-token",
        "hunter2-cookie",
        "hunter2-query",
        "hunter2-pass",
        "hunter2-secret-of-the-database@",
    ):
        assert secret not in added


MALFORMED = [
    b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", head("GET", "/", "a b: c"), head(host=False),
    head("GET", "/%ff"), head("FOO"), b"\r\n" * 100 + b"x\r\n\r\n", head("POST", "/echo", "Content-Length: x"),
]  # fmt: skip


def test_H3_floods_of_malformed_requests(server: Server) -> None:
    with server.logging() as records:
        for i in range(1000):
            with contextlib.suppress(AssertionError):
                server.exchange(MALFORMED[i % len(MALFORMED)], half_close=True)
        body = b"--b\r\nnonsense\r\n\r\n--b--\r\n"
        for _ in range(100):
            assert server.post("/upload", body, "multipart/form-data; boundary=b").status == 400
    assert len(warnings(records)) <= 1100
    assert len(records) <= 1101


@pytest.mark.parametrize(
    "host", ["a\n", "a\r", "http://a", "010.8.8.8", "[" + ":" * 1_000_000 + "]", "a." * 50_000, "a" * 100_000, "[fe80::1%eth0]", "1.2.3", "256.1.1.1",
             "0x7f.1", "a_.b-", "\u0430.com", "xn--" + "a" * 100, "1" * 100_000]
)  # fmt: skip
def test_H6_hosts(host: str) -> None:
    began = time.process_time()
    assert not valid_host(host)
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    "text", ["9" * 100_000, " " * 100_000, "Mon, " * 20_000, "Thu, 01 Jan 1970 00:00:00 GMT" + " " * 100_000]
)
def test_H6_dates(text: str) -> None:
    began = time.process_time()
    parse_http_date(text)
    assert time.process_time() - began < 0.1


HEADERS = ["Accept-Language", "Accept", "Accept-Encoding", "If-None-Match", "If-Match", "Cookie", "Content-Type", "Authorization", "Forwarded",
           "X-Forwarded-For", "Range", "If-Range", "Origin", "Connection", "Referer", "Sec-Fetch-Site", "Accept-Charset", "Expect"]  # fmt: skip
PIECES = [",", ";q=", "-", '"', "a,", "a;", "*/*;q=0.1,", "a=b; ", "a/b;q=1,", "\\", "W/", '"a",', "text/html;", "for=1;", " ", "\t,", "=", "0-,"]  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_H7_long_headers(server: Server, guarded: Server, name: str) -> None:
    with server.logging() as records:
        for piece in PIECES:
            value = piece * (60_000 // len(piece))
            for path in ("/echo", "/items", "/static/page.txt", "/headers", "/nothing", "/cached"):
                answer = server.get(path, (name, value))
                assert answer.status < 500, (name, piece, path)
            assert server.post("/form", b"name=a", "application/x-www-form-urlencoded", (name, value)).status < 500
            assert guarded.get("/echo", (name, value), host="good.example").status < 500
    assert not warnings(records)
    for piece in PIECES:
        for path in ("/echo", "/static/page.txt"):
            cost = server.cost(lambda: server.get(path, (name, (piece * 60_000)[:60_000])), times=2)  # noqa: B023 - used at once
            assert cost < 0.1, (name, piece, path, cost)


# -- the development server ---------------------------------------------------------------------------------------

FAILING = """
from quintet import App
app = App()
@app.get("/fail")
async def fail() -> str:
    password = "hunter2"
    raise RuntimeError("it failed")
"""


@contextlib.contextmanager
def start_developing(folder: Path) -> Iterator[Server]:
    """Run `quintet dev` on the failing app."""
    (folder / "app.py").write_text(FAILING)
    log = folder / "dev.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "quintet", "dev", "app.py", "--port", "0", "--no-reload"]
        environment = {**os.environ, "NO_COLOR": "1"}
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=environment)
    deadline = time.monotonic() + 30
    found = None
    while found is None and time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
        time.sleep(0.05)
    assert found, log.read_text()
    try:
        yield Server(process, int(found[1]), log)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def developing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_developing(tmp_path_factory.mktemp("dev")) as server:
        yield server


def page(server: Server, host: str) -> str:
    raw = b"GET /fail HTTP/1.1\r\nHost: %b\r\nAccept: text/html\r\nConnection: close\r\n\r\n" % host.encode()
    (answer,) = parse(server.exchange(raw))
    return answer.body.decode()


def test_H11_the_console_is_for_this_machine(developing: Server) -> None:
    assert "data-token" in page(developing, "localhost")
    for host in ("evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "evil.com:80"):
        text = page(developing, host)
        assert "data-token" not in text
        assert "hunter2" not in text


def test_H11_the_server_listens_on_this_machine_only(developing: Server) -> None:
    import psutil

    listening = [
        c.laddr.ip for c in psutil.Process(developing.process.pid).net_connections() if c.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def try_pin(server: Server, token: str, pin: str) -> int:
    """Post a PIN as a page of the debugger does; return the status of the answer."""
    body = json.dumps({"pin": pin}).encode()
    (answer,) = parse(
        server.exchange(
            b"POST /__debugger__/pin HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
            b"Sec-Fetch-Site: same-origin\r\nX-Debugger-Token: %b\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (token.encode(), len(body), body)
        )
    )
    return answer.status


def test_H11_the_eleventh_pin_is_refused_even_if_right(tmp_path: Path) -> None:
    with start_developing(tmp_path) as server:
        token = re.search(r'data-token="([^"]+)"', page(server, "localhost"))
        pin = re.search(r"Debugger PIN: ([0-9-]+)", server.log.read_text())
        assert token
        assert pin
        assert try_pin(server, "wrong", pin[1]) == 403
        assert [try_pin(server, token[1], f"{n:09}") for n in range(10)] == [401] * 10
        assert try_pin(server, token[1], pin[1]) == 403


def start_and_fail(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quintet", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1"])
def test_H12_no_debugger_on_a_public_address(tmp_path: Path, host: str) -> None:
    (tmp_path / "app.py").write_text(FAILING)
    result = start_and_fail(["dev", "app.py", "--port", "0", "--host", host], tmp_path)
    assert result.returncode != 0
    assert "dev.public" in result.stderr
    assert "Traceback" not in result.stderr


def test_H12_no_debugger_in_production(server: Server) -> None:
    answer = server.get("/fail/handler", ("Accept", "text/html"), ("X-Debugger-Token", "x"))
    assert answer.status == 500
    assert b"data-token" not in answer.body
