"""A statement compiled for one dialect: its SQL, how values become arguments, and what its rows are.

Everything here is decided once, at the first use of a query on a database. What cannot be compiled ahead has a plan
too: one that says why, and is run by SQLAlchemy.
"""

from __future__ import annotations

import datetime
import decimal
import logging
import re
import typing
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import types as sa
from sqlalchemy.orm import with_loader_criteria
from sqlalchemy.sql.dml import Delete, Insert, Update, UpdateBase
from sqlalchemy.sql.elements import Extract
from sqlalchemy.sql.selectable import CompoundSelect, Select, SelectBase
from sqlalchemy.sql.visitors import iterate

from quintet.db.queries.arguments import Arguments, build_arguments
from quintet.db.queries.errors import QueryError
from quintet.db.queries.parameter import ParameterBind
from quintet.db.queries.shape import Shape, Unsupported, build_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.sql.base import Executable
    from sqlalchemy.sql.compiler import SQLCompiler

    from quintet.db.queries.define import QueryFunction

__all__ = ["Plan", "build_plan"]

log = logging.getLogger("quintet.db")

#: Functions whose effect stays with the connection: the next user of a pooled connection must not inherit it.
_STICKY = re.compile(
    r"\b(pg_(try_)?advisory_|set_config|setval|get_lock|release_(all_)?locks?|dblink)\w*\s*\(", re.IGNORECASE
)
_STATEMENTS: tuple[type[Any], ...] = (Select, CompoundSelect, Insert, Update, Delete)
_DATE_PART = re.compile(r"[A-Za-z_]{1,20}\Z")
#: Options of a statement that change how SQLAlchemy itself would run it.
_OWN_OPTIONS = frozenset({"autoflush", "compiled_cache", "identity_token", "is_delete_using", "is_update_from",
                          "populate_existing", "schema_translate_map", "stream_results", "synchronize_session",
                          "yield_per", "isolation_level"})  # fmt: skip


