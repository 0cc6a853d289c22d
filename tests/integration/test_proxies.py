"""The documented nginx and HAProxy in front of `quintet run`: TLS and HTTP/2 outside, kept connections inside."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from websockets.sync.client import connect

from tests.integration.proxies import HOST, NAMES, Backend, Proxy, find, proxied


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    backend = Backend(tmp_path_factory.mktemp("backend"))
    yield backend
    backend.stop()


@pytest.fixture(scope="module", params=NAMES)
def proxy(
    request: pytest.FixtureRequest, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    require(request.param)
    with proxied(request.param, tmp_path_factory.mktemp(request.param), backend) as proxy:
        yield proxy


def require(name: str) -> None:
    if find(name) is None:
        pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize("http2", [False, True], ids=["1.1", "2"])
def test_the_client_the_scheme_and_the_host_arrive(proxy: Proxy, http2: bool) -> None:
    forged = {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "gopher", "x-forwarded-host": "evil.example",
              "forwarded": "for=6.6.6.6;host=evil.example", "x_forwarded_for": "6.6.6.6"}  # fmt: skip
    with proxy.client(http2=http2) as client:
        response = client.get("/echo?q=1", headers=forged)
    assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    found = response.json()
    assert (found["scheme"], found["host"]) == ("https", HOST)
    assert found["url"] == f"https://{HOST}/echo?q=1"
    # The proxy runs on a trusted address, as does the client of this test: the first other address counts.
    assert found["client"] == "6.6.6.6"
    assert "evil.example" not in str([v for n, v in found["headers"] if n in ("host", "x-forwarded-host")])
    sources = [v for n, v in found["headers"] if n == "x-forwarded-for"]
    assert ", ".join(sources).split(", ") == ["6.6.6.6", "127.0.0.1"]


def test_plain_http_is_sent_to_https(proxy: Proxy) -> None:
    response = httpx2.get(f"http://127.0.0.1:{proxy.plain_port}/echo?x=1", headers={"host": HOST}, trust_env=False)
    assert (response.status_code, response.headers["location"]) == (301, f"https://{HOST}/echo?x=1")


def test_other_hosts_are_refused(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.get("/echo", headers={"host": "evil.example"}).status_code in (400, 421)


@pytest.mark.parametrize("target", ["/echo?a=b%20c&d=%C3%A9", "/m/a%2Fb/%25", "/m/a//b", "/m/a;b=c,d"])
def test_targets_arrive_as_they_were_sent(proxy: Proxy, backend: Backend, target: str) -> None:
    with proxy.client() as through, backend.client() as direct:
        first, second = through.get(target), direct.get(target)
    assert first.status_code == second.status_code == 200
    for name in ("path", "query", "marker"):
        assert first.json().get(name) == second.json().get(name)


def test_connections_to_the_server_are_kept(proxy: Proxy, backend: Backend) -> None:
    def peers() -> set[int]:
        workers = psutil.Process(backend.process.pid).children()
        connections = [c for worker in workers for c in worker.net_connections("tcp")]
        return {c.raddr.port for c in connections if c.status == "ESTABLISHED" and c.raddr}

    with proxy.client() as client:
        for _ in range(3):
            client.get("/echo")
        before = peers()
        assert before
        for _ in range(30):
            assert client.get("/echo").status_code == 200
        assert peers() <= before


async def test_requests_in_parallel_over_http_2(proxy: Proxy) -> None:
    # One connection, so tasks and not threads: those of the client would take the same number for two streams.
    async with proxy.async_client(http2=True) as client:
        answers = await asyncio.gather(*(client.get(f"/m/parallel/{number}") for number in range(40)))
    assert [answer.json()["marker"] for answer in answers] == [f"parallel/{number}" for number in range(40)]
    assert {answer.http_version for answer in answers} == {"HTTP/2"}


@pytest.mark.parametrize("http2", [False, True], ids=["1.1", "2"])
def test_uploads_with_and_without_a_length(proxy: Proxy, http2: bool) -> None:
    content = b"0123456789abcdef" * 200_000
    expected = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    with proxy.client(http2=http2) as client:
        for path in ("/upload", "/uploads/large"):
            assert client.post(path, content=content).json() == expected
            pieces = (content[i : i + 99_999] for i in range(0, len(content), 99_999))
            assert client.put(path, content=pieces).json() == expected
            assert client.post(path, content=b"").json()["size"] == 0


def test_an_upload_reaches_the_app_while_it_is_sent(proxy: Proxy) -> None:
    name = f"{proxy.name}-early"
    begun: list[bool] = []

    def pieces() -> Iterator[bytes]:
        yield b"a" * 50_000
        with proxy.client() as other:
            begun.append(other.get(f"/wait/begun {name}").json())
        yield b"b" * 50_000

    with proxy.client() as client:
        assert client.post(f"/uploads/large?name={name}", content=pieces()).json()["size"] == 100_000
    assert begun == [True]


def test_too_large_a_body_is_told(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.post("/refuse", content=b"x" * 2000).status_code == 413
        assert client.post("/refuse", content=b"x" * 999).json() == 999
        assert client.post("/refuse", content=iter([b"x" * 2000])).status_code == 413
        if proxy.name == "nginx":
            assert client.post("/upload", content=b"x" * 11_000_000).status_code == 413
        assert client.get("/echo").status_code == 200


def test_large_answers_and_files_with_ranges(proxy: Proxy, backend: Backend) -> None:
    folder = Path(psutil.Process(backend.process.pid).cwd())
    content = bytes(range(256)) * 20_000
    (folder / "large.bin").write_bytes(content)
    with proxy.client(http2=True) as client:
        assert len(client.get("/large?size=20000000").content) == 20_000_000
        assert len(client.get("/streamed?size=5000000").content) == 5_000_000
        response = client.get("/file", headers={"range": "bytes=1000000-1000099"})
        assert (response.status_code, response.content) == (206, content[1_000_000:1_000_100])
        tag = client.get("/file").headers["etag"]
        assert client.get("/file", headers={"if-none-match": tag}).status_code == 304
        response = client.head("/file")
        assert (response.headers["content-length"], response.content) == (str(len(content)), b"")


def test_events_arrive_one_by_one(proxy: Proxy) -> None:
    name = f"{proxy.name}-events"
    with proxy.client() as client, proxy.client() as other, client.stream("GET", f"/events/{name}") as response:
        lines = response.iter_lines()
        assert next(line for line in lines if line.startswith("data")) == "data: one"
        other.post(f"/set/{name}")
        assert next(line for line in lines if line.startswith("data")) == "data: two"


def test_websockets_pass(proxy: Proxy) -> None:
    with connect(f"wss://{HOST}/ws", sock=socket.create_connection(("127.0.0.1", proxy.port)), ssl=proxy.context(),
                 server_hostname=HOST, proxy=None, max_size=None) as ws:  # fmt: skip
        for text in ("hello", "", "é" * 70_000):
            ws.send(text)
            assert ws.recv(timeout=10) == text
        ws.ping().wait(10)
        ws.close(4001, "enough")
        assert ws.close_code == 4001


def test_a_client_that_goes_away_ends_its_stream(proxy: Proxy) -> None:
    with proxy.client() as client:
        before = client.get("/seen").json().get("streams cut", 0)
        with client.stream("GET", "/streamed?size=1000000000") as response:
            next(response.iter_bytes())
        deadline = time.monotonic() + 10
        while client.get("/seen").json().get("streams cut", 0) == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("name", NAMES)
def test_a_unix_socket_behind_the_proxy(name: str, tmp_path: Path) -> None:
    require(name)
    backend = Backend(tmp_path, uds=tmp_path / "shop.sock")
    try:
        with proxied(name, tmp_path, backend) as proxy, proxy.client() as client:
            found = client.get("/echo", headers={"x-forwarded-for": "6.6.6.6"}).json()
            # The peer has no address, and the proxy tells the one of the client.
            assert (found["client"], found["scheme"], found["host"]) == ("6.6.6.6", "https", HOST)
            assert client.post("/upload", content=b"x" * 300_000).json()["size"] == 300_000
    finally:
        backend.stop()


@pytest.mark.parametrize("name", NAMES)
def test_servers_restart_one_after_the_other_and_no_request_fails(name: str, tmp_path: Path) -> None:
    require(name)
    backends = [Backend(tmp_path), Backend(tmp_path)]
    failures: list[Any] = []
    answered: list[int] = []
    stop = threading.Event()
    try:
        with proxied(name, tmp_path, *backends) as proxy:

            def ask() -> None:
                with proxy.client() as client:
                    while not stop.is_set():
                        try:
                            response = client.get("/echo")
                            answered.append(response.json()["pid"])
                        except (httpx2.HTTPError, json.JSONDecodeError) as exc:
                            failures.append(exc)
                        time.sleep(0.005)

            threads = [threading.Thread(target=ask) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.3)
            for number, old in enumerate(list(backends)):
                old.stop()
                time.sleep(0.3)
                backends[number] = Backend(tmp_path, port=old.port)
                time.sleep(0.5)
            workers = {w.pid for b in backends for w in psutil.Process(b.process.pid).children()}
            stop.set()
            for thread in threads:
                thread.join()
    finally:
        stop.set()
        for backend in backends:
            if backend.process.poll() is None:
                backend.stop()
    assert failures == []
    assert workers <= set(answered)


@pytest.mark.parametrize("name", NAMES)
def test_a_kept_connection_that_the_server_closes_costs_no_request(name: str, tmp_path: Path) -> None:
    """The server closes idle connections first here, against the advice of the documentation."""
    require(name)
    backend = Backend(tmp_path, PROXIED_KEEP_ALIVE="0.5")
    try:
        with proxied(name, tmp_path, backend) as proxy, proxy.client() as client:
            for pause in (0.2, 1.5, 1.6):
                assert client.get("/echo").status_code == 200
                time.sleep(pause)
            assert client.get("/echo").status_code == 200
    finally:
        backend.stop()
