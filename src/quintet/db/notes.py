"""Notes on errors of databases whose cause is not where they are raised: what it is, and what mends it."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy.exc import DBAPIError

from quintet.db.model import bases

#: What databases say of a table or a column that is not there; the group is its name.
_MISSING = re.compile(
    r"no such (?:table|column): (?:main\.)?(?P<sqlite>[\w.]+)"
    r"|table \w+ has no column named (?P<sqlite_insert>\w+)"
    r"|relation \"(?P<relation>[\w.]+)\" does not exist"
    r"|column \"?(?P<column>[\w.]+)\"?(?: of relation \"\w+\")? does not exist"
    r"|Table '(?P<table>[^']+)' doesn't exist"
    r"|Unknown column '(?P<unknown>[^']+)'"
    r"|ORA-00942: table or view \"?(?P<ora_table>[\w.\"]+?)\"? does not exist"
    r"|ORA-00904: (?P<ora_column>[\w.\"]+): invalid identifier"
)


#: What PostgreSQL says of prepared statements that are not there, or there already.
_LOST_STATEMENTS = {"26000", "42P05"}
_POOLER = (
    "a PgBouncer that pools transactions gives each one another connection, where the statement is not prepared\n"
    "    fix: set max_prepared_statements in it (PgBouncer 1.21 and later); with an older one, "
    "DATABASE_PREPARED_STATEMENTS=false or PoolOptions(prepared_statements=False)"
)


def explain(error: Exception) -> None:
    """Add a note to an error of a database, where its cause is known."""
    if not isinstance(error, DBAPIError):
        return
    if getattr(error.orig, "sqlstate", None) in _LOST_STATEMENTS:
        note = _POOLER
    else:
        note = _of_missing(str(error.orig))
    if note is not None and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _of_missing(said: str) -> str | None:
    """Return how a database gets a table or a column that it has not, where a model has it."""
    match = _MISSING.search(said)
    if match is None:
        return None
    name = next(text for text in match.groups() if text).replace('"', "").rpartition(".")[2].lower()
    tables: list[Any] = [table for base in bases() for table in base.metadata.tables.values()]
    if not any(name == part.name.lower() for table in tables for part in (table, *table.columns)):
        return None
    return (
        f"the models have {name}, and the database has not\n"
        "    fix: run `quintet db upgrade`; where no revision makes it yet, "
        '`quintet db revision -m "…"` before; in tests, `await database.create_all()`'
    )
