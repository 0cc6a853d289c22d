from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quintet.dev.reloader import FDS_VARIABLE, Snapshot, inherited_sockets

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sockets are inherited on POSIX")

SERVER = """
import asyncio
from quintet.dev.reloader import inherited_sockets
import answer

async def serve(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n" + answer.TEXT)
    await writer.drain()
    if head.startswith(b"GET /stream"):
        while True:
            await asyncio.sleep(0.05)
            writer.write(b".")
            await writer.drain()
    writer.close()

async def main():
    import signal
    # A server that takes its time, as one with open streams does.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
    (sock,) = inherited_sockets()
    async with await asyncio.start_server(serve, sock=sock) as server:
        await server.serve_forever()

asyncio.run(main())
"""

PARENT = """
import socket, sys
from pathlib import Path
from quintet.dev.reloader import run_with_reload
folder = Path(sys.argv[1])
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
sys.exit(run_with_reload([sys.executable, "-B", str(folder / "server.py")], watch=[folder], sockets=[sock]))
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "server.py").write_text(SERVER)
        self.write(b"one")
        (folder / "parent").write_text(PARENT)
        with (folder / "log").open("wb") as log:
            self.parent = subprocess.Popen(
                [sys.executable, folder / "parent", folder], stdout=subprocess.PIPE, stderr=log
            )
        assert self.parent.stdout is not None
        self.port = int(self.parent.stdout.readline())

    def write(self, text: bytes) -> None:
        (self.folder / "answer.py").write_text(f"TEXT = {text!r}\n")

    @contextmanager
    def connect(self, path: str = "/") -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            yield sock

    def get(self) -> str:
        with self.connect() as sock:
            data = b""
            while chunk := sock.recv(1000):
                data += chunk
        return data.partition(b"\r\n\r\n")[2].decode()

    def wait_for(self, text: str) -> float:
        begin = time.monotonic()
        while time.monotonic() - begin < 15:
            try:
                if self.get() == text:
                    return time.monotonic() - begin
            except ConnectionResetError:  # the old process ended while it answered
                pass
            time.sleep(0.01)
        raise AssertionError(f"{text!r} was never answered: {self.log()}")

    def wait_for_log(self, text: str) -> None:
        begin = time.monotonic()
        while text not in self.log():
            assert time.monotonic() - begin < 15, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def end(self) -> int:
        self.parent.send_signal(signal.SIGTERM)
        code = self.parent.wait(10)
        assert self.parent.stdout is not None
        self.parent.stdout.close()
        return code


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    project.wait_for("one")
    yield project
    if project.parent.poll() is None:
        project.end()


def test_changed_code_answers_soon_despite_open_streams(project: Project) -> None:
    with project.connect("/stream") as stream:
        assert stream.recv(1000)
        project.write(b"twofold")
        taken = project.wait_for("twofold")
    # 0.25 s to notice and 0.5 s for a child that does not end by itself; the bound leaves room for a busy machine.
    print(f"answered after {taken:.2f} s")
    assert taken < 8


def test_nobody_is_refused_while_the_app_starts_again(project: Project) -> None:
    project.write(b"twofold")
    answers: set[str] = set()
    begin = time.monotonic()
    while "twofold" not in answers:
        assert time.monotonic() - begin < 15
        try:
            answers.add(project.get())
        except ConnectionResetError:  # answered by the process that was ended
            continue
    assert answers <= {"one", "twofold", ""}


def test_a_syntax_error_is_told_and_the_old_app_stays(project: Project) -> None:
    (project.folder / "answer.py").write_text("TEXT = (\n")
    project.wait_for_log("Waiting for a change")
    assert re.search(r'File ".*answer.py", line 1\n    TEXT = \(\nSyntaxError: ', project.log())
    assert project.get() == "one"
    (project.folder / "unrelated.py").write_text("x = 1\n")
    time.sleep(0.6)
    assert project.get() == "one"
    project.write(b"mended")
    project.wait_for("mended")


def test_an_app_that_cannot_start_waits_for_a_change(project: Project) -> None:
    (project.folder / "answer.py").write_text("raise RuntimeError('broken')\n")
    project.wait_for_log("The app ended with code 1")
    assert "RuntimeError: broken" in project.log()
    with project.connect() as waiting:  # not refused, but answered later
        project.write(b"mended")
        assert waiting.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_a_signal_ends_parent_and_child(project: Project) -> None:
    assert project.end() == 0
    with pytest.raises(ConnectionRefusedError):
        project.get()


def test_snapshots_see_new_changed_and_lost_files(tmp_path: Path) -> None:
    def names(before: Snapshot) -> list[str]:
        return [path.name for path in before.changes(Snapshot.of([tmp_path, tmp_path / "absent"]))]

    for name in ("a.py", "b.html", ".env", "quintet.toml"):
        (tmp_path / name).write_text("")
    before = Snapshot.of([tmp_path])
    assert names(before) == []
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "new.py").write_text("")
    (tmp_path / "b.html").unlink()
    (tmp_path / ".env").write_text("A=1")
    assert names(before) == [".env", "b.html", "new.py"]


def test_what_is_not_the_projects_own_is_not_watched(tmp_path: Path) -> None:
    before = Snapshot.of([tmp_path])
    for folder in ("__pycache__", ".git", ".venv", "node_modules", "venv"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_text("")
    for name in ("db.sqlite3", "app.log", "x.pyc", "x.py~", ".x.py.swp"):
        (tmp_path / name).write_text("")
    (tmp_path / "gone.py").symlink_to(tmp_path / "absent")
    assert before.changes(Snapshot.of([tmp_path])) == []


def test_a_file_can_be_watched_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "settings.conf"
    file.write_text("")
    before = Snapshot.of([file])
    os.utime(file, (1, 1))
    assert before.changes(Snapshot.of([file])) == [file]


def test_without_a_parent_no_socket_is_inherited() -> None:
    assert inherited_sockets({}) == []
    with socket.create_server(("127.0.0.1", 0)) as server:
        (sock,) = inherited_sockets({FDS_VARIABLE: str(os.dup(server.fileno()))})
        with sock:
            assert sock.getsockname() == server.getsockname()


@pytest.mark.parametrize("name", ["data.json", "out.txt", "access.log", "shop.sqlite", "style.css", "export.xml"])
def test_what_an_app_may_write_itself_is_not_watched(tmp_path: Path, name: str) -> None:
    before = Snapshot.of([tmp_path])
    (tmp_path / name).write_text("written by a handler")
    assert before.changes(Snapshot.of([tmp_path])) == []
