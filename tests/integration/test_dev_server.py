"""`quintet dev` as a real process: reload, debugger, this machine only."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import httpx2
import pytest

from tests.integration.command import PATIENCE, Command, wait_until

APP = """
import asyncio
import time
from collections.abc import AsyncIterator

from quintet import App, Event

app = App(allowed_hosts=["shop.example"])
VERSION = 1


@app.get("/version")
async def version() -> dict[str, int]:
    return {"version": VERSION}


@app.get("/boom")
async def boom(number: int = 6) -> dict[str, int]:
    password = "s3cret"
    doubled = number * 7
    raise ValueError("boom")


@app.get("/sync-boom")
def sync_boom() -> dict[str, str]:
    raise KeyError("sync")


@app.get("/block")
async def block() -> dict[str, str]:
    time.sleep(0.4)
    return {}


@app.get("/stream")
async def stream() -> AsyncIterator[Event[int]]:
    number = 0
    while True:
        yield Event(data=number)
        number += 1
        await asyncio.sleep(0.05)
"""
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "app.py"
    file.write_text(file.read_text().replace(old, new))


def version_of(command: Command) -> int | None:
    try:
        response = httpx2.get(f"{command.url}/version", timeout=PATIENCE)
    except httpx2.TransportError:
        return None
    return response.json().get("version") if response.status_code == 200 else None


def test_changed_code_is_served_while_a_stream_is_open(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        assert version_of(command) == 1
        with command.client.stream("GET", "/stream") as response:
            lines = response.iter_lines()
            assert next(lines) == "data: 0"
            change(folder, "VERSION = 1", "VERSION = 2")
            seconds = wait_until(lambda: version_of(command) == 2)
        # One second on an idle machine; a loaded one may take some more.
        assert seconds < 3
        change(folder, "VERSION = 2", "VERSION = 3")
        wait_until(lambda: version_of(command) == 3)
        assert command.stop() == 0


def test_a_syntax_error_keeps_the_running_app(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        change(folder, "VERSION = 1", "VERSION = = 2")
        command.wait_for("SyntaxError")
        assert version_of(command) == 1
        change(folder, "VERSION = = 2", "VERSION = 2")
        wait_until(lambda: version_of(command) == 2)


def test_an_error_while_loading_is_shown_in_the_browser_until_it_is_repaired(folder: Path) -> None:
    (folder / "app.py").write_text(APP + "\nraise RuntimeError('at import')\n")
    with Command("dev", "app.py", folder=folder) as command:
        response = command.client.get("/version", headers=HTML)
        assert response.status_code == 500
        assert "at import" in response.text
        assert "at import" in command.log
        assert command.client.post("/").status_code == 500
        (folder / "app.py").write_text(APP)
        wait_until(lambda: version_of(command) == 1)


def test_wrong_routes_are_shown_in_the_browser(folder: Path) -> None:
    (folder / "app.py").write_text(APP + "\n@app.get('/{x}')\nasync def wrong() -> None: ...\n")
    with Command("dev", "app.py", folder=folder) as command:
        assert "routes.unused" in command.client.get("/", headers={"accept": "text/plain, */*;q=0.1"}).text


def test_an_exception_is_a_page_with_frames_source_and_masked_variables(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        page = command.client.get("/boom", headers=HTML)
        assert page.status_code == 500
        assert page.headers["content-type"].startswith("text/html")
        for text in ("ValueError", "boom", "app.py", "doubled", "42"):
            assert text in page.text
        # The source of the frame is the user's own text; the value of the variable is what must not be told.
        assert "s3cret" not in page.text.replace("&quot;s3cret&quot;", "").replace("&#x27;s3cret&#x27;", "")


def test_api_clients_get_the_same_as_json_or_text(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        problem = command.client.get("/boom").json()
        assert problem["detail"] == "ValueError: boom"
        assert problem["exceptions"][0]["frames"][-1]["function"] == "boom"
        text = command.client.get("/sync-boom", headers={"accept": "text/plain, */*;q=0.1"}).text
        assert text.splitlines()[-1] == "KeyError: 'sync'"


def test_the_console_evaluates_in_a_frame_after_the_pin(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        pin = command.wait_for(r"Debugger PIN: (\S+)")
        page = command.client.get("/boom", headers=HTML).text
        token = re.search(r'data-token="([^"]+)"', page)
        frames = re.findall(r'data-frame="([^"]+)"', page)
        assert token is not None
        headers = {"x-debugger-token": token[1], "origin": command.url}
        evaluate = {"frame": frames[-1], "code": "doubled + 1"}
        client = command.client
        assert client.post("/__debugger__/eval", json=evaluate, headers=headers).status_code == 401
        assert client.post("/__debugger__/pin", json={"pin": "1"}, headers=headers).status_code == 401
        unlocked = client.post("/__debugger__/pin", json={"pin": pin}, headers=headers)
        assert unlocked.status_code == 200
        answer = client.post("/__debugger__/eval", json=evaluate, headers=headers)
        assert "43" in answer.json()["html"]
        assert client.post("/__debugger__/eval", json=evaluate).status_code == 403
        other = {**headers, "origin": "http://evil.example"}
        assert client.post("/__debugger__/eval", json=evaluate, headers=other).status_code == 403


def test_h11_after_too_many_wrong_pins_the_console_is_locked(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        pin = command.wait_for(r"Debugger PIN: (\S+)")
        token = re.search(r'data-token="([^"]+)"', command.client.get("/boom", headers=HTML).text)
        assert token is not None
        headers = {"x-debugger-token": token[1]}
        statuses = [
            command.client.post("/__debugger__/pin", json={"pin": f"{n}"}, headers=headers).status_code
            for n in range(11)
        ]
        assert statuses == [401] * 10 + [403]
        assert command.client.post("/__debugger__/pin", json={"pin": pin}, headers=headers).status_code == 403


def test_h11_foreign_hosts_are_refused_and_the_apps_own_are_not_needed(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        for path in ("/version", "/__debugger__/assets/debugger.js"):
            for host in ("evil.example", "shop.example", "127.0.0.1.evil.example", "localhost.evil.example"):
                assert command.client.get(path, headers={"host": host}).status_code in (400, 403)
            for host in ("localhost", f"127.0.0.1:{command.port}", "[::1]:8000"):
                assert command.client.get(path, headers={"host": host}).status_code == 200


def test_only_this_machine_can_connect(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        name = _other_address()
        if name is None:
            pytest.skip("this machine has no address but the loopback")
        with pytest.raises(OSError), socket.create_connection((name, command.port), timeout=1):
            pass


def _other_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return None if address.startswith("127.") else address


def test_a_blocking_call_is_reported_with_its_line(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        command.client.get("/block")
        assert "app.py" in command.wait_for(r"the event loop was blocked .*")


def test_requests_are_logged_with_their_time(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        time.sleep(0.1)
        command.client.get("/version")
        assert float(command.wait_for(r"GET /version 200 \d+ B ([\d.]+) ms")) < 90


def test_the_browser_stays_unlocked_over_a_reload(folder: Path) -> None:
    with Command("dev", folder=folder) as command:
        pin = command.wait_for(r"Debugger PIN: (\S+)")
        token = re.search(r'data-token="([^"]+)"', command.client.get("/boom", headers=HTML).text)
        assert token is not None
        command.client.post("/__debugger__/pin", json={"pin": pin}, headers={"x-debugger-token": token[1]})
        change(folder, "VERSION = 1", "VERSION = 2")
        wait_until(lambda: version_of(command) == 2)
        page = command.client.get("/boom", headers=HTML).text
        token = re.search(r'data-token="([^"]+)"', page)
        frames = re.findall(r'data-frame="([^"]+)"', page)
        assert token is not None
        answer = command.client.post(
            "/__debugger__/eval", json={"frame": frames[-1], "code": "VERSION"}, headers={"x-debugger-token": token[1]}
        )
        assert "2" in answer.json()["html"]
        assert command.log.count("Debugger PIN") == 1
