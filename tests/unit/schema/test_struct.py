from __future__ import annotations

import msgspec
import pytest

from quintet.schema.struct import Struct


class Base(Struct, frozen=True):
    a: int = 1
    b: str


class Child(Base, frozen=True, tag=True):
    c: int


def test_fields_are_given_by_keyword_in_any_order_of_defaults() -> None:
    assert Child(c=1, b="x").a == 1
    with pytest.raises(TypeError):
        Base(1, "x")  # pyright: ignore[reportCallIssue]


def test_unknown_keys_are_refused_in_subclasses_too() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"b":"x","c":1,"d":2}', type=Child)
