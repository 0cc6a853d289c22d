"""From a database's errors to answers: which field is wrong, or that the database cannot answer now.

The constraint decides, not a query before it: there is no race, and no round trip more.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session as SASession
from sqlalchemy.orm.exc import StaleDataError

from quintet.db.errors import AlreadyTaken, StaleRow, StillReferred
from quintet.db.model import bases
from quintet.db.notes import explain
from quintet.db.shapes import writable
from quintet.errors import BadRequest, FieldError, HTTPError, ServiceUnavailable, ValidationError

logger = logging.getLogger("quintet.db")

Kind: TypeAlias = Literal["unique", "exists", "referred", "check"]


@dataclass(slots=True)
class Violation:
    """What a database said about a constraint that does not hold."""

    kind: Kind
    #: The name of the constraint, where it said so.
    constraint: str = ""
    #: The table, where it said so.
    table: str = ""
    #: The columns, where it said so.
    columns: tuple[str, ...] = ()
    #: The columns that the statement gave a value, where the constraint has no name; None where that is not known.
    given: frozenset[str] | None = None


def answer_to(error: Exception, session: SASession) -> HTTPError | None:
    """Return the answer to an error of a session, or None where it is the app's own mistake."""
    if was_changed(error):
        return StaleRow([], "this was changed by someone else meanwhile; read it again")
    if isinstance(error, sa_exc.TimeoutError):
        return _unavailable("all connections to the database are in use", error)
    if isinstance(error, sa_exc.PendingRollbackError) and isinstance(error.__cause__, ConnectionError):
        return _unavailable("the connection to the database was lost", error)
    if not isinstance(error, sa_exc.DBAPIError):
        return None
    violation = read_violation(error)
    if violation is not None:
        return _answer_to(violation, session.get_bind().dialect)
    if _NUL.search(str(error.orig)):
        return BadRequest("a text in the request holds a NUL character, which the database cannot")
    if _is_too_large(error.orig):
        return ValidationError([], "a value is too large for where it is stored")
    if error.connection_invalidated or _LOST.search(str(error.orig)):
        return _unavailable("the connection to the database was lost", error)
    if is_conflict(error):
        return _unavailable("this collided with another change", error)
    if _SQLITE_BUSY.search(str(error.orig)):
        return _unavailable("the database is busy", error)
    explain(error)
    return None


def was_changed(error: BaseException) -> bool:
    """Tell whether a row was not written because another has changed it since it was read."""
    if isinstance(error, StaleDataError):
        return True
    original: Any = getattr(error, "orig", None)
    return _is_mysql(original) and original.args[:1] == (_CHANGED_CODE,)


def _unavailable(detail: str, error: Exception) -> ServiceUnavailable:
    logger.warning("%s: %s", detail, getattr(error, "orig", None) or error)
    return ServiceUnavailable(detail, headers={"retry-after": "1"})


_NUL = re.compile(
    r"invalid byte sequence .* 0x00|cannot contain NUL \(0x00\) bytes|unsupported Unicode escape sequence"
)
_TOO_LARGE = {"22001", "22003"}  # a text too long, a number out of range
_TOO_LARGE_CODES = {1264, 1406}
# What drivers say in the middle of an operation, where SQLAlchemy does not take the connection for lost.
_LOST = re.compile(
    r"closed the connection|connection was closed|connection is closed|connection is lost|terminating connection"
    r"|gone away|[Ll]ost connection|the database system is (starting|shutting)|DPY-4011|ORA-0311[34]|ORA-12[15]\d\d"
)
_SQLITE_BUSY = re.compile(r"database is locked|database table is locked|disk is full|disk I/O error")
_CONFLICT_STATES = {"40001", "40P01"}
_ORACLE_CONFLICT = re.compile(r"ORA-(00060|08177)\b")
_ORACLE_TOO_LARGE = re.compile(r"ORA-(12899|01438|01401)\b")
_CHANGED_CODE = 1020  # MariaDB with innodb_snapshot_isolation, which 11.6 has switched on
_CONFLICT_CODES = {1205, 1213, _CHANGED_CODE}  # a lock waited for too long, a deadlock, a snapshot


def is_conflict(error: BaseException) -> bool:
    """Tell whether a unit of work was refused because of another one: a deadlock, a failure to serialise."""
    if not isinstance(error, sa_exc.DBAPIError):
        return False
    original: Any = error.orig
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    arguments = getattr(original, "args", ())
    if _ORACLE_CONFLICT.match(str(original)):
        return True
    return state in _CONFLICT_STATES or bool(arguments and arguments[0] in _CONFLICT_CODES and _is_mysql(original))


