"""Rules: the methods of a policy or of hooks, and single functions, called with what they declare.

A parameter named `obj`, `changes` or `query` is given by the resource; every other one is filled as a handler's is.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, cast

from quintet.errors import Problem
from quintet.handlers.params import Depends
from quintet.handlers.signature import where_defined

#: What the resource itself gives to rules, by action.
GIVEN = ("obj", "changes", "query")


@dataclass(frozen=True, slots=True)
class Rule:
    """One method."""

    name: str
    function: Callable[..., Any]
    #: Which of the resource's own values it takes.
    given: tuple[str, ...]
    #: What the request's injected values come from; None where it takes none.
    dependency: Callable[..., Any] | None

    @property
    def parameter(self) -> str:
        """The name of the handler's parameter that holds the injected values."""
        return f"for_{self.name}"

    @property
    def annotation(self) -> Any:
        """The annotation of that parameter."""
        assert self.dependency is not None
        return Annotated[dict[str, Any], Depends(self.dependency, inline=True)]

    async def call(self, injected: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """Call the method with the values that it takes."""
        result = self.function(**{name: values[name] for name in self.given}, **injected)
        return await result if inspect.isawaitable(result) else result


class RuleSet:
    """The methods of a class of rules, or of an instance of one; or functions by name."""

    def __init__(self, source: Any, allowed: Mapping[str, Sequence[str]], kind: str, *, sync: bool, where: str) -> None:
        self.problems: list[Problem] = []
        self.rules: dict[str, Rule] = {}
        self._kind, self._sync, self._where = kind, sync, where
        if source is None:
            return
        self.label = kind
        if isinstance(source, Mapping):
            members = list(cast("Mapping[str, Any]", source).items())
        else:
            instance = source() if inspect.isclass(source) else source
            self.label = type(instance).__name__
            members = inspect.getmembers(instance, callable)
        for name, member in members:
            if not name.startswith("_"):
                self._add(name, member, allowed)

    def get(self, name: str) -> Rule | None:
        """Return a method, or None."""
        return self.rules.get(name)

    def _add(self, name: str, member: Callable[..., Any], allowed: Mapping[str, Sequence[str]]) -> None:
        if name not in allowed:
            near = get_close_matches(name, allowed, 1)
            fix = f"did you mean {near[0]!r}?" if near else "begin the names of other methods with an underscore"
            message = f"{self.label}.{name} is no method of {self._kind}; there are {', '.join(allowed)}"
            self._problem("name", message, member, fix)
            return
        if self._sync and inspect.iscoroutinefunction(member):
            message = f"{self.label}.{name} is `async def`, and the resource is sync=True"
            self._problem("async", message, member, "write `def`")
            return
        try:
            hints = typing.get_type_hints(member, include_extras=True)
        except (NameError, TypeError):
            hints = dict(getattr(member, "__annotations__", {}))
        parameters = list(inspect.signature(member).parameters.values())
        given = tuple(p.name for p in parameters if p.name in GIVEN)
        wrong = [n for n in given if n not in allowed[name]]
        if wrong:
            has = f"; {name} has {', '.join(allowed[name])}" if allowed[name] else ""
            message = f"{self.label}.{name} takes {wrong[0]!r}, which does not exist there{has}"
            self._problem("parameter", message, member, "remove it")
            return
        injected = [p for p in parameters if p.name not in GIVEN]
        names = {p.name: hints[p.name] for p in injected if p.name in hints}
        dependency = _collector(member, injected, names, sync=self._sync) if injected else None
        self.rules[name] = Rule(name, member, given, dependency)

    def _problem(self, id: str, message: str, member: Callable[..., Any], fix: str) -> None:
        where = where_defined(member) or self._where
        self.problems.append(Problem(id=f"resources.{id}", message=message, where=where, fix=fix))


def _collector(
    member: Callable[..., Any], parameters: Sequence[inspect.Parameter], hints: dict[str, Any], *, sync: bool
) -> Callable[..., Any]:
    """Return a dependency that takes these parameters and returns their values by name."""

    def collect(**values: Any) -> dict[str, Any]:
        return values

    async def collect_async(**values: Any) -> dict[str, Any]:
        return values

    made: Any = collect if sync else collect_async
    kept = [p.replace(kind=p.KEYWORD_ONLY, annotation=hints.get(p.name, p.empty)) for p in parameters]
    made.__signature__ = inspect.Signature(kept)
    made.__annotations__ = hints
    made.__qualname__ = getattr(member, "__qualname__", made.__name__).replace("<locals>.", "")
    made.__module__ = member.__module__
    return made
