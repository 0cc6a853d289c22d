"""Responses: what a handler returns when a plain value does not say enough.

A `Response` carries typed `data` until the route has encoded it into `content`; middleware sees it encoded.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from quintet.http.cookies import format_cookie
from quintet.http.headers import ResponseHeaders
from quintet.http.sse import Event

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class HTML(str):
    """Text that is HTML already. Nothing in it is escaped: never put a client's text into it unescaped."""

    __slots__ = ()


class Template:
    """A page to be rendered from a template: `Template("page.html", rows=rows)`.

    Args:
        name: the template's name, relative to the app's template folders.
        block: render this named block alone, for fragments of a page.
        values: what the template sees.
    """

    __slots__ = ("block", "name", "values")

    def __init__(self, name: str, /, *, block: str | None = None, **values: Any) -> None:
        self.name = name
        self.block = block
        self.values = values


class Page:
    """The page of a `@app.page` handler: its route's template with these values.

    A page that shows a form with errors is answered 422.
    """

    __slots__ = ("values",)

    def __init__(self, **values: Any) -> None:
        self.values = values


class Response(Generic[T]):
    """An answer with a status, headers and cookies of its own.

    Args:
        data: the value to encode, by the route's declared type and the client's `Accept`.
        status: the status code; the route's own when absent.
        headers: header fields to set.
        cookies: cookies to set with the safe defaults; use `set_cookie` for others.
        media_type: the Content-Type, where encoding `data` does not decide it.

    Raises:
        ValueError: a status that is not a number from 200 to 599, or a header name or value that cannot be sent
            (RFC 9110, section 5.5).
    """

    __slots__ = ("after", "content", "data", "headers", "length", "media_type", "status")

    def __init__(
        self,
        data: T = None,
        status: int | None = None,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        cookies: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        if status is not None and not (isinstance(status, int) and 200 <= status <= 599):  # pyright: ignore[reportUnnecessaryIsInstance] - the type is the promise, this keeps it
            raise ValueError(f"a response has a status from 200 to 599, not {status!r:.100}")
        self.data: T = data
        self.status: int | None = status
        self.headers = ResponseHeaders(headers)
        self.media_type = media_type
        #: The encoded body: bytes, or chunks. None until the route has encoded `data`.
        self.content: bytes | AsyncIterator[bytes] | None = None
        #: The number of bytes of a streamed body, where it is known.
        self.length: int | None = None
        #: Called when the response has been sent.
        self.after: list[Callable[[], Awaitable[None] | None]] = []
        for name, value in (cookies or {}).items():
            self.set_cookie(name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status or ''}>"

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age: int | timedelta | None = None,
        expires: datetime | None = None,
        path: str = "/",
        domain: str | None = None,
        secure: bool = True,
        httponly: bool = True,
        samesite: str | None = "Lax",
        partitioned: bool = False,
    ) -> None:
        """Add a cookie. The defaults are the safe ones.

        Raises:
            ValueError: a name, value or attribute that RFC 6265bis does not allow.
        """
        age = int(max_age.total_seconds()) if isinstance(max_age, timedelta) else max_age
        self.headers.add(
            "set-cookie",
            format_cookie(
                name,
                value,
                max_age=age,
                expires=expires,
                path=path,
                domain=domain,
                secure=secure,
                httponly=httponly,
                samesite=samesite,
                partitioned=partitioned,
            ),
        )

    def delete_cookie(self, name: str, *, path: str = "/", domain: str | None = None) -> None:
        """Tell the browser to forget a cookie that was set with this path and domain."""
        self.set_cookie(name, "", max_age=0, path=path, domain=domain)


class Redirect(Response[None]):
    """Send the client to another address, 303 See Other unless another status is given.

    Args:
        location: a path on this host, or with `external=True` any http(s) address.

    Raises:
        ValueError: an address on another host without `external=True`, or a scheme that is not http(s).
    """

    __slots__ = ("location",)

    def __init__(
        self,
        location: str,
        status: int = 303,
        *,
        external: bool = False,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
    ) -> None:
        if status not in (301, 302, 303, 307, 308):
            raise ValueError(f"a Redirect has status 301, 302, 303, 307 or 308, not {status}")
        if external:
            if not location.startswith(("http://", "https://")):
                raise ValueError("an external Redirect needs an absolute http(s) address")
        elif not location.startswith("/") or location[:2] in ("//", "/\\") or "\\" in location:
            raise ValueError(
                f"a Redirect goes to a path on this host, such as '/welcome', not {location!r}; "
                "pass external=True to leave the host on purpose"
            )
        super().__init__(None, status, headers=headers, cookies=cookies)
        self.location = quote(location, safe="/:?#[]@!$&'()*+,;=%~-._")
        self.headers.set("location", self.location)
        self.content = b""


class Stream(Response[None]):
    """A body sent in chunks as they are made.

    Args:
        chunks: an (async) iterable of bytes or text. A sync one is read in a thread.
        media_type: the Content-Type.
    """

    __slots__ = ("chunks",)

    def __init__(
        self,
        chunks: AsyncIterable[bytes | str] | Iterable[bytes | str],
        status: int | None = None,
        *,
        media_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(None, status, headers=headers, media_type=media_type)
        self.chunks = chunks


class EventStream(Response[None], Generic[T_co]):
    """Server-sent events (HTML Standard, section 9.2).

    Args:
        events: an async iterable of values or of `Event` with id, event name and retry.
        keep_alive: seconds of silence after which a comment is sent, so that proxies keep the connection.
    """

    __slots__ = ("events", "keep_alive")

    def __init__(
        self,
        events: AsyncIterable[T_co | Event[T_co]],
        *,
        keep_alive: float = 15.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(None, 200, headers=headers, media_type="text/event-stream")
        self.headers.set("cache-control", "no-cache")
        self.headers.set("x-accel-buffering", "no")
        self.events = events
        self.keep_alive = keep_alive
