"""Pages of a query: by offset, or by the keys of the last row, which stays right while rows come and go.

A cursor holds the values of the row's sort columns. They are bound like any value and checked against the columns'
types, so that one made up by a client finds another place in the list at worst.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import base64
import binascii
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Integer, Select, and_, func, inspect, or_, select
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import ColumnElement, UnaryExpression

from quintet.db.queries.define import Bound, QueryFunction
from quintet.db.queries.errors import QueryError
from quintet.db.queries.parameter import ParameterBind
from quintet.db.session import Slice
from quintet.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Paging", "paging_of"]


class _Derived(QueryFunction[..., Any]):
    """A query made of another one by changing its statement; its values are the other's and some more."""

    def __init__(
        self, base: QueryFunction[..., Any], name: str, change: Callable[[Any, int], Any], into: type[Any] | None
    ) -> None:
        super().__init__(base.function, into)
        self.name = f"{base.name} ({name})"
        self._base = base
        self._change = change

    def build_statement(self, pattern: int) -> Any:
        found = self._statements.get(pattern)
        if found is None:
            base = self._base.build_statement(pattern)
            if not isinstance(base, Select):
                raise QueryError(f"query {self._base.name}: only a select has pages")
            found = self._statements[pattern] = self._change(base, len(self._base.signature.parameters))
        return found


class Paging:
    """The queries for the pages of one query; made once for each."""

    def __init__(self, base: QueryFunction[..., Any]) -> None:
        self.base = base
        self._by_offset = _Derived(base, "page by offset", _by_offset, base.into)
        self._count = _Derived(base, "count", _count, None)
        self._first = _Derived(base, "first page", _first, base.into)
        self._next = _Derived(base, "next page", _next, base.into)

    def by_number(self, bound: Bound, page: int, size: int) -> tuple[Bound, Bound]:
        """Return the query of a page, counted from 1, and the query that counts all results.

        Raises:
            ValueError: there can be no such page.
        """
        if page < 1 or size < 1:
            raise ValueError(f"pages are numbered from 1 and hold at least one item, not page {page} of {size}")
        part = Bound(self._by_offset, (*bound.values, size, (page - 1) * size), bound.pattern)
        return part, Bound(self._count, bound.values, bound.pattern)

    def after(self, bound: Bound, size: int, cursor: str | None) -> Bound:
        """Return the query of what comes after a cursor, or of the first part; one row more tells of a next part.

        Raises:
            BadRequest: the cursor is not one of this query's.
        """
        if size < 1:
            raise ValueError(f"a part of a list holds at least one item, not {size}")
        if cursor is None:
            return Bound(self._first, (*bound.values, size + 1), bound.pattern)
        keys = _keys(self.base, self.base.build_statement(bound.pattern))
        values = _decode(cursor, _mark(self.base, keys), [column for column, _ in keys])
        return Bound(self._next, (*bound.values, size + 1, *values), bound.pattern)

    def cursor(self, bound: Bound, item: Any) -> str:
        """Return the cursor of the page after a result."""
        keys = _keys(self.base, self.base.build_statement(bound.pattern))
        values = [_value(self.base, item, column) for column, _ in keys]
        return _encode(_mark(self.base, keys), values)

    def build_slice(self, bound: Bound, found: list[Any], size: int) -> Slice[Any]:
        """Return what was found, which is one more than asked for where there is a next part."""
        items = found[:size]
        return Slice(items=items, next=self.cursor(bound, items[-1]) if len(found) > size else None)


def paging_of(bound: Bound) -> Paging:
    """Return the pages of a query."""
    found = bound.query.__dict__.get("_paging")
    if found is None:
        found = bound.query.__dict__["_paging"] = Paging(bound.query)
    return found


def _extra(name: str, position: int, kind: Any) -> ParameterBind:
    bind = ParameterBind.of(name, position, 0)
    bind.type = kind
    return bind


def _by_offset(statement: Select[Any], position: int) -> Select[Any]:
    limit, offset = _extra("limit", position, Integer()), _extra("offset", position + 1, Integer())
    return statement.limit(limit).offset(offset)


def _count(statement: Select[Any], position: int) -> Select[Any]:
    return select(func.count()).select_from(statement.order_by(None).options().subquery())


def _first(statement: Select[Any], position: int) -> Select[Any]:
    return _ordered(statement).limit(_extra("limit", position, Integer()))


