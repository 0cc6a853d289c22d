"""One list of behaviours on every server: the built-in one, RSGI, ASGI and WSGI, each started by its bare command."""

from __future__ import annotations

import concurrent.futures
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.integration.servers import COMMANDS, Answer, Server, read_until

APP = "tests.integration.conformance_app:app"

GUNICORN = ("gunicorn-sync", "gunicorn-threads", "gunicorn-preload")
WSGI = ("granian-wsgi", *GUNICORN, "wsgiref-validate")
LOSSY = ("granian-rsgi", "granian-wsgi", "wsgiref-validate")

#: What a server makes impossible: (a part of the test's name, servers, reason). Each is checked to be still so.
DIFFERENCES: list[tuple[str, tuple[str, ...], str]] = [
    (
        "test_broken_escapes_are_refused",
        LOSSY,
        "the server hands over the decoded path alone, in which they look right",
    ),
    (
        "test_an_absolute_target_is_checked_too",
        ("uvicorn-httptools", "granian-asgi", "granian-wsgi", "wsgiref-validate"),
        "the server drops the authority of the target; the Host that it hands over is checked",
    ),
    ("test_a_strange_method_never_reaches_a_handler[hypercorn-get]", ("hypercorn",), "it writes methods in capitals"),
    (
        "test_a_stream_that_fails_does_not_look_complete",
        ("granian-rsgi",),
        "the server ends the body in good order when the app fails; a declared length is the only remedy",
    ),
    ("test_a_slow_handler_is_cancelled_when_its_client_goes", WSGI, "WSGI does not tell that a client has gone"),
    ("test_a_body_in_chunks_arrives", ("granian-wsgi", "wsgiref-validate"), "411: where it ends cannot be trusted"),
    (
        "test_a_chunked_body_beyond_the_limit",
        ("granian-wsgi", "wsgiref-validate"),
        "411: where it ends cannot be trusted",
    ),
    ("test_a_connection_is_kept", ("gunicorn-sync", "wsgiref-validate"), "the server closes after each answer"),
    ("test_percent_encoding_and_dots[wsgiref-validate-//hello", ("wsgiref-validate",), "it tidies leading slashes"),
    (
        "test_a_target_that_is_no_path_is_refused",
        ("wsgiref-validate",),
        "the validator stops such an environ with a 500",
    ),
    ("test_none_is_204_without_content", ("wsgiref-validate",), "it adds Content-Length: 0"),
    ("test_continue_is_sent_to_who_expects_it", ("wsgiref-validate",), "it speaks HTTP/1.0"),
]


@pytest.fixture(scope="session", params=COMMANDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(request.param, APP, tmp_path_factory.mktemp("servers") / f"{request.param}.log")
    server.wait()
    yield server
    log = server.stop()
    assert "the app has stopped" in log, f"{server.name} ended without the lifespan:\n{log}"


@pytest.fixture
def server(running: Server, request: pytest.FixtureRequest) -> Server:
    for name, servers, reason in DIFFERENCES:
        if request.node.name.startswith(name) and running.name in servers:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return running


def eventually(condition: Callable[[], Any], timeout: float = 5) -> Any:
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.02)


def notes(server: Server) -> list[str]:
    return server.client.get("/notes").json()


def answered(answer: Answer | None) -> Answer:
    assert answer is not None, "the connection was closed without an answer"
    return answer


# -- heads ----------------------------------------------------------------------------------------------------------


def test_json_has_its_headers_once(server: Server) -> None:
    answer = answered(server.target("/"))
    assert (answer.status, answer.body) == (200, b'{"hello":"world"}')
    assert answer.values("content-type") == ["application/json"]
    assert answer.values("content-length") == ["17"]
    assert answer.values("x-content-type-options") == ["nosniff"]
    assert len(answer.values("x-request-id")) == 1
    assert len(answer.values("date")) == 1
    assert answer.values("transfer-encoding") == []


