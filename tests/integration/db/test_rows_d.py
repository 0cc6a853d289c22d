"""Rows D2 to D16 of the security table, as far as they are about the data layer, on every database."""

from __future__ import annotations

import ast
import asyncio
import enum
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from sqlalchemy import Select, collate, extract, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from quintet import App, Meta, Patch, Struct
from quintet.db import (
    Database,
    Mapped,
    Model,
    New,
    Precision,
    Session,
    SyncSession,
    column,
    primary_key,
    query,
    retry_conflicts,
)
from quintet.db.errors import Unstorable
from quintet.db.lint import find_calls
from quintet.errors import Conflict
from quintet.testing import AsyncClient

DATABASES = pytest.mark.parametrize("url", ["sqlite", "postgres", "mariadb"], indirect=True)
LIMIT = 32 * 2**20


class Rows(Model, database="default"):
    """The base of these models."""


class Color(enum.Enum):
    """A choice of texts."""

    RED = "red"


class Level(enum.IntEnum):
    """A choice of numbers."""

    LOW = 1


class Inner(Struct):
    """What a JSON column holds."""

    text: str
    number: int = 0


class Thing(Rows):
    """A column of every type."""

    __tablename__ = "rows_thing"
    id: Mapped[int] = primary_key()
    text: Mapped[str | None] = column(default=None)
    short: Mapped[Annotated[str, Meta(max_length=50)] | None] = column(default=None)
    whole: Mapped[int | None] = column(default=None)
    small: Mapped[Annotated[int, Meta(ge=0, le=1000)] | None] = column(default=None)
    real: Mapped[float | None] = column(default=None)
    flag: Mapped[bool | None] = column(default=None)
    money: Mapped[Annotated[Decimal, Precision.of(12, 2)] | None] = column(default=None)
    day: Mapped[date | None] = column(default=None)
    hour: Mapped[time | None] = column(default=None)
    moment: Mapped[datetime | None] = column(default=None)
    duration: Mapped[timedelta | None] = column(default=None)
    key: Mapped[uuid.UUID | None] = column(default=None)
    blob: Mapped[bytes | None] = column(default=None)
    anything: Mapped[Any | None] = column(default=None)
    inner: Mapped[Inner | None] = column(default=None)
    table: Mapped[dict[str, str] | None] = column(default=None)
    words: Mapped[list[str] | None] = column(default=None)
    numbers: Mapped[list[int] | None] = column(default=None)
    color: Mapped[Color | None] = column(default=None)
    level: Mapped[Level | None] = column(default=None)
    choice: Mapped[Literal["a", "b"] | None] = column(default=None)


class Slot(Rows):
    """What there is a number of."""

    __tablename__ = "rows_slot"
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]] = column(unique=True)
    stock: Mapped[int]


COLUMNS = [name for name in Thing.__annotations__ if name != "id"]
#: What is sent, as JSON: it is refused with a status of the client's, or comes back as it was.
EVIL = {
    "2^63": str(2**63),
    "-2^63-1": str(-(2**63) - 1),
    "2^64": str(2**64),
    "10^400": "1" + "0" * 400,
    "1e308": "1e308",
    "1e999": "1e999",
    "-0.0": "-0.0",
    "max": str(2**63 - 1),
    "min": str(-(2**63)),
    "nul": r'"a\u0000b"',
    "surrogate": r'"a\ud800b"',
    "emoji": json.dumps("\U0001f600"),
    "empty": '""',
    "quote": r'"\u0027; DROP TABLE rows_thing; -- %s %(x)s :x \\"',
    "list of nul": r'["\u0000"]',
    "list of surrogates": r'["\udfff"]',
    "list of numbers": f"[{2**63}]",
    "list of null": "[null]",
    "nested list": "[[1]]",
    "object of nul": r'{"text":"\u0000"}',
    "key of nul": r'{"a\u0000":"b"}',
    "object of numbers": f'{{"text":"a","number":{2**63}}}',
    "object of quotes": r'{"\u0027\"$.[0]":"%s"}',
    "null": "null",
    "true": "true",
    "date 0000": '"0000-00-00"',
    "date 0001": '"0001-01-01"',
    "date 9999": '"9999-12-31"',
    "moment 0001": '"0001-01-01T00:00:00Z"',
    "moment 0001 west": '"0001-01-01T00:00:00+14:00"',
    "moment without zone": '"2026-01-01T00:00:00"',
    "moment 9999": '"9999-12-31T23:59:59.999999Z"',
    "moment 9999 east": '"9999-12-31T23:59:59.999999-14:00"',
    "time 24": '"24:00:00"',
    "time zone": '"12:00:00+05:00"',
    "time": '"23:59:59.999999"',
    "long duration": '"P999999999D"',
    "negative duration": '"-P999999999D"',
    "long number": '"' + "9" * 400 + '"',
    "precise": '"0.005"',
    "exponent": '"1e-400"',
    "huge exponent": '"1E+400000"',
    "NaN": '"NaN"',
    "infinity": '"Infinity"',
    "uuid": '"{00000000-0000-0000-0000-000000000000}"',
    "base64": '"AAAA"',
}


