"""The Host field: its grammar, which every request must keep, and the allow-list of an app.

The grammar is RFC 3986's authority without user information, and of its registered names only what DNS and local
names use: labels of letters, digits, hyphens and underscores. A host is never cleaned up, only accepted or refused.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from quintet.errors import ConfigurationError, Problem

#: The longest Host field, port included.
MAX_HOST_SIZE = 255
#: The number of answers a `HostPolicy` remembers.
_REMEMBERED = 1024

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(
    rf"(?:(?P<name>{_LABEL}(?:\.{_LABEL})*)\.?|\[(?P<v6>[0-9A-Fa-f:.]{{2,45}})\])(?::(?P<port>[0-9]{{1,5}}))?"
)
# A name whose last label is a number is an IPv4 address to browsers (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)")


def valid_host(value: bytes | str) -> bool:
    """Tell whether `value` is a host with or without a port, as a Host field must be."""
    return _parse(value) is not None


def split_host(value: bytes | str) -> tuple[str, int | None]:
    """Return the host in lower case, an IPv6 address in its brackets, and the port if there is one.

    Raises:
        ValueError: `value` is not a valid host.
    """
    parsed = _parse(value)
    if parsed is None:
        raise ValueError(f"{value[:100]!r} is not a host with or without a port")
    return parsed


class HostPolicy:
    """Which hosts an app answers for.

    Args:
        allowed: exact names (`example.com`, `[::1]`); `.example.com` for a domain and everything below it,
            `*.example.com` for what is below it alone; `*` for every valid host. Ports do not matter. Empty: every
            valid host.

    Raises:
        ConfigurationError: an entry is none of these.
    """

    __slots__ = ("_any", "_exact", "_known", "_suffixes", "allowed")

    def __init__(self, allowed: tuple[str, ...] = ()) -> None:
        wrong = [entry for entry in allowed if not _is_pattern(entry)]
        if wrong:
            raise ConfigurationError([_wrong_pattern(entry) for entry in wrong])
        self.allowed: tuple[str, ...] = tuple(allowed)
        entries = [_canonical(entry.lower()) for entry in allowed]
        self._any = not entries or "*" in entries
        self._exact = frozenset(entry.removeprefix(".") for entry in entries if not entry.startswith("*"))
        self._suffixes = tuple(entry.removeprefix("*") for entry in entries if entry.startswith((".", "*.")))
        self._known: dict[bytes | str, bool] = {}

    def __repr__(self) -> str:
        return f"HostPolicy({self.allowed!r})"

    def allows(self, value: bytes | str) -> bool:
        """Tell whether a Host field is valid and allowed."""
        known = self._known.get(value)
        if known is None:
            known = self._decide(value)
            if len(value) <= MAX_HOST_SIZE:  # PERF: the few hosts of an app cost one lookup
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[value] = known
        return known

    def _decide(self, value: bytes | str) -> bool:
        parsed = _parse(value)
        if parsed is None:
            return False
        if self._any:
            return True
        host = _canonical(parsed[0])
        return host in self._exact or host.endswith(self._suffixes)


def _parse(value: bytes | str) -> tuple[str, int | None] | None:
    if len(value) > MAX_HOST_SIZE:
        return None
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    found = _HOST.fullmatch(text)
    if found is None:
        return None
    port = found["port"]
    if port is not None and int(port) > 65535:
        return None
    name, v6 = found["name"], found["v6"]
    if v6 is not None:
        return (f"[{v6.lower()}]", None if port is None else int(port)) if _is_address(IPv6Address, v6) else None
    dot = text[found.end("name") : found.end("name") + 1] == "."
    if _NUMBER.fullmatch(name.rpartition(".")[2]) and (dot or not _is_address(IPv4Address, name)):
        return None
    return name.lower() + ("." if dot else ""), None if port is None else int(port)


def _is_address(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    return True


def _canonical(host: str) -> str:
    """Return the one spelling of a host that is compared: no final dot, IPv6 compressed."""
    if host.startswith("["):
        return f"[{IPv6Address(host[1:-1])}]"
    return host.removesuffix(".")


def _is_pattern(entry: str) -> bool:
    if entry == "*":
        return True
    parsed = _parse(entry.removeprefix("*").removeprefix("."))
    if entry.startswith("*") and not entry.startswith("*."):
        return False
    return parsed is not None and parsed[1] is None


def _wrong_pattern(entry: str) -> Problem:
    return Problem(
        id="hosts.invalid",
        where="allowed_hosts",
        message=f"{entry[:100]!r} is not a host name, '.domain', '*.domain' or '*'",
        fix="give the name alone, without scheme, port and path, such as 'www.example.com'",
    )
