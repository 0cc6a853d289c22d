"""Columns that were not loaded: reading one raises with what to add, whoever left it out."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import defer, load_only, mapped_column, undefer

from quintet.db import Database, Mapped, Model, UnloadedRelation, column, primary_key


class Deferring(Model, database="deferring"):
    """The base of these models."""


class Paper(Deferring):
    id: Mapped[int] = primary_key()
    name: Mapped[str]
    ours: Mapped[str | None] = column(default=None, deferred=True)
    theirs: Mapped[str | None] = mapped_column(deferred=True)
    lazy: Mapped[str | None] = mapped_column(deferred=True, deferred_raiseload=False)


def refuses(paper: Paper, name: str) -> None:
    with pytest.raises(UnloadedRelation, match=rf"Paper\.{name} was not loaded.*\.options\(undefer\(Paper\.{name}\)\)"):
        getattr(paper, name)


@pytest.mark.parametrize("options", [(), (defer(Paper.name),), (load_only(Paper.id),)], ids=["plain", "defer", "only"])
async def test_a_column_that_was_not_loaded_raises_with_what_to_add(options: Any) -> None:
    database = Database("sqlite://", name="deferring")
    await database.create_all(Deferring)
    async with database.session() as db:
        db.add(Paper(name="a", ours="b", theirs="c", lazy="d"))
    unloaded = ["ours", "theirs", *(["name"] if options else [])]
    select = sa.select(Paper).options(*options)
    async with database.session() as db:
        paper = await db.one(select)
        for name in [*unloaded, "lazy"]:  # nothing can be fetched without `await`
            refuses(paper, name)
        await db.refresh(paper, ["ours"])
        assert paper.ours == "b"
    async with database.session() as db:
        assert (await db.one(select.options(undefer(Paper.theirs)))).theirs == "c"
    with database.sync_session() as sync:
        paper = sync.one(select)
        for name in unloaded:
            refuses(paper, name)
        assert paper.lazy == "d"
    new = Paper(name="new")
    assert (new.ours, new.theirs) == (None, None)
    await database.dispose()


class Counter(Model, database="expiring"):
    """The base of this model."""


class Tally(Counter):
    id: Mapped[int] = primary_key()
    count: Mapped[int] = column(default=0)


async def test_what_a_rollback_or_an_expression_has_let_go_of_says_so(url: str) -> None:
    database = Database(url, name="expiring")
    await database.create_all()
    try:
        async with database.session() as db:
            tally = Tally()
            db.add(tally)
            await db.commit()
            tally.count = Tally.count + 1  # type: ignore[assignment]
            await db.flush()
            with pytest.raises(
                UnloadedRelation, match=r"Tally\.count is now what the database has made of it"
            ) as caught:
                _ = tally.count
            assert "`await db.refresh(…, ['count'])`" in str(caught.value)
            await db.refresh(tally, ["count"])
            assert tally.count == 1
            await db.rollback()
            with pytest.raises(UnloadedRelation, match="this Tally may have changed: a rollback,") as caught:
                _ = tally.count
            assert "read it again, `await db.refresh(…)`" in str(caught.value)
            assert "undefer" not in str(caught.value)
            await db.refresh(tally)
            assert tally.count == 0
        with database.sync_session() as sync:
            tally = sync.one(sa.select(Tally))
            sync.rollback()
            assert tally.count == 0  # which may wait for it
    finally:
        await database.drop_all()
        await database.dispose()
