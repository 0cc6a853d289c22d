"""The fault recipes in their short forms; each module runs at full length by hand."""

from __future__ import annotations

import asyncio
import time

from tests.faults import gone, huge, idle, network, overload, slow, soak
from tests.faults.target import ask, get, target


def test_R1_overload_is_refused_at_once_and_costs_the_others_nothing() -> None:
    overload.run(seconds=3)


def test_R1_connections_beyond_the_limit_are_told_so() -> None:
    async def crowd(port: int) -> list[int]:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        begin = time.monotonic()
        answers = await asyncio.gather(*[ask(port, get("/fast")) for _ in range(10)])
        assert time.monotonic() - begin < 2
        assert all(b"retry-after" in answer for _, answer, _ in answers)
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.2)
        return [status for status, _, _ in [*answers, await ask(port, get("/fast"))]]

    with target(max_connections=10) as server:
        server.client.close()
        assert asyncio.run(crowd(server.port)) == [503] * 10 + [200]


def test_R2_slow_headers_are_given_up() -> None:
    slow.slow_headers(100, timeout=1)


def test_R3_slow_bodies_are_given_up() -> None:
    slow.slow_bodies(100, timeout=1)


def test_R4_slow_readers_are_given_up() -> None:
    slow.slow_readers(20, timeout=1)


def test_R5_huge_inputs_leave_no_memory_behind() -> None:
    huge.run(times=10)


def test_R7_whoever_goes_away_leaves_nothing_open() -> None:
    gone.run(times=300)


def test_R2_idle_connections_cost_little() -> None:
    idle.run(connections=700, seconds=1)


def test_R27_a_short_soak_is_flat() -> None:
    soak.run(minutes=6 / 60, phases=2, most_mb=6, warm=4)


def test_R32_a_bad_network_loses_nothing_and_pins_nothing() -> None:
    network.run(size=5_000_000, timeout=2)
