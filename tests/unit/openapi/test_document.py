from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta
from openapi_spec_validator import validate

from quintet.errors import Conflict, HTTPError, NotFound, ValidationError
from quintet.factory import App
from quintet.handlers.params import Body, Cookie, Form, Header, Name, Patch, Query
from quintet.handlers.versions import Versioning
from quintet.http.file import File
from quintet.http.request import Request
from quintet.http.response import HTML, Page, Redirect, Response
from quintet.http.sse import Event
from quintet.http.upload import Upload
from quintet.openapi.document import build_document
from quintet.routing.group import Router
from quintet.schema.struct import Struct
from tests.integration.openapi_app import app as big_app


class Colour(enum.Enum):
    RED = "red"


class Size(Struct):
    width: int
    height: int


class Item(Struct):
    """Something that is sold."""

    name: Annotated[str, Meta(min_length=1, description="What it is called.")]
    price: Decimal = Decimal("1.50")
    size: Size | None = None
    new: bool = False


class Window(Struct):
    q: Annotated[str, Meta(description="Words to look for.")] = ""
    limit: Annotated[int, Meta(ge=1)] = 20


class Oops(Struct):
    """An error of our own."""

    code: int


@pytest.fixture
def app() -> App:
    return App(title="Shop", version="3")


def operation(app: App, path: str = "/", method: str = "get") -> dict[str, Any]:
    document = build_document(app)
    validate(document)
    return document["paths"][path][method]


def parameters(app: App, path: str = "/") -> dict[str, dict[str, Any]]:
    return {p["name"]: p for p in operation(app, path).get("parameters", [])}


def body(app: App, media_type: str, method: str = "post") -> dict[str, Any]:
    return operation(app, "/", method)["requestBody"]["content"][media_type]["schema"]


def test_an_app_with_every_kind_of_route_has_a_valid_document():
    validate(build_document(big_app))


def test_an_empty_app_has_a_valid_document(app: App):
    document = build_document(app)
    validate(document)
    assert document["info"] == {"title": "Shop", "version": "3"}
    assert document["openapi"].startswith("3.1")
    assert document["paths"] == {}
    assert document["components"]["schemas"] == {}


def test_the_documentation_is_not_in_the_document(app: App):
    assert build_document(app)["paths"] == {}


# -- parameters ------------------------------------------------------------------------------------------------------


def test_parameters_have_their_place_limits_default_and_description(app: App):
    @app.get("/{key}")
    async def show(
        key: int,
        colour: Colour,
        limit: Annotated[int, Meta(ge=1, le=9, description="How many.")] = 5,
        ids: Query[list[int]] = [],  # noqa: B006 - nothing changes it
        trace: Header[Annotated[str, Name("X-Trace-Id")]] = "",
        theme: Cookie[str] = "light",
    ) -> str:
        """Show.

        Args:
            key: the number.
        """
        return ""

    found = parameters(app, "/{key}")
    assert (found["key"]["in"], found["key"]["required"], found["key"]["description"]) == ("path", True, "the number.")
    assert found["colour"]["required"]
    assert found["limit"]["description"] == "How many."
    assert found["limit"]["schema"] | {"format": ""} == {
        "type": "integer", "format": "", "minimum": 1, "maximum": 9, "default": 5,
    }  # fmt: skip
    assert found["ids"]["schema"]["type"] == "array"
    assert found["X-Trace-Id"]["in"] == "header"
    assert found["theme"]["in"] == "cookie"


def test_a_structure_in_the_query_becomes_its_fields(app: App):
    @app.get("/")
    async def search(window: Window) -> str:
        return ""

    found = parameters(app)
    assert set(found) == {"q", "limit"}
    assert found["q"]["description"] == "Words to look for."
    assert found["limit"]["schema"]["default"] == 20


def test_an_optional_parameter_is_not_null(app: App):
    @app.get("/")
    async def search(limit: int | None = None) -> str:
        return ""

    schema = parameters(app)["limit"]["schema"]
    assert schema["type"] == "integer"
    assert "default" not in schema


