"""Resolvers: how a plugin provides types by more than their name: by what stands beside them and who asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from quintet.errors import ConfigurationError, Problem
from quintet.handlers.params import Depends


class Wanted(NamedTuple):
    """A parameter that asks for a value of a type."""

    #: The parameter.
    name: str
    #: Its type, without what stands in `Annotated`.
    type: Any
    #: What stands in `Annotated` beside the type.
    marks: tuple[Any, ...]
    #: Whether the function that has the parameter is `async def`.
    is_async: bool
    #: The methods of the route; none for WebSockets, commands and tasks.
    methods: Sequence[str]
    #: Whether the handler streams its answer.
    streams: bool
    #: Whether it serves a WebSocket.
    is_websocket: bool
    #: The function that has the parameter, and where it is defined.
    function: str
    where: str

    def problem(self, id: str, message: str, fix: str) -> ConfigurationError:
        """Return the error of a parameter that cannot be filled."""
        text = f"{self.function}: the parameter {self.name!r} {message}"
        return ConfigurationError(Problem(id=id, message=text, where=self.where, fix=fix))


#: Returns what provides a parameter's value, or None to leave it to others; raises `Wanted.problem`.
Resolver = Callable[[Wanted], "Depends | None"]
