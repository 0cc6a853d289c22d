"""What a client may send at most: one declaration for every protocol."""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on requests and connections. Sizes are bytes, times are seconds; 0 is no bound where that is said.

    What concerns connections, times and speed is kept by the built-in server; other servers have their own.
    """

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
    #: The least speed of a body in bytes a second, after its first `body_timeout` seconds; 0 for any.
    body_rate: int = 500
    #: Time for a handler to begin its answer, once its request is complete, unless its route says otherwise; 0 for any.
    handler_timeout: float = 60.0
    #: Time in which a client must take some of an answer: `body_rate` bytes for each second of it.
    write_timeout: float = 60.0
    #: Time a connection may stay open between requests.
    keep_alive: float = 20.0
    #: Connections of one worker; further ones are answered 503. 0 for any number.
    connections: int = 16_384
    #: Handlers of one worker that wait for something before their answer begins; further requests are answered 503.
    #: 0 for any number.
    requests: int = 2048
