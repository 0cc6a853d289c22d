"""Exceptions of the data layer; those that a client hears of are answers."""

from __future__ import annotations

from sqlalchemy.exc import DontWrapMixin, InvalidRequestError

from quintet.errors import Conflict, NotFound, QuintetError, ServiceUnavailable, ValidationError


class UnloadedRelation(QuintetError, InvalidRequestError):
    """A relation or a column was read that was not loaded; the message says what to add to the query."""


class ReadOnlySession(QuintetError, InvalidRequestError):
    """Something was written in a session for reading, such as that of a GET handler."""


class SessionClosed(QuintetError, InvalidRequestError):
    """A session was used after the request that it belonged to."""


class NoRow(NotFound):
    """404: a query for one row found none."""


class AlreadyTaken(ValidationError):
    """409: a row with these values exists already; `errors` names the fields."""

    default_status = 409


class StaleRow(ValidationError):
    """409: the row was changed by someone else since it was read."""

    default_status = 409


class Unstorable(DontWrapMixin, ValidationError):
    """422: a value is of the right type, and no column can hold it."""

    def __init__(self, detail: str) -> None:
        super().__init__([], detail)


class StillReferred(Conflict):
    """409: a row cannot go, because others refer to it."""


class DatabaseUnreachable(ServiceUnavailable):
    """503: no connection to the database could be made."""
