from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.media.csv import CSV, build_encoder, build_item_encoder


class Row(msgspec.Struct, rename={"in_stock": "inStock"}):
    name: str
    price: Decimal | None = None
    count: int = 0
    in_stock: bool = True


class Wide(msgspec.Struct):
    when: datetime
    day: date
    span: timedelta
    key: UUID
    tags: list[str]
    row: Row | None


class Results(msgspec.Struct, rename="camel"):
    total_count: int
    found_rows: Annotated[list[Row] | None, CSV(rows=True)]


@dataclass
class Point:
    x: float


class Pair(NamedTuple):
    left: str
    right: int


class Typed(TypedDict):
    a: int
    b: str


class Model(pydantic.BaseModel):
    n: int = pydantic.Field(serialization_alias="number")


def lines(tp: Any, value: Any) -> list[str]:
    return build_encoder(tp)(value).decode().split("\r\n")


def test_fields_are_columns() -> None:
    rows = [Row("a", Decimal("-1.50"), -3), Row('b "x", y', None, 2, False)]
    assert lines(list[Row], rows) == [
        "name,price,count,inStock",
        "a,-1.50,-3,true",
        '"b ""x"", y",,2,false',
        "",
    ]


def test_an_empty_list_has_its_header() -> None:
    assert lines(list[Row], []) == ["name,price,count,inStock", ""]


@pytest.mark.parametrize("tp", [Results, Results | None])
def test_a_structure_around_rows_is_written_as_the_rows(tp: Any) -> None:
    encode = build_encoder(tp)
    assert encode(Results(9, [Row("a", Decimal("1.5"))])) == b"name,price,count,inStock\r\na,1.5,0,true\r\n"
    assert encode(Results(0, [])) == encode(Results(0, None)) == b"name,price,count,inStock\r\n"


def test_nested_values_are_json_and_scalars_text() -> None:
    wide = Wide(
        datetime(2026, 1, 2, 3, 4, tzinfo=UTC), date(2026, 1, 2), timedelta(hours=-1), UUID(int=1), ["a", "b"], Row("c")
    )
    assert lines(list[Wide], [wide])[1] == (
        "2026-01-02T03:04:00Z,2026-01-02,'-PT3600S,00000000-0000-0000-0000-000000000001,"
        '"[""a"",""b""]","{""name"":""c"",""price"":null,""count"":0,""inStock"":true}"'
    )


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0", "\uff1d1+1", '="a"', "-"]
)
def test_d15_text_is_never_a_formula(text: str) -> None:
    body = build_encoder(list[Row])([Row(text)]).decode()
    (_, row) = csv.reader(io.StringIO(body, newline=""))
    assert row[0] == "'" + text


def test_d15_header_names_are_guarded_too() -> None:
    assert lines(list[dict[str, int]], [{"=1": 1}]) == ["'=1", "1", ""]


def test_d15_numbers_stay_numbers() -> None:
    assert lines(list[Any], [{"a": -1, "b": -1.5, "c": Decimal(-2), "d": "-1"}])[1] == "-1,-1.5,-2,'-1"


@pytest.mark.parametrize(
    ("tp", "value", "want"),
    [
        (list[Point], [Point(1.5)], ["x", "1.5", ""]),
        (Point, Point(2), ["x", "2", ""]),
        (list[Pair], [Pair("a", 1)], ["left,right", "a,1", ""]),
        (Pair, Pair("a", 1), ["left,right", "a,1", ""]),
        (list[Typed], [{"b": "x", "a": 1}], ["a,b", "1,x", ""]),
        (list[Model], [Model(n=1)], ["number", "1", ""]),
        (tuple[Row, ...], (Row("a"),), ["name,price,count,inStock", "a,,0,true", ""]),
        (list[Row | Point], [Row("a"), Point(1)], ["name,price,count,inStock,x", "a,,0,true,", ",,,,1", ""]),
        (list[Row] | None, [Row("a")], ["name,price,count,inStock", "a,,0,true", ""]),
        (list[int], [1, 2], ["value", "1", "2", ""]),
        (list[str], ["", "a"], ["value", '""', "a", ""]),
        (list[dict[str, int]], [{"a": 1, "b": 2}, {"b": 3, "z": 4}], ["a,b", "1,2", ",3", ""]),
        (dict[str, int], {"a": 1}, ["a", "1", ""]),
        (list[list[int]], [[1, 2]], ["value", "1,2", ""]),
        (Any, [[1, 2]], ["value_1,value_2", "1,2", ""]),
        (Any, [], ['""', ""]),
    ],
)
def test_every_kind_of_item_is_a_row(tp: Any, value: Any, want: list[str]) -> None:
    assert lines(tp, value) == want


def test_a_stream_is_written_row_by_row() -> None:
    encoder = build_item_encoder(Row)
    assert list(encoder.chunks(iter([Row("a")]))) == [b"name,price,count,inStock\r\n", b"a,,0,true\r\n"]


async def test_an_async_stream_is_written_row_by_row() -> None:
    async def rows() -> AsyncIterator[Row]:
        yield Row("a")

    assert [chunk async for chunk in build_item_encoder(Row).achunks(rows())][1] == b"a,,0,true\r\n"


def test_a_stream_without_a_header_is_an_error_at_start_up() -> None:
    with pytest.raises(TypeError, match="has no header: yield a Struct"):
        build_item_encoder(dict[str, int])


@given(st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), max_size=5))
def test_what_is_written_is_read_back(texts: list[str]) -> None:
    body = build_encoder(list[Row])([Row(text) for text in texts]).decode()
    rows = list(csv.reader(io.StringIO(body, newline=""), strict=True))
    for row, text in zip(rows[1:], texts, strict=True):
        assert row[0] in (text, "'" + text)
        assert row[0][:1] not in ("=", "+", "-", "@", "\t", "\r")
