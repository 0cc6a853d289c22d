"""JSON. Decimals are text, bytes base64, dates ISO 8601, NaN and infinities null; keys keep their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from quintet.media._builtins import encode_other

# PERF: one encoder for all, and handed out as its bound C method, without a Python frame around it.
_encoder = msgspec.json.Encoder(enc_hook=encode_other, decimal_format="string", order=None)
_decoder = msgspec.json.Decoder()

#: Encode any value.
encode: Callable[[Any], bytes] = _encoder.encode


def build_encoder(tp: Any) -> Callable[[Any], bytes]:
    """Return the encoder, which is the same for every type."""
    return encode


def build_decoder(tp: Any) -> Callable[[bytes], Any]:
    """Return a decoder to builtins; it raises `msgspec.DecodeError`, UnicodeDecodeError or RecursionError."""
    return _decoder.decode
