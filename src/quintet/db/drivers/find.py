"""Which driver a dialect of SQLAlchemy stands for; None where only SQLAlchemy itself can run a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

    from quintet.db.drivers.base import AsyncDriver, SyncDriver

__all__ = ["find_async_driver", "find_sync_driver"]


def find_async_driver(dialect: Dialect) -> AsyncDriver | None:
    """Return the driver of an asynchronous dialect."""
    match dialect.driver:
        case "asyncpg":
            from quintet.db.drivers.asyncpg import AsyncpgDriver

            return AsyncpgDriver()
        case "aiosqlite":
            from quintet.db.drivers.aiosqlite import AiosqliteDriver

            return AiosqliteDriver()
        case "asyncmy" | "aiomysql":
            from importlib import import_module

            from quintet.db.drivers.mysql import AsyncMySQLDriver

            return AsyncMySQLDriver(import_module(f"{dialect.driver}.cursors").SSCursor)
        case _:
            return None


def find_sync_driver(dialect: Dialect) -> SyncDriver | None:
    """Return the driver of a synchronous dialect."""
    from quintet.db.drivers.blocking import PsycopgDriver, PyMySQLDriver, Sqlite3Driver

    match dialect.driver:
        case "psycopg":
            return PsycopgDriver()
        case "pysqlite":
            return Sqlite3Driver()
        case "pymysql" | "mysqldb":
            from importlib import import_module

            name = "pymysql.cursors" if dialect.driver == "pymysql" else "MySQLdb.cursors"
            cursor: Any = import_module(name).SSCursor
            return PyMySQLDriver(cursor)
        case _:
            return None
