"""Errors of a driver as SQLAlchemy raises them, and what a failed statement means for its transaction."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event, exc
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from quintet.db.queries.plan import Plan

__all__ = ["mark_failed", "refuse_failed", "translate", "wrap_arguments"]


def translate(
    engine: Engine, plan: Plan | None, sql: str | None, args: Any, error: Exception, dbapi: Any
) -> tuple[Exception, bool]:
    """Return the error of SQLAlchemy for an error of the DBAPI, and whether the server is gone."""
    dialect = engine.dialect
    base: Any = dialect.loaded_dbapi.Error
    if not isinstance(error, base):
        return error, False
    orig: Any = error
    gone = dialect.is_disconnect(orig, dbapi, None)
    found: Any = exc.DBAPIError.instance(  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        sql,
        args,
        orig,
        base,
        hide_parameters=engine.hide_parameters,
        connection_invalidated=gone,
        dialect=dialect,
    )
    assert isinstance(found, Exception)
    if plan is not None:
        found.add_note(f"in the query {plan.query.name} ({plan.query.where})")
    return found, gone


def wrap_arguments(engine: Engine, plan: Plan, error: Exception) -> Exception:
    """Return the error of SQLAlchemy for a value that its column's type does not take."""
    if isinstance(error, exc.SQLAlchemyError):
        return error
    wrapped = exc.StatementError(str(error), plan.sql, (), error, hide_parameters=engine.hide_parameters)
    wrapped.add_note(f"in the query {plan.query.name} ({plan.query.where})")
    return wrapped


_FAILED = "_quintet_failed"


def mark_failed(session: Session, error: BaseException) -> None:
    """Remember that a statement failed in the session's transaction: it can be rolled back, and not committed.

    PostgreSQL answers the COMMIT of a failed transaction by rolling back, without an error; other databases would
    commit what came before. Here it is an error on all of them.
    """
    session.__dict__[_FAILED] = (session._transaction, error)


@event.listens_for(Session, "before_commit")
def refuse_failed(session: Session) -> None:
    """Raise where a statement failed in the session's transaction and was not rolled back since.

    Raises:
        PendingRollbackError: it names the error.
    """
    failed = session.__dict__.get(_FAILED)
    if failed is None:
        return
    transaction = session._transaction
    while transaction is not None and transaction is not failed[0]:
        transaction = transaction._parent
    if transaction is None:
        # What failed was rolled back since.
        del session.__dict__[_FAILED]
        return
    raise exc.PendingRollbackError(
        "This transaction cannot go on or be committed, for a statement in it failed; roll it back, or run a statement"
        f" that may fail inside `savepoint()`. The error was: {failed[1]}",
        code="7s2a",
    ) from failed[1]
