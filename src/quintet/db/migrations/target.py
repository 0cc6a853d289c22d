"""What is migrated: a database, the tables it should have, and the folders of revisions that bring them there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sqlalchemy import URL, MetaData, make_url

from quintet.errors import QuintetError

#: The name of the part that is the app itself.
APP = "app"


class MigrationError(QuintetError):
    """A migration cannot be run or written; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class MigrationPart:
    """The migrations that a plugin brings for its own tables, as a branch beside the app's."""

    #: The name of the plugin; it labels the branch.
    name: str
    #: The folder of its revisions, inside its package.
    folder: Path
    #: Its tables: names, or patterns such as `auth_*`.
    tables: Sequence[str]
    #: The name of the database that they are in.
    database: str = "default"

    def owns(self, table: str) -> bool:
        """Tell whether a table is the part's."""
        return any(fnmatchcase(table, pattern) for pattern in self.tables)


@dataclass(frozen=True, kw_only=True)
class MigrationTarget:
    """A database and its migrations."""

    #: The address, with a synchronous driver.
    url: str | URL
    #: The tables that the database should have.
    metadata: MetaData | Sequence[MetaData]
    #: The folder of the app's revisions.
    folder: Path
    #: The name of the database, where an app has several.
    name: str = "default"
    #: What plugins bring.
    parts: Sequence[MigrationPart] = ()
    #: Tables that are somebody else's: names, or patterns such as `legacy_*`.
    ignore: Sequence[str] = ()
    #: Fills the database with what it should begin with; may be called again.
    seed: Callable[[], object | Awaitable[object]] | None = None
    #: The table that remembers which revisions were applied.
    version_table: str = "alembic_version"
    #: Seconds that a statement waits for a lock before it gives way to the site and is tried again.
    lock_timeout: float = 5.0
    #: How often it is tried again.
    lock_retries: int = 10
    #: Seconds that one statement may take; None for as long as it needs.
    statement_timeout: float | None = None
    #: Seconds to wait for another process that migrates this database.
    wait: float = 600.0
    #: Arguments for `sqlalchemy.create_engine`, such as `connect_args`.
    engine_options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def address(self) -> URL:
        """The address, parsed."""
        return make_url(self.url)

    @property
    def dialect(self) -> str:
        """The kind of database: `sqlite`, `postgresql`, `mysql`, `mariadb` or `oracle`."""
        return self.address.get_backend_name()

    @property
    def all_metadata(self) -> list[MetaData]:
        """The collections of tables."""
        return [self.metadata] if isinstance(self.metadata, MetaData) else list(self.metadata)

    @property
    def folders(self) -> dict[str, Path]:
        """The folders of revisions, by part."""
        return {**{part.name: part.folder for part in self.parts}, APP: self.folder}

    def ignores(self, table: str) -> bool:
        """Tell whether a table is somebody else's."""
        return any(fnmatchcase(table, pattern) for pattern in self.ignore)

    def part_of(self, table: str) -> str:
        """Return the part that a table belongs to."""
        return next((part.name for part in self.parts if part.owns(table)), APP)
