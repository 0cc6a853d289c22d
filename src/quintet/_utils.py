"""What must not be shown as it is: secrets in text, control characters in log lines.

Every function here is linear in the length of its input, for it meets hostile text.
"""

from __future__ import annotations

import re

#: What stands in the place of a secret.
MASK = "********"

_WORDS = (
    r"passwords?|passwd|pwd|passphrase|secrets?|tokens?|api[_-]?keys?|[_-]key|authorization|cookies?|dsn|credentials?"
    r"|session[_-]?id|csrf|jwt"
)
_NAME = re.compile(
    rf"passw|secret|token|credential|authoriz|cookie|apikey|api_key|csrf|(?:^|[_\W])(?:{_WORDS}|auth|key|keys|pin|otp|cvv|salt)(?:$|[_\W])",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_QUOTED = r'"(?:[^"\\\n]|\\.){0,4096}"?|' + r"'(?:[^'\\\n]|\\.){0,4096}'?"
_URL = re.compile(r"://(?:([^\s/?#@:'\"]{0,256}):[^\s/?#'\"]{0,256}|[^\s/?#@:'\"]{20,256})@")
_SCHEME = re.compile(r"\b(bearer|basic|digest)\s{1,4}(?![Rr]ealm|auth)[\w.~+/=-]{6,4096}", re.IGNORECASE)
_HEADER = re.compile(
    rf"((?:authorization|cookie|x-api-key)['\"]?\s{{0,4}}[:=]\s{{0,4}}b?)({_QUOTED}|[^\s'\"][^\r\n'\"]{{0,4096}})",
    re.IGNORECASE,
)
_PAIR = re.compile(
    rf"((?:{_WORDS})\w{{0,40}}['\"]?(?:\s{{0,4}}[:=]\s{{0,4}}[bru]{{0,2}}|,\s?b?(?=['\"])))({_QUOTED}|[^\s,;&)}}\]'\"]{{1,4096}})",
    re.IGNORECASE,
)
_SOURCE_PAIR = re.compile(
    rf"((?:{_WORDS})\w{{0,40}}['\"]?\]?\s{{0,4}}(?::\s{{0,4}}\w{{1,40}}\s{{0,4}})?[:=,]\s{{0,4}}(?:\w{{0,20}}[Ss]ecret\w{{0,20}}\()?[bruf]{{0,2}})({_QUOTED})",
    re.IGNORECASE,
)
_JWT = re.compile(r"\beyJ[\w-]{10,4096}\.[\w-]{10,4096}\.[\w-]{0,4096}")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,65536}")

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def is_secret_name(name: str) -> bool:
    """Tell whether a variable, key, header or setting of this name holds a secret."""
    return _NAME.search(_CAMEL.sub("_", name[:200])) is not None


def is_secret_value(value: object) -> bool:
    """Tell whether a value is of a type made for secrets, such as `Secret` or pydantic's `SecretStr`."""
    return any(base.__name__ in {"Secret", "SecretStr", "SecretBytes"} for base in type(value).__mro__)


def mask(text: str) -> str:
    """Replace what looks like a secret.

    Masked are passwords in URLs, `Authorization` and `Cookie` values, bearer tokens, JSON Web Tokens, private keys,
    and the values of `name=value` and `"name": value` pairs whose name says that they are secret.
    """
    if "://" in text:
        text = _URL.sub(_mask_url, text)
    if "-----BEGIN" in text:
        text = _PRIVATE_KEY.sub(f"-----BEGIN PRIVATE KEY----- {MASK} ", text)
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    text = _HEADER.sub(_mask_pair, text)
    text = _PAIR.sub(_mask_pair, text)
    return _SCHEME.sub(rf"\1 {MASK}", text)


def mask_source(line: str) -> str:
    """Replace secrets that are written as literals in a line of source code; other code stays as it is."""
    return _SOURCE_PAIR.sub(_mask_pair, _URL.sub(_mask_url, line))


def _mask_url(match: re.Match[str]) -> str:
    user = match[1]
    return f"://{MASK}@" if user is None else f"://{user}:{MASK}@"


def _mask_pair(match: re.Match[str]) -> str:
    value = match[2]
    quote = value[0] if value[0] in "'\"" else ""
    return f"{match[1]}{quote}{MASK}{quote}" if value != quote * 2 else match[0]


def escape_control(text: str) -> str:
    """Write control characters, line and paragraph separators and direction marks as escapes.

    The result is one line and changes nothing on a terminal.
    """
    if text.isprintable():
        return text
    return _CONTROL.sub(_escape_character, text)


def escape_json_control(document: str) -> str:
    """Write what `escape_control` writes out in a JSON document as JSON's own escapes, so that it stays the same."""
    return document if document.isprintable() else _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def _escape_character(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
