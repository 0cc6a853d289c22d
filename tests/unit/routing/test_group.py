"""Routers, controllers, and what groups add to their routes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from quintet import App, Controller, Forbidden, Request, Response, Router, delete, get, post, route
from quintet.errors import ConfigurationError
from quintet.routing.route import CallNext, Middleware
from quintet.testing import Client


def only_problem(error: pytest.ExceptionInfo[ConfigurationError]) -> Any:
    (problem,) = error.value.problems
    return problem


def line_of(text: str) -> int:
    """Return the line of this file that has a text."""
    source = inspect.getsource(inspect.getmodule(line_of)).splitlines()  # type: ignore[arg-type]
    return next(number for number, line in enumerate(source, 1) if text in line and "line_of" not in line)


def tracing(name: str, seen: list[str]) -> Middleware:
    async def middleware(request: Request, call_next: CallNext) -> Response[Any]:
        seen.append(f"+{name}")
        response = await call_next(request)
        seen.append(f"-{name}")
        return response

    return middleware


def test_prefixes_of_nested_routers_add_up() -> None:
    app, outer, inner = App(docs=False), Router("/outer"), Router("/inner")

    @inner.get("/leaf/{x}")
    async def leaf(x: str) -> str:
        return x

    @outer.get("")
    async def bare() -> str:
        return "bare"

    outer.include(inner, "/between")
    app.include(outer, "/v1")
    with Client(app) as client:
        assert client.get("/v1/outer/between/inner/leaf/5").text == "5"
        assert client.get("/v1/outer").text == "bare"
        assert client.get("/outer").status_code == 404


def test_a_router_can_be_included_twice() -> None:
    app, router = App(docs=False), Router("/r")

    @router.get("/x")
    async def x(request: Request) -> str:
        return request.path

    app.include(router, "/a")
    app.include(router, "/b")
    with Client(app) as client:
        assert client.get("/a/r/x").text == "/a/r/x"
        assert client.get("/b/r/x").text == "/b/r/x"


def test_routes_added_after_the_router_was_included_are_served() -> None:
    app, router = App(docs=False), Router("/r")
    app.include(router)
    with Client(app) as client:
        assert client.get("/r/late").status_code == 404

        @router.get("/late")
        async def late() -> str:
            return "here"

        assert client.get("/r/late").text == "here"


def test_the_name_of_a_group_stands_in_front_of_its_routes() -> None:
    app, router = App(docs=False), Router("/articles", name="articles")

    @router.get("/{slug}")
    async def read(slug: str) -> str:
        return slug

    app.include(router)
    assert app.url_for("articles.read", slug="a") == "/articles/a"


def test_options_of_a_group_are_defaults_of_its_routes() -> None:
    app = App(docs=False)
    router = Router("/r", max_body=10)

    @router.post("/small")
    async def small(request: Request) -> int:
        return len(await request.body())

    @router.post("/large", max_body=100)
    async def large(request: Request) -> int:
        return len(await request.body())

    app.include(router)
    with Client(app) as client:
        assert client.post("/r/small", content=b"x" * 11).status_code == 413
        assert client.post("/r/small", content=b"x" * 10).json() == 10
        assert client.post("/r/large", content=b"x" * 100).json() == 100


def test_middleware_is_composed_from_the_outside_in() -> None:
    seen: list[str] = []
    app = App(docs=False, middleware=[tracing("app", seen)])
    outer = Router("/o", middleware=[tracing("outer", seen)])
    inner = Router("/i", middleware=[tracing("inner", seen)])
    outer.middleware(tracing("outer2", seen))

    @inner.get("/x", middleware=[tracing("route", seen)])
    async def x() -> str:
        seen.append("handler")
        return ""

    outer.include(inner)
    app.include(outer)
    with Client(app) as client:
        client.get("/o/i/x")
    names = ["app", "outer", "outer2", "inner", "route"]
    assert seen == [*(f"+{n}" for n in names), "handler", *(f"-{n}" for n in reversed(names))]


def test_guards_run_outermost_first_and_before_anything_is_read() -> None:
    seen: list[str] = []

    def guard(name: str, refuse: bool = False) -> Callable[[Request], Any]:
        async def check(request: Request) -> None:
            seen.append(name)
            if refuse:
                raise Forbidden(name)

        return check

    app = App(docs=False, guards=[guard("app")])
    router = Router("/r", guards=[guard("router")])
    router.guard(guard("router2"))

    @router.post("/x", guards=[guard("route", refuse=True)])
    async def x(number: int) -> None:
        seen.append("handler")

    app.include(router)
    with Client(app) as client:
        response = client.post("/r/x")  # `number` is missing: the guard comes first
    assert response.status_code == 403
    assert response.json()["detail"] == "route"
    assert seen == ["app", "router", "router2", "route"]


def test_what_surrounds_one_router_leaves_others_alone() -> None:
    seen: list[str] = []
    app = App(docs=False)
    first, second = Router("/first", middleware=[tracing("first", seen)]), Router("/second")
    for group in (first, second):

        @group.get("/x")
        async def x() -> str:
            return ""

        app.include(group)
    with Client(app) as client:
        client.get("/second/x")
        assert seen == []
        client.get("/first/x")
    assert seen == ["+first", "-first"]


def test_a_controller_groups_handlers_over_one_object() -> None:
    class Articles(Controller):
        path: ClassVar[str] = "/articles"
        tags: ClassVar[list[str]] = ["articles"]

        def __init__(self) -> None:
            self.titles = {"a": "A"}

        @get("/{slug}")
        async def read(self, slug: str) -> dict[str, str]:
            return {"title": self.titles[slug]}

        @post("", status=201)
        async def create(self, slug: str) -> None:
            self.titles[slug] = slug.upper()

        @delete("/{slug}")
        def remove(self, slug: str) -> None:
            del self.titles[slug]

        @route("/{slug}/title", ("PUT", "PATCH"))
        async def rename(self, slug: str, request: Request) -> str:
            self.titles[slug] = (await request.body()).decode()
            return request.method

    app = App(docs=False)
    app.include(Articles)
    with Client(app) as client:
        assert client.post("/articles?slug=b").status_code == 201
        assert client.get("/articles/b").json() == {"title": "B"}
        assert client.put("/articles/b/title", content=b"Bee").text == "PUT"
        assert client.patch("/articles/b/title", content=b"Bea").text == "PATCH"
        assert client.get("/articles/b").json() == {"title": "Bea"}
        assert client.delete("/articles/b").status_code == 204


def test_methods_of_a_base_controller_are_inherited_and_overridden() -> None:
    class Base(Controller):
        @get("/kind")
        async def kind(self) -> str:
            return "base"

        @get("/name")
        async def name(self) -> str:
            return type(self).__name__

    class Derived(Base):
        path: ClassVar[str] = "/derived"

        @get("/kind")
        async def kind(self) -> str:
            return "derived"

    app = App(docs=False)
    app.include(Derived())
    with Client(app) as client:
        assert client.get("/derived/kind").text == "derived"
        assert client.get("/derived/name").text == "Derived"


@pytest.mark.parametrize("prefix", ["users", "/users/"])
def test_a_wrong_prefix_says_how_to_write_it(prefix: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Router(prefix)
    problem = only_problem(error)
    assert problem.id == "routes.prefix"
    assert problem.fix == "write '/users'"
    assert problem.where.endswith(f"test_group.py:{line_of('        Router(prefix)')}")


def test_a_prefix_may_not_hide_a_path_that_cannot_be_parsed() -> None:
    with pytest.raises(ConfigurationError) as error:
        Router("/{x:nonsense}")
    assert only_problem(error).id == "routes.prefix"


def test_a_wrong_path_is_reported_where_it_is_declared() -> None:
    app = App(docs=False)
    with pytest.raises(ConfigurationError) as error:

        @app.get("/a//b")  # the wrong path
        async def handler() -> None: ...

    problem = only_problem(error)
    assert problem.id == "routes.path"
    assert "empty segments" in problem.message
    assert problem.where == f"{__file__}:{line_of('# the wrong path')}"


def test_a_parameter_may_stand_in_the_prefix_but_not_twice() -> None:
    app, router = App(docs=False), Router("/shops/{shop}")

    @router.get("/items/{item:int}")
    async def item(shop: str, item: int) -> str:
        return f"{shop} {item}"

    app.include(router)
    with Client(app) as client:
        assert client.get("/shops/corner/items/5").text == "corner 5"
    with pytest.raises(ConfigurationError) as error:

        @router.get("/again/{shop}")
        async def again(shop: str) -> None: ...

    assert "two parameters named 'shop'" in only_problem(error).message


def test_a_path_that_is_wrong_only_below_its_prefix_is_reported_at_start_up() -> None:
    app, router = App(docs=False), Router("/x/{id}")

    @router.get("/y")
    async def y(id: str) -> None: ...

    app.include(router, "/{id}")
    with pytest.raises(ConfigurationError) as error:
        app.freeze()
    assert "two parameters named 'id'" in only_problem(error).message


def test_a_router_that_includes_itself_is_refused() -> None:
    router = Router("/r")
    with pytest.raises(ConfigurationError) as error:
        router.include(router)
    assert only_problem(error).id == "routes.include"


def test_routers_that_include_each_other_are_refused() -> None:
    first, second = Router("/a"), Router("/b")
    first.include(second)
    with pytest.raises(ConfigurationError) as error:
        second.include(first)
    assert only_problem(error).id == "routes.include"


def test_the_innermost_error_handler_answers() -> None:
    class Broken(Exception):
        pass

    app, router = App(docs=False), Router("/r")

    @app.exception_handler(Broken)
    async def by_app(request: Request, error: Broken) -> Response[str]:
        return Response("app", 500)

    @router.exception_handler(Broken)
    def by_router(request: Request, error: Broken) -> Response[str]:
        return Response("router", 500)

    for group in (app, router):

        @group.get("/x")
        async def x() -> None:
            raise Broken

    app.include(router)
    with Client(app) as client:
        assert client.get("/x").text == "app"
        assert client.get("/r/x").text == "router"


def test_a_bare_route_is_surrounded_by_nothing_of_its_groups() -> None:
    async def guard(request: Any) -> None: ...
    async def own(request: Any) -> None: ...
    async def middleware(request: Any, call_next: Any) -> Any: ...

    router = Router("/in", guards=[guard], middleware=[middleware])
    router.get("/a", guards=[own])(lambda: None)
    router.get("/b", guards=[own], bare=True)(lambda: None)
    surrounded, bare = router.flatten()
    assert (surrounded.options.get("guards"), surrounded.options.get("middleware")) == ([guard, own], [middleware])
    assert list(bare.options.get("guards", ())) == [own]
    assert list(bare.options.get("middleware", ())) == []
