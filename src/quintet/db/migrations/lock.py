"""One process at a time migrates a database: the lock is the database's own, so it ends with its holder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from quintet.db.migrations.target import MigrationError, MigrationTarget

_PAUSE = 0.1


@contextmanager
def exclusive(connection: Connection, target: MigrationTarget, waiting: Callable[[], None]) -> Generator[None]:
    """Hold the lock of a target; `waiting` is called once where another process holds it.

    SQLite needs none: each migration reads the state inside a transaction that excludes other writers. Oracle has
    none without a grant, so there the deployment must start one process alone.

    Raises:
        MigrationError: another process holds it for longer than `target.wait`.
    """
    if target.dialect == "postgresql":
        key = _key(target)
        take, release = f"SELECT pg_try_advisory_lock({key})", f"SELECT pg_advisory_unlock({key})"
    elif target.dialect in {"mysql", "mariadb"}:
        name = f"quintet:{target.address.database}:{target.version_table}"[:64]
        take, release = f"SELECT GET_LOCK('{_quote(name)}', 0)", f"SELECT RELEASE_LOCK('{_quote(name)}')"
    else:
        yield
        return
    _wait(connection, target, take, waiting)
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.rollback()
            connection.execute(text(release))
            connection.commit()


def _wait(connection: Connection, target: MigrationTarget, take: str, waiting: Callable[[], None]) -> None:
    end = time.monotonic() + target.wait
    told = False
    while True:
        taken = connection.execute(text(take)).scalar()
        connection.commit()
        if taken:
            return
        if not told:
            waiting()
            told = True
        if time.monotonic() > end:
            raise MigrationError(
                f"another process has been migrating the database {target.name!r} for {target.wait:.0f} s; "
                f"see that it ends, then run this again"
            )
        time.sleep(_PAUSE)


def _key(target: MigrationTarget) -> int:
    """Return the advisory lock's number: databases of one server have their own locks already."""
    digest = hashlib.sha256(f"quintet migrations {target.version_table}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _quote(text_: str) -> str:
    return text_.replace("\\", "\\\\").replace("'", "''").replace(":", "\\:")
