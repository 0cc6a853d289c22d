"""The page that shows the document: plain HTML, and assets that come with the package.

Nothing of the app's own text is in it but the escaped title; the script reads the document and writes text nodes only.
It loads nothing from any other host, and its Content-Security-Policy says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

#: The files of the page with their types.
ASSETS = {
    "docs.css": "text/css; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "operation.js": "text/javascript; charset=utf-8",
    "request.js": "text/javascript; charset=utf-8",
    "schema.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

_PAGE = """<!doctype html>
<html lang="en" data-document="{document}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="{assets}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{assets}/docs.css">
<script type="module" src="{assets}/docs.js"></script>
</head>
<body>
<div id="app"><p class="notice">Loading the documentation of {title}…</p></div>
<noscript><p class="notice">This page needs JavaScript. The document itself is at
<a href="{document}">{document}</a>.</p></noscript>
</body>
</html>
"""


def build_page(title: str, *, document: str, assets: str) -> str:
    """Return the page.

    Args:
        title: the app's title, as plain text.
        document: where the document is, seen from the page.
        assets: where the assets are, seen from the page.
    """
    return _PAGE.format(title=escape(title), document=escape(document), assets=escape(assets))


def build_policy(servers: Sequence[Mapping[str, Any]]) -> str:
    """Return the page's Content-Security-Policy: nothing inline, and requests to the app's own servers only."""
    origins = [f"{u.scheme}://{u.netloc}" for s in servers if (u := urlsplit(str(s.get("url", "")))).netloc]
    origins = [o for o in dict.fromkeys(origins) if not set(o) & set("{};, '\"")]
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            " ".join(("connect-src 'self'", *origins)),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@cache
def load_asset(name: str) -> bytes:
    """Return the content of a file of `ASSETS`."""
    return files("quintet.openapi").joinpath("assets", name).read_bytes()
