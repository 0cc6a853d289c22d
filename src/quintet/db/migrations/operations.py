"""The operations of a revision: Alembic's, with recipes that do not stop a running site."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from alembic.operations import BatchOperations
from alembic.operations import Operations as AlembicOperations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from quintet.db.migrations import sqlite
from quintet.db.migrations.journal import Journal
from quintet.db.migrations.target import MigrationError


class Operations(AlembicOperations):
    """What `upgrade(op)` and `downgrade(op)` are given: https://alembic.sqlalchemy.org/en/latest/ops.html and more.

    Names of tables, columns and constraints are quoted; SQL given as text is taken as it is.
    """

    def __init__(self, context: MigrationContext) -> None:
        super().__init__(context)
        self.journal: Journal = Journal(context, "", "up")

    @property
    def dialect(self) -> str:
        """The kind of database: `sqlite`, `postgresql`, `mysql`, `mariadb` or `oracle`."""
        return self.get_context().dialect.name

    @contextmanager
    def batch_alter_table(self, table_name: str, *args: Any, **options: Any) -> Generator[BatchOperations]:
        """Change a table; SQLite rebuilds it, and keeps the indexes and triggers that Alembic does not know."""
        with sqlite.kept(self, table_name), super().batch_alter_table(table_name, *args, **options) as batch:
            yield batch

    def rename_column(self, table: str, old: str, new: str) -> None:
        """Rename a column; SQLite rebuilds nothing for it."""
        names = f"{self._name(old, None)} TO {self._name(new, None)}"
        self._ddl(f"ALTER TABLE {self._name(table, None)} RENAME COLUMN {names}")

    def fill_nulls(self, table: str, column: str, value: str) -> None:
        """Give a column a value, as SQL, where it has none."""
        name = self._name(column, None)
        update = f"UPDATE {self._name(table, None)} SET {name} = {value} WHERE {name} IS NULL"  # noqa: S608 - its own SQL
        self._ddl(update)

    # -- enums ----------------------------------------------------------------------------------------------------

    def create_enum(self, name: str, values: Sequence[str], *, schema: str | None = None) -> None:
        """Create a type of PostgreSQL; elsewhere an enum is a column's own."""
        if self.dialect == "postgresql":
            self._ddl(f"CREATE TYPE {self._name(name, schema)} AS ENUM ({self._literals(values)})")

    def drop_enum(self, name: str, *, schema: str | None = None) -> None:
        """Drop a type of PostgreSQL."""
        if self.dialect == "postgresql":
            self._ddl(f"DROP TYPE {self._name(name, schema)}")

    def add_enum_values(self, name: str, values: Sequence[str], *, schema: str | None = None) -> None:
        """Add values at the end of a type of PostgreSQL; it commits, for only then they may be used."""
        if self.dialect != "postgresql":
            return

        def work() -> None:
            for value in values:
                self._ddl(f"ALTER TYPE {self._name(name, schema)} ADD VALUE IF NOT EXISTS {self._literals([value])}")

        self.journal.once(f"add {', '.join(values)} to {name}", lambda: self._in_autocommit(work))

    def replace_enum(
        self,
        name: str,
        values: Sequence[str],
        columns: Sequence[tuple[str, str]],
        *,
        schema: str | None = None,
    ) -> None:
        """Give a type of PostgreSQL other values, and move the columns (table, column) that use it.

        Each table is rewritten. A row that has a value which is gone makes it fail: change the rows before.
        """
        if self.dialect != "postgresql":
            return
        new, old = self._name(name, schema), self._name(f"{name}_old", schema)
        self._ddl(f"ALTER TYPE {new} RENAME TO {self._name(f'{name}_old', None)}")
        self._ddl(f"CREATE TYPE {new} AS ENUM ({self._literals(values)})")
        for table, column in columns:
            where, what = self._name(table, schema), self._name(column, None)
            default = self._default_of(table, column, schema)
            if default is not None:
                self._ddl(f"ALTER TABLE {where} ALTER COLUMN {what} DROP DEFAULT")
            self._ddl(f"ALTER TABLE {where} ALTER COLUMN {what} TYPE {new} USING {what}::text::{new}")
            if default is not None:
                self._ddl(f"ALTER TABLE {where} ALTER COLUMN {what} SET DEFAULT {default}::{new}")
        self._ddl(f"DROP TYPE {old}")

    def _default_of(self, table: str, column: str, schema: str | None) -> str | None:
        if self.get_context().as_sql:
            return None
        query = text(
            "SELECT column_default FROM information_schema.columns WHERE table_name = :t AND column_name = :c "
            "AND table_schema = coalesce(:s, current_schema())"
        )
        default = self._connection.execute(query, {"t": table, "c": column, "s": schema}).scalar()
        return None if default is None else re.sub(r"::.*$", "", str(default))

    # -- without stopping the site --------------------------------------------------------------------------------

    def create_index_online(
        self,
        name: str,
        table: str,
        columns: Sequence[Any],
        *,
        unique: bool = False,
        where: str | None = None,
    ) -> None:
        """Create an index while the table is written to: CONCURRENTLY on PostgreSQL; others need nothing for it.

        It commits what the revision did before. An index that an interruption left half built is built anew.
        """
        if self.dialect != "postgresql":
            options: dict[str, Any] = {} if where is None or self.dialect != "sqlite" else {"sqlite_where": text(where)}
            self.create_index(name, table, list(columns), unique=unique, **options)
            return
        predicate: dict[str, Any] = {} if where is None else {"postgresql_where": text(where)}

        def work() -> None:
            with self.get_context().autocommit_block(), self._patient():
                self._drop_invalid(name)
                self.create_index(
                    name,
                    table,
                    list(columns),
                    unique=unique,
                    if_not_exists=True,
                    postgresql_concurrently=True,
                    **predicate,
                )

        self.journal.once(f"create index {name} on {table} online", work)

    def drop_index_online(self, name: str, table: str) -> None:
        """Drop an index without waiting for those who read the table: CONCURRENTLY on PostgreSQL."""
        if self.dialect != "postgresql":
            self.drop_index(name, table_name=table)
            return

        def work() -> None:
            with self.get_context().autocommit_block(), self._patient():
                self.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)

        self.journal.once(f"drop index {name} online", work)

    def create_check_online(self, name: str, table: str, condition: str) -> None:
        """Add a CHECK: on PostgreSQL for new rows at once, then for old ones without a lock that stops writers."""
        if self.dialect != "postgresql":
            with self.batch_alter_table(table) as batch:
                batch.create_check_constraint(self.f(name), text(condition))
            return
        self._validate_later(name, table, f"CHECK ({condition})")

    def create_foreign_key_online(
        self,
        name: str,
        table: str,
        other: str,
        columns: Sequence[str],
        other_columns: Sequence[str],
        *,
        ondelete: str | None = None,
    ) -> None:
        """Add a foreign key: on PostgreSQL for new rows at once, then for old ones without stopping writers."""
        if self.dialect != "postgresql":
            with self.batch_alter_table(table) as batch:
                batch.create_foreign_key(self.f(name), other, list(columns), list(other_columns), ondelete=ondelete)
            return
        here, there = (", ".join(self._name(c, None) for c in names) for names in (columns, other_columns))
        end = f" ON DELETE {ondelete}" if ondelete else ""
        self._validate_later(name, table, f"FOREIGN KEY ({here}) REFERENCES {self._name(other, None)} ({there}){end}")

    def set_not_null_online(self, table: str, column: str, existing_type: Any) -> None:
        """Refuse NULL: on PostgreSQL by a CHECK that is validated first, so that no scan holds the strongest lock."""
        if self.dialect == "postgresql":
            name = f"ck_{table}_{column}_not_null"[:63]
            self._validate_later(name, table, f"CHECK ({self._name(column, None)} IS NOT NULL)")
            self.alter_column(table, column, nullable=False, existing_type=existing_type)
            self._ddl(f"ALTER TABLE {self._name(table, None)} DROP CONSTRAINT {self._name(name, None)}")
            return
        with self.batch_alter_table(table) as batch:
            batch.alter_column(column, nullable=False, existing_type=existing_type)

    def update_in_batches(
        self, table: str, assignments: str, *, where: str, key: str = "id", size: int = 1000, pause: float = 0.0
    ) -> None:
        """Update many rows, some at a time, each time in a transaction of its own.

        Args:
            table: the table.
            assignments: SQL such as `full_name = name`.
            where: the rows that are still to do, such as `full_name IS NULL`; an updated row must not fit it any more.
            key: the primary key.
            size: how many rows are locked at once.
            pause: seconds between, for replicas to follow.
        """
        statement = self._batch_statement(table, assignments, where, key, size)
        if self.get_context().as_sql:
            self.execute(text(f"UPDATE {self._name(table, None)} SET {assignments} WHERE {where}"))  # noqa: S608 - the revision's own SQL
            return

        def work() -> None:
            query = text(f"SELECT count(*) FROM {self._name(table, None)} WHERE {where}")  # noqa: S608 - as above
            left: int = self._connection.execute(query).scalar_one() + size
            while (count := self._connection.execute(text(statement)).rowcount) > 0:
                self._commit_batch()
                left -= count
                if left < 0:
                    raise MigrationError(f"rows of {table!r} still fit `{where}` after the update; it would never end")
                time.sleep(pause)
            self._commit_batch()

        if self.dialect == "postgresql":
            self.journal.once(f"update {table} in batches", lambda: self._in_autocommit(work))
        elif self.dialect == "sqlite":
            work()
        else:
            self.journal.once(f"update {table} in batches", work)

    def _batch_statement(self, table: str, assignments: str, where: str, key: str, size: int) -> str:
        name, column = self._name(table, None), self._name(key, None)
        update = f"UPDATE {name} SET {assignments} WHERE"  # noqa: S608 - as above
        if self.dialect in {"mysql", "mariadb"}:
            return f"{update} {where} LIMIT {size}"
        if self.dialect == "oracle":
            return f"{update} ({where}) AND ROWNUM <= {size}"
        return f"{update} {column} IN (SELECT {column} FROM {name} WHERE {where} LIMIT {size})"  # noqa: S608 - as above

    def _in_autocommit(self, work: Callable[[], None]) -> None:
        with self.get_context().autocommit_block():
            work()

    def _commit_batch(self) -> None:
        if self.dialect not in {"sqlite", "postgresql"}:
            self._connection.connection.commit()

    def _validate_later(self, name: str, table: str, constraint: str) -> None:
        """Add a constraint that is not valid yet and commit; then validate it."""
        where, what = self._name(table, None), self._name(name, None)

        def work() -> None:
            with self.get_context().autocommit_block():
                self._ddl(f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS {what}")
                self._ddl(f"ALTER TABLE {where} ADD CONSTRAINT {what} {constraint} NOT VALID")
                self._ddl(f"ALTER TABLE {where} VALIDATE CONSTRAINT {what}")

        self.journal.once(f"add constraint {name} to {table} online", work)

    @contextmanager
    def _patient(self) -> Generator[None]:
        """Wait for locks as long as it takes: who builds an index beside the site stops nobody by waiting."""
        if self.get_context().as_sql:
            yield
            return
        before = self._connection.execute(text("SHOW lock_timeout")).scalar()
        self._connection.execute(text("SET lock_timeout = 0"))
        try:
            yield
        finally:
            self._connection.execute(text("SELECT set_config('lock_timeout', :before, false)"), {"before": before})

    def _drop_invalid(self, index: str) -> None:
        if self.get_context().as_sql:
            return
        query = text(
            "SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE c.relname = :name AND NOT i.indisvalid AND pg_table_is_visible(c.oid)"
        )
        if self._connection.execute(query, {"name": index}).scalar():
            self._ddl(f"DROP INDEX CONCURRENTLY IF EXISTS {self._name(index, None)}")

    # -- parts ----------------------------------------------------------------------------------------------------

    @property
    def _connection(self) -> Connection:
        return self.get_bind()

    def _ddl(self, statement: str) -> None:
        self.execute(text(statement.replace(":", "\\:")))

    def _name(self, name: str, schema: str | None) -> str:
        quote = self.get_context().dialect.identifier_preparer.quote
        return f"{quote(schema)}.{quote(name)}" if schema else quote(name)

    @staticmethod
    def _literals(values: Sequence[str]) -> str:
        return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
