"""What a resource does with rows: list, create, read, update, delete. Nothing here knows routes or formats."""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError

from quintet.db.errors import NoRow, StaleRow
from quintet.db.translate import was_changed
from quintet.errors import FieldError, Forbidden, PreconditionFailed, ValidationError
from quintet.http.conditional import parse_etags
from quintet.media.json import encode
from quintet.resources.compiled import CompiledQueries
from quintet.resources.filters import search_condition
from quintet.resources.plan import Plan, segment_of
from quintet.resources.rules import Rule, RuleSet
from quintet.resources.saving import Way, save, save_together
from quintet.routing.path import is_segment
from quintet.schema.output import compile_output

#: The injected values of rules, by the rule's name.
Injected = Mapping[str, Mapping[str, Any]]
#: The version that a client knows: in `If-Match`, or as a form has it.
Known: TypeAlias = "str | int | None"
#: The name of the rule that says whose an idempotency key is.
OWNER = "idempotency"

_NO_ADDRESS = (
    'This is a part of an address, so it must not be empty, ".", "..", very long, or have a slash or control character.'
)


class Operations:
    """The work of one resource. `db` is a `Session`, or a `SyncSession` behind `Blocking`."""

    def __init__(self, plan: Plan, policy: RuleSet, hooks: RuleSet, owner: RuleSet) -> None:
        self.plan = plan
        self.policy = policy
        self.hooks = hooks
        self._owner = owner
        self._shape = compile_output(plan.item)
        #: None where what is seen depends on the request, or relations are shown.
        self._compiled = CompiledQueries(plan) if policy.get("visible") is None and not plan.loading else None

    # -- rules ------------------------------------------------------------------------------------------------------

    def rules(self, names: Sequence[str]) -> Sequence[Rule]:
        """Return the rules there are of these names; `every` stands for the first, which is an action."""
        sets = (self.policy, self.hooks, self._owner)
        found = [next((r for s in sets if (r := s.get(name)) is not None), None) for name in names]
        if self.policy.get(names[0]) is None:
            found.append(self.policy.get("every"))
        return [rule for rule in found if rule is not None]

    async def allow(self, action: str, injected: Injected, **values: Any) -> None:
        """Ask the policy.

        Raises:
            Forbidden: it says no.
        """
        rule = self.policy.get(action) or self.policy.get("every")
        if rule is None:
            return
        if await rule.call(injected.get(rule.name, {}), values) is False:
            raise Forbidden("the policy of this resource does not allow this")

    async def _visible(self, query: Any, injected: Injected) -> Any:
        rule = self.policy.get("visible")
        if rule is None:
            return query
        chosen = await rule.call(injected.get("visible", {}), {"query": query})
        if not isinstance(chosen, sa.Select):
            raise TypeError(f"{self.policy.label}.visible returned {type(chosen).__name__}; return the query")
        return chosen  # pyright: ignore[reportUnknownVariableType] - of the model's rows

    async def owner(self, injected: Injected) -> Any:
        """Return who asks, as the resource tells them apart for their idempotency keys."""
        rule = self._owner.get(OWNER)
        return None if rule is None else await rule.call(injected.get(OWNER, {}), {})

    async def _hook(self, name: str, injected: Injected, **values: Any) -> None:
        rule = self.hooks.get(name)
        if rule is not None:
            await rule.call(injected.get(name, {}), values)

    # -- actions ----------------------------------------------------------------------------------------------------

    async def list(self, db: Any, params: Any, injected: Injected) -> Any:
        """Return a part of the rows, in the structure of the answer."""
        plan = self.plan
        await self.allow("list", injected)
        sort: Sequence[str] = params.sort if plan.choices else ()
        conditions = self._conditions(params)
        by_page = plan.declaration.pagination == "page"
        start = (params.page - 1) * params.size if by_page else 0
        cursor: str | None = None if by_page else params.cursor
        query: Any = None
        if self._compiled is not None and not conditions and cursor is None:
            query = self._compiled.part(sort, params.size + 1, start)
        if query is None:
            query = (await self._visible(sa.select(plan.model), injected)).where(*conditions)
            if cursor is not None:
                query = query.where(plan.order(sort).after(cursor))
            query = query.order_by(None).order_by(*plan.order(sort).clauses).options(*plan.loading)
            query = query.limit(params.size + 1).offset(start)
        rows = await db.many(query)
        values: dict[str, Any] = {"items": rows[: params.size]}
        more = len(rows) > params.size
        if by_page:
            values |= {"page": params.page, "size": params.size, "more": more}
        else:
            values["next"] = plan.order(sort).cursor(rows[params.size - 1]) if more else None
        if params.total:
            everything = (await self._visible(sa.select(plan.model), injected)).where(*conditions).order_by(None)
            values["total"] = await db.scalar(sa.select(sa.func.count()).select_from(everything.subquery()))
        return plan.envelope(**values)

    def _conditions(self, params: Any) -> Sequence[sa.ColumnElement[bool]]:
        plan = self.plan
        given = [(f, getattr(params, name)) for name, f in plan.filters.items()]
        found = [f.condition(value) for f, value in given if value is not None and value != ""]
        if plan.declaration.search and params.q:
            found.append(search_condition(plan.model, plan.declaration.search, params.q))
        return found

    async def find(self, db: Any, key: Sequence[Any], injected: Injected, *, load: bool = False) -> Any:
        """Return the row of a key.

        Raises:
            NoRow: there is none, or none that is visible.
        """
        plan = self.plan
        if self._compiled is not None:
            row = await db.first(self._compiled.by_key(key))
        else:
            query: Any = sa.select(plan.model).where(plan.has_key(key))
            query = await self._visible(query, injected)
            row = await db.first(query.options(*plan.loading) if load else query)
        if row is None:
            raise NoRow(f"there is no such {plan.model.__name__}")
        return row

    async def read(self, db: Any, key: Sequence[Any], injected: Injected) -> Any:
        """Return a row that the policy lets read."""
        row = await self.find(db, key, injected, load=True)
        await self.allow("read", injected, obj=row)
        return row

    async def create(self, db: Any, rows: list[Any], injected: Injected, *, many: bool) -> None:
        """Save new rows, all or none.

        Raises:
            ValidationError: what a constraint says, with the row's index where there are many; no address leads to it.
        """
        if many and self.hooks.get("before_create") is None:
            for index, row in enumerate(rows):
                await self.allow("create", injected, obj=row)
                self._check_address(row, (index,))
            await save_together(db, rows)
        else:
            # One after the other: what a hook asks of the database must not meet rows that are not complete yet.
            for index, row in enumerate(rows):
                with db.sync_session.no_autoflush:
                    await self.allow("create", injected, obj=row)
                    await self._hook("before_create", injected, obj=row)
                self._check_address(row, (index,) if many else ())
                await save(db, row, (index,) if many else ())
        for row in rows:
            await self._hook("after_create", injected, obj=row)
            await self.settle(db, row)

    async def update(self, db: Any, key: Sequence[Any], changes: Any, known: Known, injected: Injected) -> Any:
        """Change a row.

        Raises:
            PreconditionFailed: it is not the version that the client names in `If-Match`.
            StaleRow: it is not the version that a form names.
            ValidationError: no address would lead to it.
        """
        row = await self.find(db, key, injected)
        await self.allow("update", injected, obj=row, changes=changes)
        with self._matching(row, known):
            changes.apply(row)
            await self._hook("before_update", injected, obj=row, changes=changes)
            self._check_address(row)
            await db.flush()
            await self._hook("after_update", injected, obj=row, changes=changes)
            await self.settle(db, row)
        return row

    async def delete(self, db: Any, key: Sequence[Any], known: Known, injected: Injected) -> None:
        """Delete a row, or mark it as deleted where its model says so.

        Raises:
            PreconditionFailed: it is not the version that the client names in `If-Match`.
            StaleRow: it is not the version that a form names.
        """
        row = await self.find(db, key, injected)
        await self.allow("delete", injected, obj=row)
        with self._matching(row, known):
            await self._hook("before_delete", injected, obj=row)
            await db.delete(row)
            await db.flush()
            await self._hook("after_delete", injected, obj=row)

    # -- versions ---------------------------------------------------------------------------------------------------

    def etag(self, row: Any) -> str | None:
        """Return the tag of a row's state; None where its model counts no versions."""
        if not self.plan.versioned:
            return None
        if not self.plan.loading:
            return f'"{row.version}"'
        # The version says nothing of the relations that are shown too.
        shown = self._shape(row) if self._shape is not None else row
        return f'"{row.version}.{zlib.crc32(encode(shown)):x}"'

    @contextmanager
    def _matching(self, row: Any, known: Known) -> Generator[None, None, None]:
        """Refuse to change a row that is, or turns out to be, another version than the one that is known."""
        if isinstance(known, int) and self.plan.versioned and row.version != known:
            raise StaleRow([], "this was changed by someone else meanwhile; read it again")
        if not isinstance(known, str) or not self.plan.versioned or known.strip() == "*":
            yield
            return
        lost = PreconditionFailed("this was changed meanwhile; read it again, and send the new ETag in If-Match")
        # What follows the version tells formats and relations apart; the row is the same.
        versions = [re.split("[.;]", tag.value)[0] for tag in parse_etags(known) if not tag.weak]
        if str(row.version) not in versions:
            raise lost
        try:
            yield
        except (DBAPIError, StaleDataError) as error:
            if was_changed(error):
                raise lost from error
            raise

    def _check_address(self, row: Any, way: Way = ()) -> None:
        """Refuse a key that no address can have."""
        values = zip(self.plan.keys, self.plan.key_of(row), strict=True)
        wrong = [name for name, value in values if value is not None and not is_segment(segment_of(value))]
        if wrong:
            raise ValidationError(
                [FieldError(loc=("body", *way, name), msg=_NO_ADDRESS, code="address") for name in wrong]
            )

    async def settle(self, db: Any, row: Any) -> None:
        """Send what a hook changed, and read what the database has filled and what is shown beside the row."""
        session = db.sync_session
        if session.dirty or session.new or session.deleted:
            await db.flush()
        if self.plan.loading:
            plan = self.plan
            query: Any = sa.select(plan.model).where(plan.has_key(plan.key_of(row))).options(*plan.loading)
            await db.first(query.execution_options(populate_existing=True))
            if not _is_loaded(row, self.plan.paths):
                await db.first(query)  # the row is shown inside of itself, where it was read without its relations
        elif sa.inspect(row).expired_attributes:
            await db.refresh(row)


def _is_loaded(row: Any, paths: Sequence[Sequence[str]]) -> bool:
    """Tell whether the relations that are shown are there."""
    for name, *rest in paths:
        if name not in row.__dict__:
            return False
        value: Any = row.__dict__[name]
        below = cast("Sequence[Any]", value if isinstance(value, list | set) else [value])
        if rest and not all(_is_loaded(one, [rest]) for one in below if one is not None):
            return False
    return True
