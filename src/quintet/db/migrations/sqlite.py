"""What Alembic loses when it rebuilds a table of SQLite, kept: generated columns, indexes on expressions, triggers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import alembic.operations.batch
from alembic.operations import Operations
from sqlalchemy import Connection, Table, event, inspect, text

from quintet.db.migrations.expressions import find_formula


class _Rebuild(alembic.operations.batch.ApplyBatchImpl):
    """Alembic's rebuild, which would insert into generated columns."""

    def _grab_table_elements(self) -> None:
        super()._grab_table_elements()
        for name, column in self.columns.items():
            if column.computed is not None:
                self.column_transfers[name] = {}


alembic.operations.batch.ApplyBatchImpl = _Rebuild


@event.listens_for(Table, "column_reflect")
def _read_formula(inspector: Any, table: Table, column: Any) -> None:
    """Read what computes a column, which SQLAlchemy does not where its type has a comma: NUMERIC(12, 2)."""
    if inspector.dialect.name != "sqlite" or "computed" not in column or not isinstance(inspector.bind, Connection):
        return
    query = text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :table")
    statement = str(inspector.bind.execute(query, {"table": table.name}).scalar() or "")
    formula = find_formula(statement, column["name"])
    if formula is not None:
        column["computed"] = {**column["computed"], "sqltext": formula}


#: What an index says that SQLAlchemy does not read.
_ORDER = re.compile(r"\b(desc|collate)\b", re.IGNORECASE)


@contextmanager
def kept(op: Operations, table: str) -> Generator[None]:
    """Create the indexes and triggers of a table anew that a rebuild did not."""
    if op.get_context().dialect.name != "sqlite" or op.get_context().as_sql:
        yield
        return
    before = _statements(op, table)
    reflected = {index["name"] for index in _indexes(op, table)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
        yield
    after = _statements(op, table)
    for name, statement in before.items():
        flattened = name in after and _ORDER.search(statement) and not _ORDER.search(after[name])
        if flattened:
            op.drop_index(name, table_name=table)
        if flattened or (name not in after and name not in reflected):
            op.execute(text(statement.replace(":", "\\:")))


def _statements(op: Operations, table: str) -> dict[str, str]:
    query = text("SELECT name, sql FROM sqlite_master WHERE tbl_name = :t AND type <> 'table' AND sql IS NOT NULL")
    return {row.name: row.sql for row in op.get_bind().execute(query, {"t": table})}


def _indexes(op: Operations, table: str) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(inspect(op.get_bind()).get_indexes(table))
