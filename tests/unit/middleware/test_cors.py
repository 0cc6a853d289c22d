from __future__ import annotations

from typing import Any

import pytest

from quintet.errors import ConfigurationError
from quintet.http.connection import Connection
from quintet.http.limits import Limits
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.middleware.cors import cors


async def ask(middleware: Any, method: str = "GET", **fields: str) -> tuple[dict[str, str], bool]:
    """Return the headers of the answer, and whether the app was called."""
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()]
    request = Request(method, "/", b"", raw, dict(raw), b"", Connection("native", "1.2.3.4", "https", Limits()))
    called: list[Request] = []

    async def call_next(request: Request) -> Response[Any]:
        called.append(request)
        return Response("x", headers={"vary": "accept"})

    response = await middleware(request, call_next)
    return dict(response.headers.items()), bool(called)


async def test_a_request_without_an_origin_is_left_alone() -> None:
    headers, called = await ask(cors(["https://a.example"]))
    assert called
    assert headers == {"vary": "accept, origin"}


async def test_an_exact_origin_is_allowed() -> None:
    headers, _ = await ask(cors(["https://a.example"], expose=["x-total"]), origin="https://a.example")
    assert headers["access-control-allow-origin"] == "https://a.example"
    assert headers["access-control-expose-headers"] == "x-total"
    assert "access-control-allow-credentials" not in headers


async def test_the_default_port_may_be_written() -> None:
    headers, _ = await ask(cors(["https://a.example:443"]), origin="https://a.example")
    assert headers["access-control-allow-origin"] == "https://a.example"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://x.a.example", True),
        ("https://x.y.a.example", True),
        ("https://a.example", False),
        ("https://xa.example", False),
        ("https://x.a.example.evil", False),
        ("http://x.a.example", False),
        ("https://x.a.example:8443", False),
        ("https://evil/.a.example", False),
        ("https://evil@x.a.example", False),
        ("https://x.a.example\n", False),
        ("https://-.a.example", False),
    ],
)
async def test_a_pattern_is_anchored(origin: str, allowed: bool) -> None:
    headers, _ = await ask(cors(["https://*.a.example"]), origin=origin)
    assert ("access-control-allow-origin" in headers) is allowed


async def test_every_origin_may_be_allowed_without_credentials() -> None:
    headers, _ = await ask(cors(["*"]), origin="https://anything.example")
    assert headers == {"vary": "accept", "access-control-allow-origin": "*"}


async def test_a_preflight_request_is_answered_without_the_app() -> None:
    middleware = cors(["https://a.example"], methods=["PUT"], headers=["X-Token"], credentials=True, max_age=5)
    fields = {"origin": "https://a.example", "access_control_request_method": "PUT"}
    headers, called = await ask(middleware, "OPTIONS", **fields, access_control_request_headers="x-token")
    assert not called
    assert headers == {
        "vary": "origin, access-control-request-method, access-control-request-headers",
        "access-control-allow-origin": "https://a.example",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PUT",
        "access-control-allow-headers": "x-token",
        "access-control-max-age": "5",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"origin": "https://b.example", "access_control_request_method": "PUT"},
        {"origin": "https://a.example", "access_control_request_method": "DELETE"},
        {"origin": "https://a.example", "access_control_request_method": "put"},
        {
            "origin": "https://a.example",
            "access_control_request_method": "PUT",
            "access_control_request_headers": "x-token, x-other",
        },
    ],
)
async def test_a_preflight_request_for_what_is_not_allowed_gets_nothing(fields: dict[str, str]) -> None:
    headers, called = await ask(cors(["https://a.example"], methods=["PUT"], headers=["x-token"]), "OPTIONS", **fields)
    assert not called
    assert set(headers) == {"vary"}


async def test_any_header_may_be_allowed() -> None:
    fields = {"origin": "https://a.example", "access_control_request_method": "GET"}
    headers, _ = await ask(
        cors(["https://a.example"], headers=["*"]), "OPTIONS", **fields, access_control_request_headers="X-A, x-b"
    )
    assert headers["access-control-allow-headers"] == "x-a, x-b"


async def test_private_networks_are_never_granted() -> None:
    fields = {"origin": "https://a.example", "access_control_request_method": "GET"}
    headers, _ = await ask(
        cors(["https://a.example"]), "OPTIONS", **fields, access_control_request_private_network="true"
    )
    assert not [name for name in headers if "private" in name]


async def test_options_without_a_preflight_goes_to_the_app() -> None:
    _, called = await ask(cors(["https://a.example"]), "OPTIONS", origin="https://a.example")
    assert called


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        cors(["https://a.example/path", "null", "*"], methods=["G T"], credentials=True)
    assert len(caught.value.problems) == 5
