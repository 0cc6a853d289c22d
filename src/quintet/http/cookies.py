"""Cookies (RFC 6265 and its revision, 6265bis): reading the Cookie field, writing Set-Cookie.

Reading never fails: what is not `name=value` is passed over. Writing is strict and its defaults are the safe ones.
"""

from __future__ import annotations

import re
from datetime import datetime

from quintet.http.dates import http_date
from quintet.http.headers import is_token

#: The number of cookies read from one request; browsers keep fewer than 200 for a site.
MAX_COOKIES = 500
#: The longest name and value together, in bytes; browsers drop what is longer.
MAX_COOKIE_SIZE = 4096
#: The longest attribute value, in bytes; browsers drop what is longer.
MAX_ATTRIBUTE_SIZE = 1024

_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")
_PATH = re.compile(r"/[ -:<-~]*")
_DOMAIN = re.compile(r"\.?[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
_SAMESITE = {"strict": "Strict", "lax": "Lax", "none": "None"}


def parse_cookies(header: str) -> dict[str, str]:
    """Return the cookies by name.

    The first cookie of a name counts: browsers send the one with the longest path first. A cookie without a name is
    ignored, as `=__Host-id=x` would else pass for a protected one, and only spaces and tabs around a name are cut off,
    for the same reason. One pair of quotes around a value is removed; nothing is unescaped. At most `MAX_COOKIES`
    are read.
    """
    pairs = header.split(";", MAX_COOKIES)
    del pairs[MAX_COOKIES:]
    cookies: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip(" \t")
        if equals and name and name not in cookies:
            value = value.strip(" \t")
            if len(value) > 1 and value[0] == '"' == value[-1]:
                value = value[1:-1]
            cookies[name] = value
    return cookies


def format_cookie(
    name: str,
    value: str,
    *,
    max_age: int | None = None,
    expires: datetime | float | None = None,
    path: str = "/",
    domain: str | None = None,
    secure: bool = True,
    httponly: bool = True,
    samesite: str | None = "Lax",
    partitioned: bool = False,
) -> str:
    """Return the value of a Set-Cookie field.

    Args:
        name: a token. The prefixes `__Secure-`, `__Host-`, `__Http-` and `__Host-Http-` demand what they promise.
        value: printable ASCII without space, quotes, comma, semicolon and backslash; encode other text first.
        max_age: seconds the cookie lives; 0 deletes it. Without it and `expires` it ends with the browser's session.
        expires: when it ends, for old clients; an aware datetime or seconds since 1970.
        path: the path it is sent to, and all below.
        domain: the domain it is sent to, and all below; without it this very host only.
        secure: send it over HTTPS only.
        httponly: hide it from scripts.
        samesite: `Lax`, `Strict`, or `None`; the value None leaves the attribute out.
        partitioned: keep it apart for each top-level site.

    Raises:
        ValueError: the name, the value or an attribute cannot be sent, or they contradict each other.
    """
    _check_name_and_value(name, value)
    parts = [f"{name}={value}"]
    if expires is not None:
        parts.append(f"Expires={http_date(expires)}")
    if max_age is not None:
        parts.append(f"Max-Age={int(max_age)}")
    if domain is not None:
        parts.append(f"Domain={_checked_domain(domain)}")
    parts.append(f"Path={_checked_path(path)}")
    if secure:
        parts.append("Secure")
    if httponly:
        parts.append("HttpOnly")
    if samesite is not None:
        parts.append(f"SameSite={_checked_samesite(samesite, secure)}")
    if partitioned:
        if not secure:
            raise ValueError("a partitioned cookie needs secure=True")
        parts.append("Partitioned")
    _check_prefix(name, path, domain, secure, httponly)
    return "; ".join(parts)


def _check_name_and_value(name: str, value: str) -> None:
    if not is_token(name):
        raise ValueError(f"the cookie name {name[:100]!r} is not a token: use letters, digits, hyphens and underscores")
    if _VALUE.fullmatch(value) is None:
        raise ValueError(
            f"the value of the cookie {name!r} has a character that a cookie cannot carry; "
            "encode it first, with urllib.parse.quote or base64"
        )
    if len(name) + len(value) > MAX_COOKIE_SIZE:
        raise ValueError(f"the cookie {name!r} is longer than {MAX_COOKIE_SIZE} bytes, so browsers would drop it")


def _checked_path(path: str) -> str:
    if _PATH.fullmatch(path) is None:
        raise ValueError(f"the cookie path {path[:100]!r} must begin with '/' and be ASCII without semicolons")
    if len(path) > MAX_ATTRIBUTE_SIZE:
        raise ValueError(f"a cookie path longer than {MAX_ATTRIBUTE_SIZE} bytes is ignored by browsers")
    return path


def _checked_domain(domain: str) -> str:
    if len(domain) > 254 or _DOMAIN.fullmatch(domain) is None:
        raise ValueError(f"the cookie domain {domain[:100]!r} is not a domain name; write an international one in IDNA")
    return domain.removeprefix(".")


def _checked_samesite(samesite: str, secure: bool) -> str:
    known = _SAMESITE.get(samesite.lower())
    if known is None:
        raise ValueError(f"samesite is 'Strict', 'Lax' or 'None', not {samesite[:100]!r}")
    if known == "None" and not secure:
        raise ValueError("a cookie with samesite='None' needs secure=True")
    return known


def _check_prefix(name: str, path: str, domain: str | None, secure: bool, httponly: bool) -> None:
    folded = name.lower()  # browsers compare the prefixes without case
    if not folded.startswith(("__secure-", "__host-", "__http-")):
        return
    if not secure:
        raise ValueError(f"the prefix of the cookie {name!r} needs secure=True")
    if folded.startswith("__host-") and (path != "/" or domain is not None):
        raise ValueError(f"the prefix of the cookie {name!r} needs path='/' and no domain")
    if folded.startswith(("__http-", "__host-http-")) and not httponly:
        raise ValueError(f"the prefix of the cookie {name!r} needs httponly=True")
