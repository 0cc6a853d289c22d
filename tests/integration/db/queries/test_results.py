"""What the verbs give, on every database, in sessions of both kinds."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import exc, inspect, select

from quintet.db import NoRow
from tests.integration.db.queries import queries as q


async def test_queries_of_these_tests_are_compiled(sessions: Any) -> None:
    reads = (q.thing(1), q.found(rank=1), q.among(["x"]), q.heads(), q.names(), q.pairs(), q.with_owners(), q.kinds(1))
    for bound in (*reads, q.count(), q.add("x"), q.add_stamped("x"), q.rename(1, "x"), q.remove(1)):
        assert (await sessions.plan(bound)).fallback is None, bound


async def test_one_gives_an_entity_that_the_session_tracks(sessions: Any) -> None:
    async with sessions() as db:
        found = await db.one(q.thing(3))
        assert (found.id, found.name, found.rank, found.note) == (3, "thing 3", 0, None)
        assert inspect(found).persistent
        assert await db.get(q.Thing, 3) is found
        found.name = "changed"
    async with sessions() as db:
        assert (await db.one(q.thing(3))).name == "changed"


async def test_one_refuses_no_row_and_several_first_gives_none_or_the_first(sessions: Any) -> None:
    async with sessions() as db:
        with pytest.raises(NoRow, match="there is no such Thing"):
            await db.one(q.thing(99))
        with pytest.raises(exc.MultipleResultsFound, match="query things: 5 rows where one was expected"):
            await db.one(q.things())
        assert await db.first(q.thing(99)) is None
        assert (await db.first(q.things())).id == 1


async def test_optional_parameters_choose_among_variants(sessions: Any) -> None:
    async with sessions() as db:
        assert [t.id for t in await db.many(q.found(rank=1))] == [1, 4]
        assert [t.id for t in await db.many(q.found("thing 4", 1))] == [4]
        assert await db.many(q.found("thing 4", 2)) == []
        assert await db.many(q.found("thing 4")) == []


async def test_in_expands_with_each_call(sessions: Any) -> None:
    async with sessions() as db:
        for wanted in ([], [1], [1, 2, 3], [5, 2]):
            found = await db.many(q.among([f"thing {n}" for n in wanted]))
            assert [t.id for t in found] == sorted(wanted)
        assert [t.id for t in await db.many(q.among(["thing 1", "thing 2"], rank=2))] == [2]


async def test_structs_values_and_tuples_do_not_touch_the_session(sessions: Any) -> None:
    async with sessions() as db:
        assert (await db.many(q.heads(4))) == [q.Head(id=4, name="thing 4"), q.Head(id=5, name="thing 5")]
        assert (await db.many(q.names()))[:2] == ["thing 1", "thing 2"]
        assert (await db.many(q.pairs()))[:2] == [(1, "thing 1"), (2, "thing 2")]
        assert await db.one(q.count()) == 5
        assert len(db.inner.identity_map) == 0


async def test_several_entities_come_as_tuples_and_missing_ones_as_none(sessions: Any) -> None:
    async with sessions() as db:
        found = await db.many(q.with_owners())
        assert [(t.id, o.name if o else None) for t, o in found] == [
            (1, "Ada"), (2, "Ada"), (3, None), (4, None), (5, None)
        ]  # fmt: skip
        assert found[0][1] is found[1][1]


async def test_an_instance_that_the_session_has_keeps_its_changes_and_fills_what_is_expired(sessions: Any) -> None:
    async with sessions() as db:
        known = await db.get(q.Thing, 1)
        table = q.Thing.__table__
        await db.execute(table.update().where(table.c.id == 1).values(name_of_thing="behind its back"))
        assert (await db.one(q.thing(1))) is known
        assert known.name == "thing 1"
        db.inner.expire(known)
        assert (await db.one(q.thing(1))) is known
        assert known.name == "behind its back"
        assert not inspect(known).expired
        await db.rollback()


async def test_every_type_comes_back_as_it_was_given(sessions: Any) -> None:
    async with sessions() as db:
        found = await db.one(q.kinds(1))
        assert {name: getattr(found, name) for name in q.ROW} == q.ROW
        empty = await db.one(q.kinds(2))
        assert {getattr(empty, name) for name in q.ROW} == {None}


async def test_writes_return_the_number_of_rows(sessions: Any) -> None:
    async with sessions() as db:
        assert await db.change(q.add("new", 7)) == 1
        assert await db.change(q.rename(1, "renamed")) == 1
        assert await db.change(q.rename(99, "renamed too")) == 0
        assert await db.change(q.remove(4)) >= 3
        assert await db.change(q.add_stamped("x")) == 1
    async with sessions() as db:
        assert await db.many(q.names()) == ["renamed", "thing 2", "thing 3"]
        stamped = (await db.execute(select(q.Stamped))).scalars().one()
        assert (stamped.name, stamped.state, stamped.id.version) == ("x", "new", 7)


async def test_what_cannot_be_compiled_is_run_by_sqlalchemy_and_says_why(sessions: Any) -> None:
    async with sessions() as db:
        found = await db.many(q.owners_with_things())
        assert [[t.id for t in o.things] for o in found] == [[1, 2]]
    assert "loader options" in (await sessions.plan(q.owners_with_things())).fallback


async def test_a_stream_gives_every_row_once(sessions: Any) -> None:
    async with sessions("read") as db:
        assert [t.id async for t in db.stream(q.things(), batch=2)] == [1, 2, 3, 4, 5]
        assert [h.name async for h in db.stream(q.heads(), batch=2)] == [f"thing {n}" for n in range(1, 6)]
        assert [o.name async for o in db.stream(q.owners_with_things(), batch=2)] == ["Ada"]
