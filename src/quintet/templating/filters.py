"""Filters that stand in for Jinja2's where hostile text would be slow or unsafe, and some of our own.

Text filters look at most at `MAX_TEXT` characters closely; longer text is passed on without the extra work.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import msgspec
from jinja2 import Environment, pass_environment, pass_eval_context
from jinja2.filters import do_truncate, do_urlize, do_wordwrap
from jinja2.nodes import EvalContext
from markupsafe import Markup, escape

#: The longest text, in characters, that the costly filters work on.
MAX_TEXT = 100_000
#: What `safe_url` gives for an address that must not become a link.
UNSAFE_URL = "#"

_SAFE_SCHEMES = frozenset({"http", "https", "mailto", "tel", "sms", "ftp", "ftps", "geo", "webcal", "xmpp"})
_SCHEME = re.compile(r"([^/?#:]*):")
# Browsers drop these before they look for a scheme (URL Standard, section 4.4), so they are dropped first here too.
_IGNORED_IN_URLS = re.compile(r"[\t\n\r]")
_C0_AND_SPACE = "".join(map(chr, range(0x21)))
_PUNCTUATION_RUN = re.compile(r"(?:[()<>.,]|&[lg]t;){32}")
_LONGEST_LINK = 2_000

_JSON_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "'": "\\u0027",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
_JSON_TABLE = str.maketrans(_JSON_ESCAPES)


def tojson(value: object, indent: int | None = None) -> Markup:
    """Encode as JSON that is safe inside `<script>` and in attributes in single or double quotes.

    In an attribute with double quotes use `{{ value|tojson|forceescape }}`.
    """
    text = msgspec.json.encode(value, enc_hook=_plain).decode()
    if indent is not None:
        text = msgspec.json.format(text, indent=indent)
    return Markup(text.translate(_JSON_TABLE))  # noqa: S704  # every < > & ' is escaped


def _plain(value: object) -> object:
    if isinstance(value, str):
        return str.__str__(value)
    if hasattr(value, "__html__"):
        return str(value)
    raise TypeError(f"tojson cannot encode a {type(value).__name__}")


def safe_url(value: object) -> str:
    """Return the address when it is relative or has a harmless scheme, `#` otherwise.

    `javascript:`, `data:`, `vbscript:` and unknown schemes are dropped, also in the disguises that browsers undo.
    """
    text = html.unescape(str(value)) if hasattr(value, "__html__") else str(value)
    text = _IGNORED_IN_URLS.sub("", text).strip(_C0_AND_SPACE)
    scheme = _SCHEME.match(text)
    return text if scheme is None or scheme[1].lower() in _SAFE_SCHEMES else UNSAFE_URL


@pass_eval_context
def urlize(eval_ctx: EvalContext, value: object, *args: Any, **options: Any) -> str:
    """Turn addresses in text into links, as Jinja2's filter; text it would be slow on stays text."""
    text = str(escape(value)) if eval_ctx.autoescape else str(value)
    mark: Callable[[str], str] = Markup if eval_ctx.autoescape else str
    if len(text) > MAX_TEXT:
        return mark(text)
    words = re.split(r"(\s+)", text)
    if all(map(_is_linkable, words)):
        return do_urlize(eval_ctx, mark(text), *args, **options)
    return mark("".join(do_urlize(eval_ctx, mark(w), *args, **options) if _is_linkable(w) else w for w in words))


def _is_linkable(word: str) -> bool:
    # Jinja2's pattern for trailing punctuation takes quadratic time on long runs of it.
    return len(word) <= _LONGEST_LINK and _PUNCTUATION_RUN.search(word) is None


def striptags(value: object) -> str:
    """Remove tags and comments and collapse white space, in linear time."""
    text = str(value.__html__()) if hasattr(value, "__html__") else str(value)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]
    text = _cut(_cut(text, "<!--", "-->"), "<", ">")
    return html.unescape(" ".join(text.split()))


def _cut(text: str, start: str, end: str) -> str:
    kept: list[str] = []
    position = 0
    while (begin := text.find(start, position)) >= 0 and (stop := text.find(end, begin)) >= 0:
        kept.append(text[position:begin])
        position = stop + len(end)
    kept.append(text[position:])
    return "".join(kept)


@pass_environment
def wordwrap(environment: Environment, value: str, *args: Any, **options: Any) -> str:
    """Wrap text at a width, as Jinja2's filter; text over `MAX_TEXT` characters is passed on unwrapped."""
    return value if len(value) > MAX_TEXT else do_wordwrap(environment, value, *args, **options)


@pass_environment
def truncate(environment: Environment, value: str, *args: Any, **options: Any) -> str:
    """Shorten text, as Jinja2's filter; at most `MAX_TEXT` characters are kept whatever the length asked for."""
    shortened: str = do_truncate(environment, value, *args, **options)
    return shortened if len(shortened) <= MAX_TEXT else shortened[:MAX_TEXT]


#: The filters by the name that templates use.
FILTERS: dict[str, Callable[..., Any]] = {
    "safe_url": safe_url,
    "striptags": striptags,
    "tojson": tojson,
    "truncate": truncate,
    "urlize": urlize,
    "wordwrap": wordwrap,
}
