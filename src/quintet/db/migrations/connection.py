"""Connections for migrations: one of their own, with transactions around DDL where the database has them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event

from quintet.db.migrations.target import MigrationTarget
from quintet.db.sqlite import why_unusable
from quintet.errors import ConfigurationError

#: The databases that keep DDL inside a transaction.
TRANSACTIONAL = ("sqlite", "postgresql")
#: The names that Quintet's own tables for migrations begin with; they are in no model.
STEPS_TABLE = "quintet_migration_steps"


def build_engine(target: MigrationTarget, *, reading: bool = False) -> Engine:
    """Return an engine whose connections are closed when they are given back."""
    engine = create_engine(target.address, **{"poolclass": NullPool, **target.engine_options})
    if target.dialect == "sqlite":
        _prepare_sqlite(engine, target, "BEGIN" if reading else "BEGIN IMMEDIATE")
    return engine


@contextmanager
def connect(target: MigrationTarget, *, reading: bool = False) -> Generator[Connection]:
    """Open a connection; `reading` ones take no lock.

    Raises:
        ConfigurationError: it is SQLite's, whose file cannot be opened.
    """
    problem = why_unusable(target.address.database) if target.dialect == "sqlite" else None
    if problem is not None:
        raise ConfigurationError(problem)
    engine = build_engine(target, reading=reading)
    try:
        with engine.connect() as connection:
            if not reading:
                _set_timeouts(connection, target)
            yield connection
    finally:
        engine.dispose()


def _prepare_sqlite(engine: Engine, target: MigrationTarget, begin: str) -> None:
    """Take transactions out of the driver's hands: it would commit before some statements.

    Foreign keys are off while tables are rebuilt, since dropping the old table would delete what refers to it; they
    are checked before each commit.
    """

    def opened(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = OFF")
        cursor.execute(f"PRAGMA busy_timeout = {int(target.wait * 1000)}")
        cursor.close()

    def began(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", opened)
    event.listen(engine, "begin", began)


def _set_timeouts(connection: Connection, target: MigrationTarget) -> None:
    """Give way to the site: a statement that waits for a lock lets all others wait behind it."""
    if target.dialect == "postgresql":
        connection.exec_driver_sql(f"SET lock_timeout = {int(target.lock_timeout * 1000)}")
        statement = int((target.statement_timeout or 0) * 1000)
        connection.exec_driver_sql(f"SET statement_timeout = {statement}")
    elif target.dialect in {"mysql", "mariadb"}:
        seconds = max(1, int(target.lock_timeout))
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}")
        if target.statement_timeout:
            connection.exec_driver_sql(_statement_timeout(connection, target.statement_timeout))
    connection.commit()


def _statement_timeout(connection: Connection, seconds: float) -> str:
    """MariaDB bounds every statement; MySQL knows a bound for SELECT alone."""
    if getattr(connection.dialect, "is_mariadb", False):
        return f"SET SESSION max_statement_time = {seconds}"
    return f"SET SESSION max_execution_time = {int(seconds * 1000)}"
