"""The drivers of threads: sqlite3, psycopg, PyMySQL and its likes, all by the DBAPI's own names."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["BlockingDriver", "PsycopgDriver", "PyMySQLDriver", "Sqlite3Driver"]


class BlockingDriver:
    """Runs statements by the DBAPI; a statement of its own is rolled back or committed at its end."""

    #: Whether closing a cursor that was left reads all the rest; then its connection is closed instead.
    reads_the_rest = False

    def usable(self, dbapi: Any) -> bool:
        return not getattr(dbapi, "closed", False)

    def prepare(self, dbapi: Any) -> None:
        """Nothing to do: the transaction that the statement begins ends with it."""

    def rows(self, dbapi: Any, sql: str, args: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        cursor = dbapi.cursor()
        try:
            cursor.execute(sql, args)
            return cursor.fetchall(), [column[1] for column in cursor.description]
        finally:
            cursor.close()

    def execute(self, dbapi: Any, sql: str, args: Any) -> int:
        cursor = dbapi.cursor()
        try:
            cursor.execute(sql, args)
            return cursor.rowcount
        finally:
            cursor.close()

    def execute_many(self, dbapi: Any, sql: str, sets: list[Any]) -> None:
        cursor = dbapi.cursor()
        try:
            cursor.executemany(sql, sets)
        finally:
            cursor.close()

    def cursor(self, dbapi: Any) -> Any:
        """Return a cursor that does not fetch everything at once."""
        return dbapi.cursor()

    def stream(self, dbapi: Any, sql: str, args: Any, size: int) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
        cursor = self.cursor(dbapi)
        left = True
        try:
            cursor.execute(sql, args)
            while rows := cursor.fetchmany(size):
                yield rows, [column[1] for column in cursor.description]
            left = False
        finally:
            if not (left and self.reads_the_rest):
                cursor.close()

    def finish(self, dbapi: Any) -> None:
        dbapi.rollback()

    def stale(self, error: Exception) -> bool:
        return False


class Sqlite3Driver(BlockingDriver):
    """Runs statements on a `sqlite3.Connection`; a read begins no transaction."""

    def rows(self, dbapi: Any, sql: str, args: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        cursor = dbapi.execute(sql, args)
        return cursor.fetchall(), [None] * len(cursor.description)

    def finish(self, dbapi: Any) -> None:
        """Nothing is left: a read begins no transaction."""


class PyMySQLDriver(BlockingDriver):
    """Runs statements on a connection of PyMySQL, mysqlclient or another of their kind."""

    reads_the_rest = True

    def __init__(self, stream_cursor: Callable[..., Any] | None) -> None:
        self._stream_cursor = stream_cursor

    def usable(self, dbapi: Any) -> bool:
        return getattr(dbapi, "open", True)

    def cursor(self, dbapi: Any) -> Any:
        return dbapi.cursor() if self._stream_cursor is None else dbapi.cursor(self._stream_cursor)

    def finish(self, dbapi: Any) -> None:
        if not (hasattr(dbapi, "get_autocommit") and dbapi.get_autocommit()):
            super().finish(dbapi)


class PsycopgDriver(BlockingDriver):
    """Runs statements on a `psycopg.Connection`; one of its own runs in autocommit, so without BEGIN and ROLLBACK."""

    def __init__(self) -> None:
        import psycopg

        self._not_supported = psycopg.errors.FeatureNotSupported
        self._numbers = itertools.count(1)

    def prepare(self, dbapi: Any) -> None:
        dbapi.autocommit = True

    def cursor(self, dbapi: Any) -> Any:
        return dbapi.cursor(name=f"quintet_{next(self._numbers)}")

    def finish(self, dbapi: Any) -> None:
        if dbapi.autocommit:
            dbapi.autocommit = False
        else:
            dbapi.rollback()

    def stale(self, error: Exception) -> bool:
        return isinstance(error, self._not_supported) and "cached plan" in str(error)
