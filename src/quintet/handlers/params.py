"""What a handler's annotations can say beyond a type: where a value comes from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from quintet.errors import FieldError

T = TypeVar("T")


class Source(Enum):
    """Where a parameter's value comes from."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    COOKIE = "cookie"
    BODY = "body"


class In(msgspec.Struct, frozen=True):
    """The source named by an annotation; use `Query`, `Header`, `Cookie`, `Path` or `Body` instead."""

    source: Source


class Name(msgspec.Struct, frozen=True):
    """Another name on the wire: `Header[Annotated[str, Name("X-Request-Id")]]`."""

    name: str


#: A query parameter.
Query: TypeAlias = Annotated[T, In(Source.QUERY)]
#: A request header; underscores of the name become hyphens.
Header: TypeAlias = Annotated[T, In(Source.HEADER)]
#: A cookie.
Cookie: TypeAlias = Annotated[T, In(Source.COOKIE)]
#: A parameter of the path.
Path: TypeAlias = Annotated[T, In(Source.PATH)]
#: The body.
Body: TypeAlias = Annotated[T, In(Source.BODY)]


class Settle(NamedTuple):
    """What a dependency's value has to do between the handler and the encoding of its result."""

    #: Tells whether there is anything to do.
    needed: Callable[[Any], bool]
    #: Does it: a coroutine function, or a function that runs where `def` handlers run.
    run: Callable[[Any], Any]


class Depends:
    """A dependency: `Annotated[T, Depends(function)]`.

    Args:
        function: an async or sync function or generator; its parameters follow the rules of handlers. What a generator
            does after its `yield` runs when the answer is encoded and before it is sent.
        cached: whether one request calls it once.
        inline: run a `def` function on the event loop; only for one that never blocks.
        scope: `"call"` cleans up before the answer is sent, `"response"` after.
        settle: what is to be done with its value before the result is encoded.
        manager: for an async generator, what returns a context manager that does the same at less cost.
    """

    __slots__ = ("cached", "function", "inline", "manager", "scope", "settle")

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        cached: bool = True,
        inline: bool = False,
        scope: Literal["call", "response"] = "call",
        settle: Settle | None = None,
        manager: Callable[..., AbstractAsyncContextManager[Any]] | None = None,
    ) -> None:
        self.function = function
        self.cached = cached
        self.inline = inline
        self.manager = manager
        self.scope = scope
        self.settle = settle

    def __repr__(self) -> str:
        return f"Depends({getattr(self.function, '__qualname__', self.function)!s})"


class Form(Generic[T]):
    """A form as it was submitted, right or wrong.

    On GET it is empty and neither valid nor wrong.
    """

    __slots__ = ("_data", "errors", "submitted", "values")

    def __init__(
        self,
        *,
        data: T | None = None,
        values: dict[str, Any] | None = None,
        errors: list[FieldError] | None = None,
        submitted: bool = False,
    ) -> None:
        self._data = data
        #: What the client typed, by field, to show it again. Passwords and files are left out.
        self.values: dict[str, Any] = values or {}
        #: The wrong fields.
        self.errors: list[FieldError] = errors or []
        #: Whether a form was submitted at all.
        self.submitted = submitted

    @property
    def valid(self) -> bool:
        """Whether it was submitted and every field is right."""
        return self.submitted and not self.errors

    @property
    def data(self) -> T:
        """The validated value.

        Raises:
            ValueError: the form is not valid; look at `valid` first.
        """
        if not self.valid:
            raise ValueError("this form is not valid; read `data` only when `form.valid` is true")
        data: Any = self._data
        return data

    def errors_for(self, field: str) -> list[str]:
        """Return the messages of one field."""
        return [e.msg for e in self.errors if len(e.loc) > 1 and e.loc[1] == field]


class Patch(Generic[T]):
    """A partial update: the fields that were sent, each validated; a field set to null is not the same as one unset."""

    __slots__ = ("changes",)

    def __init__(self, changes: dict[str, Any]) -> None:
        #: The fields that were sent, by name.
        self.changes = changes

    def __contains__(self, field: str) -> bool:
        return field in self.changes

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    else:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            try:
                return self.changes[name]
            except KeyError:
                raise AttributeError(f"the field {name!r} was not sent; test with `{name!r} in patch` first") from None

    def apply(self, target: T) -> T:
        """Set the fields that were sent on `target` and return it; a frozen one is replaced by a changed copy."""
        if isinstance(target, msgspec.Struct) and type(target).__struct_config__.frozen:
            return msgspec.structs.replace(target, **self.changes)
        for name, value in self.changes.items():
            setattr(target, name, value)
        return target
