"""Enums that are types of PostgreSQL: created before the tables that use them, changed, and dropped after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import renderers
from alembic.operations import ops
from sqlalchemy import Connection, MetaData, inspect

from quintet.db.migrations.tables import native_enum, sorted_tables


class EnumOp(ops.MigrateOperation):
    """A change of a type: its values before and after, None where there is no type."""

    def __init__(
        self,
        name: str,
        before: Sequence[str] | None,
        after: Sequence[str] | None,
        columns: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.name = name
        self.before = None if before is None else list(before)
        self.after = None if after is None else list(after)
        self.columns = list(columns)

    def reverse(self) -> EnumOp:
        """Return the change that undoes this one."""
        return EnumOp(self.name, self.after, self.before, self.columns)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what differs, as Alembic lists it."""
        return ("modify_enum", self.name, self.before, self.after)

    def code(self) -> str:
        """Return the line of a revision file."""
        if self.after is None:
            return f"op.drop_enum({self.name!r})"
        if self.before is None:
            return f"op.create_enum({self.name!r}, {self.after!r})"
        if self.after[: len(self.before)] == self.before:
            return f"op.add_enum_values({self.name!r}, {self.after[len(self.before) :]!r})"
        return f"op.replace_enum({self.name!r}, {self.after!r}, {self.columns!r})"

    def text(self) -> str:
        """Return what differs, for people."""
        if self.before is None or self.after is None:
            verb = "new" if self.before is None else "gone"
            return f"enum {self.name}: {verb}"
        return f"enum {self.name}: {', '.join(self.before)} → {', '.join(self.after)}"


@renderers.dispatch_for(EnumOp)
def _render_enum(_autogen: AutogenContext, op: EnumOp) -> str:
    return op.code()


def wrap(
    connection: Connection,
    plain: MetaData,
    operations: Sequence[ops.MigrateOperation],
    belongs: Callable[[str], bool],
) -> list[ops.MigrateOperation]:
    """Return operations with the changes of types around them."""
    if connection.dialect.name != "postgresql":
        return list(operations)
    wanted, columns = _wanted(plain, connection, belongs)
    inspector: Any = inspect(connection)
    have = {item["name"]: list(cast("list[str]", item["labels"])) for item in inspector.get_enums()}
    first: list[ops.MigrateOperation] = []
    for name, values in wanted.items():
        if have.get(name) != values:
            first.append(EnumOp(name, have.get(name), values, columns[name]))
    dropped = _used(operations)
    last = [EnumOp(name, values, None) for name, values in have.items() if name in dropped and name not in wanted]
    return [*first, *operations, *last]


def _wanted(
    plain: MetaData, connection: Connection, belongs: Callable[[str], bool]
) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, str]]]]:
    wanted: dict[str, list[str]] = {}
    columns: dict[str, list[tuple[str, str]]] = {}
    for table in sorted_tables(plain):
        for column in table.columns:
            found = native_enum(column.type, connection.dialect)
            if found is not None and found.name and belongs(table.name):
                wanted[str(found.name)] = list(found.enums)
                columns.setdefault(str(found.name), []).append((table.name, column.name))
    return wanted, columns


def _used(operations: Sequence[ops.MigrateOperation]) -> set[str]:
    """Return the types of columns that are dropped or get another type."""
    types: list[Any] = []
    for op in operations:
        if isinstance(op, ops.DropTableOp):
            types += [column.type for column in op.to_table().columns]
        elif isinstance(op, ops.ModifyTableOps):
            types += [o.to_column().type for o in op.ops if isinstance(o, ops.DropColumnOp)]
            types += [o.existing_type for o in op.ops if isinstance(o, ops.AlterColumnOp) and o.modify_type is not None]
    types = [getattr(type_, "item_type", type_) for type_ in types]
    return {str(type_.name) for type_ in types if getattr(type_, "enums", None) and type_.name}
