from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.schema.depth import MAX_DEPTH, check_depth, check_json_depth
from quintet.schema.failures import TooDeep


def nested(depth: int) -> Any:
    value: Any = 1
    for i in range(depth):
        value = [value] if i % 2 else {"]}[{": value}
    return value


@pytest.mark.parametrize("depth", [0, 1, MAX_DEPTH])
def test_what_is_not_too_deep(depth: int) -> None:
    check_depth(nested(depth))
    check_json_depth(json.dumps(nested(depth)).encode())


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500])
def test_what_is_too_deep(depth: int) -> None:
    with pytest.raises(TooDeep):
        check_depth(nested(depth))
    with pytest.raises(TooDeep):
        check_json_depth(json.dumps(nested(depth)).encode())


def test_brackets_in_strings_and_beside_each_other_do_not_count() -> None:
    check_json_depth(json.dumps([["["], '"[{\\'] * 200).encode())
    check_json_depth(b'["' + b"[" * 5000)


@given(st.binary(max_size=400) | st.text('[]{}"\\a', min_size=100, max_size=400).map(str.encode))
def test_any_bytes_are_looked_through(raw: bytes) -> None:
    try:
        check_json_depth(raw)
    except TooDeep:
        assert raw.count(b"[") + raw.count(b"{") > MAX_DEPTH
