"""The first and the last date that Python has are dates like others, whichever driver writes and reads them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import Column, Date, DateTime, MetaData, Select, Table, insert, select, text
from sqlalchemy.dialects.postgresql import ARRAY, DATERANGE, Range
from sqlalchemy.exc import SQLAlchemyError

from quintet import App, New
from quintet.db import Database, Mapped, Model, Session, SyncSession, primary_key, query
from quintet.testing import AsyncClient


class Terms(Model, database="default"):
    """The base of these models."""


class Term(Terms):
    id: Mapped[int] = primary_key()
    day: Mapped[date]
    moment: Mapped[datetime]


#: What PostgreSQL alone has.
SEASON = Table(
    "season", MetaData(), Column("local", DateTime()), Column("days", ARRAY(Date)), Column("span", DATERANGE)
)  # fmt: skip
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
EARLY = {"day": "0001-01-01", "moment": "0001-01-01T00:00:00Z"}
LATE = {"day": "9999-12-31", "moment": "9999-12-31T23:59:59.999999Z"}
#: A date of its own zone has another year there.
ZONES = ("UTC", "Europe/Berlin", "America/New_York")


@query
def all_terms() -> Select[Term]:
    return select(Term).order_by(Term.day, Term.id)


@query
def terms_at(day: date, moment: datetime) -> Select[int]:
    return select(Term.id).where(Term.day == day, Term.moment == moment)


def make_app(database: Database) -> App:
    app = App(plugins=[database], docs=False)

    @app.post("/term")
    async def add(data: New[Term], db: Session) -> Term:
        db.add(data)
        return data

    @app.post("/sync/term")
    def add_sync(data: New[Term], db: SyncSession) -> Term:
        db.add(data)
        return data

    @app.get("/terms")
    async def terms(db: Session) -> list[Term]:
        return await db.many(select(Term).order_by(Term.day, Term.id))

    @app.get("/sync/terms")
    def terms_sync(db: SyncSession) -> list[Term]:
        return db.many(select(Term).order_by(Term.day, Term.id))

    @app.get("/compiled")
    async def compiled(db: Session) -> list[Term]:
        return await db.many(all_terms())

    @app.get("/sync/compiled")
    def compiled_sync(db: SyncSession) -> list[Term]:
        return db.many(all_terms())

    @app.get("/at")
    async def at(day: date, moment: datetime, db: Session) -> list[int]:
        return await db.many(terms_at(day, moment))

    @app.get("/sync/at")
    def at_sync(day: date, moment: datetime, db: SyncSession) -> list[int]:
        return db.many(terms_at(day, moment))

    return app


@pytest.fixture
async def terms(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    await database.drop_all(Terms)
    await database.create_all(Terms)
    yield database
    await database.dispose()


async def test_the_first_and_the_last_date_come_back_and_are_found(terms: Database) -> None:
    async with AsyncClient(make_app(terms)) as client:
        shown: list[Any] = []
        for value in (EARLY, LATE):
            for path in ("/term", "/sync/term"):
                made = await client.post(path, json=value)
                assert made.status_code == 200, made.text
                shown.append({"id": len(shown) + 1, **value})
                assert made.json() == shown[-1]
        for path in ("/terms", "/sync/terms", "/compiled", "/sync/compiled"):
            assert (await client.get(path)).json() == shown, path
        for path in ("/at", "/sync/at"):
            assert (await client.get(path, params=EARLY)).json() == [1, 2], path
            assert (await client.get(path, params=LATE)).json() == [3, 4], path
    async with terms.session("read") as db:
        (count,) = (
            await db.execute(text("SELECT count(*) FROM term WHERE day BETWEEN '0001-01-01' AND '9999-12-31'"))
        ).one()
        assert count == 4


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
async def test_the_infinity_of_older_rows_is_read_as_the_last_date(postgres_url: str, scheme: str, zone: str) -> None:
    database = Database(postgres_url.replace("postgresql", scheme, 1))
    await database.drop_all(Terms)
    await database.create_all(Terms)
    set_zone = text(f"SET LOCAL TIME ZONE '{zone}'")
    expected = [(date.min, FIRST), (date.min, FIRST), (date.max, LAST), (date.max, LAST)]
    try:
        async with database.session() as db:
            for sign in ("", "-"):
                await db.execute(text(f"INSERT INTO term (day, moment) VALUES ('{sign}infinity', '{sign}infinity')"))
            db.add_all([Term(day=date.min, moment=FIRST), Term(day=date.max, moment=LAST)])
        async with database.session() as db:
            await db.execute(set_zone)
            assert [(t.day, t.moment) for t in await db.many(all_terms())] == expected
            assert [(t.day, t.moment) for t in await db.many(select(Term).order_by(Term.day))] == expected
        with database.sync_session() as db:
            db.execute(set_zone)
            assert [(t.day, t.moment) for t in db.many(all_terms())] == expected
            assert [(t.day, t.moment) for t in db.many(select(Term).order_by(Term.day))] == expected
    finally:
        await database.drop_all(Terms)
        await database.dispose()


async def test_arrays_ranges_and_times_without_a_zone_have_them_too(postgres_url: str) -> None:
    database = Database(postgres_url)
    last = datetime.max  # noqa: DTZ901 - the column has no time zone
    days, span = [date.min, date(2026, 2, 28), date.max], Range(date(2026, 1, 1), date.max)
    given = {"local": last, "days": days, "span": span}
    try:
        async with database.engine.begin() as connection:
            await connection.run_sync(SEASON.metadata.create_all)
        async with database.session() as db:
            await db.execute(insert(SEASON), given)
        with database.sync_session() as db:
            db.execute(insert(SEASON), given)
            old = text(
                "INSERT INTO season VALUES ('infinity', '{-infinity,2026-02-28,infinity}', '[2026-01-01,infinity)')"
            )
            db.execute(old)
        async with database.session("read") as db:
            found = [tuple(row) for row in await db.execute(select(SEASON))]
            assert found == [(last, days, span)] * 3
            counted = text("SELECT count(*) FROM season WHERE days[3] = '9999-12-31' AND upper(span) = '9999-12-31'")
            assert (await db.execute(counted)).scalar_one() == 2
        with database.sync_session("read") as db:
            assert [tuple(row) for row in db.execute(select(SEASON))] == found
    finally:
        async with database.engine.begin() as connection:
            await connection.run_sync(SEASON.metadata.drop_all)
        await database.dispose()


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
async def test_what_python_has_no_date_for_is_an_error_and_the_connection_stays(postgres_url: str, kind: str) -> None:
    database = Database(postgres_url)
    beyond = text(f"SELECT '20000-01-01'::{kind}")
    try:
        async with database.session("read") as db:
            with pytest.raises(OverflowError, match="outside of the years 1 to 9999"):
                await db.execute(beyond)
            await db.rollback()
            assert (await db.execute(text("SELECT 1"))).scalar_one() == 1
        with database.sync_session("read") as db, pytest.raises(SQLAlchemyError, match="10K"):
            db.execute(beyond).all()
    finally:
        await database.dispose()


async def test_values_without_a_zone_are_written_as_asyncpg_has_it(postgres_url: str) -> None:
    database = Database(postgres_url)
    day, local = date(2026, 2, 28), datetime(2026, 2, 28, 12, 30, 15, 123456)  # noqa: DTZ001 - it is what is asked
    try:
        async with database.session() as db:
            asked = text(
                "SELECT CAST(:a AS timestamp), CAST(:b AS timestamp), CAST(:c AS timestamptz), CAST(:d AS date)"
            )
            found = (await db.execute(asked, {"a": day, "b": local, "c": local, "d": day})).one()
            assert found == (datetime(2026, 2, 28), local, local.astimezone(UTC), day)  # noqa: DTZ001
            with pytest.raises(
                SQLAlchemyError, match=r"expected a datetime.date or datetime.datetime instance, got 'str'"
            ):
                await db.execute(text("SELECT CAST(:a AS timestamptz)"), {"a": "2026-02-28"})
            await db.rollback()
    finally:
        await database.dispose()
