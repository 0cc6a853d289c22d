"""JSON Lines: one JSON value and a line feed per item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from quintet.media.json import encode
from quintet.media.stream import ItemEncoder

_lines = msgspec.json.Decoder()
_NO_SEQUENCE: tuple[type[Any], ...] = (str, bytes, bytearray, memoryview, dict)


def build_encoder(tp: Any) -> Callable[[Any], bytes]:
    """Return an encoder for a whole sequence; any other value is written as the one line."""
    return _encode


def build_item_encoder(tp: Any) -> ItemEncoder:
    """Return the encoder for items of a stream."""
    return ItemEncoder(_encode_line)


def build_decoder(tp: Any) -> Callable[[bytes], Any]:
    """Return a decoder to a list of builtins; blank lines are skipped. It raises what the JSON decoder raises."""
    return _lines.decode_lines


def _encode(value: Any) -> bytes:
    if isinstance(value, _NO_SEQUENCE) or not hasattr(value, "__iter__") or hasattr(value, "model_dump"):
        return _encode_line(value)
    return b"".join(map(_encode_line, value))


def _encode_line(item: Any) -> bytes:
    return encode(item) + b"\n"
