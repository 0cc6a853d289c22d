"""How texts are compared and searched: alike on SQLite, PostgreSQL and, with a collation that does so, MariaDB."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import pytest
from sqlalchemy import Select, String, bindparam, literal_column, not_, select, text
from sqlalchemy.dialects import mysql

from quintet import App, Meta
from quintet.db import Database, Mapped, Model, column, primary_key, query
from quintet.resources import resource
from quintet.testing import AsyncClient

#: The collation that docs/how-to/database.md names.
EXACT = "utf8mb4_nopad_bin"


class Words(Model, database="default"):
    """The base of these models."""


class Word(Words):
    id: Mapped[int] = primary_key()
    text: Mapped[Annotated[str, Meta(max_length=30)]]
    exact: Mapped[str] = column(
        String(30).with_variant(mysql.VARCHAR(30, collation=EXACT), "mysql", "mariadb"), unique=True
    )


TEXTS = ["ada", "Ada", "ADA", "äda", "ada ", "é", "e", "E", "50%", "5_0", "[x]*?", "a/b\\c"]


@query
def having(part: str) -> Select[str]:
    return select(Word.exact).where(Word.exact.contains(part)).order_by(Word.id)


@query
def beginning(part: str) -> Select[str]:
    return select(Word.exact).where(Word.exact.startswith(part)).order_by(Word.id)


@pytest.fixture
async def words(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    await database.drop_all(Words)
    await database.create_all(Words)
    async with database.session() as db:
        db.add_all([Word(id=n, text=t, exact=t) for n, t in enumerate(TEXTS, 1)])
    yield database
    await database.drop_all(Words)
    await database.dispose()


async def test_texts_are_what_they_are_with_a_collation_that_keeps_them_apart(words: Database) -> None:
    async with words.session("read") as db:

        async def found(condition: Any) -> list[str]:
            return await db.many(select(Word.exact).where(condition).order_by(Word.id))

        for each in TEXTS:
            assert await found(Word.exact == each) == [each]
            assert await found(Word.exact.in_([each])) == [each]
            assert each in await found(Word.exact.contains(each))
            assert each in await found(Word.exact.startswith(each))
            assert each in await found(Word.exact.endswith(each))
            assert each in await db.many(having(each))
            assert each in await db.many(beginning(each))
        assert await found(Word.exact.contains("da")) == ["ada", "Ada", "äda", "ada "]
        assert await found(Word.exact.startswith("a")) == ["ada", "ada ", "a/b\\c"]
        assert await found(Word.exact.endswith("A")) == ["ADA"]
        assert await found(Word.exact.icontains("DA")) == ["ada", "Ada", "ADA", "äda", "ada "]
        assert await found(not_(Word.exact.contains("d"))) == ["ADA", "é", "e", "E", *TEXTS[8:]]
        assert await found(~Word.exact.startswith("a") & Word.exact.contains("a")) == ["Ada", "äda"]
        for part in ("%", "_", "[", "[x]", "*", "?", "]*?", "/", "\\"):  # these stand for themselves
            expected = [t for t in TEXTS if part in t]
            assert await found(Word.exact.contains(part)) == expected, part
            assert await db.many(having(part)) == expected, part
            assert await found(Word.exact.contains(literal_column("text"))) == TEXTS
        assert await found(Word.exact.contains("")) == TEXTS
    with words.sync_session("read") as sync:
        assert sync.many(having("da")) == ["ada", "Ada", "äda", "ada "]
        assert sync.many(select(Word.exact).where(Word.exact.startswith("["))) == ["[x]*?"]


async def test_one_named_value_may_be_looked_for_and_compared(words: Database) -> None:
    part = bindparam("part", type_=String())
    ways = [Word.exact == part, Word.exact.contains(part), Word.exact.icontains(part), Word.exact.startswith(part)]
    async with words.session("read") as db:
        for each in TEXTS:
            for first, second in itertools.permutations(ways, 2):
                found = await db.execute(select(Word.exact).where(first, second), {"part": each})
                assert each in found.scalars().all()


async def test_without_one_mariadb_takes_case_accents_and_spaces_at_the_end_for_equal(words: Database) -> None:
    loose = words.dialect == "mysql"
    async with words.session("read") as db:

        async def found(condition: Any) -> list[str]:
            return await db.many(select(Word.text).where(condition).order_by(Word.id))

        assert await found(Word.text == "ada") == (["ada", "Ada", "ADA", "äda", "ada "] if loose else ["ada"])
        assert await found(Word.text.startswith("e")) == (["é", "e", "E"] if loose else ["e"])
        assert await found(Word.text.contains("DA")) == (["ada", "Ada", "ADA", "äda", "ada "] if loose else ["ADA"])


async def test_filters_of_resources_look_as_the_column_compares(words: Database) -> None:
    app = App(plugins=[words], docs=False)
    app.include(resource(Word, path="/words", filters={"exact": ["eq", "contains", "startswith"]}, search=["exact"]))

    async with AsyncClient(app) as client:

        async def found(**asked: str) -> list[str]:
            return [item["exact"] for item in (await client.get("/words", params=asked)).json()["items"]]

        assert await found(exact="E") == ["E"]
        assert await found(exact__contains="DA") == ["ADA"]
        assert await found(exact__contains="%") == ["50%"]
        assert await found(exact__startswith="[x") == ["[x]*?"]
        assert await found(exact__startswith="é") == ["é"]
        assert sorted(await found(q="DA")) == sorted(["ada", "Ada", "ADA", "äda", "ada "])


async def test_the_collation_of_a_whole_database_is_that_of_its_tables(mariadb_url: str) -> None:
    database = Database(mariadb_url)
    name = mariadb_url.rpartition("/")[2]
    try:
        async with database.session() as db:
            await db.execute(text(f"ALTER DATABASE `{name}` COLLATE {EXACT}"))
        await database.drop_all(Words)
        await database.create_all(Words)
        async with database.session() as db:
            db.add_all([Word(text=t, exact=t) for t in TEXTS])
            await db.flush()
            for each in TEXTS:
                assert await db.many(select(Word.text).where(Word.text == each)) == [each]
            assert await db.many(select(Word.text).where(Word.text.startswith("E"))) == ["E"]
    finally:
        await database.drop_all(Words)
        await database.dispose()
