"""Rows G1 to G13 of the security table: hosts, proxies, CORS, headers, failures."""

# ruff: noqa: E501 - tables of cases
from __future__ import annotations

import pytest

from quintet.errors import ConfigurationError
from quintet.middleware.cors import cors
from tests.integration.security.wire import INTERNALS, Answer, Server, head, parse, warnings

GOOD = "good.example"
SAFE = {"x-content-type-options": "nosniff", "referrer-policy": "strict-origin-when-cross-origin"}


def test_G1_hosts_that_are_not_allowed(guarded: Server) -> None:
    for host in ("evil.com", "good.example.evil.com", "evilgood.example", "xsub.example", "", "localhost", "127.0.0.1"):
        answer = guarded.get("/echo", host=host)
        assert answer.status == 400, host
        assert "good.example" not in answer.body.decode()
    for host in ("good.example", "GOOD.example:8000", "good.example.", "sub.example", "a.b.sub.example"):
        assert guarded.get("/echo", host=host).status == 200, host


FORGED = [
    ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.com"), ("X-Real-IP", "6.6.6.6"),
    ("Forwarded", "for=6.6.6.6;proto=https;host=evil.com"), ("X-Forwarded-Port", "1"), ("X-Forwarded-Prefix", "/x"),
    ("X-Original-URL", "/probe"), ("X-Rewrite-URL", "/probe"), ("X-HTTP-Method-Override", "DELETE"), ("CF-Connecting-IP", "6.6.6.6"),
]  # fmt: skip


def test_G2_forwarding_headers_of_anybody_are_ignored(server: Server) -> None:
    found = server.get("/echo?_method=DELETE", *FORGED).json()
    assert (found["client"], found["scheme"], found["host"]) == ("127.0.0.1", "http", "localhost")
    assert (found["method"], found["path"], found["url"]) == ("GET", "/echo", "http://localhost/echo?_method=DELETE")


def test_G3_the_right_most_address_that_is_not_trusted(guarded: Server) -> None:
    for value, client in (
        ("6.6.6.6, 1.1.1.1", "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1, 127.0.0.1", "1.1.1.1"),
        ("1.1.1.1", "1.1.1.1"),
        ("garbage", "127.0.0.1"),
        ("6.6.6.6, garbage", "127.0.0.1"),
        ("", "127.0.0.1"),
    ):
        assert guarded.get("/echo", ("X-Forwarded-For", value), host=GOOD).json()["client"] == client, value
    lines = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "1.1.1.1")]
    assert guarded.get("/echo", *lines, host=GOOD).json()["client"] == "1.1.1.1"
    assert guarded.get("/echo", ("Forwarded", "for=6.6.6.6"), host=GOOD).json()["client"] == "127.0.0.1"


def test_G4_the_scheme_is_read_exactly(guarded: Server) -> None:
    for value, scheme in (("https", "https"), ("http", "http"), ("https, http", "http"), ("http, https", "http"),
                          ("on", "http"), ("https ,", "http"), ("https;", "http"), ("\xa0https", "http")):  # fmt: skip
        lines = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", value)]
        assert guarded.get("/echo", *lines, host=GOOD).json()["scheme"] == scheme, value


def test_G4_a_forwarded_host_is_held_against_the_list(guarded: Server) -> None:
    lines = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Host", "evil.com")]
    answer = guarded.get("/echo", *lines, host=GOOD)
    assert answer.status == 400 or "evil.com" not in (answer.json()["host"], answer.json()["url"])


def granted(answer: Answer) -> dict[str, str]:
    return {n: v for n, v in answer.lines if n.startswith("access-control-")}


def test_G5_no_cors_by_default(server: Server) -> None:
    for origin in ("https://evil.com", "null", "http://localhost"):
        assert granted(server.get("/echo", ("Origin", origin))) == {}
        assert (
            granted(server.send("OPTIONS", "/echo", [("Origin", origin), ("Access-Control-Request-Method", "PUT")]))
            == {}
        )


