from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.db.migrations.expressions import Check, find_checks, find_formula, normalise, renamed, split_index, tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("age>=0", '("age" >= 0)'),
        ("((A = 1))", "a=1"),
        ("a != 1", "a <> 1 -- not one"),
        ("name IN ('A','b')", "NAME in ( 'A', /* or */ 'b' )"),
        ("`order` > [limit]", '"order">limit'),
    ],
)
def test_spellings_of_one_condition_are_one(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a = 'X'", "a = 'x'"),
        ("(a) OR (b)", "a AND b"),
        ("a > 1", "a > 10"),
        ("a = 'b  c'", "a = 'b c'"),
        ("a = ''", "a = ' '"),
    ],
)
def test_different_conditions_stay_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_parentheses_that_do_not_belong_together_stay() -> None:
    assert normalise("(a) or (b)") == "( a ) or ( b )"


def test_columns_are_renamed_and_texts_and_functions_are_not() -> None:
    sql = "length(name) > 2 AND \"name\" <> 'name' AND name(1) = 1"
    assert renamed(sql, {"name": "full_name"}) == "length(full_name) > 2 AND \"full_name\" <> 'name' AND name(1) = 1"


def test_checks_are_found_wherever_they_stand() -> None:
    sql = """CREATE TABLE t (
        a INTEGER CHECK (a > 0), "check" TEXT DEFAULT 'CHECK (x)',  -- CHECK (comment)
        CONSTRAINT "ck a" CHECK (a IN (1, (2))), constraint plain check(length("check") < 5 AND "check" <> ')')
    )"""
    assert find_checks(sql) == [
        Check(None, "a > 0"),
        Check("ck a", "a IN (1, (2))"),
        Check("plain", 'length("check") < 5 AND "check" <> \')\''),
    ]


def test_what_computes_a_column_is_found_behind_any_type() -> None:
    table = (
        "CREATE TABLE t (id INTEGER, worth NUMERIC(12, 2) GENERATED ALWAYS AS (price * (1 + rate)) STORED, "
        "\"as\" INTEGER AS (id), plain VARCHAR(3) DEFAULT 'x AS (y)', CHECK (CAST(id AS TEXT) > ''))"
    )
    assert find_formula(table, "worth") == "price * (1 + rate)"
    assert find_formula(table, "AS") == "id"
    assert find_formula(table, "plain") is None
    assert find_formula(table, "id") is None


def test_an_index_is_split_into_its_parts() -> None:
    assert split_index("USING gin (lower(a), (b || ')')) WHERE a > 1") == ("lower(a), (b || ')')", "gin", "a > 1")
    assert split_index("(a DESC, b)") == ("a DESC, b", "", "")


_NAMES = st.sampled_from(["a", "b", "count"])
_TEXTS = st.text("ab'() -", max_size=4).map(lambda text: "'" + text.replace("'", "''") + "'")
_ATOMS = st.one_of(_NAMES, _NAMES.map('"{}"'.format), st.integers(0, 99).map(str), _TEXTS)
_CONDITIONS = st.recursive(
    st.tuples(_ATOMS, st.sampled_from(["=", "<>", "<", ">="]), _ATOMS).map(" ".join),
    lambda inner: st.one_of(
        inner.map("({})".format),
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        inner.map("NOT ({})".format),
    ),
    max_leaves=5,
)


@given(_CONDITIONS)
def test_what_sqlite_keeps_of_a_check_is_found_as_it_was(condition: str) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE t (a, b, count, CONSTRAINT ck CHECK ({condition}))")
        sql = connection.execute("SELECT sql FROM sqlite_master").fetchone()[0]
    connection.close()
    assert find_checks(sql) == [Check("ck", condition)]
    assert normalise(f"( {condition} )") == normalise(condition)


@given(st.text(max_size=60))
def test_any_text_is_split_without_loss(text: str) -> None:
    found = list(tokens(text))
    assert all(text[token.start : token.end] for token in found)
    assert [t.start for t in found] == sorted(t.start for t in found)
    normalise(text)
    find_checks(text)
