"""Who sent a request that came through proxies: X-Forwarded-* or Forwarded (RFC 7239), from trusted peers only.

Every proxy appends what it saw, so a list is read from its right end, and as far as the writers are trusted. Whatever
is not understood exactly counts as not said. Names with an underscore (`X_Forwarded_For`) are never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, Protocol, TypeAlias

import msgspec

from quintet.errors import ConfigurationError, Problem
from quintet.http.host import HostPolicy, valid_host

#: The number of list entries that are looked at, from the right.
MAX_HOPS = 32

_Network: TypeAlias = "IPv4Network | IPv6Network"
_REMEMBERED = 1024
_LONGEST_ENTRY = 1000
_PAIR = re.compile(r'(?P<name>[A-Za-z0-9_-]+)=(?:(?P<token>[!#$%&\'*+\-.^_`|~0-9A-Za-z]+)|"(?P<quoted>[^"\\]*)")')
_NODE = re.compile(r"(?:(?P<v4>[0-9.]{7,15})|\[(?P<v6>[0-9A-Fa-f:.]{2,45})\])(?::(?P<port>[0-9]{1,5}))?")


class HeaderReader(Protocol):
    """What reads a header field by its lower-case name, several lines joined by commas."""

    def get(self, name: str, /) -> str | None:
        """Return the value, or None where the field is absent."""
        ...


class Client(msgspec.Struct, frozen=True):
    """Who sent a request, and what for, as far as it is known."""

    #: The address; empty for a Unix socket.
    host: str
    #: `http` or `https`.
    scheme: str = "http"
    #: The client's port where a proxy told it.
    port: int | None = None
    #: The host the client asked for where a proxy told it; valid, but not yet held against the allow-list.
    authority: str | None = None


class _Hop(msgspec.Struct):
    """What one proxy says about the request it received."""

    node: str
    scheme: str | None = None
    authority: str | None = None


class ProxyPolicy:
    """Which proxies are believed, and by which header.

    Args:
        trusted: addresses and networks of proxies; `unix` for peers on a Unix socket, `*` for every peer.
        hops: the number of proxies every request passes. Without it the client is the right-most address that is not
            trusted; with it, the address that many entries from the right.
        header: the family that the proxies write. The other one is ignored, as proxies pass it on unread.

    Raises:
        ConfigurationError: an entry is not a network, or `*` comes without `hops`.
    """

    __slots__ = ("_all", "_known", "_networks", "_unix", "header", "hops", "hosts", "trusted")

    def __init__(
        self,
        trusted: Iterable[str] = (),
        hops: int | None = None,
        header: Literal["forwarded", "x-forwarded"] = "x-forwarded",
    ) -> None:
        self.trusted: tuple[str, ...] = tuple(trusted)
        self.hops: int | None = hops
        self.header: str = header
        #: The hosts that are served: a proxy that passes on another one from its client is not believed in this.
        self.hosts: HostPolicy | None = None
        self._all: bool = "*" in self.trusted
        self._unix: bool = "unix" in self.trusted
        self._known: dict[str, bool] = {}
        problems = _check_options(self._all, hops, header)
        self._networks: list[_Network] = []
        for entry in self.trusted:
            if entry in ("*", "unix"):
                continue
            try:
                self._networks.append(ip_network(entry))
            except ValueError as exc:
                problems.append(_wrong_network(entry, exc))
        if problems:
            raise ConfigurationError(problems)

    def __repr__(self) -> str:
        return f"ProxyPolicy({self.trusted!r}, hops={self.hops!r}, header={self.header!r})"

    def trusts(self, peer: str) -> bool:
        """Tell whether a peer's headers are believed."""
        known = self._known.get(peer)
        if known is None:
            known = self._all or self._listed(peer)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[peer] = known
        return known

    def resolve(self, peer: str, headers: HeaderReader, *, scheme: str = "http") -> Client:
        """Return who sent a request.

        Args:
            peer: the address of the connection; empty for a Unix socket.
            headers: the request's header fields.
            scheme: how the connection itself came in.
        """
        if not self.trusts(peer):
            return Client(peer, scheme)
        client = self._resolve(peer, headers, scheme)
        if client.authority is not None and self.hosts is not None and not self.hosts.allows(client.authority):
            return msgspec.structs.replace(client, authority=None)
        return client

    def _resolve(self, peer: str, headers: HeaderReader, scheme: str) -> Client:
        if self.header == "forwarded":
            return self._walk(Client(peer, scheme), _read_forwarded(headers.get("forwarded") or ""))
        found = self._walk(Client(peer, scheme), _read_addresses(headers.get("x-forwarded-for") or ""))
        proto = headers.get("x-forwarded-proto")
        return Client(
            found.host,
            scheme if proto is None else _exact_scheme(proto),
            found.port,
            _valid_authority(headers.get("x-forwarded-host")),
        )

    def _walk(self, client: Client, hops: Iterator[_Hop]) -> Client:
        """Follow the hops from the nearest one, as long as the one who wrote the next is trusted."""
        for count, hop in enumerate(hops):
            if count == self.hops or (self.hops is None and not self.trusts(client.host)):
                break
            scheme = client.scheme if hop.scheme is None else _exact_scheme(hop.scheme)
            authority = _valid_authority(hop.authority)
            node = _parse_node(hop.node)
            if node is None:  # `unknown` or hidden: the nearest known proxy stands for the client
                return Client(client.host, scheme, client.port, authority)
            client = Client(node[0], scheme, node[1], authority)
        return client

    def _listed(self, peer: str) -> bool:
        if not peer:
            return self._unix
        try:
            address = _plain(ip_address(peer))
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _read_addresses(text: str) -> Iterator[_Hop]:
    """Yield the entries of X-Forwarded-For from the right."""
    for entry in _from_right(text):
        node = entry
        if entry.count(":") > 1 and not entry.startswith("["):  # IPv6 comes without brackets here
            node = f"[{entry}]"
        yield _Hop(node)


