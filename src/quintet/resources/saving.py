"""How new rows are saved so that what a constraint says names the row, and the nested item, that it is about.

The databases do not say which of several rows was wrong. Those of a failed creation are therefore saved again, one by
one, up to the one that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import RelationshipDirection

from quintet.db.shapes import nested_inputs
from quintet.db.translate import answer_to
from quintet.errors import FieldError, ValidationError

#: Where something stands in the body: names of fields and indices of lists.
Way: TypeAlias = "tuple[str | int, ...]"
#: What attaches a row to the others, the row, and its way.
_Step: TypeAlias = "tuple[list[Callable[[], None]], Any, Way]"


async def save_together(db: Any, rows: Sequence[Any]) -> None:
    """Save new rows with as few statements as there can be.

    Raises:
        ValidationError: what a constraint says, with the row's index.
    """
    try:
        async with db.savepoint():
            db.add_all(rows)
            await db.flush()
    except DBAPIError as error:
        if answer_to(error, db.sync_session) is None:
            raise
    else:
        return
    for index, row in enumerate(rows):
        await save(db, row, (index,))


async def save(db: Any, row: Any, way: Way = ()) -> None:
    """Save a new row and what came along with it.

    Raises:
        ValidationError: what a constraint says, with the way to the row and to the nested item.
    """
    if not _relations(row):
        await _save_one(db, row, way)
        return
    try:
        async with db.savepoint():
            db.add(row)
            await db.flush()
    except DBAPIError as error:
        answer = answer_to(error, db.sync_session)
        if not isinstance(answer, ValidationError):
            raise
        for attach, one, its_way in _take_apart(row, way, _nothing):
            for work in attach:
                work()
            await _save_one(db, one, its_way)
        raise answer from error  # apart they can be saved: what was in the way has gone


def _take_apart(row: Any, way: Way, attach: Callable[[], None]) -> list[_Step]:
    """Detach what a row brings along, and return how to save all of it one by one; what a row refers to goes first."""
    before: list[_Step] = []
    after: list[_Step] = []
    own = [attach]
    for name, relation in _relations(row).items():
        value: Any = getattr(row, name)
        if isinstance(value, list):
            items = list(cast("list[Any]", value))
            setattr(row, name, [])
            for index, item in enumerate(items):
                after += _take_apart(
                    item, (*way, name, index), lambda name=name, item=item: getattr(row, name).append(item)
                )
        elif value is not None:
            setattr(row, name, None)
            back = partial(setattr, row, name, value)
            if relation.direction is RelationshipDirection.MANYTOONE:
                before += _take_apart(value, (*way, name), _nothing)
                own.append(back)
            else:
                after += _take_apart(value, (*way, name), back)
    return [*before, (own, row, way), *after]


def _nothing() -> None:
    """Attach a row that others will refer to."""


def _relations(row: Any) -> dict[str, Any]:
    """Return the relations in which a row brings others along, by name."""
    model: Any = row.__class__
    return {name: model.__mapper__.relationships[name] for name in nested_inputs(model)}


async def _save_one(db: Any, row: Any, way: Way) -> None:
    db.add(row)
    try:
        await db.flush()
    except DBAPIError as error:
        answer = answer_to(error, db.sync_session)
        if way and isinstance(answer, ValidationError):
            raise _at(answer, way) from error
        raise


def _at(error: ValidationError, way: Way) -> ValidationError:
    errors = [
        FieldError(loc=(e.loc[0], *way, *e.loc[1:]), msg=e.msg, code=e.code, ctx=e.ctx)
        for e in error.errors or [FieldError(loc=("body",), msg=error.detail or "This exists already.", code="taken")]
    ]
    return type(error)(errors)
