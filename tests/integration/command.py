"""The command `quintet` as a real process, on a free port."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx2

QUINTET = Path(sys.executable).parent / "quintet"
#: Seconds that something may take on a busy machine before a test fails.
PATIENCE = 20.0


class Command:
    """A running `quintet`; what it writes is in `log`.

    The port is one the command itself has found free: `--port 0`. With None, `arguments` say where it listens.
    """

    def __init__(
        self, *arguments: str, folder: Path, env: Mapping[str, str] | None = None, port: int | None = 0
    ) -> None:
        self._log = folder / f"output-{time.monotonic_ns()}.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("QUINTET_")}
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [str(QUINTET), *arguments, *([] if port is None else ["--port", str(port)])],
                cwd=folder,
                env={**clean, **(env or {})},
                stdout=out,
                stderr=out,
            )

    def __enter__(self) -> Command:
        try:
            self.url: str = self.wait_for(r"Quintet serves ((?:https?://|unix:)[^ ]+)")
        except BaseException:
            self.stop()
            raise
        self.client = httpx2.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.stop()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def wait_for(self, pattern: str) -> str:
        """Wait for a line in the log; return its first group, or all of the match."""
        found: list[str] = []

        def look() -> bool:
            match = re.search(pattern, self.log)
            if match is not None:
                found.append(match[match.lastindex or 0])
            return match is not None

        wait_until(look, lambda: f"no {pattern!r} in:\n{self.log}")
        return found[0]

    def stop(self) -> int:
        """End the process by SIGTERM and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def accepts(address: tuple[str, int] | str) -> bool:
    """Whether something listens on a port, or a Unix socket."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as probe:
        return probe.connect_ex(address) == 0


def wait_until(
    condition: Callable[[], bool], message: Callable[[], str] = lambda: "it did not happen in time"
) -> float:
    """Wait until something holds; return the seconds it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > PATIENCE:
            raise AssertionError(message())
        time.sleep(0.01)
    return time.monotonic() - begin


def run_to_end(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `quintet` until it ends."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("QUINTET_")}
    return subprocess.run(
        [str(QUINTET), *arguments], cwd=folder, env=clean, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
