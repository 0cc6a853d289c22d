from __future__ import annotations

import ast
import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from quintet.dev import debugger as module
from quintet.dev.debugger import MAX_TRIES, PREFIX, Debugger, is_local_host, new_pin

PIN = "123-456-789"
HOST = {"Host": "localhost:8000"}
INFO: dict[str, Any] = {
    "method": "POST",
    "path": "/a?b=<script>alert(1)</script>",
    "headers": [(b"host", b"127.0.0.1:8000"), (b"cookie", b"session=hunter2"), (b"x-note", b"<b>\x1b[31m")],
    "query": {"token": "hunter2", "page": "2"},
}


def failure(**values: Any) -> BaseException:
    """Return an exception whose frame has `number` and `password`."""
    number = values.get("number", 41)
    password = "hunter2"
    try:
        raise ValueError(values.get("message", f"bad {number} <script>alert(1)</script> {len(password)}"))
    except ValueError as error:
        return error


class Browser:
    """What a page of the debugger does in a browser."""

    def __init__(self, debugger: Debugger, error: BaseException | None = None, host: str = "localhost:8000") -> None:
        self.debugger = debugger
        self.headers: dict[str, str] = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        _, _, page = debugger.page(error or failure(), request_info={"headers": {"host": host}})
        self.page = page.decode()
        token = re.search(r'data-token="([^"]+)"', self.page)
        self.headers["X-Debugger-Token"] = token[1] if token else ""
        self.frame = re.findall(r'data-frame="([^"]+)"', self.page)[-1]

    def post(self, path: str, **data: Any) -> tuple[int, dict[str, Any]]:
        return self.read(self.debugger.handle("POST", PREFIX + path, {}, self.headers, json.dumps(data).encode()))

    def read(self, answer: module.Answer | None) -> tuple[int, dict[str, Any]]:
        assert answer is not None
        status, headers, body = answer
        cookie = dict(headers).get("set-cookie")
        if cookie:
            self.headers["Cookie"] = cookie.partition(";")[0]
        return status, json.loads(body)

    def unlock(self) -> Browser:
        assert self.post("pin", pin=PIN) == (200, {"unlocked": True})
        return self

    def run(self, code: str) -> str:
        status, data = self.post("eval", frame=self.frame, code=code)
        assert status == 200, data
        return re.sub(r"<[^>]+>", "", data["html"])


@pytest.fixture
def debugger() -> Debugger:
    return Debugger(pin=PIN, announce=False)


def test_the_page_is_a_500_that_escapes_and_masks(debugger: Debugger) -> None:
    status, headers, body = debugger.page(failure(), request_info=INFO)
    page = body.decode()
    assert status == 500
    assert dict(headers)["content-type"] == "text/html; charset=utf-8"
    assert "<script>alert" not in page
    assert "hunter2" not in page
    assert "bad 41" in page
    assert "\x1b" not in page


def test_the_page_needs_no_inline_script_or_style_and_no_other_host(debugger: Debugger) -> None:
    _, headers, body = debugger.page(failure(), request_info=INFO)
    policy = dict(headers)["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    page = body.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src)", page)
    assert {u.partition("?")[0] for u in re.findall(r'(?:src|href)="([^"#]+)', page)} == {
        PREFIX + "assets/debugger.css", PREFIX + "assets/debugger.js", PREFIX + "assets/icon.svg",
    }  # fmt: skip
    for name in ("debugger.css", "debugger.js", "icon.svg"):
        answer = debugger.handle("GET", f"{PREFIX}assets/{name}", {}, HOST)
        assert answer is not None
        assert answer[0] == 200
        assert b"//" not in answer[2].replace(b"http://www.w3.org/2000/svg", b"").replace(b"; // escaped", b"").replace(
            b"  // ", b""
        )


def test_the_page_is_well_formed(debugger: Debugger) -> None:
    class Balance(HTMLParser):
        void = frozenset({"meta", "link", "input"})

        def __init__(self) -> None:
            super().__init__()
            self.stack: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in self.void:
                self.stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.stack.pop() == tag

    try:
        raise ExceptionGroup("g", [failure(), failure()])
    except ExceptionGroup as error:
        checker = Balance()
        checker.feed(debugger.page(error, request_info=INFO)[2].decode())
    assert checker.stack == []


def test_an_exception_without_frames_request_or_text_has_a_page(debugger: Debugger) -> None:
    status, _, body = debugger.page(ValueError())
    assert status == 500
    assert b"no message" in body
    assert debugger.page(ValueError("\ud800"), request_info=INFO)[0] == 500


def test_a_page_for_another_host_has_no_console_and_no_token(debugger: Debugger) -> None:
    for info in ({}, {"headers": {"host": "evil.example"}}, {"headers": [("host", "localhost"), ("host", "evil")]}):
        page = debugger.page(failure(), request_info=info)[2].decode()
        assert "data-token" not in page
        assert 'class="console"' not in page


