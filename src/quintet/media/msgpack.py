"""MessagePack. Decimals are text, bytes are bytes, aware dates are timestamps, UUIDs text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from quintet.media._builtins import encode_other

_encoder = msgspec.msgpack.Encoder(enc_hook=encode_other, decimal_format="string", order=None)
_decoder = msgspec.msgpack.Decoder()

#: Encode any value.
encode: Callable[[Any], bytes] = _encoder.encode


def build_encoder(tp: Any) -> Callable[[Any], bytes]:
    """Return the encoder, which is the same for every type."""
    return encode


def build_decoder(tp: Any) -> Callable[[bytes], Any]:
    """Return a decoder to builtins; it raises `msgspec.DecodeError`, UnicodeDecodeError or RecursionError."""
    return _decoder.decode
