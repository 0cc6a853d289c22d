"""Running migrations: Alembic's environment, inside the package.

Every revision runs in a step of its own: the state is read, one revision is applied and recorded, and, where the
database can, all of it is one transaction. Whatever ends a step, the next run begins from what the database says.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from quintet.db.migrations.connection import TRANSACTIONAL, connect
from quintet.db.migrations.files import History, name_of
from quintet.db.migrations.journal import Journal, interrupted
from quintet.db.migrations.lock import exclusive
from quintet.db.migrations.operations import Operations
from quintet.db.migrations.target import MigrationError, MigrationTarget

#: Told what happens, a line at a time.
Report = Callable[[str], None]
#: Chooses the steps that lead from some heads to where one wants to be.
Plan = Callable[[History, Sequence[str]], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """A migration that was begun and not finished."""

    revision: str
    direction: str
    #: How many of its statements are done.
    done: int
    #: The statement that may or may not have taken effect.
    statement: str

    def __str__(self) -> str:
        at = f", and may have done: {self.statement}" if self.statement else ""
        return f"{self.direction}grade of {self.revision} was interrupted: {self.done} statements are done{at}"


@dataclass(frozen=True, kw_only=True)
class State:
    """What a database says of its migrations."""

    #: The revisions it is at.
    heads: tuple[str, ...]
    #: The revisions it does not have yet, in their order.
    pending: tuple[Script, ...]
    #: What was begun and not finished.
    interrupted: tuple[Interruption, ...]


def _quiet(_line: str) -> None:
    pass


def upgrade(
    target: MigrationTarget, revision: str = "heads", *, report: Report = _quiet, record_only: bool = False
) -> list[str]:
    """Apply what a database lacks up to a revision; return what was applied.

    Args:
        target: what is migrated.
        revision: where to stop.
        report: told what happens.
        record_only: note the revisions as applied and run nothing, for a database that has their tables already.

    Raises:
        MigrationError: there are several heads, another process holds the lock, or a lock of the site's is not freed.
    """
    return _run(target, revision, up=True, report=report, record_only=record_only)


def downgrade(target: MigrationTarget, revision: str, *, report: Report = _quiet) -> list[str]:
    """Take revisions back down to one, which stays, or to `base`; return what was taken back."""
    return _run(target, revision, up=False, report=report)


def state(target: MigrationTarget) -> State:
    """Return what a database says of its migrations."""
    with connect(target, reading=True) as connection:
        heads = heads_of(connection, target)
        broken = tuple(
            Interruption(revision=r, direction=d, done=n, statement=s) for r, d, n, s in interrupted(connection)
        )
    history = History(target, heads)
    applied = history.applied(heads)
    missing = tuple(s for s in history.ordered() if s.revision not in applied)
    return State(heads=heads, pending=missing, interrupted=broken)


def pending(target: MigrationTarget) -> list[str]:
    """Return the names of the revisions that a database lacks."""
    return [name_of(script) for script in state(target).pending]


def heads_of(connection: Connection, target: MigrationTarget) -> tuple[str, ...]:
    """Return the revisions that a database is at."""
    context = MigrationContext.configure(connection, opts={"version_table": target.version_table})
    return context.get_current_heads()


def sql(target: MigrationTarget, start: str, end: str, *, up: bool = True) -> str:
    """Return the SQL that leads from one revision to another.

    Most databases need not be there for it. SQLite's tables are rebuilt from what they are, so there the revisions run
    on a database in a temporary folder, and what they send is written down.
    """
    history = History(target)
    if target.dialect == "sqlite":
        return _rehearse(target, history.resolve(start), history.resolve(end), up=up)
    out = io.StringIO()
    options = {"as_sql": True, "output_buffer": out, "literal_binds": True}
    begin = None if start == "base" else history.resolve(start)
    context = configure(
        None, target, _steps(history.resolve(end), up=up), **options, starting_rev=begin, script=history.directory
    )
    with context.begin_transaction():
        context.run_migrations(op=Operations(context))
    return out.getvalue()


def _rehearse(target: MigrationTarget, start: str, end: str, *, up: bool) -> str:
    lines: list[str] = []

    def note(statement: str, parameters: Any) -> None:
        word = statement.split(None, 1)[0].upper()
        if word not in {"SELECT", "PRAGMA", "BEGIN"}:
            values = f"  -- {parameters!r}" if parameters else ""
            lines.append(f"{statement.strip()};{values}\n")

    with tempfile.TemporaryDirectory() as folder:
        trial = replace(target, url=f"sqlite:///{folder}/trial.db", engine_options={})
        if start != "base":
            upgrade(trial, start)
        _run(trial, end, up=up, report=lambda line: lines.append(f"-- {line}\n"), note=note)
    return "\n".join(lines)


def configure(
    connection: Connection | None, target: MigrationTarget, plan: Plan | None, **more: Any
) -> MigrationContext:
    """Return Alembic's context for a target."""

    def choose(heads: Any, context: MigrationContext) -> Iterable[Any]:
        return [] if plan is None else [_journaled(step, context) for step in plan(History(target, heads), heads)]

    metadata = target.all_metadata
    options: dict[str, Any] = {
        "version_table": target.version_table,
        "transactional_ddl": target.dialect in TRANSACTIONAL,
        "transaction_per_migration": connection is None,
        "target_metadata": metadata,
        "fn": choose,
        **more,
    }
    if connection is not None:
        return MigrationContext.configure(connection, opts=options)
    name: str = options.pop("dialect", target.dialect)
    return MigrationContext.configure(dialect_name={"mariadb": "mysql"}.get(name, name), opts=options)


