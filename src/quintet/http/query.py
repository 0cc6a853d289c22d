"""The query-string parser: `application/x-www-form-urlencoded` text to names and values.

The rules, which urlencoded bodies share: `&` separates, `;` is data, `+` is a space, empty pairs (`a=1&&b=2`) are
skipped, a name without `=` has the value `""`, a blank name is kept as `""`. A broken escape (`%zz`), text that is not
UTF-8 and too many fields are refused rather than guessed at.
"""

from __future__ import annotations

from quintet.errors import BadRequest

#: The number of fields that a query string may have.
MAX_FIELDS = 1000

_DIGITS = "0123456789abcdefABCDEF"
_BYTES = {(high + low).encode(): bytes((int(high + low, 16),)) for high in _DIGITS for low in _DIGITS}
_ASCII = {key.decode(): value.decode() for key, value in _BYTES.items() if value < b"\x80"}
_BROKEN = "the {what} has a broken escape: `%` must be followed by two hexadecimal digits"


def parse_query(raw: bytes, *, max_fields: int = MAX_FIELDS) -> dict[str, str | list[str]]:
    """Return the values by name: a name that occurs once has its text, a repeated one the list of its texts.

    Raises:
        BadRequest: an escape is broken, the text is not UTF-8, or there are more than `max_fields` fields.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadRequest("the query string is not UTF-8") from None
    # PERF: decoded once, as a whole; only what is escaped is looked at again.
    escaped = "%" in text or "+" in text
    pairs = text.split("&")
    if len(pairs) > max_fields:
        raise BadRequest(f"the query string has more than {max_fields} fields")
    out: dict[str, str | list[str]] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if escaped:
            if "%" in value or "+" in value:
                value = _unescape(value)
            if "%" in name or "+" in name:
                name = _unescape(name)
        if name in out:
            if pair:
                _repeat(out, name, value)
        elif pair:
            out[name] = value
    return out


def _unescape(text: str) -> str:
    """Return a text without its escapes."""
    if "+" in text:
        text = text.replace("+", " ")
    head, *rest = text.split("%")
    try:
        for part in rest:
            head += _ASCII[part[:2]] + part[2:]
    except KeyError:  # beyond ASCII, or broken: byte by byte
        try:
            return _decode(text.encode())
        except UnicodeDecodeError:
            raise BadRequest("the query string is not UTF-8") from None
        except KeyError:
            raise BadRequest(_BROKEN.format(what="query string")) from None
    return head


def parse_pairs(raw: bytes, *, max_fields: int = MAX_FIELDS, what: str = "query string") -> list[tuple[str, str]]:
    """Return every name and value in their order.

    Args:
        raw: the encoded text.
        max_fields: the number of fields allowed.
        what: how error messages call `raw`.

    Raises:
        BadRequest: an escape is broken, the text is not UTF-8, or there are more than `max_fields` fields.
    """
    if not raw:
        return []
    if raw.count(b"&") >= max_fields:
        raise BadRequest(f"the {what} has more than {max_fields} fields")
    out: list[tuple[str, str]] = []
    try:
        for pair in raw.split(b"&"):
            if pair:
                name, _, value = pair.partition(b"=")
                out.append((_decode(name), _decode(value)))
    except UnicodeDecodeError:
        raise BadRequest(f"the {what} is not UTF-8") from None
    except KeyError:
        raise BadRequest(_BROKEN.format(what=what)) from None
    return out


def _decode(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" not in raw:
        return raw.decode()
    head, *rest = raw.split(b"%")
    parts = [head]
    for part in rest:
        parts += (_BYTES[part[:2]], part[2:])
    return b"".join(parts).decode()


def _repeat(out: dict[str, str | list[str]], name: str, value: str) -> None:
    known = out[name]
    if isinstance(known, list):
        known.append(value)
    else:
        out[name] = [known, value]
