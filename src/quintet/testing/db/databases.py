"""Databases for tests: each worker has its own, made and migrated once per run, and dropped at its end."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import URL

from quintet.db.database import Database
from quintet.db.engines import Engines, connect_arguments, drivers_of
from quintet.db.model import bases
from quintet.testing._portal import Portal
from quintet.testing.db.shared import SharedConnection
from quintet.testing.db.virtual import VirtualEngines

if TYPE_CHECKING:
    from quintet.app import Application

_SUFFIX = re.compile(r"_test(_gw\d+)?$")


def url_for_tests(url: URL, worker: str = "", folder: Path | None = None) -> URL:
    """Return the URL of the database that stands for another one in tests: `shop` has `shop_test_gw0`.

    Args:
        url: the app's database.
        worker: the name of the worker, where several run.
        folder: where the files of SQLite go; beside the app's own when absent.
    """
    end = f"_test_{worker}" if worker else "_test"
    if url.get_backend_name() == "sqlite":
        file = Path(url.database or "app.db")
        return url.set(database=str((folder or file.parent) / f"{_SUFFIX.sub('', file.stem)}{end}{file.suffix}"))
    return url.set(database=f"{_SUFFIX.sub('', url.database or 'app')}{end}")


class DatabaseForTests:
    """A database of a test run in the place of an app's.

    Args:
        url: where it is.
        like: the app's database: its pool and TLS options, and the models, are those of this one.
        keep: leave it at the end, and take it as it is if it is there.
        fresh: make it anew even so.
    """

    def __init__(self, url: URL, like: Database, *, keep: bool = False, fresh: bool = False) -> None:
        real = like.primary
        self.url = url
        self.keep = keep
        self.fresh = fresh
        self.label = like.label
        self.portal = Portal()
        self.engines = Engines(url, real.pool, real.tls, echo=real.echo)
        self.shared = SharedConnection(self.engines, self.portal)
        self.virtual: VirtualEngines | None = None

    def create(self, app: Application | None = None) -> None:
        """Make the database and its tables: by the app's migrations, or by `create_all` where it has none."""
        exists = database_exists(self)
        if exists and (self.fresh or not self.keep):
            drop_database(self)
            exists = False
        if not exists:
            create_database(self)
        if app is None or not _migrate(app, self):
            engine = self.engines.sync_engine
            for base in bases():
                if base.__database__ == self.label:
                    base.registry.configure()
                    base.metadata.create_all(engine)
            self.engines.dispose_sync()
        self.shared.open()
        self.virtual = VirtualEngines(self.shared)

    def drop(self) -> None:
        """Close the connection and drop the database, unless it is kept."""
        self.shared.close()
        self.portal.close()
        if not self.keep:
            drop_database(self)

    @contextmanager
    def transaction(self, database: Database) -> Generator[None, None, None]:
        """Let a database lead here for the time of a block, which is one transaction, rolled back at its end."""
        assert self.virtual is not None
        self.shared.begin()
        try:
            with _leading(database, self.virtual):
                yield
        finally:
            self.shared.rollback()
            self.virtual.dispose_sync()

    @contextmanager
    def committing(self, database: Database) -> Generator[None, None, None]:
        """Let a database lead here for the time of a block, with real transactions; its tables are emptied then."""
        engines = Engines(self.url, self.engines.pool, self.engines.tls, echo=self.engines.echo)
        try:
            with _leading(database, engines):
                yield
        finally:
            engines.dispose_sync()
            self._empty(engines)
            engines.dispose_sync()

    def _empty(self, engines: Engines) -> None:
        tables = [t for base in bases() if base.__database__ == self.label for t in base.metadata.tables.values()]
        with engines.sync_engine.begin() as connection:
            if not tables:
                return
            if self.engines.kind == "postgresql":
                quote = connection.dialect.identifier_preparer.format_table
                connection.exec_driver_sql(f"TRUNCATE {', '.join(map(quote, tables))} RESTART IDENTITY CASCADE")
                return
            connection.exec_driver_sql(_LET_GO[self.engines.kind])
            for table in tables:
                connection.execute(table.delete())


