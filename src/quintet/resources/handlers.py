"""The handlers of a resource: functions with real signatures, made for its model, as a user would write them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Union, cast

from msgspec import Meta

from quintet.db.plugin import Use
from quintet.db.session import Session, SyncSession
from quintet.db.shapes import build_object, shape_of
from quintet.errors import FieldError, ValidationError
from quintet.handlers.params import Header, Name, Patch, Query
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.media.json import build_encoder
from quintet.media.negotiation import negotiate
from quintet.media.registry import registry
from quintet.resources.access import Blocking, finish
from quintet.resources.operations import OWNER, Operations
from quintet.schema.adapt import Adapter
from quintet.schema.output import compile_output

#: Leaves what the template of a list needs: (request, parameters, result).
Prepare = Callable[[Request, Any, Any], None]
#: The address of a row.
Locate = Callable[[Any], str]


_KEY_TEXT = "Makes this happen once, however often it is sent: the same key is answered with what was answered first."
_IDEMPOTENCY = {
    "request": Request,
    "idempotency_key": Header[
        Annotated[
            Union[Annotated[str, Meta(max_length=255)], None],  # noqa: UP007 - with a default
            Name("Idempotency-Key"),
            Meta(description=_KEY_TEXT),
        ]
    ],
}


_ASYNC = "async def handler(**values): return await run(**arguments(values))"
_SYNC = "def handler(**values): return run(**arguments(values))"


def _defined_at(where: str, source: str, names: dict[str, Any]) -> Any:
    """Return a function of one line that stands, for whoever asks for the app's line, where its resource is declared.

    So tracebacks, problems of its signature and the list of a request's statements name that line.
    """
    file, _, line = where.rpartition(":")
    code = compile("\n" * (int(line) - 1) + source, file, "exec", dont_inherit=True)
    exec(code, names)  # noqa: S102 - one of the two texts above
    return names["handler"]


class OneOrMany(Adapter):
    """The mark of the body that creates: what a client may write of one row, or of several in a list."""

    __slots__ = ("limit",)

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def read_as(self, tp: Any) -> Any:
        """Return the structure of a row, or a list of it."""
        shape = shape_of(tp, "new")
        if not self.limit:
            return shape
        return Union[shape, Annotated[list[shape], Meta(min_length=1, max_length=self.limit)]]  # noqa: UP007 - made at run time

    def build(self, tp: Any, value: Any) -> Any:
        """Return the new row, or the list of them."""
        if isinstance(value, list):
            return [build_object(tp, one) for one in cast("list[Any]", value)]
        return build_object(tp, value)


class HandlerMaker:
    """Makes the handlers of one resource."""

    def __init__(self, operations: Operations, locate: Locate, prepare: Prepare | None = None) -> None:
        self.operations = operations
        self.prepare = prepare
        self.plan = operations.plan
        self.locate = locate

    # -- handlers ---------------------------------------------------------------------------------------------------

    def list(self) -> Callable[..., Any]:
        """Return the handler that lists."""
        known = set(self.plan.query.__struct_fields__)
        work, prepare = self.operations, self.prepare

        async def run(db: Any, injected: Any, request: Request, params: Any) -> Any:
            refuse_unknown(request, known)
            result = await work.list(db, params, injected)
            if prepare is not None:
                prepare(request, params, result)
            return result

        parameters = {"request": Request, "params": Query[self.plan.query]}
        name = self.plan.model.__name__
        return self.make("list", parameters, self.plan.envelope, run, ("list", "visible"), f"List {name} rows")

    def read(self) -> Callable[..., Any]:
        """Return the handler that shows one row."""
        work, prepare = self.operations, self.prepare

        async def run(db: Any, injected: Any, key: Any, request: Request | None = None) -> Any:
            row = await work.read(db, key, injected)
            if prepare is not None and request is not None:
                prepare(request, None, None)
                if is_page(request):
                    return row  # its template may change, and the version would not
            tag = work.etag(row)
            return row if tag is None else Response(row, headers={"etag": tag})

        produces = self.plan.declaration.produces
        offers = tuple(registry.get(name).media_type if name in registry else name for name in produces)

        def is_page(request: Request) -> bool:
            return negotiate(request.headers.get("accept"), offers) == produces.index("html")

        parameters = {**self.plan.keys, **({"request": Request} if prepare is not None else {})}
        return self.make("read", parameters, self._returns(), run, ("read", "visible"), f"Read one {self._label}")

    def create(self) -> Callable[..., Any]:
        """Return the handler that creates one row or several."""
        work, item = self.operations, self.plan.item
        limit = self.plan.declaration.bulk

        async def create(db: Any, injected: Any, data: Any) -> Response[Any]:
            many = isinstance(data, list)
            rows = cast("list[Any]", data) if many else [data]
            await work.create(db, rows, injected, many=many)
            if many:
                return Response(rows, 201)
            tag = work.etag(data)
            headers = {"location": self.locate(data)} | ({"etag": tag} if tag else {})
            return Response(data, 201, headers=headers)

        shown = Union[item, list[item]] if limit else item  # noqa: UP007 - made at run time
        run, parameters = create, {"data": Annotated[self.plan.model, OneOrMany(limit)]}
        if self.plan.declaration.idempotency:
            run, parameters = self._once(create, shown), {**parameters, **_IDEMPOTENCY}
        rules = ("create", "before_create", "after_create", OWNER)
        summary = f"Create a {self._label}, or several together" if limit else f"Create a {self._label}"
        return self.make("create", parameters, Response[shown], run, rules, summary)

    def _once(self, create: Callable[..., Any], shown: Any) -> Callable[..., Any]:
        """Return a creation that happens once for each key."""
        from quintet.resources.idempotency import IdempotencyKey, begin

        work, shape, encode = self.operations, compile_output(shown), build_encoder(shown)

        async def run(
            db: Any, injected: Any, data: Any, request: Request, idempotency_key: str | None = None
        ) -> Response[Any]:
            if idempotency_key is None:
                return await create(db, injected, data)
            for row in cast("list[Any]", data) if isinstance(data, list) else [data]:
                await work.allow("create", injected, obj=row)  # an answer that is given again is an answer too
            taken = await begin(db, request, await work.owner(injected), idempotency_key)
            if not isinstance(taken, IdempotencyKey):
                return taken
            response = await create(db, injected, data)
            taken.body = encode(shape(response.data) if shape is not None else response.data)
            taken.headers = dict(response.headers.items())
            return response

        return run

    def update(self) -> Callable[..., Any]:
        """Return the handler that changes one row."""
        work = self.operations

        async def run(db: Any, injected: Any, key: Any, changes: Any, if_match: str | None = None) -> Any:
            row = await work.update(db, key, changes, if_match, injected)
            tag = work.etag(row)
            return row if tag is None else Response(row, headers={"etag": tag})

        parameters = {**self.plan.keys, "changes": Patch[self.plan.model], **self._condition()}
        rules = ("update", "visible", "before_update", "after_update")
        return self.make("update", parameters, self._returns(), run, rules, f"Change a {self._label}")

    def delete(self) -> Callable[..., Any]:
        """Return the handler that deletes one row."""
        work = self.operations

        async def run(db: Any, injected: Any, key: Any, if_match: str | None = None) -> None:
            await work.delete(db, key, if_match, injected)

        parameters = {**self.plan.keys, **self._condition()}
        rules = ("delete", "visible", "before_delete", "after_delete")
        return self.make("delete", parameters, None, run, rules, f"Delete a {self._label}")

    # -- signatures -------------------------------------------------------------------------------------------------

    @property
    def _label(self) -> str:
        return self.plan.model.__name__

    def _returns(self) -> Any:
        return Union[self.plan.item, Response[self.plan.item]] if self.plan.versioned else self.plan.item  # noqa: UP007

    def _condition(self) -> dict[str, Any]:
        if not self.plan.versioned:
            return {}
        text = "The ETag of the version that is known; 412 where there is another one by now."
        return {"if_match": Header[Annotated[Union[str, None], Name("If-Match"), Meta(description=text)]]}  # noqa: UP007

    def make(
        self,
        action: str,
        parameters: Mapping[str, Any],
        returns: Any,
        run: Callable[..., Any],
        rules: tuple[str, ...],
        summary: str,
    ) -> Callable[..., Any]:
        """Return a function with these parameters, a session, and what the rules want.

        Args:
            action: its name.
            parameters: what the request gives, by name.
            returns: its annotation.
            run: does the work: a coroutine function that takes `db`, `injected`, the parameters, and the values of the
                key together as `key`.
            rules: the names of the rules that it calls.
            summary: its docstring.
        """
        sync = self.plan.declaration.sync
        work = self.operations
        found = work.rules(rules)
        wanted = {r.name: r.parameter for r in found if r.dependency is not None}
        session: Any = SyncSession if sync else Session
        database = self.plan.declaration.database
        if database != "default":
            session = Annotated[session, Use(database)]
        annotations: dict[str, Any] = {**parameters, "db": session}
        annotations |= {r.parameter: r.annotation for r in found if r.dependency is not None}
        keys = tuple(self.plan.keys) if parameters.keys() >= self.plan.keys.keys() else ()

        def arguments(values: dict[str, Any]) -> dict[str, Any]:
            values["injected"] = {name: values.pop(parameter) for name, parameter in wanted.items()}
            if keys:
                values["key"] = tuple(values.pop(name) for name in keys)
            return values

        def run_sync(db: Any, **values: Any) -> Any:
            return finish(run(Blocking(db), **values))

        names = {"arguments": arguments, "run": run_sync if sync else run}
        made: Any = _defined_at(self.plan.declaration.where, _SYNC if sync else _ASYNC, names)
        made.__name__ = action
        made.__qualname__ = f"resource({self._label}).{action}"
        made.__module__ = self.plan.model.__module__
        made.__doc__ = f"{summary}." if summary else None
        made.__annotations__ = {**annotations, "return": returns}
        kinds = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=tp,
                default=None if name in ("if_match", "idempotency_key") else inspect.Parameter.empty,
            )
            for name, tp in annotations.items()
        ]
        made.__signature__ = inspect.Signature(kinds, return_annotation=returns)
        return made


def refuse_unknown(request: Request, known: set[str]) -> None:
    """Refuse parameters that a list does not have, and name those that it has; and text that no column holds.

    Raises:
        ValidationError: there is one.
    """
    query = request.query
    if not known.issuperset(query):
        message = f"There is no such parameter here; there are {', '.join(sorted(known))}."
        raise ValidationError(
            [FieldError(loc=("query", name), msg=message, code="unknown_field") for name in query if name not in known]
        )
    if b"%00" in request.raw_query or b"\0" in request.raw_query:
        message = "The text must not hold a NUL character."
        wrong = [name for name, value in query.items() if "\0" in "".join(value)]
        raise ValidationError([FieldError(loc=("query", name), msg=message, code="nul") for name in wrong])
