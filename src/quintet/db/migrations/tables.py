"""The tables that a database should have, spelled out: constraints that hide in types stand beside the columns."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

from alembic.util import sqla_compat
from sqlalchemy import Boolean, CheckConstraint, Enum, MetaData, Table, text
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import conv
from sqlalchemy.types import TypeDecorator, TypeEngine


def build_plain(metadata: Sequence[MetaData], dialect: Dialect) -> MetaData:
    """Return copies of tables in which each CHECK is a constraint with its final name and its SQL."""
    convention = next((m.naming_convention for m in metadata if len(m.naming_convention) > 1), None)
    plain = MetaData(naming_convention=convention)
    for source in metadata:
        for table in sorted_tables(source):
            if table.key not in plain.tables:
                _copy(table, plain, dialect)
    return plain


def sorted_tables(metadata: MetaData) -> list[Table]:
    """Return tables in an order in which they can be created, as far as there is one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot correctly sort tables")
        return metadata.sorted_tables


def native_enum(type_: TypeEngine[Any], dialect: Dialect) -> Enum | None:
    """Return the enum that is a type of the database's own, where a column's type is or holds one."""
    if isinstance(type_, TypeDecorator):
        type_ = type_.load_dialect_impl(dialect)
    type_ = type_._variant_mapping.get(dialect.name, type_)  # pyright: ignore[reportPrivateUsage]
    item: Any = getattr(type_, "item_type", None)
    if isinstance(item, TypeEngine):
        return native_enum(cast("TypeEngine[Any]", item), dialect)
    return type_ if isinstance(type_, Enum) and type_.native_enum else None


def check_sql(constraint: CheckConstraint, dialect: Dialect) -> str:
    """Return the condition of a CHECK as SQL."""
    options = {"literal_binds": True, "include_table": False}
    return str(constraint.sqltext.compile(dialect=plain_percents(dialect), compile_kwargs=options))


def plain_percents(dialect: Dialect) -> Any:
    """Return a dialect that writes a percent sign as one, whatever its driver wants for parameters."""
    kind: Any = type(dialect)
    return kind(paramstyle="named")


def name_of_constraint(constraint: Any, dialect: Dialect) -> str | None:
    """Return the final name of a constraint, the naming convention applied."""
    name: Any = sqla_compat._get_constraint_final_name(constraint, dialect)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    return None if name is None else str(name)


def _copy(table: Table, plain: MetaData, dialect: Dialect) -> None:
    wanted = [
        (name_of_constraint(constraint, dialect), check_sql(constraint, dialect))
        for constraint in sqla_compat.all_table_check_constraints(table)
        if _applies(constraint, dialect)
    ]
    copy = table.to_metadata(plain)
    copy.info.clear()  # for the app's own code, and not always to be written down
    for constraint in list(copy.constraints):
        if isinstance(constraint, CheckConstraint):
            copy.constraints.discard(constraint)
    for column in copy.columns:
        if isinstance(column.type, (Enum, Boolean)):
            column.type.create_constraint = False
        if column.computed is not None and getattr(dialect, "is_mariadb", False):
            column.nullable = True  # it has no NOT NULL for them
    for name, sql in wanted:
        copy.append_constraint(
            CheckConstraint(text(sql.replace(":", "\\:")), name=None if name is None else conv(name))
        )


def _applies(constraint: CheckConstraint, dialect: Dialect) -> bool:
    """Tell whether a constraint is created on a database; that of an enum is not where the type is native."""
    rule: Any = constraint._create_rule  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    ddl_if: Any = constraint._ddl_if  # pyright: ignore[reportPrivateUsage]
    compiler: Any = dialect.ddl_compiler(dialect, None)  # pyright: ignore[reportArgumentType]
    if ddl_if is not None and not ddl_if._should_execute(constraint, constraint, None, compiler=compiler):
        return False
    return rule is None or bool(rule(compiler))
