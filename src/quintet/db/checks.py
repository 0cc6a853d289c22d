"""CHECK constraints of columns that ask for them: the limits of a type, in SQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.functions import GenericFunction

from quintet.db.columns import options_of
from quintet.db.hints import mapped_type
from quintet.schema.describe import describe
from quintet.schema.nodes import Constraints, UnionNode


class text_length(GenericFunction[int]):  # noqa: N801 - it is called like a SQL function
    """The number of characters of a text."""

    type = sa.Integer()
    inherit_cache = True


@compiles(text_length)
def _length(element: Any, compiler: Any, **options: Any) -> str:
    return f"length({compiler.process(element.clauses, **options)})"


@compiles(text_length, "mysql", "mariadb")
def _char_length(element: Any, compiler: Any, **options: Any) -> str:
    return f"char_length({compiler.process(element.clauses, **options)})"


def add_checks(cls: type[Any]) -> None:
    """Add a CHECK for each column of a model that asks for one."""
    mapper: Mapper[Any] = cls.__mapper__
    table = cls.__table__
    for key, column in mapper.columns.items():  # `column_attrs` would configure mappers, before all are there
        if column.table is not table or not options_of(column).check:
            continue
        name = f"{column.name}_valid"
        if any(c.name == name or str(c.name).endswith(f"_{name}") for c in table.constraints):
            continue
        node = describe(mapped_type(cls, key), where=f"{cls.__name__}.{key}")
        if isinstance(node, UnionNode) and len(node.members) == 1:
            node = node.members[0]
        conditions = conditions_of(column, node.constraints)
        if conditions:
            table.append_constraint(sa.CheckConstraint(sa.and_(*conditions), name=name))


def conditions_of(column: sa.Column[Any], limits: Constraints) -> list[sa.ColumnElement[bool]]:
    """Return the limits of a column as SQL conditions; patterns have none that every database knows."""
    found: list[sa.ColumnElement[bool]] = []
    for limit, compare in (
        (limits.gt, column.__gt__), (limits.ge, column.__ge__), (limits.lt, column.__lt__), (limits.le, column.__le__)
    ):  # fmt: skip
        if limit is not None:
            found.append(compare(sa.literal(limit, column.type, literal_execute=True)))
    if limits.multiple_of is not None and not isinstance(column.type, sa.Double | sa.Numeric):
        found.append(column % sa.literal(limits.multiple_of, literal_execute=True) == sa.literal_column("0"))
    if isinstance(column.type, sa.String):
        if limits.min_length is not None:
            found.append(text_length(column) >= sa.literal_column(str(limits.min_length)))
        if limits.max_length is not None and column.type.length is None:
            found.append(text_length(column) <= sa.literal_column(str(limits.max_length)))
    return found
