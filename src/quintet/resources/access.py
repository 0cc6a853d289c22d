"""One way to use either kind of session, so that what a resource does is written once.

`Blocking` gives a `SyncSession` the async names; its coroutines never wait, and `finish` runs one to its end at once.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from quintet.db.session import SyncSession

T = TypeVar("T")


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("something in a sync resource has to be awaited: write its rules as `def`")


class Blocking:
    """A `SyncSession` with the methods of a `Session`."""

    def __init__(self, db: SyncSession) -> None:
        self.sync_session = db

    async def many(self, query: Any) -> list[Any]:
        """Return every item of a query."""
        return self.sync_session.many(query)

    async def first(self, query: Any) -> Any:
        """Return the first item of a query, or None."""
        return self.sync_session.first(query)

    async def scalar(self, query: Any) -> Any:
        """Return the first value of a query."""
        return self.sync_session.scalar(query)

    async def execute(self, query: Any) -> Any:
        """Run a statement."""
        return self.sync_session.execute(query)

    async def flush(self) -> None:
        """Send what was changed."""
        self.sync_session.flush()

    async def rollback(self) -> None:
        """Take back everything."""
        self.sync_session.rollback()

    async def refresh(self, row: Any, attributes: Sequence[str] | None = None) -> None:
        """Read a row again."""
        self.sync_session.refresh(row, attributes)

    async def delete(self, row: Any) -> None:
        """Delete a row."""
        self.sync_session.delete(row)

    def add(self, row: Any) -> None:
        """Add a new row."""
        self.sync_session.add(row)

    def add_all(self, rows: Sequence[Any]) -> None:
        """Add new rows."""
        self.sync_session.add_all(rows)

    def savepoint(self) -> _BlockingSavepoint:
        """Open a savepoint."""
        return _BlockingSavepoint(self.sync_session.savepoint())


class _BlockingSavepoint:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aenter__(self) -> Any:
        return self._inner.__enter__()

    async def __aexit__(self, *details: Any) -> Any:
        return self._inner.__exit__(*details)
