from __future__ import annotations

import base64
from typing import Annotated, Any

import pytest
from openapi_spec_validator import validate

from quintet.errors import Forbidden
from quintet.factory import App
from quintet.handlers.params import Depends
from quintet.http.request import Request
from quintet.openapi.document import build_document
from quintet.openapi.security import ApiKey, BasicCredentials, HTTPBasic, HTTPBearer, OAuth2, ScopedToken, security_of
from quintet.testing.client import Client

bearer = HTTPBearer("JWT")
basic = HTTPBasic("shop")
oauth = OAuth2("/token", authorization_url="/authorize", scopes={"read": "Read."})


async def staff(request: Request) -> None:
    raise Forbidden


staff.__openapi_security__ = security_of("Staff", {"type": "apiKey", "in": "cookie", "name": "staff"})


@pytest.fixture
def app() -> App:
    app = App()

    @app.get("/bearer")
    async def with_bearer(token: Annotated[str, Depends(bearer)]) -> str:
        return token

    @app.get("/basic")
    async def with_basic(user: Annotated[BasicCredentials, Depends(basic)]) -> str:
        return f"{user.username}:{user.password}"

    @app.get("/header")
    async def header(key: Annotated[str, Depends(ApiKey("X-Key"))]) -> str:
        return key

    @app.get("/query")
    async def query(key: Annotated[str, Depends(ApiKey("key", "query", scheme_name="QueryKey"))]) -> str:
        return key

    @app.get("/cookie")
    async def cookie(key: Annotated[str, Depends(ApiKey("key", "cookie", scheme_name="CookieKey"))]) -> str:
        return key

    @app.get("/optional")
    async def optional(token: Annotated[str | None, Depends(HTTPBearer(optional=True))]) -> str:
        return token or "nobody"

    @app.get("/scoped")
    async def scoped(token: Annotated[ScopedToken, Depends(oauth.needs("read"))]) -> str:
        return f"{token.token} {token.scopes}"

    @app.get("/staff", guards=[staff])
    async def only_staff() -> str:
        return ""

    return app


def basic_header(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_credentials_reach_the_handler(app: App):
    with Client(app) as client:
        assert client.get("/bearer", headers={"authorization": "bearer abc"}).text == "abc"
        assert client.get("/basic", headers=basic_header("ada:a:b")).text == "ada:a:b"
        assert client.get("/header", headers={"x-key": "abc"}).text == "abc"
        assert client.get("/query?key=abc").text == "abc"
        assert client.get("/cookie", headers={"cookie": "key=abc"}).text == "abc"
        assert client.get("/optional").text == "nobody"
        assert client.get("/scoped", headers={"authorization": "Bearer abc"}).text == "abc ('read',)"


@pytest.mark.parametrize("path", ["/bearer", "/basic", "/header", "/query", "/cookie", "/scoped"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Digest x"}, {"authorization": "Bearer "}])
def test_without_credentials_the_answer_is_401_and_says_how(app: App, path: str, headers: dict[str, str]):
    with Client(app) as client:
        response = client.get(path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"]


@pytest.mark.parametrize("value", ["Basic !!!", "Basic " + base64.b64encode(b"\xff:x").decode(), "Basic YWRh"])
def test_malformed_basic_credentials_are_401(app: App, value: str):
    with Client(app) as client:
        assert client.get("/basic", headers={"authorization": value}).status_code == 401


def test_the_document_shows_the_schemes(app: App):
    document = build_document(app)
    validate(document)
    schemes = document["components"]["securitySchemes"]
    assert schemes["HTTPBearer"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert schemes["OAuth2"]["flows"]["authorizationCode"]["scopes"] == {"read": "Read."}
    assert schemes["CookieKey"] == {"type": "apiKey", "name": "key", "in": "cookie"}

    def of(path: str) -> dict[str, Any]:
        return document["paths"][path]["get"]

    assert of("/bearer")["security"] == [{"HTTPBearer": []}]
    assert of("/optional")["security"] == [{"HTTPBearer": []}, {}]
    assert of("/scoped")["security"] == [{"OAuth2": ["read"]}]
    assert of("/staff")["security"] == [{"Staff": []}]
    assert "WWW-Authenticate" in of("/bearer")["responses"]["401"]["headers"]
    assert {"401", "403"} <= set(of("/scoped")["responses"])
    assert {"401", "403"} <= set(of("/staff")["responses"])


def test_an_unknown_scope_is_an_error():
    with pytest.raises(ValueError, match="no scope 'write'"):
        oauth.needs("write")


def test_secrets_are_not_in_the_repr():
    assert "secret" not in repr(BasicCredentials("ada", "secret"))
    assert "secret" not in repr(ScopedToken("secret", ()))
