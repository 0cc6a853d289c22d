"""A set of new workers that takes over from old ones: all of it, or nothing.

The first new worker is started alone: where the code is broken, one error is told and not one for each worker. New
workers accept connections only when all of them are ready.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from quintet.server.process import WorkerProcess

Kind: TypeAlias = Literal["boot", "reload", "recycle", "respawn"]


class Failure(msgspec.Struct, frozen=True):
    """Why a worker did not start."""

    text: str
    #: `configuration` is a message for people; `exception` a traceback of the app's own code; `death` is neither.
    kind: Literal["configuration", "exception", "death"] = "death"


#: Takes how a rollout went: None where it went well.
Outcome: TypeAlias = Callable[[Failure | None], None]


class Rollout:
    """Workers that are being started, and whom they replace."""

    def __init__(self, kind: Kind, size: int, old: list[WorkerProcess] | None = None) -> None:
        self.kind: Kind = kind
        self.size = size
        #: Those that end when the new ones are ready. A reload replaces all there are then.
        self.old = old or []
        self.new: list[WorkerProcess] = []
        #: Who is told how it went.
        self.waiting: list[Outcome] = []

    @property
    def missing(self) -> int:
        """How many workers can be started now."""
        if self.new and all(worker.state == "starting" for worker in self.new):
            return 0  # the first one goes ahead
        return self.size - len(self.new) if self.new else 1

    @property
    def is_complete(self) -> bool:
        """Whether all new workers are ready."""
        return len(self.new) == self.size and all(worker.state == "ready" for worker in self.new)

    def tell(self, failure: Failure | None) -> None:
        """Say how it went to those who wait."""
        waiting, self.waiting = self.waiting, []
        for outcome in waiting:
            outcome(failure)
