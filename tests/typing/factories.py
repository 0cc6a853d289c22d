"""What type checkers know of factories and counted queries."""

from __future__ import annotations

from typing import assert_type

from quintet.db import Mapped, Model, QueryEvent, Session, SyncSession, primary_key
from quintet.testing.db import Factory, assert_queries, build, make, make_many


class Shelf(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[str]


async def with_a_session(db: Session) -> None:
    assert_type(await make(db, Shelf, name="A"), Shelf)
    assert_type(await make_many(db, Shelf, 3), list[Shelf])
    assert_type(await Factory(Shelf).make(db), Shelf)


def with_a_sync_session(db: SyncSession) -> None:
    assert_type(make(db, Shelf), Shelf)
    assert_type(make_many(db, Shelf, 3), list[Shelf])
    assert_type(Factory(Shelf, name=lambda n: f"shelf {n}").make_many(db, 2), list[Shelf])
    with assert_queries(1) as ran:
        pass
    assert_type(ran, list[QueryEvent])


def without() -> None:
    assert_type(build(Shelf), Shelf)
    assert_type(Factory(Shelf).build_many(2), list[Shelf])
