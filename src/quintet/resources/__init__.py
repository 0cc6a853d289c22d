"""Resources: CRUD over a model. `resource(Model)` makes the routes; policies say who may use them.

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quintet.resources.declare import Resource as Resource
    from quintet.resources.declare import resource as resource
    from quintet.resources.idempotency import forget_expired as forget_expired

_HOME = {"Resource": "declare", "forget_expired": "idempotency", "resource": "declare"}

__all__ = sorted(_HOME)  # noqa: PLE0605 - names only  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'quintet.resources' has no attribute {name!r}")
    value = getattr(import_module(f"quintet.resources.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