def _is_too_large(original: Any) -> bool:
    arguments = getattr(original, "args", ())
    if _ORACLE_TOO_LARGE.match(str(original)):
        return True
    return getattr(original, "sqlstate", None) in _TOO_LARGE or bool(
        arguments and arguments[0] in _TOO_LARGE_CODES and _is_mysql(original)
    )


def _is_mysql(original: Any) -> bool:
    return type(original).__module__.partition(".")[0] in ("pymysql", "asyncmy", "aiomysql")


# -- reading what a database said ---------------------------------------------------------------------------------

_STATES: dict[str, Kind] = {"23505": "unique", "23503": "exists", "23514": "check"}
_CODES: dict[int, Kind] = {
    1062: "unique", 1586: "unique", 1452: "exists", 1216: "exists", 1451: "referred", 1217: "referred",
    3819: "check", 4025: "check",
}  # fmt: skip
_ORACLE: dict[str, Kind] = {
    "ORA-00001": "unique", "ORA-02291": "exists", "ORA-02292": "referred", "ORA-02290": "check",
}  # fmt: skip
_SQLITE: dict[str, Kind] = {"UNIQUE": "unique", "PRIMARY KEY": "unique", "FOREIGN KEY": "exists", "CHECK": "check"}
_SQLITE_TEXT = re.compile(r"^(UNIQUE|PRIMARY KEY|FOREIGN KEY|CHECK) constraint failed(?:: (.*))?$")
_ORACLE_TEXT = re.compile(r"(ORA-\d{5}).*?\((?:[^().]*\.)?([^().]+)\)")
_MYSQL_KEY = re.compile(r"for key '(?:[^'.]*\.)?([^']+)'")
_MYSQL_CONSTRAINT = re.compile(r"CONSTRAINT [`']([^`']+)[`']")
_MYSQL_CHECK = re.compile(r"[Cc]heck constraint '([^']+)'")
_TABLE = re.compile(
    r'^\s*(?:INSERT(?:\s+IGNORE)?\s+INTO|UPDATE|DELETE\s+FROM)\s+(?:[\w"`]+\.)?["`]?(\w+)', re.IGNORECASE
)


def read_violation(error: sa_exc.DBAPIError) -> Violation | None:
    """Return which constraint a statement did not satisfy, or None where it failed for another reason."""
    original: Any = error.orig
    found = _read_postgresql(original) or _read_mysql(original) or _read_by_text(str(original))
    if found is None:
        return None
    statement = error.statement or ""
    if not found.table and (match := _TABLE.match(statement)):
        found.table = match[1]
    if found.kind == "exists" and not found.constraint:
        found.given = _given(statement, error.params)
    if found.kind == "exists" and (
        statement.lstrip()[:6].upper() == "DELETE" or str(original).startswith("update or delete on table")
    ):
        found.kind = "referred"
    return found


_INSERT = re.compile(r"^\s*INSERT INTO \S+ \(([^()]*)\) VALUES \([?, ]*\)")
_UPDATE = re.compile(r"^\s*UPDATE \S+ SET (.*?) WHERE ", re.DOTALL)


def _given(statement: str, values: Any) -> frozenset[str] | None:
    """Return the columns that one row's statement gives a value other than NULL."""
    if (match := _INSERT.match(statement)) is not None:
        names = [name.strip(' "') for name in match[1].split(",")]
    elif (match := _UPDATE.match(statement)) is not None:
        names = re.findall(r'"?(\w+)"?=\?', match[1])
    else:
        return None
    if not isinstance(values, tuple) or len(cast("tuple[Any, ...]", values)) < len(names):
        return None
    return frozenset(
        name for name, value in zip(names, cast("tuple[Any, ...]", values), strict=False) if value is not None
    )


def _read_postgresql(original: Any) -> Violation | None:
    kind = _STATES.get(getattr(original, "sqlstate", None) or "")
    if kind is None:
        return None
    details: Any = getattr(original, "diag", None) or original.__cause__  # psycopg's, asyncpg's
    return Violation(kind, getattr(details, "constraint_name", "") or "", getattr(details, "table_name", "") or "")


def _read_mysql(original: Any) -> Violation | None:
    arguments = getattr(original, "args", ())
    if not _is_mysql(original) or not arguments or arguments[0] not in _CODES:
        return None
    text = str(arguments[1]) if len(arguments) > 1 else ""
    for pattern in (_MYSQL_KEY, _MYSQL_CONSTRAINT, _MYSQL_CHECK):
        if match := pattern.search(text):
            return Violation(_CODES[arguments[0]], match[1])
    return Violation(_CODES[arguments[0]])


