"""Where `quintet run` listens: real processes on ports, paths and inherited sockets."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from quintet.cli._listening import ListeningOptions, listen
from quintet.errors import ConfigurationError
from tests.integration.command import PATIENCE, QUINTET, Command, run_to_end, wait_until

APP = """
from quintet import App, Request

app = App(docs=False)


@app.get("/")
async def index(request: Request) -> dict[str, str]:
    return {"client": request.client, "host": request.host}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def get_by_path(path: Path) -> httpx2.Response:
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), timeout=PATIENCE) as client:
        return client.get("http://localhost/")


def test_every_bind_is_served(folder: Path) -> None:
    arguments = ("--bind", "127.0.0.1:0", "--bind", "unix:s", "-b", "http://127.0.0.1:0/")
    with Command("run", *arguments, folder=folder, port=None) as command:
        urls = re.findall(r"http://127\.0\.0\.1:\d+", command.log)
        assert len(set(urls)) == 2
        for url in urls:
            assert httpx2.get(url).status_code == 200
        assert get_by_path(folder / "s").json() == {"client": "", "host": "localhost"}
    assert not (folder / "s").exists()


@needs_ipv6
def test_ipv6_and_ipv4_are_separate_addresses(folder: Path) -> None:
    with Command("run", "--bind", "[::]:0", folder=folder, port=None) as command:
        port = command.port
        assert httpx2.get(f"http://[::1]:{port}/").json()["client"] == "::1"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


@needs_ipv6
def test_an_empty_host_is_every_address_of_both_families(folder: Path) -> None:
    with Command("run", "--bind", ":0", folder=folder, port=None) as command:
        port = command.port
        assert httpx2.get(f"http://[::1]:{port}/").json()["client"] == "::1"
        assert httpx2.get(f"http://127.0.0.1:{port}/").json()["client"] == "127.0.0.1"


def test_localhost_is_served(folder: Path) -> None:
    with Command("run", "--bind", "localhost:0", folder=folder, port=None) as command:
        assert httpx2.get(f"http://localhost:{command.port}/").status_code == 200


def test_small_answers_do_not_wait_for_acknowledgements(folder: Path) -> None:
    code = (
        "import asyncio, socket\n"
        "from quintet.server.run import new_event_loop\n"
        "from quintet.server.sockets import open_socket\n"
        "async def main():\n"
        "    loop, found = asyncio.get_running_loop(), asyncio.Event()\n"
        "    class P(asyncio.Protocol):\n"
        "        def connection_made(self, transport):\n"
        "            sock = transport.get_extra_info('socket')\n"
        "            print(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)); found.set()\n"
        "    sock = open_socket('127.0.0.1', 0)\n"
        "    await loop.create_server(P, sock=sock)\n"
        "    await asyncio.open_connection(*sock.getsockname()); await found.wait()\n"
        "for make in (new_event_loop, asyncio.new_event_loop):\n"
        "    with asyncio.Runner(loop_factory=make) as r: r.run(main())\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert [int(line) > 0 for line in output.stdout.split()] == [True, True], output.stderr


# -- Unix sockets -----------------------------------------------------------------------------------------------------


def test_unix_sockets_have_the_permissions_asked_for(folder: Path) -> None:
    arguments = ["--uds", "s", "--uds-mode", "600"]
    if os.getuid() == 0:
        arguments += ["--uds-owner", "1:1"]
    with Command("run", *arguments, folder=folder, port=None):
        status = (folder / "s").stat()
        assert status.st_mode & 0o777 == 0o600
        assert os.getuid() or (status.st_uid, status.st_gid) == (1, 1)


def test_a_dead_socket_is_replaced_and_a_served_one_is_not(folder: Path) -> None:
    with Command("run", "--uds", "s", folder=folder, port=None) as first:
        result = run_to_end("run", "--uds", "s", folder=folder)
        assert result.returncode == 1
        assert "cannot listen on s: another process serves it" in result.stderr
        assert get_by_path(folder / "s").status_code == 200
        first.process.kill()
        first.process.wait()
    assert (folder / "s").exists()
    with Command("run", "--uds", "s", folder=folder, port=None):
        assert get_by_path(folder / "s").status_code == 200


def test_of_many_that_start_at_once_one_gets_a_dead_socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "s"))
    code = (
        "import sys, time\n"
        "from quintet.server.sockets import open_unix_socket\n"
        "sys.stdin.readline()\n"
        "try: sock = open_unix_socket('s')\n"
        "except Exception: print('taken', flush=True)\n"
        "else: print('mine', flush=True); sys.stdin.read()\n"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for starter in starters:
        assert starter.stdin
        starter.stdin.write("\n")
        starter.stdin.flush()
    answers = [starter.stdout.readline().strip() for starter in starters if starter.stdout]
    for starter in starters:
        starter.communicate(timeout=PATIENCE)
    assert sorted(answers) == ["mine", "taken", "taken", "taken"]


def test_another_server_that_has_taken_the_path_keeps_it(folder: Path) -> None:
    with Command("run", "--uds", "s", folder=folder, port=None):
        (folder / "s").unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(folder / "s"))
    assert (folder / "s").exists()


