"""Content negotiation: which of the formats on offer suits an `Accept` header (RFC 9110, section 12.5.1).

Parameters of a range other than `q` are not looked at: who asks for `application/json; charset=utf-8` gets JSON.
A range that is malformed is skipped; a header with no range that can be read is like none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Generic, NoReturn, TypeVar

from quintet.errors import NotAcceptable

T = TypeVar("T")

#: Other names of media types, which match an offer of the proper name.
ALIASES = {
    "text/xml": "application/xml",
    "text/json": "application/json",
    "application/msgpack": "application/vnd.msgpack",
    "application/x-msgpack": "application/vnd.msgpack",
    "application/x-ndjson": "application/jsonl",
    "application/ndjson": "application/jsonl",
    "application/jsonlines": "application/jsonl",
    "application/csv": "text/csv",
}

#: Ranges past this number are ignored; browsers send up to ten.
MAX_RANGES = 100

_TYPE = re.compile(r"[!#$%&'+.^_`|~0-9a-z-]+/(?:[!#$%&'+.^_`|~0-9a-z-]+|\*)")
_QUALITY = re.compile(r"0?(?:\.[0-9]{0,9})?|1(?:\.0{0,9})?")
_CACHED_LENGTH = 256
_CACHED_NUMBER = 256
#: The most values of `Accept` in the table of one route.
_LEARNED = 64
_cache: dict[str, dict[str, float]] = {}


def negotiate(accept: str | None, offers: tuple[str, ...]) -> int | None:
    """Return the index of the offer the client likes best, None when it likes none.

    The most specific range that covers an offer decides its quality, and of equally liked offers the first is taken.
    A client that puts `text/html` at least level with XML is a browser: where no HTML is offered it gets JSON, or
    whatever else it takes, before XML.

    Args:
        accept: the value of the header; None when it is absent.
        offers: media types without parameters, the preferred first.
    """
    if not accept or accept == "*/*":
        return 0 if offers else None
    ranges = _cache.get(accept)
    if ranges is None:
        ranges = _remember(accept)
    if not ranges:
        return 0 if offers else None
    best, best_rank = None, (0.0, False, False)
    for index, offer in enumerate(offers):
        quality = _quality(ranges, offer)
        if quality > 0:
            rank = (quality, False, False)
            if "text/html" in ranges and "text/html" not in offers:
                rank = _browser_rank(ranges, offer, quality)
            if rank > best_rank:
                best, best_rank = index, rank
    return best


class Offers(Generic[T]):
    """The formats of one route: chooses by `Accept`.

    `choose` maps raw Accept values to what is offered; it learns values up to a bound, so that common ones are looked
    up and not parsed.
    """

    #: What is picked where no format fits; None raises at once.
    otherwise: T | None = None

    def __init__(self, content_types: Sequence[str], offers: Sequence[T]) -> None:
        """Make the table.

        Args:
            content_types: what the answers are, the preferred first.
            offers: what is picked, in the same order.
        """
        self.media_types = tuple(content_type.partition(";")[0] for content_type in content_types)
        self.offers = list(offers)
        self.default = self.offers[0]
        self.choose: dict[bytes | None, T] = {None: self.default, b"*/*": self.default, b"": self.default}
        for offer, media_type in zip(self.offers, self.media_types, strict=True):
            self.choose[media_type.encode()] = offer

    def pick(self, accept: bytes | None) -> T:
        """Return what to answer a client with, having parsed its `Accept`.

        Raises:
            NotAcceptable: no format fits.
        """
        index = negotiate(None if accept is None else accept.decode("latin-1"), self.media_types)
        if index is None:
            return self.refuse() if self.otherwise is None else self.otherwise
        chosen = self.offers[index]
        if accept is not None and len(accept) <= _CACHED_LENGTH and len(self.choose) < _LEARNED:
            self.choose[accept] = chosen
        return chosen

    def refuse(self, _value: Any = None) -> NoReturn:
        """Say that no format fits, and which there are."""
        raise NotAcceptable(f"this can be answered as {', '.join(self.media_types)}", headers={"vary": "accept"})


def parse_accept(accept: str) -> dict[str, float]:
    """Return the quality of each media range, in lower case and by proper name; malformed ranges are left out."""
    ranges: dict[str, float] = {}
    for element in accept.split(",", MAX_RANGES)[:MAX_RANGES]:
        name, _, parameters = element.partition(";")
        name = name.strip().lower()
        if name == "*":  # sent by old Java clients
            name = "*/*"
        if name != "*/*" and not _TYPE.fullmatch(name):
            continue
        quality = _parse_quality(parameters)
        if quality is not None:
            name = ALIASES.get(name, name)
            ranges[name] = max(quality, ranges.get(name, 0.0))
    return ranges


def _remember(accept: str) -> dict[str, float]:
    ranges = parse_accept(accept)
    if len(accept) <= _CACHED_LENGTH:
        if len(_cache) >= _CACHED_NUMBER:
            _cache.clear()
        _cache[accept] = ranges
    return ranges


def _parse_quality(parameters: str) -> float | None:
    if not parameters:
        return 1.0
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            value = value.strip()
            return float(value) if value not in ("", ".") and _QUALITY.fullmatch(value) else None
    return 1.0


def _quality(ranges: dict[str, float], offer: str) -> float:
    offer = ALIASES.get(offer, offer)
    for name in (offer, offer.partition("/")[0] + "/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def _browser_rank(ranges: dict[str, float], offer: str, quality: float) -> tuple[float, bool, bool]:
    is_xml = offer.endswith(("/xml", "+xml"))
    if is_xml and ranges["text/html"] >= quality:
        return 0.0, False, True
    return quality, offer == "application/json", True