def _read_forwarded(text: str) -> Iterator[_Hop]:
    """Yield the elements of Forwarded from the right, up to the first malformed one.

    A comma inside quotes ends an element too, which makes that one malformed: what a client wrote on the left can
    never change how the right is read.
    """
    for element in _from_right(text):
        values: dict[str, str] = {}
        for pair in element.split(";"):
            found = _PAIR.fullmatch(pair.strip(" \t"))
            if found is None:
                return
            name = found["name"].lower()
            if name in values:
                return
            values[name] = found["token"] or found["quoted"] or ""
        yield _Hop(values.get("for", ""), values.get("proto"), values.get("host"))


def _from_right(text: str) -> Iterator[str]:
    # An empty entry ends the list too: a trusted proxy wrote it for a client that it does not know.
    entries = text.rsplit(",", MAX_HOPS)[-MAX_HOPS:]
    for entry in reversed(entries):
        entry = entry.strip(" \t")
        if not entry or len(entry) > _LONGEST_ENTRY:
            return
        yield entry


def _parse_node(text: str) -> tuple[str, int | None] | None:
    found = _NODE.fullmatch(text)
    if found is None:
        return None
    try:
        address = ip_address(found["v4"] or found["v6"])
    except ValueError:
        return None
    port = found["port"]
    if port is not None and int(port) > 65535:
        return None
    return str(_plain(address)), None if port is None else int(port)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 socket shows as `::ffff:192.0.2.1`."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _exact_scheme(text: str) -> str:
    # A list, capitals or anything else leaves room for doubt, and doubt is not secure.
    return "https" if text == "https" else "http"


def _valid_authority(text: str | None) -> str | None:
    return text if text is not None and valid_host(text) else None


def _check_options(everyone: bool, hops: int | None, header: str) -> list[Problem]:
    problems: list[Problem] = []
    if everyone and hops is None:
        problems.append(
            Problem(
                id="proxies.hops",
                where="trusted_proxies",
                message="'*' trusts every address, so the client cannot be told from a proxy",
                fix="set proxy_hops to the number of proxies, or list their networks",
            )
        )
    if hops is not None and not 1 <= hops <= MAX_HOPS:
        problems.append(
            Problem(
                id="proxies.hops",
                where="proxy_hops",
                message=f"{hops} is not a number of proxies",
                fix=f"give a number from 1 to {MAX_HOPS}",
            )
        )
    if header not in ("forwarded", "x-forwarded"):
        problems.append(
            Problem(
                id="proxies.header",
                where="proxy_header",
                message=f"{header!r} is not a family of proxy headers",
                fix="give 'x-forwarded' or 'forwarded'",
            )
        )
    return problems


def _wrong_network(entry: str, exc: ValueError) -> Problem:
    return Problem(
        id="proxies.network",
        where="trusted_proxies",
        message=str(exc)[:200],
        fix=f"write {entry[:50]!r} as an address ('10.0.0.5'), a network ('10.0.0.0/8'), 'unix' or '*'",
    )
