"""Request targets: from the bytes on the wire to a path and a query.

A path is percent-decoded once, as UTF-8, before routing, so that it means the same on every protocol (some hand it
over decoded). `%2F` therefore is a slash.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from quintet.errors import BadRequest

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def decode_path(raw: bytes) -> str:
    """Return the decoded path.

    Raises:
        BadRequest: a broken escape, invalid UTF-8, or a control character.
    """
    if b"%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise BadRequest("the path has a broken percent-escape")
        raw = unquote_to_bytes(raw)
    try:
        path = raw.decode()
    except UnicodeDecodeError:
        raise BadRequest("the path is not valid UTF-8") from None
    return check_path(path)


def check_path(path: str) -> str:
    """Return a decoded path that has passed the same checks.

    Raises:
        BadRequest: it does not begin with a slash, or has a control character.
    """
    if not path.startswith("/"):
        raise BadRequest("the request target must be a path that begins with '/'")
    if not path.isprintable() and _CONTROL.search(path):
        raise BadRequest("the path has a control character")
    return path


def split_target(target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Split a request target into path, query and, in absolute form, authority (RFC 9112, section 3.2).

    Raises:
        BadRequest: it is neither a path nor an absolute http(s) URL, or has a fragment.
    """
    authority: bytes | None = None
    if not target.startswith(b"/"):
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            raise BadRequest("the request target must be a path that begins with '/'")
        end = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
        authority, target = rest[:end], rest[end:]
        if not target.startswith(b"/"):
            target = b"/" + target
    if b"#" in target:
        raise BadRequest("the request target must not have a fragment")
    path, _, query = target.partition(b"?")
    return path, query, authority
