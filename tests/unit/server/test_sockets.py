"""Addresses as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import ConfigurationError
from quintet.server.sockets import Bind, parse_bind


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8000", Bind("tcp", host="127.0.0.1", port=8000)),
        ("example.com:0", Bind("tcp", host="example.com", port=0)),
        ("[::1]:443", Bind("tcp", host="::1", port=443)),
        ("[fe80::1%eth0]:80", Bind("tcp", host="fe80::1%eth0", port=80)),
        (":8000", Bind("tcp", port=8000)),
        ("http://:80", Bind("tcp", port=80, secure=False)),
        ("https://[::]:443/", Bind("tcp", host="::", port=443, secure=True)),
        ("unix:/run/s", Bind("unix", path="/run/s")),
        ("unix:///run/s", Bind("unix", path="/run/s")),
        ("unix:s", Bind("unix", path="s")),
        ("fd://3", Bind("fd", descriptor=3)),
        ("fd://web", Bind("fd", descriptor="web")),
    ],
)
def test_addresses_are_read(text: str, bind: Bind) -> None:
    assert parse_bind(text) == bind


@pytest.mark.parametrize(
    "text",
    ["", "8000", "::1:80", "[::1]", "a:b", "a:80:80", "fd://", "unix:", "ftp://a:80", "a:65536", "a/b:80", "a:٨٠"],
)
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address to listen on"):
        parse_bind(text)


@given(st.text(max_size=30))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        bind = parse_bind(text)
    except ConfigurationError:
        return
    assert 0 <= bind.port <= 65535


@given(st.sampled_from(["h", "127.0.0.1", "::1", ""]), st.integers(0, 65535))
def test_an_address_is_shown_as_it_is_written(host: str, port: int) -> None:
    bind = Bind("tcp", host=host, port=port)
    assert parse_bind(str(bind).removeprefix("*")) == bind
