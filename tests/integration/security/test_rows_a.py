"""Rows A1 to A23 of the security table: HTTP messages, as far as this server speaks HTTP/1.1."""

from __future__ import annotations

import time

import pytest

from tests.integration.security.wire import Server, head, parse, warnings

ITEM = b'{"name":"a"}'


def check_refused(server: Server, data: bytes, *statuses: int) -> None:
    """One refusal, the connection closed, at most one line at WARNING."""
    with server.logging() as records:
        answers = server.raw(data)
    assert [a.status for a in answers] in [[s] for s in statuses], (data[:200], answers)
    assert answers[0].header("connection") == "close"
    assert len(warnings(records)) <= 1


def test_A1_length_and_chunked_together_are_one_request_at_most(server: Server) -> None:
    smuggled = b"0\r\n\r\nGET /echo?smug HTTP/1.1\r\nHost: localhost\r\n\r\n"
    data = head("POST", "/echo", "Content-Length: 5", "Transfer-Encoding: chunked") + smuggled
    check_refused(server, data, 400)
    data = head("POST", "/echo", "Transfer-Encoding: chunked", "Content-Length: 5") + smuggled
    check_refused(server, data, 400)


def test_A2_two_different_lengths(server: Server) -> None:
    check_refused(server, head("POST", "/echo", "Content-Length: 3", "Content-Length: 4") + b"abcd", 400)


@pytest.mark.parametrize("value", ["3, 3", "+3", "-1", "0x3", "1_0", "3" * 20, "9" * 30, "", "3 3", "\u0663"])
def test_A3_strange_lengths(server: Server, value: str) -> None:
    check_refused(server, head("POST", "/echo", b"Content-Length: " + value.encode()) + b"abc", 400)


def test_A3_equal_lengths_twice_are_refused(server: Server) -> None:
    check_refused(server, head("POST", "/echo", "Content-Length: 3", "Content-Length: 3") + b"abc", 400)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length : 3"],
        ["X: a", " folded"],
        ["X: a", "\tfolded"],
        ["X: a\0b"],
        ["X: a\rb"],
        ["X\0: a"],
        ["X Y: a"],
        [": a"],
        ["no colon"],
        ["X: a\x7f"],
        ["X: a\x1b[31m"],
        ["X\xe9: a"],
    ],
)
def test_A4_malformed_fields(server: Server, lines: list[str]) -> None:
    check_refused(server, head("GET", "/echo", *lines), 400)


def test_A4_first_field_with_leading_space(server: Server) -> None:
    check_refused(server, b"GET /echo HTTP/1.1\r\n Host: localhost\r\n\r\n", 400)


@pytest.mark.parametrize(
    "value",
    ["xchunked", "chunked, identity", "\x0bchunked", "chunked, chunked", "identity", "", "chunked;q=1", "'chunked'"],
)
def test_A5_strange_transfer_codings(server: Server, value: str) -> None:
    data = head("POST", "/echo", "Transfer-Encoding: " + value) + b"3\r\nabc\r\n0\r\n\r\n"
    check_refused(server, data, 400, 501)


