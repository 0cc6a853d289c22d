"""What many models share: the times of a row, deletion that keeps it, and a counter that finds lost updates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.orm import (
    LoaderCriteriaOption,
    Mapped,
    ORMExecuteState,
    RelationshipDirection,
    RelationshipProperty,
    declared_attr,
    with_loader_criteria,
)

from quintet.db.columns import column
from quintet.db.mistakes import mistakes_of
from quintet.db.model import Model
from quintet.db.session import SyncSession


def utc_now() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)


class Timestamps(Model):
    """When a row was made and when it was changed last: `class Article(Timestamps, Model)`."""

    __abstract__ = True
    created_at: Mapped[datetime] = column(default=utc_now, input=False)
    updated_at: Mapped[datetime] = column(default=utc_now, onupdate=utc_now, input=False)


class SoftDelete(Model):
    """Rows that stay when they are deleted: `db.delete` sets their time, and selects of the ORM leave them out.

    `select(…).execution_options(include_deleted=True)` finds them. A row that refers to one keeps it: `selectinload` of
    a `belongs_to` loads it, that of a collection does not. Core statements and queries written as text know nothing of
    this.
    """

    __abstract__ = True
    deleted_at: Mapped[datetime | None] = column(default=None, index=True, private=True)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # PERF: from the first such model on, since any listener costs each statement of the ORM some 5 µs.
        if not event.contains(SyncSession, "do_orm_execute", _leave_out_deleted):
            event.listen(SyncSession, "do_orm_execute", _leave_out_deleted)


class Versioned(Model):
    """Rows with a counter of their changes: who changes one that another has changed meanwhile is answered 409."""

    __abstract__ = True
    version: Mapped[int] = column(default=1, input=False)

    def __init_subclass__(cls, **options: Any) -> None:
        own = cls.__dict__.get("__mapper_args__")
        if isinstance(own, dict) and not hasattr(cls, "__mapper__"):  # it hides what stands below
            cls.__mapper_args__ = {"version_id_col": Versioned.__dict__["version"], **own}
        super().__init_subclass__(**options)
        if hasattr(cls, "__mapper__") and cls.__mapper__.version_id_col is None:
            with mistakes_of(cls, getattr(cls, "__quintet_where__", "")):
                raise TypeError(
                    f"{cls.__name__}.__mapper_args__ hides that of Versioned, so no change would be counted; "
                    'make it a dict, or add "version_id_col": cls.version'
                )

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805 - SQLAlchemy calls it with the class
        return {"version_id_col": cls.version}


@event.listens_for(SyncSession, "before_flush")
def _keep_deleted(session: SyncSession, context: Any, instances: Any) -> None:
    for row in list(session.deleted):
        if isinstance(row, SoftDelete):
            session.add(row)
            row.deleted_at = utc_now()


def _leave_out_deleted(state: ORMExecuteState) -> None:
    options = state.execution_options
    if not state.is_select or state.is_column_load or cast("bool", options.get("include_deleted", False)):
        return
    if _loads_what_a_row_refers_to(state):
        state.statement = _without_criteria(state.statement)
        return
    state.statement = state.statement.options(
        with_loader_criteria(SoftDelete, lambda cls: cls.deleted_at.is_(None), include_aliases=True)
    )


def _without_criteria(statement: Any) -> Any:
    """Return a statement that finds deleted rows too: it has taken over the options of the one that it loads for."""
    own = statement._generate()
    own._with_options = tuple(
        option
        for option in statement._with_options
        if not (isinstance(option, LoaderCriteriaOption) and option.root_entity is SoftDelete)
    )
    return own


def _loads_what_a_row_refers_to(state: ORMExecuteState) -> bool:
    """Tell whether a statement loads the one side of a relation: a ticket keeps its customer, deleted or not."""
    path = state.loader_strategy_path
    steps: Any = path.path if path is not None else ()
    relations: list[Any] = [step for step in steps if isinstance(step, RelationshipProperty)]
    return bool(relations) and relations[-1].direction is RelationshipDirection.MANYTOONE
