from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.http.headers import Headers, ResponseHeaders, is_token, vary


def test_names_are_found_in_any_case() -> None:
    headers = Headers([(b"content-type", b"text/plain"), (b"X-Name", b"\xe9")])
    assert headers["Content-Type"] == headers.get("CONTENT-TYPE") == "text/plain"
    assert headers["x-name"] == "é"
    assert "X-NAME" in headers
    assert "missing" not in headers
    assert 1 not in headers
    assert headers.get("missing", "default") == "default"
    with pytest.raises(KeyError):
        headers["missing"]


def test_repeated_fields_are_one_list() -> None:
    raw = [(b"accept", b"a"), (b"cookie", b"x=1"), (b"accept", b"b"), (b"cookie", b"y=2"), (b"accept", b"c")]
    headers = Headers(raw)
    assert headers["accept"] == "a, b, c"
    assert headers["cookie"] == "x=1; y=2"
    assert headers.getall("Accept") == ["a", "b", "c"]
    assert headers.getall("missing") == []
    assert list(headers) == ["accept", "cookie"]
    assert len(headers) == 2
    assert headers.raw is raw


def test_a_name_with_an_underscore_is_another_name() -> None:
    headers = Headers([(b"x_forwarded_for", b"6.6.6.6")])
    assert "x-forwarded-for" not in headers


def test_getall_gives_a_list_of_its_own() -> None:
    headers = Headers([(b"a", b"1"), (b"a", b"2")])
    headers.getall("a").clear()
    assert headers.getall("a") == ["1", "2"]


def test_reprs_mask_credentials() -> None:
    assert "hunter2" not in repr(Headers([(b"authorization", b"hunter2"), (b"cookie", b"hunter2")]))
    assert "hunter2" not in repr(ResponseHeaders({"set-cookie": "hunter2"}))
    assert "text/plain" in repr(Headers([(b"accept", b"text/plain")]))


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_any_bytes_can_be_read(raw: list[tuple[bytes, bytes]]) -> None:
    headers = Headers(raw)
    for name, _ in raw:
        assert headers[name.decode("latin-1")] is not None


def test_many_repeated_fields_take_linear_time() -> None:
    start = time.process_time()
    assert len(Headers([(b"a", b"x")] * 60_000)["a"]) == 3 * 60_000 - 2
    assert time.process_time() - start < 2


def test_response_headers_are_set_added_and_removed_by_name() -> None:
    headers = ResponseHeaders({"X-One": "1"})
    headers.add("set-cookie", "a=1")
    headers.add("Set-Cookie", "b=2")
    headers["x-one"] = " 2\t"
    assert headers.items() == [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-one", "2")]
    assert headers.getall("SET-COOKIE") == ["a=1", "b=2"]
    assert headers.get("set-cookie") == headers["Set-Cookie"] == "a=1"
    assert "X-ONE" in headers
    assert len(headers) == 3
    assert list(headers) == ["set-cookie", "x-one"]
    del headers["Set-Cookie"]
    del headers["missing"]
    assert headers.items() == [("x-one", "2")]
    assert headers.setdefault("x-one", "9") == "2"
    assert headers.setdefault("x-two", "3") == "3"
    assert headers == ResponseHeaders([("x-one", "2"), ("x-two", "3")])
    with pytest.raises(KeyError):
        headers["missing"]
    with pytest.raises(TypeError):
        hash(headers)


@pytest.mark.parametrize("name", ["", "X:Y", "a b", "a\r\n", "é", "a\0", "x\n", "(x)"])
def test_a19_a_name_that_is_no_token_is_refused(name: str) -> None:
    headers = ResponseHeaders()
    for change in (headers.set, headers.add, headers.setdefault, headers.__setitem__):
        with pytest.raises(ValueError, match="not a token"):
            change(name, "x")
    assert headers.items() == []


@pytest.mark.parametrize(
    "value", ["a\r\nSet-Cookie: e=1", "a\n", "\r", "a\0b", "\x7f", "\x85", "a\x0bb", "\u20ac", "\u2028", "\ud800"]
)
def test_a19_a_value_that_could_end_the_line_is_refused(value: str) -> None:
    headers = ResponseHeaders({"x": "old"})
    for change in (headers.set, headers.add, headers.__setitem__):
        with pytest.raises(ValueError, match="control or non-Latin-1"):
            change("x", value)
    with pytest.raises(ValueError, match="control"):
        ResponseHeaders({"x": value})
    assert headers.items() == [("x", "old")]


def test_a_refused_secret_is_not_in_the_message() -> None:
    with pytest.raises(ValueError, match="set-cookie") as caught:
        ResponseHeaders().set("set-cookie", "hunter2\n")
    assert "hunter2" not in str(caught.value)


@given(st.text(), st.text())
def test_what_is_accepted_is_one_line(name: str, value: str) -> None:
    headers = ResponseHeaders()
    try:
        headers.add(name, value)
    except ValueError:
        return
    [(key, text)] = headers.items()
    assert is_token(key)
    assert len(f"{key}: {text}".splitlines()) == 1
    assert Headers([(key.encode(), text.encode("latin-1"))])[name] == value.strip(" \t")


def test_vary_merges_names_once() -> None:
    headers = ResponseHeaders({"vary": "Accept, cookie"})
    vary(headers, "Cookie", "accept", "Origin")
    assert headers.getall("vary") == ["Accept, cookie, Origin"]
    vary(headers, "*")
    assert headers["vary"] == "*"
    vary(headers, "Accept")
    assert headers["vary"] == "*"
    vary(empty := ResponseHeaders())
    assert "vary" not in empty
