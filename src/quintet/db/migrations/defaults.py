"""Comparing server defaults, computed columns and identities, where databases spell what was asked in their own way."""

from __future__ import annotations

import re
import warnings
from typing import Any, cast

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.compare.server_defaults import (
    _compare_identity_default,  # pyright: ignore[reportPrivateUsage]
    _setup_autoincrement,  # pyright: ignore[reportPrivateUsage]
)
from alembic.autogenerate.render import renderers
from alembic.operations import ops
from alembic.util import PriorityDispatchResult
from sqlalchemy import Column, Computed, Connection, Identity, text
from sqlalchemy.exc import DBAPIError

from quintet.db.migrations.checks import COPY, Uncomparable, quoted, savepoint, temporary_copy
from quintet.db.migrations.expressions import tokens
from quintet.db.migrations.tables import plain_percents


def compare_default(
    autogen: AutogenContext,
    change: ops.AlterColumnOp,
    schema: str | None,
    table: str,
    column: str,
    have: Column[Any],
    want: Column[Any],
) -> PriorityDispatchResult:
    """Compare what a column holds where nothing is given."""
    old, new = have.server_default, want.server_default
    if isinstance(new, Identity) and not autogen.dialect.supports_identity_columns:
        new = None  # the key counts up in the database's own way
    if isinstance(old, Computed) or isinstance(new, Computed):
        if _formula(old, autogen) != _formula(new, autogen):
            warnings.warn(
                f"the computed column {column!r} of {table!r} differs; no database changes it in place: "
                f"drop it and add it again by hand",
                stacklevel=2,
            )
        return PriorityDispatchResult.STOP
    if isinstance(old, Identity) or isinstance(new, Identity):
        return _compare_identity_default(autogen, change, schema, table, column, have, want)
    change.existing_server_default = cast("Any", old)
    _setup_autoincrement(autogen, change, schema, table, cast("Any", column), have, want)
    connection = autogen.connection
    assert connection is not None
    if not _is_same(connection, schema, table, _text(old), _wanted(want, autogen) if new is not None else None, want):
        change.modify_server_default = new
    return PriorityDispatchResult.STOP


class FillOp(ops.MigrateOperation):
    """A column that becomes NOT NULL gets a value where it has none; there is nothing to undo."""

    def __init__(self, table: str, column: str, value: str, *, undone: bool = False) -> None:
        self.table = table
        self.column = column
        self.value = value
        self.undone = undone

    def reverse(self) -> FillOp:
        """Return what undoes it: nothing."""
        return FillOp(self.table, self.column, self.value, undone=not self.undone)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what it does, as Alembic lists differences."""
        return ("fill", self.table, self.column, self.value)


@renderers.dispatch_for(FillOp)
def _render_fill(_autogen: AutogenContext, op: FillOp) -> list[str]:
    return [] if op.undone else [f"op.fill_nulls({op.table!r}, {op.column!r}, {op.value!r})"]


def filling(change: ops.AlterColumnOp) -> FillOp | str | None:
    """Return what gives a column that becomes NOT NULL its values; a note where there is no default to give."""
    if change.modify_nullable is not False:
        return None
    default: Any = change.modify_server_default
    if default is False:
        default = change.existing_server_default
    argument = getattr(default, "arg", None)
    if argument is None:
        return (
            f"column {change.column_name!r} of {change.table_name!r} becomes NOT NULL and has no server default: "
            f"before it, give its rows a value with op.fill_nulls or op.update_in_batches"
        )
    value = "'" + argument.replace("'", "''") + "'" if isinstance(argument, str) else str(argument)
    return FillOp(change.table_name, change.column_name, value)


def _is_same(
    connection: Connection, schema: str | None, table: str, have: str | None, want: str | None, column: Column[Any]
) -> bool:
    one, other = _bare(have, connection), _bare(want, connection)
    if one == other or one is None or other is None:
        return one == other
    if connection.dialect.name != "postgresql" or want is None:
        return False
    try:
        return _through(connection, schema, column, want) == have
    except Uncomparable as exc:
        warnings.warn(f"the default of {column.name!r} of {table!r} is not compared: {exc}", stacklevel=2)
        return True


def _through(connection: Connection, schema: str | None, column: Column[Any], default: str) -> str | None:
    """Give PostgreSQL a default and read it back."""
    kind = column.type.compile(connection.dialect)
    name = quoted(connection, "quintet_default")
    with temporary_copy(connection, column.table.name, schema, {}) as copy:
        try:
            with savepoint(connection):
                add = f"ALTER TABLE {copy} ADD COLUMN {name} {kind} DEFAULT {default}"
                connection.execute(text(add.replace(":", "\\:")))
        except DBAPIError:
            return None
        query = text(
            "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = to_regclass(:copy) ORDER BY adnum DESC"
        )
        return cast("str | None", connection.execute(query, {"copy": f"pg_temp.{COPY}"}).scalar())


def _text(default: Any) -> str | None:
    return None if default is None else str(getattr(getattr(default, "arg", None), "text", default))


def _wanted(column: Column[Any], autogen: AutogenContext) -> str | None:
    """Return a column's default as DDL has it."""
    dialect = plain_percents(autogen.dialect)
    return dialect.ddl_compiler(dialect, None).get_column_default_string(column)


def _bare(default: str | None, connection: Connection) -> str | None:
    """Return a default in one form: databases add quotes, parentheses and spellings of their own."""
    if default is None:
        return None
    words = default.strip()
    while words.startswith("(") and words.endswith(")"):
        words = words[1:-1].strip()
    if match := re.fullmatch(r"'((?:[^']|'')*)'(::[\w .\"\[\]]+(\(\d+(,\d+)?\))?)?", words):
        return "'" + match[1].replace("''", "'")
    if re.fullmatch(r"-?\d+(\.\d+)?", words):
        return "'" + words
    lower = re.sub(r"\s+", " ", words.lower())
    if lower == "null":
        return None
    if connection.dialect.name in {"mysql", "mariadb"}:
        lower = re.sub(r"^(now|current_timestamp|localtime|localtimestamp)\b(\(\d*\))?", "current_timestamp", lower)
    if connection.dialect.name != "postgresql":
        lower = {"true": "'1", "false": "'0"}.get(lower, lower)
    return lower


def _formula(default: Any, autogen: AutogenContext) -> str:
    """Return what computes a column, without the parentheses and casts that databases add."""
    if not isinstance(default, Computed):
        return ""
    sql = str(default.sqltext.compile(dialect=autogen.dialect, compile_kwargs={"literal_binds": True}))
    sql = re.sub(r"::[\w ]+", "", sql)
    return " ".join(t.value.lower() for t in tokens(sql) if t.value not in {"(", ")"})
