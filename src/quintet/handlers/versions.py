"""API versions: which of several handlers of one path and method a request asks for.

A version in the path needs none of this: give the router a prefix (`Router("/v2")`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from quintet.errors import NotAcceptable
from quintet.handlers.build import prepared_response
from quintet.handlers.compile import Endpoint, OnError, Outcome
from quintet.http.headers import vary
from quintet.http.request import Request

_PARAMETER = re.compile(r";\s*(?:version|v)\s*=\s*\"?([A-Za-z0-9._-]{1,32})\"?")


class Versioning(msgspec.Struct, frozen=True, kw_only=True):
    """How a request names the version it wants.

    `header` reads the field `name`; `media_type` the parameter `version` of Accept, as in
    `application/json; version=2`.
    """

    by: Literal["header", "media_type"] = "header"
    #: The header field.
    name: str = "X-API-Version"
    #: The version of requests that name none.
    default: str = ""

    def wanted(self, request: Request) -> str:
        """Return the version a request asks for."""
        if self.by == "header":
            return (request.headers.get(self.name) or "").strip() or self.default
        found = _PARAMETER.search((request.headers.get("accept") or "")[:1024])
        return found[1] if found else self.default


def choose_version(routes: Mapping[str, Any], versioning: Versioning | None, on_error: OnError) -> Endpoint:
    """Return the endpoint that hands a request to the route of its version.

    A route without a version answers requests for any version that has no route of its own.
    """
    rules = versioning or Versioning()
    available = ", ".join(v for v in sorted(routes) if v)
    field = rules.name.lower() if rules.by == "header" else "accept"

    async def endpoint(request: Request) -> Outcome:
        version = rules.wanted(request)
        route = routes.get(version) or routes.get("")
        if route is None:
            found = f"not {version[:32]!r}" if version else "and the request names none"
            return await on_error(
                request, NotAcceptable(f"there are the versions {available}, {found}", headers={"vary": field})
            )
        outcome: Outcome = await route.endpoint(request)
        response = prepared_response(*outcome) if isinstance(outcome, tuple) else outcome
        vary(response.headers, field)
        return response

    return endpoint
