"""Cross-origin requests (CORS, Fetch Standard, section 3.2): which other origins may read the answers.

Without this middleware no other origin may read anything; that is the safe default and browsers enforce it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from quintet.errors import ConfigurationError, Problem
from quintet.http.headers import is_token, vary
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.routing.route import CallNext, Middleware

#: The longest Origin field that is looked at.
MAX_ORIGIN = 512

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?")
_BELOW = rf"{_LABEL}(?:\.{_LABEL})*"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def cors(
    origins: Sequence[str],
    *,
    methods: Sequence[str] = ("GET", "HEAD", "POST"),
    headers: Sequence[str] = (),
    expose: Sequence[str] = (),
    credentials: bool = False,
    max_age: int = 600,
) -> Middleware:
    """Return a middleware that lets pages of other origins use the app: `App(middleware=[cors(["https://a.example"])])`.

    It belongs on the app, where it also answers preflight requests. Requests from private networks
    (`Access-Control-Request-Private-Network`) are never granted.

    Args:
        origins: exact origins (`https://a.example`, `http://localhost:5173`); `https://*.a.example` for every host
            below that one; `*` alone for every origin.
        methods: the methods other origins may use.
        headers: the request headers they may set, beyond the few that are always safe; `*` for any.
        expose: the response headers they may read, beyond the few that are always readable.
        credentials: whether their requests carry cookies.
        max_age: seconds for which a browser remembers the answer to a preflight request.

    Raises:
        ConfigurationError: an origin, method or header is none, or `*` comes with credentials.
    """
    problems = _check(origins, methods, headers, expose, credentials=credentials)
    if problems:
        raise ConfigurationError(problems)
    anywhere = "*" in origins
    allows = _matcher(origins)
    common = [("access-control-allow-credentials", "true")] if credentials else []
    shown = [("access-control-expose-headers", ", ".join(expose))] if expose else []
    known_methods = frozenset(methods)
    known_headers = frozenset(name.lower() for name in headers)
    granted = [
        ("access-control-allow-methods", ", ".join(methods)),
        *(
            [("access-control-allow-headers", ", ".join(sorted(known_headers)))]
            if headers and "*" not in headers
            else []
        ),
        ("access-control-max-age", str(max_age)),
    ]

    def grant(response: Response[Any], origin: str) -> None:
        response.headers.set("access-control-allow-origin", "*" if anywhere else origin)
        response.headers.extend(common)

    def preflight(request: Request, origin: str) -> Response[Any]:
        response: Response[Any] = Response(None, 204)
        response.content = b""
        vary(response.headers, "origin", "access-control-request-method", "access-control-request-headers")
        asked = [name.strip().lower() for name in request.headers.get("access-control-request-headers", "").split(",")]
        if (
            allows(origin)
            and request.headers.get("access-control-request-method") in known_methods
            and ("*" in known_headers or known_headers.issuperset(filter(None, asked)))
        ):
            grant(response, origin)
            response.headers.extend(granted)
            if "*" in known_headers and any(asked) and all(map(is_token, asked)):
                response.headers.set("access-control-allow-headers", ", ".join(asked))
        return response

    async def cors_middleware(request: Request, call_next: CallNext) -> Response[Any]:
        origin = request.headers.get("origin")
        if request.method == "OPTIONS" and origin is not None and "access-control-request-method" in request.headers:
            return preflight(request, origin)
        response = await call_next(request)
        if not anywhere:
            vary(response.headers, "origin")
        if origin is not None and allows(origin):
            grant(response, origin)
            response.headers.extend(shown)
        return response

    return cors_middleware


def _matcher(origins: Sequence[str]) -> Callable[[str], bool]:
    """Return the function that tells whether an Origin field is allowed. Browsers send origins in lower case."""
    if "*" in origins:
        return lambda origin: len(origin) <= MAX_ORIGIN
    exact = frozenset(_canonical(origin) for origin in origins if "*" not in origin)
    patterns = [
        re.compile(re.escape(_canonical(origin)).replace(r"\*", _BELOW, 1)) for origin in origins if "*" in origin
    ]

    def allows(origin: str) -> bool:
        if len(origin) > MAX_ORIGIN:
            return False
        return origin in exact or any(pattern.fullmatch(origin) for pattern in patterns)

    return allows


def _canonical(origin: str) -> str:
    scheme, _, host = origin.partition("://")
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS.get(scheme, '/'))}"


def _check(
    origins: Sequence[str],
    methods: Sequence[str],
    headers: Sequence[str],
    expose: Sequence[str],
    *,
    credentials: bool,
) -> list[Problem]:
    problems: list[Problem] = []
    if isinstance(origins, str):
        origins = [origins]
        problems.append(_problem("origins is a list", "write cors([…])"))
    if "*" in origins and credentials:
        problems.append(
            _problem("every origin may send credentials, so any page could act as the user", "list the origins")
        )
    if "*" in origins and len(origins) > 1:
        problems.append(_problem("'*' stands beside other origins", "leave one of them out"))
    problems += [
        _problem(
            f"{origin[:100]!r} is not an origin",
            "write scheme, host and port only, in lower case, such as 'https://app.example.com'",
        )
        for origin in origins
        if origin != "*" and not _ORIGIN.fullmatch(origin.replace("://*.", "://x.", 1))
    ]
    problems += [
        _problem(f"{name[:100]!r} is not the name of a method or header", "use letters, digits and hyphens")
        for name in (*methods, *headers, *expose)
        if not is_token(name)
    ]
    return problems


def _problem(message: str, fix: str) -> Problem:
    return Problem(id="cors.invalid", where="cors(…)", message=message, fix=fix)
