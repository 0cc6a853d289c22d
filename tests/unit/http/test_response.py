"""Responses as a handler makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from quintet import HTML, Page, Redirect, Response, Stream, Template


def cookie(response: Response[None]) -> set[str]:
    (value,) = response.headers.getall("set-cookie")
    return {part.strip() for part in value.split(";")}


def test_a_cookie_has_the_safe_attributes_unless_told_otherwise() -> None:
    response = Response(None)
    response.set_cookie("a", "b")
    assert cookie(response) == {"a=b", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
    response = Response(None)
    response.set_cookie(
        "a",
        "b",
        max_age=timedelta(minutes=1),
        expires=datetime(2030, 1, 1, tzinfo=UTC),
        path="/x",
        domain="example.org",
        secure=False,
        httponly=False,
        samesite=None,
    )
    assert cookie(response) == {
        "a=b", "Max-Age=60", "Expires=Tue, 01 Jan 2030 00:00:00 GMT", "Path=/x", "Domain=example.org",
    }  # fmt: skip


def test_a_cookie_is_forgotten_with_the_path_it_was_set_with() -> None:
    response = Response(None)
    response.delete_cookie("a", path="/x")
    assert {"Max-Age=0", "Path=/x"} <= cookie(response)


def test_cookies_and_headers_are_given_at_once() -> None:
    response = Response(5, 201, headers=[("x-a", "1"), ("x-a", "2")], cookies={"a": "1", "b": "2"})
    assert len(response.headers.getall("set-cookie")) == 2
    assert (response.data, response.status) == (5, 201)


@pytest.mark.parametrize(
    "headers",
    [{"x-a": "1\r\nset-cookie: evil=1"}, {"x-a": "1\x00"}, {"x a": "1"}, {"x-a\n": "1"}, {"x-ä": "1"}, {"": "1"}],
)
def test_a_header_that_cannot_be_sent_is_refused_at_once(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header"):
        Response(None, headers=headers)


@pytest.mark.parametrize(
    ("name", "value"), [("a", "1; domain=evil"), ("a b", "1"), ("a", "x\r\n"), ("", "1"), ("a=b", "1")]
)
def test_a_cookie_that_cannot_be_sent_is_refused_at_once(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="cookie"):
        Response(None, cookies={name: value})


@pytest.mark.parametrize("status", [0, 99, 100, 199, 600, -1])
def test_a_status_that_is_none_is_refused_at_once(status: int) -> None:
    with pytest.raises(ValueError, match="a response has a status from 200 to 599"):
        Response(None, status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_has_a_status_of_redirects(status: int) -> None:
    assert Redirect("/a", status).status == status
    with pytest.raises(ValueError, match="a Redirect has status 301"):
        Redirect("/a", 200)


def test_a_redirect_stays_on_this_host() -> None:
    assert Redirect("/a?b=c#d").headers.get("location") == "/a?b=c#d"
    assert Redirect("/é x").headers.get("location") == "/%C3%A9%20x"
    assert Redirect("https://example.org/x", external=True).location == "https://example.org/x"
    for location in ("https://example.org", "//example.org", "/\\example.org", "javascript:alert(1)", "\t//x"):
        with pytest.raises(ValueError, match="Redirect"):
            Redirect(location)
    with pytest.raises(ValueError, match="Redirect"):
        Redirect("javascript:alert(1)", external=True)


def test_values_are_carried_as_they_are() -> None:
    assert Template("a.html", block="b", x=1).values == {"x": 1}
    assert Page(form=1).values == {"form": 1}
    assert isinstance(HTML("<b>"), str)
    chunks = iter([b"a"])
    assert Stream(chunks).chunks is chunks
