"""The ends of units of work: what must not be interrupted, and what may be tried again."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from quintet.db.session import Session, SyncSession
from quintet.db.translate import is_conflict

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """Await something to its end even when the caller is cancelled meanwhile; then the cancellation goes on."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
        except Exception:  # noqa: BLE001 - raised below
            break
    result = task.result()
    if cancelled:
        raise asyncio.CancelledError
    return result


def retry_conflicts(attempts: int = 3, *, pause: float = 0.02) -> Callable[[F], F]:
    """Run a function again that was refused because of another unit of work: a deadlock, a failure to serialise.

    The function takes a `Session` or `SyncSession` and is the whole unit of work: it is committed before it returns,
    and rolled back before it runs again. What it does beside the database it does each time.

        @app.post("/transfers")
        @retry_conflicts()
        async def transfer(data: Transfer, db: Session) -> None: ...

    Args:
        attempts: how often it runs at most.
        pause: seconds before it runs again, more each time.
    """

    def decorate(function: F) -> F:
        make: Any = _retrying_async if inspect.iscoroutinefunction(function) else _retrying
        return make(function, attempts, pause)

    return decorate


def _retrying_async(function: Callable[..., Any], attempts: int, pause: float) -> Callable[..., Any]:
    @functools.wraps(function)
    async def run(*values: Any, **named: Any) -> Any:
        session: Session = _session_in(values, named)
        for attempt in range(1, attempts + 1):
            try:
                result = await function(*values, **named)
                await finished(session.commit())
            except DBAPIError as error:
                if attempt == attempts or not is_conflict(error):
                    raise
                await session.rollback()
                await asyncio.sleep(_delay(pause, attempt))
            else:
                return result
        return None

    return run


def _retrying(function: Callable[..., Any], attempts: int, pause: float) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*values: Any, **named: Any) -> Any:
        session: SyncSession = _session_in(values, named)
        for attempt in range(1, attempts + 1):
            try:
                result = function(*values, **named)
                session.commit()
            except DBAPIError as error:
                if attempt == attempts or not is_conflict(error):
                    raise
                session.rollback()
                time.sleep(_delay(pause, attempt))
            else:
                return result
        return None

    return run


def _delay(pause: float, attempt: int) -> float:
    """Return how long to wait: longer each time, and never as long as the other one."""
    return pause * 2**attempt * (0.5 + random.random())  # noqa: S311 - it keeps two apart, and guards nothing


def _session_in(values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    for value in (*values, *named.values()):
        if isinstance(value, (Session, SyncSession)):
            if value.new or value.dirty or value.deleted:
                raise RuntimeError(
                    "the session has changes already, which a second attempt would lose; "
                    "make them inside the function, or commit them before"
                )
            return value
    raise TypeError("a function that is tried again needs its session: let it take a Session or SyncSession")