def test_the_parameters_of_dependencies_are_those_of_the_route(app: App):
    class Page:
        pass

    def page(number: int = 1) -> Page:
        return Page()

    app.provide(Page, page)

    @app.get("/")
    async def show(page: Page) -> str:
        return ""

    assert set(parameters(app)) == {"number"}


# -- bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_has_a_schema_for_each_format(app: App):
    @app.post("/", accepts=("json", "xml", "multipart"))
    async def add(item: Item) -> None: ...

    assert set(operation(app, "/", "post")["requestBody"]["content"]) == {
        "application/json", "application/xml", "multipart/form-data",
    }  # fmt: skip
    assert body(app, "application/json") == {"$ref": "#/components/schemas/Item"}


def test_a_form_is_flat_and_without_null(app: App):
    @app.post("/", accepts=("form",))
    async def add(item: Item) -> None: ...

    schema = body(app, "application/x-www-form-urlencoded")
    assert set(schema["properties"]) == {"name", "price", "size.width", "size.height", "new"}
    assert schema["required"] == ["name"]
    assert schema["dependentRequired"] == {"size.width": ["size.height"], "size.height": ["size.width"]}
    assert "null" not in repr(schema)


def test_uploads_are_binary(app: App):
    @app.post("/")
    async def add(first: Upload, more: list[Upload]) -> None: ...

    schema = body(app, "multipart/form-data")
    assert schema["properties"]["first"]["format"] == "binary"
    assert schema["properties"]["more"]["items"]["format"] == "binary"
    assert schema["required"] == ["first", "more"]


def test_every_field_of_a_patch_may_be_left_out(app: App):
    @app.patch("/")
    async def change(item: Patch[Item]) -> None: ...

    @app.patch("/again")
    async def change_again(item: Patch[Item]) -> None: ...

    document = build_document(app)
    assert not document["components"]["schemas"]["ItemPatch"]["required"]
    assert sum("ItemPatch" in name for name in document["components"]["schemas"]) == 1


def test_a_form_object_takes_both_kinds_of_form(app: App):
    @app.post("/")
    async def signup(form: Form[Item]) -> str:
        return ""

    content = operation(app, "/", "post")["requestBody"]["content"]
    assert {"application/x-www-form-urlencoded", "multipart/form-data"} <= set(content)


def test_a_page_answers_html_also_to_a_form_with_errors(tmp_path: Path):
    (tmp_path / "signup.html").write_text("")
    app = App(templates=tmp_path)

    @app.page("/", template="signup.html")
    async def signup(form: Form[Item]) -> Page | Redirect:
        return Page(form=form)

    assert set(operation(app, "/", "get")["responses"]["200"]["content"]) == {"text/html"}
    post = operation(app, "/", "post")["responses"]
    assert set(post["422"]["content"]) == {"application/problem+json", "text/html"}
    assert "303" in post


def test_a_body_with_a_default_is_not_required(app: App):
    @app.post("/")
    async def maybe(item: Item | None = None) -> None: ...

    assert "required" not in operation(app, "/", "post")["requestBody"]


# -- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_has_every_format_that_is_produced(app: App):
    @app.get("/", produces=("json", "xml", "csv"))
    async def show() -> list[Item]:
        return []

    content = operation(app)["responses"]["200"]["content"]
    assert set(content) == {"application/json", "application/xml", "text/csv"}
    assert content["text/csv"]["schema"] == {"type": "string"}


@pytest.mark.parametrize(
    ("returns", "status", "media_type"),
    [
        (None, "204", None),
        (str, "200", "text/plain"),
        (bytes, "200", "application/octet-stream"),
        (HTML, "200", "text/html"),
        (Redirect, "303", None),
        (File, "200", "*/*"),
        (Response[None], "204", None),
    ],
)
def test_special_answers(app: App, returns: Any, status: str, media_type: str | None):
    async def show() -> Any: ...

    show.__annotations__["return"] = returns
    app.get("/")(show)
    answer = operation(app)["responses"][status]
    assert set(answer.get("content", {})) == ({media_type} if media_type else set())


