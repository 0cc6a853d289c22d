"""Where each parameter comes from: the table of the documentation, line by line, and what cannot be bound."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import attrs
import pydantic
import pytest

from quintet import (
    App,
    Body,
    Cookie,
    Depends,
    Form,
    Header,
    Meta,
    Name,
    Patch,
    Path,
    Query,
    Request,
    Settings,
    Struct,
    Upload,
)
from quintet.errors import ConfigurationError, Problem
from quintet.testing import Client


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(Struct):
    x: int
    y: int = 0


@dataclass
class DataPoint:
    x: int
    y: int = 0


@attrs.define
class AttrsPoint:
    x: int
    y: int = 0


class DictPoint(TypedDict):
    x: int


class TuplePoint(NamedTuple):
    x: int
    y: int = 0


class ModelPoint(pydantic.BaseModel):
    x: int
    y: int = 0


def answer(handler: Callable[..., Any], path: str = "/", method: str = "GET", *, at: str = "/", **kwargs: Any) -> Any:
    """Return what a handler answers to one request."""
    app = App(docs=False)
    app.route(at, (method,))(handler)
    with Client(app) as client:
        response = client.request(method, path, **kwargs)
    return response.json() if response.is_success else (response.status_code, response.json())


def errors(result: Any) -> list[tuple[str, str]]:
    """Return the places and codes of a 422."""
    status, document = result
    assert status == 422, document
    return [(".".join(map(str, e["loc"])), e["code"]) for e in document["errors"]]


# -- the name is in the path ----------------------------------------------------------------------------------------


def test_a_name_in_the_path_is_converted_by_its_type() -> None:
    async def handler(a: int, b: UUID, c: date, d: Colour, e: Literal["x", "y"], f: float) -> list[Any]:
        return [a, b, c, d, e, f]

    at = "/{a}/{b}/{c}/{d}/{e}/{f}"
    key = "12345678-1234-5678-1234-567812345678"
    assert answer(handler, f"/5/{key}/2024-02-29/red/y/1.5", at=at) == [5, key, "2024-02-29", "red", "y", 1.5]


@pytest.mark.parametrize("path", ["/five", "/1.0", "/+5", "/05", "/%D9%A5", "/1e3", "/99999999999999999999"])
def test_a_value_of_the_wrong_type_in_the_path_is_a_404(path: str) -> None:
    async def handler(number: int) -> int:
        return number

    assert answer(handler, path, at="/{number}")[0] == 404


@pytest.mark.parametrize(("path", "expected"), [("/3", 3), ("/0", 404), ("/11", 404)])
def test_a_constraint_on_the_path_is_a_404_too(path: str, expected: int) -> None:
    async def handler(number: Annotated[int, Meta(ge=1, le=10)]) -> int:
        return number

    result = answer(handler, path, at="/{number}")
    assert (result if isinstance(result, int) else result[0]) == expected


def test_a_path_parameter_may_have_another_name() -> None:
    async def handler(key: Path[Annotated[int, Name("id")]]) -> int:
        return key

    assert answer(handler, "/7", at="/{id}") == 7


# -- injectable types -----------------------------------------------------------------------------------------------


def test_the_request_and_the_app_are_injected_by_type() -> None:
    async def handler(anything: Request, itself: App) -> list[str]:
        return [anything.path, itself.title]

    assert answer(handler) == ["/", "Quintet app"]


def test_what_is_provided_is_injected_by_type() -> None:
    class Clock:
        now = 5

    class Limits(Settings, section="limits"):
        most: int = 3

    app = App(docs=False, settings=[Limits])
    app.provide_value(Clock, Clock())

    @app.get("/")
    async def handler(clock: Clock, limits: Limits) -> list[int]:
        return [clock.now, limits.most]

    with Client(app) as client:
        assert client.get("/").json() == [5, 3]


# -- what a mark says -----------------------------------------------------------------------------------------------


def test_headers_cookies_and_queries_come_from_where_their_marks_say() -> None:
    async def handler(
        user_agent: Header[str],
        request_id: Header[Annotated[int, Name("X-Number")]],
        theme: Cookie[Colour],
        page: Query[int],
        other: Query[Annotated[str, Name("q[]")]] = "none",
    ) -> list[Any]:
        return [user_agent, request_id, theme, page, other]

    result = answer(
        handler,
        "/?page=2&q%5B%5D=x",
        headers={"user-agent": "test", "X-NUMBER": "7", "cookie": "theme=blue"},
    )
    assert result == ["test", 7, "blue", 2, "x"]


def test_what_is_missing_is_named_by_its_name_on_the_wire() -> None:
    async def handler(
        user_token: Header[str], number: Header[Annotated[int, Name("X-Number")]], theme: Cookie[str], page: int
    ) -> None: ...

    assert errors(answer(handler)) == [
        ("header.user-token", "missing"),
        ("header.x-number", "missing"),
        ("cookie.theme", "missing"),
        ("query.page", "missing"),
    ]


def test_a_body_of_any_type_is_one_when_it_says_so() -> None:
    async def handler(data: Body[dict[str, list[int]]]) -> Any:
        return data

    async def number(data: Body[int]) -> int:
        return data + 1

    async def anything(data: Body[Any]) -> Any:
        return data

    assert answer(handler, method="POST", json={"a": [1]}) == {"a": [1]}
    assert errors(answer(handler, method="POST", json={"a": ["1"]})) == [("body.a.0", "int")]
    assert answer(number, method="POST", json=1) == 2
    assert answer(anything, method="POST", json=[1, {"a": None}]) == [1, {"a": None}]


def test_files_come_from_the_form() -> None:
    async def handler(file: Upload, more: list[Upload], other: Upload | None = None) -> list[Any]:
        return [file.filename, len(await file.read()), [m.filename for m in more], other]

    files = [("file", ("a.txt", b"abc")), ("more", ("b.txt", b"")), ("more", ("c.txt", b""))]
    assert answer(handler, method="POST", files=files) == ["a.txt", 3, ["b.txt", "c.txt"], None]
    result = answer(handler, method="POST", files=[("more", ("b.txt", b"")), ("stranger", ("c.txt", b""))])
    assert errors(result) == [("body.file", "missing"), ("body.stranger", "unknown_field")]


# -- structures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Point, DataPoint, AttrsPoint, TuplePoint, ModelPoint, DictPoint])
def test_a_structure_is_the_body_and_on_get_the_query(kind: Any) -> None:
    async def handler(point: Any, n: int = 1) -> list[Any]:
        x = point["x"] if isinstance(point, dict) else point.x
        return [x, n, type(point).__name__]

    handler.__annotations__["point"] = kind
    name = "dict" if kind is DictPoint else kind.__name__
    body: Any = [5, 6] if kind is TuplePoint else {"x": 5}
    assert answer(handler, "/?n=2", "POST", json=body) == [5, 2, name]
    assert answer(handler, "/?n=2&x=5") == [5, 2, name]
    assert errors(answer(handler, "/?n=2&x=five")) == [("query.x", "int")]


def test_a_list_of_structures_is_a_body() -> None:
    async def handler(points: list[Point]) -> int:
        return sum(p.x for p in points)

    assert answer(handler, method="POST", json=[{"x": 1}, {"x": 2}]) == 3
    wrong = answer(handler, method="POST", json=[{"x": 1}, {"x": "2"}, {"z": 3}])
    assert ("body.1.x", "int") in errors(wrong)
    assert ("body.2.x", "missing") in errors(wrong)


def test_an_optional_body_may_be_left_out() -> None:
    async def handler(point: Point | None = None) -> int:
        return -1 if point is None else point.x

    assert answer(handler, method="POST") == -1
    assert answer(handler, method="POST", json={"x": 3}) == 3


def test_a_form_on_get_is_empty() -> None:
    async def handler(form: Form[Point]) -> list[bool]:
        return [form.submitted, form.valid]

    assert answer(handler) == [False, False]


def test_a_patch_takes_any_part_of_a_structure() -> None:
    async def handler(changes: Patch[Point]) -> Any:
        return changes.changes

    assert answer(handler, method="PATCH", json={"y": 5}) == {"y": 5}
    assert answer(handler, method="PATCH", json={}) == {}
    assert errors(answer(handler, method="PATCH", json={"y": "5", "z": 1})) == [
        ("body.y", "int"),
        ("body.z", "unknown_field"),
    ]


# -- scalars ----------------------------------------------------------------------------------------------------------


def test_scalars_and_lists_of_them_come_from_the_query() -> None:
    async def handler(
        n: int,
        names: list[str],
        day: date | None = None,
        colours: Annotated[list[Colour], Meta(max_length=2)] = [],  # noqa: B006
        flag: bool = False,
    ) -> list[Any]:
        return [n, names, day, colours, flag]

    query = "/?n=5&names=a&names=b&day=2024-02-29&colours=red&flag=on"
    assert answer(handler, query) == [5, ["a", "b"], "2024-02-29", ["red"], True]
    assert answer(handler, "/?n=5&names=a&day=") == [5, ["a"], None, [], False]
    wrong = answer(handler, "/?n=x&n=y&day=tomorrow&colours=green&flag=maybe")
    assert errors(wrong) == [
        ("query.n", "repeated"),
        ("query.names", "missing"),
        ("query.day", "date"),
        ("query.colours", "enum"),
        ("query.flag", "bool"),
    ]


# -- what cannot be bound -------------------------------------------------------------------------------------------


def problem(handler: Callable[..., Any], *, at: str = "/", method: str = "GET") -> Problem:
    app = App(docs=False)
    app.route(at, (method,))(handler)
    with pytest.raises(ConfigurationError) as error:
        app.freeze()
    (found,) = error.value.problems
    code = handler.__code__
    assert found.where == f"{code.co_filename}:{code.co_firstlineno}"
    assert handler.__name__ in found.message
    return found


def test_a_parameter_without_annotation() -> None:
    async def handler(thing): ...  # type: ignore[no-untyped-def]

    found = problem(handler)
    assert (found.id, found.fix) == ("signature.untyped", "annotate it, such as `name: str`")


def test_a_second_body() -> None:
    async def handler(a: Point, b: DataPoint) -> None: ...

    found = problem(handler, method="POST")
    assert (found.id, found.fix) == ("signature.bodies", "put both into one Struct")
    assert "'b' would be a second body beside 'a'" in found.message


def test_an_upload_beside_a_body() -> None:
    async def handler(a: Point, b: Upload) -> None: ...

    found = problem(handler, method="POST")
    assert (found.id, found.fix) == ("signature.bodies", "make it a field of Point")


def test_a_body_beside_an_upload() -> None:
    async def handler(b: Upload, a: Point) -> None: ...

    assert problem(handler, method="POST").id == "signature.bodies"


@pytest.mark.parametrize("annotation", [dict, dict[str, int], Any, object])
def test_a_body_that_could_be_anything_must_say_that_it_is_one(annotation: Any) -> None:
    async def handler(data: Any) -> None: ...

    handler.__annotations__["data"] = annotation
    found = problem(handler, method="POST")
    assert found.id == "signature.body"
    assert "`data: Body[" in found.fix


@pytest.mark.parametrize("annotation", [Body[Point], Patch[Point], Upload, list[Upload]])
def test_a_body_on_get(annotation: Any) -> None:
    async def handler(data: Any) -> None: ...

    handler.__annotations__["data"] = annotation
    found = problem(handler)
    assert found.id == "signature.body"
    assert found.fix.startswith("use POST")


def test_a_path_parameter_that_the_path_has_not() -> None:
    async def handler(key: Path[int]) -> None: ...

    found = problem(handler, at="/{id}")
    assert (found.id, found.fix) == ("signature.path", "add it to the path, or use Query")


def test_a_parameter_of_the_path_that_nothing_takes() -> None:
    async def handler() -> None: ...

    found = problem(handler, at="/{id}")
    assert (found.id, found.fix) == ("routes.unused", "add a parameter, such as `id: str`")


def test_a_type_that_no_text_can_be() -> None:
    class Odd:
        pass

    async def odd(thing: Odd) -> None: ...

    assert problem(odd).id == "signature.type"


def test_dependencies_in_a_circle() -> None:
    async def first(a: Any) -> None: ...
    async def second(b: Any) -> None: ...

    first.__annotations__["a"] = Annotated[None, Depends(second)]
    second.__annotations__["b"] = Annotated[None, Depends(first)]

    app = App(docs=False)

    @app.get("/")
    async def handler(a: Annotated[None, Depends(first)]) -> None: ...

    with pytest.raises(ConfigurationError) as error:
        app.freeze()
    (found,) = error.value.problems
    assert found.id == "dependency.cycle"
    assert found.message.count("→") == 2


def test_what_is_wrong_in_a_dependency_is_reported_there() -> None:
    async def dependency(thing): ...  # type: ignore[no-untyped-def]

    app = App(docs=False)

    @app.get("/")
    async def handler(a: Annotated[None, Depends(dependency)]) -> None: ...

    with pytest.raises(ConfigurationError) as error:
        app.freeze()
    (found,) = error.value.problems
    assert found.id == "signature.untyped"
    assert found.where == f"{__file__}:{dependency.__code__.co_firstlineno}"


def test_everything_that_is_wrong_is_reported_together() -> None:
    app = App(docs=False)

    @app.get("/a")
    async def a(thing): ...  # type: ignore[no-untyped-def]

    @app.get("/b")
    async def b(thing: dict[str, int]) -> None: ...

    @app.get("/c/{x}")
    async def c() -> None: ...

    with pytest.raises(ConfigurationError, match="3 problems") as error:
        app.freeze()
    assert [p.id for p in error.value.problems] == ["signature.untyped", "signature.body", "routes.unused"]


def test_a_parameter_that_goes_by_position_only() -> None:
    async def handler(a: int, /) -> None: ...

    found = problem(handler)
    assert (found.id, found.fix) == ("signature.positional", "remove the '/' from its parameters")


def test_a_dependency_that_outlives_what_it_needs() -> None:
    async def session() -> AsyncIterator[int]:
        yield 1

    async def rows(s: Any) -> AsyncIterator[int]:
        yield s

    rows.__annotations__["s"] = Annotated[int, Depends(session)]
    app = App(docs=False)

    @app.get("/")
    async def handler(r: Annotated[int, Depends(rows, scope="response")]) -> None: ...

    with pytest.raises(ConfigurationError) as error:
        app.freeze()
    (found,) = error.value.problems
    assert found.id == "dependency.scope"
    assert 'session, scope="response")' in found.fix
    assert found.where == f"{__file__}:{rows.__code__.co_firstlineno}"
