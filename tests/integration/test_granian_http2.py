"""HTTP/2 by `quintet run --server granian`: limits, floods, workers. Row A22 of attacks, recipe R31 of faults."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx2
import psutil
import pytest
import trustme

from tests.integration.command import PATIENCE, Command, accepts, run_to_end, wait_until
from tests.integration.processes import has_ended

APP = """
import os

from quintet import App, Request

app = App(docs=False)


@app.get("/")
async def index(request: Request) -> dict[str, str | int]:
    return {"scheme": request.scheme, "pid": os.getpid()}


@app.post("/length")
async def length(request: Request) -> int:
    return len(await request.body())
"""
START = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ca: trustme.CA) -> Path:
    folder = tmp_path_factory.mktemp("granian")
    (folder / "app.py").write_text(APP)
    found = ca.issue_cert("localhost", "127.0.0.1")
    found.private_key_pem.write_to_path(folder / "key.pem")
    found.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    return folder


@contextlib.contextmanager
def granian(folder: Path, *arguments: str, **env: str) -> Iterator[Command]:
    with Command("run", "--server", "granian", *arguments, folder=folder, env=env) as command:
        command.wait_for(r"Started worker-\d+")
        wait_until(lambda: accepts(("127.0.0.1", command.port)))  # the line comes a little before
        yield command


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Command]:
    with granian(folder) as command:
        yield command
        assert command.client.get("/").status_code == 200


def workers_of(command: Command) -> list[psutil.Process]:
    return [child for child in psutil.Process(command.process.pid).children() if _runs_the_app(child)]


def _runs_the_app(process: psutil.Process) -> bool:
    try:
        return not any("resource_tracker" in part for part in process.cmdline())
    except psutil.NoSuchProcess:  # it has just ended, perhaps as a zombie that nobody has asked after yet
        return False


def memory_of(command: Command) -> int:
    return sum(p.memory_info().rss for p in workers_of(command))


class Http2:
    """A connection of HTTP/2 without TLS, with prior knowledge."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        # Row A22 sends what this client itself would refuse to send.
        config = h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8"
        )
        self.state = h2.connection.H2Connection(config)
        self.state.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.state.data_to_send())

    def head(self, path: str = "/", **fields: str) -> list[tuple[str, str]]:
        own = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "localhost")]
        return own + [(name.replace("_", "-"), value) for name, value in fields.items()]

    def start(self, headers: list[tuple[str, str]]) -> int:
        stream = self.state.get_next_available_stream_id()
        self.state.send_headers(stream, headers, end_stream=True)
        return stream

    def status(self, stream: int) -> int | None:
        """Return the status of a stream; None where the stream or the connection is ended without one."""
        while True:
            data = self.sock.recv(65536)
            if not data:
                return None
            for event in self.state.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                    return int(dict(event.headers)[":status"])
                if isinstance(event, h2.events.ConnectionTerminated):
                    return None
                if isinstance(event, h2.events.StreamReset) and event.stream_id == stream:
                    return None
            self.flush()

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def http2(server: Command) -> Iterator[Http2]:
    connection = Http2(server.port)
    yield connection
    connection.close()


# -- A22 --------------------------------------------------------------------------------------------------------------


def test_A22_a_usual_request_is_answered(http2: Http2) -> None:
    stream = http2.start(http2.head(x_filler="a" * 30_000))
    http2.flush()
    assert http2.status(stream) == 200


def test_A22_the_header_block_is_bounded(http2: Http2) -> None:
    """Granian itself would take 16 MiB."""
    stream = http2.start(http2.head(**{f"x{n}": "a" * 8000 for n in range(20)}))
    http2.flush()
    assert http2.status(stream) == 431


def test_A22_a_block_that_grows_by_decompression_is_bounded(server: Command, http2: Http2) -> None:
    """A field of 4 KB is put into the table of compression once, and named by one byte for each further time."""
    before = memory_of(server)
    name, value = b"x-bomb", b"a" * 3900
    literal = (
        b"\x40"
        + bytes([len(name)])
        + name
        + b"\x7f"
        + bytes([0x80 | ((len(value) - 127) & 127), (len(value) - 127) >> 7])
        + value
    )
    block = bytes([0x82, 0x84, 0x86]) + literal + b"\xbe" * 10_000
    frame = len(block).to_bytes(3, "big") + b"\x01\x05\x00\x00\x00\x01" + block
    http2.sock.sendall(frame)
    assert http2.status(1) in (431, 400, None)
    assert memory_of(server) - before < 50 * MIB


def test_A22_a_flood_of_continuations_ends_the_connection(server: Command) -> None:
    before = memory_of(server)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        piece = b"\x00\x04x-aa\x7f\xa1\x1d" + b"a" * 3900
        sock.sendall(START + len(piece).to_bytes(3, "big") + b"\x01\x01\x00\x00\x00\x01" + piece)
        continuation = len(piece).to_bytes(3, "big") + b"\x09\x00\x00\x00\x00\x01" + piece
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(10_000):  # 39 MB
                sock.sendall(continuation)
                sent += 1
    assert sent < 10_000, "nobody stopped it"
    assert memory_of(server) - before < 50 * MIB


def test_A22_rapid_resets_end_the_connection_or_cost_little(server: Command) -> None:
    """CVE-2023-44487: requests that are cancelled at once."""
    before = memory_of(server)
    http2 = Http2(server.port)
    with contextlib.suppress(OSError):
        for _ in range(100):
            for _ in range(100):
                http2.state.reset_stream(http2.start(http2.head()), 8)
            http2.flush()
    http2.close()
    assert memory_of(server) - before < 50 * MIB
    assert server.client.get("/").status_code == 200