#: Rows may go in any order, for all of them go.
_LET_GO = {
    "sqlite": "PRAGMA defer_foreign_keys=ON",
    "mysql": "SET FOREIGN_KEY_CHECKS=0",
    "mariadb": "SET FOREIGN_KEY_CHECKS=0",
}


@contextmanager
def _leading(database: Database, engines: Engines) -> Generator[None, None, None]:
    before = database.primary, database.replicas
    database.primary, database.replicas = engines, []
    try:
        yield
    finally:
        database.primary, database.replicas = before


def _migrate(app: Application, made: DatabaseForTests) -> bool:
    """Run the migrations of an app, if it has any for this database; return whether it has."""
    from quintet.db.migrations.plugin import targets_of

    for target in targets_of(app):
        if target.name == made.label and target.folder.is_dir() and any(target.folder.glob("*.py")):
            from dataclasses import replace

            from quintet.db.migrations.environment import upgrade

            driver = drivers_of(made.url)[1]
            url = made.url.set(drivername=f"{made.url.get_backend_name()}+{driver}")
            upgrade(replace(target, url=url))
            return True
    return False


# -- making and dropping ----------------------------------------------------------------------------------------------


def database_exists(made: DatabaseForTests) -> bool:
    """Tell whether a database is there."""
    if made.url.get_backend_name() == "sqlite":
        return Path(made.url.database or "").exists()
    query = _POSTGRES if made.engines.kind == "postgresql" else _MYSQL
    with _on_server(made) as connection:
        return connection.execute(sa.text(query), {"name": made.url.database}).first() is not None


_POSTGRES = "SELECT 1 FROM pg_database WHERE datname = :name"
_MYSQL = "SELECT 1 FROM information_schema.schemata WHERE schema_name = :name"


def create_database(made: DatabaseForTests) -> None:
    """Make an empty database."""
    if made.url.get_backend_name() == "sqlite":
        Path(made.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        return
    with _on_server(made) as connection:
        name = connection.dialect.identifier_preparer.quote(made.url.database or "")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")


def drop_database(made: DatabaseForTests) -> None:
    """Drop a database, connections to it included."""
    if made.url.get_backend_name() == "sqlite":
        for end in ("", "-wal", "-shm"):
            Path(f"{made.url.database}{end}").unlink(missing_ok=True)
        return
    with _on_server(made) as connection:
        name = connection.dialect.identifier_preparer.quote(made.url.database or "")
        force = " WITH (FORCE)" if made.engines.kind == "postgresql" else ""
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{force}")


@contextmanager
def _on_server(made: DatabaseForTests) -> Generator[sa.Connection, None, None]:
    """Connect to the server itself: to PostgreSQL's database `postgres`, to no database of MariaDB's."""
    driver = drivers_of(made.url)[1]
    url, arguments = connect_arguments(made.url, driver, made.engines.pool, made.engines.tls)
    place = "postgres" if made.engines.kind == "postgresql" else None
    address = url._replace(drivername=f"{made.engines.kind}+{driver}", database=place)
    engine = sa.create_engine(address, connect_args=arguments, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


@contextmanager
def rolled_back(database: Database) -> Generator[Database, None, None]:
    """Run a block in one transaction of a database as it is, and roll it back: for tests without pytest's fixtures.

    Sessions of any kind and loop, compiled queries and commits inside the block are part of it.
    """
    portal = Portal()
    shared = SharedConnection(Engines(database.primary.url, database.primary.pool, database.primary.tls), portal)
    shared.open()
    try:
        shared.begin()
        virtual = VirtualEngines(shared)
        try:
            with _leading(database, virtual):
                yield database
        finally:
            shared.rollback()
            virtual.dispose_sync()
    finally:
        shared.close()
        portal.close()
