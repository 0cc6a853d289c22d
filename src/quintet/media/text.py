"""Plain text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quintet.media import json


def build_encoder(tp: Any) -> Callable[[Any], bytes]:
    """Return an encoder that writes text and numbers as they are, and anything else as JSON."""
    return _encode


def _encode(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    encoded = json.encode(value)
    # A date, UUID or decimal is a JSON string: shown without its quotes.
    return encoded[1:-1] if encoded.startswith(b'"') and b"\\" not in encoded else encoded
