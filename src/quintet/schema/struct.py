"""`Struct`, the class of messages; `Meta` and `Bounds`, the constraints of a field."""

from __future__ import annotations

import msgspec
from msgspec import Meta

from .bounds import Bounds

__all__ = ["Bounds", "Meta", "Struct"]


class Struct(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A message: typed fields, given by keyword, that refuses unknown keys when it is read.

    Everything `msgspec.Struct` takes as a class argument works here too (`frozen`, `rename`, `tag`, …). Integers
    without bounds of their own are 64-bit wherever a Struct is decoded.
    """