# -- limits -----------------------------------------------------------------------------------------------------------


def test_the_apps_own_limits_hold(server: Command) -> None:
    assert server.client.get("/", headers={"x-filler": "a" * 60_000}).status_code == 200
    with contextlib.suppress(httpx2.TransportError):
        assert server.client.get("/", headers={"x-filler": "a" * 100_000}).status_code == 431
    assert server.client.post("/length", content=bytes(3_000_000)).status_code == 413
    assert server.client.get("/", headers={"host": "a b"}).status_code == 400


def test_one_version_alone(folder: Path) -> None:
    with granian(folder, "--http", "2") as command:
        connection = Http2(command.port)
        stream = connection.start(connection.head())
        connection.flush()
        assert connection.status(stream) == 200
        connection.close()
        with pytest.raises(httpx2.TransportError):
            command.client.get("/")


# -- processes and TLS ------------------------------------------------------------------------------------------------


def test_workers_are_respawned_and_die_with_their_parent(folder: Path) -> None:
    with granian(folder, "--workers", "2") as command:
        for number in (1, 2):
            command.wait_for(f'Started worker-{number}"')
        first = workers_of(command)[0]
        first.kill()
        wait_until(lambda: len(workers_of(command)) == 2 and first not in workers_of(command))
        left = workers_of(command)
        wait_until(lambda: len(workers_of(command)) == 2)
        # At once: one of them is still starting, and must end all the same.
        os.kill(command.process.pid, signal.SIGKILL)
        command.process.wait()
        wait_until(lambda: all(map(has_ended, left)))


def test_sighup_loads_new_code_and_keeps_the_old_where_it_is_broken(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)
    with granian(tmp_path) as command:
        before = command.client.get("/").json()
        broken = {
            "def broken(:\n": "SyntaxError",
            "import os\nos._exit(9)\n": "the process that tried to load it died",
            APP + "\n@app.get('/')\nasync def again() -> None: ...\n": "routes.duplicate",
        }
        for code, told in broken.items():
            app.write_text(code)
            command.process.send_signal(signal.SIGHUP)
            command.wait_for(f"the old code goes on serving.*{told}")
            assert command.client.get("/").json() == before
        app.write_text(APP.replace('"pid"', '"process"'))
        command.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "process" in httpx2.get(command.url).json())


def test_tls_and_http2_are_agreed_upon(folder: Path, ca: trustme.CA) -> None:
    with granian(folder, "--tls-certificate", "cert.pem", "--tls-key", "key.pem") as command:
        for offered, agreed in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")):
            context = ssl.create_default_context()
            ca.configure_trust(context)
            context.set_alpn_protocols(offered)
            plain = socket.create_connection(("127.0.0.1", command.port), timeout=PATIENCE)
            with context.wrap_socket(plain, server_hostname="localhost") as sock:
                assert sock.selected_alpn_protocol() == agreed
        context = ssl.create_default_context()
        ca.configure_trust(context)
        assert httpx2.get(command.url, verify=context).json()["scheme"] == "https"
        if shutil.which("curl"):
            options = ["-sS", "--http2", "--cacert", str(folder / "ca.pem"), "-w", "%{http_version}"]
            output = subprocess.run(["curl", *options, command.url], capture_output=True, text=True, check=False)
            assert output.stdout.endswith(("2", "1.1")), output.stderr


def test_a_unix_socket_is_served_with_its_permissions(folder: Path) -> None:
    with Command("run", "--server", "granian", "--uds", "s", "--uds-mode", "600", folder=folder, port=None) as command:
        command.wait_for(r"Started worker-\d+")
        wait_until(lambda: accepts(str(folder / "s")))
        assert (folder / "s").stat().st_mode & 0o777 == 0o600
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(folder / "s"))) as client:
            assert client.get("http://localhost/").status_code == 200


def test_lines_of_the_log_are_those_of_the_built_in_server(folder: Path) -> None:
    with granian(folder, "--access-log", "--log-format", "json") as command:
        command.client.get("/?a=1")
        command.wait_for('"logger":"quintet.access"')
        lines = [json.loads(line) for line in command.log.splitlines() if line.startswith("{")]
        access = next(line for line in lines if line["logger"] == "quintet.access")
        assert (access["method"], access["target"], access["status"]) == (
            "GET", "/?a=1", 200,
        )  # fmt: skip
        assert any("granian" in line["logger"] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0"), "Granian listens on one address"),
        (("--bind", "fd://0"), "Granian listens on one address"),
        (("--bind", "https://127.0.0.1:0"), "Granian speaks TLS where there is a certificate"),
        (
            ("--bind", "127.0.0.1:0", *("--tls-certificate", "cert.pem", "--tls-key", "key.pem") * 2),
            "Granian has one certificate",
        ),
        (("--bind", "127.0.0.1:0", "--tls-certificate", "no.pem"), "no.pem: the file cannot be read"),
    ],
)
def test_what_granian_cannot_do_is_told(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run_to_end("run", "--server", "granian", *arguments, folder=folder)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_built_in_server_says_that_it_has_no_http2(folder: Path) -> None:
    result = run_to_end("run", "--http", "2", folder=folder)
    assert "the built-in server has no HTTP/2" in result.stderr


# -- R31 --------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load (nghttp2-client) is not installed")
def test_R31_many_streams_of_many_connections_are_all_answered(server: Command) -> None:
    before = memory_of(server)
    command = ["h2load", "-n", "5000", "-c", "20", "-m", "100", server.url + "/"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", output)
    assert found, output
    assert [int(n) for n in found.groups()] == [5000, 0, 0]
    assert "status codes: 5000 2xx" in output
    assert memory_of(server) - before < 100 * MIB
