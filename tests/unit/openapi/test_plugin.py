from __future__ import annotations

import re

import pytest
from openapi_spec_validator import validate

from quintet.errors import Unauthorized
from quintet.factory import App
from quintet.http.request import Request
from quintet.openapi.page import ASSETS, build_policy
from quintet.openapi.plugin import OpenAPIPlugin
from quintet.testing.client import Client


def test_the_document_and_its_page_are_served():
    with Client(App(title="Shop")) as client:
        document = client.get("/openapi.json")
        assert document.headers["content-type"] == "application/json"
        validate(document.json())
        page = client.get("/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        for name, media_type in ASSETS.items():
            asset = client.get(f"/docs/assets/{name}")
            assert (asset.status_code, asset.headers["content-type"]) == (200, media_type)


def test_g8_the_page_has_a_strict_policy_and_nothing_inline():
    with Client(App()) as client:
        page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=|https?://", page.text)


def test_e10_a_title_cannot_add_markup():
    with Client(App(title='</script><script>alert(1)</script>"><img src=x onerror=alert(2)>')) as client:
        page = client.get("/docs").text
    assert page.count("<script") == 1
    assert "<img" not in page


def test_g11_without_docs_there_is_nothing():
    with Client(App(docs=False)) as client:
        for path in ("/openapi.json", "/docs", "/docs/assets/docs.js"):
            assert client.get(path).status_code == 404


async def need_login(request: Request) -> None:
    raise Unauthorized("log in")


@pytest.mark.parametrize(("docs", "status"), [(True, 401), ("public", 200)])
def test_g11_a_login_can_be_asked_for(docs: bool | str, status: int):
    app = App(docs=docs)  # type: ignore[arg-type]
    plugin = app.plugins["openapi"]
    assert isinstance(plugin, OpenAPIPlugin)
    plugin.protect = need_login
    with Client(app) as client:
        for path in ("/openapi.json", "/docs", "/docs/assets/docs.js"):
            assert client.get(path).status_code == status


def test_an_unchanged_document_is_not_sent_again():
    with Client(App()) as client:
        for path in ("/openapi.json", "/docs/assets/docs.js"):
            etag = client.get(path).headers["etag"]
            assert client.get(path, headers={"if-none-match": etag}).status_code == 304


def test_the_document_follows_routes_added_later():
    app = App()
    with Client(app) as client:
        assert client.get("/openapi.json").json()["paths"] == {}

    @app.get("/later")
    async def later() -> str:
        return ""

    with Client(app) as client:
        assert "/later" in client.get("/openapi.json").json()["paths"]


def test_assets_are_only_those_of_the_page():
    with Client(App()) as client:
        for name in ("nothing.js", "..%2fpage.py", "%2e%2e"):
            assert client.get(f"/docs/assets/{name}").status_code == 404


def test_other_paths():
    app = App(docs=False, plugins=[OpenAPIPlugin(path="/api/schema.json", ui="/api/help")])
    with Client(app) as client:
        assert client.get("/api/schema.json").status_code == 200
        page = client.get("/api/help").text
        assert 'data-document="schema.json"' in page
        assert 'src="help/assets/docs.js"' in page
        assert client.get("/api/help/assets/docs.js").status_code == 200


def test_the_policy_allows_requests_to_declared_servers():
    policy = build_policy([{"url": "https://api.example.org/v1"}, {"url": "/"}, {"url": "https://x;script-src *"}])
    assert "connect-src 'self' https://api.example.org;" in policy
    assert "script-src *" not in policy
