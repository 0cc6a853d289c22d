"""Sessions: units of work on a database, async (`Session`) and sync (`SyncSession`) with the same names.

Both are SQLAlchemy's own, with the verbs `one`, `first`, `many`, `page` and `stream`, which take a `select()` or a
compiled query. No connection is taken before the first statement.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NoReturn,
    TypeAlias,
    TypeVar,
    TypeVarTuple,
    cast,
    overload,
)

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.engine import Engine, Result, Row
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.selectable import TypedReturnsRows

from quintet.db.errors import NoRow, ReadOnlySession
from quintet.db.listeners import ENDS, changed_by_others
from quintet.db.turns import Block, in_turn, lock_of, refuse_ended
from quintet.schema.struct import Struct

if TYPE_CHECKING:
    from quintet.db.database import Database
    from quintet.db.drivers.mysql import Flow
    from quintet.db.queries.lean import Lean
    from quintet.db.queries.lease import Kept
    from quintet.db.queries.run_async import AsyncRunner

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
Ts = TypeVarTuple("Ts")

#: What a session is for.
Mode: TypeAlias = Literal["read", "write"]
#: What SQLAlchemy's constructor sets; made when it is asked for.
_INNER = frozenset({"sync_session", "_proxied", "_async_bind", "_async_binds"})
#: What SQLAlchemy's session does for several tasks in turn; `scalars` is an `execute`.
_ORDERED = ("connection", "delete", "delete_all", "execute", "flush", "get", "get_one", "invalidate", "merge",
            "merge_all", "refresh", "reset", "run_sync", "scalar")  # fmt: skip
#: What a compiled query is asked for.
Verb: TypeAlias = Literal["one", "first", "many", "page", "after", "stream", "change", "change_all"]


class CompiledQuery(Generic[T]):
    """A query that was compiled ahead, with its parameters: what calling a function marked `@query` returns.

    The verbs of sessions call `run` or `run_sync` and give back what it gives: an item for `one`, an item or None for
    `first`, a list for `many`, a `Paginated` for `page`, an iterator for `stream`. T is the type of an item. For
    `change_all`, the first query is asked, with all of them as `queries`.
    """

    __slots__ = ()

    def run(self, session: Session, verb: Verb, **options: Any) -> Any:
        """Run it in an async session; returns an awaitable, for `stream` an async iterator."""
        raise NotImplementedError

    def run_sync(self, session: SyncSession, verb: Verb, **options: Any) -> Any:
        """Run it in a sync session."""
        raise NotImplementedError


class Slice(Struct, Generic[T]):
    """A part of a list, and how to get at the next."""

    items: list[T]
    #: The cursor of the next part; None in the last one.
    next: str | None = None


class Paginated(Struct, Generic[T]):
    """A page of a list."""

    items: list[T]
    #: The number of items on all pages.
    total: int
    #: The number of this page, from 1.
    page: int
    #: The number of items on a page.
    size: int


class SyncSession(orm.Session):
    """A session for `def`: `db: SyncSession`."""

    #: What an error says that finds it asked for and not provided.
    __provided_by__ = 'App(plugins=[Database("sqlite:///app.db")])'

    def __init__(self, database: Database, mode: Mode = "write", *, is_async: bool = False, **options: Any) -> None:
        options.setdefault("expire_on_commit", False)
        super().__init__(**options)
        #: The database it belongs to.
        self.database = database
        #: Whether it is for reading alone.
        self.mode: Mode = mode
        #: Whether the request that it belongs to is over.
        self.ended = False
        #: Whether it works for a `Session`, which waits in a greenlet.
        self.is_async = is_async
        self._engines: dict[str, Engine] = {}

    def get_bind(self, mapper: Any = None, **options: Any) -> Any:
        """Return the engine for a model: that of its database, for reading a replica's where there is one."""
        refuse_ended(self)
        own: str = "default" if mapper is None else getattr(mapper.class_, "__database__", "default")
        return _engine_of(self.database, own, self._engines, self.mode, self.is_async)

    def savepoint(self) -> AbstractContextManager[Any]:
        """Open a savepoint: `with db.savepoint(): …`; an exception inside takes back what was done inside."""
        return self.begin_nested()

    @overload
    def one(self, query: CompiledQuery[T] | TypedReturnsRows[T]) -> T: ...
    @overload
    def one(self, query: TypedReturnsRows[T1, T2, *Ts]) -> Row[T1, T2, *Ts]: ...
    @overload
    def one(self, query: Executable) -> Any: ...
    def one(self, query: Any) -> Any:
        """Return the one item of a query.

        Raises:
            NoRow: there is none; answered 404.
        """
        return query.run_sync(self, "one") if isinstance(query, CompiledQuery) else _one(self.execute(query), query)

    @overload
    def first(self, query: CompiledQuery[T] | TypedReturnsRows[T]) -> T | None: ...
    @overload
    def first(self, query: TypedReturnsRows[T1, T2, *Ts]) -> Row[T1, T2, *Ts] | None: ...
    @overload
    def first(self, query: Executable) -> Any: ...
    def first(self, query: Any) -> Any:
        """Return the first item of a query, or None."""
        return query.run_sync(self, "first") if isinstance(query, CompiledQuery) else _first(self.execute(query))

    @overload
    def many(self, query: CompiledQuery[T] | TypedReturnsRows[T]) -> list[T]: ...
    @overload
    def many(self, query: TypedReturnsRows[T1, T2, *Ts]) -> list[Row[T1, T2, *Ts]]: ...
    @overload
    def many(self, query: Executable) -> Any: ...
    def many(self, query: Any) -> Any:
        """Return every item of a query."""
        return query.run_sync(self, "many") if isinstance(query, CompiledQuery) else _many(self.execute(query))

    def page(self, query: CompiledQuery[T] | sa.Select[T], page: int = 1, size: int = 20) -> Paginated[T]:
        """Return a page of a query, and how many items there are on all."""
        if isinstance(query, CompiledQuery):
            return query.run_sync(self, "page", page=page, size=size)
        limited, counted = _paged(query, page, size)
        items = cast("list[T]", self.many(limited))
        return Paginated(items=items, total=self.scalar(counted) or 0, page=page, size=size)

    def after(self, query: CompiledQuery[T], cursor: str | None = None, size: int = 20) -> Slice[T]:
        """Return what comes after a cursor in a query's order, or the first part of it.

        Raises:
            BadRequest: the cursor is not one of this query's.
        """
        return query.run_sync(self, "after", cursor=cursor, size=size)

    def change(self, query: CompiledQuery[Any]) -> int:
        """Run a compiled insert, update or delete and return the number of rows it changed."""
        return query.run_sync(self, "change")

    def change_all(self, queries: Iterable[CompiledQuery[Any]]) -> None:
        """Run compiled inserts, updates and deletes, in their order.

        Those of one query that follow each other are sent together: `db.change_all(rename(k, n) for k, n in names)`.
        """
        given = list(queries)
        if given:
            given[0].run_sync(self, "change_all", queries=given)

    def stream(self, query: CompiledQuery[T] | TypedReturnsRows[T], *, batch: int = 500) -> Iterator[T]:
        """Iterate over the items of a query, holding `batch` of them at a time."""
        if isinstance(query, CompiledQuery):
            return query.run_sync(self, "stream", batch=batch)
        result: Any = self.execute(query, execution_options={"yield_per": batch})  # pyright: ignore[reportCallIssue, reportArgumentType]
        return self._iterate(result)

    def _iterate(self, result: Result[Any]) -> Iterator[Any]:
        try:
            yield from _items(result)
        finally:
            # Where it was left: psycopg wants its cursors closed; MariaDB's driver would read all the rest.
            if self.in_transaction() and self.database.dialect not in ("mysql", "mariadb"):
                result.close()


