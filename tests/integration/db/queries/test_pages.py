"""Pages of compiled queries: by number, and by cursors that stay right while rows come and go."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Select, select

from quintet import Struct
from quintet.db import QueryError, query
from quintet.errors import BadRequest
from tests.integration.db.queries import queries as q


@query
def ranked(least: int = 0) -> Select[q.Thing]:
    return select(q.Thing).where(q.Thing.rank >= least).order_by(q.Thing.rank.desc(), q.Thing.name)


class Ranked(Struct):
    id: int
    rank: int


@query(into=Ranked)
def ranked_structs() -> Any:
    return select(q.Thing.id, q.Thing.rank).order_by(q.Thing.rank)


@query
def noted() -> Select[q.Thing]:
    return select(q.Thing).order_by(q.Thing.note)


@query
def named() -> Select[str]:
    return select(q.Thing.name).order_by(q.Thing.rank)


async def test_pages_by_number_know_the_total(sessions: Any) -> None:
    async with sessions("read") as db:
        first = await db.page(q.things(), page=1, size=2)
        assert ([t.id for t in first.items], first.total, first.page, first.size) == ([1, 2], 5, 1, 2)
        assert [t.id for t in (await db.page(q.things(), page=3, size=2)).items] == [5]
        assert [h.id for h in (await db.page(q.heads(2), page=1, size=2)).items] == [2, 3]
        assert (await db.page(q.found(rank=1), size=1)).total == 2
        with pytest.raises(ValueError, match="pages are numbered from 1"):
            await db.page(q.things(), page=0)


async def test_cursors_lead_through_every_row_once_while_rows_are_added(sessions: Any) -> None:
    async with sessions() as db:
        expected = [t.id for t in await db.many(ranked())]
        seen: list[int] = []
        part = await db.after(ranked(), size=2)
        while True:
            seen += [t.id for t in part.items]
            await db.change(q.add(f"later {len(seen)}", 9))  # sorts before everything
            if part.next is None:
                break
            part = await db.after(ranked(), part.next, size=2)
        assert seen == expected
        assert len(part.items) == 1


async def test_cursors_of_structs_use_their_fields(sessions: Any) -> None:
    async with sessions("read") as db:
        first = await db.after(ranked_structs(), size=3)
        second = await db.after(ranked_structs(), first.next, size=3)
        assert [r.rank for r in (*first.items, *second.items)] == [0, 1, 1, 2, 2]
        assert second.next is None


async def test_a_cursor_of_another_list_is_a_bad_request(sessions: Any) -> None:
    async with sessions("read") as db:
        other = await db.after(ranked_structs(), size=1)
        with pytest.raises(BadRequest):
            await db.after(ranked(), other.next)


async def test_an_order_that_cursors_cannot_follow_is_refused(sessions: Any) -> None:
    async with sessions("read") as db:
        with pytest.raises(QueryError, match="may be NULL"):
            await db.after(noted())
        with pytest.raises(QueryError, match="not among its results"):
            await db.after(named(), size=1)
