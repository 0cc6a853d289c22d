"""How many statements a block runs, whoever runs them: sessions of both kinds, compiled queries, engines."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from quintet.db.queries.events import QueryEvent, listening

#: What begins, ends and marks transactions is not counted.
_CONTROL = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT", "PRAGMA", "SET ")


@contextmanager
def capture_queries() -> Generator[list[QueryEvent], None, None]:
    """Collect the statements that run while the block does: SQL, number of values, duration, line of the app."""
    found: list[QueryEvent] = []

    def listen(event: QueryEvent) -> None:
        if not event.sql.lstrip().upper().startswith(_CONTROL):
            found.append(event)

    with listening(listen):
        yield found


@contextmanager
def assert_queries(count: int) -> Generator[list[QueryEvent], None, None]:
    """Fail unless the block runs so many statements: `with assert_queries(2): client.get("/articles")`.

    Raises:
        AssertionError: they were more or fewer; it lists them with the lines that asked.
    """
    with capture_queries() as found:
        yield found
    if len(found) != count:
        raise AssertionError(f"{_expected(count)}, but {_ran(len(found))}{_listed(found)}")


@contextmanager
def assert_max_queries(count: int) -> Generator[list[QueryEvent], None, None]:
    """Fail if the block runs more statements than these.

    Raises:
        AssertionError: they were more; it lists them with the lines that asked.
    """
    with capture_queries() as found:
        yield found
    if len(found) > count:
        raise AssertionError(f"{_expected(count)} at most, but {_ran(len(found))}{_listed(found)}")


def _expected(count: int) -> str:
    return f"expected {count} {'query' if count == 1 else 'queries'}"


def _ran(count: int) -> str:
    return "none ran" if count == 0 else f"{count} ran"


def _listed(found: list[QueryEvent]) -> str:
    lines = [f"\n  {number}. {_one(event)}" for number, event in enumerate(found, 1)]
    return ":" + "".join(lines) if lines else ""


def _one(event: QueryEvent) -> str:
    name = f" (query {event.query})" if event.query else ""
    error = f"\n     failed: {event.error}" if event.error is not None else ""
    return f"{' '.join(event.sql.split())}\n     from {event.source or 'no line of the app'}{name}{error}"
