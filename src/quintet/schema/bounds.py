"""`Bounds`: limits that `Meta` cannot hold, because it takes numbers only."""

from __future__ import annotations

import datetime
import decimal
from typing import Any, TypeAlias, cast

import msgspec

#: What a bound may be.
Bound: TypeAlias = (
    int | float | decimal.Decimal | datetime.date | datetime.time | datetime.datetime | datetime.timedelta
)


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a date, time, duration or Decimal: `Annotated[date, Bounds(ge=date(2000, 1, 1))]`.

    `Meta` takes the same names for numbers; both may stand on one type. The classes of the `annotated-types` package
    (`Gt`, `Ge`, `Lt`, `Le`, `Interval`, `MultipleOf`, `MinLen`, `MaxLen`, `Len`) are understood as well.
    """

    #: The value must be greater.
    gt: Bound | None = None
    #: The value must be greater or equal.
    ge: Bound | None = None
    #: The value must be less.
    lt: Bound | None = None
    #: The value must be less or equal.
    le: Bound | None = None
    #: The value must be a multiple.
    multiple_of: int | float | decimal.Decimal | None = None


def is_constraint(metadata: object) -> bool:
    """Tell whether something in `Annotated` limits the value or says something about it."""
    return isinstance(metadata, msgspec.Meta | Bounds) or type(metadata).__module__ == "annotated_types"


def read(metadata: object, name: str) -> Any:
    """Return what a piece of metadata says under `name`, or None."""
    return cast("Any", getattr(metadata, name, None))
