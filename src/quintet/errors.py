"""Every exception of Quintet.

    QuintetError
    ├── ConfigurationError          wrong set-up, reported at start-up, all problems together
    ├── ClientDisconnected          the peer went away in the middle of a request
    └── HTTPError                   an answer: status, title, detail
        ├── BadRequest 400, Unauthorized 401, Forbidden 403, NotFound 404, MethodNotAllowed 405,
        │   NotAcceptable 406, RequestTimeout 408, Conflict 409, Gone 410, LengthRequired 411,
        │   PreconditionFailed 412, ContentTooLarge 413, URITooLong 414, UnsupportedMediaType 415,
        │   RangeNotSatisfiable 416, TooManyRequests 429, HeadersTooLarge 431
        ├── ValidationError 422     wrong fields, each with its place, message and code
        └── InternalServerError 500, NotImplementedByServer 501, ServiceUnavailable 503

An `HTTPError` becomes a problem document (RFC 9457), or a page where the client prefers HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec

#: The number of field errors an answer reports at most.
MAX_ERRORS = 100


class QuintetError(Exception):
    """The root of every exception that Quintet raises."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with an app's configuration."""

    #: A stable identifier, such as `routes.duplicate`.
    id: str
    #: What was found and what was expected.
    message: str
    #: The file and line, or the setting, where it was found.
    where: str = ""
    #: How to repair it.
    fix: str = ""

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        fix = f"\n    fix: {self.fix}" if self.fix else ""
        return f"{where}{self.message} [{self.id}]{fix}"


class ConfigurationError(QuintetError):
    """The app cannot start; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem] | Problem) -> None:
        self.problems: list[Problem] = [problems] if isinstance(problems, Problem) else list(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(f"{head} in the app's configuration:\n" + "\n".join(f"  {p}" for p in self.problems))


class ClientDisconnected(QuintetError):
    """The client closed the connection before its request was complete or its answer was sent."""


class FieldError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One wrong field of an input."""

    #: The way to the field, beginning with its source: `("body", "items", 0, "quantity")`.
    loc: tuple[str | int, ...]
    #: A sentence for people.
    msg: str
    #: A word for programs, such as `missing` or `max_length`.
    code: str
    #: The values the message speaks of, such as `{"max_length": 120}`.
    ctx: dict[str, Any] | None = None


class HTTPError(QuintetError):
    """An error that is an HTTP answer.

    Args:
        status: the status code, 400 to 599.
        detail: what went wrong with this very request; shown to the client.
        title: a short text for this kind of error; the status phrase when absent.
        type: a URI that identifies the kind of problem (RFC 9457, section 3.1.1).
        headers: response headers to add.
        extra: further members of the problem document.
    """

    #: The status code of a subclass.
    default_status: ClassVar[int] = 500

    def __init__(
        self,
        status: int | None = None,
        detail: str = "",
        *,
        title: str = "",
        type: str = "about:blank",  # the member's name in RFC 9457
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.status: int = self.default_status if status is None else status
        if not 400 <= self.status <= 599:
            raise ValueError(f"an HTTPError needs a status from 400 to 599, not {self.status}")
        self.detail: str = detail
        self.title: str = title or status_phrase(self.status)
        self.type: str = type
        self.headers: dict[str, str] = dict(headers or {})
        self.extra: dict[str, Any] = dict(extra or {})
        #: The wrong fields of a ValidationError; other errors have none.
        self.errors: list[FieldError] = []
        super().__init__(f"{self.status} {self.title}" + (f": {detail}" if detail else ""))

    def document(self) -> dict[str, Any]:
        """Return the problem document (RFC 9457) as plain data."""
        out: dict[str, Any] = {"type": self.type, "title": self.title, "status": self.status}
        if self.detail:
            out["detail"] = self.detail
        return {**out, **self.extra}


#: The names that RFC 9110 gave and `http.HTTPStatus` took over in Python 3.13: one app says the same on every version.
_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def status_phrase(status: int) -> str:
    """Return the short text of a status code, as RFC 9110 has it."""
    try:
        return _RENAMED.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Error"


class _FixedStatus(HTTPError):
    def __init__(
        self,
        detail: str = "",
        *,
        title: str = "",
        type: str = "about:blank",
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(None, detail, title=title, type=type, headers=headers, extra=extra)


class BadRequest(_FixedStatus):
    """400: the request is malformed."""

    default_status = 400


class Unauthorized(_FixedStatus):
    """401: who is asking is not known; give a `WWW-Authenticate` header."""

    default_status = 401


class Forbidden(_FixedStatus):
    """403: the request is understood and refused."""

    default_status = 403


class NotFound(_FixedStatus):
    """404: there is nothing here."""

    default_status = 404


class MethodNotAllowed(_FixedStatus):
    """405: the resource has no such method; `Allow` lists those it has."""

    default_status = 405


class NotAcceptable(_FixedStatus):
    """406: no format that the client accepts can be produced."""

    default_status = 406


class RequestTimeout(_FixedStatus):
    """408: the client took too long to send its request."""

    default_status = 408


class Conflict(_FixedStatus):
    """409: the request contradicts the state of the resource."""

    default_status = 409


class Gone(_FixedStatus):
    """410: what was here is gone for good."""

    default_status = 410


class LengthRequired(_FixedStatus):
    """411: a `Content-Length` is needed here."""

    default_status = 411


class PreconditionFailed(_FixedStatus):
    """412: `If-Match` or `If-Unmodified-Since` does not hold."""

    default_status = 412


class ContentTooLarge(_FixedStatus):
    """413: the body is larger than the route allows."""

    default_status = 413


class URITooLong(_FixedStatus):
    """414: the request target is too long."""

    default_status = 414


class UnsupportedMediaType(_FixedStatus):
    """415: the route does not read bodies of this type."""

    default_status = 415


class RangeNotSatisfiable(_FixedStatus):
    """416: no requested range lies inside the resource."""

    default_status = 416


class ValidationError(_FixedStatus):
    """422: fields of the input are wrong; `errors` says which and why."""

    default_status = 422

    def __init__(self, errors: Sequence[FieldError], detail: str = "", **options: Any) -> None:
        count = min(len(errors), MAX_ERRORS)
        super().__init__(detail or ("1 field is wrong" if count == 1 else f"{count} fields are wrong"), **options)
        self.errors = list(errors)[:MAX_ERRORS]

    def document(self) -> dict[str, Any]:
        """Return the problem document with its `errors`."""
        return {**super().document(), "errors": self.errors}


class TooManyRequests(_FixedStatus):
    """429: the client asks too often."""

    default_status = 429


class HeadersTooLarge(_FixedStatus):
    """431: the header fields are too large or too many."""

    default_status = 431


class InternalServerError(_FixedStatus):
    """500: the server failed."""

    default_status = 500


class NotImplementedByServer(_FixedStatus):
    """501: the server does not know this."""

    default_status = 501


class ServiceUnavailable(_FixedStatus):
    """503: the service cannot answer now; give a `Retry-After` header."""

    default_status = 503
