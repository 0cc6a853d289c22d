"""Who listens to the events of sessions: where others do, SQLAlchemy runs what they listen for."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["ENDS", "OURS", "STATEMENTS", "changed_by_others"]

#: Modules whose changes of statements are made when a query is compiled, or do not matter to it.
OURS = frozenset({"quintet.db.session", "quintet.db.mixins", "quintet.db.queries.failures"})
#: Events of sessions that change what a statement does, and those of the ends of transactions.
STATEMENTS = ("do_orm_execute", "loaded_as_persistent")
ENDS = ("after_begin", "before_commit", "after_commit", "after_rollback", "after_soft_rollback",
        "after_transaction_create", "after_transaction_end")  # fmt: skip
_HEARD: dict[tuple[type, tuple[str, ...]], tuple[list[Any], list[int], bool]] = {}


def changed_by_others(kind: type[Session], events: tuple[str, ...]) -> bool:
    """Return whether anybody but this package listens to events of a class of sessions.

    PERF: for a session that was not asked for its listeners yet, which SQLAlchemy would make objects for.
    """
    known = _HEARD.get((kind, events))
    if known is not None and list(map(len, known[0])) == known[1]:
        return known[2]
    found: list[Any] = []
    for name in events:
        listeners: Any = getattr(kind.dispatch, name)
        if kind not in listeners._clslevel:
            listeners.update_subclass(kind)
        found.append(listeners._clslevel[kind])
    foreign = any(getattr(one, "__module__", "") not in OURS for listeners in found for one in listeners)
    _HEARD[kind, events] = found, list(map(len, found)), foreign
    return foreign
