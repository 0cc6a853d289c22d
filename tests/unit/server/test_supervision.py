"""The parts of supervision that need no server: the link, systemd's protocol, cores, the watch over the parent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised workers are POSIX processes")
if os.name == "posix":
    from quintet.server import control
    from quintet.server.link import Link
    from quintet.server.notify import Notifier
    from quintet.server.settings import ServerSettings, usable_cores, worker_count


def test_a_link_carries_messages_and_descriptors_however_they_are_cut() -> None:
    ours, theirs = (Link(sock) for sock in socket.socketpair())
    reading, writing = os.pipe()
    ours.send({"text": "ä" * 10_000}, [writing])
    ours.send({"second": 2})
    message, descriptors = theirs.receive_first()
    assert message == {"text": "ä" * 10_000}
    os.write(descriptors[0], b"through")
    assert os.read(reading, 10) == b"through"
    assert theirs.receive() == [{"second": 2}]
    theirs.socket.sendall(b'{"half"')
    assert ours.receive() == []
    theirs.socket.sendall(b":1}\n{}\n")
    assert ours.receive() == [{"half": 1}, {}]
    theirs.close()
    assert ours.receive() == []
    assert ours.closed
    ours.send({"nobody": "reads"})
    ours.close()
    for descriptor in (reading, writing, *descriptors):
        os.close(descriptor)


def test_a_link_whose_other_side_ends_before_its_first_message_says_so() -> None:
    ours, theirs = (Link(sock) for sock in socket.socketpair())
    ours.close()
    with pytest.raises(EOFError):
        theirs.receive_first()
    theirs.close()


def test_systemd_is_told_each_state(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())})
        assert notifier.interval == 2
        notifier.ready("2 workers")
        assert systemd.recv(1000) == b"READY=1\nSTATUS=2 workers"
        notifier.reloading()
        first, usec, *_ = systemd.recv(1000).decode().splitlines()
        assert first == "RELOADING=1"
        assert abs(int(usec.removeprefix("MONOTONIC_USEC=")) / 1e6 - time.monotonic()) < 60
        notifier.alive()
        assert systemd.recv(1000) == b"WATCHDOG=1"
        notifier.stopping()
        assert systemd.recv(1000).startswith(b"STOPPING=1\n")
    notifier.alive()  # systemd has gone: nothing happens


def test_without_systemd_nothing_is_told() -> None:
    assert Notifier({}).interval == 0
    assert Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).interval == 0
    Notifier({}).ready("")


def test_the_number_of_workers_is_that_of_the_usable_cores() -> None:
    assert usable_cores() >= 1
    assert worker_count(ServerSettings(workers="auto")) == usable_cores()
    assert worker_count(ServerSettings(workers=3)) == 3


def test_a_process_ends_when_it_gets_another_parent(tmp_path: Path) -> None:
    """The way of systems that do not signal the death of a parent: the middle process dies, its child notices."""
    code = (
        "import os, sys, time\nfrom quintet.server.worker import wait_for_end\n"
        "parent = os.getpid()\npid = os.fork()\n"
        "if pid == 0:\n    print(os.getpid(), flush=True)\n    wait_for_end(parent, 0.02)\n"
        "time.sleep(0.2)\nos._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    child = int(done.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_control_sockets_stand_in_a_folder_of_the_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = control.control_folder()
    assert folder == tmp_path / "quintet"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="this user alone"):
        control.control_folder()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        control.control_folder()
