"""Connections of SQLAlchemy's pool, lent to compiled statements without a greenlet and without a reset.

A record of the pool is lent, not a connection of the user's kind: nothing but one compiled statement runs on it, so
there is nothing to reset. Waiting, connecting and replacing what is too old stay SQLAlchemy's work. The names with an
underscore are the pool's own, held by the tests of the pinned version.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.queue import Empty

from quintet.db.pool import LinePool, is_fresh

if TYPE_CHECKING:
    from sqlalchemy import Engine, Pool

    from quintet.db.session import Session

__all__ = [
    "Kept",
    "acquire",
    "acquire_blocking",
    "discard",
    "give",
    "give_blocking",
    "keep",
    "lends",
    "replace_all",
    "take_blocking",
    "take_kept",
]


def lends(pool: Any) -> str | None:
    """Return why this pool cannot lend its records, or None when it can."""
    # PERF: asked for every write; the number of listeners tells of a change.
    one, other = pool.dispatch.checkout, pool.dispatch.checkin
    count = len(one.listeners) + len(one.parent_listeners) + len(other.listeners) + len(other.parent_listeners)
    known = pool.__dict__.get(_LENDS)
    if known is None or known[0] != count:
        known = pool.__dict__[_LENDS] = count, _why_not(pool)
    return known[1]


_LENDS = "_quintet_lends"


def _why_not(pool: Pool) -> str | None:
    if type(pool) not in (LinePool, QueuePool):
        return f"its pool is a {type(pool).__name__}"
    listeners = (*pool.dispatch.checkout, *pool.dispatch.checkin)
    if any(not str(getattr(listener, "__module__", "")).startswith("quintet.db.") for listener in listeners):
        return "somebody listens to its pool's events `checkout` or `checkin`"
    return None


def take_blocking(pool: Any) -> Any:
    """Return an idle record of a pool of threads whose connection is as the pool wants it, or None."""
    try:
        record = pool._pool.get_nowait()
    except Empty:
        return None
    if is_fresh(pool, record):
        return record
    pool._pool.put_nowait(record)
    return None


async def acquire(pool: LinePool) -> Any:
    """Return a record, after waiting for one and connecting it, if need be.

    Raises:
        sqlalchemy.exc.TimeoutError: none came back in the pool's timeout.
    """
    # PERF: where connections are fewer than requests, this is what most of them do; a greenlet is as much again.
    record = await pool.next() if pool.is_exhausted else None
    if record is not None and is_fresh(pool, record):
        return record
    return await greenlet_spawn(acquire_blocking, pool, record)


def acquire_blocking(pool: Any, record: Any = None) -> Any:
    """Return a record as `acquire` does, in a thread or greenlet that may wait; or connect one that is at hand."""
    record = record or pool._do_get()
    try:
        record.get_connection()
    except BaseException as error:
        record._checkin_failed(error, _fairy_was_created=False)
        raise
    return record


class Kept:
    """A connection that a session keeps for its next read, until the step of the event loop ends.

    PERF: most of what a short read costs, where connections are fewer than requests, is to wait for one each time. A
    session that goes on to wait for something else has returned its connection by then.
    """

    __slots__ = ("_engine", "pool", "record")

    def __init__(self, engine: Engine, pool: Any) -> None:
        self._engine = engine
        self.pool = pool
        self.record: Any = None

    def release(self) -> None:
        """Return the connection, unless the session has taken it again."""
        record, self.record = self.record, None
        if record is None:
            return
        if self.pool is not self._engine.pool or not self.pool.give(record):  # the engine was disposed
            discard(self.pool, record, None)


def take_kept(session: Session, pool: Any) -> Any:
    """Return the connection that a session keeps, or None; it is in use then."""
    kept = session._kept
    if kept is None or kept.pool is not pool:
        return None
    record, kept.record = kept.record, None
    return record


def keep(session: Session, engine: Engine, pool: Any, record: Any) -> bool:
    """Let a session keep the connection of a read, where reads follow each other; return whether it does."""
    kept = session._kept
    if kept is None:
        if session._reads_on and pool._max_overflow == 0:
            session._kept = Kept(engine, pool)  # from its third read on
        session._reads_on = True
        return False
    if kept.record is not None or kept.pool is not pool or session.ended:  # another read, under gather
        return False
    kept.record = record
    asyncio.get_running_loop().call_soon(kept.release)
    return True


async def give(pool: LinePool, record: Any) -> None:
    """Return a record whose connection is idle and out of any transaction."""
    if not pool.give(record):
        # One beyond the pool's size: it is closed.
        await greenlet_spawn(pool._do_return_conn, record)


def give_blocking(pool: Any, record: Any) -> None:
    """Return a record as `give` does, in a thread or greenlet that may wait."""
    pool._do_return_conn(record)


def discard(pool: Any, record: Any, error: BaseException | None, *, all_of_them: bool = False) -> None:
    """Close the connection of a record at once, without waiting for the server, and return the empty record.

    With `all_of_them` the server is gone: every idle connection of the pool is replaced before its next use.
    """
    if all_of_them:
        replace_all(pool)
    try:
        record.invalidate(e=error)
    finally:
        pool._do_return_conn(record)


def replace_all(pool: Any) -> None:
    """Have every connection that is open now replaced before its next use."""
    pool._invalidate_time = time.time()
