"""What the encoders of every format do with types that msgspec does not know."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, cast

import msgspec


def encode_other(value: Any) -> Any:
    """Return something msgspec can encode in the place of `value`.

    Pydantic models give their fields by alias; other mappings, sequences and sets their items; paths, IP addresses and
    time zones their text.

    Raises:
        TypeError: nothing is known of this type.
    """
    kind = cast("type[Any]", type(value))
    if hasattr(kind, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value))
    if kind.__module__ in ("ipaddress", "zoneinfo"):
        return str(value)
    if isinstance(value, Collection) and not isinstance(value, (str, bytes)):
        return list(cast("Collection[Any]", value))
    raise TypeError(
        f"a {kind.__module__}.{kind.__qualname__} cannot be encoded: return a Struct, dataclass, attrs class, "
        "TypedDict or pydantic model that declares what the client may see"
    )


def to_builtins(value: Any) -> Any:
    """Return `value` as dicts with text keys, lists, text, numbers, booleans and None.

    Dates, UUIDs, decimals and bytes (base64) become text, enums their value.
    """
    return msgspec.to_builtins(value, str_keys=True, enc_hook=encode_other)
