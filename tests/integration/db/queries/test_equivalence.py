"""A compiled query gives what SQLAlchemy gives, for statements and values made up at random."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Select, and_, func, or_, select

from quintet.db import Database, query
from tests.integration.db.queries import queries as q

K = q.Kinds
TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=20)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "flag": st.booleans(),
    "text": TEXT,
    "whole": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(-1e9, 1e9, allow_nan=False, allow_subnormal=False),
    "exact": st.decimals("-9999999", "9999999", places=2),
    "blob": st.binary(max_size=20),
    "day": st.dates(date(1000, 1, 1)),
    "hour": st.times().map(lambda t: t.replace(microsecond=0)),
    "moment": st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    "span": st.timedeltas(timedelta(0), timedelta(days=2000)).map(lambda d: timedelta(days=d.days, seconds=d.seconds)),
    "code": st.uuids(version=4),  # MariaDB takes no other variants
    "colour": st.sampled_from(q.Colour),
    "level": st.sampled_from(q.Level),
    "size": st.builds(q.Size, width=st.integers(0, 9), height=st.integers(0, 9)),
    "numbers": st.lists(st.integers(0, 9), max_size=3),
    "word": TEXT.map(lambda t: t[:20]),
}
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}), max_size=4)
#: What these columns can be compared with on every database; JSON and arrays cannot.
COMPARED = [name for name in VALUES if name not in ("flag", "size", "numbers", "blob")]
OPERATORS = ["==", "!=", "<", ">=", "in", "is"]


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def sync_database(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    url = f"sqlite:///{tmp_path}/x.db" if request.param == "sqlite" else request.getfixturevalue(f"{request.param}_url")
    database = Database(url)
    q.Base.metadata.drop_all(database.sync_engine)
    q.Base.metadata.create_all(database.sync_engine)
    yield database
    q.Base.metadata.drop_all(database.sync_engine)
    database.dispose_sync()


def _condition(column: Any, operator: str, value: Any) -> Any:
    match operator:
        case "==":
            return column == value
        case "!=":
            return column != value
        case "<":
            return column < value
        case ">=":
            return column >= value
        case "in":
            return column.in_(value)
        case _:
            return column.is_(None)


def _make(conditions: list[tuple[str, str]], either: bool, shape: str, descending: bool) -> Any:
    """Return a function of a query: the same statement with values, or with parameters in their place."""
    columns = [getattr(K, name) for name, _ in conditions]

    def build(first: Any, second: Any, limit: int) -> Select[Any]:
        parts = [
            _condition(c, operator, value)
            for c, (_, operator), value in zip(columns, conditions, (first, second), strict=False)
        ]
        match shape:
            case "entity":
                statement: Any = select(K)
            case "columns":
                statement = select(*(getattr(K, name) for name in VALUES))
            case "count":
                return select(func.count(K.id)).where(or_(*parts) if either else and_(*parts))
            case _:
                statement = select(K, K.id.label("again"), columns[0])
        order = K.id.desc() if descending else K.id
        return statement.where(or_(*parts) if either else and_(*parts)).order_by(order).limit(limit)

    return build


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_compiled_query_gives_what_sqlalchemy_gives(sync_database: Database, data: st.DataObject) -> None:
    rows = data.draw(ROWS)
    names = data.draw(st.lists(st.sampled_from(COMPARED), min_size=2, max_size=2))
    conditions = [(name, data.draw(st.sampled_from(OPERATORS))) for name in names]
    values = [
        data.draw(st.lists(VALUES[name], max_size=3)) if operator == "in" else data.draw(VALUES[name])
        for name, operator in conditions
    ]
    shape = data.draw(st.sampled_from(["entity", "columns", "count", "mixed"]))
    build = _make(conditions, data.draw(st.booleans()), shape, data.draw(st.booleans()))
    limit = data.draw(st.integers(1, 5))
    with sync_database.sync_session() as db:
        db.execute(K.__table__.delete())
        db.add_all([K(**row) for row in rows])
        db.flush()
        db.expunge_all()
        compiled = db.many(query(build)(values[0], values[1], limit))
        db.expunge_all()
        direct = db.execute(build(values[0], values[1], limit)).all()
        assert [_plain(row) for row in compiled] == [_plain(tuple(row) if len(row) > 1 else row[0]) for row in direct]
        db.rollback()


def _plain(row: Any) -> Any:
    if isinstance(row, tuple):
        return tuple(map(_plain, row))
    if isinstance(row, K):
        return {name: getattr(row, name) for name in ("id", *VALUES)}
    if isinstance(row, (datetime, date, time, timedelta, Decimal, uuid.UUID)):
        return (type(row), row)
    return row
