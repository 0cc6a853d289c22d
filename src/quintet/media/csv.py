"""CSV (RFC 4180): a list of structures, one line each under a header with the names of the declared fields.

Text that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a tab or a line break) gets an
apostrophe in front; numbers and decimals are written as they are. Nested values are JSON, None is empty, lines
end with CRLF. A list of dicts has the names of its first one for a header; a list of scalars has one column, `value`.
A structure around a list, such as one page of results, is written as that list where its field says so:
`items: Annotated[list[Item], CSV(rows=True)]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

from quintet.media import _types, json
from quintet.media._builtins import encode_other
from quintet.media.stream import ItemEncoder

# The full-width forms are read as formulas too, by East Asian versions of spreadsheets.
_FORMULA = re.compile("^[=+@\t\r\n\uff1d\uff0b\uff20-]")  # fmt: skip
_QUOTED = re.compile('[",\r\n]')
_VALUE = "value"


class CSV(msgspec.Struct, frozen=True, kw_only=True):
    """How a field stands in CSV: `Annotated[list[Article], CSV(rows=True)]`."""

    #: The lines are the items of this field; what stands beside it is left out.
    rows: bool = False


def build_encoder(tp: Any) -> Callable[[Any], bytes]:
    """Return an encoder for a list of items; one item alone is a list of one."""
    rows = _rows_of(tp)
    if rows is not None:
        encode_rows = build_encoder(rows.type)
        return lambda value: encode_rows(_plain(value)[rows.name] or ())
    item_tp = _item_of(tp)
    columns = _columns(item_tp)

    def encode(value: Any) -> bytes:
        items = [_plain(item) for item in (value if _is_rows(value) else (value,))]
        names = columns or (_names(items[0]) if items else ())
        return _line(names) + b"".join([_line(_row(item, names)) for item in items])

    return encode


def build_item_encoder(tp: Any) -> ItemEncoder:
    """Return the encoder for a stream of items of this type.

    Raises:
        TypeError: the type declares no fields, so that the header cannot be known beforehand.
    """
    columns = _columns(tp)
    if columns is None:
        raise TypeError(
            f"a CSV stream of {tp} has no header: yield a Struct, dataclass, attrs class, TypedDict or pydantic model"
        )
    names = columns
    return ItemEncoder(lambda item: _line(_row(_plain(item), names)), _line(names))


def _rows_of(tp: Any) -> _types.Field | None:
    """Return the field of a structure whose items are the lines."""
    fields = [f for member in _types.members(tp)[0] for f in _types.fields(member) or ()]
    return next((f for f in fields if any(isinstance(m, CSV) and m.rows for m in f.metadata)), None)


def _item_of(tp: Any) -> Any:
    for member in _types.members(tp)[0]:
        item = _types.item_type(member)
        # A NamedTuple is a row, not a list of them.
        if item is not None and _types.positions(member) is None:
            return item
    return tp


def _columns(tp: Any) -> tuple[str, ...] | None:
    """Return the names of the columns; those of every member of a union. None when they depend on the values."""
    names: dict[str, None] = {}
    for member in _types.members(tp)[0]:
        fields = _types.fields(member) or _types.positions(member)
        if fields is not None:
            names.update(dict.fromkeys(field.name for field in fields))
        elif member in (Any, object) or _types.value_type(member) is not None:
            return None
        else:
            names[_VALUE] = None
    return tuple(names) or None


def _is_rows(value: Any) -> bool:
    if isinstance(value, (str, bytes, Mapping)) or hasattr(value, "_fields") or not hasattr(value, "__iter__"):
        return False
    return not hasattr(value, "model_dump")


def _plain(item: Any) -> Any:
    """Return the item as a dict, a list, or a scalar that still tells numbers and dates from text."""
    return msgspec.to_builtins(item, str_keys=True, builtin_types=(Decimal,), enc_hook=encode_other)


def _names(item: Any) -> tuple[str, ...]:
    if isinstance(item, dict):
        return tuple(cast("dict[str, Any]", item))
    return tuple(f"{_VALUE}_{n}" for n in range(1, len(item) + 1)) if _is_list(item) else (_VALUE,)


def _row(item: Any, names: Sequence[str]) -> list[Any]:
    if isinstance(item, dict):
        row = cast("dict[str, Any]", item)
        return [row.get(name) for name in names]
    return list(item) if _is_list(item) else [item]


def _is_list(item: Any) -> bool:
    return isinstance(item, (list, tuple))


def _line(values: Sequence[Any]) -> bytes:
    # A line of one empty field would read as no line at all.
    line = ",".join([_cell(value) for value in values]) or '""'
    return line.encode(errors="replace") + b"\r\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    text = value if isinstance(value, str) else json.encode(value).decode()
    if _FORMULA.match(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
