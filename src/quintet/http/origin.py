"""Origins (RFC 6454): whether the page that makes a request may make it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quintet.errors import Forbidden
from quintet.http.host import split_host

if TYPE_CHECKING:
    from quintet.http.request import Request

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def parse_origin(text: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin (RFC 6454), or None where it is not one."""
    scheme, separator, rest = text.lower().partition("://")
    if not separator or scheme not in _PORTS:
        return None
    try:
        host, port = split_host(rest)
    except ValueError:
        return None
    return scheme, host, port or _PORTS[scheme]


def allows_origin(request: Request, origins: Sequence[str]) -> bool:
    """Tell whether a request comes from a page of its own host or of an allowed origin, or from no page at all.

    Args:
        origins: further origins, such as `https://app.example`; `*` for all.
    """
    origin = request.fields.get(b"origin")
    if origin is None or "*" in origins:
        return True
    found = parse_origin(origin.decode("latin-1"))
    if found is None:
        return False
    own = parse_origin(f"{found[0]}://{request.host}")
    return found == own or any(found == parse_origin(allowed) for allowed in origins)


def check_same_origin(request: Request) -> None:
    """Refuse a form that a page of another site has submitted.

    By Sec-Fetch-Site where the browser sends it, else by Origin; a client that sends neither is not a browser.
    (OWASP Cross-Site Request Forgery Prevention Cheat Sheet, "Fetch Metadata headers".)

    Raises:
        Forbidden: the form comes from elsewhere.
    """
    site = request.fields.get(b"sec-fetch-site")
    if site is not None:
        if site in (b"same-origin", b"none"):
            return
        raise Forbidden("this form was submitted from another site")
    origin = request.fields.get(b"origin")
    if origin is None:
        return
    if origin.decode("latin-1").lower() != f"{request.scheme}://{request.host}".lower():
        raise Forbidden("this form was submitted from another site")
