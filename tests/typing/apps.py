"""What type checkers see of apps, groups, plugins and middleware; checked by basedpyright and mypy, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar, assert_type

from quintet import App, CallNext, Controller, Limits, Plugin, Request, Response, Router, get, post
from quintet.app import Application


async def middleware(request: Request, call_next: CallNext) -> Response[Any]:
    response = await call_next(request)
    assert_type(response, Response[Any])
    return response


async def guard(request: Request) -> None: ...


async def not_a_middleware(request: Request) -> Response[Any]:
    return Response(None)


def not_a_guard(request: Request) -> None: ...


async def handler() -> str:
    return ""


app = App(title="Shop", limits=Limits(body=10), middleware=[middleware], guards=[guard], produces=("json", "xml"))
router = Router("/v1", name="v1", tags=["first"], guards=[guard], middleware=[middleware], version="1")

# Options have names and types.
app.get("/a", name="a", status=201, tags=["t"], guards=[guard], middleware=[middleware], timeout=1.5)(handler)
app.get("/a", statuss=201)  # type: ignore[call-arg]  # no such option
app.get("/a", status="201")  # type: ignore[arg-type]  # a status is a number
app.get("/a", guards=[not_a_guard])  # type: ignore[list-item]  # must be async
app.get(5)  # type: ignore[arg-type]  # a path is text
app.get("/a")(5)  # type: ignore[type-var]  # a handler is a function
router.post("/b", max_body="1M")  # type: ignore[arg-type]  # in bytes
App(titel="Shop")  # type: ignore[call-arg]  # no such option
App(trailing_slash="maybe")  # type: ignore[arg-type]  # redirect or strict
Router("/x", tag="x")  # type: ignore[call-arg]  # no such option
app.middleware(not_a_middleware)  # type: ignore[type-var]  # takes call_next too
app.include(router, "/prefix")
app.include(handler)  # type: ignore[arg-type]  # no router

# Paths are text.
assert_type(app.url_for("a", id=5, slug="x"), str)

# Decorators keep what they decorate.
assert_type(app.middleware(middleware) is middleware, bool)


@app.lifespan
async def life(app: App) -> AsyncIterator[None]:
    yield


assert_type(life(app), AsyncIterator[None])


class Articles(Controller):
    path: ClassVar[str] = "/articles"

    @get("/{id}")
    async def read(self, id: int) -> str:
        return str(id)

    @post("", stauts=201)  # type: ignore[call-arg]  # no such option
    async def create(self) -> None: ...


app.include(Articles)


class Battery(Plugin):
    name: ClassVar[str] = "battery"

    def setup(self, app: Application) -> None:
        app.provide(Battery, Battery, scope="app")
        app.provide(Battery, Battery, scope="session")  # type: ignore[arg-type]
        app.provide_value(Battery, self)


App(plugins=[Battery()])
App(plugins=[Battery])  # type: ignore[list-item]  # an instance
