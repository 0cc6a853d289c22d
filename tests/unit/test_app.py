"""The app: what it is made of, what is wrong with it, where requests go, and its life."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest

from quintet import App, CallNext, Limits, Plugin, Redirect, Request, Response, Router, Struct, ThreadSettings
from quintet.app import Application
from quintet.errors import ConfigurationError
from quintet.testing import Client


@pytest.fixture
def app() -> App:
    return App(docs=False)


def problems_of(app: App) -> list[tuple[str, str]]:
    """Return the id and the line of everything that is wrong with an app."""
    with pytest.raises(ConfigurationError) as error:
        app.freeze()
    assert all(p.where.startswith(f"{__file__}:") for p in error.value.problems)
    return [(p.id, p.where.rpartition(":")[2]) for p in error.value.problems]


def line(function: Any) -> str:
    return str(inspect.unwrap(function).__code__.co_firstlineno)


# -- routes -----------------------------------------------------------------------------------------------------------


def test_duplicates_shadowed_routes_and_names_are_reported_together(app: App) -> None:
    @app.get("/a/{x}")
    async def first(x: str) -> None: ...

    @app.get("/a/{y}")
    async def second(y: str) -> None: ...

    @app.get("/a/{z}")
    async def fine(z: int) -> None: ...

    @app.get("/b", name="same")
    async def named() -> None: ...

    @app.get("/c", name="same")
    async def named_again() -> None: ...

    @app.get("/old/{path:path}")
    async def shadowed(path: str) -> None: ...

    app.mount("/old", Application())  # the mount
    found = problems_of(app)
    here = inspect.getsource(test_duplicates_shadowed_routes_and_names_are_reported_together).splitlines()
    offset = next(i for i, text in enumerate(here) if "# the mount" in text)
    start = test_duplicates_shadowed_routes_and_names_are_reported_together.__code__.co_firstlineno
    assert sorted(found) == sorted(
        [
            ("routes.duplicate", line(second)),
            ("routes.name", line(named_again)),
            ("routes.shadowed", str(start + offset)),
        ]
    )


def test_a_duplicate_names_the_other_and_the_fix(app: App) -> None:
    @app.get("/a")
    async def first() -> None: ...

    @app.route("/a", ("POST", "GET"))
    async def second() -> None: ...

    with pytest.raises(ConfigurationError) as error:
        app.freeze()
    (problem,) = error.value.problems
    assert problem.message == f"GET /a is taken already by 'first' ({__file__}:{line(first)})"
    assert "another path" in problem.fix


def test_methods_of_one_path_are_several_routes(app: App) -> None:
    @app.get("/a/{x}")
    async def read(x: int) -> str:
        return f"read {x}"

    @app.put("/a/{y}")
    async def write(y: int) -> str:
        return f"write {y}"

    with Client(app) as client:
        assert client.get("/a/1").text == "read 1"
        assert client.put("/a/2").text == "write 2"
        assert client.head("/a/1").status_code == 200
        wrong = client.delete("/a/1")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS, PUT")
        options = client.options("/a/1")
        assert (options.status_code, options.headers["allow"], options.content) == (204, "GET, HEAD, OPTIONS, PUT", b"")


def test_a_method_that_the_nearest_route_has_not_is_looked_for_in_others(app: App) -> None:
    @app.get("/users/me")
    async def me() -> str:
        return "me"

    @app.delete("/users/{name}")
    async def remove(name: str) -> str:
        return f"removed {name}"

    @app.get("/users/{number}")
    async def by_number(number: int) -> str:
        return f"number {number}"

    @app.post("/users/{rest:path}")
    async def anything(rest: str) -> str:
        return f"posted {rest}"

    with Client(app) as client:
        assert client.get("/users/me").text == "me"
        assert client.delete("/users/me").text == "removed me"
        assert client.delete("/users/5").text == "removed 5"
        assert client.post("/users/5").text == "posted 5"
        assert client.options("/users/me").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"
        wrong = client.put("/users/5")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS, POST")
        assert client.get("/users/Ada").headers["allow"] == "DELETE, OPTIONS, POST"


def test_options_may_be_a_handler_of_its_own(app: App) -> None:
    @app.route("/a", ("OPTIONS",))
    async def options() -> str:
        return "mine"

    @app.route("/b", ("GET", "HEAD"))
    async def head(request: Request) -> Response[str]:
        return Response("x", headers={"x-method": request.method})

    with Client(app) as client:
        assert client.options("/a").text == "mine"
        assert client.head("/b").headers["x-method"] == "HEAD"


@pytest.mark.parametrize(
    ("method", "path", "status", "location"),
    [
        ("GET", "/a", 200, None),
        ("GET", "/a/", 308, "/a"),
        ("POST", "/a/", 308, "/a"),
        ("GET", "/b/", 200, None),
        ("GET", "/b?x=1", 308, "/b/?x=1"),
        ("GET", "/both", 200, None),
        ("GET", "/both/", 200, None),
        ("GET", "/%C3%A9/5/", 308, "/%C3%A9/5"),
        ("GET", "/c/", 404, None),
        ("GET", "//a/", 404, None),
        ("GET", "/\\evil.example/", 404, None),
        ("GET", "/", 404, None),
    ],
)
def test_a_slash_at_the_end_is_redirected_where_only_the_other_exists(
    method: str, path: str, status: int, location: str | None
) -> None:
    for policy in ("redirect", "strict"):
        app = App(docs=False, trailing_slash=policy)
        for text in ("/a", "/b/", "/both", "/both/"):

            async def handler() -> str:
                return ""

            app.route(text, ("GET", "POST"))(handler)

        @app.get("/é/{n}")
        async def number(n: int) -> None: ...

        with Client(app) as client:
            response = client.request(method, f"https://testserver{path}")
        expected = (404, None) if policy == "strict" and status == 308 else (status, location)
        assert (response.status_code, response.headers.get("location")) == expected


@pytest.mark.parametrize("path", ["/a//b", "/a/../b", "/a/./b", "/./a", "/../a"])
def test_dots_and_empty_segments_are_no_route(app: App, path: str) -> None:
    @app.get("/{x}/{y}")
    async def two(x: str, y: str) -> None: ...

    @app.get("/{x}/{y}/{z}")
    async def three(x: str, y: str, z: str) -> None: ...

    for text in ("/a", "/b", "/a/b"):

        @app.get(text)
        async def static() -> None: ...

    route, _ = app.dispatcher.find("GET", path)  # a client would resolve the dots before it sends them
    assert route.kind == "answer"


def test_paths_and_names_may_be_unicode(app: App) -> None:
    @app.get("/größe/{name}")
    async def handler(name: str) -> str:
        return name

    with Client(app) as client:
        assert client.get("/gr%C3%B6%C3%9Fe/%E5%90%8D").text == "名"
        assert client.get("/größe/a%20b%2Bc").text == "a b+c"
        assert client.get("/gr%F6%DFe/x").status_code == 400  # not UTF-8
        assert client.get("/gr%C3%B6%C3%9Fe/a%00b").status_code == 400
        assert client.get("/gr%C3%B6%C3%9Fe/a%2Fb").status_code == 404  # an escaped slash is a slash
    path = app.url_for("handler", name="日本 ?")
    assert path == "/gr%C3%B6%C3%9Fe/%E6%97%A5%E6%9C%AC%20%3F"
    with Client(app) as client:
        assert client.get(path).text == "日本 ?"


# -- reversing ------------------------------------------------------------------------------------------------------


def test_paths_are_made_from_names_and_typed_values(app: App) -> None:
    router = Router("/r/{shop}", name="shops")

    @app.get("/users/{id}")
    async def user(id: UUID) -> None: ...

    @router.get("/items/{n}", name="ignored")
    async def item(shop: str, n: int) -> None: ...

    app.include(router)
    key = UUID(int=5)
    assert app.url_for("user", id=key) == f"/users/{key}"
    assert app.url_for("shops.ignored", shop="a b", n=3) == "/r/a%20b/items/3"
    with pytest.raises(ValueError, match="does not fit"):
        app.url_for("shops.ignored", shop="a", n="three")
    with pytest.raises(ValueError, match="needs a value for 'n'"):
        app.url_for("shops.ignored", shop="a")
    with pytest.raises(ValueError, match="no parameter 'm'"):
        app.url_for("user", id=key, m=1)


def test_a_name_that_is_not_there_is_answered_with_the_nearest(app: App) -> None:
    @app.get("/articles")
    async def articles() -> None: ...

    with pytest.raises(ValueError, match="no route is named 'article'; did you mean 'articles'"):
        app.url_for("article")


def test_an_ambiguous_name_is_settled_by_the_parameters_or_refused(app: App) -> None:
    def declare(path: str) -> None:
        if "{" in path:

            @app.get(path)
            async def show(id: int) -> None: ...

        else:

            @app.get(path)
            async def show() -> None: ...

    for path in ("/a", "/a/{id}"):
        declare(path)
    assert app.url_for("show") == "/a"
    assert app.url_for("show", id=5) == "/a/5"
    declare("/b")
    with pytest.raises(ValueError, match="several routes are named 'show': /a, /a/{id}, /b"):
        app.url_for("show")


# -- plugins, providers, life -----------------------------------------------------------------------------------------


class Greeting:
    text = "hello"


class Greeter(Plugin):
    name: ClassVar[str] = "greeter"

    def setup(self, app: Application) -> None:
        app.provide_value(Greeting, Greeting())
        app.get("/greet")(self.greet)

    async def greet(self, greeting: Greeting) -> str:
        return greeting.text


class Louder(Plugin):
    name: ClassVar[str] = "louder"
    requires: ClassVar[tuple[str, ...]] = ("greeter",)

    def setup(self, app: Application) -> None:
        app.middleware(self.shout)

    async def shout(self, request: Request, call_next: CallNext) -> Response[Any]:
        response = await call_next(request)
        assert isinstance(response.content, bytes)
        response.content = response.content.upper()
        return response


def test_plugins_add_routes_providers_and_middleware() -> None:
    app = App(docs=False, health=False, plugins=[Greeter(), Louder()])
    assert list(app.plugins) == ["resources", "greeter", "louder"]
    with Client(app) as client:
        assert client.get("/greet").text == "HELLO"


def test_a_plugin_needs_what_it_requires_and_comes_once() -> None:
    with pytest.raises(ConfigurationError, match="the plugin 'louder' requires 'greeter'") as error:
        App(docs=False, plugins=[Louder(), Greeter()])
    assert error.value.problems[0].id == "plugins.order"
    with pytest.raises(ConfigurationError, match="there is a plugin 'greeter' already"):
        App(docs=False, plugins=[Greeter(), Greeter()])


def test_a_life_begins_in_order_and_ends_in_reverse() -> None:
    seen: list[str] = []
    app = App(docs=False)

    class Resource:
        pass

    @app.lifespan
    async def first(app: App) -> AsyncIterator[None]:
        seen.append(f"open {app.title}")
        yield
        seen.append("close first")

    @app.lifespan
    @asynccontextmanager
    async def second() -> AsyncIterator[None]:
        seen.append("open second")
        yield
        seen.append("close second")

    def resource() -> Iterator[Resource]:
        seen.append("open resource")
        yield Resource()
        seen.append("close resource")

    app.provide(Resource, resource, scope="app")
    with Client(app):
        assert seen == ["open Quintet app", "open second", "open resource"]
    assert seen[3:] == ["close resource", "close second", "close first"]


def test_a_life_that_fails_to_begin_ends_what_has_begun() -> None:
    seen: list[str] = []
    app = App(docs=False)

    @app.lifespan
    async def first() -> AsyncIterator[None]:
        try:
            yield
        finally:
            seen.append("closed")

    @app.lifespan
    async def second() -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    with pytest.raises(OSError, match="no database"), Client(app):
        pass
    assert seen == ["closed"]


def test_a_change_after_the_first_request_is_seen(app: App) -> None:
    with Client(app) as client:
        assert client.get("/late").status_code == 404

        @app.get("/late")
        async def late() -> str:
            return "here"

        assert client.get("/late").text == "here"


# -- surroundings -----------------------------------------------------------------------------------------------------


def test_middleware_of_the_app_surrounds_what_no_route_answers(app: App) -> None:
    seen: list[int | None] = []

    @app.middleware
    async def watch(request: Request, call_next: CallNext) -> Response[Any]:
        response = await call_next(request)
        seen.append(response.status)
        response.headers.set("x-watched", "yes")
        return response

    @app.get("/a")
    async def a() -> None: ...

    with Client(app) as client:
        answers = [client.get("/nowhere"), client.post("/a"), client.options("/a"), client.get("/a/")]
    assert seen == [404, 405, 204, 308]
    assert all(r.headers["x-watched"] == "yes" for r in answers)


def test_an_app_inside_an_app_answers_below_its_path(app: App) -> None:
    inner = App(docs=False)
    seen: list[str] = []

    @inner.lifespan
    async def life() -> AsyncIterator[None]:
        seen.append("open")
        yield
        seen.append("close")

    @inner.get("/x/{n}")
    async def x(n: int) -> dict[str, int]:
        return {"n": n}

    @app.get("/inner/own")
    async def own() -> str:
        return "own"

    app.mount("/inner", inner)
    with Client(app) as client:
        assert seen == ["open"]
        assert client.get("/inner/x/5").json() == {"n": 5}
        assert client.get("/inner/x/y").status_code == 404
        assert client.get("/inner/own").text == "own"
        assert client.get("/x/5").status_code == 404
    assert seen == ["open", "close"]


def test_asgi_and_wsgi_apps_are_mounted(app: App) -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = f"{scope['root_path']}|{scope['path']}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body})

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("201 Created", [("Content-Type", "text/plain")])
        return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode()]

    app.mount("/asgi", asgi)
    app.mount("/wsgi/", wsgi)
    with Client(app) as client:
        assert client.get("/asgi/a/b").text.startswith("/asgi|")
        response = client.post("/wsgi/a/b")
        assert (response.status_code, response.text) == (201, "/wsgi|/a/b")


def test_files_are_served_from_a_folder(app: App, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.css").write_text("a{}")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path.parent / "outside.txt").write_text("x")
    app.static("/files", tmp_path)
    with Client(app) as client:
        response = client.get("/files/sub/a.css")
        assert (response.text, response.headers["content-type"]) == ("a{}", "text/css; charset=utf-8")
        assert response.headers["cache-control"] == "public, max-age=3600"
        for path in ("sub", "", ".hidden", "%2e%2e/outside.txt", "..%2foutside.txt", "nothing", "sub/a.css/"):
            assert client.get(f"/files/{path}").status_code == 404, path
    assert app.url_for("files", path="sub/a.css") == "/files/sub/a.css"
    with pytest.raises(ConfigurationError, match="does not exist"):
        app.static("/other", tmp_path / "missing")


def test_defaults_of_the_app_are_overridden_by_groups_and_routes() -> None:
    class Item(Struct):
        a: int

    app = App(docs=False, produces=("xml", "json"), accepts=("form",))
    router = Router("/r", produces=("json",))

    for group in (app, router):

        @group.get("/x")
        async def x() -> Item:
            return Item(a=1)

    @app.post("/x", produces=("csv",))
    async def post(item: Item) -> list[Item]:
        return [item]

    app.include(router)
    with Client(app) as client:
        assert client.get("/x").headers["content-type"].startswith("application/xml")
        assert client.get("/r/x").headers["content-type"] == "application/json"
        assert client.post("/x", data={"a": "1"}).text.splitlines() == ["a", "1"]
        assert client.post("/x", json={"a": 1}).status_code == 415


def test_a_redirect_by_name(app: App) -> None:
    @app.get("/new/{n}")
    async def new(n: int) -> int:
        return n

    @app.get("/old/{n}")
    async def old(n: int) -> Redirect:
        return Redirect(app.url_for("new", n=n), 301)

    with Client(app, follow_redirects=True) as client:
        assert client.get("/old/5").json() == 5


def test_a_thousand_routes_answer_and_freeze_in_good_time(app: App) -> None:
    for n in range(500):

        async def handler(x: int, n: int = n) -> int:
            return x

        app.get(f"/section{n % 20}/item{n}/{{x}}", name=f"item{n}")(handler)
        app.post(f"/section{n % 20}/item{n}", name=f"new{n}")(handler)
    with Client(app) as client:
        for n in (0, 250, 499):
            assert client.get(f"/section{n % 20}/item{n}/7").json() == 7
            assert client.get(f"/section{n % 20}/item{n}/x").status_code == 404
    assert app.url_for("item499", x=3) == "/section19/item499/3"


def test_the_settings_have_the_defaults_of_what_they_set() -> None:
    app = App(docs=False)
    assert app.limits == Limits()
    assert app.threads.settings == ThreadSettings()


def test_the_limit_of_fields_holds_for_queries_and_forms() -> None:
    app = App(docs=False, limits=Limits(fields=3))

    @app.get("/typed")
    async def typed(a: list[int]) -> int:
        return len(a)

    @app.get("/by-hand")
    async def by_hand(request: Request) -> int:
        return len(request.query)

    @app.post("/form")
    async def form(request: Request) -> int:
        return len((await request.form()).items)

    with Client(app) as client:
        for path in ("/typed", "/by-hand"):
            assert client.get(f"{path}?a=1&a=2&a=3").status_code == 200
            assert client.get(f"{path}?a=1&a=2&a=3&a=4").status_code == 400
        urlencoded = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/form", content=b"a=1&b=2&c=3", headers=urlencoded).json() == 3
        assert 400 <= client.post("/form", content=b"a=1&b=2&c=3&d=4", headers=urlencoded).status_code < 500
