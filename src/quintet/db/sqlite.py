"""SQLite as a server's database: its settings for each connection, and how its transactions begin.

Writers take the write lock when they begin, so that none fails half-way; readers take none and cannot write.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from quintet.db.drivers.hops import HopConnection, WriteLine
from quintet.db.drivers.sqlite_thread import TIMEOUT, stop_statements, take_lock
from quintet.db.errors import DatabaseUnreachable
from quintet.errors import Problem

logger = logging.getLogger("quintet.db")

#: Seconds a write lock may be held without a statement, before development is told.
PATIENCE = 0.1

#: The execution option that says how a transaction begins: `read` or `write`.
MODE = "quintet_mode"
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={TIMEOUT}")


def prepare_sqlite(engine: Engine, *, memory: bool) -> None:
    """Set up every connection of an engine, and begin transactions by what they are for."""

    line = WriteLine()

    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        try:
            cursor = connection.cursor()
            for pragma in _PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
            if memory:
                cursor.execute("PRAGMA synchronous=OFF")
            cursor.close()
        except Exception as error:  # SQLite opens a file that it may only read, and fails here
            connection.close()
            raise unreachable(error, engine.url.database) from error
        if isinstance(connection, HopConnection):
            connection.line = line

    event.listen(engine, "connect", connect)
    engine._connection_cls = _ModedConnection  # pyright: ignore[reportPrivateUsage] - of this engine alone
    event.listen(engine, "invalidate", _interrupt)


def unreachable(error: Exception, file: str | None = None) -> DatabaseUnreachable:
    """Log why there is no connection, with the name of SQLite's file, and return the answer, which does not name it."""
    why = why_unusable(file)
    if why is not None:
        logger.warning("%s (%s)", why.message, error)
    else:
        logger.warning("no connection to the database%s: %s", f" {file}" if file else "", error)
    return DatabaseUnreachable("the database cannot be reached", headers={"retry-after": "1"})


def why_unusable(path: str | None) -> Problem | None:
    """Return what keeps a file from being opened and written; SQLite says no more than that it cannot."""
    if not path or path.startswith("file:"):
        return None
    file = Path(path).absolute()
    relative = "" if Path(path).is_absolute() else f"; a relative path begins in {Path.cwd()}, where this was started"
    # The functions of `os.path` say no where a folder may not be looked into; those of `Path` raise.
    if not os.path.isdir(file.parent):
        return _unusable(
            file, f"its folder {file.parent} is not there", f"make the folder, or correct the URL{relative}"
        )
    if os.path.isdir(file):
        return _unusable(file, "it is a folder", f"name a file in the URL{relative}")
    for place in (file, file.parent):  # SQLite writes its log beside the file
        needed = os.R_OK | os.W_OK | (os.X_OK if os.path.isdir(place) else 0)
        if os.path.exists(place) and not os.access(place, needed):
            return _unusable(
                file, f"this user may not write {place}", "give the folder and the file to the user that runs this"
            )
    return None


def _unusable(file: Path, why: str, fix: str) -> Problem:
    return Problem(
        id="database.file", message=f"the database {file} cannot be opened: {why}", where="DATABASE_URL", fix=fix
    )


def _interrupt(connection: Any, record: Any, error: BaseException | None) -> None:
    """Stop the statement of a connection that is given up, and roll back: closing it does neither.

    A statement that something still refers to would hold the write lock as long as it lives.
    """
    driver: Any = getattr(connection, "driver_connection", connection)
    raw: Any = getattr(driver, "_connection", None)  # of aiosqlite, whose thread is the only one to use it
    if raw is not None:
        stop_statements(driver, raw.rollback)


class _ModedConnection(Connection):
    """A connection whose transactions begin by what they are for."""

    def _begin_impl(self, transaction: Any) -> None:
        reading = self.get_execution_options().get(MODE) == "read"
        dbapi: Any = self.connection.dbapi_connection
        if isinstance(dbapi, HopConnection):
            self.info["query_only"] = reading
            dbapi.begin_later(reading=reading)
        else:
            try:
                if self.info.get("query_only", False) != reading:
                    dbapi.execute(f"PRAGMA query_only={'ON' if reading else 'OFF'}")
                    self.info["query_only"] = reading
                if not reading and isinstance(dbapi, sqlite3.Connection):
                    take_lock(dbapi)
                else:
                    dbapi.execute("BEGIN" if reading else "BEGIN IMMEDIATE")
            except Exception as error:  # noqa: BLE001 - raised as SQLAlchemy knows it
                self._handle_dbapi_exception(error, None, None, None, None)
        super()._begin_impl(transaction)


def watch_locks(engine: Engine, patience: float = PATIENCE) -> None:
    """Log a warning where a write lock was held while something else than the database was waited for.

    For development: one slow call between two statements makes every other writer wait as long.
    """

    def begin(connection: Connection) -> None:
        if not connection.info.get("query_only"):
            connection.info["lock"] = [time.monotonic(), 0.0]  # since when it is idle, and for how long it was

    def before(connection: Connection, *details: Any) -> None:
        if (lock := connection.info.get("lock")) is not None:
            lock[1] += time.monotonic() - lock[0]

    def after(connection: Connection, *details: Any) -> None:
        if (lock := connection.info.get("lock")) is not None:
            lock[0] = time.monotonic()

    def end(connection: Connection) -> None:
        before(connection)
        lock = connection.info.pop("lock", None)
        if lock is not None and lock[1] > patience:
            logger.warning(
                "the write lock of SQLite was held for %d ms while something else than the database was waited for; "
                "do that before the first statement, or commit first: no one else could write meanwhile",
                lock[1] * 1000,
            )

    event.listen(engine, "begin", begin)
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    event.listen(engine, "commit", end)
    event.listen(engine, "rollback", end)
