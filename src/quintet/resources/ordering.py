"""The order of a list and cursors in it: by declared columns, then by the key, so that no two rows are equal.

Rows without a value come last on every database. A cursor holds the sort values of the last row of a part; they are
checked against the columns' types and bound, so that one that was made up finds another place in the list at worst.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from quintet.errors import BadRequest

_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Key:
    """One column of an order."""

    name: str
    attribute: Any
    descending: bool
    nullable: bool
    #: The type of its values.
    type: Any

    def clauses(self) -> list[Any]:
        """Return what stands in ORDER BY."""
        direction = self.attribute.desc() if self.descending else self.attribute.asc()
        return [sa.case((self.attribute.is_(None), 1), else_=0), direction] if self.nullable else [direction]

    def after(self, value: Any) -> sa.ColumnElement[bool] | None:
        """Return the condition of rows behind a value; None where nothing is."""
        if value is None:
            return None
        beyond = self.attribute < value if self.descending else self.attribute > value
        return sa.or_(beyond, self.attribute.is_(None)) if self.nullable else beyond

    def same(self, value: Any) -> sa.ColumnElement[bool]:
        """Return the condition of rows with this value."""
        return self.attribute.is_(None) if value is None else self.attribute == value


class Order:
    """An order of rows."""

    def __init__(self, model: type[Any], keys: Sequence[Key]) -> None:
        self.keys = list(keys)
        #: What ORDER BY holds.
        self.clauses = [clause for key in keys for clause in key.clauses()]
        text = ",".join(f"{key.name}{'-' if key.descending else '+'}" for key in keys)
        self._mark = zlib.crc32(f"{model.__module__}.{model.__name__}:{text}".encode())

    def after(self, cursor: str) -> sa.ColumnElement[bool]:
        """Return the condition of rows behind a cursor.

        Raises:
            BadRequest: the cursor is not one of this order.
        """
        values = self._decode(cursor)
        branches: list[sa.ColumnElement[bool]] = []
        for n, key in enumerate(self.keys):
            beyond = key.after(values[n])
            if beyond is not None:
                branches.append(sa.and_(*(k.same(v) for k, v in zip(self.keys[:n], values[:n], strict=True)), beyond))
        return sa.or_(*branches) if branches else sa.false()

    def cursor(self, row: Any) -> str:
        """Return the cursor behind a row."""
        values = [getattr(row, key.name) for key in self.keys]
        return base64.urlsafe_b64encode(msgspec.json.encode([self._mark, *values])).rstrip(b"=").decode()

    def _decode(self, cursor: str) -> list[Any]:
        wrong = BadRequest("this cursor does not belong to this list in this order; start again without one")
        if len(cursor) > _LONGEST:
            raise wrong
        try:
            data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            found = msgspec.json.decode(data, type=list[Any])
            if len(found) != len(self.keys) + 1 or found[0] != self._mark:
                raise wrong
            return [_typed(value, key) for value, key in zip(found[1:], self.keys, strict=True)]
        except (binascii.Error, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise wrong from error


def _typed(value: Any, key: Key) -> Any:
    if value is None and key.nullable:
        return None
    value = msgspec.convert(value, key.type, strict=False)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError("an integer beyond 64 bits")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("NUL")
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        raise ValueError("no time zone")
    return value
