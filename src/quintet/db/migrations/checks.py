"""Comparing what Alembic does not: CHECK constraints, and the conditions and expressions of indexes.

A database writes conditions in its own way, so texts that differ are compared by the database itself: the wanted
constraint is put on an empty temporary copy of the table and read back.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Index, Table, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex

from quintet.db.migrations.expressions import Check, find_checks, normalise, renamed

#: The name of the copy of a table that a comparison makes.
COPY = "quintet_compare"
_MYSQL = {"mysql", "mariadb"}


class Uncomparable(Exception):
    """The database does not let us ask it; the reason is the message."""


def read_checks(connection: Connection, table: str, schema: str | None) -> list[Check]:
    """Return the CHECK constraints of a table, as the database writes them."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        query = text(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = to_regclass(:table) AND contype = 'c' ORDER BY conname"
        )
        rows = connection.execute(query, {"table": _name(connection, table, schema)})
        return [Check(name, _condition(definition)) for name, definition in rows]
    if dialect == "sqlite":
        query = text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :table")
        return find_checks(str(connection.execute(query, {"table": table}).scalar() or ""))
    if dialect in _MYSQL:
        return find_checks(_show_create(connection, _name(connection, table, schema)))
    found = inspect(connection).get_check_constraints(table, schema=schema)
    return [Check(item["name"], item["sqltext"]) for item in found]


def same_checks(
    connection: Connection, table: str, schema: str | None, names: Mapping[str, str], pairs: Sequence[tuple[str, str]]
) -> list[bool]:
    """Tell of pairs (in the database, wanted) of conditions whether they say the same.

    Args:
        connection: where the table is.
        table: its name in the database.
        schema: its schema.
        names: columns that are to be renamed: the wanted conditions know their new names.
        pairs: the conditions.

    Raises:
        Uncomparable: the database does not let us make a temporary table.
    """
    texts = [(normalise(have), normalise(want)) for have, want in pairs]
    result = [have == want for have, want in texts]
    unsure = [index for index, same in enumerate(result) if not same]
    if unsure and connection.dialect.name in {"postgresql", *_MYSQL}:
        with temporary_copy(connection, table, schema, names) as copy:
            for index in unsure:
                want = _through(connection, copy, pairs[index][1])
                result[index] = texts[index][0] == want or (
                    _settled(connection, copy, pairs[index][0]) == _settled(connection, copy, want)
                )
    return result


def _settled(connection: Connection, copy: str, condition: str) -> str:
    """Return a condition as the database writes it once writing it anew changes nothing: PostgreSQL's casts move."""
    for _ in range(3):
        before, condition = condition, _through(connection, copy, condition)
        if condition == before:
            break
    return condition


def _through(connection: Connection, copy: str, condition: str) -> str:
    """Put a CHECK on the copy and read it back; one that cannot stand there comes back as it is."""
    try:
        with savepoint(connection):
            add = f"ALTER TABLE {copy} ADD CONSTRAINT {COPY}_check CHECK ({condition})"
            connection.execute(text(add.replace(":", "\\:")))
    except DBAPIError:
        return normalise(condition)
    if connection.dialect.name == "postgresql":
        found = read_checks(connection, COPY, "pg_temp")
    else:
        found = find_checks(_show_create(connection, copy))
    back = next(check.condition for check in found if check.name == f"{COPY}_check")
    connection.execute(text(f"ALTER TABLE {copy} DROP CONSTRAINT {COPY}_check"))
    return normalise(back)


