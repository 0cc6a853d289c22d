"""A PostgreSQL server of the test's own is restarted under load: requests fail for a moment, and none hangs."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from quintet import App
from quintet.db import Database, PoolOptions, Session, SyncSession
from quintet.testing import AsyncClient
from tests.integration.db import blog
from tests.integration.db.blog import User


def find_tools() -> Path | None:
    """Return the folder of PostgreSQL's server commands."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists()), None)


Control = Callable[..., None]


@pytest.fixture
def server() -> Generator[tuple[str, Control], None, None]:
    """The URL of a server, and what controls it."""
    tools = find_tools()
    if tools is None:
        pytest.skip("the commands of a PostgreSQL server are not installed")
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses root
        if subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode != 0:
            pytest.skip("there is no user postgres to run a server as")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
    folder = Path(tempfile.mkdtemp(prefix="quintet-pg-"))
    if as_user:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, capture_output=True, cwd=folder, timeout=60)

    def control(action: str, *options: str) -> None:
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run(str(tools / "pg_ctl"), action, "-D", str(folder / "data"), "-w", "-o", settings, "-l", "log", *options)

    try:
        run(str(tools / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--auth=trust", "-N")
        control("start")
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres", control
    finally:
        subprocess.run(
            [*as_user, str(tools / "pg_ctl"), "stop", "-D", str(folder / "data"), "-m", "immediate"],
            check=False,
            capture_output=True,
            cwd="/",
        )
        shutil.rmtree(folder, ignore_errors=True)


async def test_R13_a_restart_under_load_is_503_for_a_moment(server: tuple[str, Control]) -> None:
    url, control = server
    database = Database(url, pool=PoolOptions(size=5, overflow=0, timeout=2, connect_timeout=2))
    await database.create_all(blog.Blog)
    app = App(plugins=[database])

    @app.get("/async")
    async def read(db: Session) -> int:
        return len(await db.many(select(User)))

    @app.get("/sync")
    def read_sync(db: SyncSession) -> int:
        return db.one(select(text("1")))

    @app.post("/write", status=204)
    async def write(db: Session) -> None:
        db.add(User(name=os.urandom(8).hex()))

    answers: list[tuple[int, str | None, float]] = []
    stop = asyncio.Event()

    async def load(client: AsyncClient, method: str, path: str) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            response = await client.request(method, path)
            answers.append((response.status_code, response.headers.get("retry-after"), time.monotonic() - begun))
            await asyncio.sleep(0.02)

    async with AsyncClient(app) as client:
        calls = (("GET", "/async"), ("GET", "/sync"), ("POST", "/write")) * 3
        running = [asyncio.create_task(load(client, *call)) for call in calls]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(control, "restart", "-m", "immediate")
        await asyncio.sleep(0.3)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*running), 20)
        assert {status for status, _, _ in answers} <= {200, 204, 503}
        assert {retry for status, retry, _ in answers if status == 503} == {"1"}
        assert max(seconds for _, _, seconds in answers) < 15
        for method, path in calls:
            assert (await client.request(method, path)).status_code in (200, 204)
    assert database.primary.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]
