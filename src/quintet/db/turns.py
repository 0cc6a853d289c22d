"""One statement at a time: what a session does for several tasks, it does in turn.

SQLAlchemy's sessions refuse to be used by two tasks at once, or fail in the middle of it. Here `asyncio.gather` over
one session is right, and no faster than one after the other where the session has a connection.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

from quintet.db.errors import SessionClosed

if TYPE_CHECKING:
    from quintet.db.session import Session

__all__ = ["Block", "in_turn", "lock_of", "refuse_ended"]

#: What ends something, and is done for a session that is over, too.
_ENDS = frozenset({"commit", "rollback", "close", "reset", "invalidate", "__aexit__"})


def lock_of(session: Session) -> asyncio.Lock:
    """Return the lock that orders the statements of a session."""
    found = session.__dict__.get("_lock")
    if found is None:
        found = session.__dict__["_lock"] = asyncio.Lock()
    return found


def refuse_ended(session: Any) -> None:
    """Refuse a session whose unit of work is over.

    Raises:
        SessionClosed: it is.
    """
    if session.ended:
        raise SessionClosed(
            "this session ended with its request or its `async with` block; what goes on afterwards opens one of its "
            "own: `async with database.session() as db`, or `with database.sync_session() as db`"
        )


def _ordered(
    name: str, method: Callable[..., Coroutine[Any, Any, Any]], session_of: Callable[[Any], Session]
) -> Callable[..., Any]:
    """Return a method that waits for its turn; a session may have ended meanwhile."""
    ends = name in _ENDS

    @functools.wraps(method)
    async def ordered(self: Any, *values: Any, **named: Any) -> Any:
        session = session_of(self)
        async with lock_of(session):
            if not ends:
                refuse_ended(session)
            return await method(self, *values, **named)

    return ordered


def in_turn(name: str) -> Callable[..., Any]:
    """Return a method of SQLAlchemy's session that waits for its turn."""
    return _ordered(name, getattr(AsyncSession, name), lambda session: session)


class Block(AsyncSessionTransaction):
    """What `begin` and `begin_nested` return: it begins and ends when it is its session's turn."""

    __slots__ = ()


for _name in ("start", "commit", "rollback", "__aexit__"):
    setattr(Block, _name, _ordered(_name, getattr(AsyncSessionTransaction, _name), lambda block: block.session))
