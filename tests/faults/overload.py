"""R1: far more requests than the server can take. `python -m tests.faults.overload --seconds 30`

An open loop: requests come at their rate whatever the answers do, as those of a crowd would.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from tests.faults.target import ask, get, percentile, report, target


async def crowd(port: int, path: str, rate: float, seconds: float) -> list[tuple[int, bytes, float]]:
    """Ask at a rate, for a time; return all answers."""
    begin = time.perf_counter()
    asked: list[asyncio.Task[tuple[int, bytes, float]]] = []
    while (passed := time.perf_counter() - begin) < seconds:
        due = int(passed * rate) - len(asked)
        asked += [asyncio.create_task(ask(port, get(path))) for _ in range(due)]
        await asyncio.sleep(0.005)
    return await asyncio.gather(*asked)


def run(*, seconds: float, slots: int = 10, handler: float = 0.2, times: float = 10) -> None:
    """Overload a server that may run `slots` handlers of `handler` seconds, by `times` its capacity."""
    capacity = slots / handler
    with target(max_requests=slots) as server:
        before = server.probe()["rss"]
        _, _, alone = asyncio.run(ask(server.port, get(f"/slow?seconds={handler}")))
        answers = asyncio.run(crowd(server.port, f"/slow?seconds={handler}", capacity * times, seconds))
        good = [a for a in answers if a[0] == 200]
        refused = [a for a in answers if a[0] == 503]
        after = asyncio.run(ask(server.port, get(f"/slow?seconds={handler}")))
        grown = server.probe()["rss"] - before
        goodput = len(good) / (seconds + handler)
        report(
            "R1 overload", asked=len(answers), answered=len(good), refused=len(refused), goodput=goodput,
            capacity=capacity, p50_of_503=percentile([a[2] for a in refused], 0.5),
            p99_of_503=percentile([a[2] for a in refused], 0.99), p99_of_200=percentile([a[2] for a in good], 0.99),
            alone=alone, grown_mb=grown / 1e6,
        )  # fmt: skip
        assert len(good) + len(refused) == len(answers), "something was neither answered nor refused"
        assert goodput >= 0.8 * capacity
        assert all(b"\r\nretry-after: " in a[1] for a in refused)
        assert len(refused) > len(answers) / 2
        assert percentile([a[2] for a in refused], 0.5) < 0.1
        assert percentile([a[2] for a in good], 0.99) < 5 * max(alone, handler)
        assert after[0] == 200
        assert grown < 32e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--slots", type=int, default=20)
    parser.add_argument("--times", type=float, default=10)
    options = parser.parse_args()
    run(seconds=options.seconds, slots=options.slots, times=options.times)