@dataclass(slots=True, eq=False)
class Plan:
    """How one variant of a query runs on one database."""

    query: QueryFunction[..., Any]
    pattern: int
    statement: Executable
    #: Why SQLAlchemy runs it; None when it is compiled.
    fallback: str | None = None
    #: The SQL with placeholders of the driver; lists of `in_()` stand as one mark each.
    sql: str = ""
    #: It changes nothing and locks nothing, and may run without a transaction.
    reads: bool = False
    arguments: Arguments | None = None
    shape: Shape | None = None
    #: An entity of an ORM statement that writes: objects in the session would have to be synchronised.
    writes_entities: bool = False
    #: Its results are entities, which the session keeps.
    tracks: bool = False
    #: Bind names of each parameter, for SQLAlchemy to run the statement itself.
    names: dict[str, int] = field(default_factory=dict[str, int])
    #: SQLite: it went over its budget of steps and runs in the connection's thread from now on.
    scans: bool = False
    #: Rows to objects, made at the first run, when the driver's column types are known.
    decode: Callable[..., Any] | None = None
    #: What the driver said of the columns, for making it.
    described: Sequence[Any] | None = None
    #: How often it ran, and how long in all, in nanoseconds.
    runs: int = 0
    spent: int = 0

    @property
    def repeats(self) -> bool:
        """Whether a driver may run it once for each of many sets of values: it writes, and gives nothing back."""
        if self.fallback is not None or self.shape is None or self.arguments is None:
            return False
        return not self.reads and not self.shape.types and self.arguments.fixed is not None

    def named(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """Return the values by bind name, as SQLAlchemy takes them."""
        return {name: values[position] for name, position in self.names.items()}


def build_plan(query: QueryFunction[..., Any], pattern: int, dialect: Dialect) -> Plan:
    """Compile one variant of a query for a dialect.

    Raises:
        QueryError: the query is wrong on any database.
    """
    statement: Any = query.build_statement(pattern)
    _check_date_parts(query, statement)
    plan = Plan(query, pattern, statement)
    visible = _visible(statement)
    compiled: SQLCompiler = visible.compile(dialect=dialect)
    if _give_types(query, compiled):
        compiled = visible.compile(dialect=dialect)
    plan.sql = compiled.string
    plan.names = {str(b.key): b.position for b in compiled.binds.values() if isinstance(b, ParameterBind)}
    plan.reads = _reads(statement)
    plan.writes_entities = isinstance(statement, UpdateBase) and "compile_state_plugin" in getattr(
        statement, "_propagate_attrs", {}
    )
    try:
        _refuse_options(statement, plan.sql, hides=visible is not statement)
        plan.shape = build_shape(query, statement, compiled)
        plan.tracks = plan.shape.fields is None and bool(plan.shape.entities)
        plan.arguments = build_arguments(compiled, dialect)
    except Unsupported as reason:
        plan.fallback = str(reason)
        log.info("query %s is run by SQLAlchemy: %s", query.name, plan.fallback)
    return plan


def _visible(statement: Any) -> Any:
    """Return a select without rows that are deleted and kept: what sessions add to each statement that they run."""
    if getattr(statement, "_propagate_attrs", {}).get("compile_state_plugin") != "orm" or not hasattr(
        statement, "_order_by_clauses"
    ):
        return statement
    from quintet.db.mixins import SoftDelete

    if not SoftDelete.__subclasses__() or statement.get_execution_options().get("include_deleted", False):
        return statement
    criteria = with_loader_criteria(SoftDelete, lambda cls: cls.deleted_at.is_(None), include_aliases=True)
    return statement.options(criteria)


def _check_date_parts(query: QueryFunction[..., Any], statement: Any) -> None:
    for element in iterate(statement):
        if not isinstance(element, Extract):
            continue
        part: Any = element.field
        if not isinstance(part, str) or not _DATE_PART.match(part):
            raise QueryError(
                f"query {query.name}: extract() was given {part!r} as its date part, which is a word of SQL, written"
                " once when the query is built, and cannot be bound; write year, month, day, hour, … literally"
            )


def _reads(statement: Any) -> bool:
    if not isinstance(statement, SelectBase):
        return False
    if getattr(statement, "_for_update_arg", None) is not None:
        return False
    return not any(
        isinstance(e, UpdateBase) or getattr(e, "_for_update_arg", None) is not None for e in iterate(statement)
    )


def _refuse_options(statement: Any, sql: str, *, hides: bool) -> None:
    if not isinstance(statement, _STATEMENTS):
        raise Unsupported(f"{type(statement).__name__} is not a select, insert, update or delete")
    if hides and not hasattr(statement, "_raw_columns"):
        raise Unsupported("it joins selects of models, and some model keeps what is deleted")
    if getattr(statement, "_with_options", ()):
        raise Unsupported("it has loader options (selectinload, joinedload, load_only, …)")
    options = getattr(statement, "_execution_options", {})
    found = sorted(_OWN_OPTIONS.intersection(options))
    if found:
        raise Unsupported(f"it has execution options ({', '.join(found)})")
    sticky = _STICKY.search(sql)
    if sticky:
        raise Unsupported(f"{sticky[0].rstrip('( ')} leaves something behind on its connection")


_PYTHON_TYPES: dict[Any, sa.TypeEngine[Any]] = {
    str: sa.String(), int: sa.Integer(), float: sa.Float(), bool: sa.Boolean(), bytes: sa.LargeBinary(),
    decimal.Decimal: sa.Numeric(), datetime.datetime: sa.DateTime(timezone=True), datetime.date: sa.Date(),
    datetime.time: sa.Time(), datetime.timedelta: sa.Interval(), uuid.UUID: sa.Uuid(),
}  # fmt: skip


def _give_types(query: QueryFunction[..., Any], compiled: SQLCompiler) -> bool:
    """Give the types of annotations to parameters that no column gave a type (`func.lower(text)`, `limit(n)`)."""
    untyped = [b for b in compiled.binds.values() if isinstance(b, ParameterBind) and b.type._isnull]  # pyright: ignore[reportPrivateUsage]
    if not untyped:
        return False
    try:
        hints = typing.get_type_hints(query.function)
    except (NameError, TypeError, AttributeError):
        return False
    names = list(query.signature.parameters)
    changed = False
    for bind in untyped:
        if bind.position >= len(names):
            continue
        found = _PYTHON_TYPES.get(_plain(hints.get(names[bind.position])))
        if found is not None:
            bind.type = found
            changed = True
    return changed


def _plain(hint: Any) -> Any:
    """Return the class inside `Annotated`, `T | None` and `list[T]`."""
    args = [a for a in typing.get_args(hint) if a is not type(None)]
    return _plain(args[0]) if args else hint
