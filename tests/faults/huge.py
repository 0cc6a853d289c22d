"""R5: inputs beyond every limit, again and again. `python -m tests.faults.huge --times 500`"""

# ruff: noqa: E501 - a table of inputs
from __future__ import annotations

import argparse
import asyncio

from tests.faults.target import ask, report, target

JSON = b"POST /items HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
FORM = b"POST /file HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
PART = b'--b\r\ncontent-disposition: form-data; name="file"%b\r\n\r\n'

#: What is sent, and the statuses that are right.
INPUTS: dict[str, tuple[bytes, set[int]]] = {
    "target": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {414}),
    "field": (b"GET /fast HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 600_000 + b"\r\n\r\n", {431}),
    "fields": (b"GET /fast HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 5000 + b"\r\n", {431}),
    "json": (JSON + b"Content-Length: 3000000\r\n\r\n" + b" " * 3_000_000, {413}),
    "json in chunks": (JSON + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 60, {413}),
    "nested json": (JSON + b"Content-Length: 200000\r\nConnection: close\r\n\r\n" + b"[" * 200_000, {400, 422}),
    "fields of a form": (
        b"POST /items HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 4004\r\nConnection: close\r\n\r\n" + b"a=1&" * 1001,
        {400, 413, 415},
    ),
    "a field that is no file": (FORM + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (len(PART % b""), PART % b"")
                                + (b"100000\r\n" + b"x" * 0x100000 + b"\r\n") * 8, {413}),
    "parts": (FORM + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (20_000 * len(PART % b"" + b"x\r\n"))
              + (PART % b"" + b"x\r\n") * 20_000, {400, 413}),
}  # fmt: skip


async def send_all(port: int) -> dict[str, int]:
    """Send every input once, in turn."""
    return {name: (await ask(port, data))[0] for name, (data, _) in INPUTS.items()}


def run(*, times: int) -> None:
    """Send every input so many times; memory must come back."""
    with target() as server:
        for _ in range(3):
            asyncio.run(send_all(server.port))
        before = server.probe()
        for _ in range(times):
            statuses = asyncio.run(send_all(server.port))
            # An early answer may be lost where the client has not yet read it: the connection is reset then.
            wrong = {n: s for n, s in statuses.items() if s not in INPUTS[n][1] | {0}}
            assert not wrong, wrong
        after = server.probe()
        report(
            "R5 huge inputs", times=times, before_mb=before["rss"] / 1e6, after_mb=after["rss"] / 1e6,
            lost=[n for n, s in statuses.items() if s == 0],
        )  # fmt: skip
        assert after["rss"] < before["rss"] * 1.1
        assert after["descriptors"] <= before["descriptors"] + 1
        assert after["threads"] <= before["threads"] + 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=500)
    run(times=parser.parse_args().times)