def _read_by_text(text: str) -> Violation | None:
    if match := _SQLITE_TEXT.match(text):
        kind = _SQLITE[match[1]]
        said = match[2] or ""
        if kind != "unique":
            return Violation(kind, said)
        if said.startswith("index "):
            return Violation(kind, said.removeprefix("index ").strip("'"))
        places = [place.rpartition(".") for place in said.split(", ")]
        return Violation(kind, "", places[0][0], tuple(place[2] for place in places))
    if (match := _ORACLE_TEXT.search(text)) and match[1] in _ORACLE:
        return Violation(_ORACLE[match[1]], match[2].lower())
    return None


# -- from constraints to fields -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a constraint stands, and what it is about."""

    table: sa.Table
    columns: tuple[sa.Column[Any], ...]


def _answer_to(violation: Violation, dialect: Dialect) -> HTTPError | None:
    if violation.kind == "referred":
        return StillReferred("something else refers to this; remove or change that first")
    place = find_constraint(violation, dialect)
    if place is None:
        return AlreadyTaken([], "this exists already") if violation.kind == "unique" else None
    fields = [(name, column) for name, column in _fields(place) if writable(column)]
    if violation.kind == "unique":
        names = [name for name, _ in fields]
        others = [n for n, column in _fields(place) if n not in names[:1] and column.computed is None]
        message = f"This is taken already{' together with ' if others else ''}{', '.join(others)}."
        errors = [FieldError(loc=("body", name), msg=message, code="taken") for name in names]
        return AlreadyTaken(errors) if errors else AlreadyTaken([], "this exists already")
    if not fields:
        return None  # no client wrote it
    if violation.kind == "exists":
        # SQLite names no constraint: with several, one of them is the wrong one.
        sure = len(fields) == 1 or violation.constraint
        message = "There is no such row." if sure else "There is no such row, or not for another field named here."
        return ValidationError([FieldError(loc=("body", name), msg=message, code="exists") for name, _ in fields])
    return ValidationError(
        [FieldError(loc=("body", name), msg="This value is not allowed.", code="check") for name, _ in fields]
    )


def _fields(place: _Place) -> list[tuple[str, sa.Column[Any]]]:
    """Return the columns of a constraint with the names that messages have for them."""
    for base in bases():
        for mapper in base.registry.mappers:
            if mapper.local_table is place.table:
                keys = {column: key for key, column in mapper.columns.items()}
                return [(keys.get(c, c.name), c) for c in place.columns]
    return [(c.name, c) for c in place.columns]


def find_constraint(violation: Violation, dialect: Dialect) -> _Place | None:
    """Return what a violated constraint is about, from the models' own tables."""
    tables = [t for base in bases() for t in base.metadata.tables.values()]
    named = [t for t in tables if t.name == violation.table]
    for table in named or tables:
        place = _in_table(table, violation, dialect)
        if place is not None:
            return place
    return None


def _in_table(table: sa.Table, violation: Violation, dialect: Dialect) -> _Place | None:
    if violation.columns:
        return _Place(table, tuple(table.c[name] for name in violation.columns if name in table.c))
    name = violation.constraint
    if violation.kind == "exists" and not name:  # SQLite does not say which
        given = violation.given
        keys = [
            key
            for key in sorted(table.foreign_key_constraints, key=lambda k: str(k.name))
            if any(writable(c) for c in key.columns) and (given is None or given.issuperset(key.columns.keys()))
        ]
        return _Place(table, tuple(c for key in keys for c in key.columns)) if keys else None
    candidates: list[Any] = [*table.constraints, *table.indexes]
    for constraint in candidates:
        if name and name == _name_of(constraint, dialect):
            return _Place(table, tuple(constraint.columns) or _named_in(constraint, table))
    if violation.kind == "unique" and name.lower() in ("primary", f"{table.name}_pkey"):
        return _Place(table, tuple(table.primary_key)) if table.name == violation.table else None
    return None


_TEXTS = re.compile(r"'(?:[^']|'')*'")


def _named_in(constraint: Any, table: sa.Table) -> tuple[sa.Column[Any], ...]:
    """Return the columns that a CHECK written as text names; SQLAlchemy does not look into it."""
    if not isinstance(constraint, sa.CheckConstraint):
        return ()
    words = {word.lower() for word in re.findall(r"\w+", _TEXTS.sub("", str(constraint.sqltext)))}
    return tuple(column for column in table.columns if column.name.lower() in words)


def _name_of(constraint: Any, dialect: Dialect) -> str:
    if isinstance(constraint, sa.Index):
        name = dialect.identifier_preparer.format_index(constraint)
    elif constraint.name is None:
        return ""
    else:
        name = dialect.identifier_preparer.format_constraint(constraint) or ""
    return name.strip('"`[]')
