"""The one way from a client's path to a file: `safe_join`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from quintet.errors import NotFound

_LONGEST_PATH = 4096
_LONGEST_NAME = 255
# Backslashes and colons are separators, drives and streams on Windows; they are refused everywhere, so that an app
# means the same on every system.
_REFUSED = re.compile(r"[\x00-\x1f\x7f\\:]")
_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", "conin$", "conout$", *(d + n for d in ("com", "lpt") for n in "0123456789¹²³"))
)


def safe_join(root: Path | str, untrusted: str, *, dotfiles: bool = False, outside_links: bool = False) -> Path:
    """Return the path of `untrusted` below `root`, symbolic links followed. Nothing need be there.

    Args:
        root: the folder to stay in.
        untrusted: a relative path with `/`, percent-decoded once.
        dotfiles: allow names that begin with a dot.
        outside_links: follow symbolic links that lead out of `root`.

    Raises:
        NotFound: the path is absolute or empty, has an empty segment, `.` or `..`, a backslash, a colon or a control
            character, the name of a Windows device, a dotfile, or leaves `root` by a link. All say the same, so that
            nothing is learnt about files elsewhere.
    """
    names = untrusted.split("/") if len(untrusted) <= _LONGEST_PATH else [""]
    if _REFUSED.search(untrusted) or not all(_is_safe_name(name, dotfiles) for name in names):
        raise NotFound
    try:
        base = os.path.realpath(root)
        joined = os.path.join(base, *names)
        target = os.path.realpath(joined)
    except (OSError, ValueError):
        raise NotFound from None
    # With the separator at its end, /srv/static is no prefix of /srv/static_secret.
    if not target.startswith(base.rstrip(os.sep) + os.sep) and not outside_links:
        raise NotFound
    return Path(target)


def _is_safe_name(name: str, dotfiles: bool) -> bool:
    if not name or name in (".", "..") or (name[0] == "." and not dotfiles):
        return False
    if name[-1] in " .":  # Windows drops them, so that two names would be one file
        return False
    if name.partition(".")[0].rstrip(" ").lower() in _DEVICES:
        return False
    try:
        return len(name.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False
