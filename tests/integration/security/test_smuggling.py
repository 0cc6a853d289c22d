"""R6: bytes that two parsers may read differently, sent directly and through proxies.

Every request that a proxy passes on is one request for the server, and every other one none: the sides are counted by
markers in the targets, over connections that the proxy keeps and shares.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest

from tests.integration.proxies import HOST, NAMES, Backend, Proxy, find, proxied
from tests.integration.security.smuggling import Case, cases

CASES = cases()


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = Backend(tmp_path)
    yield backend
    backend.stop()


@pytest.fixture(params=NAMES)
def proxy(request: pytest.FixtureRequest, backend: Backend, tmp_path: Path) -> Iterator[Proxy]:
    if find(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    with proxied(request.param, tmp_path, backend) as proxy:
        yield proxy


def say(connect: Callable[[], socket.socket], data: bytes) -> bytes:
    """Send bytes and return what comes back, until the end or some seconds of silence."""
    received = b""
    with connect() as sock:
        sock.settimeout(3.0)
        with contextlib.suppress(OSError):
            sock.sendall(data)
            while piece := sock.recv(1 << 16):
                received += piece
    return received


def tell(connect: Callable[[], socket.socket]) -> dict[str, list[int]]:
    """Send every case, several at a time; return the statuses that came back for each."""

    def one(case: Case) -> tuple[str, list[int]]:
        received = say(connect, case.data)
        found = re.findall(rb"HTTP/1\.[01] ([2-5]\d\d) ", received)
        return case.name, [int(status) for status in found] or [0] * bool(received)  # HTTP/0.9 has no status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return dict(pool.map(one, CASES))


def seen_by_app(backend: Backend) -> Counter[str]:
    with backend.client() as client:
        seen = client.get("/seen").json()
    return Counter({k: v for k, v in seen.items() if " /m/" in k})


def named(found: Counter[str]) -> dict[str, int]:
    """Return markers with the names of their cases, for messages."""
    names = {c.code: c.name for c in CASES}
    return {re.sub(r"c\d{5}", lambda m: names.get(m[0], m[0]), k): v for k, v in found.items()}


def test_R6_there_are_enough_cases() -> None:
    assert len(CASES) >= 55


def test_R6_directly_nothing_is_smuggled(backend: Backend) -> None:
    answers = tell(backend.connect)
    seen = seen_by_app(backend)
    smuggled = Counter({k: v for k, v in seen.items() if k.endswith("smuggled")})
    assert not named(smuggled)
    assert max(seen.values()) == 1
    # Every answer is that of one request, and every request has one.
    logged = [r for r in backend.requests() if r["target"] != "/seen"]
    assert len(logged) == sum(map(len, answers.values()))
    assert not [name for name, statuses in answers.items() if not statuses], "no answer, and no end either"
    assert all(status < 500 or status in (501, 505) for statuses in answers.values() for status in statuses), answers
    assert seen["GET /m/" + next(c.code for c in CASES if c.name == "honest") + "/second"] == 1


def test_R6_a_proxy_and_the_server_count_the_same_requests(proxy: Proxy, backend: Backend) -> None:
    answers = tell(proxy.connect)
    answers.update(tell_http2(proxy))
    assert {name: answers[name][0] for name in DOCUMENTED[proxy.name]} == DOCUMENTED[proxy.name]
    check_victims(proxy)
    time.sleep(0.3)  # the proxy's last lines
    passed = Counter(proxy.passed_on())
    seen = seen_by_app(backend)
    logged = [r for r in backend.requests() if r["target"] != "/seen"]
    assert not named(seen - passed), "the server has seen what the proxy has not passed on"
    # What the proxy has passed on and no handler has seen was refused: as many as the server has logged beside.
    refused = passed - seen
    assert len(logged) - seen.total() == refused.total(), named(refused)
    assert not [name for name, statuses in answers.items() if not statuses], "no answer, and no end either"
    assert seen["GET /m/" + next(c.code for c in CASES if c.name == "honest") + "/second"] == 1


#: What docs/how-to/behind-a-proxy.md says of each proxy: the first status of a case.
DOCUMENTED = {
    "nginx": {"line-lf": 200, "coding-plain": 400, "coding-before-length": 400, "absolute": 400},
    "haproxy": {"line-lf": 200, "coding-plain": 200, "coding-before-length": 200, "absolute": 400},
}


def check_victims(proxy: Proxy) -> None:
    """Requests of others over the same connections get their own answers."""
    with proxy.client() as client:
        for number in range(50):
            response = client.post(f"/m/victim/{number}", content=b"x" * number)
            assert (response.status_code, response.json()) == (200, {"marker": f"victim/{number}", "length": number})


BODY = b"0\r\n\r\nGET /m/h2/smuggled HTTP/1.1\r\nHost: example.com\r\nX: "
HTTP2: dict[str, tuple[list[tuple[str, str]], bytes]] = {
    "length too short": ([("content-length", "5")], BODY),
    "length too long": ([("content-length", "500")], BODY),
    "length zero": ([("content-length", "0")], BODY),
    "lengths": ([("content-length", "0"), ("content-length", str(len(BODY)))], BODY),
    "coding": ([("transfer-encoding", "chunked")], BODY),
    "coding and length": ([("transfer-encoding", "chunked"), ("content-length", str(len(BODY)))], BODY),
    "line end in a value": ([("x", "a\r\nTransfer-Encoding: chunked")], BODY),
    "line feed in a value": ([("x", "a\nTransfer-Encoding: chunked")], BODY),
    "line end in a name": ([("x: y\r\ntransfer-encoding", "chunked")], BODY),
    "colon in a name": ([("transfer-encoding:chunked\r\nx", "y")], BODY),
    "space in a name": ([("transfer-encoding ", "chunked")], BODY),
    "connection": ([("connection", "keep-alive, content-length"), ("content-length", str(len(BODY)))], BODY),
    "two hosts": ([("host", "evil.example")], b""),
    "honest": ([], b"abc"),
}
PSEUDO: dict[str, dict[str, str]] = {
    "line end in the path": {":path": "/m/h2/first HTTP/1.1\r\nHost: example.com\r\n\r\nGET /m/h2/smuggled"},
    "space in the path": {":path": "/m/h2/first HTTP/1.1 x"},
    "line end in the method": {":method": "GET /m/h2/smuggled HTTP/1.1\r\nHost: example.com\r\n\r\nGET"},
    "line end in the authority": {":authority": "example.com\r\nTransfer-Encoding: chunked"},
    "no path": {":path": ""},
}


def tell_http2(proxy: Proxy) -> dict[str, list[int]]:
    """Send requests over HTTP/2 that would be several ones in HTTP/1.1."""
    wrong = {name: ([], BODY, pseudo) for name, pseudo in PSEUDO.items()}
    right = {name: (*case, {}) for name, case in HTTP2.items()}
    return {f"h2 {name}": _http2(proxy, name, *case) for name, case in {**right, **wrong}.items()}


def _http2(proxy: Proxy, name: str, fields: list[tuple[str, str]], body: bytes, pseudo: dict[str, str]) -> list[int]:
    config = h2.config.H2Configuration(
        validate_outbound_headers=False, normalize_outbound_headers=False, validate_inbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    path = "/m/h2/" + name.replace(" ", "-")
    head: dict[str, Any] = {":method": "POST", ":scheme": "https", ":authority": HOST, ":path": path, **pseudo}
    statuses: list[int] = []
    with proxy.connect("h2") as sock, contextlib.suppress(OSError, h2.exceptions.ProtocolError):
        sock.settimeout(3.0)
        connection.initiate_connection()
        connection.send_headers(1, [*head.items(), *fields], end_stream=not body)
        if body:
            connection.send_data(1, body, end_stream=True)
        sock.sendall(connection.data_to_send())
        while data := sock.recv(1 << 16):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    statuses += [int(v) for n, v in event.headers if n in (b":status", ":status")]
                elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    statuses.append(0)
                    return statuses
                elif isinstance(event, h2.events.StreamEnded):
                    return statuses
            sock.sendall(connection.data_to_send())
    return statuses or [0]
