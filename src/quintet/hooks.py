"""Plugins: the public interface through which every battery, ours and others', joins an app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from quintet.app import Application


@dataclass(frozen=True)
class ReadinessCheck:
    """One thing that must work before an app takes requests."""

    #: What it is about, such as `database`.
    name: str
    #: Raises, or returns False, where it does not work. Async functions run on the loop, others in a thread.
    function: Callable[[], Any]
    #: Seconds it may take.
    timeout: float = 2.0


class Plugin:
    """A part that an app can be given: `App(plugins=[MyPlugin()])`.

    Through `app` it may add routes, providers, middleware, guards, formats, template globals, commands, checks,
    lifespan steps, OpenAPI parts and settings: everything Quintet's own batteries do.
    """

    #: A name that is unique in an app.
    name: ClassVar[str] = ""
    #: Names of plugins that must be set up before.
    requires: ClassVar[Sequence[str]] = ()

    def setup(self, app: Application) -> None:
        """Join the app. Called once, before its first freeze."""
        raise NotImplementedError(f"{type(self).__name__}.setup")