def test_what_is_no_socket_is_never_removed(folder: Path) -> None:
    (folder / "s").write_text("precious")
    result = run_to_end("run", "--uds", "s", folder=folder)
    assert result.returncode == 1
    assert "something that is no socket is there" in result.stderr
    assert (folder / "s").read_text() == "precious"


# -- inherited sockets ------------------------------------------------------------------------------------------------


@pytest.fixture
def handed_over() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


def start_inheriting(
    folder: Path, sock: socket.socket, *arguments: str, pid: str = ""
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start `quintet run` as systemd does: the socket is descriptor 3, the variables name the process."""
    code = (
        "import os, sys\n"
        f"os.dup2({sock.fileno()}, 3)\n"
        f"os.environ.update(LISTEN_FDS='1', LISTEN_FDNAMES='web', LISTEN_PID={pid!r} or str(os.getpid()))\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(QUINTET), "run", *arguments],
            cwd=folder,
            pass_fds=[sock.fileno()],
            stdout=out,
            stderr=out,
        )
    return process, log


@pytest.mark.parametrize("arguments", [(), ("--bind", "fd://3"), ("--bind", "fd://web")])
def test_a_socket_of_systemd_is_served(folder: Path, handed_over: socket.socket, arguments: tuple[str, ...]) -> None:
    process, log = start_inheriting(folder, handed_over, *arguments)
    try:
        # Clients that come before the server wait in the socket: that is what sockets of systemd are for.
        assert httpx2.get(f"http://127.0.0.1:{handed_over.getsockname()[1]}/", timeout=PATIENCE).status_code == 200
        wait_until(lambda: f"http://127.0.0.1:{handed_over.getsockname()[1]}" in log.read_text())
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_sockets_for_another_process_are_not_taken(folder: Path, handed_over: socket.socket) -> None:
    process, log = start_inheriting(folder, handed_over, "--bind", "fd://web", pid="1")
    assert process.wait(PATIENCE) == 1
    assert "no inherited socket has this name; those there are: none" in log.read_text()


# -- what goes wrong --------------------------------------------------------------------------------------------------

NOTHING: ListeningOptions = {
    "bind": (), "host": None, "port": None, "uds": None, "uds_mode": None, "uds_owner": "", "backlog": 128,
    "reuse_port": False, "tls_certificate": (), "tls_key": (),
}  # fmt: skip
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"bind": ("nonsense",)}, "'nonsense' is no address to listen on"),
    ({"bind": ("127.0.0.1:99999",)}, "is no address to listen on"),
    ({"bind": ("host:1:2",)}, "is no address to listen on"),
    ({"bind": ("no-such-host.invalid:0",)}, "cannot listen on no-such-host.invalid:0"),
    ({"bind": ("192.0.2.1:0",)}, "name an address of this machine"),
    ({"bind": ("fd://777",)}, "this is no inherited socket"),
    ({"bind": ("fd://0",)}, "cannot listen on fd://0"),
    ({"bind": ("unix:" + "x" * 120,)}, "the path is longer than"),
    ({"bind": ("unix:no/such/folder/s",)}, "make the folder no/such/folder"),
    ({"uds": "s", "uds_mode": "999"}, "'999' is no set of permissions"),
    ({"uds": "s", "uds_owner": "nobody-of-this-name"}, "there is no user or group"),
    ({"bind": ("127.0.0.1:0",), "port": 1}, "there are both --bind and --host, --port or --uds"),
    ({"bind": ("https://127.0.0.1:0",)}, "there is an https:// address and no certificate"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[m[:40] for _, m in MISTAKES])
def test_a_wrong_address_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        listen(cast("ListeningOptions", {**NOTHING, **options}))
    assert message in str(caught.value)


def test_all_wrong_addresses_are_told_together_and_none_stays_open(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        binds = ("--bind", f"127.0.0.1:{port}", "--bind", "unix:s", "--bind", "fd://77")
        result = run_to_end("run", *binds, folder=folder)
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert f"another port, such as {port + 1}" in result.stderr
    assert "cannot listen on fd://77" in result.stderr
    assert not (folder / "s").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not open port 80")
def test_a_privileged_port_is_told(tmp_path: Path) -> None:
    if Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip() != "1024":
        pytest.skip("ports below 1024 are for everyone here")
    code = (
        "from quintet.server.sockets import open_socket\nimport encodings.idna, os\nos.setuid(65534)\n"
        "try: open_socket('127.0.0.1', 81)\nexcept Exception as exc: print(exc)\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "ports below 1024 are not for this user" in output.stdout
    assert "CAP_NET_BIND_SERVICE" in output.stdout


def test_two_servers_share_a_port_that_both_open(folder: Path) -> None:
    with Command("run", "--bind", "127.0.0.1:0", "--reuse-port", folder=folder, port=None) as first:
        address = f"127.0.0.1:{first.port}"
        with Command("run", "--bind", address, "--reuse-port", folder=folder, port=None) as second:
            assert second.client.get("/").status_code == 200
        wait_until(lambda: first.client.get("/").status_code == 200)
        assert run_to_end("run", "--bind", address, folder=folder).returncode == 1
