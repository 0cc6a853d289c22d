"""`@query`, and what a call of such a function is: a query that the verbs of sessions run."""

from __future__ import annotations

import typing
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple, overload

from quintet.db.queries import session_async, session_sync
from quintet.db.queries.common import expect_one
from quintet.db.queries.define import Bound, QueryFunction
from quintet.db.queries.paging import paging_of
from quintet.db.session import CompiledQuery, Paginated, Slice, Verb

if TYPE_CHECKING:
    from sqlalchemy import Delete, Insert, Update
    from sqlalchemy.sql.selectable import TypedReturnsRows

    from quintet.db.session import Session, SyncSession

__all__ = ["BoundQuery", "all_queries", "query"]

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
Ts = TypeVarTuple("Ts")

#: The methods of `BoundQuery` by verb.
_ASYNC: dict[Verb, str] = {verb: f"_{verb}" for verb in typing.get_args(Verb)}
_SYNC: dict[Verb, str] = {verb: f"_{verb}_sync" for verb in typing.get_args(Verb)}

_queries: weakref.WeakSet[QueryFunction[..., Any]] = weakref.WeakSet()


def all_queries() -> list[QueryFunction[..., Any]]:
    """Return every query that is defined, in the order of their modules and names."""
    return sorted(_queries, key=lambda q: (q.module, q.name))


class BoundQuery(Bound, CompiledQuery[R]):
    """A query with its values, ready for a verb of a session: `await db.one(article_by_slug("first"))`."""

    __slots__ = ()

    def run(self, session: Session, verb: Verb, **options: Any) -> Any:
        """Run it in an async session; returns an awaitable, for `stream` an async iterator."""
        return getattr(self, _ASYNC[verb])(session, **options)

    def run_sync(self, session: SyncSession, verb: Verb, **options: Any) -> Any:
        """Run it in a sync session."""
        return getattr(self, _SYNC[verb])(session, **options)

    # -- async ------------------------------------------------------------------------------------------------------

    def _many(self, session: Session) -> Awaitable[list[Any]]:
        return session_async.fetch(session, self)

    async def _first(self, session: Session) -> Any:
        found = await session_async.fetch(session, self, 1)
        return found[0] if found else None

    async def _one(self, session: Session) -> Any:
        found = await session_async.fetch(session, self)
        return found[0] if len(found) == 1 else expect_one(found, self)

    async def _page(self, session: Session, page: int, size: int) -> Paginated[Any]:
        part, count = paging_of(self).by_number(self, page, size)
        items = await session_async.fetch(session, part)
        total = (await session_async.fetch(session, count))[0]
        return Paginated(items=items, total=total, page=page, size=size)

    async def _after(self, session: Session, cursor: str | None, size: int) -> Slice[Any]:
        paging = paging_of(self)
        part = paging.after(self, size, cursor)
        return paging.build_slice(self, await session_async.fetch(session, part), size)

    async def _stream(self, session: Session, batch: int) -> AsyncGenerator[Any, None]:
        async with aclosing(session_async.stream(session, self, batch)) as batches:
            async for items in batches:
                for item in items:
                    yield item

    def _change(self, session: Session) -> Awaitable[int]:
        return session_async.change(session, self)

    def _change_all(self, session: Session, queries: list[Bound]) -> Awaitable[None]:
        return session_async.change_all(session, queries)

    # -- sync -------------------------------------------------------------------------------------------------------

    def _many_sync(self, session: SyncSession) -> list[Any]:
        return session_sync.fetch(session, self)

    def _first_sync(self, session: SyncSession) -> Any:
        found = session_sync.fetch(session, self)
        return found[0] if found else None

    def _one_sync(self, session: SyncSession) -> Any:
        found = session_sync.fetch(session, self)
        return found[0] if len(found) == 1 else expect_one(found, self)

    def _page_sync(self, session: SyncSession, page: int, size: int) -> Paginated[Any]:
        part, count = paging_of(self).by_number(self, page, size)
        items = session_sync.fetch(session, part)
        return Paginated(items=items, total=session_sync.fetch(session, count)[0], page=page, size=size)

    def _after_sync(self, session: SyncSession, cursor: str | None, size: int) -> Slice[Any]:
        paging = paging_of(self)
        part = paging.after(self, size, cursor)
        return paging.build_slice(self, session_sync.fetch(session, part), size)

    def _stream_sync(self, session: SyncSession, batch: int) -> Iterator[Any]:
        for items in session_sync.stream(session, self, batch):
            yield from items

    def _change_sync(self, session: SyncSession) -> int:
        return session_sync.change(session, self)

    def _change_all_sync(self, session: SyncSession, queries: list[Bound]) -> None:
        session_sync.change_all(session, queries)


@overload
def query(function: Callable[P, TypedReturnsRows[A]], /) -> QueryFunction[P, A]: ...
@overload
def query(function: Callable[P, TypedReturnsRows[A, B, *Ts]], /) -> QueryFunction[P, tuple[A, B, *Ts]]: ...
@overload
def query(function: Callable[P, Insert | Update | Delete], /) -> QueryFunction[P, Any]: ...
@overload
def query(*, into: type[R]) -> Callable[[Callable[P, Any]], QueryFunction[P, R]]: ...


def query(function: Callable[..., Any] | None = None, /, *, into: type[Any] | None = None) -> Any:
    """Compile the statement that a function builds, once for each database.

    The function is called while the query is built, with stand-ins for its parameters: they become bind parameters
    of the SQL. With `into`, each row becomes that structure.
    """

    def define(inner: Callable[..., Any]) -> QueryFunction[..., Any]:
        made: QueryFunction[..., Any] = QueryFunction(inner, into, BoundQuery)
        _queries.add(made)
        return made

    return define if function is None else define(function)
