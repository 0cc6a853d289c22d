from __future__ import annotations

import ipaddress
from collections import ChainMap, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import BuiltinMethodType, MappingProxyType
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest

from quintet.media import json, jsonl, msgpack, text
from quintet.media.stream import ItemEncoder


class Color(Enum):
    RED = "red"


class Point(msgspec.Struct, rename="camel"):
    x_axis: int
    note: str | None = None


@dataclass
class Data:
    x: int


@attrs.define
class Attrs:
    x: int


class Inner(pydantic.BaseModel):
    when: datetime
    price: Decimal


class Outer(pydantic.BaseModel):
    inner: Inner = pydantic.Field(alias="theInner")


WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OUTER = Outer(theInner=Inner(when=WHEN, price=Decimal(1)))


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (Point(1), b'{"xAxis":1,"note":null}'),
        ([Data(1), Attrs(2)], b'[{"x":1},{"x":2}]'),
        ({"b": 1, "a": 2}, b'{"b":1,"a":2}'),
        (Decimal("1.50"), b'"1.50"'),
        (b"\x00\xff", b'"AP8="'),
        (WHEN, b'"2026-01-02T03:04:05Z"'),
        (date(2026, 1, 2), b'"2026-01-02"'),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (Color.RED, b'"red"'),
        (float("nan"), b"null"),
        (OUTER, b'{"theInner":{"when":"2026-01-02T03:04:05Z","price":"1"}}'),
        (Path("a/b"), b'"a/b"'),
        (ipaddress.ip_address("::1"), b'"::1"'),
        (ZoneInfo("Europe/Paris"), b'"Europe/Paris"'),
        (deque([1]), b"[1]"),
        (MappingProxyType({"a": 1}), b'{"a":1}'),
        (ChainMap({"a": 1}), b'{"a":1}'),
    ],
)  # fmt: skip
def test_values_become_json(value: object, want: bytes) -> None:
    assert json.encode(value) == want
    assert json.build_encoder(type(value))(value) == want


def test_the_encoder_is_the_bare_method_of_one_shared_encoder() -> None:
    assert isinstance(json.build_encoder(int), BuiltinMethodType)
    assert json.build_encoder(int) is json.build_encoder(str)
    assert isinstance(msgpack.build_encoder(int), BuiltinMethodType)


def test_an_unknown_type_is_refused_with_the_fix() -> None:
    with pytest.raises(TypeError, match=r"builtins\.object cannot be encoded: return a Struct"):
        json.encode(object())


def test_json_and_messagepack_are_read_to_builtins() -> None:
    assert json.build_decoder(int)(b'{"a":[1,null]}') == {"a": [1, None]}
    assert msgpack.build_decoder(int)(msgpack.encode({"a": [1, b"x"]})) == {"a": [1, b"x"]}
    with pytest.raises(msgspec.DecodeError):
        json.build_decoder(int)(b"{")


def test_messagepack_keeps_bytes_and_writes_decimals_as_text() -> None:
    assert msgspec.msgpack.decode(msgpack.encode([b"\xff", Decimal("1.5"), Point(1)])) == [
        b"\xff",
        "1.5",
        {"xAxis": 1, "note": None},
    ]


def test_json_lines_are_one_value_a_line() -> None:
    encode = jsonl.build_encoder(list[Point])
    assert encode([Point(1), {"a": "x\ny"}]) == b'{"xAxis":1,"note":null}\n{"a":"x\\ny"}\n'
    assert encode(Point(1)) == b'{"xAxis":1,"note":null}\n'
    assert encode({"a": 1}) == b'{"a":1}\n'
    assert encode([]) == b""
    assert jsonl.build_decoder(list[int])(b"1\n\n2\n") == [1, 2]


@pytest.mark.parametrize(
    ("value", "want"), [("a\nb", b"a\nb"), (3, b"3"), (WHEN, b"2026-01-02T03:04:05Z"), ([1], b"[1]")]
)
def test_plain_text_is_bare(value: object, want: bytes) -> None:
    assert text.build_encoder(object)(value) == want


def test_a_stream_is_encoded_item_by_item() -> None:
    encoder = ItemEncoder(lambda item: b"%d," % item, b"head:")
    assert encoder.join([1, 2]) == b"head:1,2,"
    assert list(encoder.chunks(iter([1, 2]))) == [b"head:", b"1,", b"2,"]
    assert list(jsonl.build_item_encoder(int).chunks([1])) == [b"1\n"]
