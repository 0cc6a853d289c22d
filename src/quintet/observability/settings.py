"""The sections of settings about what a running app tells: `[log]` and `[health]`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

from quintet.config import Settings

#: A path without parameters, the same whether it is quoted or not.
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_LEVELS = ("debug", "info", "warning", "error", "critical")


class LogSettings(Settings, section="log"):
    """What `quintet run` logs, and where to."""

    #: The least important level that is shown.
    level: str = "info"
    #: JSON lines or text; `auto` is text on a terminal.
    format: Literal["auto", "json", "text"] = "auto"
    #: Write a line for each request.
    access: bool = False
    #: What it looks like; `auto` is as the other lines.
    access_format: Literal["auto", "json", "text", "combined", "common"] = "auto"
    #: The share of requests that get a line. Answers of 500 and above always do.
    access_sample: Annotated[float, Meta(ge=0, le=1)] = 1.0
    #: `stderr`, `stdout`, or the path of a file that is appended to.
    access_to: str = "stderr"
    #: Write a line for health checks that are answered well, too.
    access_health: bool = False
    #: How many warnings of one text are shown in a minute; 0 for all.
    repeat: Annotated[int, Meta(ge=0)] = 10
    #: How many lines wait for an output that takes none, before lines are dropped.
    queue: Annotated[int, Meta(ge=16)] = 8192

    def __post_init__(self) -> None:
        if self.level.lower() not in _LEVELS:
            raise ValueError(f"found the level {self.level[:100]!r}, expected one of {', '.join(_LEVELS)}")
        if not self.access_to.strip():
            raise ValueError("access_to is empty, expected stderr, stdout or the path of a file")


class HealthSettings(Settings, section="health"):
    """Where probes ask, and how often checks run."""

    #: The path that tells that the process works; empty for none.
    live: str = "/healthz"
    #: The path that tells that requests can be taken; empty for none.
    ready: str = "/readyz"
    #: Seconds for which an outcome is told again before the checks run anew.
    keep: Annotated[float, Meta(ge=0)] = 1.0

    def __post_init__(self) -> None:
        for path in filter(None, (self.live, self.ready)):
            if _PATH.fullmatch(path) is None:
                raise ValueError(f"found the path {path[:100]!r} for health checks, expected one such as '/healthz'")
        if self.live and self.live == self.ready:
            raise ValueError(f"both health checks are at {self.live!r}, expected a path for each, or an empty one")
