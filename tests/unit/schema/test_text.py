# ruff: noqa: E501, RUF001  (tables of values are read line by line)
from __future__ import annotations

import base64
import datetime
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.schema.bounds import Bounds
from quintet.schema.failures import TextError, TextMissing
from quintet.schema.nodes import UnsupportedType
from quintet.schema.struct import Meta, Struct
from quintet.schema.text import compile_text


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Thing(Struct):
    a: int


UTC = datetime.UTC


@pytest.mark.parametrize(
    ("tp", "text", "value"),
    [
        (bool, "on", True), (bool, "OFF", False), (bool, "True", True), (bool, "0", False), (bool, "1", True),
        (int, "0", 0), (int, "-7", -7), (int, "9223372036854775807", 2**63 - 1), (int, "-9223372036854775808", -(2**63)),
        (float, "1.5", 1.5), (float, "-.5", -0.5), (float, "1e3", 1000.0), (float, "3", 3.0),
        (Decimal, "1.50", Decimal("1.50")), (Decimal, "-0.1", Decimal("-0.1")),
        (str, "", ""), (str, " x ", " x "), (Any, "x", "x"),
        (datetime.date, "2020-02-29", datetime.date(2020, 2, 29)),
        (datetime.time, "09:30", datetime.time(9, 30)), (datetime.time, "09:30:15.25", datetime.time(9, 30, 15, 250000)),
        (datetime.datetime, "2020-01-02T03:04", datetime.datetime(2020, 1, 2, 3, 4)),  # noqa: DTZ001
        (datetime.datetime, "2020-01-02 03:04:05Z", datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (datetime.datetime, "2020-01-02T03:04:05.123456+02:00",
         datetime.datetime(2020, 1, 2, 3, 4, 5, 123456, datetime.timezone(datetime.timedelta(hours=2)))),
        (datetime.timedelta, "PT1H30M", datetime.timedelta(minutes=90)),
        (uuid.UUID, "12345678-1234-5678-1234-567812345678", uuid.UUID("12345678-1234-5678-1234-567812345678")),
        (bytes, "_-8", b"\xff\xef"), (bytes, "_-8=", b"\xff\xef"),
        (Color, "red", Color.RED), (Level, "2", Level.HIGH), (Literal["a", 1, True], "1", 1), (Literal["a", 1, True], "true", True),
        (int | None, "5", 5), (str | int, "5", 5), (str | int, "x", "x"), (int | Color, "blue", Color.BLUE),
        (Annotated[int, Meta(ge=3)], "3", 3), (Annotated[datetime.date, Bounds(ge=datetime.date(2020, 1, 1))], "2020-01-01", datetime.date(2020, 1, 1)),
    ],
)  # fmt: skip
def test_texts_that_browsers_and_clients_send(tp: Any, text: str, value: Any) -> None:
    out = compile_text(tp).one(text)
    assert out == value
    assert type(out) is type(value)


@pytest.mark.parametrize(
    ("tp", "text", "code"),
    [
        *[(int, t, "int") for t in ("+5", " 5", "5 ", "005", "-0", "1_0", "1e3", "1.0", "0x1", "١٢", "²", "-", "5\n", "null", "true")],
        *[(int, t, "int64") for t in ("9223372036854775808", "-9223372036854775809", "9" * 5000)],
        *[(float, t, "float") for t in ("nan", "inf", "-Infinity", "1_0", "+1", " 1", "1.", "١", "01", "0x1p3", "1" * 200)],
        (float, "1e999", "finite"),
        *[(Decimal, t, "decimal") for t in ("NaN", "1e5", "Infinity", "1_0", "", " 1", "٣")[:4]],
        *[(bool, t, "bool") for t in ("yes", "2", "tru", "t", "on ", "x" * 100_000)],
        *[(datetime.date, t, "date") for t in ("2021-02-29", "20200101", "1700000000", "2020-1-1", "2020-01-01T00:00", "٢٠٢٠-٠١-٠١")],
        *[(datetime.time, t, "time") for t in ("24:00", "9:30", "09:60", "09", "09:30:61")],
        *[(datetime.datetime, t, "datetime") for t in ("1700000000", "2020-01-01", "2020-01-01T25:00", "2020-01-01T00:00+99:00", "0000-01-01T00:00")],
        *[(datetime.timedelta, t, "duration") for t in ("90", "P", "1H", "PT٣H", "P9999999999999D")],
        *[(uuid.UUID, t, "uuid") for t in ("x", "12345678123456781234567812345678", "{12345678-1234-5678-1234-567812345678}")],
        *[(bytes, t, "base64") for t in ("a", "a+/=", "ab==x", "YR")],
        (Color, "green", "enum"), (Level, "3", "enum"), (Level, "01", "enum"), (Literal["a"], "b", "literal"),
        (int | Color, "x", "union"), (Annotated[int, Meta(ge=3)], "2", "ge"), (Annotated[str, Meta(max_length=2)], "abc", "max_length"),
        (Annotated[datetime.datetime, Meta(tz=True)], "2020-01-01T00:00", "datetime"),
    ],
)  # fmt: skip
def test_texts_that_are_refused(tp: Any, text: str, code: str) -> None:
    with pytest.raises(TextError) as caught:
        compile_text(tp).one(text)
    assert caught.value.code == code
    assert len(text) < 10 or text not in caught.value.msg


@pytest.mark.parametrize("tp", [int, bool, int | None, str | None, datetime.date, Color, Annotated[int, Meta(ge=3)]])
def test_an_empty_text_means_missing_unless_the_type_is_str(tp: Any) -> None:
    converter = compile_text(tp)
    with pytest.raises(TextMissing):
        converter.one("")
    with pytest.raises(TextMissing):
        converter.many([])
    assert converter.nullable is (tp in (int | None, str | None))


def test_one_or_many_values_make_a_list() -> None:
    converter = compile_text(list[int] | None)
    assert (converter.is_list, converter.nullable) == (True, True)
    assert converter.one("1") == [1]
    assert converter.many(["1", "", "2"]) == [1, 2]
    assert compile_text(set[str]).many(["a", "", "a"]) == {"a", ""}
    assert compile_text(tuple[int, str]).many(["1", "x"]) == (1, "x")
    assert compile_text(Annotated[frozenset[int], Meta(max_length=1)]).many(["1", "1"]) == {1}
    for tp, texts, code in (
        (Annotated[list[int], Meta(max_length=1)], ["1", "2"], "max_length"),
        (tuple[int, str], ["1"], "length"),
        (int, ["1", "2"], "type"),
        (list[int], ["x"], "int"),
    ):
        with pytest.raises(TextError) as caught:
            compile_text(tp).many(texts)
        assert caught.value.code == code


def test_nul_is_refused_on_demand() -> None:
    assert compile_text(str).one("a\0") == "a\0"
    with pytest.raises(TextError, match="NUL"):
        compile_text(str, refuse_nul=True).one("a\0")


@pytest.mark.parametrize("tp", [Thing, dict[str, int], list[Thing], list[list[int]]])
def test_structures_are_not_texts(tp: Any) -> None:
    with pytest.raises(UnsupportedType, match="page: .*send it in a body"):
        compile_text(tp, where="page")


CONVERTERS = [
    compile_text(tp)
    for tp in (int, float, bool, Decimal, datetime.date, datetime.time, datetime.datetime, datetime.timedelta, uuid.UUID,
               bytes, Color, Level, int | str, Annotated[Decimal, Meta(ge=0, multiple_of=0.5)], list[int])
]  # fmt: skip


@given(st.sampled_from(CONVERTERS), st.text(max_size=30) | st.from_regex(r"[-+0-9T:.eEPZ ]{0,30}"))
def test_any_text_converts_or_is_a_text_error(converter: Any, text: str) -> None:
    try:
        converter.one(text)
    except TextError as e:
        assert e.msg.endswith(".")


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_round_trip(value: int) -> None:
    assert compile_text(int).one(str(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_round_trip(value: float) -> None:
    assert compile_text(float).one(repr(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20))
def test_decimals_round_trip(value: Decimal) -> None:
    text = f"{value:f}"
    if len(text) <= 100:
        assert compile_text(Decimal).one(text) == value


@given(st.datetimes(timezones=st.none() | st.just(UTC)))
def test_datetimes_round_trip(value: datetime.datetime) -> None:
    assert compile_text(datetime.datetime).one(value.isoformat()) == value
    assert compile_text(datetime.date).one(value.date().isoformat()) == value.date()
    assert compile_text(datetime.time).one(value.time().isoformat()) == value.time()


@given(st.binary(max_size=40), st.uuids())
def test_bytes_and_uuids_round_trip(value: bytes, unique: uuid.UUID) -> None:
    if value:
        assert compile_text(bytes).one(base64.urlsafe_b64encode(value).decode()) == value
    assert compile_text(uuid.UUID).one(str(unique).upper()) == unique
