"""Renames: finding what may have been renamed, and comparing with a database as if it had been.

A comparison alone sees a table or column that went and another that came. Which of these are one and the same is for
people to say; then the database is read with the new names, so that everything else is compared as usual.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, cast

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import renderers
from alembic.operations import ops
from sqlalchemy.engine import Inspector

from quintet.db.migrations.expressions import renamed
from quintet.db.migrations.target import MigrationError

#: Asks whether something was renamed.
Ask = Callable[[str], bool]


@dataclass(frozen=True)
class Renames:
    """What was renamed, from the names in the database to those of the models."""

    #: Tables: old name → new name.
    tables: dict[str, str] = field(default_factory=dict[str, str])
    #: Columns, by the new name of their table: old name → new name.
    columns: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def old_table(self, new: str) -> str:
        """Return the name that a table has in the database."""
        return next((old for old, name in self.tables.items() if name == new), new)

    def new_table(self, old: str) -> str:
        """Return the name that a table of the database has in the models."""
        return self.tables.get(old, old)

    def columns_of(self, table: str) -> dict[str, str]:
        """Return the renamed columns of a table, given by its new name."""
        return self.columns.get(table, {})

    def operations(self) -> list[ops.MigrateOperation]:
        """Return the operations that rename."""
        tables = [RenameOp(old, new) for old, new in self.tables.items()]
        columns = [RenameOp(old, new, table) for table, names in self.columns.items() for old, new in names.items()]
        return [*tables, *columns]


class RenameOp(ops.MigrateOperation):
    """A table, or a column of a table, gets another name."""

    def __init__(self, old: str, new: str, table: str | None = None) -> None:
        self.old = old
        self.new = new
        self.table = table

    def reverse(self) -> RenameOp:
        """Return the operation that undoes this one."""
        return RenameOp(self.new, self.old, self.table)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what differs, as Alembic lists it."""
        return ("rename", self.table, self.old, self.new)

    def text(self) -> str:
        """Return what differs, for people."""
        return (
            f"table {self.old}: now {self.new}"
            if self.table is None
            else f"table {self.table}: column {self.old} is now {self.new}"
        )


@renderers.dispatch_for(RenameOp)
def _render_rename(_autogen: AutogenContext, op: RenameOp) -> str:
    if op.table is None:
        return f"op.rename_table({op.old!r}, {op.new!r})"
    return f"op.rename_column({op.table!r}, {op.old!r}, {op.new!r})"


def parse(texts: Iterable[str]) -> Renames:
    """Read renames such as `user.name:full_name` and `user:account`.

    Raises:
        MigrationError: one is none.
    """
    found = Renames()
    for text in texts:
        match = re.fullmatch(r"(\w+)(?:\.(\w+))?:(?:(\w+)\.)?(\w+)", text)
        if match is None:
            raise MigrationError(f"{text!r} renames nothing; write TABLE:NEW, or TABLE.COLUMN:NEW")
        table, column, _, new = match.groups()
        if column is None:
            found.tables[table] = new
        else:
            found.columns.setdefault(table, {})[column] = new
    for old, new in found.tables.items():
        if old in found.columns:
            found.columns.setdefault(new, {}).update(found.columns.pop(old))
    return found


def candidate_tables(operations: Sequence[ops.MigrateOperation]) -> list[tuple[str, str]]:
    """Return pairs of a table that went and one that came with most of its columns."""
    gone = [op for op in operations if isinstance(op, ops.DropTableOp)]
    new = [op for op in operations if isinstance(op, ops.CreateTableOp)]
    pairs: list[tuple[float, str, str]] = []
    for old in gone:
        have = set(old.to_table().columns.keys())
        for table in new:
            want = set(table.to_table().columns.keys())
            likeness = len(have & want) / max(len(have | want), 1)
            if likeness >= 0.5:
                pairs.append((-likeness, old.table_name, table.table_name))
    return [(old, table) for _, old, table in sorted(pairs)]


def candidate_columns(operations: Sequence[ops.MigrateOperation]) -> list[tuple[str, str, str]]:
    """Return (table, column, new name) where a column went and one of a like type came."""
    found: list[tuple[float, str, str, str]] = []
    for table in operations:
        if not isinstance(table, ops.ModifyTableOps):
            continue
        gone = [op.to_column() for op in table.ops if isinstance(op, ops.DropColumnOp)]
        new = [cast("Any", op.column) for op in table.ops if isinstance(op, ops.AddColumnOp)]
        for old in gone:
            found += [
                (-_likeness(old, column), table.table_name, old.name, str(column.name))
                for column in new
                if old.type._type_affinity is column.type._type_affinity  # pyright: ignore[reportPrivateUsage]
            ]
    return [(table, old, new) for _, table, old, new in sorted(found)]


def _likeness(old: Any, new: Any) -> float:
    """Return how likely a column is another's successor: like names and like references count."""
    names = SequenceMatcher(None, old.name, str(new.name)).ratio()
    return names + (0.5 if bool(old.foreign_keys) == bool(new.foreign_keys) else 0.0)