@query
def with_part(part: str) -> Select[int]:
    return select(Thing.id).where(Thing.text.icontains(part)).order_by(Thing.id)


@query
def with_end(part: str) -> Select[int]:
    """What is looked for is an expression."""
    return select(Thing.id).where(Thing.text.endswith(func.trim(part))).order_by(Thing.id)


@query
def without_part(part: str) -> Select[int]:
    return select(Thing.id).where(~Thing.text.contains(part)).order_by(Thing.id)


def make_app(database: Database) -> App:
    app = App(plugins=[database], docs=False)

    @app.post("/things", status=201, max_body=LIMIT)
    async def create(data: New[Thing], db: Session) -> Thing:
        db.add(data)
        return data

    @app.post("/sync/things", status=201, max_body=LIMIT)
    def create_sync(data: New[Thing], db: SyncSession) -> Thing:
        db.add(data)
        return data

    @app.patch("/things/{id}", max_body=LIMIT)
    async def change(id: int, changes: Patch[Thing], db: Session) -> Thing:
        return changes.apply(await db.one(select(Thing).where(Thing.id == id)))

    @app.get("/things/{id}")
    async def read(id: int, db: Session) -> Thing:
        return await db.one(select(Thing).where(Thing.id == id))

    @app.get("/find")
    async def find(db: Session, text: str = "", whole: int = 0, part: str = "") -> list[int]:
        found = select(Thing.id).where((Thing.text == text) | (Thing.whole == whole))
        if part:
            found = select(Thing.id).where(Thing.text.contains(part))
        return await db.many(found.order_by(Thing.id))

    @app.get("/compiled")
    async def compiled(db: Session, part: str) -> list[list[int]]:
        return [await db.many(with_part(part)), await db.many(with_end(part)), await db.many(without_part(part))]

    @app.get("/compiled/sync")
    def compiled_sync(db: SyncSession, part: str) -> list[list[int]]:
        return [db.many(with_part(part)), db.many(with_end(part)), db.many(without_part(part))]

    return app


