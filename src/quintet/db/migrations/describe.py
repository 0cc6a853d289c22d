"""Differences between models and a database, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from alembic.operations import ops

from quintet.db.migrations.defaults import FillOp
from quintet.db.migrations.enums import EnumOp
from quintet.db.migrations.renames import RenameOp


def describe(operations: Sequence[ops.MigrateOperation]) -> list[str]:
    """Return what a migration has to do, a line for each thing; the database's side comes first."""
    changes = [(table, change) for operation in operations for table, change in _changes(operation)]
    dropped = {(table, _name(change)) for table, change in changes if isinstance(change, _DROPS)}
    added = {(table, _name(change)) for table, change in changes if isinstance(change, _ADDS)}
    new = {op.table_name for op in operations if isinstance(op, ops.CreateTableOp)}
    lines: list[str] = []
    for table, change in changes:
        if table in new or isinstance(change, FillOp):
            continue
        key = (table, _name(change))
        if key in dropped & added and isinstance(change, (*_DROPS, *_ADDS)):
            if isinstance(change, _ADDS):
                lines.append(f"table {table}: {key[1]} is not as the model has it")
        else:
            lines += [f"table {table}: {line}" if table else line for line in _change(change)]
    return lines


_DROPS = (ops.DropConstraintOp, ops.DropIndexOp)
_ADDS = (ops.AddConstraintOp, ops.CreateIndexOp)


def _changes(op: ops.MigrateOperation) -> Iterator[tuple[str, ops.MigrateOperation]]:
    if isinstance(op, ops.ModifyTableOps):
        for change in op.ops:
            yield op.table_name, change
    else:
        table = op.table_name if isinstance(op, (ops.CreateIndexOp, ops.DropIndexOp)) else ""
        yield str(table), op


def _change(op: ops.MigrateOperation) -> Iterator[str]:
    match op:
        case EnumOp() | RenameOp():
            yield op.text()
        case ops.CreateTableOp():
            yield f"table {op.table_name}: missing in the database"
        case ops.DropTableOp():
            yield f"table {op.table_name}: in the database, in no model"
        case ops.AddColumnOp():
            yield f"column {op.column.name} is missing in the database"
        case ops.DropColumnOp():
            yield f"column {op.column_name} is in the database, in no model"
        case ops.AlterColumnOp():
            yield from _alterations(op)
        case ops.CreateIndexOp():
            yield f"index {op.index_name} is missing in the database"
        case ops.DropIndexOp():
            yield f"index {op.index_name} is in the database, in no model"
        case ops.AddConstraintOp():
            constraint: Any = op.to_constraint()
            yield f"{_kind(constraint)} {constraint.name or 'without a name'} is missing in the database"
        case ops.DropConstraintOp():
            yield f"{_kind(op.to_constraint())} {op.constraint_name} is in the database, in no model"
        case ops.CreateTableCommentOp() | ops.DropTableCommentOp():
            yield "the comment differs"
        case _:
            yield str(op.to_diff_tuple())


def _alterations(op: ops.AlterColumnOp) -> Iterator[str]:
    name = f"column {op.column_name}"
    if op.modify_type is not None:
        yield f"{name}: {op.existing_type!r} → {op.modify_type!r}"
    if op.modify_nullable is not None:
        yield f"{name}: NOT NULL → NULL" if op.modify_nullable else f"{name}: NULL → NOT NULL"
    if op.modify_server_default is not False:
        yield f"{name}: default {_default(op.existing_server_default)} → {_default(op.modify_server_default)}"
    if op.modify_comment is not False:
        yield f"{name}: comment {op.existing_comment!r} → {op.modify_comment!r}"


def _default(default: Any) -> str:
    if default is None or default is False:
        return "none"
    argument = getattr(default, "arg", default)
    return repr(argument) if isinstance(argument, str) else str(cast("object", getattr(argument, "text", argument)))


def _name(op: ops.MigrateOperation) -> str:
    return str(getattr(op, "constraint_name", None) or getattr(op, "index_name", None) or "")


def _kind(constraint: Any) -> str:
    names = {
        "CheckConstraint": "CHECK",
        "UniqueConstraint": "unique constraint",
        "ForeignKeyConstraint": "foreign key",
        "PrimaryKeyConstraint": "primary key",
    }
    return names.get(type(constraint).__name__, "constraint")
