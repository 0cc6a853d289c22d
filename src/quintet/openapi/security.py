"""Credentials: dependencies that take them from a request, and that the document shows as security schemes.

    bearer = HTTPBearer()

    @app.get("/me")
    async def me(token: Annotated[str, Depends(bearer)]) -> User: ...

They find credentials and check nothing: whether a token is good is for the app to say. A dependency or guard of your
own is shown in the same way when it has an attribute `__openapi_security__`, made by `security_of`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from quintet.errors import Unauthorized
from quintet.http.request import Request

#: By scheme name: the security scheme object, the scopes needed, and whether a request may come without.
Security = dict[str, "Requirement"]


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """What a dependency needs of a request's credentials."""

    #: The security scheme object of OpenAPI.
    scheme: dict[str, Any]
    scopes: tuple[str, ...] = ()
    #: Whether a request without credentials is let through.
    optional: bool = False


def security_of(
    name: str, scheme: Mapping[str, Any], *, scopes: Sequence[str] = (), optional: bool = False
) -> Security:
    """Return the value for `__openapi_security__` of a guard or dependency."""
    return {name: Requirement(scheme=dict(scheme), scopes=tuple(scopes), optional=optional)}


class _Scheme:
    """What the schemes share: the place in the document, and the answer to a request without credentials."""

    challenge = ""

    def __init__(self, name: str, scheme: dict[str, Any], *, description: str, optional: bool) -> None:
        if description:
            scheme["description"] = description
        self.scheme_name = name
        self.optional = optional
        self.__openapi_security__: Security = security_of(name, scheme, optional=optional)

    def refuse(self, detail: str) -> Unauthorized:
        """Return the 401 for a request whose credentials are missing or malformed."""
        return Unauthorized(detail, headers={"www-authenticate": self.challenge})

    def _missing(self, detail: str) -> None:
        if not self.optional:
            raise self.refuse(detail)

    def _authorization(self, request: Request, scheme: str) -> str | None:
        """Return the credentials of the Authorization header (RFC 9110, section 11.6.2), None when it has others."""
        value = request.headers.get("authorization") or ""
        found, _, credentials = value.partition(" ")
        credentials = credentials.strip(" ")
        return credentials if found.lower() == scheme and credentials else None


class ApiKey(_Scheme):
    """A key in a header, the query string or a cookie.

    Args:
        name: the name of the header, parameter or cookie.
        location: where it is.
        scheme_name: the name of the scheme in the document.
        description: a text for the document, Markdown.
        optional: give None to the handler where the key is missing, instead of answering 401.
    """

    def __init__(
        self,
        name: str = "X-API-Key",
        location: Literal["header", "query", "cookie"] = "header",
        *,
        scheme_name: str = "ApiKey",
        description: str = "",
        optional: bool = False,
    ) -> None:
        self.name = name
        self.location = location
        self.challenge = f'ApiKey name="{name}"'
        scheme = {"type": "apiKey", "name": name, "in": location}
        super().__init__(scheme_name, scheme, description=description, optional=optional)

    async def __call__(self, request: Request) -> str | None:
        """Return the key."""
        if self.location == "header":
            value = request.headers.get(self.name)
        elif self.location == "cookie":
            value = request.cookies.get(self.name)
        else:
            value = request.query.get(self.name)
        if isinstance(value, str) and value:
            return value
        return self._missing(f"the {self.location} {self.name!r} with the key is missing")


class HTTPBearer(_Scheme):
    """A token in `Authorization: Bearer …` (RFC 6750).

    Args:
        bearer_format: what the token is, such as `JWT`, for readers.
        scheme_name: the name of the scheme in the document.
        description: a text for the document, Markdown.
        optional: give None to the handler where the token is missing, instead of answering 401.
    """

    challenge = "Bearer"

    def __init__(
        self,
        bearer_format: str = "",
        *,
        scheme_name: str = "HTTPBearer",
        description: str = "",
        optional: bool = False,
    ) -> None:
        scheme = {"type": "http", "scheme": "bearer"} | ({"bearerFormat": bearer_format} if bearer_format else {})
        super().__init__(scheme_name, scheme, description=description, optional=optional)

    async def __call__(self, request: Request) -> str | None:
        """Return the token."""
        token = self._authorization(request, "bearer")
        return token if token is not None else self._missing("a bearer token is needed")


