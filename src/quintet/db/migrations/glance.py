"""What a database lacks, at a glance: for an app that is served, before its first request fails.

Alembic takes as long to load as many an app, so it is asked only where the heads of revisions and database differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, table, text
from sqlalchemy.exc import SQLAlchemyError

from quintet.db.migrations.connection import connect
from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.db.database import Database
    from quintet.db.migrations.plugin import Migrations
    from quintet.db.migrations.target import MigrationTarget

#: Where each database keeps its columns: schema, whether that is the one of names without a schema, table, column.
_COLUMNS = {
    "sqlite": "SELECT NULL, 1, m.name, c.name FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS c",
    "postgresql": "SELECT table_schema, table_schema = ANY(current_schemas(false)), table_name, column_name "
    "FROM information_schema.columns",
    "mysql": "SELECT table_schema, table_schema = DATABASE(), table_name, column_name FROM information_schema.columns",
    "oracle": "SELECT owner, CASE owner WHEN SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') THEN 1 ELSE 0 END, table_name, "
    "column_name FROM all_tab_columns",
}
_COLUMNS["mariadb"] = _COLUMNS["mysql"]
_OWN = re.compile(r"""^revision\b[^=\n]*=\s*["'](\w+)["']""", re.MULTILINE)
_PARENTS = re.compile(r"^down_revision\b[^=\n]*=\s*(\([^)]*\)|.*)", re.MULTILINE)
#: How many tables and columns a message names.
_NAMED = 5

#: The columns of tables, by schema and name.
Columns = dict[tuple[str | None, str], set[str]]


def look(app: Application) -> list[Problem]:
    """Return what the databases of an app lack: revisions, or tables and columns that no revision makes."""
    from quintet.db.migrations.plugin import OPTIONS, targets_of

    databases: dict[str, Database] = app.state.get("quintet.db", {})
    options: dict[str, Migrations] = app.state.get(OPTIONS, {})
    found: list[Problem] = []
    for target in targets_of(app):
        mine, database = options.get(target.name), databases.get(target.name)
        if (mine is None or mine.on_start != "ignore") and not (database is not None and database.primary.is_memory):
            found += lacking(target, revisions=mine is None or not mine.is_told)
    return found


def lacking(target: MigrationTarget, *, revisions: bool = True) -> list[Problem]:
    """Return what a database lacks.

    Args:
        target: what is migrated.
        revisions: whether revisions that were not applied are told; where some are, tables never are.
    """
    heads = set(_heads(path for folder in target.folders.values() for path in folder.glob("*.py")))
    try:
        columns, applied = _read(target)
        if applied != heads:
            pending = _pending(target, applied)
            if pending:
                return pending if revisions else []
            columns, _ = _read(target)  # somebody may have upgraded it meanwhile
    except SQLAlchemyError as error:
        first = str(error).splitlines()[0]
        return [_problem(target, "migrations.connect", first, "see that the database is reached")]
    except ConfigurationError as error:
        return error.problems
    return _of_tables(target, columns)


def _heads(paths: Iterable[Path]) -> set[str]:
    """Return the revisions that no other follows."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    parents = {name for text in texts for found in _PARENTS.findall(text) for name in re.findall(r"\w+", found)}
    return {name for text in texts for name in _OWN.findall(text)} - parents


def _read(target: MigrationTarget) -> tuple[Columns, set[str]]:
    """Return the columns of a database, and the revisions that it is at."""
    if target.dialect == "sqlite" and not Path(target.address.database or "").is_file():
        return Columns(), set()  # to connect would make the file
    with connect(target, reading=True) as connection:
        columns = _read_columns(connection)
        return columns, _read_heads(connection, target, columns)


def _read_columns(connection: Connection) -> Columns:
    found = Columns()
    for schema, is_default, name, column in connection.execute(text(_COLUMNS[connection.dialect.name])):
        for place in (schema, None) if is_default else (schema,):
            found.setdefault((place and place.lower(), name.lower()), set()).add(column.lower())
    return found


def _read_heads(connection: Connection, target: MigrationTarget, columns: Columns) -> set[str]:
    if (None, target.version_table.lower()) not in columns:
        return set()
    query: Any = select(text("version_num")).select_from(table(target.version_table))
    return set(connection.scalars(query))


def _pending(target: MigrationTarget, applied: set[str]) -> list[Problem]:
    if applied:
        from quintet.db.migrations.review import missing

        return missing(target)
    message = "no revision is applied to the database"
    return [_problem(target, "migrations.pending", message, "run `quintet db upgrade`")]


def _of_tables(target: MigrationTarget, columns: Columns) -> list[Problem]:
    missing: list[str] = []
    for one in [one for metadata in target.all_metadata for one in metadata.tables.values()]:
        if target.ignores(one.name) or (one.schema is not None and target.dialect == "sqlite"):
            continue
        there = columns.get((one.schema and one.schema.lower(), one.name.lower()))
        if there is None:
            missing.append(f"the table {one.name}")
        else:
            missing += [f"the column {one.name}.{c.name}" for c in one.columns if c.name.lower() not in there]
    if not missing:
        return []
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    message = f"the database lacks {', '.join(missing[:_NAMED])}{more}, which the models have"
    return [
        _problem(target, "migrations.tables", message, 'run `quintet db revision -m "…"`, then `quintet db upgrade`')
    ]


def _problem(target: MigrationTarget, id: str, message: str, fix: str) -> Problem:
    where = "" if target.name == "default" else f"database {target.name}"
    return Problem(id=id, message=message, where=where, fix=fix)
