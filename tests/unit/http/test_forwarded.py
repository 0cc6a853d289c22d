from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import ConfigurationError
from quintet.http.forwarded import Client, ProxyPolicy
from quintet.http.headers import Headers
from quintet.http.host import HostPolicy

PROXY = "10.0.0.1"


def fields(**values: str) -> Headers:
    return Headers([(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()])


def resolve(policy: ProxyPolicy, peer: str = PROXY, scheme: str = "http", **values: str) -> Client:
    return policy.resolve(peer, fields(**values), scheme=scheme)


TRUSTING = ProxyPolicy(("10.0.0.0/8",))
RFC7239 = ProxyPolicy(("10.0.0.0/8",), header="forwarded")


@pytest.mark.parametrize("policy", [TRUSTING, RFC7239, ProxyPolicy(), ProxyPolicy(("unix",))])
@pytest.mark.parametrize("peer", ["192.0.2.1", "::1", "not an address"])
def test_g2_an_untrusted_peer_is_not_believed(policy: ProxyPolicy, peer: str) -> None:
    client = resolve(
        policy,
        peer,
        x_forwarded_for="6.6.6.6",
        x_forwarded_proto="https",
        x_forwarded_host="evil",
        forwarded="for=6.6.6.6;proto=https;host=evil",
        x_real_ip="6.6.6.6",
    )
    assert client == Client(peer, "http")


def test_g3_the_right_most_untrusted_address_is_the_client() -> None:
    assert resolve(TRUSTING, x_forwarded_for="6.6.6.6, 1.1.1.1").host == "1.1.1.1"
    assert resolve(TRUSTING, x_forwarded_for="6.6.6.6, 1.1.1.1, 10.9.9.9").host == "1.1.1.1"
    assert resolve(TRUSTING, x_forwarded_for="10.0.0.3, 10.0.0.2").host == "10.0.0.3"
    assert resolve(TRUSTING).host == PROXY


def test_a_number_of_hops_counts_from_the_right() -> None:
    policy = ProxyPolicy(("*",), hops=2)
    assert resolve(policy, x_forwarded_for="6.6.6.6, 1.1.1.1, 2.2.2.2").host == "1.1.1.1"
    assert resolve(policy, x_forwarded_for="1.1.1.1").host == "1.1.1.1"
    assert resolve(ProxyPolicy((PROXY,), hops=1), x_forwarded_for="6.6.6.6, 10.0.0.7").host == "10.0.0.7"


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", None),
        ("192.0.2.1:80", "192.0.2.1", 80),
        ("2001:DB8::1", "2001:db8::1", None),
        ("[2001:db8::1]:443", "2001:db8::1", 443),
        ("::ffff:192.0.2.1", "192.0.2.1", None),
        ("unknown", PROXY, None),
        ("010.8.8.8", PROXY, None),
        ("1.1.1.1:99999", PROXY, None),
        ("1.1.1.1, ", PROXY, None),
        ("<script>", PROXY, None),
        ("fe80::1%eth0", PROXY, None),
    ],
)
def test_addresses_are_read_exactly_or_not_at_all(entry: str, host: str, port: int | None) -> None:
    client = resolve(TRUSTING, x_forwarded_for=f"6.6.6.6, {entry}")
    assert (client.host, client.port) == (host, port)


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [
        ("https", "https"),
        ("http", "http"),
        ("https, http", "http"),
        ("HTTPS", "http"),
        ("https,https", "http"),
        ("", "http"),
    ],
)
def test_g4_a_scheme_in_doubt_is_not_secure(proto: str, scheme: str) -> None:
    assert resolve(TRUSTING, scheme="https", x_forwarded_proto=proto).scheme == scheme
    if proto and "," not in proto:
        assert resolve(RFC7239, scheme="https", forwarded=f"for=1.1.1.1;proto={proto}").scheme == scheme


def test_a_scheme_nobody_speaks_of_is_that_of_the_connection() -> None:
    assert resolve(TRUSTING, scheme="https").scheme == "https"
    assert resolve(RFC7239, scheme="https", forwarded="for=1.1.1.1").scheme == "https"


def test_repeated_scheme_lines_are_in_doubt() -> None:
    raw = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-proto", b"http")]
    assert TRUSTING.resolve(PROXY, Headers(raw)).scheme == "http"


def test_the_authority_must_be_a_host() -> None:
    assert resolve(TRUSTING, x_forwarded_host="example.com:8443").authority == "example.com:8443"
    for wrong in "a, b", "a@evil.com", "a/b", "":
        assert resolve(TRUSTING, x_forwarded_host=wrong).authority is None


