"""Redirects to where a client says (`?next=`): only ever to a place on the same host."""

from __future__ import annotations

import re

from quintet.http.host import split_host

#: The longest target.
MAX_TARGET = 2048

# Browsers drop or translate controls and white space, and read a backslash as a slash.
_REFUSED = re.compile(r"[\x00-\x20\x7f-\xa0\\\s\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff]")
_ABSOLUTE = re.compile(r"https?://(?P<authority>[^/?#]*)(?P<rest>.*)")


def safe_redirect_target(target: str, host: str) -> str | None:
    """Return the path, query and fragment of `target` if it stays on `host`, else None.

    Accepted are a path that begins with one slash, and an http(s) address whose host and port are those of `host`.
    Nothing is cleaned up: a target that browsers and servers could read differently is refused.

    Args:
        target: what the client gave.
        host: the host of this request, with its port if it has one.
    """
    if len(target) > MAX_TARGET or _REFUSED.search(target):
        return None
    found = _ABSOLUTE.fullmatch(target)
    if found is not None:
        if not _same_host(found["authority"], host):
            return None
        target = found["rest"]
        if not target.startswith("/"):
            target = "/" + target
    if not target.startswith("/") or target.startswith("//"):
        return None
    return target


def _same_host(one: str, other: str) -> bool:
    try:
        return split_host(one) == split_host(other)
    except ValueError:
        return False
