"""Probes: what they answer, whose path it is, and that neither a flood nor a hanging check hurts."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest

from quintet import App, ConfigurationError, Request
from quintet.hooks import ReadinessCheck
from quintet.observability.health import Readiness
from quintet.testing import Client


def statuses(body: Any) -> dict[str, str]:
    return {check["name"]: check["status"] for check in body["checks"]}


def test_a_running_app_is_live_and_ready() -> None:
    with Client(App()) as client:
        live = client.get("/healthz")
        assert (live.status_code, live.json()) == (200, {"status": "ok"})
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["status"] == "ready"
        assert statuses(ready.json()) == {"started": "ok", "accepting": "ok"}
        assert ready.headers["cache-control"] == "no-store"
        assert ready.headers["x-content-type-options"] == "nosniff"
        assert client.head("/healthz").status_code == 200
        assert client.post("/healthz").status_code == 405


def test_an_app_that_has_not_started_is_live_and_not_ready() -> None:
    client = Client(App())
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert statuses(ready.json())["started"] == "failed"


def test_every_check_must_pass(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    working = True

    @app.readiness("database")
    async def database() -> None:
        if not working:
            raise ConnectionError("no route to postgresql://ada:hunter2@db")

    @app.readiness()
    def disk() -> bool:
        return threading.current_thread() is not threading.main_thread()

    @app.readiness("queue")
    def queue() -> bool:
        return working

    app.plugins["health"]._readiness._keep = 0.0  # type: ignore[attr-defined]
    with Client(app) as client:
        ready = client.get("/readyz")
        assert ready.status_code == 200, ready.text
        assert statuses(ready.json()) == dict.fromkeys(("started", "accepting", "database", "disk", "queue"), "ok")
        assert all(isinstance(check["ms"], float) for check in ready.json()["checks"])
        working = False
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["status"] == "not ready"
        assert statuses(ready.json())["database"] == statuses(ready.json())["queue"] == "failed"
        assert "hunter2" not in ready.text
        assert "ConnectionError" not in ready.text
        assert client.get("/healthz").status_code == 200, "a failing database is no reason to restart"
    assert "no route to" in caplog.text, "who operates it reads the reason in the log"


def test_the_users_own_routes_win() -> None:
    app = App()

    @app.get("/healthz")
    async def healthz() -> str:
        return "mine"

    with Client(app) as client:
        assert client.get("/healthz").text == "mine"
        assert client.get("/readyz").status_code == 200


def test_the_users_own_post_stands_beside_the_probe() -> None:
    app = App()

    @app.post("/healthz")
    async def healthz() -> str:
        return "mine"

    with Client(app) as client:
        assert client.post("/healthz").text == "mine"
        assert client.get("/healthz").json() == {"status": "ok"}


def test_they_can_be_left_out_and_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(App(health=False)) as client:
        assert client.get("/healthz").status_code == 404
    monkeypatch.setenv("HEALTH_LIVE", "/live")
    monkeypatch.setenv("HEALTH_READY", "")
    with Client(App()) as client:
        assert client.get("/live").status_code == 200
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 404


@pytest.mark.parametrize("paths", [("live", "/r"), ("/{x}", "/r"), ("/a b", "/r"), ("/same", "/same"), ("/", "/r")])
def test_paths_that_are_none_are_told_at_start_up(monkeypatch: pytest.MonkeyPatch, paths: tuple[str, str]) -> None:
    monkeypatch.setenv("HEALTH_LIVE", paths[0])
    monkeypatch.setenv("HEALTH_READY", paths[1])
    with pytest.raises(ConfigurationError, match="health"):
        App()


def test_they_are_not_in_the_document() -> None:
    with Client(App()) as client:
        assert client.get("/openapi.json").json()["paths"] == {}


def test_guards_and_middleware_of_the_app_do_not_surround_them() -> None:
    seen: list[str] = []

    async def refuse(request: Request) -> None:
        raise PermissionError

    async def watch(request: Request, call_next: Any) -> Any:
        seen.append(request.path)
        return await call_next(request)

    with Client(App(guards=[refuse], middleware=[watch])) as client:
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    assert seen == []


def test_probes_know_an_address_alone_and_other_paths_still_need_the_host() -> None:
    app = App(allowed_hosts=["example.com"])

    @app.get("/")
    async def home() -> str:
        return "home"

    with Client(app) as client:
        probe = {"host": "10.1.2.3:8000"}
        assert client.get("/healthz", headers=probe).status_code == 200
        assert client.get("/", headers=probe).status_code == 400, "the connection has not been opened by the probe"
        assert client.get("/healthz?x", headers=probe).status_code == 200
        assert client.get("/readyz", headers=probe).status_code == 200
        assert client.get("/readyz/", headers=probe).status_code == 400
        assert client.get("/healthz", headers={"host": "10.1.2.3 x"}).status_code == 400, "the grammar holds"
        assert client.get("/", headers={"host": "example.com"}).text == "home"


def test_the_users_own_health_path_needs_the_host() -> None:
    app = App(allowed_hosts=["example.com"])

    @app.get("/healthz")
    async def healthz() -> str:
        return "mine"

    with Client(app) as client:
        assert client.get("/healthz", headers={"host": "10.1.2.3"}).status_code == 400


# -- the checks -----------------------------------------------------------------------------------------------------


async def test_checks_run_together() -> None:
    async def wait() -> None:
        await asyncio.sleep(0.1)

    readiness = Readiness([ReadinessCheck(str(n), wait) for n in range(20)])
    begin = time.monotonic()
    results = await readiness.results()
    assert [r.status for r in results] == ["ok"] * 20
    assert all(80 < r.ms < 1500 for r in results)
    assert time.monotonic() - begin < 1.5


async def test_a_flood_of_probes_runs_each_check_once_a_second() -> None:
    runs, now = 0, 100.0

    async def count() -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.01)

    readiness = Readiness([ReadinessCheck("count", count)], keep=1.0, clock=lambda: now)
    for _ in range(3):
        await asyncio.gather(*(readiness.results() for _ in range(500)))
    assert runs == 1
    now = 101.5
    await asyncio.gather(*(readiness.results() for _ in range(500)))
    assert runs == 2


async def test_a_probe_that_goes_away_does_not_stop_the_others() -> None:
    async def wait() -> None:
        await asyncio.sleep(0.1)

    readiness = Readiness([ReadinessCheck("wait", wait)])
    first = asyncio.ensure_future(readiness.results())
    second = asyncio.ensure_future(readiness.results())
    await asyncio.sleep(0.01)
    first.cancel()
    assert [r.status for r in await second] == ["ok"]


async def test_a_check_that_hangs_is_a_timeout_and_is_not_started_twice(caplog: pytest.LogCaptureFixture) -> None:
    started, let_go = [0, 0], threading.Event()

    def hang() -> None:
        started[0] += 1
        let_go.wait(10)

    async def stubborn() -> None:
        started[1] += 1
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue

    checks = [ReadinessCheck("thread", hang, 0.05), ReadinessCheck("task", stubborn, 0.05)]
    readiness = Readiness(checks, keep=0.0)
    try:
        for _ in range(3):
            begin = time.monotonic()
            results = await readiness.results()
            assert [r.status for r in results] == ["timeout", "timeout"]
            assert time.monotonic() - begin < 1
        assert started == [1, 1]
    finally:
        let_go.set()
    for _ in range(100):
        if [r.status for r in await readiness.results()] == ["ok", "ok"]:
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("the checks did not recover")
    assert any(r.levelno == logging.WARNING and "takes longer" in r.message for r in caplog.records)


async def test_what_a_check_raises_fails_it_alone() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    def broken() -> None:
        raise SystemError("broken")

    def fine() -> None: ...

    checks = [ReadinessCheck(f.__name__, f) for f in (cancelled, broken, fine)]
    assert [r.status for r in await Readiness(checks).results()] == ["failed", "failed", "ok"]


def test_a_second_loop_is_served_too() -> None:
    async def wait() -> None:
        await asyncio.sleep(0.001)

    readiness = Readiness([ReadinessCheck("wait", wait)], keep=0.0)
    for _ in range(2):
        assert [r.status for r in asyncio.run(readiness.results())] == ["ok"]
