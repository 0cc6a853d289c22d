"""Security headers: on without being asked for, by media type, and each can be left out."""

from __future__ import annotations

import pytest

from quintet import HTML, App, Request, Response, SecurityHeaders
from quintet.http.security import DEFAULT_CSP
from quintet.testing import Client

ALWAYS = {"x-content-type-options": "nosniff", "referrer-policy": "strict-origin-when-cross-origin"}
PAGES = {
    "content-security-policy": DEFAULT_CSP,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-frame-options": "DENY",
}


@pytest.mark.parametrize("media_type", ["application/json", "text/plain; charset=utf-8", "", "image/png"])
def test_data_has_few(media_type: str) -> None:
    assert dict(SecurityHeaders().for_type(media_type)) == ALWAYS


@pytest.mark.parametrize("media_type", ["text/html; charset=utf-8", "application/xhtml+xml", "image/svg+xml"])
def test_what_a_browser_runs_has_all(media_type: str) -> None:
    assert dict(SecurityHeaders().for_type(media_type)) == ALWAYS | PAGES


def test_each_can_be_changed_left_out_or_added() -> None:
    headers = SecurityHeaders(
        content_security_policy="frame-ancestors 'self'",
        referrer_policy="",
        permissions_policy="",
        strict_transport_security="max-age=60",
        extra={"X-Own": "1"},
    )
    assert dict(headers.for_type("text/html")) == {
        "x-content-type-options": "nosniff",
        "strict-transport-security": "max-age=60",
        "content-security-policy": "frame-ancestors 'self'",
        "cross-origin-opener-policy": "same-origin",
        "x-own": "1",
    }


def test_every_kind_of_answer_has_them_and_a_handler_may_say_otherwise() -> None:
    app = App(docs=False, security=SecurityHeaders(extra={"x-own": "app"}))

    @app.get("/data")
    async def data() -> dict[str, int]:
        return {}

    @app.get("/page")
    async def page() -> HTML:
        return HTML("")

    @app.get("/own")
    async def own(request: Request) -> Response[str]:
        return Response("", headers={"x-own": "handler", "content-security-policy": "default-src 'none'"})

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    with Client(app, raise_server_exceptions=False) as client:
        for path in ("/data", "/page", "/broken", "/nowhere"):
            assert client.get(path).headers["x-content-type-options"] == "nosniff", path
            assert client.get(path).headers["x-own"] == "app", path
        assert client.get("/page").headers["content-security-policy"] == DEFAULT_CSP
        answer = client.get("/own")
        assert answer.headers.get_list("x-own") == ["handler"]
        assert answer.headers.get_list("content-security-policy") == ["default-src 'none'"]
