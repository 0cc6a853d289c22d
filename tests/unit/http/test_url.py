"""Request targets: what is a path, and what is refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import BadRequest
from quintet.http.request import quote_path
from quintet.http.url import check_path, decode_path, split_target


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/a%20b", "/a b"),
        (b"/%C3%A9", "/é"),
        (b"/%c3%a9", "/é"),
        (b"/a%2Fb", "/a/b"),
        (b"/a+b", "/a+b"),
        (b"/%2e%2e/x", "/../x"),
        (b"/%25zz", "/%zz"),
        (b"/%252e", "/%2e"),
        ("/é".encode(), "/é"),
    ],
)
def test_a_path_is_decoded_once(raw: bytes, path: str) -> None:
    assert decode_path(raw) == path


@pytest.mark.parametrize(
    "raw", [b"/%", b"/%z", b"/%1", b"/%zz", b"/%ff", b"/\xff", b"/%00", b"/a%0a", b"/%7f", b"a", b"", b"*"]
)
def test_a_path_that_cannot_be_read_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_path(raw)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_path_or_a_bad_request(raw: bytes) -> None:
    try:
        path = decode_path(b"/" + raw)
    except BadRequest:
        return
    assert path.startswith("/")
    assert not any(c < " " or c == "\x7f" for c in path)
    assert check_path(path) == path


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_a_quoted_path_is_read_as_it_was(text: str) -> None:
    assert decode_path(quote_path("/" + text).encode()) == "/" + text
    assert decode_path(quote("/" + text, safe="").encode()) == "/" + text


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"/a?b=c", (b"/a", b"b=c", None)),
        (b"/a?b?c", (b"/a", b"b?c", None)),
        (b"/a?", (b"/a", b"", None)),
        (b"//a", (b"//a", b"", None)),
        (b"http://host:80/a?b", (b"/a", b"b", b"host:80")),
        (b"HTTPS://host", (b"/", b"", b"host")),
        (b"http://host?b=c", (b"/", b"b=c", b"host")),
        (b"/http://host/", (b"/http://host/", b"", None)),
    ],
)
def test_a_target_is_split(target: bytes, parts: tuple[bytes, bytes, bytes | None]) -> None:
    assert split_target(target) == parts


@pytest.mark.parametrize("target", [b"a", b"*", b"", b"host:80", b"ftp://host/", b"/a#b", b"http://host/#b"])
def test_a_target_of_another_form_is_refused(target: bytes) -> None:
    with pytest.raises(BadRequest):
        split_target(target)
