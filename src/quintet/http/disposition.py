"""The Content-Disposition field (RFC 6266): whether a file is shown or saved, and under which name."""

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import quote

#: The longest file name, in characters.
MAX_NAME = 200

# What every browser reads alike between the quotes: no quotes, backslashes, percent signs or letters beyond ASCII.
_UNSAFE = re.compile(r"[^A-Za-z0-9 !#$&'()+,\-.;=@\[\]^_`{}~]")
_ATTR_CHARS = "!#$&+-.^_`|~"  # RFC 8187, section 3.2.1


def content_disposition(filename: str | None = None, *, inline: bool = False) -> str:
    """Return the value of a Content-Disposition field.

    The name loses folders and invisible characters. One that is not plain ASCII is sent twice: exactly in the form of
    RFC 8187, and with `_` for the rest to old clients.

    Args:
        filename: the name to save under; without it the client derives one from the URL.
        inline: show the file where the client can, instead of saving it.
    """
    kind = "inline" if inline else "attachment"
    name = _clean(filename or "")
    if not name:
        return kind
    plain = _UNSAFE.sub("_", name)
    if plain == name:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


def _clean(filename: str) -> str:
    name = re.split(r"[/\\]", filename[-4 * MAX_NAME :])[-1]
    # Line ends and other controls, direction marks that disguise an extension, lone surrogates.
    name = "".join("_" if unicodedata.category(char)[0] == "C" else char for char in name).strip()
    if len(name) <= MAX_NAME:
        return name
    stem, extension = os.path.splitext(name)
    extension = extension[:20]
    return stem[: MAX_NAME - len(extension)] + extension
