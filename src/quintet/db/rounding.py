"""Decimals as their columns keep them: rounded to its places when they are assigned.

Databases round what they store, SQLite in its own way. What an object holds is what will be read again, on all of them.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Mapper


def round_decimals(cls: type[Any]) -> None:
    """Round what is assigned to the columns of a model that hold decimals."""
    mapper: Mapper[Any] = cls.__mapper__
    for key, column in mapper.columns.items():  # `column_attrs` would configure mappers, before all are there
        places = places_of(column)
        if places is not None and key in mapper.attrs:
            event.listen(getattr(cls, key), "set", _rounder(places), retval=True)


def places_of(column: sa.Column[Any]) -> int | None:
    """Return the digits behind the point that a column keeps; None where it holds no decimals, or any of them."""
    kind: Any = column.type
    is_decimal = isinstance(kind, sa.Numeric) and not isinstance(kind, sa.Float) and kind.asdecimal
    return kind.scale if is_decimal else None


def _rounder(places: int) -> Callable[..., Any]:
    step = decimal.Decimal(1).scaleb(-places)

    def rounded(row: Any, value: Any, old: Any, initiator: Any) -> Any:
        if type(value) is int:
            value = decimal.Decimal(value)
        if not isinstance(value, decimal.Decimal) or not value.is_finite():
            return value  # an expression of SQL, or what the database refuses
        return value.quantize(step, decimal.ROUND_HALF_UP, _EXACT)

    return rounded


#: Enough digits for every column that a database has.
_EXACT = decimal.Context(prec=1100, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
