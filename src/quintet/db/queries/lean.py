"""A transaction of compiled statements alone, without SQLAlchemy's session, engine connection and greenlets.

It begins and ends on a record of the pool, through SQLAlchemy's adapter of the driver; so SQLAlchemy's session can take
it over at any point, and does at the first use of anything but compiled queries and commit, rollback and close.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from quintet.db.listeners import ENDS, changed_by_others
from quintet.db.queries import lease
from quintet.db.queries.failures import mark_failed, translate
from quintet.db.sqlite import MODE
from quintet.db.turns import lock_of, refuse_ended

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from quintet.db.drivers.base import LeanDriver
    from quintet.db.queries.run_async import AsyncRunner
    from quintet.db.session import Session, SyncSession

__all__ = ["Lean", "begin_lean"]


def _may_lean(session: Session, runner: AsyncRunner, engine: Engine) -> bool:
    """Return whether nobody listens to the events of SQLAlchemy's transactions, or has options for them."""
    driver, root = runner.driver, runner.engine
    return (
        driver is not None
        and driver.leans
        and session.mode == "write"
        and lease.lends(root.pool) is None
        and not (root._has_events and _is_heard(engine))
        and engine._execution_options.keys() == {MODE}
        and not changed_by_others(session.sync_session_class, ENDS)
    )


def _is_heard(engine: Engine) -> bool:
    heard = engine.dispatch
    return any(
        (heard.begin, heard.commit, heard.rollback, heard.engine_connect, heard.set_connection_execution_options)
    )


def _driver_of(runner: AsyncRunner) -> LeanDriver:
    return cast("LeanDriver", runner.driver)  # `_may_lean` has looked


async def begin_lean(session: Session, runner: AsyncRunner, place: str) -> Lean | None:
    """Take a connection for a transaction of compiled statements; None where SQLAlchemy has to begin it."""
    if session._lean is not None:
        return session._lean
    if not session.is_plain:
        return None
    engine = session.find_engine(place)
    if not _may_lean(session, runner, engine):
        return None
    async with lock_of(session):
        if session._lean is not None or not session.is_plain:  # under gather, another statement was first
            return session._lean
        refuse_ended(session)
        return await _begin(session, runner, engine)


async def _begin(session: Session, runner: AsyncRunner, engine: Engine) -> Lean | None:
    driver = _driver_of(runner)
    pool: Any = runner.engine.pool
    record = lease.take_kept(session, pool) or pool.take()
    while record is not None and not driver.usable(record.dbapi_connection):
        lease.discard(pool, record, None)
        record = pool.take()
    if record is None:
        record = await lease.acquire(pool)
    lean = Lean(runner, engine, pool, record)
    if not session.is_plain or session.ended:  # something else began or ended while a connection was waited for
        await lean._release()
        refuse_ended(session)
        return None
    driver.open(lean.dbapi)
    session._lean = lean
    return lean


class Lean:
    """The connection of such a transaction. The server's BEGIN is sent with its first statement."""

    __slots__ = ("_engine", "_pool", "_record", "dbapi", "runner")

    def __init__(self, runner: AsyncRunner, engine: Engine, pool: Any, record: Any) -> None:
        self.runner = runner
        self._engine = engine
        self._pool = pool
        self._record = record
        #: The connection as the pool holds it.
        self.dbapi: Any = record.dbapi_connection

    async def commit(self, session: Session) -> bool:
        """Commit, unless SQLAlchemy's session has taken over; return whether it was committed here."""
        return await self._end(session, commit=True)

    async def rollback(self, session: Session) -> bool:
        """Roll back, unless SQLAlchemy's session has taken over; return whether it was rolled back here."""
        return await self._end(session, commit=False)

    async def _end(self, session: Session, *, commit: bool) -> bool:
        driver = _driver_of(self.runner)
        async with lock_of(session):
            if session._lean is not self:
                return False
            session._lean = None
            try:
                await (driver.commit(self.dbapi) if commit else driver.finish(self.dbapi))
            except Exception as error:
                engine = self.runner.engine
                found, gone = translate(engine, None, None, (), driver.error(self.dbapi, error), self.dbapi)
                # Refused, by a constraint that is deferred for example, or lost: it is not open any more either way.
                if gone or not driver.is_clean(self.dbapi):
                    lease.discard(self._pool, self._record, error, all_of_them=gone)
                else:
                    await self._release()
                if not commit and gone:
                    return True  # a transaction whose connection is lost is rolled back
                raise found from error
            except BaseException as error:
                lease.discard(self._pool, self._record, error)
                raise
            await self._release()
            return True

    async def _release(self) -> None:
        if self._pool is not self.runner.engine.pool:  # the engine was disposed meanwhile
            lease.discard(self._pool, self._record, None)
        elif not self._pool.give(self._record):
            await lease.give(self._pool, self._record)

    def hand_over(self, inner: SyncSession) -> None:
        """Let SQLAlchemy's session go on in this transaction."""
        driver = _driver_of(self.runner)
        if not driver.usable(self.dbapi):
            inner._autobegin_t()
            mark_failed(inner, ConnectionError("the connection was lost in the middle of its transaction"))
            lease.discard(self._pool, self._record, None)
            return
        root: Any = self.runner.engine
        pool, record, current = self._pool, self._record, root.pool
        started = record.starttime
        # The pool gives this very record now, whatever its age and whichever others are idle. Nothing waits meanwhile:
        # the connection is open, and its transaction has begun.
        record.starttime = time.time() + 1
        pool._do_get = lambda: record
        root.pool = pool
        try:
            connection = inner._connection_for_bind(self._engine)
        finally:
            root.pool = current
            del pool._do_get
            record.starttime = started
        inner.__dict__["_quintet_connection"] = (inner._transaction, self.runner, connection, self.dbapi)