def test_A5_two_transfer_encoding_lines(server: Server) -> None:
    data = head("POST", "/echo", "Transfer-Encoding: chunked", "Transfer-Encoding: identity") + b"3\r\nabc\r\n0\r\n\r\n"
    check_refused(server, data, 400, 501)
    data = head("POST", "/echo", "Transfer-Encoding: identity", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n"
    check_refused(server, data, 400, 501)
    data = head("POST", "/echo", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n"
    check_refused(server, data, 400, 501)


def test_A5_chunked_with_http_1_0(server: Server) -> None:
    data = b"POST /echo HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    check_refused(server, data, 400)


@pytest.mark.parametrize("body", [b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n"])
def test_A6_gzip_before_chunked(server: Server, body: bytes) -> None:
    check_refused(server, head("POST", "/echo", "Transfer-Encoding: gzip, chunked") + body, 400, 501)


BAD_CHUNKS = {
    "hexadecimal prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "overflow": b"f" * 17 + b"\r\nabc\r\n0\r\n\r\n",
    "line feed only": b'c\n{"name":"a"}\n0\n\n',
    "no line end": b'c\r\n{"name":"a"}0\r\n\r\n',
    "long extension": b"c;" + b"x" * 20_000 + b'\r\n{"name":"a"}\r\n0\r\n\r\n',
    "negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "space": b"3 \r\nabc\r\n0\r\n\r\n",
    "empty": b"\r\nabc\r\n0\r\n\r\n",
    "cut": b'c\r\n{"name":',
    "no end": b'c\r\n{"name":"a"}\r\n',
    "half an end": b'c\r\n{"name":"a"}\r\n0\r\n',
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
@pytest.mark.parametrize("pieces", [1, 2])
def test_A7_bad_chunks_leave_no_row(server: Server, name: str, pieces: int) -> None:
    before = server.probe()["rows"]
    start = head("POST", "/api/items", "Content-Type: application/json", "Transfer-Encoding: chunked")
    body = BAD_CHUNKS[name]
    with server.logging() as records:
        data = [start + body] if pieces == 1 else [start, body]
        answers = server.raw(data, half_close=True, pause=0.05 if pieces == 2 else 0)
    assert [a.status for a in answers] in ([], [400]), answers
    assert server.probe()["rows"] == before
    assert len(warnings(records)) <= 1


def test_A7_endless_trailers_and_extensions_are_cut(server: Server) -> None:
    def endless(piece: bytes) -> list[bytes]:
        start = head("POST", "/ignore", "Transfer-Encoding: chunked")
        return [start, b"3\r\nabc\r\n0\r\n", *[piece] * 3000]

    before = server.probe()["rss"]
    for piece in (b"x: " + b"y" * 1000 + b"\r\n", b"y" * 1000):
        answers = server.raw(endless(piece))
        assert all(a.status in (200, 400) for a in answers)
    assert server.probe()["rss"] - before < 10e6
    start = head("POST", "/echo", "Transfer-Encoding: chunked")
    answers = server.raw([start, b"3;", *[b"y" * 1000] * 3000])
    assert [a.status for a in answers] in ([], [400])


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_A8_truncated_bodies_leave_no_row_and_no_file(server: Server, pause: float) -> None:
    before = server.probe()
    start = head("POST", "/api/items", "Content-Type: application/json", "Content-Length: 12")
    part = b'--b\r\ncontent-disposition: form-data; name="file"; filename="cut.txt"\r\n\r\nab'
    kind = "Content-Type: multipart/form-data; boundary=b"
    upload = head("POST", "/upload", kind, f"Content-Length: {len(part) + 10}")
    for data in ([start, b'{"n'], [start], [upload, part], [upload]):
        with server.logging() as records:
            answers = server.raw(data, half_close=True, pause=pause)
        assert all(400 <= a.status < 500 for a in answers), answers
        assert len(warnings(records)) <= 1
    after = server.probe()
    assert (after["rows"], after["stored"]) == (before["rows"], before["stored"])


def test_A8_a_whole_body_is_served_although_the_client_has_closed_its_side(server: Server) -> None:
    start = head("POST", "/slow-then-read", "Content-Length: 5")
    answers = server.raw([start, b"hello"], half_close=True, pause=0.05)
    assert [(a.status, a.body) for a in answers] == [(200, b"5")]


def test_A8_a_whole_body_is_not_spoiled_by_what_follows(server: Server) -> None:
    start = head("POST", "/slow-then-read", "Content-Length: 5")
    answers = server.raw([start, b"hello", b"\0\0 garbage\r\n\r\n"], pause=0.05)
    assert [(a.status, a.body) for a in answers][:1] == [(200, b"5")]
    assert [a.status for a in answers[1:]] == [400]


def test_A9_no_host(server: Server) -> None:
    check_refused(server, head("GET", "/echo", host=False), 400)


def test_A10_two_hosts(server: Server) -> None:
    check_refused(server, head("GET", "/echo", "Host: localhost"), 400)
    check_refused(server, head("GET", "/echo", "Host: evil.example"), 400)


HOSTS = [
    "a@evil.com", "a b", "a/?x=", "a:99999", "[::1", "a,b", "a" * 300, "", "a:", "a:x", "[::1]x", "a?x", "a#x", "a\\b",
    "-a", "a..b", ".a", "%61", "a\xe9", "a:80:80", "[1.2.3.4]", "[::1]:x", "a'b", "a;b", "a\t",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_A11_malformed_hosts(server: Server, host: str) -> None:
    check_refused(server, head("GET", "/echo", b"Host: " + host.encode("latin-1"), host=False), 400)


def test_A11_the_path_of_the_url_is_the_one_routed(server: Server) -> None:
    for target in ("/echo", "/echo/a%3Fb", "/echo/a%23b", "/echo/x@y", "/echo/a%252e"):
        found = server.get(target).json()
        assert found["url"].startswith("http://localhost" + target.replace("%3f", "%3F")), found


def test_A12_the_authority_of_the_target_is_checked(guarded: Server) -> None:
    for target, host, expected in (
        ("http://evil.example/echo", "good.example", 400),
        ("http://good.example/echo", "evil.example", 400),
        ("http://a@good.example/echo", "good.example", 400),
        ("http:///echo", "good.example", 400),
        ("ftp://good.example/echo", "good.example", 400),
        ("http://good.example/echo", "good.example", 200),
    ):
        assert guarded.get(target, host=host).status == expected, (target, host)


@pytest.mark.parametrize(
    "target", ["@evil.com", "*", "echo", "#", "/echo#x", "http:", "http://", "javascript:x", "?x", "\\echo"]
)
def test_A13_targets_that_are_no_path(server: Server, target: str) -> None:
    check_refused(server, head("GET", target), 400)


def test_A13_empty_target(server: Server) -> None:
    check_refused(server, b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)
    check_refused(server, b"GET HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)
    check_refused(server, b"GET /echo\r\n\r\n", 400, 505)
    check_refused(server, b"GET /echo HTTP/2.0\r\nHost: localhost\r\n\r\n", 400, 505)
    check_refused(server, b"GET /echo HTTP/1.1x\r\nHost: localhost\r\n\r\n", 400)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /echo HTTP/1.1\nHost: localhost\n\n",
        b"GET /echo HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
        b"GET /echo HTTP/1.1\nHost: localhost\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\n",
    ],
)
def test_A14_bare_line_feeds(server: Server, data: bytes) -> None:
    check_refused(server, data, 400)


CHUNKED = head("POST", "/echo", "Transfer-Encoding: chunked", "Connection: close")
#: What each leniency flag of llhttp would let pass; httptools can set them, and nothing here does.
LENIENT = {
    "headers": head("GET", "/echo", "X: a\x01b", "Connection: close"),
    "chunked length": head("POST", "/echo", "Content-Length: 3", "Transfer-Encoding: chunked")
    + b"3\r\nabc\r\n0\r\n\r\n",
    "transfer encoding": head("POST", "/echo", "Transfer-Encoding: chunked, x") + b"3\r\nabc\r\n0\r\n\r\n",
    "version": b"GET /echo HTTP/1.9\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "optional lf after cr": b"GET /echo HTTP/1.1\r\nHost: localhost\rX: a\r\n\r\n",
    "optional cr before lf": b"GET /echo HTTP/1.1\r\nHost: localhost\nX: a\r\n\r\n",
    "optional crlf after chunk": CHUNKED + b"3\r\nabc0\r\n\r\n",
    "optional cr before lf in chunks": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "spaces after chunk size": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "header value relaxed": head("GET", "/echo", "X: a\x7fb", "Connection: close"),
}


@pytest.mark.parametrize("flag", LENIENT)
def test_A14_leniency_flags_of_the_parser_are_off(server: Server, flag: str) -> None:
    answers = server.raw(LENIENT[flag], half_close=True)
    assert [a.status for a in answers] in ([400], [505], []), answers


def test_A14_nothing_is_served_after_the_end_of_a_connection(server: Server) -> None:
    """The flags `keep alive` and `data after close` of llhttp would serve the second request."""
    second = head("GET", "/echo?second", "Connection: close")
    for first in (head("GET", "/echo?first", "Connection: close"), b"GET /echo HTTP/1.0\r\nHost: localhost\r\n\r\n"):
        assert [a.status for a in server.raw(first + second)] == [200]


METHODS = ["TRACE", "get", "G@T", "FOO", "PROPFIND", "SOURCE", "PRI", "GETX", "M-SEARCH", "QUERY", "G" * 5000]


@pytest.mark.parametrize(("method", "target"), [("CONNECT", "a:80"), *[(m, "/echo") for m in METHODS]])
def test_A15_strange_methods(server: Server, method: str, target: str) -> None:
    check_refused(server, head(method, target), 400, 405, 501)


def test_A15_trace_is_answered_with_allow(server: Server) -> None:
    (answer,) = server.raw(head("TRACE", "/echo"))
    assert answer.status == 405
    assert "GET" in (answer.header("allow") or "")


def test_A16_names_with_an_underscore_are_dropped(server: Server, guarded: Server) -> None:
    for lines in (
        [("X-Forwarded-For", "1.1.1.1"), ("X_Forwarded_For", "6.6.6.6")],
        [("X_Forwarded_For", "6.6.6.6"), ("X-Forwarded-For", "1.1.1.1")],
    ):
        found = server.send("GET", "/echo", lines).json()
        assert [v for n, v in found["headers"] if n.startswith("x")] == ["1.1.1.1"]
        assert found["client"] == "127.0.0.1"
        assert guarded.send("GET", "/echo", lines, host="good.example").json()["client"] == "1.1.1.1"


def test_A17_sizes(server: Server) -> None:
    check_refused(server, head("GET", "/echo?" + "a" * 70_000), 414)
    check_refused(server, head("GET", "/echo?" + "a" * 8_300), 414)
    check_refused(server, head("GET", "/" + "a" * 700_000), 414)
    for size in (70_000, 300_000, 600_000, 5_000_000):
        check_refused(server, head("GET", "/echo", "X: " + "a" * size), 431)
    check_refused(server, head("GET", "/echo", *[f"X{i}: a" for i in range(101)]), 431)
    check_refused(server, head("GET", "/echo", *[f"X{i}: a" for i in range(50_000)]), 431)
    check_refused(server, head("GET", "/echo", "X" * 300_000 + ": a"), 431)


def test_A17_sizes_sent_slowly(server: Server) -> None:
    pieces = [b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX: ", *[b"a" * 1000] * 600]
    with server.connect() as sock:
        sent = 0
        try:
            for piece in pieces:
                sock.sendall(piece)
                sent += len(piece)
                time.sleep(0.0005)
        except OSError:
            pass
        answers = parse(sock.recv(1 << 16))
    assert [a.status for a in answers] == [431]


def test_A17_just_within(server: Server) -> None:
    assert server.get("/echo?" + "a" * 8_000).status == 200
    assert server.get("/echo", ("X", "a" * 60_000)).status == 200
    assert server.get("/echo", *[(f"X{i}", "a") for i in range(95)]).status == 200


def test_A18_many_fields_of_one_name(server: Server) -> None:
    check_refused(server, head("GET", "/echo", *["X: a"] * 101), 431)
    server.check_linear(lambda n: server.raw(head("GET", "/echo", *["X: a"] * n)), 600)


@pytest.mark.parametrize("kind", ["value", "name", "cookie", "reason", "type", "location"])
def test_A19_A20_what_a_handler_may_not_send(server: Server, kind: str) -> None:
    with server.logging() as records:
        answer = server.get(f"/fail/header?kind={kind}")
    if kind == "location":  # a line end in an address has a spelling, and this is it
        assert (answer.status, answer.header("location")) == (303, "/a%0D%0AX-Injected:%201")
    else:
        assert answer.status == 500
        assert len(warnings(records)) == 1
    assert answer.header("x-injected") is None
    assert answer.header("set-cookie") is None


def test_A21_pipelined_requests_keep_their_order_and_little_memory(server: Server) -> None:
    count = 10_000
    before = server.probe()["rss"]
    requests = [b"GET /slow?seconds=0.3 HTTP/1.1\r\nHost: localhost\r\n\r\n"]
    requests += [b"GET /echo?n=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(count - 2)]
    requests += [b"GET /echo?n=last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"]
    answers = parse(_pipeline(server, b"".join(requests)))
    assert [a.status for a in answers] == [200] * count
    assert [a.json()["query"]["n"] for a in answers[1:-1]] == [str(n) for n in range(count - 2)]
    assert server.probe()["rss"] - before < 20e6


def test_A21_a_client_that_sends_and_does_not_read(server: Server) -> None:
    before = server.probe()["rss"]
    with server.connect() as sock:
        sock.setblocking(False)
        data = head("GET", "/blob") * 5000
        deadline = time.monotonic() + 1
        while data and time.monotonic() < deadline:
            try:
                data = data[sock.send(data) :]
            except BlockingIOError:
                time.sleep(0.01)
        assert server.probe()["rss"] - before < 30e6
    assert server.probe()["rss"] - before < 30e6


def test_A21_pipelined_requests_in_threads(server: Server) -> None:
    requests = [b"GET /slow?seconds=0.01 HTTP/1.1\r\nHost: localhost\r\n\r\n"] * 99
    requests += [b"GET /slow?seconds=0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"]
    assert [a.status for a in parse(_pipeline(server, b"".join(requests)))] == [200] * 100


def _pipeline(server: Server, data: bytes) -> bytes:
    """Send and receive at the same time, so that neither side waits for the other for ever."""
    import threading

    with server.connect(30) as sock:
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        received: list[bytes] = []
        while piece := sock.recv(1 << 20):
            received.append(piece)
        sender.join()
    return b"".join(received)


def test_A21_a_body_that_arrives_while_another_request_is_answered(server: Server) -> None:
    first = b"GET /slow?seconds=0.2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    second = head("POST", "/slow-then-read", "Content-Length: 600000", "Connection: close")
    for pause in (0.0, 0.05, 0.3):
        pieces = [first + second + b"x" * 100_000, b"x" * 400_000, b"x" * 100_000]
        answers = server.raw(pieces, pause=pause)
        assert [(a.status, a.body) for a in answers] == [(200, b"slow"), (200, b"600000")]


def test_A21_a_body_cut_while_another_request_is_answered(server: Server) -> None:
    before = server.probe()["calls"].get("read", 0)
    first = head("POST", "/slow-then-read", "Content-Length: 1") + b"x"
    second = head("POST", "/slow-then-read", "Content-Length: 10")
    answers = server.raw([first, second + b"x"], half_close=True, pause=0.02)
    assert [a.status for a in answers] == [200, 400]
    assert server.probe()["calls"].get("read", 0) == before + 1


@pytest.mark.parametrize("size", [3_000_000, 3_000_000_000])
def test_A23_expectation_of_too_large_a_body(server: Server, size: int) -> None:
    lines = ("Content-Type: application/json", f"Content-Length: {size}", "Expect: 100-continue")
    check_refused(server, head("POST", "/api/items", *lines), 413)


def test_A23_expectation_is_met_when_the_body_is_wanted(server: Server) -> None:
    lines = ("Content-Type: application/json", "Content-Length: 12", "Expect: 100-continue", "Connection: close")
    answers = server.raw([head("POST", "/api/items", *lines), ITEM], pause=0.1)
    assert [a.status for a in answers] == [100, 201]
    answers = server.raw([head("POST", "/ignore", *lines)], pause=0.1)
    assert [a.status for a in answers] == [200]
    lines = ("Content-Length: 12", "Expect: 100-continue", "Connection: close")
    answers = server.raw([head("POST", "/api/items", *lines)], pause=0.1)
    assert [a.status for a in answers] == [415]
    lines = ("Content-Length: 12", "Expect: something-else", "Connection: close")
    check_refused(server, head("POST", "/api/items", *lines), 417, 415)
