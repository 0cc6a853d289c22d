"""The line of transactions that write to SQLite: in order, whoever goes away, and never for ever."""

from __future__ import annotations

import asyncio

import pytest

from quintet.db.drivers import hops
from quintet.db.drivers.hops import WriteLine


async def _started(line: WriteLine, names: range, order: list[int]) -> list[asyncio.Task[None]]:
    async def enter(name: int) -> None:
        await line.enter(name)
        order.append(name)

    tasks = [asyncio.create_task(enter(name)) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_each_waits_for_the_one_before_it() -> None:
    line, order = WriteLine(), list[int]()
    tasks = await _started(line, range(3), order)
    assert order == [0]
    for name in range(3):
        line.leave("nobody")
        line.leave(name)
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]
    await line.enter(3)


@pytest.mark.parametrize("handed_over", [False, True])
async def test_who_goes_away_keeps_nobody_waiting(handed_over: bool) -> None:
    line, order = WriteLine(), list[int]()
    tasks = await _started(line, range(3), order)
    if handed_over:
        line.leave(0)
    tasks[1].cancel()
    line.leave(0)
    async with asyncio.timeout(1):
        await tasks[2]
    assert order == [0, 2]


async def test_an_owner_that_never_leaves_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hops, "PATIENCE", 0.02)
    line, order = WriteLine(), list[int]()
    tasks = await _started(line, range(2), order)
    await asyncio.gather(*tasks)
    assert order == [0, 1]
    line.leave(0)  # late, and it is not its turn any more
    later = await _started(line, range(2, 3), order)
    assert order == [0, 1]
    line.leave(1)
    await asyncio.gather(*later)
    assert order == [0, 1, 2]