def test_text_and_json_tell_the_same(debugger: Debugger) -> None:
    try:
        try:
            raise failure()
        except ValueError as error:
            error.add_note("a note")
            raise KeyError("postgresql://u:hunter2@h") from error
    except KeyError as error:
        text, document = debugger.text(error), debugger.json(error)
    assert "hunter2" not in text + json.dumps(document)
    assert text.startswith("Traceback (most recent call last):\n")
    assert "\nValueError: bad 41" in text
    assert "a note\n" in text
    assert "direct cause" in text
    assert (document["status"], document["title"]) == (500, "Internal Server Error")
    assert [e["type"] for e in document["exceptions"]] == ["ValueError", "KeyError"]
    assert document["exceptions"][0]["frames"][-1]["function"] == "failure"


def test_text_cannot_move_the_terminal(debugger: Debugger) -> None:
    assert "\x1b" not in debugger.text(ValueError("\x1b[2J\u202e"))


def test_the_console_evaluates_in_the_frame(debugger: Debugger) -> None:
    browser = Browser(debugger).unlock()
    assert browser.run("number + 1").endswith("42")
    browser.run("other = number * 2")
    assert browser.run("other").endswith("82")
    assert "hello" in browser.run("print('hello')")
    assert "ZeroDivisionError" in browser.run("1 / 0")
    assert "SyntaxError" in browser.run("1 +* 2")


def test_what_code_prints_is_escaped(debugger: Debugger) -> None:
    browser = Browser(debugger).unlock()
    for code in ("print('<img src=x>')", "'<img src=x>'", "raise ValueError('<img src=x>')", "'<img src=x>' * 20000"):
        _, data = browser.post("eval", frame=browser.frame, code=code)
        assert "<img" not in data["html"]


def test_a_block_of_several_lines_is_run(debugger: Debugger) -> None:
    browser = Browser(debugger).unlock()
    assert browser.run("for n in range(3):\n    m = n * 100\n    print(m + 1)").endswith("1\n101\n201\n")


def test_an_unfinished_expression_is_continued(debugger: Debugger) -> None:
    browser = Browser(debugger).unlock()
    assert browser.post("eval", frame=browser.frame, code="(number")[1]["more"] is True
    assert browser.run("+ 2)").endswith("43")
    assert browser.post("eval", frame=browser.frame, code="1")[1]["more"] is False


@pytest.mark.asyncio
async def test_the_console_awaits_on_the_apps_loop(debugger: Debugger) -> None:
    loop = asyncio.get_running_loop()

    async def which() -> bool:
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is loop

    def handler() -> None:
        call = which
        raise ValueError(call)

    try:
        handler()
    except ValueError as error:
        browser = Browser(debugger, error)
    browser.unlock()
    for code in ("await call()", "found = await call()"):
        body = json.dumps({"frame": browser.frame, "code": code}).encode()
        answer = await debugger.respond("POST", PREFIX + "eval", {}, browser.headers, body)
        assert browser.read(answer)[0] == 200
    assert browser.run("found").endswith("True")
    assert "runs on the event loop itself" in browser.run("await call()")


def test_the_console_awaits_without_a_loop_too(debugger: Debugger) -> None:
    browser = Browser(debugger).unlock()
    browser.run("import asyncio")
    assert browser.run("await asyncio.sleep(0, 'slept')").endswith("&#39;slept&#39;")


def test_each_exception_group_member_has_a_console(debugger: Debugger) -> None:
    try:
        raise ExceptionGroup("g", [failure(number=1), failure(number=2)])
    except ExceptionGroup as error:
        browser = Browser(debugger, error).unlock()
    frames = re.findall(r'data-frame="([^"]+)"', browser.page)
    values: list[str] = []
    for browser.frame in frames[-2:]:
        values.append(browser.run("number")[-1])
    assert values == ["1", "2"]


