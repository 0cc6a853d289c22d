"""Columns of models: `column`, `primary_key` and `foreign_key`, thin layers over `mapped_column`."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy.orm import MappedColumn, mapped_column

T = TypeVar("T")

#: What a foreign key does when its row goes.
OnDelete = Literal["CASCADE", "SET NULL", "RESTRICT", "NO ACTION"]


class _Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


#: Marks the absence of a default.
MISSING: Any = _Missing()


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """What a model says of a column beyond SQL."""

    #: Whether shapes of input have it; None leaves it to the kind of column.
    input: bool | None = None
    #: Whether it is in no default output and no input.
    private: bool = False
    #: Whether the constraints of its type are a CHECK too.
    check: bool = False
    #: How a form shows it.
    widget: str = ""
    #: Whether it was declared by `primary_key` or `foreign_key`.
    kind: Literal["column", "primary_key", "foreign_key"] = "column"
    #: The value of a new object that is given none, where that is a plain value.
    default: Any = MISSING


#: Where `ColumnOptions` stand in the `info` of a SQLAlchemy column.
INFO = "quintet"


def options_of(column: sa.Column[Any]) -> ColumnOptions:
    """Return what a model says of a column; the defaults for one that SQLAlchemy's own `mapped_column` made."""
    found = column.info.get(INFO)
    return found if isinstance(found, ColumnOptions) else ColumnOptions()


@overload
def column(
    computed: sa.Computed | sa.Identity,
    /,
    *args: Any,
    init: Literal[False] = False,
    unique: bool = ...,
    index: bool = ...,
    private: bool = ...,
    widget: str = ...,
    **options: Any,
) -> MappedColumn[Any]: ...


@overload
def column(
    *args: Any,
    server_default: Any,
    init: Literal[False] = False,
    unique: bool = ...,
    index: bool = ...,
    private: bool = ...,
    input: bool | None = ...,
    check: bool = ...,
    widget: str = ...,
    **options: Any,
) -> MappedColumn[Any]: ...


@overload
def column(
    *args: Any,
    default: Any = ...,
    init: bool = ...,
    unique: bool = ...,
    index: bool = ...,
    private: bool = ...,
    input: bool | None = ...,
    check: bool = ...,
    widget: str = ...,
    **options: Any,
) -> MappedColumn[Any]: ...


def column(
    *args: Any,
    default: Any = MISSING,
    init: bool = True,
    unique: bool = False,
    index: bool = False,
    private: bool = False,
    input: bool | None = None,
    check: bool = False,
    widget: str = "",
    **options: Any,
) -> MappedColumn[Any]:
    """Declare a column.

    Args:
        args: a SQLAlchemy type and constraints, where the annotation does not say enough.
        default: the value of a new object that is given none: a value, a function without parameters, or a SQL
            expression, which the database evaluates.
        init: whether the constructor takes it, for type checkers.
        unique: no two rows may have the same.
        index: keep an index.
        private: leave it out of the default output and of every input.
        input: whether clients may write it; by default, unless the database fills it.
        check: make the constraints of its type a CHECK as well.
        widget: how a form shows it.
        options: anything else that SQLAlchemy's `mapped_column` takes.
    """
    info = {**options.pop("info", {}), INFO: ColumnOptions(input, private, check, widget, default=default)}
    if default is not MISSING:
        options["default"] = default
    return mapped_column(*args, unique=unique or None, index=index or None, info=info, **options)


def primary_key(*args: Any, default: Any = MISSING, input: bool | None = None, **options: Any) -> MappedColumn[Any]:
    """Declare the key: a number that the database counts up, or a UUID of version 7.

    Args:
        args: a SQLAlchemy type, where the annotation does not say enough.
        default: the key of a new object; UUIDs have `uuid7`.
        input: whether clients may choose it.
        options: anything else that SQLAlchemy's `mapped_column` takes.
    """
    info = {**options.pop("info", {}), INFO: ColumnOptions(input, kind="primary_key", default=default)}
    if default is not MISSING:
        options["default"] = default
    return mapped_column(*args, primary_key=True, info=info, **options)


def foreign_key(
    target: str | sa.Column[Any] | MappedColumn[Any],
    *,
    ondelete: OnDelete | None = None,
    default: Any = MISSING,
    unique: bool = False,
    index: bool = True,
    private: bool = False,
    input: bool | None = None,
    **options: Any,
) -> MappedColumn[Any]:
    """Declare a column that refers to another table: `author_id: Mapped[int] = foreign_key("user.id")`.

    Args:
        target: the column referred to, as `table.column` or itself.
        ondelete: what the database does with this row when the other goes; it refuses to delete that one by default.
        default: the value of a new object that is given none.
        unique: no two rows may refer to the same.
        index: keep an index, which deleting and joining need.
        private: leave it out of the default output.
        input: whether clients may write it; by default they may not.
        options: anything else that SQLAlchemy's `mapped_column` takes.
    """
    info = {**options.pop("info", {}), INFO: ColumnOptions(input, private, kind="foreign_key", default=default)}
    if default is not MISSING:
        options["default"] = default
    to: Any = target if not isinstance(target, MappedColumn) else target.column
    key = sa.ForeignKey(to, ondelete=ondelete)
    indexed = index and not unique and not options.get("primary_key")
    return mapped_column(key, unique=unique or None, index=indexed or None, info=info, **options)


def uuid7() -> uuid.UUID:
    """Return a new UUID of version 7 (RFC 9562): in the order of time, so that indexes grow at one end."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = (
        (milliseconds & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | (random & (2**62 - 1))
    )
    return uuid.UUID(int=value)


#: A default that is computed in Python for each new object.
Factory = Callable[[], Any]
