"""Row R26: requests of two users, interleaved over real sockets, never see each other's context, state or id."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path

from tests.integration.command import Command

APP = """
import asyncio
import logging
import threading
import time
from contextvars import ContextVar
from typing import Annotated

from quintet import App, Depends, Request, Response
from quintet.http.context import current_request, current_request_id

app = App()
log = logging.getLogger("leaks")
user: ContextVar[str] = ContextVar("user", default="nobody")


class Refused(Exception):
    pass


def see(request: Request, before: str) -> dict[str, object]:
    return {
        "before": before, "user": user.get(), "state": request.state.user, "id": current_request_id(),
        "own": current_request.get() is request, "asked": request.headers["x-user"],
    }


async def enter(request: Request) -> str:
    before = user.get()
    user.set(request.headers["x-user"])
    request.state.user = request.headers["x-user"]
    return before


def enter_sync(request: Request) -> str:
    before = user.get()
    user.set(request.headers["x-user"])
    request.state.user = request.headers["x-user"]
    return before


@app.exception_handler(Refused)
async def refused(request: Request, error: Refused) -> Response[dict[str, object]]:
    return Response(see(request, error.args[0]), status=409)


@app.get("/at-once")
async def at_once(request: Request) -> dict[str, object]:
    return see(request, await enter(request))


@app.get("/waits")
async def waits(request: Request, ms: int) -> dict[str, object]:
    before = await enter(request)
    await asyncio.sleep(ms / 1000)
    return see(request, before)


@app.get("/task")
async def task(request: Request, ms: int) -> dict[str, object]:
    before = await enter(request)
    async with asyncio.TaskGroup() as group:
        inner = group.create_task(asyncio.sleep(ms / 1000, user.get()))
    assert inner.result() == user.get()
    return see(request, before)


@app.get("/depends")
async def depends(request: Request, before: Annotated[str, Depends(enter)], ms: int) -> dict[str, object]:
    await asyncio.sleep(ms / 1000)
    return see(request, before)


@app.get("/thread")
def thread(request: Request, ms: int) -> dict[str, object]:
    before = enter_sync(request)
    time.sleep(ms / 1000)
    return see(request, before)


@app.get("/inline", inline=True)
def inline(request: Request) -> dict[str, object]:
    return see(request, enter_sync(request))


@app.get("/refused")
async def refuses(request: Request, ms: int) -> dict[str, object]:
    before = await enter(request)
    await asyncio.sleep(ms / 1000)
    raise Refused(before)


@app.get("/fails")
async def fails(request: Request, ms: int) -> None:
    await enter(request)
    if ms:
        await asyncio.sleep(ms / 1000)
    raise RuntimeError("it failed for " + user.get() + " alone")
"""
PATHS = ("/at-once", "/waits", "/task", "/depends", "/thread", "/inline", "/refused", "/fails")
#: Requests in all; the row asks for 50,000, which `QUINTET_LONG_TESTS=1` sends.
REQUESTS = 50_000 if os.environ.get("QUINTET_LONG_TESTS") else 3_000
CONNECTIONS = 12


async def talk(port: int, user: str, count: int, rng: random.Random, ids: set[str]) -> None:
    """Send requests as one user over one connection, two at a time, and look at each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    def request() -> bytes:
        path = rng.choice(PATHS)
        return f"GET {path}?ms={rng.choice((0, 0, 1, 3))} HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n".encode()

    for _ in range(count // 2):
        writer.write(request() + request())
        for _ in range(2):
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
            body = await reader.readexactly(int(fields["content-length"]))
            assert fields["x-request-id"] not in ids
            ids.add(fields["x-request-id"])
            status = int(head.split()[1])
            if status == 500:
                continue
            assert status in (200, 409), (head, body)
            expected = {"before": "nobody", "user": user, "state": user, "own": True, "asked": user}
            assert json.loads(body) == {**expected, "id": fields["x-request-id"]}
    writer.close()


def test_r26_nothing_of_a_request_is_seen_by_another(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    ids: set[str] = set()

    async def main(port: int) -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(CONNECTIONS):
                user = ("ada", "bob")[n % 2]
                group.create_task(talk(port, user, REQUESTS // CONNECTIONS, random.Random(n), ids))

    with Command("run", "--log-format", "json", "--access-log", folder=tmp_path) as command:
        asyncio.run(main(command.port))
        assert command.stop() == 0
    assert len(ids) == REQUESTS // CONNECTIONS * CONNECTIONS
    records = [json.loads(line) for line in command.log.splitlines()]
    access = {r["request_id"]: r for r in records if r["logger"] == "quintet.access"}
    assert access.keys() == ids, "one line for each request"
    failures = [r for r in records if r["level"] == "error"]
    assert failures
    for record in failures:
        assert access[record["request_id"]]["status"] == 500
    assert len({r["request_id"] for r in failures}) == len(failures) == sum(r["status"] == 500 for r in access.values())