class Session(AsyncSession):
    """A session for `async def`: `db: Session`."""

    sync_session_class = SyncSession
    __provided_by__ = SyncSession.__provided_by__

    def __init__(self, database: Database, mode: Mode = "write", **options: Any) -> None:
        # PERF: SQLAlchemy's session inside is made when something needs it; compiled queries often need none.
        #: Whether compiled queries alone have used it so far: it holds no objects and no transaction of SQLAlchemy.
        self.is_plain = True
        #: The database it belongs to.
        self.database = database
        #: Whether it is for reading alone.
        self.mode: Mode = mode
        #: Whether the request that it belongs to is over.
        self.ended = False
        self._options = options
        self._engines: dict[str, Engine] = {}
        #: The transaction of compiled statements, as long as SQLAlchemy has no part in it.
        self._lean: Lean | None = None
        #: What compiled queries have loaded for reading, until SQLAlchemy's session is made and takes it.
        self._loaded: list[Any] | None = None
        #: What runs compiled queries, by the place of their model, until SQLAlchemy's session is made.
        self._runners: dict[str | None, AsyncRunner] = {}
        #: What keeps the connection of its last read, where reads follow each other, and whether they do.
        self._kept: Kept | None = None
        self._reads_on = False
        if options:
            self._make_inner()

    if not TYPE_CHECKING:  # the first has SQLAlchemy's types, the second would make every name an attribute

        async def stream_scalars(self, *values: Any, **named: Any) -> Any:
            """Return a result whose first values are read as they are asked for, as SQLAlchemy does."""
            async with lock_of(self):
                refuse_ended(self)
                result = await super().stream(*values, **named)
            return result.scalars()

        def __getattr__(self, name: str) -> Any:
            if name in _INNER and "_engines" in self.__dict__:
                self._make_inner()
                return self.__dict__[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def _make_inner(self) -> None:
        """Make SQLAlchemy's session; it takes over the transaction that compiled statements have begun."""
        self.is_plain = False
        super().__init__(database=self.database, mode=self.mode, is_async=True, **self._options)
        inner = cast("SyncSession", self.sync_session)
        inner.ended = self.ended
        self._runners = {}
        inner._engines = self._engines  # pyright: ignore[reportPrivateUsage] - one choice of a replica for both
        if self._loaded is not None:
            for instance in self._loaded:
                state: Any = sa.inspect(instance)
                if state.session_id is None:
                    state.session_id = inner.hash_key
                    inner.identity_map.add(state)
            self._loaded = None
        lean, self._lean = self._lean, None
        if lean is not None:
            lean.hand_over(inner)

    def find_engine(self, own: str) -> Engine:
        """Return the engine for models of a database, without SQLAlchemy's session."""
        refuse_ended(self)
        database = self.database
        if own == "default" and not database.replicas:  # PERF: the same as below, by the shortest way
            return database.primary.bind(self.mode, is_async=True)
        return _engine_of(database, own, self._engines, self.mode, True)

    def end(self) -> None:
        """Refuse every further use, when the request is over."""
        self.ended = True
        self._runners = {}
        if self._kept is not None:
            self._kept.release()
        if not self.is_plain:
            cast("SyncSession", self.sync_session).ended = True

    def in_transaction(self) -> bool:
        """Return whether a transaction is open."""
        return self._lean is not None or (not self.is_plain and super().in_transaction())

    async def commit(self) -> None:
        """Commit the transaction, after a flush of what is pending."""
        if self._lean is not None:
            if await self._lean.commit(self):
                return
        elif self.is_plain and not changed_by_others(self.sync_session_class, ENDS):
            return
        async with lock_of(self):
            await super().commit()

    async def rollback(self) -> None:
        """Roll the transaction back."""
        if self._lean is not None:
            if await self._lean.rollback(self):
                return
        elif self.is_plain:
            return
        async with lock_of(self):
            await super().rollback()

    async def close(self) -> None:
        """Roll back what is open and let go of every object."""
        if self._lean is not None:
            await self._lean.rollback(self)
        if not self.is_plain:
            async with lock_of(self):
                await super().close()

    def begin(self) -> Block:
        """Begin a transaction: `async with db.begin(): …` commits at its end."""
        return Block(self)

    def begin_nested(self) -> Block:
        """Open a savepoint, as `savepoint` does."""
        return Block(self, nested=True)

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        """Open a savepoint: `async with db.savepoint(): …`; an exception inside takes back what was done inside."""
        return self.begin_nested()

    @overload
    async def one(self, query: CompiledQuery[T] | TypedReturnsRows[T]) -> T: ...
    @overload
    async def one(self, query: TypedReturnsRows[T1, T2, *Ts]) -> Row[T1, T2, *Ts]: ...
    @overload
    async def one(self, query: Executable) -> Any: ...
    async def one(self, query: Any) -> Any:
        """Return the one item of a query.

        Raises:
            NoRow: there is none; answered 404.
        """
        if isinstance(query, CompiledQuery):
            return await query.run(self, "one")
        return _one(await self.execute(query), query)

    @overload
    async def first(self, query: CompiledQuery[T] | TypedReturnsRows[T]) -> T | None: ...
    @overload
    async def first(self, query: TypedReturnsRows[T1, T2, *Ts]) -> Row[T1, T2, *Ts] | None: ...
    @overload
    async def first(self, query: Executable) -> Any: ...
    async def first(self, query: Any) -> Any:
        """Return the first item of a query, or None."""
        if isinstance(query, CompiledQuery):
            return await query.run(self, "first")
        return _first(await self.execute(query))

    @overload
    async def many(self, query: CompiledQuery[T] | TypedReturnsRows[T]) -> list[T]: ...
    @overload
    async def many(self, query: TypedReturnsRows[T1, T2, *Ts]) -> list[Row[T1, T2, *Ts]]: ...
    @overload
    async def many(self, query: Executable) -> Any: ...
    async def many(self, query: Any) -> Any:
        """Return every item of a query."""
        if isinstance(query, CompiledQuery):
            return await query.run(self, "many")
        return _many(await self.execute(query))

    async def page(self, query: CompiledQuery[T] | sa.Select[T], page: int = 1, size: int = 20) -> Paginated[T]:
        """Return a page of a query, and how many items there are on all."""
        if isinstance(query, CompiledQuery):
            return await query.run(self, "page", page=page, size=size)
        limited, counted = _paged(query, page, size)
        items = await self.many(limited)
        return Paginated(items=items, total=await self.scalar(counted) or 0, page=page, size=size)

    async def after(self, query: CompiledQuery[T], cursor: str | None = None, size: int = 20) -> Slice[T]:
        """Return what comes after a cursor in a query's order, or the first part of it.

        Raises:
            BadRequest: the cursor is not one of this query's.
        """
        return await query.run(self, "after", cursor=cursor, size=size)

    async def change(self, query: CompiledQuery[Any]) -> int:
        """Run a compiled insert, update or delete and return the number of rows it changed."""
        return await query.run(self, "change")

    async def change_all(self, queries: Iterable[CompiledQuery[Any]]) -> None:
        """Run compiled inserts, updates and deletes, in their order.

        Those of one query that follow each other are sent together:
        `await db.change_all(rename(key, name) for key, name in names)`.
        """
        given = list(queries)
        if given:
            await given[0].run(self, "change_all", queries=given)

    def stream(  # pyright: ignore[reportIncompatibleMethodOverride] - SQLAlchemy's own gives rows in an object to await
        self, query: CompiledQuery[T] | TypedReturnsRows[T], *, batch: int = 500
    ) -> AsyncIterator[T]:
        """Iterate over the items of a query, holding `batch` of them at a time: `async for row in db.stream(query)`."""
        if isinstance(query, CompiledQuery):
            return query.run(self, "stream", batch=batch)
        return self._stream(query, batch)

    async def _stream(self, query: Any, batch: int) -> AsyncIterator[Any]:
        async with lock_of(self):
            refuse_ended(self)
            result: Any = await super().stream(query, execution_options={"yield_per": batch})
        flow = _flow_of(result) if self.database.dialect in ("mysql", "mariadb") else None
        try:
            items = result.scalars() if len(result.keys()) == 1 else result
            async for part in items.partitions(batch):
                if flow is not None:
                    flow.stop()
                for item in part:
                    yield item
                if flow is not None:
                    flow.go_on()
        finally:
            if flow is not None:
                flow.end()


for _name in _ORDERED:
    setattr(Session, _name, in_turn(_name))


def _flow_of(result: Any) -> Flow | None:
    from quintet.db.drivers.mysql import flow_of

    found = result._real_result
    connection = getattr(getattr(found, "raw", None) or found, "connection", None)
    return None if connection is None else flow_of(connection.connection.dbapi_connection)


def _engine_of(database: Database, own: str, engines: dict[str, Engine], mode: Mode, is_async: bool) -> Engine:
    """Return the engine for models that name a database of their own, or "default"."""
    name = own if own != "default" else database.label
    engine = engines.get(name)  # one and the same, since a session has a connection for each
    if engine is None:
        engine = engines[name] = database.sibling(name).bind(mode, is_async=is_async)
    return engine


# -- from results to items --------------------------------------------------------------------------------------------


def _items(result: Result[Any]) -> Any:
    """Return the items of a result: the values where it has one column, and rows where it has several."""
    return result.scalars() if len(result.keys()) == 1 else result


def _one(result: Result[Any], query: Any) -> Any:
    item = _unique(result).one_or_none()
    if item is None:
        raise NoRow(_nothing(query))
    return item


def _first(result: Result[Any]) -> Any:
    return _unique(result).first()


def _many(result: Result[Any]) -> Any:
    return list(_unique(result).all())


def _unique(result: Result[Any]) -> Any:
    """Return the items without the repetitions that a join makes of one object."""
    context: Any = getattr(result, "context", None)
    loaded = getattr(context, "compiled", None)
    state = getattr(loaded, "compile_state", None)
    repeats = getattr(state, "multi_row_eager_loaders", False)
    items = _items(result)
    return items.unique() if repeats else items


def _nothing(query: Any) -> str:
    entity: Any = query.column_descriptions[0].get("entity") if isinstance(query, sa.Select) else None
    return f"there is no such {entity.__name__}" if isinstance(entity, type) else "there is no such row"


def _paged(query: sa.Select[Any], page: int, size: int) -> tuple[Any, Any]:
    if page < 1 or size < 1:
        raise ValueError(f"pages are numbered from 1 and hold at least one item, not page {page} of {size}")
    counted = sa.select(sa.func.count()).select_from(query.order_by(None).limit(None).offset(None).subquery())
    return query.limit(size).offset((page - 1) * size), counted


# -- sessions for reading -----------------------------------------------------------------------------------------


def _refuse(session: SyncSession, what: str) -> NoReturn:
    raise ReadOnlySession(
        f"{what} in a session for reading: those of GET and HEAD handlers and of streams are; "
        "use POST, PUT, PATCH or DELETE, ask for Annotated[Session, Use(write=True)], "
        "or open one of your own with `async with database.session() as db`"
    )


@event.listens_for(SyncSession, "before_flush")
def _before_flush(session: SyncSession, context: Any, instances: Any) -> None:
    if session.mode == "read" and (
        session.new or session.deleted or any(session.is_modified(o) for o in session.dirty)
    ):
        changed = next(iter(session.new), None) or next(iter(session.deleted), None) or next(iter(session.dirty))
        _refuse(session, f"{changed!r} was changed")


def _refusing_writes(name: str) -> Any:
    """Return a method of SQLAlchemy's session that refuses statements that write, where it is for reading.

    PERF: a listener to `do_orm_execute` would cost each statement some 5 µs, whatever it does.
    """
    method = getattr(orm.Session, name)

    @functools.wraps(method)
    def run(self: SyncSession, statement: Any, *values: Any, **named: Any) -> Any:
        if self.mode == "read" and getattr(statement, "is_dml", False):
            _refuse(self, "an INSERT, UPDATE or DELETE was executed")
        return method(self, statement, *values, **named)

    return run


for _name in ("execute", "scalar", "scalars"):
    setattr(SyncSession, _name, _refusing_writes(_name))
