"""Range requests (RFC 9110, section 14): which bytes of a resource a client asks for."""

from __future__ import annotations

import re

from quintet.errors import RangeNotSatisfiable

#: The number of ranges that are answered; a request for more is answered as a whole.
MAX_RANGES = 10

_RANGE = re.compile(r"(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")


def parse_range(header: str | None, size: int) -> list[tuple[int, int]] | None:
    """Return the ranges asked for, as half-open pairs like slices, or None for the whole resource.

    None is also the answer for an empty resource, another unit, malformed ranges and more than `MAX_RANGES` of them,
    which RFC 9110 lets a server ignore. Ranges beyond the end are left out and overlapping ones are merged.

    Args:
        header: the value of the Range field.
        size: the length of the resource in bytes.

    Raises:
        RangeNotSatisfiable: every range lies beyond the end.
    """
    if header is None or size == 0 or header.count(",") >= MAX_RANGES:
        return None
    unit, _, text = header.partition("=")
    if unit.strip(" \t").lower() != "bytes":
        return None
    ranges: list[tuple[int, int]] = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip(" \t"))
        if found is None:
            return None
        pair = _resolve(found["first"], found["last"], size)
        if pair is None:
            return None
        ranges.append(pair)
    within = [pair for pair in ranges if pair[0] < pair[1]]
    if within:
        return _merge(within)
    raise RangeNotSatisfiable(
        f"no requested range lies within the {size} bytes", headers={"content-range": f"bytes */{size}"}
    )


def content_range(start: int, end: int, size: int) -> str:
    """Return the Content-Range field for the half-open range from `start` to `end`."""
    return f"bytes {start}-{end - 1}/{size}"


def _resolve(first: str, last: str, size: int) -> tuple[int, int] | None:
    if first:
        if last and int(last) < int(first):
            return None
        return int(first), min(int(last) + 1, size) if last else size
    if not last:
        return None
    return max(size - int(last), 0), size


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges in their order, or, where some overlap, sorted and without overlaps."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return ranges if len(merged) == len(ranges) else merged
