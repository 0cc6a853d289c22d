"""N+1 queries: a request that asks the same thing of the database again and again, from one line.

Watched in tests, where such a request fails, and under `quintet dev`, where it is logged. Nothing here runs in
production.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import MANYTOONE, ONETOMANY, Mapper

from quintet.errors import QuintetError
from quintet.http.context import current_request

if TYPE_CHECKING:
    from quintet.db.queries.events import QueryEvent

__all__ = ["RepeatWatch", "RepeatedQuery", "allow_n_plus_one", "warn"]

log = logging.getLogger("quintet.db")

#: So many times the same read from one line of one request is one too many.
LIMIT = 4
#: A read with more values than these asks for many rows at once: `selectinload` and `in_()` come in parts.
FEW_VALUES = 20
#: Requests that are remembered at a time.
_REQUESTS = 512

_allowed: ContextVar[bool] = ContextVar("quintet.allow_n_plus_one", default=False)


class RepeatedQuery(QuintetError):
    """A request ran the same query for one row after another; the message says where, and how to ask once."""


@contextmanager
def allow_n_plus_one(reason: str) -> Generator[None, None, None]:
    """Let the block ask for one row after another: `with allow_n_plus_one("three rows at most"): …`."""
    if not reason.strip():
        raise ValueError("say why these queries may repeat: allow_n_plus_one('three rows at most')")
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


class RepeatWatch:
    """A listener of `on_query` that counts the reads of each request, by statement and line.

    Args:
        report: is called with what was found, once per statement and line of a request.
        limit: how often is too often.
    """

    def __init__(self, report: Callable[[RepeatedQuery], None], limit: int = LIMIT) -> None:
        self._report = report
        self._limit = limit
        self._counts: OrderedDict[int, tuple[Any, dict[tuple[str, str], int]]] = OrderedDict()

    def __call__(self, event: QueryEvent) -> None:
        """Count a statement."""
        request = current_request.get(None)
        if request is None or event.error is not None or not 0 < event.parameters <= FEW_VALUES or _allowed.get():
            return
        if event.sql.lstrip()[:6].upper() != "SELECT":
            return  # writes are counted by nobody: each changes something of its own
        counts = self._of(request)
        key = (event.sql, event.source)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] == self._limit:
            self._report(RepeatedQuery(explain(f"{request.method} {request.path}", event, self._limit)))

    def _of(self, request: Any) -> dict[tuple[str, str], int]:
        found = self._counts.get(id(request))
        if found is None or found[0] is not request:  # an id is used again when its request has gone
            found = self._counts[id(request)] = (request, {})
            if len(self._counts) > _REQUESTS:
                self._counts.popitem(last=False)
        return found[1]


def warn(found: RepeatedQuery) -> None:
    """Log what was found."""
    log.warning("%s", found)


def explain(request: str, event: QueryEvent, times: int) -> str:
    """Return what to say of a query that repeats."""
    relations = relations_behind(event.sql)
    if relations:
        load = " or ".join(f".options(selectinload({relation}))" for relation in relations)
        fix = f"load it with the query of the list: {load}"
    else:
        fix = "ask once for all: .where(column.in_(values)), or a join"
    return (
        f"{request} ran the same query {times} times from {event.source or 'one line'}, once for each row of a list "
        f"(N+1): {' '.join(event.sql.split())}; {fix}; where it is right as it is, `with allow_n_plus_one('why'):`"
    )


_FROM = re.compile(r"\bFROM\s+[`\"]?(\w+)[`\"]?", re.IGNORECASE)
_WHERE = re.compile(r"\bWHERE\s+(?:[`\"]?(\w+)[`\"]?\.)?[`\"]?(\w+)[`\"]?\s*=", re.IGNORECASE)


def relations_behind(sql: str) -> list[str]:
    """Return the relations, as `Article.author`, that a query for one row by a key stands for; three at most."""
    table, where = _FROM.search(sql), _WHERE.search(sql)
    if table is None or where is None:
        return []
    found: list[str] = []
    for mapper in _mappers():
        for relation in mapper.relationships:
            target: Any = relation.mapper.local_table
            if getattr(target, "name", "") != table[1]:
                continue
            remote = {remote.name for _, remote in relation.local_remote_pairs or ()}
            if relation.direction in (MANYTOONE, ONETOMANY) and where[2] in remote:
                found.append(f"{mapper.class_.__name__}.{relation.key}")
    return sorted(found)[:3]


def _mappers() -> list[Mapper[Any]]:
    from quintet.db.model import bases

    return [mapper for base in bases() for mapper in base.registry.mappers]