def _journaled(step: Any, context: MigrationContext) -> Any:
    """Run a revision's function through the journal."""
    function = step.migration_fn
    revision, direction = step.revision.revision, "up" if step.is_upgrade else "down"

    def run(op: Operations) -> None:
        op.journal = Journal(context, revision, direction)
        with op.journal.recording():
            function(op)

    run.__name__ = function.__name__
    step.migration_fn = run
    return step


def _steps(revision: str, *, up: bool) -> Plan:
    def plan(history: History, heads: Sequence[str]) -> Iterable[RevisionStep]:
        directory = history.directory
        current: Any = tuple(heads)
        if up:
            return directory._upgrade_revs(revision, current)  # pyright: ignore[reportPrivateUsage]
        return directory._downgrade_revs(revision, current)  # pyright: ignore[reportPrivateUsage]

    return plan


def _run(
    target: MigrationTarget,
    revision: str,
    *,
    up: bool,
    report: Report,
    note: Callable[[str, Any], None] | None = None,
    record_only: bool = False,
) -> list[str]:
    done: list[str] = []
    wait = f"waiting: another process migrates the database {target.name!r}"
    with connect(target) as connection, exclusive(connection, target, lambda: report(wait)):
        history = History(target, heads_of(connection, target))
        connection.rollback()
        if note is not None:

            def noted(_connection: Any, _cursor: Any, what: str, values: Any, *_: Any) -> None:
                note(what, values)

            event.listen(connection, "before_cursor_execute", noted)
        if up:
            history.refuse_forks()
        goal = history.resolve(revision)
        if goal[0] in "+-":
            goal = _absolute(target, connection, goal, up=up)
        plan = _recorded(_steps(goal, up=up)) if record_only else _steps(goal, up=up)
        while (script := _step(connection, target, plan, report=report)) is not None:
            done.append(name_of(script))
    return done


def _absolute(target: MigrationTarget, connection: Connection, goal: str, *, up: bool) -> str:
    """Turn `+2` and `-1` into a revision: each step is chosen anew."""
    heads = heads_of(connection, target)
    connection.rollback()
    steps = list(_steps(goal, up=up)(History(target, heads), heads))
    last = steps[-1]
    return last.revision.revision if up else (last.to_revisions or ("base",))[0]


def _recorded(plan: Plan) -> Plan:
    """Return a plan whose revisions do nothing."""

    def nothing(op: Operations) -> None:
        pass

    def steps(history: History, heads: Sequence[str]) -> Iterable[RevisionStep]:
        for step in plan(history, heads):
            step.migration_fn = nothing
            yield step

    return steps


def _step(connection: Connection, target: MigrationTarget, plan: Plan, *, report: Report) -> Script | None:
    """Apply one revision, and try again where a lock of the site's is in the way."""
    for attempt in range(target.lock_retries + 1):
        chosen: list[RevisionStep] = []
        try:
            _apply(connection, target, plan, chosen, report)
        except OperationalError as exc:
            connection.rollback()
            if not _is_lock_timeout(exc) or attempt == target.lock_retries:
                raise _explain(exc, target, chosen) from exc
            report(f"a lock was not free in {target.lock_timeout:g} s; the site goes first, then again")
            time.sleep(min(2.0**attempt * 0.1, 5.0))
        else:
            return chosen[0].revision if chosen else None
    raise AssertionError("the last attempt returns or raises")


def _apply(
    connection: Connection, target: MigrationTarget, plan: Plan, chosen: list[RevisionStep], report: Report
) -> None:
    def first(history: History, heads: Sequence[str]) -> list[RevisionStep]:
        try:
            found = next(iter(plan(history, heads)), None)
        except CommandError as exc:
            raise MigrationError(str(exc)) from exc
        if found is not None:
            report(f"{'upgrade' if found.is_upgrade else 'downgrade'} {name_of(found.revision)}")
            chosen.append(found)
        return chosen

    context = configure(connection, target, first)
    with context.begin_transaction():
        broken = _broken_references(connection, target)
        context.run_migrations(op=Operations(context))
        new = _broken_references(connection, target) - broken
        if new:
            tables = ", ".join(sorted({f"{table} → {other}" for table, _row, other, _key in new}))
            raise MigrationError(f"after {name_of(chosen[0].revision)} rows refer to rows that are not there: {tables}")
    connection.commit()


def _broken_references(connection: Connection, target: MigrationTarget) -> set[tuple[Any, ...]]:
    """SQLite's foreign keys are off while tables are rebuilt, so they are checked before and after."""
    if target.dialect != "sqlite":
        return set()
    return {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}


def _is_lock_timeout(exc: OperationalError) -> bool:
    if getattr(exc.orig, "sqlstate", None) == "55P03":
        return True
    return bool(exc.orig and exc.orig.args and exc.orig.args[0] == 1205)


def _explain(exc: OperationalError, target: MigrationTarget, chosen: Collection[RevisionStep]) -> Exception:
    if not _is_lock_timeout(exc):
        return exc
    name = name_of(next(iter(chosen)).revision) if chosen else "the migration"
    return MigrationError(
        f"{name} found a table locked {target.lock_retries + 1} times, {target.lock_timeout:g} s each\n"
        f"    fix: end the long transaction that holds it, or raise lock_timeout and lock_retries; "
        f"what was done is kept or taken back, so run this again"
    )
