"""The data layer: models, sessions and databases over SQLAlchemy. Usable without an app.

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapped as Mapped

    from quintet.db.columns import column as column
    from quintet.db.columns import foreign_key as foreign_key
    from quintet.db.columns import primary_key as primary_key
    from quintet.db.columns import uuid7 as uuid7
    from quintet.db.database import Database as Database
    from quintet.db.database import metadata_of as metadata_of
    from quintet.db.engines import TLS as TLS
    from quintet.db.engines import PoolOptions as PoolOptions
    from quintet.db.errors import AlreadyTaken as AlreadyTaken
    from quintet.db.errors import DatabaseUnreachable as DatabaseUnreachable
    from quintet.db.errors import NoRow as NoRow
    from quintet.db.errors import ReadOnlySession as ReadOnlySession
    from quintet.db.errors import StaleRow as StaleRow
    from quintet.db.errors import StillReferred as StillReferred
    from quintet.db.errors import UnloadedRelation as UnloadedRelation
    from quintet.db.mixins import SoftDelete as SoftDelete
    from quintet.db.mixins import Timestamps as Timestamps
    from quintet.db.mixins import Versioned as Versioned
    from quintet.db.model import Model as Model
    from quintet.db.plugin import Use as Use
    from quintet.db.queries.decorator import query as query
    from quintet.db.queries.errors import QueryError as QueryError
    from quintet.db.queries.events import QueryEvent as QueryEvent
    from quintet.db.queries.events import on_query as on_query
    from quintet.db.queries.repeats import allow_n_plus_one as allow_n_plus_one
    from quintet.db.relations import belongs_to as belongs_to
    from quintet.db.relations import has_many as has_many
    from quintet.db.relations import has_one as has_one
    from quintet.db.relations import many_to_many as many_to_many
    from quintet.db.session import CompiledQuery as CompiledQuery
    from quintet.db.session import Paginated as Paginated
    from quintet.db.session import Session as Session
    from quintet.db.session import Slice as Slice
    from quintet.db.session import SyncSession as SyncSession
    from quintet.db.settings import DatabaseSettings as DatabaseSettings
    from quintet.db.shapes import New as New
    from quintet.db.shapes import View as View
    from quintet.db.types import Precision as Precision
    from quintet.db.units import retry_conflicts as retry_conflicts

if find_spec("sqlalchemy") is None:
    raise ModuleNotFoundError('the data layer needs SQLAlchemy: pip install "quintet[db]"', name="sqlalchemy")

_MODULES = {
    "columns": ("column", "foreign_key", "primary_key", "uuid7"),
    "database": ("Database", "metadata_of"),
    "engines": ("PoolOptions", "TLS"),
    "errors": (
        "AlreadyTaken", "DatabaseUnreachable", "NoRow", "ReadOnlySession", "StaleRow", "StillReferred",
        "UnloadedRelation",
    ),
    "mixins": ("SoftDelete", "Timestamps", "Versioned"),
    "model": ("Model",),
    "plugin": ("Use",),
    "queries.decorator": ("query",),
    "queries.errors": ("QueryError",),
    "queries.events": ("QueryEvent", "on_query"),
    "queries.repeats": ("allow_n_plus_one",),
    "relations": ("belongs_to", "has_many", "has_one", "many_to_many"),
    "session": ("CompiledQuery", "Paginated", "Session", "Slice", "SyncSession"),
    "settings": ("DatabaseSettings",),
    "shapes": ("New", "View"),
    "types": ("Precision",),
    "units": ("retry_conflicts",),
}  # fmt: skip
_HOME = {name: f"quintet.db.{module}" for module, names in _MODULES.items() for name in names} | {
    "Mapped": "sqlalchemy.orm"
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - names only  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'quintet.db' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
