"""The plan of a handler: what was decided about it at start-up, as data.

`quintet explain` prints it, OpenAPI describes it, the compiler turns it into one closure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from quintet.handlers.params import Depends, Source
from quintet.handlers.signature import Signature


@dataclass(slots=True)
class Input:
    """One parameter that a request fills."""

    #: The name in the function.
    name: str
    source: Source
    #: The name on the wire.
    key: str
    #: The type with its constraints.
    annotation: Any
    required: bool
    default: Any = None
    #: Turns what was sent into the value, or raises InputFailure.
    read: Callable[[Any], Any] | None = None
    #: For a structure filled from several query parameters.
    is_structure: bool = False
    #: The query parameters that other inputs of the route take, which a structure does not see.
    others: frozenset[str] = frozenset()
    #: For a path parameter, its place in the path.
    index: int = 0


@dataclass(slots=True)
class Body:
    """What a route reads from its body."""

    annotation: Any
    #: The formats by name, such as `json`.
    accepts: tuple[str, ...]
    required: bool
    default: Any = None
    name: str = "body"
    #: `value`, `form` (a Form[T]), `patch` (a Patch[T]) or `upload`.
    kind: str = "value"
    #: The types of separate files and fields, for uploads.
    parts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """A function and what each of its parameters gets."""

    signature: Signature
    #: By parameter name: an Input, a Call (dependency), or the word `request`, `body`.
    arguments: dict[str, Any]
    #: The variable that holds its result in the compiled closure.
    variable: str = ""
    depends: Depends | None = None


@dataclass(slots=True)
class Result:
    """What a route answers with."""

    #: The return annotation without responses.
    annotation: Any
    #: `none`, `text`, `bytes`, `html`, `data`, `stream`, `events`, `dynamic`.
    kind: str
    status: int
    #: The formats by name, the first being the default.
    produces: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()
    #: Whether the handler may return a Response of its own.
    responses: tuple[Any, ...] = ()
    template: str = ""
    item: Any = None


@dataclass(slots=True)
class HandlerPlan:
    """Everything decided about one route's handler."""

    call: Call
    inputs: list[Input]
    body: Body | None
    #: Dependencies in the order they are called.
    dependencies: list[Call]
    result: Result
    guards: Sequence[Callable[..., Any]]
    middleware: Sequence[Callable[..., Any]]
    timeout: float | None
    max_body: int | None
    #: Whether a `def` handler runs on the event loop.
    inline: bool = False
    #: The source of the compiled closure.
    source: str = ""
