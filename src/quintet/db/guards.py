"""What SQLAlchemy lets pass in silence: names put into SQL and JSON paths as they are, commits that save nothing."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect, Engine, ExceptionContext
from sqlalchemy.exc import CompileError, PendingRollbackError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import Extract

from quintet.db.errors import Unstorable
from quintet.db.postgres import LEFT, leaves
from quintet.db.sqlite import MODE
from quintet.db.wildcards import match_literally

_NAME = re.compile(r"[A-Za-z_]+")


@compiles(Extract)
def _extract(element: Extract, compiler: Any, **options: Any) -> str:
    if _NAME.fullmatch(element.field) is None:
        raise CompileError(f"{element.field!r} is no part of a date; name one, as in extract('year', column)")
    return compiler.visit_extract(element, **options)


def guard_dialect(dialect: Dialect) -> None:
    """Let no text leave its place: `column[key]` asks for that key of JSON, whatever is in it, and so does `contains`.

    SQLite and MySQL take `$."key"`, in which SQLAlchemy escapes nothing.
    """
    match_literally(dialect)
    if dialect.name not in ("sqlite", "mysql", "mariadb"):
        return
    colspecs: Any = dialect.colspecs
    quote = _escape if dialect.name != "sqlite" else _refuse
    for kind in (sa.JSON.JSONIndexType, sa.JSON.JSONPathType):
        known: Any = colspecs[kind]
        guarded = type(known.__name__, (known,), {"_format_value": _format(known, quote)})
        colspecs = {**colspecs, kind: guarded}
    setattr(dialect, "colspecs", colspecs)  # noqa: B010 - that of this dialect alone


_READ_ONLY = {"postgresql_readonly": True}


class GuardedConnection(Connection):
    """A connection to PostgreSQL that refuses to commit a transaction in which a statement failed.

    PostgreSQL would roll back and report success. It is marked where a statement leaves something behind on it, and
    reads only where it is for reading.

    PERF: methods of the connection, since an engine with listeners asks for them at every turn; so would one with
    options of its own that SQLAlchemy gives to each connection.
    """

    #: What the statement said that failed in this transaction.
    failed: str | None = None

    def __init__(self, *values: Any, **options: Any) -> None:
        super().__init__(*values, **options)
        if self._execution_options.get(MODE) == "read":
            self.dialect.set_connection_execution_options(self, _READ_ONLY)

    def _begin_impl(self, transaction: Any) -> None:
        self.failed = None
        super()._begin_impl(transaction)

    def _commit_impl(self) -> None:
        said, self.failed = self.failed, None
        if said is not None and not self.invalidated and self.get_execution_options().get(MODE) != "read":
            self.dialect.do_rollback(self.connection)  # which SQLAlchemy leaves out behind a commit
            raise PendingRollbackError(
                "This transaction cannot be committed, for a statement in it failed; roll it back, or run a statement "
                f"that may fail inside `savepoint()`. The error was: {said}"
            )
        super()._commit_impl()

    def _exec_single_context(self, dialect: Any, context: Any, statement: Any, parameters: Any) -> Any:
        if leaves(context.statement):
            self.info[LEFT] = True
        return super()._exec_single_context(dialect, context, statement, parameters)

    def _rollback_impl(self) -> None:
        self.failed = None
        super()._rollback_impl()

    def _rollback_to_savepoint_impl(self, name: str) -> None:
        self.failed = None
        super()._rollback_to_savepoint_impl(name)


def watch_failures(engine: Engine) -> None:
    """Refuse to commit a transaction in which a statement failed, on every connection of an engine."""

    def failed(context: ExceptionContext) -> None:
        connection: Any = context.connection
        if connection is not None and not context.is_disconnect and not connection.invalidated:
            connection.failed = str(context.original_exception)

    event.listen(engine, "handle_error", failed)
    engine._connection_cls = GuardedConnection  # pyright: ignore[reportPrivateUsage] - of this engine alone


class LeavingConnection(Connection):
    """A connection to MariaDB that is closed where its stream was left.

    Drivers would read all the rest before the rollback.
    """

    def _rollback_impl(self) -> None:
        if not self.invalidated and not self.closed:
            result: Any = getattr(self.connection.driver_connection, "_result", None)
            if getattr(result, "unbuffered_active", False):
                self.invalidate()
        super()._rollback_impl()


def _format(known: Any, quote: Any) -> Any:
    def format_value(self: Any, value: Any) -> Any:
        if isinstance(value, str):
            value = quote(value)
        elif isinstance(value, list | tuple):
            value = [quote(part) if isinstance(part, str) else part for part in value]  # pyright: ignore[reportUnknownVariableType]
        return known._format_value(self, value)

    return format_value


def _escape(key: str) -> str:
    return key.replace("\\", "\\\\").replace('"', '\\"')


def _refuse(key: str) -> str:
    """SQLite has no way to write a quote inside a key.

    Raises:
        Unstorable: there is one.
    """
    if '"' in key:
        raise Unstorable("a key with a quote cannot be looked for in JSON by SQLite")
    return key
