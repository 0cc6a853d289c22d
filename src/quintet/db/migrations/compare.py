"""Comparing models with a database: what a migration has to do, as Alembic's operations."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from alembic.autogenerate import produce_migrations
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Connection,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    inspect,
    text,
)
from sqlalchemy.exc import SAWarning
from sqlalchemy.sql.elements import UnaryExpression, conv

from quintet.db.migrations import defaults, enums, types
from quintet.db.migrations.checks import Uncomparable, read_checks, read_indexes, same_checks, same_index, wanted_checks
from quintet.db.migrations.connection import STEPS_TABLE
from quintet.db.migrations.expressions import renamed, split_index
from quintet.db.migrations.renames import Ask, Renames, ask_all, refuse_unknown, renaming_inspector
from quintet.db.migrations.tables import build_plain, sorted_tables
from quintet.db.migrations.target import MigrationTarget

#: What an index is that has more than columns.
_SPECIAL = re.compile(r"\b(desc|where)\b|\(.*\(", re.IGNORECASE | re.DOTALL)
#: Warnings of what is seen to here.
_HANDLED = ("expression-based index", "Cannot correctly sort tables")
_INSPECTOR = "quintet_inspector"


@dataclass
class Comparison:
    """What separates a database from the models."""

    #: What a migration has to do, in its order.
    operations: list[ops.MigrateOperation]
    #: What was renamed.
    renames: Renames
    #: What could not be compared, or cannot be changed.
    notes: list[str] = field(default_factory=list[str])
    #: What a migration cannot know.
    hints: list[str] = field(default_factory=list[str])


def compare(
    connection: Connection,
    target: MigrationTarget,
    *,
    part: str | None = None,
    renames: Renames | None = None,
    ask: Ask | None = None,
) -> Comparison:
    """Compare a database with the models.

    Args:
        connection: the database.
        target: the models.
        part: compare the tables of one part alone.
        renames: what is known to have been renamed.
        ask: asked about what may have been renamed.

    Raises:
        MigrationError: a rename does not fit.
    """
    plain = build_plain(target.all_metadata, connection.dialect)
    known = renames or Renames()
    refuse_unknown(known, inspect(connection), plain.tables)
    found = _compare(connection, target, plain, part, known)
    if ask is not None:
        for tables in (True, False):
            more = ask_all(found.renames, found.operations, ask, tables=tables)
            if more != found.renames:
                found = _compare(connection, target, plain, part, more)
    return found


def _compare(
    connection: Connection, target: MigrationTarget, plain: MetaData, part: str | None, renames: Renames
) -> Comparison:
    comparison = Comparison([], renames)
    schemas = {table.schema for table in plain.tables.values()}

    def include(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return name is None or name in schemas
        if kind != "table" or name is None:
            return True
        if (schema := parents.get("schema_name")) is not None and f"{schema}.{name}" not in plain.tables:
            return False  # others may have tables there too
        return name != STEPS_TABLE and not target.ignores(name) and (part is None or target.part_of(name) == part)

    def include_object(item: Any, name: Any, kind: str, reflected: bool, _other: Any) -> bool:
        if kind == "table" and not reflected and part is not None:
            return target.part_of(str(name)) == part
        return not (kind == "index" and _has_expression(item))

    options = {
        "target_metadata": plain,
        "version_table": target.version_table,
        "compare_type": types.compare_type,
        "include_name": include,
        "include_schemas": bool(schemas - {None}),
        "include_object": include_object,
        "autogenerate_plugins": ["alembic.autogenerate.*", "~alembic.autogenerate.defaults", "quintet.compare"],
        _INSPECTOR: renames,
    }
    context = MigrationContext.configure(connection, opts=options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        script = produce_migrations(context, plain)
    for warning in caught:
        if not issubclass(warning.category, UserWarning | SAWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif not any(text in str(warning.message) for text in _HANDLED):
            comparison.notes.append(str(warning.message))
    assert script.upgrade_ops is not None
    comparison.operations = list(script.upgrade_ops.ops)
    for table in sorted_tables(plain):
        if part is None or target.part_of(table.name) == part:
            _compare_table(connection, table, comparison)
    _order(comparison, plain)
    comparison.operations = [part for op in comparison.operations for part in _split(op, comparison.hints)]
    comparison.operations = [
        *renames.operations(),
        *enums.wrap(connection, plain, comparison.operations, part_filter(target, part)),
    ]
    connection.rollback()
    return comparison


def part_filter(target: MigrationTarget, part: str | None) -> Callable[[str], bool]:
    """Return a function that tells whether a table belongs to a part; all do where there is none."""
    return lambda table: part is None or target.part_of(table) == part


def _compare_table(connection: Connection, table: Table, comparison: Comparison) -> None:
    """Compare CHECKs and the indexes that Alembic leaves out."""
    old = comparison.renames.old_table(table.name)
    changes = _changes_of(comparison, table)
    if not inspect(connection).has_table(old, schema=table.schema):
        new = sorted((index for index in table.indexes if _has_expression(index)), key=lambda index: str(index.name))
        changes.ops += [ops.CreateIndexOp.from_index(index) for index in new]
        if new and changes not in comparison.operations:
            comparison.operations.append(changes)
        return
    names = comparison.renames.columns_of(table.name)
    try:
        _compare_checks(connection, table, old, names, changes, comparison)
        _compare_indexes(connection, table, old, names, changes)
    except Uncomparable as exc:
        comparison.notes.append(f"CHECKs and expressions of {table.name!r} are not compared: {exc}")
    if changes.ops and changes not in comparison.operations:
        comparison.operations.append(changes)


def _compare_checks(
    connection: Connection,
    table: Table,
    old: str,
    names: dict[str, str],
    changes: ops.ModifyTableOps,
    comparison: Comparison,
) -> None:
    have = [
        check._replace(condition=renamed(check.condition, names))
        for check in read_checks(connection, old, table.schema)
    ]
    wanted = wanted_checks(table)
    drops: list[ops.MigrateOperation] = []
    adds: list[ops.MigrateOperation] = []
    by_name = {check.name: check for check in have if check.name is not None}
    pairs = [(c, w, by_name[w.name]) for c, w in wanted if w.name in by_name]
    same = same_checks(connection, old, table.schema, names, [(h.condition, w.condition) for _, w, h in pairs])
    for (constraint, _, there), equal in zip(pairs, same, strict=True):
        if not equal:
            drops.append(_drop_check(table, there.name, there.condition))
            adds.append(ops.AddConstraintOp.from_constraint(constraint))
    kept = {w.name for _, w, _ in pairs}
    left = [check for check in have if check.name not in kept]
    for constraint, want in wanted:
        if want.name in kept and want.name is not None:
            continue
        match = _match_unnamed(connection, table, old, names, want.condition, left) if want.name is None else None
        if match is not None:
            left.remove(match)
        else:
            adds.append(ops.AddConstraintOp.from_constraint(constraint))
    for check in left:
        if check.name is not None:
            drops.append(_drop_check(table, check.name, check.condition))
        elif connection.dialect.name == "sqlite":
            comparison.notes.append(f"{table.name!r} has a CHECK without a name that no model has: {check.condition}")
    changes.ops += [*drops, *adds]


def _match_unnamed(
    connection: Connection, table: Table, old: str, names: dict[str, str], condition: str, left: Sequence[Any]
) -> Any:
    same = same_checks(connection, old, table.schema, names, [(check.condition, condition) for check in left])
    return next((check for check, equal in zip(left, same, strict=True) if equal), None)


def _drop_check(table: Table, name: str | None, condition: str) -> ops.DropConstraintOp:
    """Return the operation that drops a CHECK, with what it takes to bring it back."""
    bare = Table(table.name, MetaData(), schema=table.schema)
    constraint = CheckConstraint(condition.replace(":", "\\:"), name=None if name is None else conv(name))
    bare.append_constraint(constraint)
    return ops.DropConstraintOp.from_constraint(constraint)


def _compare_indexes(
    connection: Connection, table: Table, old: str, names: dict[str, str], changes: ops.ModifyTableOps
) -> None:
    """Compare the indexes with conditions and expressions by what the database says of them."""
    have = read_indexes(connection, old, table.schema, names)
    special = {str(index.name): index for index in table.indexes if _is_special(index)}
    plain = {str(index.name) for index in table.indexes} - set(special)
    for name, index in special.items():
        if name in have and not same_index(connection, old, have[name], index, names):
            changes.ops += [
                _drop_index(table, name, have[name], connection.dialect.name),
                ops.CreateIndexOp.from_index(index),
            ]
        elif name not in have and _has_expression(index):
            changes.ops.append(ops.CreateIndexOp.from_index(index))
    for place, op in enumerate(changes.ops):
        if isinstance(op, ops.DropIndexOp) and _SPECIAL.search(have.get(op.index_name or "", "")):
            changes.ops[place] = _drop_index(
                table, str(op.index_name), have[str(op.index_name)], connection.dialect.name
            )
    if connection.dialect.name == "sqlite":  # which tells Alembic nothing of indexes on expressions
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reflected = {index["name"] for index in inspect(connection).get_indexes(old, schema=table.schema)}
        gone = set(have) - reflected - plain - set(special)
        changes.ops += [_drop_index(table, name, have[name], "sqlite") for name in sorted(gone)]


def _drop_index(table: Table, name: str, have: str, dialect: str) -> ops.DropIndexOp:
    """Return the operation that drops an index, with what it takes to bring it back."""
    columns, method, condition = split_index(have)
    options: dict[str, Any] = {}
    if method:
        options["postgresql_using"] = method
    if condition:
        options[f"{dialect}_where"] = text(condition.replace(":", "\\:"))
    before = ops.CreateIndexOp(name, table.name, [text(columns)], schema=table.schema, **options)
    return ops.DropIndexOp(name, table.name, schema=table.schema, _reverse=before, **options)


def _changes_of(comparison: Comparison, table: Table) -> ops.ModifyTableOps:
    for op in comparison.operations:
        if isinstance(op, ops.ModifyTableOps) and (op.table_name, op.schema) == (table.name, table.schema):
            return op
    return ops.ModifyTableOps(table.name, [], schema=table.schema)


def _has_expression(item: Any) -> bool:
    """Tell whether an index is on more than columns; an order is no more."""
    return isinstance(item, Index) and any(not isinstance(_unordered(e), Column) for e in item.expressions)


def _is_special(index: Index) -> bool:
    """Tell whether an index says what Alembic does not compare everywhere."""
    options = cast("dict[str, dict[str, Any]]", index.dialect_options)
    filtered = any(options[dialect].get("where") is not None for dialect in ("sqlite", "postgresql"))
    return filtered or any(not isinstance(e, Column) for e in index.expressions)


def _unordered(expression: Any) -> Any:
    return expression.element if isinstance(expression, UnaryExpression) else expression


def _order(comparison: Comparison, plain: MetaData) -> None:
    """Create tables before those that refer to them, then change, then drop; always in the same order."""
    order = {table.name: index for index, table in enumerate(sorted_tables(plain))}
    drops = _dropped(comparison.operations)
    created = {op.table_name for op in comparison.operations if isinstance(op, ops.CreateTableOp)}

    def key(op: ops.MigrateOperation) -> tuple[int, int, bool]:
        name = str(getattr(op, "table_name", ""))
        if name in drops:
            return 2, drops[name], isinstance(op, ops.DropTableOp)
        return (0 if name in created else 1), order.get(name, 0), not isinstance(op, ops.CreateTableOp)

    comparison.operations.sort(key=key)
    _break_cycles(comparison)


def _break_cycles(comparison: Comparison) -> None:
    """Add the foreign keys of tables that refer to each other once all are there, and drop them before the tables."""
    operations = comparison.operations
    creates = [op for op in operations if isinstance(op, ops.CreateTableOp)]
    drops = [op for op in operations if isinstance(op, ops.DropTableOp)]
    later: list[ops.MigrateOperation] = []
    waiting = {op.table_name for op in creates}
    for op in creates:
        waiting.discard(op.table_name)
        keys = [ops.AddConstraintOp.from_constraint(key) for key in _take_keys(op, waiting)]
        later += [ops.ModifyTableOps(op.table_name, [key], schema=op.schema) for key in keys]
    sooner: list[ops.MigrateOperation] = []
    gone: set[str] = set()
    for op in drops:
        again = op._reverse  # pyright: ignore[reportPrivateUsage]
        if again is not None:
            keys = [ops.DropConstraintOp.from_constraint(key) for key in _take_keys(again, gone)]
            sooner += [ops.ModifyTableOps(op.table_name, [key], schema=op.schema) for key in keys]
        gone.add(op.table_name)
    first = next((place for place, op in enumerate(operations) if op in drops), len(operations))
    operations[first:first] = sooner
    end = max((place for place, op in enumerate(operations) if op in creates), default=-1) + 1
    operations[end:end] = later


def _take_keys(op: ops.CreateTableOp, others: set[str]) -> list[ForeignKeyConstraint]:
    """Take the foreign keys to some tables out of the creation of one."""
    keys = [item for item in op.columns if isinstance(item, ForeignKeyConstraint)]
    keys = [key for key in keys if key.elements[0].target_fullname.rpartition(".")[0] in others]
    op.columns = [item for item in op.columns if not any(item is key for key in keys)]
    return keys


def _dropped(operations: Sequence[ops.MigrateOperation]) -> dict[str, int]:
    """Return the tables that are dropped, each before those that it refers to."""
    tables = {op.table_name: op.to_table() for op in operations if isinstance(op, ops.DropTableOp)}
    found: dict[str, int] = {}
    while len(found) < len(tables):
        left = sorted(name for name in tables if name not in found)
        referred = {
            fk.target_fullname.rpartition(".")[0]
            for name in left
            for fk in tables[name].foreign_keys
            if not fk.target_fullname.startswith(f"{name}.")
        }
        name = next((name for name in left if name not in referred), left[0])
        found[name] = len(found)
    return found


def _split(op: ops.MigrateOperation, hints: list[str]) -> list[ops.MigrateOperation]:
    """Take indexes out of the changes of a table: SQLite rebuilds it for the others, and loses those on expressions.

    MariaDB wants the index of a foreign key to be there as long as the key is.
    """
    if not isinstance(op, ops.ModifyTableOps):
        return [op]
    changes = sorted(op.ops, key=_phase)
    drops = [c for c in changes if isinstance(c, ops.DropIndexOp)]
    creates = [c for c in changes if isinstance(c, ops.CreateIndexOp)]
    keys_off = [
        c for c in changes if drops and isinstance(c, ops.DropConstraintOp) and c.constraint_type == "foreignkey"
    ]
    keys_on = [c for c in changes if creates and isinstance(c, ops.CreateForeignKeyOp)]
    apart = [*drops, *creates, *keys_off, *keys_on]
    rest = [c for c in changes if c not in apart]
    blocks = {name: [ops.ModifyTableOps(op.table_name, group, schema=op.schema)] if group else [] for name, group in
              (("off", keys_off), ("rest", rest), ("on", keys_on))}  # fmt: skip
    fills = [defaults.filling(c) for c in changes if isinstance(c, ops.AlterColumnOp)]
    hints += [fill for fill in fills if isinstance(fill, str)]
    before = [fill for fill in fills if isinstance(fill, defaults.FillOp)]
    return [*blocks["off"], *drops, *before, *blocks["rest"], *creates, *blocks["on"]]


def _phase(op: ops.MigrateOperation) -> tuple[int, str]:
    """Return when a change of a table has its turn: constraints leave before columns go and come after."""
    name = str(getattr(op, "constraint_name", None) or getattr(op, "index_name", None) or "")
    match op:
        case ops.DropConstraintOp():
            return (0 if op.constraint_type == "foreignkey" else 1), name
        case ops.DropIndexOp():
            return 2, name
        case ops.DropColumnOp():
            computed = op.to_column().server_default
            return (3 if isinstance(computed, Computed) else 6), op.column_name
        case ops.AddColumnOp():
            return 4, ""
        case ops.AlterColumnOp():
            return 5, ""
        case ops.CreateForeignKeyOp():
            return 9, name
        case ops.AddConstraintOp():
            return 7, name
        case _:
            return 8, name


def _read_renamed(autogen: AutogenContext, _upgrade: Any) -> PriorityDispatchResult:
    """Let Alembic read the database with the new names."""
    renames: Renames | None = autogen.opts.get(_INSPECTOR)
    if renames is not None and (renames.tables or renames.columns):
        autogen.__dict__["inspector"] = renaming_inspector(inspect(autogen.connection), renames)
    return PriorityDispatchResult.CONTINUE


_plugin = Plugin("quintet.compare")
_plugin.add_autogenerate_comparator(_read_renamed, "autogenerate", priority=DispatchPriority.FIRST)
_plugin.add_autogenerate_comparator(defaults.compare_default, "column", "server_default")
