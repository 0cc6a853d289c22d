"""The journal of a migration's statements: what was done before an interruption is not done again.

Where the database takes DDL back with its transaction nothing is written, unless a migration commits in its midst.
Elsewhere each statement is noted before it runs and after; one that was noted but not finished may or may not have
taken effect, so it is run again and may find its work done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from quintet.db.migrations.connection import STEPS_TABLE
from quintet.db.migrations.target import MigrationError

STEPS = Table(
    STEPS_TABLE,
    MetaData(),
    Column("revision", String(32), primary_key=True),
    Column("direction", String(8), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("statement", Text, nullable=False),
    Column("done", SmallInteger, nullable=False),
)

#: Errors by which a database says that a statement's work is done already.
_ALREADY = {
    # table, database object, column, index, foreign key exists; column or index to drop, to rename is gone
    "mysql": {1050, 1060, 1061, 1826, 1091, 1051, 1054, 1146, 1068, 1022, 1005, 121, 4025},
    "postgresql": {"42P07", "42701", "42710", "42P16", "42704", "42703", "42P01"},
    "oracle": {955, 1430, 2261, 2264, 2275, 1408, 2260, 942, 1418, 2443, 904},
}


class Journal:
    """Runs the statements of one migration, each at most once."""

    def __init__(self, context: MigrationContext, revision: str, direction: str) -> None:
        self._context = context
        self._revision = revision
        self._direction = direction
        self._eager: bool = not context.impl.transactional_ddl
        self._number = 0
        self._kept: list[tuple[int, str, int]] = []
        self._written = False
        self._inside = False
        self._before: dict[int, tuple[str, bool]] = {}

    @contextmanager
    def recording(self) -> Generator[None]:
        """Send the statements of a migration through the journal."""
        context, impl = self._context, self._context.impl
        if context.as_sql:
            yield
            return
        self._before = _read(self._connection, self._revision, self._direction)
        self._written = bool(self._before)
        execute: Callable[..., Any] = impl._exec  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportUnknownVariableType]
        block = context.autocommit_block

        def run(*args: Any, **options: Any) -> Any:
            return self._run(execute, args, options)

        impl._exec = run  # pyright: ignore[reportPrivateUsage]
        context.autocommit_block = lambda: self._autocommit(block)
        try:
            yield
        finally:
            del impl._exec, context.autocommit_block  # pyright: ignore[reportPrivateUsage]
        if self._written:
            self._connection.execute(self._own(delete(STEPS)))

    def once(self, what: str, work: Callable[[], None]) -> None:
        """Do a piece of work that commits on its way: after an interruption again, and not once it is done."""
        if self._context.as_sql or self._inside:
            work()
            return
        number = self._next(what)
        if number is None:
            return
        rows = [*self._kept, (number, what, 0)]
        self._kept = []
        self._write([row for row in rows if row[0] not in self._before])
        if self._eager:
            self._commit()
        self._inside = True
        try:
            work()
        finally:
            self._inside = False
        self._finish(number)

    @property
    def _connection(self) -> Connection:
        connection = self._context.connection
        assert connection is not None
        return connection

    def _run(self, execute: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if self._inside:
            return execute(*args, **options)
        what = self._text(args[0])
        number = self._next(what)
        if number is None:
            return None
        self._note(number, what)
        again = number in self._before
        try:
            result = execute(*args, **options)
        except DBAPIError as exc:
            if not again or not _is_already_done(exc, self._context.dialect.name):
                self._forget(number)
                raise
            result = None
        if self._eager:
            self._finish(number)
        return result

    def _next(self, what: str) -> int | None:
        """Return the number of the next statement; None where it is done."""
        self._number += 1
        known = self._before.get(self._number)
        if known is None:
            return self._number
        if known[0] != what:
            raise MigrationError(
                f"revision {self._revision} was interrupted after {self._number - 1} statements, "
                f"and its statement {self._number} is another one now\n    then: {known[0]}\n    now:  {what}\n"
                f"    fix: restore the file as it was and run this again, or repair the database by hand and delete "
                f"the rows of this revision from {STEPS_TABLE}"
            )
        return None if known[1] else self._number

    def _note(self, number: int, what: str) -> None:
        if not self._eager:
            self._kept.append((number, what, 1))
        elif number not in self._before:
            self._write([(number, what, 0)])
            self._commit()

    def _forget(self, number: int) -> None:
        """Take a note back: the statement failed, so it did nothing, and may be another one the next time."""
        if self._eager and number not in self._before and not self._connection.invalidated:
            self._connection.connection.rollback()
            self._connection.execute(self._own(delete(STEPS)).where(STEPS.c.number == number))
            self._commit()

    def _finish(self, number: int) -> None:
        done = update(STEPS).where(STEPS.c.number == number).values(done=1)
        self._connection.execute(self._own(done))
        if self._eager:
            self._commit()

    def _write(self, rows: list[tuple[int, str, int]]) -> None:
        if not rows:
            return
        if not self._written:
            STEPS.create(self._connection, checkfirst=True)
            self._written = True
        names = ("number", "statement", "done")
        own = {"revision": self._revision, "direction": self._direction}
        self._connection.execute(insert(STEPS), [{**own, **dict(zip(names, row, strict=True))} for row in rows])

    def _commit(self) -> None:
        """Commit beneath SQLAlchemy's transaction, which goes on; in autocommit there is nothing to do."""
        self._connection.connection.commit()

    @contextmanager
    def _autocommit(self, block: Callable[[], AbstractContextManager[None]]) -> Generator[None]:
        if self._eager or self._inside:
            with block():
                yield
            return
        self._write(self._kept)
        self._kept = []
        with block():
            self._eager = True
            if not self._written:
                STEPS.create(self._connection, checkfirst=True)
                self._written = True
            try:
                yield
            finally:
                self._eager = False

    def _own(self, statement: Any) -> Any:
        return statement.where(STEPS.c.revision == self._revision, STEPS.c.direction == self._direction)

    def _text(self, construct: Any) -> str:
        if isinstance(construct, str):
            construct = text(construct)
        return re.sub(r"\s+", " ", str(construct.compile(dialect=self._context.dialect))).strip()


def interrupted(connection: Connection) -> list[tuple[str, str, int, str]]:
    """Return the migrations that were begun and not finished: revision, direction, statements done, the next one."""
    if not inspect(connection).has_table(STEPS_TABLE):
        return []
    rows = connection.execute(select(STEPS).order_by(STEPS.c.revision, STEPS.c.direction, STEPS.c.number)).all()
    found: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        found.setdefault((row.revision, row.direction), []).append(row)
    return [
        (revision, direction, sum(row.done for row in steps), next((r.statement for r in steps if not r.done), ""))
        for (revision, direction), steps in found.items()
    ]


def _read(connection: Connection, revision: str, direction: str) -> dict[int, tuple[str, bool]]:
    if not inspect(connection).has_table(STEPS_TABLE):
        return {}
    rows = connection.execute(select(STEPS).where(STEPS.c.revision == revision, STEPS.c.direction == direction)).all()
    return {row.number: (row.statement, bool(row.done)) for row in rows}


def _is_already_done(exc: DBAPIError, dialect: str) -> bool:
    name = {"mariadb": "mysql"}.get(dialect, dialect)
    arguments: tuple[object, ...] = getattr(exc.orig, "args", ()) or (None,)
    code: object = arguments[0]
    if name == "postgresql":
        code = getattr(exc.orig, "sqlstate", None)
    elif name == "oracle":
        code = getattr(code, "code", None)
    return code in _ALREADY.get(name, set())
