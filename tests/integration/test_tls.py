"""TLS of the built-in server: real processes, real clients, certificates made for the test."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
import trustme
import websockets
from websockets.asyncio.client import connect

from quintet.errors import ConfigurationError
from quintet.server.certificates import TLSSettings, build_context
from tests.integration.command import PATIENCE, Command, run_to_end, wait_until

APP = """
import asyncio
from collections.abc import AsyncIterator

from quintet import App, Request, Stream, WebSocket

app = App(docs=False)


@app.get("/")
async def index(request: Request) -> dict[str, str]:
    return {"scheme": request.scheme, "url": request.url}


@app.get("/big")
async def big() -> bytes:
    return bytes(range(256)) * 40_000


@app.get("/stream")
async def stream() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for n in range(50):
            yield bytes([n]) * 20_000
            await asyncio.sleep(0)

    return Stream(chunks(), media_type="application/octet-stream")


@app.post("/length", max_body=50_000_000)
async def length(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@app.websocket("/echo")
async def echo(ws: WebSocket[str, str]) -> None:
    async for message in ws:
        await ws.send(message)
"""


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def write_certificate(ca: trustme.CA, folder: Path, name: str, *hosts: str, **options: datetime.datetime) -> list[str]:
    """Write `<name>.pem` and `<name>.key`; return the options that name them."""
    found = ca.issue_cert(*(hosts or ("localhost", "127.0.0.1")), **options)
    # Written beside and renamed, as tools that renew certificates do.
    for suffix, blobs in (("key", [found.private_key_pem]), ("pem", found.cert_chain_pems)):
        temporary = folder / f"{name}.{suffix}.new"
        temporary.write_bytes(b"".join(blob.bytes() for blob in blobs))
        temporary.rename(folder / f"{name}.{suffix}")
    return ["--tls-certificate", f"{name}.pem", "--tls-key", f"{name}.key"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    (folder / "app.py").write_text(APP)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, ca: trustme.CA) -> Iterator[Command]:
    arguments = write_certificate(ca, folder, "main")
    environment = {"TLS_HANDSHAKE_TIMEOUT": "1", "TLS_RELOAD_INTERVAL": "0.1", "APP_KEEP_ALIVE": "60"}
    binds = ["--bind", "127.0.0.1:0", "--bind", "http://127.0.0.1:0"]
    with Command("run", *binds, *arguments, folder=folder, port=None, env=environment) as command:
        yield command
        assert command.process.poll() is None
        assert "Traceback" not in command.log


@pytest.fixture
def client(server: Command, trust: ssl.SSLContext) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, verify=trust, timeout=PATIENCE, trust_env=False) as client:
        yield client


def open_tls(port: int, context: ssl.SSLContext, name: str = "localhost", **options: bool) -> ssl.SSLSocket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    return context.wrap_socket(sock, server_hostname=name, **options)


def ask(sock: socket.socket, path: str = "/", *fields: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "host: localhost", *fields, "", ""]
    sock.sendall("\r\n".join(lines).encode())
    return sock.recv(65536)


# -- what is spoken ---------------------------------------------------------------------------------------------------


def test_https_is_served_and_says_so(client: httpx2.Client, server: Command) -> None:
    assert client.get("/").json() == {"scheme": "https", "url": f"{server.url}/"}
    assert "strict-transport-security" not in client.get("/").headers
    assert server.url.startswith("https://")


def test_a_bind_with_http_stays_plain(server: Command) -> None:
    url = server.wait_for(r" (http://127[^ ]+)")
    assert httpx2.get(url).json()["scheme"] == "http"


def test_large_answers_streams_and_uploads_arrive_whole(client: httpx2.Client) -> None:
    assert client.get("/big").content == bytes(range(256)) * 40_000
    assert client.get("/stream").content == b"".join(bytes([n]) * 20_000 for n in range(50))
    assert client.post("/length", content=bytes(20_000_000)).json() == 20_000_000


def test_the_loop_of_asyncio_does_the_same(folder: Path, ca: trustme.CA, trust: ssl.SSLContext) -> None:
    code = "import sys; sys.modules['uvloop'] = None\nfrom quintet.cli.main import main\nmain()"
    arguments = write_certificate(ca, folder, "slow")
    log = folder / "slow.log"
    with log.open("wb") as out:
        command = [sys.executable, "-c", code, "run", "app.py", "--workers", "0", "--port", "0", *arguments]
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
    try:
        wait_until(lambda: "Quintet serves" in log.read_text(), log.read_text)
        url = log.read_text().split()[2]
        with httpx2.Client(base_url=url, verify=trust, timeout=PATIENCE, trust_env=False) as client:
            assert client.get("/big").content == bytes(range(256)) * 40_000
            assert client.post("/length", content=bytes(5_000_000)).json() == 5_000_000
            assert client.get("/").json()["scheme"] == "https"
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert "Traceback" not in log.read_text()


def test_a_client_may_close_its_side_and_read_on(server: Command, trust: ssl.SSLContext) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        while True:
            try:
                near.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        near.write(b"POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc")
        with contextlib.suppress(ssl.SSLWantReadError):
            near.unwrap()
        sock.sendall(outgoing.read())
        sock.shutdown(socket.SHUT_WR)
        received = b""
        while piece := sock.recv(65536):
            incoming.write(piece)
        with contextlib.suppress(ssl.SSLWantReadError):
            received = near.read(65536)
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert received.endswith(b"3")


def test_connections_are_kept_and_pipelined(server: Command, trust: ssl.SSLContext) -> None:
    with open_tls(server.port, trust) as sock:
        assert b'"scheme":"https"' in ask(sock)
        sock.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * 5)
        received = b""
        while received.count(b'"scheme":"https"') < 5:
            received += sock.recv(65536)
        assert received.count(b"HTTP/1.1 200 OK") == 5


async def test_secure_websockets(server: Command, trust: ssl.SSLContext) -> None:
    async with connect(f"wss://localhost:{server.port}/echo", ssl=trust) as ws:
        for text in ("hello", "x" * 300_000):
            await ws.send(text)
            assert await ws.recv() == text
    assert ws.close_code == 1000


@pytest.mark.parametrize("cut", [1, 3, 100])
def test_records_may_arrive_in_pieces(server: Command, trust: ssl.SSLContext, cut: int) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send() -> None:
            data = outgoing.read()
            for start in range(0, len(data), cut):
                sock.sendall(data[start : start + cut])

        while True:
            try:
                near.do_handshake()
                break
            except ssl.SSLWantReadError:
                send()
                incoming.write(sock.recv(65536))
        near.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        send()
        while True:
            try:
                assert near.read(65536).startswith(b"HTTP/1.1 200 OK")
                break
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))


def test_http_1_1_is_agreed_upon(server: Command, ca: trustme.CA) -> None:
    for offered, agreed in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
        context = ssl.create_default_context()
        ca.configure_trust(context)
        context.set_alpn_protocols(offered)
        with open_tls(server.port, context) as sock:
            assert sock.selected_alpn_protocol() == agreed
            assert b"200 OK" in ask(sock)


def test_old_versions_and_weak_ciphers_are_refused(server: Command) -> None:
    for version, ciphers in (
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES128-SHA:@SECLEVEL=0"),  # no forward secrecy
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0"),  # no AEAD
        (ssl.TLSVersion.TLSv1_2, "aNULL:@SECLEVEL=0"),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers(ciphers)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.deprecated_call() if version < ssl.TLSVersion.TLSv1_2 else contextlib.nullcontext():
            context.maximum_version = version
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            open_tls(server.port, context)


def test_both_versions_are_spoken(server: Command, ca: trustme.CA) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context()
        ca.configure_trust(context)
        context.minimum_version = context.maximum_version = version
        with open_tls(server.port, context) as sock:
            assert sock.version() == version.name.replace("_", ".").replace("TLSv1.", "TLSv1.")
            assert b"200 OK" in ask(sock)
            assert b"connection: close" in ask(sock, "/", "connection: close")
            assert sock.recv(10) == b""  # by the message that TLS has for it, or this would raise


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_served(server: Command, folder: Path, ca: trustme.CA) -> None:
    ca.cert_pem.write_to_path(folder / "ca.pem")
    for version in ("--http1.1", "--http2"):
        command = ["curl", "-sS", version, "--cacert", str(folder / "ca.pem"), f"https://localhost:{server.port}/"]
        output = subprocess.run(command, capture_output=True, text=True, check=False)
        if output.returncode == 2:  # this curl has no HTTP/2
            continue
        assert '"scheme":"https"' in output.stdout, output.stderr


# -- clients that do it wrong -----------------------------------------------------------------------------------------


def test_plain_http_on_the_port_of_https_is_told(server: Command) -> None:
    before = server.log
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 400 Bad Request")
        assert b"This port speaks HTTPS" in answer
    assert server.log == before


@pytest.mark.parametrize(
    "data",
    [b"\x00" * 100, b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff" + bytes(70_000), b"\x80\x2e\x01", b"\xff"],
    ids=["zeros", "no hello", "huge", "ssl2", "byte"],
)  # fmt: skip
def test_what_is_no_handshake_ends_the_connection_without_a_word_in_the_log(server: Command, data: bytes) -> None:
    before = server.log
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock, contextlib.suppress(OSError):
        sock.sendall(data)
        while sock.recv(65536):
            pass
    assert server.log == before


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silence", "half a hello"])
def test_slow_handshakes_end_at_their_deadline(server: Command, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        sock.sendall(sent)
        begin = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        assert time.monotonic() - begin > 0.5


def test_a_broken_record_ends_its_connection_alone(
    server: Command, trust: ssl.SSLContext, client: httpx2.Client
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
        while True:
            try:
                near.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        near.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        sock.sendall(record)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(65536):
                pass
    assert client.get("/").status_code == 200


def test_a_truncated_body_is_not_taken_for_a_whole_one(server: Command, trust: ssl.SSLContext) -> None:
    with open_tls(server.port, trust) as sock:
        sock.sendall(b"POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc")
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            assert b" 200 " not in sock.recv(65536)


def test_an_answer_reaches_a_client_that_is_still_sending(server: Command, trust: ssl.SSLContext) -> None:
    """The answer 413 must not be lost by a reset, while the client pushes what nobody reads."""
    with open_tls(server.port, trust) as sock:
        sock.sendall(b"POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 90000000\r\n\r\n" + bytes(200_000))
        assert sock.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_client_that_does_not_read_makes_the_handler_wait(server: Command, trust: ssl.SSLContext) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    with open_tls(server.port, trust) as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n" * 10)
        time.sleep(0.5)
        assert process.memory_info().rss - before < 50_000_000  # ten answers have 102 MB
        received = 0
        while received < 102_400_000:
            piece = sock.recv(1 << 20)
            assert piece, received
            received += len(piece)


# -- certificates -----------------------------------------------------------------------------------------------------


def serial_of(port: int, trust: ssl.SSLContext, name: str = "localhost") -> str:
    with open_tls(port, trust, name) as sock:
        found = sock.getpeercert()
        assert found
        return str(found["serialNumber"])


def test_new_certificates_are_taken_while_connections_go_on(
    server: Command, folder: Path, ca: trustme.CA, trust: ssl.SSLContext
) -> None:
    first = serial_of(server.port, trust)
    with open_tls(server.port, trust) as sock:
        assert b"200 OK" in ask(sock)
        write_certificate(ca, folder, "main")
        wait_until(lambda: serial_of(server.port, trust) != first)
        second = serial_of(server.port, trust)
        # A broken file leaves the last good one in use.
        (folder / "main.pem").write_text("-----BEGIN CERTIFICATE-----\nbroken\n")
        server.wait_for("the new TLS certificates cannot be used, those before them stay")
        time.sleep(0.3)
        assert server.log.count("cannot be used") == 1  # once, not at every look
        assert serial_of(server.port, trust) == second
        write_certificate(ca, folder, "main")
        wait_until(lambda: serial_of(server.port, trust) != second)
        assert b"200 OK" in ask(sock)


def test_the_certificate_is_chosen_by_name(tmp_path: Path, ca: trustme.CA, trust: ssl.SSLContext) -> None:
    (tmp_path / "app.py").write_text(APP)
    arguments = write_certificate(ca, tmp_path, "a", "a.example")
    arguments += write_certificate(ca, tmp_path, "b", "b.example", "*.b.example")
    with Command("run", *arguments, folder=tmp_path) as command:
        serials = {name: serial_of(command.port, trust, name) for name in ("a.example", "b.example", "x.b.example")}
        assert serials["b.example"] == serials["x.b.example"] != serials["a.example"]
        lenient = ssl.create_default_context()
        ca.configure_trust(lenient)
        lenient.check_hostname = False
        for name in ("unknown.example", "y.x.b.example", ""):
            sock = socket.create_connection(("127.0.0.1", command.port), timeout=PATIENCE)
            with lenient.wrap_socket(sock, server_hostname=name or None) as secure:
                found = secure.getpeercert()
                assert found
                assert found["serialNumber"] == serials["a.example"], name


def test_workers_share_the_port_of_https(tmp_path: Path, ca: trustme.CA, trust: ssl.SSLContext) -> None:
    (tmp_path / "app.py").write_text(
        APP + "\nimport os\n\n@app.get('/pid')\nasync def pid() -> int:\n    return os.getpid()\n"
    )
    arguments = write_certificate(ca, tmp_path, "main")
    with Command("run", "--workers", "2", *arguments, folder=tmp_path) as command:
        pids: set[int] = set()
        clients: list[httpx2.Client] = []
        try:
            # Which of them gets a connection is chance: eight in a row go to one in one run of 128.
            while len(clients) < 8 or (len(pids) < 2 and len(clients) < 64):
                client = httpx2.Client(base_url=command.url, verify=trust, trust_env=False)
                clients.append(client)
                pids.add(client.get("/pid").json())
                assert client.get("/big").content == bytes(range(256)) * 40_000
            command.process.send_signal(signal.SIGHUP)
            wait_until(lambda: clients[0].get("/pid").json() not in pids, lambda: command.log)
            assert all(client.get("/").status_code == 200 for client in clients)
        finally:
            for client in clients:
                client.close()
        assert len(pids) == 2


def test_a_plain_bind_redirects_to_the_one_with_tls(tmp_path: Path, ca: trustme.CA, trust: ssl.SSLContext) -> None:
    (tmp_path / "app.py").write_text(APP)
    arguments = ["--bind", "https://127.0.0.1:0", "--bind", "http://127.0.0.1:0"]
    arguments += write_certificate(ca, tmp_path, "main")
    environment = {"APP_HTTPS_REDIRECT": "true", "APP_HTTPS": "true", "APP_HTTPS_PORT": "8443"}
    with Command("run", *arguments, folder=tmp_path, port=None, env=environment) as command:
        plain = command.wait_for(r"(http://127[^ ]+)")
        page = httpx2.get(f"{plain}/big?a=1", headers={"accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (301, "https://127.0.0.1:8443/big?a=1")
        assert httpx2.get(f"{plain}/").status_code == 403
        with httpx2.Client(verify=trust, base_url=command.url) as client:
            assert client.get("/").headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("asked", ["optional", "required"])
def test_clients_show_certificates(tmp_path: Path, ca: trustme.CA, asked: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    arguments = write_certificate(ca, tmp_path, "main")
    environment = {"TLS_CLIENT_CA": "ca.pem", "TLS_CLIENT_CERTIFICATES": asked}
    with Command("run", *arguments, folder=tmp_path, env=environment) as command:

        def answer(issuer: trustme.CA | None) -> bytes:
            context = ssl.create_default_context()
            ca.configure_trust(context)
            if issuer is not None:
                issuer.issue_cert("client@example.com").configure_cert(context)
            try:
                with open_tls(command.port, context) as sock:
                    return ask(sock)
            except (ssl.SSLError, ConnectionResetError):
                return b""

        assert b"200 OK" in answer(ca)
        assert (b"200 OK" in answer(None)) == (asked == "optional")
        assert answer(trustme.CA()) == b""


def test_an_encrypted_key_and_settings_of_the_environment(
    tmp_path: Path, ca: trustme.CA, trust: ssl.SSLContext
) -> None:
    from cryptography.hazmat.primitives import serialization

    (tmp_path / "app.py").write_text(APP)
    write_certificate(ca, tmp_path, "main")
    key = serialization.load_pem_private_key((tmp_path / "main.key").read_bytes(), None)
    (tmp_path / "main.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"s3cret"),
        )
    )
    environment = {"TLS_CERTIFICATE": "main.pem", "TLS_KEY": "main.key", "TLS_KEY_PASSWORD": "s3cret"}
    with Command("run", folder=tmp_path, env=environment) as command:
        assert serial_of(command.port, trust)
        assert "s3cret" not in command.log
    result = run_to_end("run", "--tls-certificate", "main.pem", "--tls-key", "main.key", folder=tmp_path)
    assert "the password of the key is missing or wrong" in result.stderr


def test_mistakes_are_told_together(tmp_path: Path, ca: trustme.CA) -> None:
    (tmp_path / "app.py").write_text(APP)
    write_certificate(ca, tmp_path, "a")
    write_certificate(ca, tmp_path, "b")
    (tmp_path / "text.pem").write_text("nothing")
    for certificates, keys, message in (
        ([], ["a.key"], "there is a key and no certificate"),
        (["a.pem"], ["b.key"], "the key does not belong to the certificate"),
        (["a.pem"], [], "these are no certificate and key in PEM format"),
        (["text.pem"], ["a.key"], "these are no certificate and key in PEM format"),
        (["no.pem"], ["a.key"], "the file cannot be read"),
        (["a.pem"], ["a.key", "b.key"], "1 certificates and 2 keys"),
        (["a.pem", "b.pem"], ["no", "a.key"], "2 problems"),
    ):
        settings = TLSSettings(
            certificate=tuple(str(tmp_path / name) for name in certificates),
            key=tuple(str(tmp_path / name) for name in keys),
        )
        with pytest.raises(ConfigurationError) as caught:
            build_context(settings)
        assert message in str(caught.value)
    result = run_to_end("run", "--tls-certificate", "a.pem", "--tls-key", "b.key", folder=tmp_path)
    assert result.returncode == 1
    assert "the key does not belong to the certificate" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_certificate_that_ends_soon_is_told(tmp_path: Path, ca: trustme.CA) -> None:
    (tmp_path / "app.py").write_text(APP)
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    arguments = write_certificate(ca, tmp_path, "soon", not_after=now + 3 * day)
    arguments += write_certificate(ca, tmp_path, "late", not_before=now - 9 * day, not_after=now - day)
    with Command("run", *arguments, folder=tmp_path) as command:
        command.wait_for("the certificate soon.pem ends on")
        command.wait_for("the certificate late.pem ended on .*: browsers refuse it")


# -- the end, and what it costs ---------------------------------------------------------------------------------------


async def test_a_stopping_server_ends_in_order(tmp_path: Path, ca: trustme.CA, trust: ssl.SSLContext) -> None:
    (tmp_path / "app.py").write_text(APP)
    arguments = write_certificate(ca, tmp_path, "main")
    with Command("run", *arguments, folder=tmp_path) as command:
        idle = open_tls(command.port, trust)
        assert b"200 OK" in ask(idle)
        begun = socket.create_connection(("127.0.0.1", command.port), timeout=PATIENCE)
        async with connect(f"wss://localhost:{command.port}/echo", ssl=trust) as ws:
            command.process.terminate()
            with pytest.raises(websockets.ConnectionClosed):
                await ws.recv()
            assert ws.close_code == 1001
        assert idle.recv(10) == b""
        begin = time.monotonic()
        assert command.stop() == 0
        assert time.monotonic() - begin < 5
        idle.close()
        begun.close()
        assert "Traceback" not in command.log


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is measured as Linux counts it")
def test_an_idle_connection_takes_little_memory(server: Command, trust: ssl.SSLContext) -> None:
    process = psutil.Process(server.process.pid)

    def open_many(number: int) -> list[ssl.SSLSocket]:
        found = [open_tls(server.port, trust) for _ in range(number)]
        for sock in found:
            assert b"200 OK" in ask(sock)
        return found

    warm = open_many(20)
    before = process.memory_info().rss
    many = open_many(200)
    each = (process.memory_info().rss - before) / 200
    for sock in (*warm, *many):
        sock.close()
    assert each < 32 * 1024, f"{each / 1024:.1f} KiB"