def test_streams_describe_one_item(app: App):
    @app.get("/lines")
    async def lines() -> AsyncIterator[Size]:
        yield Size(width=1, height=1)

    @app.get("/events")
    async def events() -> AsyncIterator[Event[Size]]:
        yield Event(Size(width=1, height=1))

    size = {"$ref": "#/components/schemas/Size"}
    found = operation(app, "/lines")["responses"]["200"]["content"]
    assert found["application/jsonl"]["schema"] == size
    found = operation(app, "/events")["responses"]["200"]["content"]
    assert found["text/event-stream"]["schema"]["properties"]["data"]["contentSchema"] == size


def test_a_stream_stands_there_in_each_of_its_formats(app: App):
    @app.get("/", produces=("csv", "jsonl", "html"))
    async def lines() -> AsyncIterator[Size]:
        yield Size(width=1, height=1)

    @app.get("/text", produces=("csv", "jsonl"))
    async def text() -> AsyncIterator[str]:
        yield "x"

    answers = operation(app)["responses"]
    assert answers["200"]["content"] == {
        "text/csv": {"schema": {"type": "string"}},
        "application/jsonl": {"schema": {"$ref": "#/components/schemas/Size"}},
    }
    assert "Vary" in answers["200"]["headers"]
    assert "406" in answers
    assert "406" not in operation(app, "/text")["responses"]


def test_two_kinds_of_answer_stand_side_by_side(app: App):
    @app.post("/", status=201)
    async def add(item: Item) -> Item | Redirect: ...

    assert {"201", "303"} <= set(operation(app, "/", "post")["responses"])


def test_errors_are_those_that_the_route_can_answer_with(app: App):
    @app.get("/plain")
    async def plain() -> str:
        return ""

    @app.get("/{key}")
    async def show(key: int) -> str:
        return ""

    @app.post("/", timeout=1)
    async def add(item: Item) -> Item: ...

    @app.post("/moved")
    async def moved() -> Redirect: ...

    assert set(operation(app, "/plain")["responses"]) == {"200", "400"}
    assert set(operation(app, "/moved", "post")["responses"]) == {"303", "400"}
    assert set(operation(app, "/{key}")["responses"]) == {"200", "400", "404"}
    assert set(operation(app, "/", "post")["responses"]) == {"200", "400", "406", "413", "415", "422", "503"}


def test_a_wrong_input_is_answered_with_the_list_of_errors(app: App):
    @app.get("/")
    async def show(number: int) -> str:
        return ""

    document = build_document(app)
    answer = document["components"]["responses"]["ValidationError"]
    assert answer["content"]["application/problem+json"]["schema"]["$ref"].endswith("/ValidationProblemDetails")
    assert "errors" in document["components"]["schemas"]["ValidationProblemDetails"]["properties"]


def test_declared_answers_are_added(app: App):
    @app.get("/", responses={404: Oops, 409: Conflict, 410: "It is gone.", 202: (Item, "Later."), 304: None})
    async def show() -> Item: ...

    found = operation(app)["responses"]
    assert found["404"]["content"]["application/json"]["schema"]["$ref"].endswith("/Oops")
    assert set(found["409"]["content"]) == {"application/problem+json"}
    assert found["410"]["description"] == "It is gone."
    assert found["202"]["description"] == "Later."
    assert "content" not in found["304"]


def test_a_declared_error_keeps_the_form_that_the_framework_answers_in(app: App):
    @app.get("/{key}", responses={404: Oops})
    async def show(key: int) -> Item: ...

    content = operation(app, "/{key}")["responses"]["404"]["content"]
    assert {"application/json", "application/problem+json"} <= set(content)


