"""Apps of other frameworks, unmodified, on the built-in server: real processes, real clients."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from websockets.asyncio.client import connect

from tests.integration.command import Command, run_to_end, wait_until

ROOT = Path(__file__).resolve().parents[2]

TARGETS = {
    "starlette": "tests.integration.hosted.starlette_app:app",
    "fastapi": "tests.integration.hosted.fastapi_app:app",
    "litestar": "tests.integration.hosted.litestar_app:app",
    "django-asgi": "tests.integration.hosted.django_app:application",
    "django-wsgi": "tests.integration.hosted.django_app:wsgi",
    "flask": "tests.integration.hosted.flask_app:app",
}


def run_app(folder: Path, target: str, *options: str, command: str = "run", **env: str) -> Command:
    return Command(command, target, *options, folder=folder, env={"PYTHONPATH": str(ROOT), **env})


@pytest.fixture(scope="module", params=list(TARGETS))
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with run_app(tmp_path_factory.mktemp(request.param), TARGETS[request.param]) as command:
        command.name = request.param  # pyright: ignore[reportAttributeAccessIssue]
        yield command


@pytest.fixture(scope="module")
def starlette(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with run_app(tmp_path_factory.mktemp("starlette"), TARGETS["starlette"]) as command:
        yield command


@pytest.fixture(scope="module")
def flask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with run_app(tmp_path_factory.mktemp("flask"), TARGETS["flask"]) as command:
        yield command


# -- what every app does --------------------------------------------------------------------------------------------


def test_json_goes_out(app: Command) -> None:
    answer = app.client.get("/json", params={"name": "Ada"})
    assert answer.json() == {"hello": "Ada"}
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "date" in answer.headers


def test_json_comes_in(app: Command) -> None:
    value = {"list": [1, 2, 3], "text": "é" * 1000}
    assert app.client.post("/json", json=value).json() == value


def test_forms_and_uploads_come_in(app: Command) -> None:
    if getattr(app, "name", "") in ("starlette", "fastapi") and find_spec("python_multipart") is None:
        # It installs a module `multipart` over the one that Quintet depends on, so the type checker sees the wrong one.
        pytest.skip("python-multipart is not installed")
    assert app.client.post("/form", data={"a": ["1", "2"]}).json() == {"a": ["1", "2"]}
    content = b"z" * 700_000
    answer = app.client.post("/upload", files={"file": ("z.bin", content)})
    assert answer.json() == {"name": "z.bin", "size": len(content)}


def test_a_stream_goes_out(app: Command) -> None:
    answer = app.client.get("/stream")
    assert answer.text == "0\n1\n2\n3\n4\n"
    assert answer.headers.get("transfer-encoding") == "chunked" or answer.headers["content-length"] == "10"


@pytest.mark.parametrize("size", [10, 200_000, 3_000_000])
def test_a_body_streams_in(app: Command, size: int) -> None:
    assert app.client.post("/count", content=b"b" * size).json() == {"size": size}


def test_a_large_answer_is_whole(app: Command) -> None:
    assert app.client.get("/large").content == b"x" * 5_000_000


def test_head_has_the_head_alone(app: Command) -> None:
    if app.client.head("/json").status_code == 405:
        pytest.skip("this framework adds no HEAD")
    answer = app.client.head("/json")
    assert answer.status_code == 200
    assert answer.content == b""
    assert app.client.get("/json").status_code == 200


def test_an_exception_is_a_500_and_the_server_goes_on(app: Command) -> None:
    assert app.client.get("/boom").status_code == 500
    assert app.client.get("/json").status_code == 200


def test_a_path_is_decoded_once(app: Command) -> None:
    assert app.client.get("/path/a%20b/%C3%A9%2525").json()["path"] == "a b/é%25"


def test_pipelined_requests_are_answered_in_order(app: Command) -> None:
    requests = [b"GET /json?name=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(8)]
    with socket.create_connection(("127.0.0.1", app.port), timeout=10) as sock:
        sock.sendall(b"".join(requests[:-1]) + requests[-1].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    bodies = [json.loads(part.partition(b"}")[0] + b"}")["hello"] for part in data.split(b"\r\n\r\n")[1:]]
    assert bodies == [str(n) for n in range(8)]


def test_a_half_closed_client_gets_its_answer(app: Command) -> None:
    with socket.create_connection(("127.0.0.1", app.port), timeout=10) as sock:
        sock.sendall(b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    assert data.startswith(b"HTTP/1.1 200")
    assert data.rstrip().endswith(b"{}")


def test_a_slow_reader_gets_everything_and_holds_nobody_up(app: Command) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", app.port))
        sock.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(0.1)
        assert app.client.get("/json").status_code == 200
        size = 0
        while chunk := sock.recv(1 << 20):
            size += len(chunk)
    assert size > 5_000_000


def test_malformed_http_is_refused_before_the_app(app: Command) -> None:
    with socket.create_connection(("127.0.0.1", app.port), timeout=10) as sock:
        sock.sendall(b"GET /json HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 400")


# -- ASGI -----------------------------------------------------------------------------------------------------------


async def test_a_websocket_echoes(app: Command) -> None:
    if getattr(app, "name", "") not in ("starlette", "fastapi", "litestar"):
        with pytest.raises(websockets.InvalidStatus):
            await connect(f"ws://127.0.0.1:{app.port}/ws", proxy=None)
        return
    async with connect(f"ws://127.0.0.1:{app.port}/ws", proxy=None) as ws:
        await ws.send("hello")
        assert await ws.recv() == "echo hello"


async def test_a_websocket_has_subprotocols_headers_and_close_codes(starlette: Command) -> None:
    url = f"ws://127.0.0.1:{starlette.port}/ws"
    async with connect(url, proxy=None, subprotocols=["one", "two"]) as ws:  # pyright: ignore[reportArgumentType]
        assert ws.subprotocol == "two"
        assert ws.response is not None
        assert ws.response.headers["x-hosted"] == "yes"
        await ws.send("close")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await ws.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "as asked")


async def test_a_websocket_whose_app_fails_is_closed_with_1011(starlette: Command) -> None:
    async with connect(f"ws://127.0.0.1:{starlette.port}/ws", proxy=None) as ws:
        await ws.send("fail")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await ws.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1011
    wait_until(lambda: "as asked" in starlette.log)


@pytest.mark.parametrize(("path", "status"), [("/refuse", 403), ("/deny", 402), ("/nowhere", 403)])
async def test_a_websocket_is_refused(starlette: Command, path: str, status: int) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with connect(f"ws://127.0.0.1:{starlette.port}{path}", proxy=None):
            pass
    response = caught.value.response
    assert response.status_code == status
    if path == "/deny":
        assert response.headers["x-why"] == "unpaid"
        assert json.loads(response.body) == {"no": "entry"}


async def test_an_app_hears_that_a_websocket_client_has_gone(starlette: Command) -> None:
    async with connect(f"ws://127.0.0.1:{starlette.port}/ws", proxy=None) as ws:
        await ws.send("x")
        await ws.recv()
    wait_until(lambda: "socket closed" in starlette.client.get("/done").json())


def test_events_arrive_as_they_are_made_and_end_with_the_client(starlette: Command) -> None:
    with starlette.client.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: 0"
    wait_until(lambda: "events closed" in starlette.client.get("/done").json())


def test_a_background_task_runs_after_the_answer_while_the_next_request_is_answered(starlette: Command) -> None:
    before = starlette.client.get("/done").json().count("background")
    assert starlette.client.get("/background").json() == {"accepted": True}
    assert starlette.client.get("/done").json().count("background") == before
    wait_until(lambda: starlette.client.get("/done").json().count("background") == before + 1)


def test_the_lifespan_surrounds_everything_and_its_state_reaches_requests(tmp_path: Path) -> None:
    with run_app(tmp_path, TARGETS["starlette"]) as command:
        assert "starlette starts" in command.log
        assert command.client.get("/state").json() == {"started": "yes"}
        assert command.client.get("/background").status_code == 200
        assert command.stop() == 0
        assert "starlette stops" in command.log
        assert "Traceback" not in command.log


def test_an_app_whose_start_fails_is_told_in_one_problem(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from contextlib import asynccontextmanager\nfrom starlette.applications import Starlette\n"
        "@asynccontextmanager\nasync def lifespan(app):\n    raise ValueError('no database')\n    yield\n"
        "app = Starlette(lifespan=lifespan)\n"
    )
    result = run_to_end("run", "app.py", "--port", "0", folder=tmp_path)
    assert result.returncode == 1
    assert "no database" in result.stderr
    assert "hosting.lifespan" in result.stderr


def test_an_app_without_a_lifespan_is_served(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "async def app(scope, receive, send):\n    assert scope['type'] == 'http'\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': b'plain'})\n"
    )
    with run_app(tmp_path, "app.py") as command:
        assert command.client.get("/").text == "plain"


def test_a_file_is_sent(starlette: Command, flask: Command) -> None:
    source = (ROOT / "tests/integration/hosted/starlette_app.py").read_bytes()
    assert starlette.client.get("/file").content == source
    assert flask.client.get("/file").content == b"y" * 200_000


def test_a_truncated_body_reaches_no_handler_as_whole(starlette: Command, flask: Command) -> None:
    for command in (starlette, flask):
        with socket.create_connection(("127.0.0.1", command.port), timeout=10) as sock:
            sock.sendall(b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"x" * 500_000)
            time.sleep(0.05)
            sock.shutdown(socket.SHUT_WR)
            data = sock.recv(65536)
        assert b"200 OK" not in data
        assert command.client.get("/json").status_code == 200


def test_a_reset_client_disturbs_nobody(app: Command) -> None:
    for request in (
        b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    ):
        sock = socket.create_connection(("127.0.0.1", app.port), timeout=10)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(request)
        time.sleep(0.02)
        sock.close()
    assert app.client.get("/json").status_code == 200


def test_a_context_variable_does_not_pass_from_request_to_request(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import asyncio\nfrom contextvars import ContextVar\nseen = ContextVar('seen', default='nothing')\n"
        "async def app(scope, receive, send):\n    assert scope['type'] == 'http'\n    before = seen.get()\n"
        "    seen.set(scope['path'])\n    await asyncio.sleep(0.01)\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': before.encode()})\n"
    )
    with run_app(tmp_path, "app.py") as command, socket.create_connection(("127.0.0.1", command.port)) as sock:
        sock.sendall(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
        assert data.count(b"nothing") == 2


# -- WSGI -----------------------------------------------------------------------------------------------------------


def test_the_environment_names_this_server_and_not_what_the_client_says(flask: Command) -> None:
    headers = {"Host": "evil.example:1", "X_Secret": "1", "Proxy": "http://evil", "X-Two": "a"}
    environ: dict[str, Any] = flask.client.get("/environ?q=%C3%A9", headers=headers).json()
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(flask.port))
    assert environ["HTTP_HOST"] == "evil.example:1"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert int(environ["REMOTE_PORT"]) > 0
    assert environ["QUERY_STRING"] == "q=%C3%A9"
    assert environ["HTTP_X_TWO"] == "a"
    assert not {"HTTP_PROXY", "HTTP_X_SECRET"} & set(environ)


def test_a_slow_call_holds_no_other_up(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import time\ndef app(environ, start_response):\n    time.sleep(float(environ['QUERY_STRING'] or 0))\n"
        "    start_response('200 Fine', [])\n    return [b'ok']\n"
    )
    with run_app(tmp_path, "app.py") as command:

        async def ask() -> float:
            async with httpx2.AsyncClient(base_url=command.url, timeout=20, trust_env=False) as client:
                slow = [asyncio.ensure_future(client.get("/?1")) for _ in range(8)]
                await asyncio.sleep(0.1)
                begin = time.monotonic()
                answer = await client.get("/")
                taken = time.monotonic() - begin
                assert answer.reason_phrase == "Fine"
                assert [a.text for a in await asyncio.gather(*slow)] == ["ok"] * 8
                return taken

        assert asyncio.run(ask()) < 0.9


# -- the command ----------------------------------------------------------------------------------------------------


def test_a_factory_makes_the_app(tmp_path: Path) -> None:
    with run_app(tmp_path, "tests.integration.hosted.fastapi_app:make_app", "--factory") as command:
        assert command.client.post("/items", json={"name": "x", "price": 1}).json() == {"name": "x", "price": 1}
        assert command.client.post("/items", json={"name": "x", "price": -1}).status_code == 409


def test_an_ambiguous_callable_is_served_by_interface(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def app(*args):\n    environ, start_response = args\n    start_response('200 OK', [])\n    return [b'wsgi']\n"
    )
    result = run_to_end("run", "app.py", "--port", "0", folder=tmp_path)
    assert result.returncode == 1
    assert "--interface" in result.stderr
    with run_app(tmp_path, "app.py", "--interface", "wsgi") as command:
        assert command.client.get("/").text == "wsgi"


def test_a_root_path_is_told_to_the_app(tmp_path: Path) -> None:
    with run_app(tmp_path, TARGETS["starlette"], "--root-path", "/shop") as command:
        found = command.client.get("/path/x").json()
        assert found == {"path": "x", "raw": "/shop/path/x", "root": "/shop"}


def test_a_trusted_proxy_tells_the_client(starlette: Command, tmp_path: Path) -> None:
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    found = starlette.client.get("/client", headers=headers).json()
    assert (found["host"], found["scheme"]) == ("127.0.0.1", "http")
    assert found["port"] > 0
    with run_app(tmp_path, TARGETS["starlette"], APP_TRUSTED_PROXIES="127.0.0.1") as command:
        assert command.client.get("/client", headers=headers).json() == {
            "host": "192.0.2.7", "port": 0, "scheme": "https",
        }  # fmt: skip


def test_a_body_is_bounded_where_that_is_set(tmp_path: Path) -> None:
    for name in ("starlette", "flask"):
        with run_app(tmp_path, TARGETS[name], HOSTED_MAX_BODY="1000") as command:
            assert command.client.post("/count", content=b"x" * 1000).json() == {"size": 1000}
            assert command.client.post("/count", content=b"x" * 1001).status_code == 413
            assert command.client.post("/count", content=b"x" * 100_000).status_code == 413
            chunks = iter([b"x" * 900] * 3)
            assert command.client.post("/count", content=chunks).status_code == 413


def test_development_shows_an_exception(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def app(environ, start_response):\n    if environ['PATH_INFO'] == '/':\n        raise ValueError('seen')\n"
        "    start_response('200 OK', [])\n    return [b'ok']\n"
    )
    with run_app(tmp_path, "app.py", command="dev") as command:
        page = command.client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == 500
        assert "seen" in page.text
        assert "app.py" in page.text
        assert command.client.get("/x").text == "ok"
        assert command.client.get("/x", headers={"Host": "evil.example"}).status_code == 400
