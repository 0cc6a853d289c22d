"""What schemathesis is told about Quintet's formats: how MessagePack is written and read, and what an integer is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import schemathesis
from hypothesis import strategies

# Bounds of dates have no keyword that generators know: these years are within those of every example.
_TIMES = strategies.datetimes(datetime.fromisoformat("2001-01-01"), datetime.fromisoformat("2049-01-01"))
schemathesis.openapi.format("date-time-local", _TIMES.map(lambda value: value.isoformat()))
schemathesis.openapi.format("time-local", strategies.times().map(lambda value: value.isoformat()))


@schemathesis.serializer("application/vnd.msgpack")
def write_msgpack(context: Any, value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:  # a number that MessagePack has no form for
        return b"\xc1"


@schemathesis.deserializer("application/vnd.msgpack")
def read_msgpack(context: Any, response: Any) -> Any:
    return msgspec.msgpack.decode(response.content)


@schemathesis.deserializer("application/jsonl")
def read_first_line(context: Any, response: Any) -> Any:
    return msgspec.json.decode(response.content.split(b"\n")[0])


def without_whole_floats(value: Any) -> Any:
    """JSON Schema takes 1.0 for an integer, and Quintet does not."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: without_whole_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_whole_floats(item) for item in value]
    return value


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    return without_whole_floats(body)


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Header fields that nobody asked for are refused by nobody, and an empty text in a query is one left out."""
    if "x-schemathesis-unknown-property" in (case.headers or {}):
        return False
    return not any("" in value if isinstance(value, list) else value == "" for value in (case.query or {}).values())