class BasicCredentials(msgspec.Struct, frozen=True):
    """A user name and a password, as they were sent."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"BasicCredentials({self.username!r}, ***)"


class HTTPBasic(_Scheme):
    """A user name and password in `Authorization: Basic …` (RFC 7617).

    Args:
        realm: what the password is for, shown by browsers.
        scheme_name: the name of the scheme in the document.
        description: a text for the document, Markdown.
        optional: give None to the handler where they are missing, instead of answering 401.
    """

    def __init__(
        self,
        realm: str = "",
        *,
        scheme_name: str = "HTTPBasic",
        description: str = "",
        optional: bool = False,
    ) -> None:
        quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
        self.challenge = f'Basic realm="{quoted}", charset="UTF-8"'
        super().__init__(scheme_name, {"type": "http", "scheme": "basic"}, description=description, optional=optional)

    async def __call__(self, request: Request) -> BasicCredentials | None:
        """Return the user name and the password."""
        credentials = self._authorization(request, "basic")
        if credentials is None:
            return self._missing("a user name and a password are needed")
        try:
            username, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise self.refuse("the Authorization header is malformed") from None
        if not colon:
            raise self.refuse("the Authorization header is malformed")
        return BasicCredentials(username, password)


class OAuth2(_Scheme):
    """An OAuth 2 access token in `Authorization: Bearer …`.

    Args:
        token_url: where tokens are had.
        authorization_url: where users agree; with it the flow is `authorizationCode`, without it `clientCredentials`.
        refresh_url: where tokens are renewed.
        scopes: what a token can allow, with a sentence each.
        scheme_name: the name of the scheme in the document.
        description: a text for the document, Markdown.
        optional: give None to the handler where the token is missing, instead of answering 401.
    """

    challenge = "Bearer"

    def __init__(
        self,
        token_url: str,
        *,
        authorization_url: str = "",
        refresh_url: str = "",
        scopes: Mapping[str, str] | None = None,
        scheme_name: str = "OAuth2",
        description: str = "",
        optional: bool = False,
    ) -> None:
        flow: dict[str, Any] = {"tokenUrl": token_url, "scopes": dict(scopes or {})}
        if authorization_url:
            flow["authorizationUrl"] = authorization_url
        if refresh_url:
            flow["refreshUrl"] = refresh_url
        name = "authorizationCode" if authorization_url else "clientCredentials"
        self._scheme = {"type": "oauth2", "flows": {name: flow}}
        self._description = description
        self.scopes = dict(scopes or {})
        super().__init__(scheme_name, self._scheme, description=description, optional=optional)

    async def __call__(self, request: Request) -> str | None:
        """Return the token."""
        token = self._authorization(request, "bearer")
        return token if token is not None else self._missing("an access token is needed")

    def needs(self, *scopes: str) -> OAuth2Scoped:
        """Return a dependency for tokens that must have these scopes, which the document shows.

        Raises:
            ValueError: the scheme has no such scope.
        """
        unknown = [s for s in scopes if s not in self.scopes]
        if unknown:
            raise ValueError(f"there is no scope {unknown[0]!r}; there are {', '.join(self.scopes) or 'none'}")
        return OAuth2Scoped(self, scopes)


class ScopedToken(msgspec.Struct, frozen=True):
    """A token and the scopes that it must have; whoever reads the token checks them."""

    token: str
    scopes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"ScopedToken(***, {self.scopes!r})"


class OAuth2Scoped:
    """The dependency made by `OAuth2.needs`."""

    def __init__(self, scheme: OAuth2, scopes: tuple[str, ...]) -> None:
        self._scheme = scheme
        self._scopes = scopes
        (requirement,) = scheme.__openapi_security__.values()
        self.__openapi_security__: Security = {scheme.scheme_name: msgspec.structs.replace(requirement, scopes=scopes)}

    async def __call__(self, request: Request) -> ScopedToken | None:
        """Return the token with the scopes it must have."""
        token = await self._scheme(request)
        return None if token is None else ScopedToken(token, self._scopes)
