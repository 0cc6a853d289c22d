"""Dependencies that end: generators as asynchronous context managers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from quintet.handlers.plan import Call


def manager_of(call: Call, run: Any) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """Return the factory of context managers for a dependency that is a generator.

    Args:
        run: runs a function in a thread, for `def` generators; None to run them on the event loop.
    """
    function, depends = call.signature.function, call.depends
    if depends is not None and depends.manager is not None:
        return depends.manager
    if call.signature.is_async:
        return asynccontextmanager(function)
    inline = depends is not None and depends.inline
    return _threaded_manager(function, None if inline else run)


def _threaded_manager(function: Callable[..., Any], run: Any) -> Callable[..., Any]:
    """Return a context manager factory for a sync generator whose steps run in a thread."""
    build = contextmanager(function)

    @asynccontextmanager
    async def manager(**arguments: Any) -> AsyncGenerator[Any, None]:
        inner = build(**arguments)
        value = await run(inner.__enter__) if run is not None else inner.__enter__()
        try:
            yield value
        except BaseException as exc:
            details = (type(exc), exc, exc.__traceback__)
            swallowed = await run(inner.__exit__, *details) if run is not None else inner.__exit__(*details)
            if not swallowed:
                raise
        else:
            if run is not None:
                await run(inner.__exit__, None, None, None)
            else:
                inner.__exit__(None, None, None)

    return manager
