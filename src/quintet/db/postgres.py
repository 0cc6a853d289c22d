"""PostgreSQL's connections go back to the pool as they came: what a statement left behind on one is taken away."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.util import await_only

#: Statements whose effect stays with the connection after their transaction.
_LEAVES = re.compile(
    r"\A\s*(set|reset|listen|load|prepare|declare|execute|do|call)\b|\btemp(orary)?\b"
    r"|\b(pg_(try_)?advisory_lock|set_config|dblink)\w*\s*\(",
    re.IGNORECASE,
)
_CLEAN = "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL; DISCARD TEMP"
#: What a connection is marked with that ran one.
LEFT = "quintet_left"
_MOST = 1000
_known: dict[str, bool] = {}


def leaves(sql: str) -> bool:
    """Return whether a statement leaves something behind on its connection."""
    found = _known.get(sql)
    if found is None:
        if len(_known) >= _MOST:
            _known.clear()
        found = _known[sql] = _LEAVES.search(sql) is not None
    return found


def keep_clean(engine: Engine) -> None:
    """Clean a connection of this engine before its next user gets it, if it is marked."""

    def clean(dbapi: Any, record: Any, state: Any) -> None:
        if not record.info.pop(LEFT, False) or state.terminate_only:
            return
        dbapi.rollback()
        if engine.dialect.is_async:
            await_only(dbapi._connection.execute(_CLEAN))
        else:
            cursor = dbapi.cursor()
            cursor.execute(_CLEAN)
            cursor.close()
            dbapi.commit()

    event.listen(engine, "reset", clean)
