"""Cursors as text: what was made up by a client is refused before anything is asked of a database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Select, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from quintet.db import query
from quintet.db.queries.paging import paging_of
from quintet.errors import BadRequest


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "row"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@query
def rows() -> Select[Row]:
    return select(Row).order_by(Row.name)


BOUND: Any = rows()
CURSOR = paging_of(BOUND).cursor(BOUND, Row(id=1, name="x"))


@pytest.mark.parametrize("cursor", ["", "x", "%%%", "kw", "k80AAAAB", "a" * 3000, "wQ", "' OR 1=1 --", "\0", "é"])
def test_a_cursor_that_was_made_up_is_a_bad_request(cursor: str) -> None:
    with pytest.raises(BadRequest, match="does not belong to this list"):
        paging_of(BOUND).after(BOUND, 5, cursor)


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_a_bad_request(cursor: str) -> None:
    try:
        paging_of(BOUND).after(BOUND, 5, cursor)
    except BadRequest:
        return
    assert cursor == CURSOR


@given(st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1))
def test_a_cursor_carries_the_values_of_its_row(name: str, number: int) -> None:
    cursor = paging_of(BOUND).cursor(BOUND, Row(id=number, name=name))
    if len(cursor) <= 2000:
        assert paging_of(BOUND).after(BOUND, 5, cursor).values == (6, name, number)
