"""Migrations: models and database are compared, revisions written, checked and run; Alembic is underneath.

Names are loaded when they are first used: an app that only has migrations does not load Alembic to serve requests.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quintet.db.migrations.environment import State as State
    from quintet.db.migrations.environment import downgrade as downgrade
    from quintet.db.migrations.environment import pending as pending
    from quintet.db.migrations.environment import state as state
    from quintet.db.migrations.environment import upgrade as upgrade
    from quintet.db.migrations.operations import Operations as Operations
    from quintet.db.migrations.plugin import Migrations as Migrations
    from quintet.db.migrations.plugin import target_of as target_of
    from quintet.db.migrations.plugin import targets_of as targets_of
    from quintet.db.migrations.revision import write_revision as write_revision
    from quintet.db.migrations.target import MigrationError as MigrationError
    from quintet.db.migrations.target import MigrationPart as MigrationPart
    from quintet.db.migrations.target import MigrationTarget as MigrationTarget

_MODULES = {
    "environment": ("State", "downgrade", "pending", "state", "upgrade"),
    "operations": ("Operations",),
    "plugin": ("Migrations", "target_of", "targets_of"),
    "revision": ("write_revision",),
    "target": ("MigrationError", "MigrationPart", "MigrationTarget"),
}
_HOME = {name: f"quintet.db.migrations.{module}" for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605 - names only  # pyright: ignore[reportUnsupportedDunderAll]

if logging.getLogger("alembic").level == logging.NOTSET:
    logging.getLogger("alembic").setLevel(logging.WARNING)  # what it tells at `info`, we tell in our own words


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'quintet.db.migrations' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
