"""The access log's formats, what it leaves out, and that it keeps no request alive."""

from __future__ import annotations

import datetime as dt
import gc
import json
import re
import sys
import time
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet._utils import escape_control
from quintet.http.connection import Connection
from quintet.http.forwarded import ProxyPolicy
from quintet.http.limits import Limits
from quintet.http.request import Request
from quintet.observability import access as module
from quintet.observability.access import (
    Access,
    build_access_log,
    combined_line,
    common_line,
    dropped_elsewhere,
    json_line,
    text_line,
)
from quintet.observability.writer import ImmediateWriter

ATTACK = "/a\nFAKE 200 \x1b[31m\u2028\u2029\r\x85\x0b\x0c"
SECRETS = b"password=hunter2 postgresql://u:hunter2@h Authorization: Bearer hunter2hunter2"
FORMATS = [json_line, text_line, common_line, combined_line]
#: What the tools that read Apache's logs look for.
COMBINED = re.compile(
    r"(?P<host>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<size>\d+|-)'
    r'(?: "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)")?\n'
)


class Lines:
    """An output that keeps lines."""

    chunk = 4096
    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, data: bytes) -> None:
        self.text += data.decode()

    def refresh(self, *, force: bool = False) -> None: ...


def entry(**changes: Any) -> Access:
    values: dict[str, Any] = {
        "now": 1700000000.25, "client": "10.0.0.1", "method": "GET", "path": "/a", "query": b"", "status": 200,
        "size": 12, "seconds": 0.00123, "number": 10, "fields": {},
    }  # fmt: skip
    return Access(**{**values, **changes})


def request(path: str = "/a", *fields: tuple[bytes, bytes], proxies: ProxyPolicy | None = None) -> Request:
    connection = Connection("native", "10.0.0.1", "http", Limits(), proxies)
    return Request("GET", path, b"", list(fields), dict(fields), b"", connection)


def test_the_json_line_tells_the_request() -> None:
    line = json.loads(json_line(entry(fields={b"user-agent": b"curl/8 (x)", b"referer": b"https://a.example/b"})))
    assert line.pop("request_id").endswith("-a")
    assert line == {
        "time": "2023-11-14T22:13:20.250Z", "level": "info", "logger": "quintet.access", "client": "10.0.0.1",
        "method": "GET", "target": "/a", "status": 200, "size": 12, "ms": 1.23, "user_agent": "curl/8 (x)",
        "referrer": "https://a.example/b",
    }  # fmt: skip


def test_the_text_line_tells_the_request() -> None:
    line = text_line(entry(query=b"x=1", number=0))
    assert line[8:] == " 10.0.0.1 GET /a?x=1 200 12 B 1.23 ms\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no tzset")
def test_the_apache_lines_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        module._apache_second._known = (-1, "")
        common = '10.0.0.1 - - [15/Nov/2023:03:43:18 +0530] "GET /a%20b?x=1 HTTP/1.0" 200 12'
        fields = {b"referer": b"https://a.example/", b"user-agent": b'x "quoted" \\ \xe9'}
        one = entry(path="/a b", query=b"x=1", seconds=1.5, version="1.0", fields=fields)
        assert common_line(one) == common + "\n"
        assert combined_line(one) == rf'{common} "https://a.example/" "x \"quoted\" \\ \xe9"' + "\n"
        assert combined_line(entry(client="", size=0)).endswith('"GET /a HTTP/1.1" 200 - "-" "-"\n')
    finally:
        monkeypatch.undo()
        time.tzset()
        module._apache_second._known = (-1, "")


HEADERS = st.dictionaries(st.sampled_from([b"user-agent", b"referer"]), st.binary())


@given(st.text(), st.text(), st.text(), st.binary(), HEADERS)
def test_any_bytes_make_one_line_that_can_be_read(
    client: str, method: str, path: str, query: bytes, fields: dict[bytes, bytes]
) -> None:
    one = entry(
        client=client.replace(" ", ""),
        method=method,
        path=path.encode(errors="replace").decode(),
        query=query,
        fields=fields,
    )
    for make in FORMATS:
        line = make(one)
        assert line.count("\n") == 1
        assert line.endswith("\n")
        assert len(line.splitlines()) == 1
        assert escape_control(line[:-1]) == line[:-1]
        line.encode()
    json.loads(json_line(one))
    found = COMBINED.fullmatch(combined_line(one))
    assert found is not None
    assert found["agent"]
    assert COMBINED.fullmatch(common_line(one))
    dt.datetime.strptime(found["time"], "%d/%b/%Y:%H:%M:%S %z")


