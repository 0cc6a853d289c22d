"""`Struct`, the class of messages; `Meta` and `Bounds`, the constraints of a field."""

from __future__ import annotations

from typing import Any, TypeVar, dataclass_transform

import msgspec
from msgspec import Meta

from .bounds import Bounds

__all__ = ["Bounds", "Meta", "Struct"]

_Made = TypeVar("_Made", bound="_StructType")


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class _StructType(msgspec.StructMeta):
    """Makes every Struct keyword-only: msgspec does not pass that on to subclasses."""

    def __new__(
        mcls: type[_Made], name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any
    ) -> _Made:
        options.setdefault("kw_only", True)
        return super().__new__(mcls, name, bases, namespace, **options)


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))  # mypy looks here, pyright above
class Struct(msgspec.Struct, metaclass=_StructType, forbid_unknown_fields=True):
    """A message: typed fields, given by keyword, that refuses unknown keys when it is read.

    Everything `msgspec.Struct` takes as a class argument works here too (`frozen`, `rename`, `tag`, …). Integers
    without bounds of their own are 64-bit wherever a Struct is decoded.
    """
