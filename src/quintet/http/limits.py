"""What a client may send at most: one declaration for every protocol."""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on a request. Sizes are bytes, times are seconds."""

    #: The request target (path and query).
    url: int = 8 * KIB
    #: All header fields together.
    header_block: int = 64 * KIB
    #: The number of header fields.
    header_count: int = 100
    #: The body, unless the route says otherwise.
    body: int = 2_621_440
    #: The number of pairs in a query string or an urlencoded body.
    fields: int = 1000
    #: Requests of one connection waiting for their turn (pipelining).
    pipeline: int = 16
    #: Time to receive a whole request head.
    header_timeout: float = 30.0
    #: Time without any byte of an unfinished body.
    body_timeout: float = 30.0
    #: Time a connection may stay open between requests.
    keep_alive: float = 20.0
