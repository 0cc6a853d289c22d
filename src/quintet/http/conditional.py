"""Conditional requests (RFC 9110, section 13): entity tags, dates and what follows from them."""

from __future__ import annotations

import re
import time
from typing import Protocol

import msgspec

from quintet.http.dates import http_date, parse_http_date

__all__ = [
    "ETag",
    "evaluate",
    "http_date",
    "if_range_holds",
    "parse_etag",
    "parse_etags",
    "parse_http_date",
]

_OPAQUE = r'(?P<weak>W/)?"(?P<value>[\x21\x23-\x7e\x80-\xff]*)"'
_ETAG = re.compile(_OPAQUE)
_MEMBER = re.compile(rf"[ \t,]*{_OPAQUE}[ \t]*(?:,|\Z)")
_REST = re.compile(r"[ \t,]*")


class HeaderReader(Protocol):
    """What reads a header field by its lower-case name."""

    def get(self, name: str, /) -> str | None:
        """Return the value, or None where the field is absent."""
        ...


class ETag(msgspec.Struct, frozen=True):
    """An entity tag: a name for one state of a resource."""

    #: The opaque text between the quotes.
    value: str
    #: Whether states that differ in unimportant bytes share it.
    weak: bool = False

    def __post_init__(self) -> None:
        if _ETAG.fullmatch(f'"{self.value}"') is None:
            raise ValueError(f"the entity tag {self.value[:100]!r} has a quote, a space or a control character")

    def __str__(self) -> str:
        return f'W/"{self.value}"' if self.weak else f'"{self.value}"'

    def same(self, other: ETag) -> bool:
        """Compare by RFC 9110's strong comparison: the bytes are the same."""
        return not self.weak and not other.weak and self.value == other.value

    def similar(self, other: ETag) -> bool:
        """Compare by RFC 9110's weak comparison: the content means the same."""
        return self.value == other.value


def parse_etag(text: str) -> ETag | None:
    """Return one entity tag, or None where `text` is not one."""
    found = _ETAG.fullmatch(text)
    return None if found is None else ETag(found["value"], found["weak"] is not None)


def parse_etags(header: str) -> list[ETag]:
    """Return the tags of a list; empty where it is malformed, so that nothing matches it."""
    tags: list[ETag] = []
    position = 0
    while found := _MEMBER.match(header, position):
        tags.append(ETag(found["value"], found["weak"] is not None))
        position = found.end()
    return tags if _REST.fullmatch(header, position) else []


def evaluate(
    method: str,
    headers: HeaderReader,
    etag: ETag | str | None = None,
    last_modified: float | None = None,
    *,
    exists: bool = True,
) -> int | None:
    """Return what the preconditions of a request ask for: 304, 412, or None to go on.

    The order is that of RFC 9110, section 13.2.2. Range and If-Range are not looked at: see `if_range_holds`.

    Args:
        method: the request method.
        headers: the request's header fields.
        etag: the tag of the present state; a text is read as it would be sent, quotes included.
        last_modified: when it was last changed, in seconds since 1970.
        exists: whether there is a present state at all.
    """
    tag = _as_etag(etag)
    changed = None if last_modified is None else int(last_modified // 1)
    safe = method in ("GET", "HEAD")
    if (wanted := headers.get("if-match")) is not None:
        if not _matches(wanted, tag, exists, strong=True):
            return 412
    elif (text := headers.get("if-unmodified-since")) is not None:
        since = parse_http_date(text)
        if since is not None and changed is not None and changed > since:
            return 412
    if (known := headers.get("if-none-match")) is not None:
        if _matches(known, tag, exists, strong=False):
            return 304 if safe else 412
    elif safe and (text := headers.get("if-modified-since")) is not None:
        since = parse_http_date(text)
        if since is not None and changed is not None and changed <= since:
            return 304
    return None


def if_range_holds(header: str | None, etag: ETag | str | None = None, last_modified: float | None = None) -> bool:
    """Tell whether a Range may be answered: If-Range is absent, or names the present state beyond doubt.

    A date names it only when it equals `last_modified` exactly and is over: within the same second the content may
    change once more (RFC 9110, section 8.8.2.2).
    """
    if header is None:
        return True
    given = parse_etag(header)
    if given is not None:
        tag = _as_etag(etag)
        return tag is not None and given.same(tag)
    since = parse_http_date(header)
    if since is None or last_modified is None:
        return False
    return since == last_modified // 1 and time.time() >= since + 1


def _as_etag(etag: ETag | str | None) -> ETag | None:
    if not isinstance(etag, str):
        return etag
    parsed = parse_etag(etag)
    if parsed is None:
        raise ValueError(f"{etag[:100]!r} is not an entity tag: write it with its quotes, such as '\"v1\"'")
    return parsed


def _matches(header: str, tag: ETag | None, exists: bool, *, strong: bool) -> bool:
    if header.strip(" \t") == "*":
        return exists
    if tag is None:
        return False
    compare = tag.same if strong else tag.similar
    return any(compare(known) for known in parse_etags(header))