@pytest.mark.parametrize("make", FORMATS)
def test_h1_h2_every_format_escapes_and_masks(make: Any) -> None:
    line = make(
        entry(
            path=ATTACK,
            query=b"token=hunter2&a=1",
            method='G"E\\T',
            fields={b"user-agent": ATTACK.encode() + SECRETS, b"referer": b"https://h/?password=hunter2"},
        )
    )
    assert line[:-1].isprintable()
    assert "hunter2" not in line
    assert "a=1" in line


@pytest.mark.parametrize("make", FORMATS)
def test_long_text_is_shortened(make: Any) -> None:
    long = entry(path="/" + "a" * 10**6, query=b"q" * 10**6, fields={b"user-agent": b"b" * 10**6})
    assert len(make(long)) < 3000


def logged(*calls: tuple[Request, int], **options: Any) -> list[str]:
    output = Lines()
    log = build_access_log(ImmediateWriter(output), **options)
    for who, status in calls:
        log(who, status, 1, 0.1)
    return output.text.splitlines()


def test_a_sample_keeps_every_error_of_the_server() -> None:
    numbers = iter([0.5, 0.005, 0.5])
    lines = logged(
        (request("/1"), 200), (request("/2"), 200), (request("/3"), 404), (request("/4"), 500), (request("/5"), 503),
        format="text", sample=0.01, rng=lambda: next(numbers),
    )  # fmt: skip
    assert [line.split()[3] for line in lines] == ["/2", "/4", "/5"]


def test_nothing_is_sampled_away_by_default_and_everything_by_zero() -> None:
    calls = [(request(), 200)] * 100
    assert len(logged(*calls)) == 100
    assert logged(*calls, sample=0.0) == []


def test_health_checks_are_left_out_while_all_is_well() -> None:
    calls = [(request("/readyz"), 200), (request("/readyz"), 503), (request("/a"), 200)]
    lines = logged(*calls, format="text", leave_out=["/readyz"])
    assert [line.split()[3:5] for line in lines] == [["/readyz", "503"], ["/a", "200"]]


def test_the_client_is_known_through_trusted_proxies() -> None:
    who = request("/a", (b"x-forwarded-for", b"203.0.113.9"), proxies=ProxyPolicy(("10.0.0.1",)))
    assert json.loads(logged((who, 200))[0])["client"] == "203.0.113.9"


def test_a_request_that_waits_to_be_logged_is_not_kept_alive() -> None:
    class Body(bytes):
        pass

    output = Lines()
    writer = ImmediateWriter(output)
    writer.is_idle = False  # nothing is written for now
    log = build_access_log(writer)
    connection = Connection("native", "10.0.0.1", "http", Limits())
    body, state = Body(b"x" * 1000), type("Owner", (), {})()
    who = Request("POST", "/a", b"", [], {}, body, connection)
    who.state.owner = state
    gone = weakref.ref(state)
    log(who, 200, 1, 0.1)
    del who, body, state
    gc.collect()
    assert gone() is None
    assert len(writer.queue) == 1


def test_when_the_output_lags_long_fields_are_not_kept() -> None:
    output = Lines()
    writer = ImmediateWriter(output)
    writer.is_idle = False
    log = build_access_log(writer)
    for _ in range(1000):
        log(request("/a" * 5000, (b"user-agent", b"x" * 60_000), (b"cookie", b"c" * 60_000)), 200, 1, 0.1)
    assert len(writer.queue) == 1000
    late: Any = writer.queue[-1]
    assert sum(map(len, late[10].values())) <= 300
    assert len(late[4]) <= 2001


def test_bytes_that_are_no_request_have_no_method_and_no_target() -> None:
    nothing = entry(method="-", path="/", status=400)
    assert " - - 400 12 B " in text_line(nothing)
    assert '] "-" 400 12' in common_line(nothing)
    assert json.loads(json_line(nothing))["target"] == "-"


def test_lines_that_an_access_log_has_lost_are_told_in_the_other_log(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Lines):
        full = True

        def write(self, data: bytes) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            super().write(data)

    output = Full()
    writer = ImmediateWriter(output)
    writer.notice = dropped_elsewhere
    log = build_access_log(writer, format="combined")
    for _ in range(3):
        log(request(), 200, 1, 0.1)
    assert caplog.messages == []
    output.full = False
    log(request("/after"), 200, 1, 0.1)
    assert caplog.messages == ["3 lines of the access log were dropped: its output did not take them"]
    (line,) = output.text.splitlines()
    assert "/after" in line
