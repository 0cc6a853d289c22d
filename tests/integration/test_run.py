"""`quintet run` as a real process."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import httpx2
import pytest

from tests.integration.command import QUINTET, Command, accepts, run_to_end, wait_until

APP = """
import asyncio
import logging

from quintet import App

app = App()
log = logging.getLogger("shop")


@app.get("/hello/{name}")
async def hello(name: str) -> dict[str, str]:
    log.info("greeting", extra={"visitor": name, "password": "s3cret"})
    return {"hello": name}


@app.get("/slow")
async def slow() -> dict[str, bool]:
    log.info("slow begins")
    await asyncio.sleep(1)
    return {"done": True}


@app.get("/boom")
async def boom() -> None:
    raise ValueError("password=s3cret")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_an_app_in_one_file_is_served(folder: Path) -> None:
    with Command("run", "app.py", folder=folder) as command:
        assert command.client.get("/hello/Ada").json() == {"hello": "Ada"}
        assert command.client.get("/docs").status_code == 200
        assert f"(production), documentation on {command.url}/docs" in command.log


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_served(folder: Path) -> None:
    with Command("run", folder=folder) as command:
        output = subprocess.run(
            ["curl", "-sS", f"{command.url}/hello/Ada"], capture_output=True, text=True, check=True
        ).stdout
        assert output == '{"hello":"Ada"}'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_request_under_way_finish(folder: Path, number: signal.Signals) -> None:
    with Command("run", folder=folder) as command:
        answers: list[httpx2.Response] = []
        thread = threading.Thread(target=lambda: answers.append(command.client.get("/slow")))
        thread.start()
        command.wait_for("slow begins")
        command.process.send_signal(number)
        thread.join()
        assert answers[0].json() == {"done": True}
        assert command.stop() == 0


@pytest.mark.parametrize("command", ["run", "dev"])
def test_a_taken_port_is_told_at_once(folder: Path, command: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_to_end(command, "app.py", "--port", str(port), folder=folder)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_unix_socket_is_served(folder: Path) -> None:
    path = folder / "s"
    with subprocess.Popen([QUINTET, "run", "--uds", str(path)], cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(path.exists)
            transport = httpx2.HTTPTransport(uds=str(path))
            with httpx2.Client(transport=transport, base_url="http://localhost") as client:
                assert client.get("/hello/x").json() == {"hello": "x"}
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not path.exists()


def test_logs_are_json_with_request_ids_and_without_secrets(folder: Path) -> None:
    with Command("run", "--access-log", folder=folder) as command:
        response = command.client.get("/hello/Ada?token=s3cret")
        command.client.get("/boom")
        command.wait_for("boom")
    lines = [json.loads(line) for line in command.log.splitlines() if line.startswith("{")]
    greeting = next(line for line in lines if line.get("message") == "greeting")
    access = next(line for line in lines if line["logger"] == "quintet.access")
    failure = next(line for line in lines if line.get("level") == "error")
    assert greeting["visitor"] == "Ada"
    assert greeting["request_id"] == access["request_id"] == response.headers["x-request-id"]
    assert (access["method"], access["status"]) == ("GET", 200)
    assert failure["request_id"]
    assert "s3cret" not in command.log


def test_an_exception_is_answered_without_a_word_of_it(folder: Path) -> None:
    with Command("run", folder=folder) as command:
        for accept in ("text/html", "application/json", "text/plain"):
            response = command.client.get("/boom", headers={"accept": f"{accept}, */*;q=0.1"})
            assert response.status_code == 500
            assert "ValueError" not in response.text
            assert "s3cret" not in response.text


def test_h11_the_debugger_cannot_be_reached_in_production(folder: Path) -> None:
    with Command("run", folder=folder, env={"QUINTET_DEV": "1", "QUINTET_DEV_PIN": "000-000-000"}) as command:
        for path in ("/__debugger__/", "/__debugger__/eval", "/__debugger__/pin", "/__debugger__/assets/debugger.js"):
            assert command.client.get(path).status_code == 404
            assert command.client.post(path, json={"pin": "000-000-000"}).status_code == 404
        assert "__debugger__" not in command.client.get("/boom", headers={"accept": "text/html, */*"}).text


def test_an_app_that_cannot_start_ends_with_all_its_problems(folder: Path) -> None:
    (folder / "app.py").write_text(
        "from quintet import App\napp = App()\n"
        "@app.get('/{a}')\nasync def a() -> None: ...\n@app.get('/b')\nasync def b(x) -> None: ...\n"
    )
    result = run_to_end("run", folder=folder)
    assert result.returncode == 1
    assert "2 problems" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_lifespan_that_fails_is_shown_from_the_users_code_on(folder: Path) -> None:
    (folder / "app.py").write_text(
        "from quintet import App\napp = App()\n"
        "@app.lifespan\nasync def life():\n    raise LookupError('no database')\n    yield\n"
    )
    result = run_to_end("run", "--port", "0", folder=folder)
    assert result.returncode == 1
    assert "LookupError: no database" in result.stderr
    assert "click" not in result.stderr


def test_granian_serves_the_same_file(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Command("run", "app.py", "--server", "granian", folder=folder, port=port)
    try:
        command.wait_for("Started worker-1 runtime")
        wait_until(lambda: accepts(("127.0.0.1", port)))
        url = f"http://127.0.0.1:{port}/hello/x"
        assert httpx2.get(url).json() == {"hello": "x"}
        assert httpx2.get(url, headers={"host": "a b"}).status_code == 400
        # HTTP/2 is what Granian is for; its preface is answered with a frame of settings.
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
            assert raw.recv(9)[3] == 4
    finally:
        assert command.stop() == 0


def test_the_loop_can_be_asyncios_own(folder: Path) -> None:
    with Command("run", "app.py", "--loop", "asyncio", folder=folder) as command:
        assert command.client.get("/hello/Ada").json() == {"hello": "Ada"}
        assert "asyncio" in command.log


def test_descriptors_up_to_the_hard_limit_are_used(folder: Path) -> None:
    import resource

    (folder / "limits.py").write_text(
        "import resource\nfrom quintet import App\napp = App()\n"
        "@app.get('/limit')\nasync def limit() -> int:\n    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]\n"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, soft), hard))
    try:
        with Command("run", "limits.py", folder=folder) as command:
            assert command.client.get("/limit").json() == min(hard if hard > 0 else 65_536, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
