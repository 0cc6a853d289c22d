"""Functions that last as long as the app: lifespans and factories of every kind, as context managers."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from quintet.errors import ConfigurationError, Problem
from quintet.routing.group import location


def as_context(function: Callable[..., Any], app: Any) -> AbstractAsyncContextManager[Any]:
    """Return a function that was registered for the life of an app as a context manager."""
    takes_app = bool(inspect.signature(function).parameters)
    if inspect.isasyncgenfunction(function):
        function = contextlib.asynccontextmanager(function)
    elif inspect.isgeneratorfunction(function):
        function = _async_manager(contextlib.contextmanager(function))
    return function(app) if takes_app else function()


def _async_manager(manager: Callable[..., Any]) -> Callable[..., AbstractAsyncContextManager[Any]]:
    @contextlib.asynccontextmanager
    async def entered(*args: Any) -> AsyncGenerator[Any, None]:
        with manager(*args) as value:
            yield value

    return entered


def check_factory(factory: Callable[..., Any]) -> None:
    """Refuse a factory of scope `app` that needs arguments.

    Raises:
        ConfigurationError: with their names.
    """
    needed = [
        p.name
        for p in inspect.signature(factory).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        raise ConfigurationError(
            Problem(
                id="provide.parameters",
                message=f"the factory {getattr(factory, '__qualname__', factory)} lives as long as the app, and no "
                f"request can give it {', '.join(map(repr, needed))}",
                where=location(),
                fix="let it take nothing, such as a function that reads app.settings",
            )
        )


async def enter_value(stack: AsyncExitStack, factory: Callable[..., Any]) -> Any:
    """Return what a factory makes; what it opens is closed with the stack."""
    if inspect.isasyncgenfunction(factory):
        return await stack.enter_async_context(contextlib.asynccontextmanager(factory)())
    if inspect.isgeneratorfunction(factory):
        return stack.enter_context(contextlib.contextmanager(factory)())
    value = factory()
    return await value if inspect.isawaitable(value) else value
