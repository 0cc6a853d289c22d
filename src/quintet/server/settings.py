"""The settings of the built-in server: where it listens, its processes, and how they end."""

from __future__ import annotations

import os
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from quintet.config import Settings

#: Seconds a connection without a request stays open for one more: where another worker has taken over, and at the end.
IDLE_REPLACED = 5.0
IDLE_STOPPED = 1.0

#: An event loop; `auto` is uvloop where it is installed.
LoopKind: TypeAlias = Literal["auto", "uvloop", "asyncio"]

_Count: TypeAlias = Annotated[int, Meta(ge=0)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0)]


class ServerSettings(Settings, section="server"):
    """The built-in server. Sizes are bytes, times are seconds; options of `quintet run` come before them."""

    #: The address to listen on; 127.0.0.1 unless something else is said.
    host: str | None = None
    #: The port; 8000 unless something else is said, 0 takes a free one.
    port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    #: The path of a Unix socket to listen on instead.
    uds: str | None = None
    #: Worker processes; `auto` is one for each core, 0 serves in the first process, without a supervisor.
    workers: Annotated[int, Meta(ge=0, le=1024)] | Literal["auto"] = 1
    #: Connections of all workers together; further ones are answered 503. 0 for any number.
    max_connections: _Count = 0
    #: The event loop: uvloop where it is installed, unless `asyncio` asks for Python's own.
    loop: LoopKind = "auto"
    #: Time that requests under way have when a worker ends.
    grace: _Seconds = 30.0
    #: Time a worker has to load the app and to begin its lifespan.
    start_timeout: Annotated[float, Meta(gt=0)] = 60.0
    #: Time without a turn of the event loop after which a worker is taken for hung and is replaced; 0 never.
    watchdog: _Seconds = 30.0
    #: Requests after which a worker is replaced; 0 never. Like the next two, up to a tenth more, by chance.
    max_requests: _Count = 0
    #: Age at which a worker is replaced; 0 never.
    max_age: _Seconds = 0.0
    #: Memory (resident set) at which a worker is replaced; 0 never.
    max_memory: _Count = 0
    #: Age below which a worker that dies has died young: something is wrong with it.
    healthy_after: Annotated[float, Meta(gt=0)] = 10.0
    #: Pause before a worker that died young is started again; doubles with each such death, up to 5 seconds.
    respawn_delay: Annotated[float, Meta(gt=0)] = 0.1
    #: Young deaths in a row after which the server gives up, unless a worker that is older serves on.
    max_deaths: Annotated[int, Meta(ge=1)] = 10
    #: A file that holds the process id of the supervisor while it runs.
    pid_file: str = ""
    #: The path of the socket that `quintet reload`, `status` and `stop` use; empty chooses one.
    control: str = ""


def worker_count(settings: ServerSettings) -> int:
    """Return the number of worker processes that settings ask for."""
    return usable_cores() if settings.workers == "auto" else settings.workers


def usable_cores() -> int:
    """Return the number of cores that this process may use: its affinity, and the quota of its container."""
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on macOS
        cores = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no container, or `max`
        pass
    return max(1, cores)