@pytest.fixture
async def empty(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    await database.drop_all(Rows)
    await database.create_all(Rows)
    yield database
    await database.drop_all(Rows)
    await database.dispose()


@pytest.fixture
async def client(empty: Database) -> AsyncGenerator[AsyncClient, None]:
    async with AsyncClient(make_app(empty), raise_server_exceptions=False) as client:
        yield client


def same(sent: dict[str, Any], read: dict[str, Any]) -> bool:
    """Compare two answers; Decimals are the same number, and JSON does not tell 1e308 from its digits."""
    if sent.get("money") is not None:
        return Decimal(sent["money"]) == Decimal(read["money"])
    if isinstance(sent.get("anything"), float):
        return sent["anything"] == float(read["anything"])
    return sent == read


@DATABASES
@pytest.mark.parametrize("prefix", ["", "/sync"], ids=["async", "sync"])
async def test_D11_what_no_column_holds_is_the_clients_error(client: AsyncClient, prefix: str) -> None:
    wrong: list[str] = []
    for name in COLUMNS if not prefix else ("text", "whole", "moment", "duration", "anything", "words"):
        for label, text in EVIL.items():
            body = f'{{"{name}":{text}}}'.encode()
            sent = await client.post(f"{prefix}/things", content=body, headers={"content-type": "application/json"})
            if sent.status_code == 201:
                got = await client.get(f"/things/{sent.json()['id']}")
                if got.status_code != 200 or not same(sent.json(), got.json()):
                    was, now = sent.json()[name], got.json().get(name)
                    wrong.append(f"{name} {label}: sent {was!r:.80}, read {got.status_code} {now!r:.80}")
            elif sent.status_code not in (400, 422):
                wrong.append(f"{name} {label}: {sent.status_code} {sent.text[:200]}")
    assert not wrong, "\n".join(wrong)


@DATABASES
async def test_D11_ten_megabytes_are_stored_or_refused(client: AsyncClient) -> None:
    long = "x" * 10_000_000
    fits = {"text": long, "anything": long, "inner": {"text": long, "number": 0}, "words": [long]}
    for name in ("text", "short", "whole", "money", "key", "blob", "anything", "inner", "words"):
        sent = await client.post("/things", json={name: fits.get(name, long)})
        if name in fits or name == "blob":  # letters are base64 too
            assert sent.status_code == 201, name
            got = await client.get(f"/things/{sent.json()['id']}")
            assert got.json()[name] == fits.get(name, long), name
        else:
            assert sent.status_code == 422, (name, sent.text[:200])


@DATABASES
async def test_D11_queries_with_what_no_column_holds_are_the_clients_error(client: AsyncClient) -> None:
    for asked in (f"whole={2**63}", f"whole={-(2**63) - 1}", "text=a%00b", "text=%ED%A0%80", "part=%00", "part=%25%FF"):
        assert (await client.get(f"/find?{asked}")).status_code in (200, 400, 422), asked
    for key in (2**63, -(2**63) - 1, "1%00", "1e5"):
        assert (await client.get(f"/things/{key}")).status_code in (400, 404, 422), key
    assert (await client.patch(f"/things/{2**63 - 1}", json={"text": "a"})).status_code == 404


async def test_D11_a_value_that_the_app_lets_through_is_422_and_no_error_of_the_database(postgres_url: str) -> None:
    database = Database(postgres_url)
    await database.drop_all(Rows)
    await database.create_all(Rows)
    app = App(plugins=[database], docs=False)

    @app.post("/short")
    async def short(db: Session, text: str) -> None:
        await db.execute(update(Thing).values(short=text))

    @app.post("/moment")
    async def moment(db: Session, at: datetime) -> None:
        db.add(Thing(moment=at))

    async with database.session() as db:
        db.add(Thing())
    async with AsyncClient(app) as client:
        assert (await client.post("/short", params={"text": "x" * 60})).status_code == 422
        answer = await client.post("/moment", params={"at": "0001-01-01T00:00:00+10:00"})
        assert (answer.status_code, answer.json()["detail"]) == (
            422,
            "a moment is outside of the years 1 to 9999 in UTC",
        )
    await database.dispose()


HOSTILE_NAMES = [
    *(f"a{chr(n)}b" for n in (*range(1, 32), *range(127, 160))),
    'x" from rows_thing; --', "x' or 1=1 --", "x` --", "a.b", "a$b", "a%sb", "a%(x)sb", ":x", "[x]", "a;b", "a--b",
    "a/*b", "a:b", "é", "a" * 60,
]  # fmt: skip


@DATABASES
async def test_D2_a_label_is_one_identifier_whatever_is_in_it(empty: Database) -> None:
    async with empty.session() as db:
        db.add(Thing(text="here"))
    async with empty.session("read") as db:
        for name in HOSTILE_NAMES:
            label = Thing.text.label(name)
            inner = select(label, func.count().label(f"{name}2")).group_by(label).order_by(label).subquery(name)
            row = (await db.execute(select(inner.c[name], inner.c[f"{name}2"]))).mappings().one()
            assert dict(row) == {name: "here", f"{name}2": 1}


@DATABASES
@pytest.mark.parametrize("key", ["a' = '1", 'a") or 1=1--', "%s", "%(x)s", "a.b", '"', "$", "}", "a'||pg_sleep(1)||'"])
async def test_D4_a_key_in_json_is_a_parameter(empty: Database, key: str) -> None:
    async with empty.session() as db:
        db.add_all([Thing(table={key: "found", "a": "other"}), Thing(table={"a": "x"})])
    wanted = select(Thing.table).where(Thing.table[key].as_string() == "found")
    async with empty.session("read") as db:
        if empty.dialect == "sqlite" and '"' in key:
            with pytest.raises(Unstorable, match="a key with a quote"):
                await db.many(wanted)
        else:
            assert await db.many(wanted) == [{key: "found", "a": "other"}]


@pytest.mark.parametrize("part", ["year from a); --", "year FROM now()) --", "", "year'", "a b", "1"])
@DATABASES
async def test_D5_a_part_of_a_date_is_a_name(empty: Database, part: str) -> None:
    async with empty.session("read") as db:
        with pytest.raises(SQLAlchemyError, match="is no part of a date"):
            await db.execute(select(extract(part, Thing.moment)))
        # Functions take it as a parameter.
        if empty.dialect == "postgresql":
            with pytest.raises(SQLAlchemyError, match="unit|not recognized|date_trunc"):
                await db.many(select(func.date_trunc(part or "'", func.now())))


@DATABASES
async def test_D6_collations_savepoints_and_schemas_are_identifiers(empty: Database) -> None:
    async with empty.session() as db:
        db.add_all([Thing(text="a"), Thing(text="b")])
        await db.flush()
        with pytest.raises(SQLAlchemyError, match="(?i)collation"):
            async with db.savepoint():
                await db.many(
                    select(Thing.text).order_by(collate(Thing.__table__.c.text, 'C"; DROP TABLE rows_thing; --'))
                )
        delimiter = "', 1); DROP TABLE rows_thing; --%s"
        joined = await db.one(select(func.aggregate_strings(Thing.text, delimiter)))
        assert sorted(joined.split(delimiter)) == ["a", "b"]
        with pytest.raises(SQLAlchemyError):
            async with db.savepoint():
                await db.execute(select(Thing.id), execution_options={"schema_translate_map": {None: 'x".y; --'}})
        assert len(await db.many(select(Thing))) == 2


@DATABASES
async def test_D7_a_search_for_wildcards_is_literal(client: AsyncClient) -> None:
    texts = ["100%_\\", "100 of a", "1000\\", "%", "_", "\\", "plain"]
    for text in texts:
        await client.post("/things", json={"text": text})
    for part in ("100%_\\", "%", "_", "\\", "/", "plain", "PLAI_"):
        found = (await client.get("/find", params={"part": part})).json()
        assert found == [n for n, text in enumerate(texts, 1) if part in text], part
        several = [
            [n for n, text in enumerate(texts, 1) if part.lower() in text.lower()],
            [n for n, text in enumerate(texts, 1) if text.endswith(part)],
            [n for n, text in enumerate(texts, 1) if part not in text],
        ]
        for path in ("/compiled", "/compiled/sync"):
            assert (await client.get(path, params={"part": part})).json() == several, part


@DATABASES
@pytest.mark.parametrize("prefix", ["", "/sync"], ids=["async", "sync"])
async def test_D16_two_hundred_who_create_the_same_make_one_row(url: str, prefix: str) -> None:
    database = Database(url)
    await database.drop_all(Rows)
    await database.create_all(Rows)
    app = App(plugins=[database], docs=False)

    @app.post("/slots/{name}", status=201)
    async def create(name: str, db: Session) -> None:
        if await db.first(select(Slot).where(Slot.name == name)) is None:
            db.add(Slot(name=name, stock=5))

    @app.post("/sync/slots/{name}", status=201)
    def create_sync(name: str, db: SyncSession) -> None:
        if db.first(select(Slot).where(Slot.name == name)) is None:
            db.add(Slot(name=name, stock=5))

    @app.post("/slots/{name}/take")
    @retry_conflicts()
    async def take(name: str, db: Session) -> int:
        slot = await db.one(select(Slot).where(Slot.name == name).with_for_update())
        if slot.stock == 0:
            raise Conflict("there is none left")
        slot.stock -= 1
        return slot.stock

    async with AsyncClient(app, raise_server_exceptions=False) as client:
        made = await asyncio.gather(*(client.post(f"{prefix}/slots/one") for _ in range(200)))
        statuses = [answer.status_code for answer in made]
        assert set(statuses) <= {201, 409, 503}, set(statuses)
        assert 201 in statuses
        async with database.session("read") as db:
            assert await db.many(select(Slot.name)) == ["one"]
        taken = await asyncio.gather(*(client.post("/slots/one/take") for _ in range(40)))
        assert sorted(a.json() for a in taken if a.status_code == 200) == [0, 1, 2, 3, 4]
        assert {a.status_code for a in taken} <= {200, 409, 503}
    async with database.session("read") as db:
        assert await db.many(select(Slot.stock)) == [0]
    await database.dispose()


UNSAFE = """
import sqlalchemy as sa
from sqlalchemy import extract, literal_column as column, text
from sqlalchemy.sql import text as other

SQL = "SELECT " + "1"


def handler(name, text_of, db):
    db.execute(text(f"SELECT * FROM t WHERE name = '{name}'"))
    db.execute(text("SELECT * FROM t WHERE name = '%s'" % name))
    db.execute(sa.text("SELECT {}".format(name)))
    db.execute(other(name))
    column(name)
    extract(name, text_of)
    sa.extract(field=name, expr=text_of)
    db.execute(text(name))  # safe SQL: the name is one of ours
    db.execute(text(SQL))
    db.execute(text("SELECT 1" " + 1"))
    sa.extract("year", text_of)
    name.text(name)
"""


def test_D9_sql_put_together_from_strings_is_found() -> None:
    found = [(call.lineno, name) for call, name in find_calls(ast.parse(UNSAFE), UNSAFE.splitlines())]
    assert sorted(found) == [
        (10, "text"), (11, "text"), (12, "text"), (13, "text"), (14, "literal_column"), (15, "extract"),
        (16, "extract"),
    ]  # fmt: skip


def test_D9_quintet_check_reports_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from sqlalchemy import text\nfrom quintet import App\nfrom quintet.db import Database, SyncSession\n"
        'app = App(plugins=[Database("sqlite://")])\n\n@app.get("/")\ndef find(name: str, db: SyncSession) -> int:\n'
        "    return db.one(text(f\"SELECT 1 WHERE 'a' = '{name}'\"))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "quintet", "check", "app.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "sql.not_constant" in done.stdout
    assert "app.py:8" in done.stdout