def test_every_request_has_an_id_of_its_own(server: Server) -> None:
    ids = {server.client.get("/").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


def test_parameters_come_from_path_query_and_header(server: Server) -> None:
    got = server.client.get("/hello/Ada?times=3", headers={"x-tone": "loud"}).json()
    assert got == {"name": "Ada", "times": 3, "tone": "loud"}


def test_wrong_input_names_the_field(server: Server) -> None:
    answer = server.client.get("/hello/Ada?times=many")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["loc"] == ["query", "times"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/numbers/7", 200), ("/numbers/x", 404), ("/numbers/7/", 308), ("/nowhere", 404), ("/hello", 404)],
)
def test_paths_that_are_there_or_not(server: Server, path: str, status: int) -> None:
    assert server.client.get(path).status_code == status


@pytest.mark.parametrize(
    ("target", "status", "value"),
    [
        ("/hello/a%20b", 200, "a b"),
        ("/hello/a+b", 200, "a+b"),
        ("/hello/%E6%97%A5%E6%9C%AC", 200, "日本"),
        ("/hello/%41", 200, "A"),
        ("/hello/a%252Fb", 200, "a%2Fb"),
        ("/hello/a%3Fb", 200, "a?b"),
        ("/hello/a;b=c", 200, "a;b=c"),
        ("/hello/a%2Fb", 404, None),
        ("/hello//a", 404, None),
        ("//hello/a", 404, None),
        ("/hello/.", 404, None),
        ("/hello/..", 404, None),
        ("/hello/%2E%2E", 404, None),
        ("/x/../hello/a", 404, None),
        ("/hello/a%00b", 400, None),
        ("/hello/a%0Ab", 400, None),
        ("/hello/%FF", 400, None),
        ("/hello/%C0%AF", 400, None),
    ],
)
def test_percent_encoding_and_dots(server: Server, target: str, status: int, value: str | None) -> None:
    answer = answered(server.target(target))
    assert answer.status == status
    if value is not None:
        assert json.loads(answer.body)["name"] == value


@pytest.mark.parametrize("target", ["/hello/%zz", "/hello/%", "/hello/a%2"])
def test_broken_escapes_are_refused(server: Server, target: str) -> None:
    assert answered(server.target(target)).status == 400


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/rest/a/b", "a/b"),
        ("/rest/", ""),
        ("/rest//a//b", "/a//b"),
        ("/rest/a%2Fb", "a/b"),
        ("/rest/%C3%BC", "ü"),
        ("/rest/a/../b", "a/../b"),
    ],
)
def test_the_rest_of_a_path_is_kept(server: Server, target: str, path: str) -> None:
    answer = answered(server.target(target))
    assert (answer.status, json.loads(answer.body)) == (200, {"path": path})


def test_unicode_in_templates_and_text(server: Server) -> None:
    answer = server.client.get("/schön/日本")
    assert (answer.status_code, answer.text) == (200, "ünï")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_the_query_is_kept_as_it_was_sent(server: Server) -> None:
    answer = answered(server.target("/request?a=1&b=%20&c=%zz&d=a/b?c"))
    assert json.loads(answer.body)["query"] == "a=1&b=%20&c=%zz&d=a/b?c"


def test_a_request_knows_where_it_came_in(server: Server) -> None:
    got = server.client.get("/request?x=1").json()
    base = f"127.0.0.1:{server.port}"
    assert got["method"] == "GET"
    assert got["path"] == "/request"
    assert got["host"] == base
    assert got["url"] == f"http://{base}/request?x=1"
    assert got["scheme"] == "http"
    assert got["client"] == "127.0.0.1"
    assert "httpx" in got["agent"]


