"""What happens while a query is built: its parameters refuse Python's logic, its columns must fit its structure."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import pytest
from sqlalchemy import Select, Text, bindparam, cast, column, extract, func, insert, select, table, text, true
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, joinedload, mapped_column

from quintet import Meta, Struct
from quintet.db import QueryError, query
from quintet.db.queries.plan import build_plan


class Base(DeclarativeBase):
    pass


class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    title: Mapped[str | None]
    views: Mapped[int]
    parent: Mapped[Any] = mapped_column(Text)


DIALECTS = [asyncpg.dialect(), sqlite.dialect(), mysql.dialect(), postgresql.psycopg.dialect()]


def build(bound: Any, dialect: Any = DIALECTS[0]) -> Any:
    return build_plan(bound.query, bound.pattern, dialect)


# -- Python's logic on parameters ------------------------------------------------------------------------------------


def _refused(function: Any, *args: Any) -> str:
    with pytest.raises(QueryError) as refused:
        build(query(function)(*args))
    message = str(refused.value)
    assert function.__name__ in message
    assert "`slug`" in message
    return message


def q_format(slug: str) -> Any:
    return select(Article).where(text(f"slug = '{slug}'"))


def q_fstring(slug: str) -> Any:
    return select(Article).where(text(f"slug = '{slug}'"))


def q_fstring_repr(slug: str) -> Any:
    return select(Article).where(text(f"slug = {slug!r}"))


def q_percent(slug: str) -> Any:
    return select(Article).where(text("slug = '%s'" % slug))  # noqa: UP031 - what people write


def q_str(slug: str) -> Any:
    return select(Article).where(Article.slug == str(slug))


def q_concatenation(slug: str) -> Any:
    return select(Article).where(text("slug = " + slug))


def q_truth(slug: str) -> Any:
    return select(Article).where(Article.slug == slug) if slug else select(Article)


def q_not(slug: str) -> Any:
    return select(Article).limit(1) if not slug else select(Article)


def q_or(slug: str) -> Any:
    return select(Article).where(Article.slug == (slug or "none"))


def q_is_none(slug: str) -> Any:
    return select(Article).limit(1) if slug is None else select(Article)


def q_is(slug: str) -> Any:
    return select(Article).limit(1) if slug is Article else select(Article)


def q_equal(slug: str) -> Any:
    return select(Article).limit(1) if slug == "x" else select(Article)


def q_less(slug: int) -> Any:
    return select(Article).limit(1) if slug < 3 else select(Article)


def q_in(slug: str) -> Any:
    return select(Article).limit(1) if slug in ("x", "y") else select(Article)


def q_contains(slug: str) -> Any:
    return select(Article).limit(1) if "x" in slug else select(Article)


def q_iteration(slug: list[str]) -> Any:
    return select(Article).where(Article.slug.in_([s for s in slug]))  # noqa: C416 - what people write


def q_length(slug: str) -> Any:
    return select(Article).limit(len(slug))


def q_match(slug: str) -> Any:
    match slug:
        case "x":
            return select(Article)
        case _:
            return select(Article)


def q_isinstance(slug: str) -> Any:
    return select(Article).limit(1) if isinstance(slug, str) else select(Article)


def q_arithmetic(slug: int) -> Any:
    return select(Article).limit(slug + 1)


def q_reflected(slug: int) -> Any:
    return select(Article).limit(2 * slug)


def q_negative(slug: int) -> Any:
    return select(Article).limit(-slug)


def q_key(slug: str) -> Any:
    return select(Article).order_by({"x": Article.id}[slug])


def q_method(slug: str) -> Any:
    return select(Article).where(Article.slug == slug.lower())


def q_index(slug: list[str]) -> Any:
    return select(Article).where(Article.slug == slug[0])


def q_call(slug: Any) -> Any:
    return select(Article).where(Article.slug == slug())


def q_int(slug: int) -> Any:
    return select(Article).limit(int(slug))


def q_date_part(slug: str) -> Any:
    return select(extract(slug, Article.title))


LOGIC = [value for name, value in list(globals().items()) if name.startswith("q_")]


@pytest.mark.parametrize("function", LOGIC, ids=lambda f: f.__name__)
def test_logic_on_a_parameter_is_refused_while_the_query_is_built(function: Any) -> None:
    message = _refused(function, "x")
    assert "once" in message


def test_the_refusal_of_is_none_names_the_line_and_the_fix() -> None:
    message = _refused(q_is_none, "x")
    assert f"line {q_is_none.__code__.co_firstlineno + 1}" in message
    assert "annotate it as `slug: … | None`" in message


def test_is_none_on_an_optional_parameter_chooses_a_variant() -> None:
    @query
    def found(slug: str | None, views: int | None = None) -> Select[Any]:
        by_slug = Article.slug == slug if slug is not None else true()
        return select(Article).where(by_slug, Article.views == views if views is not None else true())

    assert found.optional == ("slug", "views")
    counts = [build(found(slug, views)).sql.count("$") for slug in (None, "x") for views in (None, 1)]
    assert counts == [0, 1, 1, 2]


def test_none_for_a_parameter_without_none_is_refused_at_the_call() -> None:
    @query
    def found(slug: str) -> Select[Any]:
        return select(Article).where(Article.slug == slug)

    with pytest.raises(QueryError, match="`slug` is None, but it is declared without None"):
        found(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_call_is_checked_as_the_functions_own() -> None:
    @query
    def found(slug: str, *, limit: int = 5) -> Select[Any]:
        return select(Article).where(Article.slug == slug).limit(limit)

    with pytest.raises(TypeError, match=r"found\(\) missing 1 required positional argument: 'slug'"):
        found()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        found("x", size=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bound: Any = found("x", limit=7)
    assert (bound.values, bound.pattern) == (("x", 7), 0)
    assert "x" not in repr(bound).replace("values", "").replace("query", "").removeprefix("<")


def test_parameters_stand_anywhere_in_sql() -> None:
    @query
    def found(slug: str, limit: int, names: list[str]) -> Select[Any]:
        return (
            select(Article.id, func.lower(slug).label("low"), cast(slug, Text))
            .where(slug == Article.slug, Article.views + limit > 3, limit < Article.views, Article.slug.in_(names))
            .where(Article.slug.like("%" + func.lower(slug)), Article.slug.startswith(slug))
            .limit(limit)
            .offset(limit)
        )

    for dialect in DIALECTS:
        plan = build(found("A", 2, ["x", "y"]), dialect)
        assert plan.fallback is None
        sql, args = plan.arguments.expand(("A", 2, ["x", "y"]))
        values = list(args.values()) if isinstance(args, dict) else list(args)
        assert values.count(2) == 4
        assert {"x", "y", "A"} <= set(values)
        assert "POSTCOMPILE" not in sql


def test_a_value_of_python_in_a_query_is_a_constant() -> None:
    limit = 3

    @query
    def found() -> Select[Any]:
        return select(Article).where(Article.views > limit)

    plan = build(found())
    limit = 4
    assert plan.arguments.bind(()) == (3,)


# -- Table D of the security cases -----------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["year from a); --", "year ", "", "day;", "a.b", "x" * 30])
def test_d5_a_date_part_is_a_word_of_sql(part: str) -> None:
    @query
    def found() -> Select[Any]:
        return select(extract(part, Article.title))

    with pytest.raises(QueryError, match="date part"):
        build(found())


# -- structures ------------------------------------------------------------------------------------------------------


class Head(Struct):
    id: int
    slug: str


class Wide(Struct, kw_only=True):
    slug: str
    id: int
    note: str = "none"


@dataclass
class Plain:
    slug: str
    id: Annotated[int, Meta(ge=0)]


class Pair(NamedTuple):
    id: int
    slug: str


@pytest.mark.parametrize("into", [Head, Wide, Plain, Pair])
def test_rows_become_structs_dataclasses_and_named_tuples(into: type[Any]) -> None:
    from quintet.db.queries.decode import build_decode

    @query(into=into)
    def found() -> Any:
        return select(Article.id, Article.slug)

    plan = build(found())
    decode = build_decode(plan.shape, into, DIALECTS[0], [23, 25])
    assert decode([(1, "x")], None) == [into(id=1, slug="x")]


def test_columns_that_do_not_fit_the_structure_are_named() -> None:
    @query(into=Head)
    def found() -> Any:
        return select(Article.slug.label("id"), Article.views)

    with pytest.raises(QueryError) as refused:
        build(found())
    message = str(refused.value)
    assert "no column for slug" in message
    assert "no field for the columns views" in message
    assert "id: the column holds str, the field int" in message
    assert "into Head" in message


# -- what falls back -------------------------------------------------------------------------------------------------


def _text() -> Any:
    return text("SELECT 1")


def _options() -> Any:
    return select(Article).options(joinedload("*"))


def _alias() -> Any:
    return select(aliased(Article))


def _execution() -> Any:
    return select(Article).execution_options(populate_existing=True)


def _lock() -> Any:
    return select(func.pg_advisory_lock(1))


def _callable() -> Any:
    return select(Article).where(Article.id == bindparam("x", callable_=lambda: 1))


def _own_bind() -> Any:
    return select(Article).where(Article.id == bindparam("x"))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_text, "TextClause is not a select"),
        (_options, "loader options"),
        (_alias, "an alias of Article"),
        (_execution, "execution options \\(populate_existing\\)"),
        (_lock, "leaves something behind on its connection"),
        (_callable, "asked per call"),
        (_own_bind, "bindparam\\('x'\\) is not a parameter of the function"),
    ],
)
def test_what_cannot_be_compiled_ahead_says_why_once(
    function: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "quintet.db"):
        plan = build(query(function)())
    assert pytest.importorskip("re").search(reason, plan.fallback)
    assert [r.message for r in caplog.records] == [f"query {function.__name__} is run by SQLAlchemy: {plan.fallback}"]


def test_reads_are_told_from_writes_and_locks() -> None:
    def statement(make: Any) -> bool:
        return build(query(make)()).reads

    changed = insert(Article).values(id=1).returning(Article.id).cte("changed")
    assert statement(lambda: select(Article))
    assert statement(lambda: select(Article).union_all(select(Article)))
    assert not statement(lambda: select(Article).with_for_update())
    assert not statement(lambda: select(changed))
    assert not statement(lambda: insert(Article).values(id=1))
    assert not statement(lambda: select(select(Article).with_for_update().subquery()))


def test_a_statement_of_plain_tables_is_compiled() -> None:
    plain = table("plain", column("a"), column("b"))

    @query
    def found(a: int) -> Select[Any]:
        return select(plain.c.a, plain.c.b).where(plain.c.a == a)

    plan = build(found(1))
    assert plan.fallback is None
    assert plan.shape.text == "a, b"


def test_what_is_no_query_is_refused_with_its_place() -> None:
    with pytest.raises(QueryError, match=r"`\*slugs` has no fixed number of values"):

        @query
        def many(*slugs: str) -> Select[Any]:
            return select(Article)

    @query
    def nothing() -> Any:
        return None

    with pytest.raises(QueryError, match="nothing returned NoneType .*test_building"):
        build(nothing())

    @query
    def broken() -> Select[Any]:
        return select(Article.nothing)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType]

    with pytest.raises(AttributeError) as failed:
        build(broken())
    assert "while the query" in failed.value.__notes__[0]

    @query
    def wide(
        a: int | None, b: int | None, c: int | None, d: int | None, e: int | None, f: int | None, g: int | None
    ) -> Select[Any]:
        return select(Article)

    with pytest.raises(QueryError, match="7 optional parameters would be 128 variants"):
        wide(1, 1, 1, 1, 1, 1, 1)
