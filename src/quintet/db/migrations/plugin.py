"""How migrations join an app: which databases it has, who brings tables, and what happens at start-up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from sqlalchemy import URL, MetaData

from quintet.db.database import Database, metadata_for
from quintet.db.engines import connect_arguments, drivers_of
from quintet.db.migrations.target import MigrationPart, MigrationTarget
from quintet.errors import ConfigurationError, Problem
from quintet.hooks import Plugin

if TYPE_CHECKING:
    from quintet.app import Application

_LOG = logging.getLogger("quintet.db")
#: Where an app keeps the settings of its migrations.
OPTIONS = "quintet.db.migrations"


class Migrations(Plugin):
    """Settings for the migrations of a database: `App(plugins=[Database(), Migrations(seed=seed)])`.

    An app with a `Database` has migrations without it. With `url` and `metadata` it serves tables of SQLAlchemy's own,
    without a `Database`.

    Args:
        database: the name of the database.
        folder: where the revisions are; `migrations` beside the file that makes the app when absent, and
            `migrations/NAME` for a database with a name.
        seed: fills the database with what it should begin with; `quintet db seed` calls it, again and again.
        on_start: what happens where the database lacks revisions when the app starts: `warn` logs which, `refuse` does
            not start.
        url: the address, with a synchronous driver.
        metadata: the tables.
        options: `ignore`, `lock_timeout`, `lock_retries`, `statement_timeout`, `wait`, `version_table` of
            `MigrationTarget`.

    Raises:
        ConfigurationError: of `url` and `metadata` there is one without the other.
    """

    def __init__(
        self,
        *,
        database: str = "default",
        folder: str | Path | None = None,
        seed: Callable[[], object | Awaitable[object]] | None = None,
        on_start: Literal["warn", "refuse", "ignore"] = "warn",
        url: str | URL | None = None,
        metadata: MetaData | Sequence[MetaData] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if (url is None) != (metadata is None):
            alone, absent = ("metadata", "url") if url is None else ("url", "metadata")
            raise ConfigurationError(
                Problem(
                    id="migrations.target",
                    message=f"Migrations({alone}=…) has no {absent}=; together they say where which tables of "
                    "SQLAlchemy's own are",
                    fix=f"give {absent}= too, or leave {alone}= out: a `Database` knows its own address and models",
                )
            )
        self.database = database
        self.name = "migrations" if database == "default" else f"migrations.{database}"  # pyright: ignore[reportAttributeAccessIssue] - each has its own
        self.folder = folder
        self.seed = seed
        self.on_start: Literal["warn", "refuse", "ignore"] = on_start
        self.url = url
        self.metadata = metadata
        self.options: dict[str, Any] = dict(options or {})
        #: Whether what the database lacks has been told.
        self.is_told = False

    def setup(self, app: Application) -> None:
        """Join an app: look at the database when it starts."""
        app.state.setdefault(OPTIONS, {})[self.database] = self
        if self.on_start != "ignore":
            app.lifespan(self._life)

    async def _life(self, app: Application) -> AsyncGenerator[None, None]:
        from quintet.db.migrations.review import missing

        target = next(target for target in targets_of(app) if target.name == self.database)
        problems = await asyncio.to_thread(missing, target)
        if problems and self.on_start == "refuse":
            raise ConfigurationError(problems)
        tell(problems)
        self.is_told = True
        yield


def tell(problems: Sequence[Problem]) -> None:
    """Log what databases lack, each in a line."""
    for problem in problems:
        where = f"{problem.where}: " if problem.where else ""
        _LOG.warning("%s%s; %s", where, problem.message, problem.fix)


def targets_of(app: Application) -> list[MigrationTarget]:
    """Return the databases of an app, with what its plugins bring.

    A plugin brings migrations by its attribute `migrations`: a `MigrationPart`, or several.

    Raises:
        ConfigurationError: there is none.
    """
    options: dict[str, Migrations] = app.state.get(OPTIONS, {})
    databases: dict[str, Database] = app.state.get("quintet.db", {})
    parts = _parts(app)
    found: list[MigrationTarget] = []
    for name in dict.fromkeys([*databases, *options]):
        mine = options.get(name) or Migrations(database=name)
        folder = app.root / (mine.folder or ("migrations" if name == "default" else f"migrations/{name}"))
        shared: dict[str, Any] = {
            "name": name, "folder": folder, "seed": mine.seed, **mine.options,
            "parts": [part for part in parts if part.database == name],
        }  # fmt: skip
        if mine.url is not None and mine.metadata is not None:
            found.append(MigrationTarget(url=mine.url, metadata=mine.metadata, **shared))
        elif name in databases:
            found.append(target_of(databases[name], **shared))
        else:
            raise ConfigurationError(_unknown(name, databases))
    if not found:
        message = "the app has no database"
        fix = "App(plugins=[Database(…)]), or Migrations(url=…, metadata=…) for tables of SQLAlchemy's own"
        raise ConfigurationError(Problem(id="migrations.database", message=message, fix=fix))
    return found


def target_of(
    database: Database, *, folder: Path, metadata: Sequence[MetaData] = (), **options: Any
) -> MigrationTarget:
    """Return what is migrated for a `Database`; its models are those of its name."""
    engines = database.primary
    driver = drivers_of(engines.url)[1]
    url, arguments = connect_arguments(engines.url, driver, engines.pool, engines.tls)
    more: dict[str, Any] = {"name": database.label, **options}
    return MigrationTarget(
        url=url.set(drivername=f"{engines.kind}+{driver}"),
        metadata=list(metadata) or metadata_for(database.label),
        folder=folder,
        engine_options={"connect_args": arguments},
        **more,
    )


def _parts(app: Application) -> list[MigrationPart]:
    found: list[MigrationPart] = []
    for plugin in app.plugins.values():
        own: Any = getattr(plugin, "migrations", None)
        items = list(cast("list[Any]", own)) if isinstance(own, (list, tuple)) else [own]
        found += [item for item in items if isinstance(item, MigrationPart)]
    return found


def _unknown(name: str, databases: Mapping[str, Database]) -> Problem:
    names = ", ".join(map(repr, databases)) or "none"
    return Problem(
        id="migrations.database",
        message=f"Migrations(database={name!r}) speaks of a database that the app does not have; it has {names}",
        fix="correct the name, or give it url= and metadata=",
    )