@pytest.mark.parametrize("underscored_first", [True, False])
def test_a16_names_with_underscores_are_not_looked_at(underscored_first: bool) -> None:
    raw = [(b"x_forwarded_for", b"6.6.6.6"), (b"x-forwarded-for", b"1.1.1.1")]
    assert TRUSTING.resolve(PROXY, Headers(raw if underscored_first else raw[::-1])).host == "1.1.1.1"


def test_only_the_chosen_family_counts() -> None:
    assert resolve(TRUSTING, forwarded="for=1.1.1.1;proto=https").host == PROXY
    assert resolve(RFC7239, x_forwarded_for="1.1.1.1", x_forwarded_proto="https") == Client(PROXY)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("for=192.0.2.60;proto=https;by=203.0.113.43", Client("192.0.2.60", "https")),
        ('For="[2001:db8:cafe::17]:4711"', Client("2001:db8:cafe::17", "http", 4711)),
        ('for=192.0.2.43, For="192.0.2.44:80"; Host="a.example:8"', Client("192.0.2.44", "http", 80, "a.example:8")),
        ("for=1.1.1.1;proto=https, for=10.2.2.2;proto=http", Client("1.1.1.1", "https")),
        ("for=unknown;proto=https", Client(PROXY, "https")),
        ("for=_hidden;proto=https;host=a", Client(PROXY, "https", None, "a")),
        ("proto=https", Client(PROXY, "https")),
        ('for="6.6.6.6, for=1.1.1.1', Client("1.1.1.1")),
        ('for="6.6.6.6\\", for=1.1.1.1;proto=https', Client("1.1.1.1", "https")),
        ("for=1.1.1.1;for=6.6.6.6", Client(PROXY)),
        ("for=1.1.1.1;", Client(PROXY)),
        ("for = 1.1.1.1", Client(PROXY)),
        ("for=[::1]", Client(PROXY)),
        ("1.1.1.1", Client(PROXY)),
        ("", Client(PROXY)),
        ("for=1.1.1.1,", Client(PROXY)),
        ('for=1.1.1.1;proto=https;host="a@evil"', Client("1.1.1.1", "https")),
    ],
)
def test_forwarded_is_read_from_the_right_and_exactly(text: str, want: Client) -> None:
    assert resolve(RFC7239, forwarded=text) == want


def test_a_unix_socket_is_trusted_when_it_is_listed() -> None:
    assert resolve(ProxyPolicy(("unix",)), "", x_forwarded_for="1.1.1.1").host == "1.1.1.1"
    assert resolve(TRUSTING, "", x_forwarded_for="1.1.1.1").host == ""


def test_an_ipv4_peer_on_an_ipv6_socket_is_itself() -> None:
    assert resolve(TRUSTING, "::ffff:10.0.0.1", x_forwarded_for="1.1.1.1").host == "1.1.1.1"
    assert ProxyPolicy(("2001:db8::/32",)).trusts("2001:db8::5")


@pytest.mark.parametrize(
    "options",
    [
        {"trusted": ("*",)},
        {"trusted": ("10.0.0.1/8",)},
        {"trusted": ("proxy.example",)},
        {"trusted": ("",)},
        {"trusted": ("10.0.0.1",), "hops": 0},
        {"trusted": ("10.0.0.1",), "hops": 1000},
        {"trusted": ("10.0.0.1",), "header": "x-real-ip"},
    ],
)
def test_a_wrong_policy_is_a_configuration_error(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ProxyPolicy(**options)
    assert caught.value.problems[0].fix


@given(st.text() | st.text(st.sampled_from('for=1.,;"[]: proto\\')))
def test_hostile_fields_never_fail(text: str) -> None:
    raw = text.encode("utf-8", "replace")
    names = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    for policy in TRUSTING, RFC7239, ProxyPolicy(("*",), hops=3, header="forwarded"):
        client = policy.resolve(PROXY, Headers([(name, raw) for name in names]))
        assert client.scheme in ("http", "https")


@pytest.mark.parametrize("unit", [",", ";", '"', 'for="', "for=10.0.0.1,", "10.0.0.1,", "-", " ", "a=b;", ":", "1"])
def test_h7_reading_is_linear(unit: str) -> None:
    text = unit * (60_000 // len(unit))
    start = time.process_time()
    for policy in TRUSTING, RFC7239:
        resolve(policy, forwarded=text, x_forwarded_for=text, x_forwarded_proto=text, x_forwarded_host=text)
    assert time.process_time() - start < 1


def test_a_forwarded_host_that_is_not_served_is_not_believed() -> None:
    policy = ProxyPolicy(("10.0.0.0/8",))
    policy.hosts = HostPolicy(("example.com",))
    assert resolve(policy, x_forwarded_host="evil.example").authority is None
    assert resolve(policy, x_forwarded_host="example.com").authority == "example.com"