def ask_all(known: Renames, operations: Sequence[ops.MigrateOperation], ask: Ask, *, tables: bool) -> Renames:
    """Ask about each candidate; what was said yes to is added to what is known."""
    result = Renames(dict(known.tables), {table: dict(names) for table, names in known.columns.items()})
    if tables:
        for old, new in candidate_tables(operations):
            if (
                old not in result.tables
                and new not in result.tables.values()
                and ask(f"was the table {old!r} renamed to {new!r}?")
            ):
                result.tables[old] = new
        return result
    for table, old, new in candidate_columns(operations):
        names = result.columns.setdefault(table, {})
        taken = old in names or new in names.values()
        if not taken and ask(f"was the column {old!r} of {table!r} renamed to {new!r}?"):
            names[old] = new
        if not names:
            del result.columns[table]
    return result


def refuse_unknown(renames: Renames, inspector: Inspector, wanted: Mapping[str, Any]) -> None:
    """Raise where a rename speaks of what is not there."""
    there = set(inspector.get_table_names())
    for old, new in renames.tables.items():
        if old not in there or new not in wanted:
            missing = f"the database has no table {old!r}" if old not in there else f"no model has the table {new!r}"
            raise MigrationError(f"the rename {old}:{new} does not fit: {missing}")
    for table, names in renames.columns.items():
        old_table = renames.old_table(table)
        if old_table not in there or table not in wanted:
            raise MigrationError(f"a column of {table!r} cannot be renamed: there is no such table")
        columns = {column["name"] for column in inspector.get_columns(old_table)}
        for old, new in names.items():
            if old not in columns or new not in wanted[table].columns:
                missing = f"the table has no {old!r}" if old not in columns else f"the model has no {new!r}"
                raise MigrationError(f"the rename {table}.{old}:{new} does not fit: {missing}")


def renaming_inspector(real: Inspector, renames: Renames) -> Inspector:
    """Return an inspector that reads a database as if the renames had been made."""

    def table_names(schema: str | None = None, **options: Any) -> list[str]:
        names = real.get_table_names(schema, **options)
        return names if schema else [renames.new_table(name) for name in names]

    methods: dict[str, Any] = {"get_table_names": staticmethod(table_names)}
    for what in _READ:
        methods[f"get_{what}"] = staticmethod(_one(getattr(real, f"get_{what}"), what, renames))
        methods[f"get_multi_{what}"] = staticmethod(_many(getattr(real, f"get_multi_{what}"), what, renames))
    inspector = cast("Inspector", type(real).__new__(type("RenamingInspector", (type(real),), methods)))
    inspector.__dict__.update(real.__dict__)
    inspector.info_cache = {}
    return inspector


_READ = (
    "columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints",
    "table_comment", "table_options",
)  # fmt: skip


def _one(read: Callable[..., Any], what: str, renames: Renames) -> Callable[..., Any]:
    def method(table_name: str, schema: str | None = None, **options: Any) -> Any:
        if schema:
            return read(table_name, schema, **options)
        return _translate(read(renames.old_table(table_name), None, **options), what, table_name, renames)

    return method


def _many(read: Callable[..., Any], what: str, renames: Renames) -> Callable[..., Any]:
    def method(schema: str | None = None, filter_names: Sequence[str] | None = None, **options: Any) -> Any:
        if schema:
            return read(schema, filter_names, **options)
        names = None if filter_names is None else [renames.old_table(name) for name in filter_names]
        found = read(None, names, **options)
        return {
            (key[0], renames.new_table(key[1])): _translate(value, what, renames.new_table(key[1]), renames)
            for key, value in found.items()
        }

    return method


def _translate(value: Any, what: str, table: str, renames: Renames) -> Any:
    names = renames.columns_of(table)
    if isinstance(value, list):
        return [
            _translate_item(dict(cast("dict[str, Any]", item)), what, names, renames)
            for item in cast("list[Any]", value)
        ]
    return (
        _translate_item(dict(cast("dict[str, Any]", value)), what, names, renames) if isinstance(value, dict) else value
    )


def _translate_item(item: dict[str, Any], what: str, names: dict[str, str], renames: Renames) -> dict[str, Any]:
    if what == "columns":
        item["name"] = names.get(item["name"], item["name"])
        if "computed" in item:
            item["computed"] = {**item["computed"], "sqltext": renamed(item["computed"]["sqltext"], names)}
    for key in ("constrained_columns", "column_names", "include_columns"):
        if key in item:
            item[key] = [names.get(name, name) for name in item[key]]
    if "expressions" in item:
        item["expressions"] = [renamed(text, names) for text in item["expressions"]]
    if what == "foreign_keys" and not item.get("referred_schema"):
        other = renames.new_table(item["referred_table"])
        theirs = renames.columns_of(other)
        item["referred_table"] = other
        item["referred_columns"] = [theirs.get(name, name) for name in item["referred_columns"]]
    return item