@pytest.mark.parametrize(
    "host", ["a@evil.com", "a b", "a/?x=", "127.0.0.1:99999", "[::1", "a,b", "evil.com", "x" * 300]
)
def test_a_wrong_host_is_refused(server: Server, host: str) -> None:
    answer = server.send(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answered(answer).status == 400


def test_a_missing_host_is_refused(server: Server) -> None:
    assert answered(server.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")).status == 400


def test_two_hosts_are_refused(server: Server) -> None:
    data = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.com\r\nConnection: close\r\n\r\n"
    assert answered(server.send(data)).status == 400


def test_an_absolute_target_is_checked_too(server: Server) -> None:
    data = b"GET http://evil.com/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert answered(server.send(data)).status == 400


@pytest.mark.parametrize("target", ["@evil.com", "*", "hello"])
def test_a_target_that_is_no_path_is_refused(server: Server, target: str) -> None:
    answer = server.target(target)
    assert answer is None or answer.status == 400


@pytest.mark.parametrize("method", ["TRACE", "FOO", "get"])
def test_a_strange_method_never_reaches_a_handler(server: Server, method: str) -> None:
    answer = answered(server.target("/", method=method))
    assert answer.status in (400, 405, 501)


def test_underscored_names_never_pose_as_others(server: Server) -> None:
    answer = answered(server.target("/request", "X-Forwarded-For: 1.1.1.1", "X_Forwarded_For: 6.6.6.6"))
    if answer.status == 200:  # some servers refuse it
        assert b"x_forwarded_for" not in answer.body
        assert b"6.6.6.6" not in answer.body


def test_too_many_headers_are_refused(server: Server) -> None:
    answer = answered(server.target("/", *(f"X-{i}: 1" for i in range(150))))
    assert answer.status in (400, 431)


def test_too_large_headers_are_refused(server: Server) -> None:
    answer = server.target("/", f"X-Large: {'x' * 70_000}")
    assert answer is None or answer.status in (400, 431)


def test_a_long_target_is_refused(server: Server) -> None:
    answer = answered(server.target("/hello/" + "a" * 9000))
    assert answer.status in (400, 414)


# -- methods --------------------------------------------------------------------------------------------------------


def test_head_has_the_headers_of_get_and_no_body(server: Server) -> None:
    answer = server.client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "17"


def test_head_of_a_file_says_its_length(server: Server) -> None:
    answer = server.client.head("/file")
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(1024 * 1024))


def test_a_connection_goes_on_after_head(server: Server) -> None:
    for _ in range(2):
        assert server.client.head("/stream").status_code == 200
        assert server.client.get("/").json() == {"hello": "world"}


def test_options_lists_the_methods(server: Server) -> None:
    answer = server.client.options("/nothing")
    assert (answer.status_code, answer.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")


def test_a_wrong_method_is_405_with_allow(server: Server) -> None:
    answer = server.client.post("/nothing")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_none_is_204_without_content(server: Server, method: str) -> None:
    answer = answered(server.target("/nothing", method=method))
    assert (answer.status, answer.body, answer.values("content-length")) == (204, b"", [])


# -- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/items", "/items-sync"])
def test_a_body_is_validated_and_returned(server: Server, path: str) -> None:
    answer = server.client.post(path, json={"name": "ü", "size": 2, "tags": ["a"]})
    assert (answer.status_code, answer.json()) == (201, {"name": "ü", "size": 2, "tags": ["a"]})
    wrong = server.client.post(path, json={"name": 1, "size": 0})
    assert wrong.status_code == 422
    assert [e["loc"] for e in wrong.json()["errors"]] == [["body", "name"], ["body", "size"]]
    assert server.client.post(path, content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert server.client.post(path, content=b"a", headers={"content-type": "text/plain"}).status_code == 415
    assert server.client.post(path).status_code in (400, 415, 422)


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536, 65_537, 2_000_000])
def test_bodies_of_any_size_arrive(server: Server, size: int) -> None:
    content = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    assert server.client.post("/body", content=content[:size]).content == content[:size]


def test_a_large_body_is_streamed(server: Server) -> None:
    answer = server.client.post("/size", content=b"x" * 8_000_000).json()
    assert answer["size"] == 8_000_000
    assert answer["chunks"] > 1


def test_a_body_in_chunks_arrives(server: Server) -> None:
    answer = server.client.post("/body", content=(b"%05d" % i for i in range(1000)))
    assert answer.content == b"".join(b"%05d" % i for i in range(1000))


def test_a_body_is_echoed_while_it_arrives(server: Server) -> None:
    content = b"0123456789" * 100_000
    assert server.client.post("/echo", content=content).content == content


def test_a_body_beyond_the_limit_is_413(server: Server) -> None:
    head = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n"
    answer = answered(server.send(head + b"x" * 1000, method="POST"))
    assert answer.status == 413
    assert server.client.get("/").status_code == 200


def test_a_chunked_body_beyond_the_limit_is_413(server: Server) -> None:
    answer = server.client.post("/body", content=(b"x" * 65536 for _ in range(60)))
    assert answer.status_code == 413


def test_a_body_that_nobody_reads_does_no_harm(server: Server) -> None:
    # A WSGI server may close the connection behind its answer, and not say so: each request has its own there.
    headers = {"connection": "close"} if server.protocol == "wsgi" else {}
    # A connection that an earlier test has kept may be closed by its server at this very moment: not one of those.
    with httpx2.Client(base_url=server.client.base_url, timeout=server.client.timeout, trust_env=False) as client:
        for _ in range(3):
            assert client.post("/unread", content=b"x" * 200_000, headers=headers).text == "unread"


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_truncated_body_has_no_effect(server: Server, size: int) -> None:
    before = notes(server)
    data = b"POST /noted HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\nabc" % size
    answer = server.send(data, end=True, method="POST")
    assert answer is None or answer.status == 400 or answer.status >= 500
    time.sleep(0.1)
    assert notes(server) == before


def test_a_truncated_chunked_body_has_no_effect(server: Server) -> None:
    before = notes(server)
    data = b"POST /noted HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"
    answer = server.send(data, end=True, method="POST")
    assert answer is None or answer.status in (400, 411) or answer.status >= 500
    time.sleep(0.1)
    assert notes(server) == before


@pytest.mark.parametrize("path", ["/form", "/form-sync"])
def test_forms_are_read_into_types(server: Server, path: str) -> None:
    answer = server.client.post(path, data={"name": "Ada Löve", "age": "36"})
    assert (answer.status_code, answer.json()) == (200, {"name": "Ada Löve", "age": 36})
    assert server.client.post(path, data={"name": "Ada", "age": "old"}).status_code == 422


def test_a_cross_site_form_is_refused(server: Server) -> None:
    answer = server.client.post("/form", data={"name": "a", "age": "1"}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_files_are_uploaded(server: Server, size: int) -> None:
    files = {"document": ("naïve.txt", b"x" * size, "text/plain")}
    answer = server.client.post("/upload", files=files)
    assert (answer.status_code, answer.json()) == (200, {"name": "naïve.txt", "size": size, "type": "text/plain"})


# -- answers --------------------------------------------------------------------------------------------------------


def test_cookies_both_ways(server: Server) -> None:
    answer = answered(server.target("/cookies", "Cookie: flavour=mint; other=1"))
    assert json.loads(answer.body) == {"flavour": "mint"}
    assert [v.partition(";")[0] for v in answer.values("set-cookie")] == ["one=1", "two=2"]


def test_redirects_are_encoded(server: Server) -> None:
    answer = server.client.get("/redirect")
    assert (answer.status_code, answer.headers["location"]) == (303, "/hello/w%C3%B6rld")


def test_an_unknown_status_is_kept(server: Server) -> None:
    assert server.client.get("/odd-status").status_code == 299


@pytest.mark.parametrize(
    ("accept", "status", "media_type"),
    [
        ("application/json", 200, "application/json"),
        ("application/xml", 200, "application/xml; charset=utf-8"),
        ("application/msgpack;q=0.9, application/xml;q=0.1", 200, "application/vnd.msgpack"),
        ("image/png", 406, "application/problem+json"),
    ],
)
def test_the_format_is_negotiated(server: Server, accept: str, status: int, media_type: str) -> None:
    answer = server.client.get("/formats", headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (status, media_type)
    assert "accept" in answer.headers["vary"]


def test_files_have_ranges_and_tags(server: Server) -> None:
    whole = server.client.get("/file")
    assert (whole.status_code, len(whole.content)) == (200, 1024 * 1024)
    assert whole.headers["accept-ranges"] == "bytes"
    part = server.client.get("/file", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/1048576"
    assert server.client.get("/file", headers={"range": "bytes=2000000-"}).status_code == 416
    parts = server.client.get("/file", headers={"range": "bytes=0-1,5-6"})
    assert parts.headers["content-type"].startswith("multipart/byteranges")
    same = server.client.get("/file", headers={"if-none-match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


@pytest.mark.parametrize("path", ["/stream", "/stream-sync"])
def test_streams_arrive_whole(server: Server, path: str) -> None:
    assert server.client.get(path).text == "0\n1\n2\n3\n4\n"


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        ("*/*", "text/csv; charset=utf-8", "number\r\n0\r\n1\r\n"),
        ("text/csv;q=0.1, application/jsonl", "application/jsonl", '{"number":0}\n{"number":1}\n'),
    ],
)
def test_a_stream_has_the_format_that_is_asked_for(server: Server, accept: str, content_type: str, body: str) -> None:
    answer = server.client.get("/stream-rows", headers={"accept": accept})
    assert (answer.headers["content-type"], answer.headers["vary"], answer.text) == (content_type, "accept", body)
    head = server.client.head("/stream-rows", headers={"accept": accept})
    assert (head.headers["content-type"], head.headers["vary"], head.content) == (content_type, "accept", b"")


def test_a_stream_in_no_format_that_is_accepted_is_406(server: Server) -> None:
    answer = server.client.get("/stream-rows", headers={"accept": "image/png"})
    assert (answer.status_code, answer.headers["vary"]) == (406, "accept")
    assert answer.json()["detail"] == "this can be answered as text/csv, application/jsonl"


def test_a_stream_arrives_piece_by_piece(server: Server) -> None:
    with server.client.stream("GET", "/endless") as answer:
        first = next(answer.iter_raw())
        assert first.startswith(b"tick")


def test_a_large_stream_arrives_whole(server: Server) -> None:
    assert len(server.client.get("/stream-big").content) == 256 * 65536


def test_a_stream_that_fails_does_not_look_complete(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /stream-broken HTTP/1.1\r\nHost: localhost\r\n\r\n")
        data = read_until(sock, b"\r\n0\r\n\r\n")
    assert b"begun" in data
    assert b"\r\n0\r\n" not in data


def test_a_stream_ends_when_its_client_goes(server: Server) -> None:
    key = f"k{time.monotonic_ns()}"
    with server.connect() as sock:
        sock.sendall(f"GET /endless?{key} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        read_until(sock, b"tick")
    assert eventually(lambda: f"endless ended {key}" in notes(server))


def test_a_slow_handler_is_cancelled_when_its_client_goes(server: Server) -> None:
    key = f"k{time.monotonic_ns()}"
    with server.connect() as sock:
        sock.sendall(f"GET /slow?{key} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(0.3)
    assert eventually(lambda: f"slow cancelled {key}" in notes(server), timeout=1.2)


def test_events_are_sent(server: Server) -> None:
    answer = server.client.get("/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [json.loads(d) for d in re.findall(r"data: (.*)", answer.text)] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert re.findall(r"id: (.*)", answer.text) == ["0", "1", "2"]


# -- errors, context, life ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/crash", "/crash-sync"])
def test_a_crash_is_500_without_details(server: Server, path: str) -> None:
    answer = server.client.get(path)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert server.client.get("/").status_code == 200


def test_an_error_keeps_its_headers(server: Server) -> None:
    answer = server.client.get("/conflict")
    assert (answer.status_code, answer.headers["x-reason"], answer.json()["detail"]) == (409, "taken", "taken")


def test_an_async_handler_answers_an_exception(server: Server) -> None:
    answer = server.client.get("/teapot")
    assert (answer.status_code, answer.text) == (418, "short and stout")


@pytest.mark.parametrize("path", ["/after", "/after-sync"])
def test_callbacks_run_after_the_answer(server: Server, path: str) -> None:
    key = f"k{time.monotonic_ns()}"
    assert server.client.get(path, params={"key": key}).text == "later"
    assert eventually(lambda: f"after {key}" in notes(server))


@pytest.mark.parametrize("path", ["/context", "/context-sync"])
def test_requests_have_contexts_of_their_own(server: Server, path: str) -> None:
    def ask(index: int) -> dict[str, str]:
        return server.client.get(path, params={"value": str(index)}).json()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(60)))
    assert [a["now"] for a in answers] == [str(i) for i in range(60)]
    assert {a["before"] for a in answers} == {"unset"}


def test_handlers_can_use_tasks_and_timeouts(server: Server) -> None:
    assert server.client.get("/task").text == "grouped"


def test_def_handlers_never_run_on_the_loop(server: Server) -> None:
    got = server.client.get("/sync").json()
    assert got["loop_here"] is False
    assert got["protocol"] == server.protocol
    assert got["thread"].startswith("quintet") is (server.protocol != "wsgi")


def test_def_dependencies_are_opened_and_closed(server: Server) -> None:
    assert server.client.get("/dependency").text == "resource"
    recorded = notes(server)
    assert recorded.count("opened") == recorded.count("closed") > 0


def test_middleware_surrounds_def_handlers(server: Server) -> None:
    answer = server.client.get("/middleware")
    assert (answer.text, answer.headers["x-middleware"]) == ("wrapped", "here")


def test_the_app_was_started_once_on_the_loop_of_its_handlers(server: Server) -> None:
    assert server.client.get("/starts").json() == {"starts": 1, "same_loop": True}
    assert server.client.get("/connection").text == "Connection"


@pytest.mark.parametrize("prefix", ["/asgi", "/wsgi"])
@pytest.mark.parametrize("size", [0, 3, 3_000_000])
def test_mounted_apps_answer(server: Server, prefix: str, size: int) -> None:
    answer = server.client.post(f"{prefix}/ü/x?a=1", content=b"x" * size)
    path = "/ü/x" if prefix == "/wsgi" else f"{prefix}/ü/x"
    assert (answer.status_code, answer.text) == (201, f"POST {prefix} {path} a=1 {size}")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert "x-content-type-options" not in answer.headers


@pytest.mark.parametrize("path", ["/asgi", "/asgi/", "/wsgi", "/wsgi/"])
def test_the_prefix_of_a_mounted_app_is_the_apps(server: Server, path: str) -> None:
    assert server.client.get(path).status_code == 201


def test_many_clients_at_once(server: Server) -> None:
    def ask(index: int) -> int:
        path = ("/", "/sync", "/hello/x", "/stream")[index % 4]
        return server.client.get(path).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(80))) == {200}


def test_a_slow_sender_is_waited_for(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabc")
        time.sleep(0.2)
        sock.sendall(b"def")
        assert read_until(sock, b"abcdef").endswith(b"abcdef")


def test_continue_is_sent_to_who_expects_it(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(
            b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        sock.sendall(b"abc")
        assert read_until(sock, b"abc").endswith(b"abc")


def test_a_connection_is_kept(server: Server) -> None:
    with server.connect() as sock:
        for _ in range(3):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b'{"hello":"world"}' in read_until(sock, b'{"hello":"world"}')
        sock.shutdown(socket.SHUT_WR)
