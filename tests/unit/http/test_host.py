from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import ConfigurationError
from quintet.http.host import HostPolicy, split_host, valid_host


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("example.com", ("example.com", None)),
        ("EXAMPLE.com:8000", ("example.com", 8000)),
        ("localhost:0", ("localhost", 0)),
        ("a.b.c.:65535", ("a.b.c.", 65535)),
        ("my_service", ("my_service", None)),
        ("xn--bcher-kva.example", ("xn--bcher-kva.example", None)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]", ("[::1]", None)),
        ("[2001:DB8::1]:443", ("[2001:db8::1]", 443)),
        ("[::ffff:192.0.2.1]", ("[::ffff:192.0.2.1]", None)),
        ("1a.example", ("1a.example", None)),
    ],
)
def test_hosts_are_split(value: str, want: tuple[str, int | None]) -> None:
    assert split_host(value) == split_host(value.encode()) == want
    assert valid_host(value)
    assert valid_host(value.encode())


@pytest.mark.parametrize(
    "value",
    [
        "a@evil.com",
        "a b",
        "a/?x=",
        "a:99999",
        "[::1",
        "a,b",
        "a" * 300,
        ".".join(["a" * 60] * 5),
        "a\t",
        "a\n",
        "",
        ":80",
        "a:",
        "a:+1",
        "a:-1",
        "a:1_0",
        "a:٣",
        "a:80:80",
        "a..b",
        ".a",
        "-a",
        "a-",
        "a" * 64,
        "bücher",
        "a%41",
        "a\0",
        "a\\b",
        "a#b",
        "010.8.8.8",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.4.",
        "256.1.1.1",
        "0x7f.1",
        "evil.0x7f",
        "[1.2.3.4]",
        "[::1%eth0]",
        "[:::1]",
        "[v1.a]",
        "::1",
        "[" + "1:" * 500_000 + "]",
        "*",
    ],
)
def test_a11_other_texts_are_no_hosts(value: str) -> None:
    assert not valid_host(value)
    assert not valid_host(value.encode())
    with pytest.raises(ValueError, match="not a host"):
        split_host(value)


@given(st.text() | st.text(st.sampled_from("a1.:[]-_@/x")) | st.binary())
def test_any_text_is_judged(value: str | bytes) -> None:
    assert HostPolicy().allows(value) == valid_host(value)
    if valid_host(value):
        host, port = split_host(value)
        assert split_host(host if port is None else f"{host}:{port}") == (host, port)


def test_judging_is_linear() -> None:
    start = time.process_time()
    for unit in "a", "a.", "a-", "1.", "[", ":", "0:":
        valid_host(unit * 500_000)
    assert time.process_time() - start < 1


def test_without_a_list_every_valid_host_is_allowed() -> None:
    for policy in HostPolicy(()), HostPolicy(("*",)), HostPolicy(("example.com", "*")):
        assert policy.allows("anything.example:80")
        assert not policy.allows("a b")


def test_exact_names_are_compared_without_case_port_and_final_dot() -> None:
    policy = HostPolicy(("Example.com", "[::1]", "127.0.0.1"))
    for host in "example.com", "EXAMPLE.COM:8000", "example.com.", "[::1]:80", "[0:0::1]", "127.0.0.1":
        assert policy.allows(host), host
        assert policy.allows(host.encode()), host
    for host in "www.example.com", "example.com.evil.net", "evilexample.com", "[::2]", "example.com@evil":
        assert not policy.allows(host), host


def test_a_leading_dot_allows_a_domain_and_what_is_below() -> None:
    policy = HostPolicy((".example.com",))
    assert policy.allows("example.com")
    assert policy.allows("a.b.example.com:1")
    assert not policy.allows("evilexample.com")


def test_a_star_allows_only_what_is_below() -> None:
    policy = HostPolicy(("*.example.com",))
    assert not policy.allows("example.com")
    assert policy.allows("a.example.com")
    assert not policy.allows("example.com.evil.net")


def test_many_hosts_do_not_fill_the_memory() -> None:
    policy = HostPolicy((".example.com",))
    for number in range(3000):
        assert policy.allows(f"h{number}.example.com")
    policy.allows("a" * 1_000_000)
    assert len(policy._known) <= 1024  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    "entry", ["", "https://example.com", "example.com:80", "a/b", "**", "*example.com", "..a", "*."]
)
def test_a_wrong_entry_is_a_configuration_error(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed_hosts"):
        HostPolicy(("ok.example", entry))