ORIGINS = ["https://good.example.evil", "https://evilgood.example", "null", "https://good.example:8443", "http://good.example",
           "HTTPS://GOOD.EXAMPLE", "https://good.example/", "https://trusted.example", "https://.trusted.example", "", "*",
           "https://eviltrusted.example", "https://a.trusted.example.evil", "https://a/.trusted.example", "https://good.example, https://evil",
           "https://a.trusted.example:1", "https://a@b.trusted.example", "https://good.example\x00", "https://" + "a" * 60_000 + ".trusted.example"]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
def test_G6_origins_that_are_not_on_the_list(guarded: Server, origin: str) -> None:
    answers = [guarded.get("/echo", ("Origin", origin), host=GOOD)]
    answers += [
        guarded.send("OPTIONS", "/echo", [("Origin", origin), ("Access-Control-Request-Method", "PUT")], host=GOOD)
    ]
    for answer in answers:
        assert granted(answer) == {}
        assert answer.status in (200, 204, 400, 431)
        if answer.status in (200, 204):
            assert "origin" in (answer.header("vary") or "")


@pytest.mark.parametrize("origin", ["https://good.example", "https://a.trusted.example", "https://a.b.trusted.example"])
def test_G6_origins_on_the_list(guarded: Server, origin: str) -> None:
    found = granted(guarded.get("/echo", ("Origin", origin), host=GOOD))
    assert found == {"access-control-allow-origin": origin, "access-control-allow-credentials": "true"}
    assert granted(guarded.get("/nothing", ("Origin", origin), host=GOOD))["access-control-allow-origin"] == origin
    lines = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "X-Token"),
    ]
    found = granted(guarded.send("OPTIONS", "/echo", lines, host=GOOD))
    assert found["access-control-allow-methods"] == "GET, PUT"
    assert found["access-control-allow-headers"] == "x-token"
    for wrong in (
        [("Origin", origin), ("Access-Control-Request-Method", "DELETE")],
        [("Origin", origin), ("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "X-Other")],
    ):
        assert granted(guarded.send("OPTIONS", "/echo", wrong, host=GOOD)) == {}


@pytest.mark.parametrize(
    "options",
    [
        {"origins": ["*"], "credentials": True}, {"origins": ["*", "https://a.example"]}, {"origins": ["https://a.example/"]},
        {"origins": ["a.example"]}, {"origins": ["null"]}, {"origins": ["https://*"]}, {"origins": ["https://a.*"]},
        {"origins": ["https://*.*.a"]}, {"origins": [".*"]}, {"origins": "https://a.example"}, {"origins": ["https://A.example"]},
        {"origins": ["https://a.example"], "methods": ["G T"]}, {"origins": ["https://a.example"], "headers": ["x: y"]},
    ],
)  # fmt: skip
def test_G6_wrong_configuration(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        cors(**options)  # type: ignore[arg-type]


def test_G7_private_networks_are_not_granted(guarded: Server) -> None:
    lines = [
        ("Origin", "https://good.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Private-Network", "true"),
    ]
    assert "access-control-allow-private-network" not in granted(guarded.send("OPTIONS", "/echo", lines, host=GOOD))
    assert guarded.get("/api/../private", ("Origin", "https://good.example"), host=GOOD).status == 404


PAGES = [("/", 200), ("/echo", 200), ("/go", 303), ("/items/", 308), ("/nothing", 404), ("/items/x", 404), ("/fail/handler", 500),
         ("/static/page.txt", 200), ("/static/page.html", 200), ("/static/none", 404), ("/stream", 200), ("/render?text=a", 200),
         ("/fail/exit", 500), ("/docs", 200), ("/openapi.json", 200), ("/convert/str/%ff", 400)]  # fmt: skip


@pytest.mark.parametrize(("path", "status"), PAGES)
@pytest.mark.parametrize("accept", ["*/*", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"])
def test_G8_security_headers(server: Server, path: str, status: int, accept: str) -> None:
    answer = server.get(path, ("Accept", accept))
    assert answer.status == status
    check_headers(answer)


def check_headers(answer: Answer) -> None:
    for name, value in SAFE.items():
        assert answer.header(name) == value, (name, answer)
    if (answer.header("content-type") or "").startswith("text/html"):
        assert "frame-ancestors 'none'" in (answer.header("content-security-policy") or "")
        assert answer.header("x-frame-options") == "DENY"
        assert answer.header("cross-origin-opener-policy") == "same-origin"
        assert "unsafe" not in (answer.header("content-security-policy") or "")


def test_G8_security_headers_of_answers_without_content(server: Server) -> None:
    tag = server.get("/static/page.txt").header("etag") or ""
    check_headers(server.get("/static/page.txt", ("If-None-Match", tag)))
    check_headers(server.send("HEAD", "/"))
    check_headers(server.send("OPTIONS", "/items"))
    check_headers(server.send("POST", "/items"))
    check_headers(server.get("/static/page.txt", ("Range", "bytes=0-1")))
    check_headers(server.get("/static/page.txt", ("Range", "bytes=999-")))
    for data in (head("FOO"), b"garbage\r\n\r\n", head("GET", "/echo", "X: " + "a" * 80_000), head("GET", host=False)):
        (answer,) = server.raw(data)
        check_headers(answer)


def test_G10_nothing_names_the_software(server: Server) -> None:
    for path in ("/", "/nothing", "/fail/handler", "/static/page.txt"):
        for accept in ("*/*", "text/html", "text/plain", "application/xml"):
            answer = server.get(path, ("Accept", accept))
            names = {n for n, _ in answer.lines}
            assert not names & {"server", "x-powered-by", "via"}
            assert b"uintet" not in answer.body
            assert b"ython" not in answer.body


def test_G11_debug_and_documentation(server: Server, guarded: Server) -> None:
    for path in ("/docs", "/openapi.json", "/metrics", "/__debugger__", "/_quintet", "/__quintet__/debugger", "/debug", "/console",
                 "/?__debugger__=yes&cmd=resource&f=style.css", "/.well-known/debug"):  # fmt: skip
        assert guarded.get(path, host=GOOD).status == 404, path
    for path in ("/metrics", "/__debugger__", "/_quintet", "/__quintet__/debugger", "/debug", "/console"):
        assert server.get(path).status == 404
        assert server.post(path, b"{}").status == 404


FAILURES = ["handler", "thread", "template", "missing-template", "middleware", "serializer", "recursion", "exit", "exit-later",
            "exit-thread", "interrupt", "interrupt-later", "cancelled", "group", "generator-exit", "stop", "error-handler"]  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize(
    "accept", ["application/json", "text/html", "text/plain", "application/xml", "application/msgpack"]
)
def test_G12_G13_failures_say_nothing(server: Server, name: str, accept: str) -> None:
    with server.logging() as records:
        answer = server.get(f"/fail/{name}", ("Accept", accept))
    if name == "serializer" and accept in ("text/html", "text/plain", "application/xml"):
        assert answer.status == 406  # it is never called
        return
    assert answer.status == 500
    assert len(warnings(records)) == 1, warnings(records)
    number = answer.header("x-request-id") or ""
    assert number
    if accept in ("application/json", "text/html"):
        assert number.encode() in answer.body


PAGE = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
OVER_HTTPS = (("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", "https"))
OVER_HTTP = (("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", "http"))


def test_G9_pages_over_http_are_redirected(secured: Server) -> None:
    for target in ("/echo", "/echo?a=b%20c&d", "/nothing/h%C3%A9", "/"):
        for fields in ((PAGE,), (PAGE, *OVER_HTTP), (("Sec-Fetch-Mode", "navigate"),)):
            answer = secured.get(target, *fields, host="good.example:8000")
            assert answer.status == 301
            assert answer.header("location") == f"https://good.example{target}"
    assert secured.send("HEAD", "/echo", [PAGE], host=GOOD).header("location") == "https://good.example/echo"


def test_G9_a_redirect_leads_to_no_other_host(secured: Server) -> None:
    assert secured.get("//evil.com/x", PAGE, host=GOOD).header("location") == "https://good.example//evil.com/x"
    assert secured.get("/echo", PAGE, host="evil.com").status == 400
    assert secured.get("/echo", PAGE, *OVER_HTTP, ("X-Forwarded-Host", "evil.com"), host=GOOD).header("location") == (
        "https://good.example/echo"
    )


def test_G9_requests_of_programs_over_http_are_refused(secured: Server) -> None:
    for fields in ((), (("Accept", "application/json"),), (("Accept", "*/*"),), OVER_HTTP,
                   (PAGE, ("Sec-Fetch-Mode", "cors"))):  # fmt: skip
        answer = secured.get("/echo", *fields, host=GOOD)
        assert answer.status == 403
        assert answer.header("location") is None
        assert b"HTTPS" in answer.body
    for method in ("POST", "PUT"):
        assert secured.send(method, "/echo", [PAGE], b"{}", host=GOOD).status == 403


def test_G9_the_scheme_is_what_a_trusted_proxy_says(secured: Server, server: Server) -> None:
    assert secured.get("/echo", *OVER_HTTPS, host=GOOD).json()["scheme"] == "https"
    assert secured.send("POST", "/echo", list(OVER_HTTPS), b"{}", host=GOOD).status == 200
    assert server.get("/echo", PAGE).status == 200  # without the setting nothing is redirected


def test_G9_challenges_of_certificate_authorities_are_answered(secured: Server) -> None:
    assert secured.get("/.well-known/acme-challenge/abc", host=GOOD).body == b"abc"
    assert secured.get("/.well-known/acme-challenge/../../echo", host=GOOD).status != 200


def test_G9_websockets_over_http_are_refused(secured: Server) -> None:
    fields = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
              ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")]  # fmt: skip
    raw = secured.exchange(
        b"GET /socket HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade\r\n"
        + b"".join(f"{n}: {v}\r\n".encode() for n, v in fields)
        + b"\r\n"
    )
    assert raw.startswith(b"HTTP/1.1 403 ")


def test_G12_a_stream_that_fails_after_its_first_byte_is_cut(server: Server) -> None:
    with server.logging() as records:
        raw = server.exchange(head("GET", "/fail/stream"))
    (answer,) = parse(raw)
    assert (answer.status, answer.body, answer.complete) == (200, b"the first part", False)
    assert not any(secret in raw for secret in INTERNALS)
    assert len(warnings(records)) == 1


def test_G13_requests_behind_a_failure_are_answered(server: Server) -> None:
    requests = b"".join(head("GET", f"/fail/{name}") for name in ("handler", "error-handler", "recursion", "thread"))
    answers = server.raw(requests + head("GET", "/echo", "Connection: close"))
    assert [a.status for a in answers] == [500, 500, 500, 500, 200]


def test_G13_many_failures_leave_nothing_behind(server: Server) -> None:
    for _ in range(20):
        server.get("/fail/handler")
    before = server.probe()
    for _ in range(100):
        for name in ("handler", "exit-later", "recursion", "cancelled", "stream"):
            server.exchange(head("GET", f"/fail/{name}", "Connection: close"))
    after = server.probe()
    assert after["descriptors"] <= before["descriptors"] + 2
    assert after["rss"] - before["rss"] < 20e6


def test_texts_in_errors_are_escaped(server: Server) -> None:
    text = "<script>alert(1)</script>"
    for path in (f"/{text}", "/fail/http", f"/fail/bad?text={text}", "/" + "a" * 2000, "/\u202etxt", f"/items/{text}"):
        for accept in ("text/html", "application/xml"):
            assert b"<script" not in server.get(path.encode(), ("Accept", accept)).body
