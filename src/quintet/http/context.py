"""The request that the running code belongs to, as a context variable.

Set once per request in a context of its own, so that it is visible in every middleware, dependency, thread and log
record of that request and in none of another.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quintet.http.request import Request

#: The request being answered. Read it with `current_request.get(None)` outside handlers.
current_request: ContextVar[Request] = ContextVar("quintet.current_request")


def current_request_id() -> str | None:
    """Return the id of the request being answered, or None outside a request."""
    request = current_request.get(None)
    return None if request is None else request.id