def test_va9_an_error_handler_changes_the_document(app: App):
    @app.exception_handler(ValidationError)
    async def wrong(request: Request, error: ValidationError) -> Response[Oops]:
        return Response(Oops(code=1), error.status)

    @app.exception_handler(404)
    def missing(request: Request, error: HTTPError) -> str:
        return ""

    @app.get("/{key}")
    async def show(key: int, number: int) -> str:
        return ""

    found = operation(app, "/{key}")["responses"]
    assert found["422"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Oops"}
    assert set(found["404"]["content"]) == {"text/plain"}
    assert "ValidationError" not in build_document(app)["components"]["responses"]


def test_va9_the_innermost_handler_counts(app: App):
    router = Router("/inner")

    @router.exception_handler(NotFound)
    def missing(request: Request, error: NotFound) -> HTML:
        return HTML("")

    @router.get("/{key}")
    async def inside(key: int) -> str:
        return ""

    @app.get("/{key}")
    async def outside(key: int) -> str:
        return ""

    app.include(router)
    assert set(operation(app, "/inner/{key}")["responses"]["404"]["content"]) == {"text/html"}
    assert "$ref" in operation(app, "/{key}")["responses"]["404"]


def test_a_type_of_the_app_may_have_the_name_of_ours(app: App):
    class ProblemDetails(Struct):
        mine: int

    @app.get("/{key}")
    async def show(key: int) -> ProblemDetails: ...

    document = build_document(app)
    validate(document)
    assert "mine" in document["components"]["schemas"]["ProblemDetails"]["properties"]
    problem = document["components"]["responses"]["NotFound"]["content"]["application/problem+json"]["schema"]
    assert problem["$ref"] != "#/components/schemas/ProblemDetails"


# -- operations ------------------------------------------------------------------------------------------------------


def test_words_come_from_the_docstring(app: App):
    @app.get("/", tags=["one"], deprecated=True)
    async def show() -> str:
        """Show it.

        All of **it**.

        Returns:
            a text that readers of the code care for.
        """
        return ""

    found = operation(app)
    assert (found["summary"], found["description"]) == ("Show it", "All of **it**.")
    assert found["tags"] == ["one"]
    assert found["deprecated"]


def test_operation_ids_are_unique_and_stay_when_routes_are_added(app: App):
    @app.get("/a")
    async def show() -> str:
        return ""

    before = operation(app, "/a")["operationId"]
    app.get("/b")(show)
    app.page("/c", name="page")(show)
    document = build_document(app)
    ids = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(set(ids)) == len(ids) == 4
    assert document["paths"]["/a"]["get"]["operationId"] == before == "show"
    assert {"page_get", "page_post"} < set(ids)


def test_members_can_be_merged_by_hand(app: App):
    callbacks = {"done": {"{$request.body#/url}": {"post": {"responses": {"204": {"description": "Seen."}}}}}}

    @app.post("/", openapi={"callbacks": callbacks, "responses": {"204": {"description": "Subscribed."}}})
    async def subscribe(url: Body[dict[str, str]]) -> None: ...

    found = operation(app, "/", "post")
    assert found["callbacks"] == callbacks
    assert found["responses"]["204"]["description"] == "Subscribed."
    assert "422" in found["responses"]


def test_routes_can_be_left_out(app: App):
    hidden = Router("/hidden", include_in_schema=False)

    @hidden.get("")
    async def secret() -> str:
        return ""

    app.include(hidden)
    assert build_document(app)["paths"] == {}


def test_tags_and_servers_can_be_described(app: App):
    @app.get("/", tags=["b"])
    async def show() -> str:
        return ""

    document = build_document(
        app,
        servers=[{"url": "https://api.example.org"}],
        tags={"a": "First."},
        extra={"info": {"license": {"name": "MIT"}}},
    )
    validate(document)
    assert document["tags"] == [{"name": "a", "description": "First."}, {"name": "b"}]
    assert document["servers"] == [{"url": "https://api.example.org"}]
    assert document["info"] == {"title": "Shop", "version": "3", "license": {"name": "MIT"}}


def test_one_version_of_versioned_routes_is_described():
    app = App(versioning=Versioning(default="1"))

    @app.get("/", version="1")
    async def first() -> str:
        return ""

    @app.get("/", version="2")
    async def second() -> str:
        return ""

    assert operation(app)["operationId"] == "first"
    newer = build_document(app, version="2")["paths"]["/"]["get"]
    assert newer["operationId"] == "second"
    assert newer["parameters"][0]["name"] == "X-API-Version"


def test_a_route_without_the_guards_of_its_groups_is_documented_too() -> None:
    app = App()

    @app.get("/bare", bare=True)
    async def bare() -> str:
        return "bare"

    assert "/bare" in build_document(app)["paths"]
