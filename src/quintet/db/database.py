"""`Database`: one database as an app uses it, by itself or as a plugin; it gives out sessions."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from quintet.config.secret import Secret
from quintet.db.engines import TLS, Engines, PoolOptions, drivers_of, parse_url
from quintet.db.guards import guard_dialect
from quintet.db.notes import explain
from quintet.db.session import Mode, Session, SyncSession
from quintet.db.settings import DatabaseSettings
from quintet.db.units import finished
from quintet.errors import ConfigurationError, Problem
from quintet.hooks import Plugin

if TYPE_CHECKING:
    from quintet.app import Application


class Database(Plugin):
    """A database: `App(plugins=[Database("sqlite:///app.db")])`.

    Handlers ask for `Session` or `SyncSession`. Scripts and tests use the same object without an app:
    `async with database.session() as db`, or `with database.sync_session() as db`.

    Args:
        url: where it is; the setting `DATABASE_URL` when absent.
        name: its name, where an app has several; handlers ask for `Annotated[Session, Use("reports")]`, and models
            below `class Reports(Model, database="reports")` are found in it from every session.
        replicas: URLs of copies, from which sessions for reading read.
        pool: the pool of connections.
        tls: how connections are encrypted.
        echo: print every statement.
        settings: what stands in for arguments that are absent; `DatabaseSettings` as read at start-up by default.

    Raises:
        ConfigurationError: the URL is wrong, or a driver is missing, with the extra to install.
    """

    def __init__(
        self,
        url: str | Secret | None = None,
        *,
        name: str = "default",
        replicas: Sequence[str | Secret] = (),
        pool: PoolOptions | None = None,
        tls: TLS | None = None,
        echo: bool | None = None,
        settings: DatabaseSettings | None = None,
    ) -> None:
        # `DATABASE_REPLICAS` are no copies of a second database.
        is_meant = settings is not None or url is None or name == "default"
        if settings is None:
            settings = _load_settings(explicit=url is not None)
        section = settings.__section__
        variable = f"{section.upper()}_URL"
        if url is None:
            url = settings.url
        if not url:
            raise ConfigurationError(
                Problem(
                    id="database.missing",
                    message=f"the database {name!r} has no URL: none is given to Database(), in {variable}, or in "
                    f"{Path.cwd() / 'quintet.toml'}",
                    where=variable,
                    fix=f'write url = "sqlite:///app.db" below [{section}] in quintet.toml, and set {variable} where '
                    "another one is used",
                )
            )
        self.label = name
        setattr(self, "name", "database" if name == "default" else f"database.{name}")  # noqa: B010 - each its own
        pool = pool or PoolOptions(
            size=settings.pool_size,
            overflow=settings.pool_overflow,
            timeout=settings.pool_timeout,
            recycle=settings.pool_recycle,
            connect_timeout=settings.connect_timeout,
            prepared_statements=settings.prepared_statements,
        )
        tls = tls or TLS(mode=settings.tls, ca=settings.tls_ca)
        echo = settings.echo if echo is None else echo

        def make(text: str | Secret) -> Engines:
            return Engines(parse_url(_reveal(text), variable), pool, tls, echo=echo)

        #: The engines of the database that is written to.
        self.primary: Engines = make(url)
        copies = replicas or (settings.replicas if is_meant else ())
        #: The engines of its copies.
        self.replicas: list[Engines] = [make(text) for text in copies]
        self._turn = itertools.count()
        self._siblings: dict[str, Database] = {name: self}

    def setup(self, app: Application) -> None:
        """Join an app: provide sessions to its handlers and tasks, and close connections at its end."""
        from quintet.db.plugin import join

        join(self, app)

    def use_siblings(self, siblings: dict[str, Database]) -> None:
        """Know the other databases of the app, to find models in them."""
        self._siblings = siblings

    # -- engines ----------------------------------------------------------------------------------------------------

    @property
    def dialect(self) -> str:
        """The name of its SQL: `sqlite`, `postgresql`, `mysql`, `mariadb` or `oracle`."""
        return self.primary.kind

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's async engine on the running event loop."""
        return self.primary.async_engine

    @property
    def sync_engine(self) -> Engine:
        """SQLAlchemy's sync engine."""
        return self.primary.sync_engine

    def make_dialect(self) -> Dialect:
        """Return a dialect of its SQL, as the async driver speaks it, without a connection."""
        dialect: Dialect = make_url(f"{self.dialect}+{drivers_of(self.primary.url)[0]}://").get_dialect()()
        guard_dialect(dialect)
        return dialect

    def bind(self, mode: Mode, *, is_async: bool) -> Engine:
        """Return the engine on which a session of this mode works."""
        engines = self.primary
        if mode == "read" and self.replicas:
            engines = self.replicas[next(self._turn) % len(self.replicas)]
        return engines.bind(mode, is_async=is_async)

    def sibling(self, name: str) -> Database:
        """Return another database of the same app.

        Raises:
            LookupError: there is none of this name.
        """
        found = self._siblings.get(name)
        if found is None:
            known = ", ".join(map(repr, self._siblings))
            raise LookupError(
                f"a model lives in the database {name!r}, and there is {known}; add Database(…, name={name!r})"
            )
        return found

    # -- sessions ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def session(self, mode: Mode = "write") -> AsyncGenerator[Session, None]:
        """Open a session: committed at the end, rolled back on an exception."""
        session = Session(self, mode)
        try:
            yield session
            await finished(session.commit())
        except SQLAlchemyError as error:
            explain(error)
            raise
        finally:
            session.end()
            await finished(session.close())

    @contextmanager
    def sync_session(self, mode: Mode = "write") -> Generator[SyncSession, None, None]:
        """Open a session for synchronous code: committed at the end, rolled back on an exception."""
        session = SyncSession(self, mode)
        try:
            yield session
            session.commit()
        except SQLAlchemyError as error:
            explain(error)
            raise
        finally:
            session.ended = True
            session.close()

    # -- health -----------------------------------------------------------------------------------------------------

    async def ping(self, timeout: float = 2.0) -> None:  # noqa: ASYNC109 - a check's own limit
        """Ask the database for a sign of life.

        Raises:
            TimeoutError: it gave none in time.
            OSError, sqlalchemy.exc.DBAPIError: it cannot be reached.
        """
        async with asyncio.timeout(timeout), self.engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1 FROM dual" if self.dialect == "oracle" else "SELECT 1"))

    async def create_all(self, base: Any = None) -> None:
        """Create the tables of all models that are missing: for tests and first steps; migrations do it for good.

        Args:
            base: the base of the models, or a model; every base of models of this database when absent.
        """
        async with self.engine.begin() as connection:
            for metadata in self._metadata(base):
                await connection.run_sync(metadata.create_all)

    async def drop_all(self, base: Any = None) -> None:
        """Drop the tables of all models.

        Args:
            base: as for `create_all`.
        """
        async with self.engine.begin() as connection:
            for metadata in self._metadata(base):
                await connection.run_sync(metadata.drop_all)

    def _metadata(self, base: Any) -> list[sa.MetaData]:
        return metadata_for(self.label) if base is None else [metadata_of(base)]

    async def dispose(self) -> None:
        """Close the idle connections of this event loop and of the sync engine."""
        for engines in (self.primary, *self.replicas):
            await engines.dispose()

    def dispose_sync(self) -> None:
        """Close the idle connections of the sync engine."""
        for engines in (self.primary, *self.replicas):
            engines.dispose_sync()

    def __repr__(self) -> str:
        return f"Database({self.primary.url.render_as_string(hide_password=True)!r}, name={self.label!r})"


def metadata_of(base: Any = None) -> sa.MetaData:
    """Return the metadata of a base of models with every table in it, those between models included."""
    if base is None:
        from quintet.db.model import Model as base  # noqa: N813 - the default
    base.registry.configure()
    return base.metadata


def metadata_for(name: str) -> list[sa.MetaData]:
    """Return the metadata of every base whose models live in a database: that of `Model`, and those below it."""
    from quintet.db.model import Model

    bases: list[type[Any]] = [Model]
    for base in bases:
        bases += [cls for cls in base.__subclasses__() if cls.__dict__.get("__abstract__")]
    found = {id(base.metadata): metadata_of(base) for base in bases if base.__database__ == name}
    return list(found.values())


def _load_settings(*, explicit: bool) -> DatabaseSettings:
    from quintet.config.load import load_settings

    try:
        return load_settings(DatabaseSettings)[DatabaseSettings]
    except ConfigurationError:
        if explicit:
            return DatabaseSettings()
        raise


def _reveal(text: str | Secret) -> str:
    return text.reveal() if isinstance(text, Secret) else text