def _next(statement: Select[Any], position: int) -> Select[Any]:
    keys = _keys(None, statement)
    binds = [_extra(f"key{n}", position + 1 + n, column.type) for n, (column, _) in enumerate(keys)]
    branches: list[ColumnElement[bool]] = []
    for n, (column, descending) in enumerate(keys):
        equal = [keys[i][0] == binds[i] for i in range(n)]
        branches.append(and_(*equal, column < binds[n] if descending else column > binds[n]))
    return _ordered(statement).where(or_(*branches)).limit(_extra("limit", position, Integer()))


def _ordered(statement: Select[Any]) -> Select[Any]:
    keys = _keys(None, statement)
    return statement.order_by(None).order_by(*(c.desc() if d else c.asc() for c, d in keys))


def _keys(query: QueryFunction[..., Any] | None, statement: Any) -> list[tuple[Any, bool]]:
    """Return the sort columns and whether they descend; the primary key comes last, so that no two rows are equal."""
    name = f"query {query.name}" if query is not None else "this query"
    found: list[tuple[Any, bool]] = []
    for clause in statement._order_by_clauses:
        descending = False
        while isinstance(clause, UnaryExpression):
            if clause.modifier is operators.desc_op:
                descending = True
            elif clause.modifier is not operators.asc_op:
                raise QueryError(f"{name}: pages by cursor take columns as order, not {clause}")
            clause = clause.element
        if getattr(clause, "table", None) is None:
            raise QueryError(f"{name}: pages by cursor take columns as order, not {clause}; page by offset instead")
        if getattr(clause, "nullable", False):
            raise QueryError(
                f"{name}: pages by cursor cannot be ordered by {clause}, which may be NULL and so has no place in an"
                " order; order by a column without NULL, or page by offset"
            )
        found.append((clause, descending))
    mapper = _mapper(statement)
    keys = mapper.primary_key if mapper is not None else [c for f in statement.get_final_froms() for c in f.primary_key]
    if not keys:
        raise QueryError(f"{name}: pages by cursor need a primary key to end the order with")
    known = [column.key for column, _ in found]  # the table's names, on both sides
    last = found[-1][1] if found else False
    found += [(_attribute(mapper, key), last) for key in keys if key.key not in known]
    return found


def _mapper(statement: Any) -> Any:
    entity = statement.column_descriptions[0].get("entity") if statement.column_descriptions else None
    return inspect(entity).mapper if entity is not None else None


def _attribute(mapper: Any, column: Any) -> Any:
    return column if mapper is None else getattr(mapper.class_, mapper.get_property_by_column(column).key)


def _name(column: Any) -> str:
    """Return the name of a column among results: its attribute's, where that differs from the table's."""
    return getattr(column, "_annotations", {}).get("proxy_key") or column.key


def _value(query: QueryFunction[..., Any], item: Any, column: Any) -> Any:
    name = _name(column)
    statement: Any = query.build_statement(0)
    if isinstance(item, tuple) and not hasattr(item, name):  # pyright: ignore[reportUnknownArgumentType]
        names: list[str] = [d["name"] for d in statement.column_descriptions]
        if name in names:
            return tuple[Any, ...](item)[names.index(name)]  # pyright: ignore[reportUnknownArgumentType]
    elif hasattr(item, name):  # pyright: ignore[reportUnknownArgumentType]
        return getattr(item, name)  # pyright: ignore[reportUnknownArgumentType]
    raise QueryError(
        f"query {query.name}: its order goes by {name}, which is not among its results, so that a cursor cannot hold"
        f" it; select {name} too"
    )


def _mark(query: QueryFunction[..., Any], keys: Sequence[tuple[Any, bool]]) -> int:
    order = ",".join(f"{_name(column)}{'-' if descending else '+'}" for column, descending in keys)
    return zlib.crc32(f"{query.module}.{query.name}:{order}".encode())


def _encode(mark: int, values: list[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode([mark, *values])).rstrip(b"=").decode()


def _decode(cursor: str, mark: int, columns: Sequence[Any]) -> list[Any]:
    wrong = BadRequest("this cursor does not belong to this list; start again without one")
    if len(cursor) > 2000:
        raise wrong
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found = msgspec.msgpack.decode(data, type=list[Any])
        if len(found) != len(columns) + 1 or found[0] != mark:
            raise wrong
        return [_typed(value, column) for value, column in zip(found[1:], columns, strict=True)]
    except (binascii.Error, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise wrong from error


def _typed(value: Any, column: Any) -> Any:
    value = msgspec.convert(value, column.type.python_type, strict=False)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError("an integer beyond 64 bits")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("NUL")
    return value
