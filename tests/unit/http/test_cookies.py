from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.http.cookies import MAX_COOKIES, format_cookie, parse_cookies

OCTETS = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '",;\\')
TOKENS = "abcXYZ019!#$%&'*+-.^_`|~"


def test_cookies_are_read_by_name() -> None:
    assert parse_cookies("a=1; b=2;c=3 ;\td = 4") == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert parse_cookies("a=b=c; d=") == {"a": "b=c", "d": ""}
    assert parse_cookies("") == {}


def test_the_first_cookie_of_a_name_counts() -> None:
    assert parse_cookies("id=deep; id=shallow") == {"id": "deep"}


def test_quotes_around_a_value_are_removed_and_nothing_is_unescaped() -> None:
    assert parse_cookies('a="x y"; b="; c="\\061"; d=""') == {"a": "x y", "b": '"', "c": "\\061", "d": ""}


def test_f5_cookies_without_a_name_are_ignored() -> None:
    assert parse_cookies("=__Host-session=x") == {}
    assert parse_cookies("__Host-session; = ; ;;a=1") == {"a": "1"}


@pytest.mark.parametrize("space", ["\xa0", "\x0b", "\x0c", "\x1f", "\x85"])
def test_only_spaces_and_tabs_are_cut_off_a_name(space: str) -> None:
    assert "__Host-session" not in parse_cookies(f"{space}__Host-session=x")


def test_f5_ten_thousand_cookies_are_capped() -> None:
    assert len(parse_cookies("; ".join(f"c{n}={n}" for n in range(10_000)))) == MAX_COOKIES


@pytest.mark.parametrize("unit", ['"', "\\", ";", "=", "; ", 'a="\\', ' ;="'])
def test_f5_reading_is_linear(unit: str) -> None:
    start = time.process_time()
    parse_cookies(unit * (60_000 // len(unit)))
    parse_cookies('a="' + unit * (60_000 // len(unit)))
    assert time.process_time() - start < 1


@given(st.text())
def test_reading_never_fails(text: str) -> None:
    for name, value in parse_cookies(text).items():
        assert name
        assert ";" not in name + value


def test_the_defaults_are_the_safe_ones() -> None:
    assert format_cookie("id", "x") == "id=x; Path=/; Secure; HttpOnly; SameSite=Lax"


def test_every_attribute_is_written() -> None:
    assert (
        format_cookie(
            "id",
            "x",
            max_age=60,
            expires=datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC),
            path="/app",
            domain=".example.com",
            samesite="none",
            partitioned=True,
        )
        == "id=x; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=60; Domain=example.com; Path=/app; "
        "Secure; HttpOnly; SameSite=None; Partitioned"
    )
    assert format_cookie("id", "", max_age=0, secure=False, httponly=False, samesite=None) == "id=; Max-Age=0; Path=/"


@given(st.text(TOKENS, min_size=1, max_size=20), st.text(OCTETS, max_size=50))
def test_what_is_written_is_read_again(name: str, value: str) -> None:
    pair = format_cookie(name, value, secure=True).split(";")[0] if not name.startswith("__") else f"{name}={value}"
    assert parse_cookies(pair) == {name: value}


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a\r\n", "é", '"a"', "a,b"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a token"):
        format_cookie(name, "x")


@pytest.mark.parametrize("value", ["a b", "a;b", "a,b", 'a"b', "a\\b", "a\r\nb", "é", "a\0", "\x7f", "x\n"])
def test_a_value_that_cannot_be_carried_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="encode it first"):
        format_cookie("id", value)


@pytest.mark.parametrize(
    "options",
    [
        {"path": "/; Domain=evil"},
        {"path": "app"},
        {"path": ""},
        {"path": "/\r\nX: 1"},
        {"path": "/" + "a" * 1024},
        {"samesite": "x\r\n"},
        {"samesite": ""},
        {"samesite": "None", "secure": False},
        {"partitioned": True, "secure": False},
        {"domain": ""},
        {"domain": "a b"},
        {"domain": "evil; Path=/"},
        {"domain": "bücher.example"},
        {"domain": "a..b"},
        {"domain": "a" * 300},
        {"expires": datetime(2026, 1, 1)},  # noqa: DTZ001  a naive one is what is tested
    ],
)
def test_a20_attributes_that_break_out_or_contradict_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        format_cookie("id", "x", **options)  # type: ignore[arg-type]


def test_a_cookie_browsers_would_drop_is_refused() -> None:
    assert format_cookie("id", "x" * 4094)
    with pytest.raises(ValueError, match="4096"):
        format_cookie("id", "x" * 4095)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("__Secure-a", {"secure": False}),
        ("__secure-a", {"secure": False}),
        ("__Host-a", {"secure": False}),
        ("__Host-a", {"path": "/app"}),
        ("__HOST-a", {"domain": "example.com"}),
        ("__Http-a", {"httponly": False}),
        ("__Host-Http-a", {"httponly": False}),
    ],
)
def test_a_prefix_must_be_true(name: str, options: dict[str, object]) -> None:
    assert format_cookie(name, "x")
    with pytest.raises(ValueError, match="prefix"):
        format_cookie(name, "x", **options)  # type: ignore[arg-type]