def read_indexes(connection: Connection, table: str, schema: str | None, names: Mapping[str, str]) -> dict[str, str]:
    """Return the statements of the indexes of a table by name, where the database keeps them; `names` are renames."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        query = text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :t AND sql IS NOT NULL")
        rows = connection.execute(query, {"t": table})
    elif dialect == "postgresql":
        query = text(
            "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = to_regclass(:t)"
        )
        rows = connection.execute(query, {"t": _name(connection, table, schema)})
    else:
        return {}
    return {name: renamed(_body(definition), dict(names)) for name, definition in rows}


def same_index(connection: Connection, table: str, have: str, want: Index, names: Mapping[str, str]) -> bool:
    """Tell whether an index of the database is the wanted one; both are on `table`, whose columns may be renamed."""
    create = _body(str(CreateIndex(want).compile(dialect=connection.dialect)).replace("%%", "%"))
    if normalise(have) == normalise(create) or connection.dialect.name != "postgresql":
        return normalise(have) == normalise(create)
    schema = want.table.schema if want.table is not None else None
    with temporary_copy(connection, table, schema, names) as copy:
        try:
            with savepoint(connection):
                unique = "UNIQUE " if want.unique else ""
                connection.execute(text(f"CREATE {unique}INDEX {COPY}_index ON {copy} {create}".replace(":", "\\:")))
        except DBAPIError:
            return False
        back = read_indexes(connection, COPY, "pg_temp", {})[f"{COPY}_index"]
    return normalise(have) == normalise(back)


def savepoint(connection: Connection) -> AbstractContextManager[object]:
    """Return a savepoint, without which PostgreSQL gives up the transaction; MariaDB's ends with DDL."""
    return connection.begin_nested() if connection.dialect.name == "postgresql" else nullcontext()


@contextmanager
def temporary_copy(connection: Connection, table: str, schema: str | None, names: Mapping[str, str]) -> Generator[str]:
    """Make an empty temporary copy of a table, with new names for columns; yield its name."""
    name, postgresql = _name(connection, table, schema), connection.dialect.name == "postgresql"
    copy = f"pg_temp.{COPY}" if postgresql else COPY
    like = f"(LIKE {name})" if postgresql else f"LIKE {name}"
    try:
        with savepoint(connection):
            connection.execute(text(f"CREATE TEMPORARY TABLE {COPY} {like}"))
    except DBAPIError as exc:
        raise Uncomparable(f"no temporary table may be made: {str(exc.orig).splitlines()[0]}") from exc
    try:
        for old, new in names.items():
            rename = f"RENAME COLUMN {quoted(connection, old)} TO {quoted(connection, new)}"
            connection.execute(text(f"ALTER TABLE {copy} {rename}"))
        yield copy
    finally:
        connection.execute(text(f"DROP {'' if postgresql else 'TEMPORARY '}TABLE {copy}"))


def _show_create(connection: Connection, name: str) -> str:
    row: Any = connection.execute(text(f"SHOW CREATE TABLE {name}")).one()
    return re.sub(r"\\(.)", lambda match: "''" if match[1] == "'" else match[0], str(row[1]), flags=re.DOTALL)


def _condition(definition: str) -> str:
    """Return the condition of PostgreSQL's `CHECK (…) NOT VALID`."""
    return find_checks(definition)[0].condition


def _body(create_index: str) -> str:
    """Return what follows the table's name in CREATE INDEX, with PostgreSQL's usual method left out."""
    body = re.sub(
        r"^.*?\sON\s+(?:ONLY\s+)?(?:\"[^\"]*\"|`[^`]*`|\w+)(?:\.(?:\"[^\"]*\"|\w+))?\s*",
        "",
        create_index,
        count=1,
        flags=re.DOTALL,
    )
    return re.sub(r"^USING btree\s*", "", body)


def _name(connection: Connection, name: str, schema: str | None) -> str:
    return f"{quoted(connection, schema)}.{quoted(connection, name)}" if schema else quoted(connection, name)


def quoted(connection: Connection, name: str) -> str:
    """Return a name as SQL."""
    return connection.dialect.identifier_preparer.quote(name)


def wanted_checks(table: Table) -> list[tuple[Any, Check]]:
    """Return the CHECK constraints of a plain table, with what they say."""
    from sqlalchemy import CheckConstraint

    return [
        (constraint, Check(None if constraint.name is None else str(constraint.name), str(constraint.sqltext)))
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    ]
