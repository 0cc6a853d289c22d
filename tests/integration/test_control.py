"""`quintet reload`, `status` and `stop`, signals of terminals, systemd: speaking to a server that runs."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.integration.command import PATIENCE, QUINTET, run_to_end, wait_until
from tests.integration.processes import APP, Supervised, has_ended

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no supervised workers on Windows")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_status_shows_each_worker(folder: Path) -> None:
    with Supervised("--workers", "2", folder=folder) as server:
        for _ in range(5):
            server.ask()
        wait_until(lambda: server.status()["totals"]["requests"] == 5)
        status = server.status()
        assert status["addresses"] == [server.url]
        assert {worker["pid"] for worker in status["workers"]} == {worker.pid for worker in server.workers()}
        assert all(worker["memory"] > 1 << 20 for worker in status["workers"])
        text = server.quintet("status").stdout
        assert text.startswith(f"{server.pid} supervises {server.url} for ")
        assert text.count("serving") == 2


def test_stop_waits_until_the_server_has_ended(folder: Path) -> None:
    with Supervised(folder=folder) as server:
        assert server.quintet("stop").stdout == "Stopped.\n"
        assert server.process.wait(PATIENCE) == 0


def test_servers_are_told_apart(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Supervised(folder=folder) as first, Supervised(folder=folder) as second:
        done = first.quintet("reload")
        assert done.returncode == 1
        assert "there are 2 servers" in done.stderr
        assert f"{first.pid}: {first.url}" in done.stderr
        done = first.quintet("reload", "--pid", str(second.pid))
        assert done.returncode == 0
        assert second.url in done.stdout
        second.stop()
        assert first.quintet("reload").returncode == 0
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        done = subprocess.run(
            [QUINTET, "reload"],
            cwd=elsewhere,
            env={**os.environ, **first.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "there is no server of this user that was started in" in done.stderr


def test_a_server_that_was_killed_leaves_nothing_in_the_way(folder: Path) -> None:
    with Supervised(folder=folder) as server:
        server.kill_all()
        (left,) = (folder / "runtime" / "quintet").iterdir()
        assert server.quintet("stop").returncode == 1
        assert not left.exists()


def test_settings_may_name_the_control_socket_and_a_pid_file(folder: Path) -> None:
    (folder / "quintet.toml").write_text('[server]\ncontrol = "control.sock"\npid_file = "server.pid"\n')
    with Supervised(folder=folder) as server:
        path = folder / "control.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (folder / "server.pid").read_text() == f"{server.pid}\n"
        assert server.quintet("reload").returncode == 0
        for junk in (b"no json\n", b"[1]\n", b'{"command":"dance"}\n', b"x" * 10_000, b""):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(str(path))
                sock.sendall(junk)
                sock.shutdown(socket.SHUT_WR)
                try:
                    answer = sock.recv(1000)
                except ConnectionResetError:
                    answer = b""
                assert not answer or "error" in json.loads(answer)
        assert server.ask()["version"] == "one"
        assert server.stop() == 0
        assert not path.exists()
        assert not (folder / "server.pid").exists()


def test_a_unix_socket_goes_with_the_server_unless_another_one_has_it(folder: Path) -> None:
    path = folder / "s"
    command = [QUINTET, "run", "--uds", str(path)]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        wait_until(path.exists)
        result = run_to_end("run", "--uds", str(path), folder=folder)
        assert result.returncode == 1
        assert f"cannot listen on {path}" in result.stderr
        assert path.exists()
        path.rename(folder / "moved")
        path.write_text("of somebody else")
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert path.read_text() == "of somebody else"


def test_a_terminal_that_is_closed_ends_the_server(folder: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(QUINTET, [str(QUINTET), "run", "--port", "0"])
    try:
        seen = b""

        def served() -> bool:
            nonlocal seen
            seen += os.read(terminal, 4096)
            return b"Quintet serves" in seen

        wait_until(served)
        process = psutil.Process(pid)
        workers = process.children()
        process.send_signal(signal.SIGHUP)  # with its terminal there, this reloads

        def reloaded() -> bool:
            nonlocal seen
            seen += os.read(terminal, 4096)
            return b"reloaded" in seen

        wait_until(reloaded)
    finally:
        os.close(terminal)
    wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)
    wait_until(lambda: all(map(has_ended, workers)))


def test_systemd_hears_of_start_reload_and_stop(folder: Path) -> None:
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(PATIENCE)

        def hear() -> str:
            while (text := systemd.recv(1000).decode().splitlines()[0]) == "WATCHDOG=1":
                pass
            return text

        env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
        with Supervised(folder=folder, env=env) as server:
            assert hear() == "READY=1"
            assert systemd.recv(1000) == b"WATCHDOG=1"
            server.process.send_signal(signal.SIGHUP)
            assert [hear(), hear()] == ["RELOADING=1", "READY=1"]
            (folder / "app.py").write_text("broken")
            server.process.send_signal(signal.SIGHUP)
            assert [hear(), hear()] == ["RELOADING=1", "READY=1"]
            server.process.terminate()
            assert hear() == "STOPPING=1"
