"""Databases of a test's own, on SQLite, PostgreSQL and MariaDB: made empty, and dropped afterwards.

A run holds a lock of the server under the name of each database as long as it lives. Those whose lock is free belong to
runs that were killed, and the next run drops them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

KINDS = ("sqlite", "postgres", "mariadb")
PREFIX = "quintet_run_"
Require = Callable[[str], tuple[str, int]]
#: The servers on which this process has looked for databases of others.
_tidied: set[tuple[str, int]] = set()


@contextmanager
def own_database(kind: str, require: Require, folder: Path) -> Generator[str, None, None]:
    """Give the URL of an empty database.

    Args:
        kind: one of `KINDS`.
        require: the fixture `require_service`, which skips the test where the server cannot be reached.
        folder: where a file of SQLite may be.
    """
    if kind == "sqlite":
        yield f"sqlite:///{folder}/own.db"
    else:
        with server_database(kind, require) as url:
            yield url


@contextmanager
def server_database(kind: str, require: Require) -> Generator[str, None, None]:
    """Give the URL of an empty database on a server, `postgres` or `mariadb`."""
    host, port = require("postgres" if kind == "postgres" else "mysql")
    server = Postgres if kind == "postgres" else MariaDB
    name = f"{PREFIX}{secrets.token_hex(4)}"
    with closing(server(host, port)) as held:
        if (host, port) not in _tidied:
            _tidied.add((host, port))
            drop_abandoned(held)
        assert held.lock(name)
        held.create(name)
        try:
            yield f"{server.scheme}://{server.user}@{host}:{port}/{name}"
        finally:
            held.drop(name)


def drop_abandoned(server: Postgres | MariaDB) -> None:
    """Drop the databases whose runs are over."""
    for name in server.names():
        if server.lock(name):
            server.drop(name)
            server.unlock(name)


class Postgres:
    """A connection to a PostgreSQL server."""

    scheme, user = "postgresql", "postgres"

    def __init__(self, host: str, port: int) -> None:
        import psycopg

        self.connection: Any = psycopg.connect(
            f"host={host} port={port} user=postgres dbname=postgres", autocommit=True
        )

    def names(self) -> list[str]:
        found = self.connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        return [name for (name,) in found]

    def lock(self, name: str) -> bool:
        return self.connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [name]).fetchone()[0]

    def unlock(self, name: str) -> None:
        self.connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])

    def create(self, name: str) -> None:
        self.connection.execute(f"CREATE DATABASE {name}")

    def drop(self, name: str) -> None:
        self.connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        self.connection.close()


class MariaDB:
    """A connection to a MariaDB server."""

    scheme, user = "mysql", "root"

    def __init__(self, host: str, port: int) -> None:
        import pymysql

        self.connection: Any = pymysql.connect(host=host, port=port, user="root", autocommit=True)

    def _execute(self, statement: str, *values: Any) -> Any:
        cursor = self.connection.cursor()
        cursor.execute(statement, values)
        return cursor.fetchall()

    def names(self) -> list[str]:
        wanted = "SELECT schema_name FROM information_schema.schemata WHERE left(schema_name, %s) = %s"
        return [name for (name,) in self._execute(wanted, len(PREFIX), PREFIX)]

    def lock(self, name: str) -> bool:
        return self._execute("SELECT get_lock(%s, 0)", name)[0][0] == 1

    def unlock(self, name: str) -> None:
        self._execute("SELECT release_lock(%s)", name)

    def create(self, name: str) -> None:
        self._execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")

    def drop(self, name: str) -> None:
        # It would wait for whoever has a table of it in a transaction.
        import pymysql

        for (number,) in self._execute("SELECT id FROM information_schema.processlist WHERE db = %s", name):
            with suppress(pymysql.err.OperationalError):  # it has gone meanwhile
                self._execute(f"KILL {number}")
        self._execute(f"DROP DATABASE IF EXISTS {name}")

    def close(self) -> None:
        self.connection.close()
