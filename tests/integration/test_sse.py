"""Server-sent events on real servers."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator

import httpx2
import pytest

from tests.integration.hosts import Host, running

HOSTS = ["native", "uvicorn", "hypercorn", "granian-asgi", "granian-rsgi"]
TARGET = "tests.integration.sse_app:app"


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with running(request.param, TARGET) as found:
        yield found


def log_of(host: Host) -> list[str]:
    with urllib.request.urlopen(f"{host.http}/log", timeout=5) as answer:
        return json.load(answer)


def eventually(check: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def open_stream(host: Host, path: str, method: str = "GET") -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", host.port), timeout=5)
    sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
    return sock


def read_until(sock: socket.socket, text: bytes) -> bytes:
    data = b""
    while text not in data:
        chunk = sock.recv(65536)
        assert chunk, data
        data += chunk
    return data


def test_events_have_id_type_retry_and_declared_fields(host: Host) -> None:
    response = httpx2.get(f"{host.http}/ticks")
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.text == ": begin\nretry: 1500\n\n" + "".join(
        f'event: tick\nid: {n}\ndata: {{"number":{n}}}\n\n' for n in (1, 2, 3)
    )


def test_a_client_that_comes_back_goes_on(host: Host) -> None:
    response = httpx2.get(f"{host.http}/ticks", headers={"Last-Event-ID": "7"})
    assert "id: 8\n" in response.text
    assert "id: 7\n" not in response.text


def test_text_is_sent_as_it_is_line_by_line(host: Host) -> None:
    assert httpx2.get(f"{host.http}/texts").text == (
        "data: one\ndata: two\ndata: three\n\ndata: naïve 🎻\n\ndata: \n\n"
    )


def test_sync_generators_stream(host: Host) -> None:
    assert httpx2.get(f"{host.http}/sync").text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"


def test_events_arrive_when_they_happen_and_silence_is_commented(host: Host) -> None:
    with open_stream(host, "/quiet") as sock:
        data = read_until(sock, b"at last")
    assert 2 <= data.count(b": keep-alive\n\n") <= 4


def test_a_client_that_leaves_ends_the_generator_and_its_dependencies(host: Host) -> None:
    before = log_of(host)
    with open_stream(host, "/forever") as sock:
        read_until(sock, b"data: resource\n\n")
    for entry in ("generator closed", "resource closed"):
        eventually(lambda entry=entry: log_of(host).count(entry) == before.count(entry) + 1)


def test_a_client_that_leaves_ends_a_posted_stream(host: Host) -> None:
    before = log_of(host)
    with open_stream(host, "/forever", "POST") as sock:
        read_until(sock, b"data: x")
    eventually(lambda: log_of(host).count("post closed") == before.count("post closed") + 1)


def test_a_stream_that_breaks_is_cut(host: Host) -> None:
    with open_stream(host, "/broken") as sock:
        data = b""
        try:
            while chunk := sock.recv(65536):
                data += chunk
        except (ConnectionError, TimeoutError):
            pass
    assert b"data: fine\n\n" in data
    if host.name != "granian-rsgi":  # it ends every stream tidily
        assert not data.endswith(b"0\r\n\r\n")


def test_a_stopping_server_ends_streams() -> None:
    with running("native", TARGET) as host, open_stream(host, "/forever") as sock:
        read_until(sock, b"data: resource\n\n")
        host.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(10) == 0