# Row H11: nobody but the developer.


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "127.0.0.1.evil",
        "",
        "localhost:",
        "localhost:x",
        "127.0.0.2",
        "0.0.0.0",
        "[::1",
        "::1",
        "localhost:80:80",
        "localhost, evil",
        "a@localhost",
        "localhost/",
        "192.168.0.1:8000",
        "localhost:٣",
        "127.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
    ],
)
def test_h11_other_hosts_are_refused(debugger: Debugger, host: str) -> None:
    assert not is_local_host(host)
    browser = Browser(debugger).unlock()
    browser.headers["Host"] = host
    assert browser.post("eval", frame=browser.frame, code="1")[0] == 403
    assert browser.post("pin", pin=PIN)[0] == 403
    answer = debugger.handle("GET", PREFIX + "assets/debugger.js", {}, {"Host": host})
    assert answer is not None
    assert answer[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:65535"])
def test_the_names_of_this_machine_are_taken(host: str) -> None:
    assert is_local_host(host)


def test_h11_no_host_is_refused(debugger: Debugger) -> None:
    answer = debugger.handle("GET", PREFIX + "assets/debugger.js", {}, {})
    assert answer is not None
    assert answer[0] == 403


def test_h11_the_eleventh_pin_is_refused_even_if_right(debugger: Debugger) -> None:
    browser = Browser(debugger)
    answers = [browser.post("pin", pin=f"{n:09}") for n in range(MAX_TRIES)]
    assert [status for status, _ in answers] == [401] * 10
    assert answers[8][1]["error"] == "The PIN is wrong; 1 try left."
    status, data = browser.post("pin", pin=PIN)
    assert status == 403
    assert "Restart" in data["error"]
    assert "Cookie" not in browser.headers


def test_h11_a_locked_console_stays_locked_for_old_cookies(debugger: Debugger) -> None:
    browser = Browser(debugger).unlock()
    for n in range(MAX_TRIES):
        browser.post("pin", pin=f"{n:09}")
    assert browser.post("eval", frame=browser.frame, code="1")[0] == 401


def test_the_console_needs_the_pin(debugger: Debugger) -> None:
    browser = Browser(debugger)
    assert browser.post("eval", frame=browser.frame, code="1")[0] == 401
    for cookie in (
        "quintet-debugger=",
        "quintet-debugger=x",
        "quintet-debugger=é",
        '"',
        "=;=",
        f"quintet-debugger={PIN}",
    ):
        browser.headers["Cookie"] = cookie
        assert browser.post("eval", frame=browser.frame, code="1")[0] == 401


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Debugger-Token", ""),
        ("X-Debugger-Token", "é"),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://localhost:9999"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ],
)
def test_other_sites_are_refused(debugger: Debugger, name: str, value: str) -> None:
    browser = Browser(debugger).unlock()
    browser.headers[name] = value
    assert browser.post("eval", frame=browser.frame, code="1")[0] == 403


def test_a_page_of_an_earlier_process_is_refused_but_the_cookie_lives_on() -> None:
    before, after = (Debugger(pin=PIN, key="k", announce=False) for _ in range(2))
    old = Browser(before).unlock()
    new = Browser(after)
    new.headers["Cookie"] = old.headers["Cookie"]
    assert new.run("number").endswith("41")
    old.debugger = after
    assert old.post("eval", frame=old.frame, code="1")[0] == 403


def test_the_cookie_is_for_the_debugger_alone_and_out_of_reach_of_scripts(debugger: Debugger) -> None:
    browser = Browser(debugger)
    answer = debugger.handle("POST", PREFIX + "pin", {}, browser.headers, json.dumps({"pin": "123456789"}).encode())
    assert answer is not None
    cookie = dict(answer[1])["set-cookie"]
    assert cookie.endswith("; Path=/__debugger__; HttpOnly; SameSite=Strict")
    assert PIN not in cookie


def test_malformed_requests_are_refused(debugger: Debugger) -> None:
    browser = Browser(debugger).unlock()
    for path in ("pin", "eval"):
        for body in (b"", b"\xff", b"[]", b"{}", b'{"pin": 1}', b"[" * 10000):
            assert browser.read(debugger.handle("POST", PREFIX + path, {}, browser.headers, body))[0] == 400
        assert browser.read(debugger.handle("POST", PREFIX + path, {}, browser.headers, b"x" * 70_000))[0] == 413
        assert browser.read(debugger.handle("GET", PREFIX + path, {}, browser.headers))[0] == 405
    for path in ("", "other", "assets/../debugger.py", "assets/", "assets/__init__.py"):
        assert browser.read(debugger.handle("GET", PREFIX + path, {}, browser.headers))[0] == 404
    assert browser.post("eval", frame="absent", code="1")[0] == 410


@pytest.mark.asyncio
async def test_other_paths_are_not_its_own(debugger: Debugger) -> None:
    for path in ("/", "/__debugger__", "/x/__debugger__/pin"):
        assert debugger.handle("GET", path, {}, HOST) is None
        assert await debugger.respond("GET", path, {}, HOST) is None


def test_only_the_last_exceptions_are_kept(debugger: Debugger) -> None:
    first = Browser(debugger).unlock()
    first.run("1")
    for _ in range(10):
        Browser(debugger)
    assert first.post("eval", frame=first.frame, code="1")[0] == 410


def test_pins_are_random_and_announced(capsys: pytest.CaptureFixture[str]) -> None:
    debugger = Debugger()
    assert re.fullmatch(r"\d{3}-\d{3}-\d{3}", debugger.pin)
    assert f"Debugger PIN: {debugger.pin}\n" in capsys.readouterr().err
    assert len({new_pin() for _ in range(50)}) > 45


def test_the_credentials_of_the_parent_are_taken_out_of_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    credentials = module.new_credentials()
    debuggers: list[Debugger] = []
    for _ in range(2):
        environ = {module.CREDENTIALS_VARIABLE: credentials}
        debuggers.append(Debugger.from_environment(environ))
        assert environ == {}
    first, second = debuggers
    assert first.pin == second.pin == credentials.partition(":")[0]
    assert Browser(first).frame != Browser(second).frame
    assert capsys.readouterr().err == ""


def test_h11_nothing_that_serves_production_imports_it() -> None:
    root = Path(module.__file__).parent.parent
    # `dev` itself, and the commands, which load it in `quintet dev` alone.
    allowed = {"dev", "cli"}
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0] in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("quintet.dev") for name in names), path
