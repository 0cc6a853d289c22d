from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from quintet import App, CallNext, Plugin, Request, Response
from quintet.app import Application
from quintet.errors import Problem


# --8<-- [start:plugin]
class Flags:
    """What handlers ask for."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def __contains__(self, name: str) -> bool:
        return name in self._names


class FlagsPlugin(Plugin):
    """Feature flags: handlers ask for `Flags`, `/flags` lists them."""

    name: ClassVar[str] = "flags"

    def __init__(self, *names: str) -> None:
        self.names = names

    def setup(self, app: Application) -> None:
        app.provide_value(Flags, Flags(self.names))
        app.get("/flags", include_in_schema=False)(self.show)
        app.middleware(self.add_header)
        app.check(self.check)

    async def show(self) -> list[str]:
        return list(self.names)

    async def add_header(
        self, request: Request, call_next: CallNext
    ) -> Response[Any]:
        response = await call_next(request)
        response.headers.set("x-flags", ", ".join(self.names))
        return response

    def check(self) -> list[Problem]:
        return [
            Problem(
                id="flags.name",
                message=f"the flag {name!r} is not in lower case",
                fix="rename it",
            )
            for name in self.names
            if not name.islower()
        ]


# --8<-- [end:plugin]


# --8<-- [start:app]
app = App(plugins=[FlagsPlugin("dark-mode", "beta")])


@app.get("/")
async def home(flags: Flags) -> str:
    return "dark" if "dark-mode" in flags else "light"


# --8<-- [end:app]
