"""One `quintet run` process for all tests, and one configured as a deployment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.security.wire import Server

APP = Path(__file__).with_name("app.py")
RENDER = (
    '<!doctype html><title>{{ text }}</title><p title="{{ text }}">{{ text }}</p>'
    "<p>{{ text|truncate(50) }}</p><p>{{ text|striptags }}</p><p>{{ text|urlize }}</p><p>{{ text|upper }}</p>"
)


def start(root: Path, name: str) -> Server:
    """Start a server and wait until it is ready."""
    log = root / f"{name}.log"
    environment = {**os.environ, "QUINTET_SECURITY_ROOT": str(root), "NO_COLOR": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "quintet",
                "run",
                f"{APP}:{name}",
                "--port",
                "0",
                "--access-log",
                "--log-format",
                "json",
            ],
            stdout=out,
            stderr=out,
            env=environment,
            cwd=root,
        )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text(errors="replace"))
        if found:
            return Server(process, int(found[1]), log)
        time.sleep(0.05)
    process.kill()
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')}")


def end(server: Server) -> None:
    """Check that the process is the one that was started, and stop it."""
    assert server.process.poll() is None, server.log.read_text(errors="replace")[-5000:]
    server.process.terminate()
    assert server.process.wait(20) == 0


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of everything that the apps serve and store."""
    root = tmp_path_factory.mktemp("security")
    for name in ("static", "static_secret", "stored", "templates"):
        (root / name).mkdir()
    (root / "static" / "page.txt").write_text("0123456789" * 10)
    (root / "static" / "big.bin").write_bytes(bytes(1024 * 1024))
    (root / "static" / "page.html").write_text("<p>page</p>")
    (root / "static" / "folder").mkdir()
    (root / "static" / "folder" / "inside.txt").write_text("inside")
    (root / "static" / ".env").write_text("SECRET=hunter2")
    (root / "static" / ".git").mkdir()
    (root / "static" / ".git" / "config").write_text("hunter2")
    (root / "static" / "link.txt").symlink_to("/etc/passwd")
    (root / "static" / "folder-link").symlink_to(root / "static_secret")
    (root / "static" / "page.txt.gz").symlink_to("/etc/passwd")
    (root / "static_secret" / "x").write_text("hunter2")
    (root / "templates" / "render.html").write_text(RENDER)
    (root / "templates" / "fail.html").write_text("<p>{{ nothing.attribute.more }}</p>")
    return root


@pytest.fixture(scope="session")
def server(root: Path) -> Iterator[Server]:
    """The app without any configuration."""
    server = start(root, "app")
    pid = server.probe()["pid"]
    yield server
    assert server.probe()["pid"] == pid, "the worker died on the way"
    end(server)


@pytest.fixture(scope="session")
def guarded(root: Path) -> Iterator[Server]:
    """The app of a deployment: allowed hosts, a trusted proxy, CORS, small limits."""
    server = start(root, "guarded")
    yield server
    end(server)


@pytest.fixture(scope="session")
def secured(root: Path) -> Iterator[Server]:
    """An app that is served over HTTPS alone, behind a trusted proxy."""
    server = start(root, "secured")
    yield server
    end(server)


@pytest.fixture(autouse=True)
def alive(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test the same worker must still answer."""
    yield
    for name in ("server", "guarded", "secured"):
        if name in request.fixturenames:
            running: Server = request.getfixturevalue(name)
            assert running.process.poll() is None, running.log.read_text(errors="replace")[-3000:]
