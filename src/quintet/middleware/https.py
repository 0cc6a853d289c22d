"""HTTPS only: pages asked for over plain HTTP are redirected, everything else is refused.

A program that sends a password or a token over plain HTTP must notice; a redirect would hide that it has been read on
the way already.
"""

from __future__ import annotations

from typing import Any

from quintet.errors import Forbidden
from quintet.http.request import Request, quote_path
from quintet.http.response import Redirect, Response
from quintet.routing.route import CallNext, Guard, Middleware

#: Where certificate authorities look over plain HTTP (RFC 8555, section 8.3).
_CHALLENGES = "/.well-known/acme-challenge/"


def https_only(port: int = 443) -> Middleware:
    """Return a middleware that lets requests over HTTPS through: `App(middleware=[https_only()])`.

    It belongs on the app, before the others. `APP_HTTPS_REDIRECT=true` puts it there. Behind a proxy, the scheme is
    what a trusted proxy says in its headers.

    Args:
        port: where the same site is served over HTTPS.
    """
    suffix = "" if port == 443 else f":{port}"

    async def middleware(request: Request, call_next: CallNext) -> Response[Any]:
        if request.scheme == "https" or request.path.startswith(_CHALLENGES):
            return await call_next(request)
        if not _is_page(request):
            raise Forbidden("this is served over HTTPS alone; what this request held may have been read on its way")
        query = f"?{request.raw_query.decode('latin-1')}" if request.raw_query else ""
        target = f"https://{_without_port(request.host)}{suffix}{quote_path(request.path)}{query}"
        # 301 and 308 are the same for GET and HEAD, and every client knows 301.
        return Redirect(target, 301, external=True)

    return middleware


def https_only_guard() -> Guard:
    """Return a guard that refuses WebSockets over plain HTTP, which no middleware sees."""

    async def guard(request: Request) -> None:
        if request.scheme != "https" and not request.path.startswith(_CHALLENGES):
            raise Forbidden("this is served over HTTPS (wss://) alone")

    return guard


def _is_page(request: Request) -> bool:
    """Tell whether a browser asks for a page, or a person follows a link."""
    if request.method not in ("GET", "HEAD"):
        return False
    mode = request.fields.get(b"sec-fetch-mode")
    return mode == b"navigate" if mode is not None else b"text/html" in request.fields.get(b"accept", b"").lower()


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() else host
