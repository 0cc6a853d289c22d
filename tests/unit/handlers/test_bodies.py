"""One type is read from every format; what is wrong is told in the same way."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import msgspec
import pytest

from quintet import App, Body, Form, Meta, Page, Redirect, Request, Response, Struct, Upload
from quintet.testing import Client

EVERY = ("json", "msgpack", "xml", "form", "multipart")


class Size(Enum):
    SMALL = "S"
    LARGE = "L"


class Line(Struct):
    sku: Annotated[str, Meta(min_length=1, max_length=8)]
    quantity: Annotated[int, Meta(ge=1)] = 1


class Order(Struct):
    customer: str
    price: Decimal
    size: Size = Size.SMALL
    gift: bool = False
    tags: list[str] = msgspec.field(default_factory=list)
    note: str | None = None


VALUES = {"customer": "Ada", "price": "1.50", "size": "L", "gift": True, "tags": ["a", "b"]}
EXPECTED = {"customer": "Ada", "price": "1.50", "size": "L", "gift": True, "tags": ["a", "b"], "note": None}
XML = (
    "<order><customer>Ada</customer><price>1.50</price><size>L</size><gift>true</gift>"
    "<tags>a</tags><tags>b</tags></order>"
)
FIELDS = {"customer": "Ada", "price": "1.50", "size": "L", "gift": "on", "tags": ["a", "b"]}

FORMATS: dict[str, dict[str, Any]] = {
    "json": {"json": VALUES},
    "msgpack": {"content": msgspec.msgpack.encode(VALUES), "headers": {"content-type": "application/msgpack"}},
    "xml": {"content": XML.encode(), "headers": {"content-type": "application/xml"}},
    "form": {"data": FIELDS},
    "multipart": {
        "files": [
            ("customer", (None, "Ada")),
            ("price", (None, "1.50")),
            ("size", (None, "L")),
            ("gift", (None, "on")),
            ("tags", (None, "a")),
            ("tags", (None, "b")),
        ]
    },
}


def post(handler: Any, *, accepts: tuple[str, ...] | None = None, method: str = "POST", **kwargs: Any) -> Any:
    app = App(docs=False)
    options: Any = {} if accepts is None else {"accepts": accepts}
    app.route("/", ("GET", "POST", "PATCH"), **options)(handler)
    with Client(app) as client:
        return client.request(method, "/", **kwargs)


async def take(order: Order) -> Order:
    return order


def codes(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.text
    return [(".".join(map(str, e["loc"])), e["code"]) for e in response.json()["errors"]]


@pytest.mark.parametrize("name", EVERY)
def test_every_format_fills_the_same_type(name: str) -> None:
    response = post(take, accepts=EVERY, **FORMATS[name])
    assert (response.status_code, response.json()) == (200, EXPECTED)


@pytest.mark.parametrize("name", EVERY)
def test_a_format_that_is_not_accepted_is_a_415(name: str) -> None:
    others = tuple(e for e in EVERY if e != name)
    response = post(take, accepts=others, **FORMATS[name])
    assert response.status_code == 415
    assert "application/" in response.headers["accept"]
    assert "this reads" in response.json()["detail"]


@pytest.mark.parametrize("name", ["xml", "form", "multipart"])
def test_json_and_messagepack_are_what_is_accepted_by_default(name: str) -> None:
    assert post(take, **FORMATS["json"]).status_code == 200
    assert post(take, **FORMATS["msgpack"]).status_code == 200
    assert post(take, **FORMATS[name]).status_code == 415


def test_the_same_wrong_fields_are_found_in_every_format() -> None:
    wrong: dict[str, dict[str, Any]] = {
        "json": {"json": {"customer": "Ada", "price": "x", "size": "M", "stranger": 1}},
        "msgpack": {
            "content": msgspec.msgpack.encode({"customer": "Ada", "price": "x", "size": "M", "stranger": 1}),
            "headers": {"content-type": "application/msgpack"},
        },
        "xml": {
            "content": "<o><customer>Ada</customer><price>x</price><size>M</size><stranger>1</stranger></o>",
            "headers": {"content-type": "application/xml"},
        },
        "form": {"data": {"customer": "Ada", "price": "x", "size": "M", "stranger": "1"}},
        "multipart": {
            "files": [(n, (None, v)) for n, v in (("customer", "Ada"), ("price", "x"), ("size", "M"), ("stranger", ""))]
        },
    }
    found = {name: sorted(codes(post(take, accepts=EVERY, **kwargs))) for name, kwargs in wrong.items()}
    expected = [("body.price", "decimal"), ("body.size", "enum"), ("body.stranger", "unknown_field")]
    assert found == dict.fromkeys(EVERY, expected)


def test_at_most_a_hundred_errors_are_listed() -> None:
    async def handler(lines: list[Line]) -> int:
        return len(lines)

    assert len(codes(post(handler, json=[{"sku": ""}] * 150))) == 100


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b'{"customer": NaN}', "application/json"),
        (b'"\xff"', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xc1", "application/msgpack"),
        (b"\x91" * 100_000, "application/msgpack"),
        (b"<order>", "application/xml"),
        (b'<!DOCTYPE o [<!ENTITY e "x">]><o>&e;</o>', "application/xml"),
    ],
)
def test_malformed_syntax_is_a_400(content: bytes, kind: str) -> None:
    response = post(take, accepts=EVERY, content=content, headers={"content-type": kind})
    assert response.status_code == 400, response.text


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=UTF-8",
        "application/json;charset=utf-8",
        "APPLICATION/JSON",
        "application/json ; q=1",
        "application/vnd.order+json",
        'application/json; charset="utf-8"',
    ],
)
def test_spellings_of_json_are_json(kind: str) -> None:
    response = post(take, content=msgspec.json.encode(VALUES), headers={"content-type": kind})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "text/plain"},
        {"content-type": "nonsense"},
        {},
    ],
)
def test_a_body_that_cannot_be_understood_is_a_415(headers: dict[str, str]) -> None:
    assert post(take, content=b"{}", headers=headers).status_code == 415


@pytest.mark.parametrize("kwargs", [{}, {"headers": {"content-type": "application/json"}}])
def test_a_body_that_is_missing_is_told_so(kwargs: Any) -> None:
    assert codes(post(take, **kwargs)) == [("body", "missing")]


def test_a_body_that_is_too_large_is_a_413_before_it_is_read() -> None:
    app = App(docs=False)

    @app.post("/", max_body=100)
    async def handler(order: Order) -> None: ...

    @app.post("/raw", max_body=100)
    async def raw(request: Request) -> int:
        return len(await request.body())

    with Client(app) as client:
        assert client.post("/", json={"customer": "x" * 100}).status_code == 413
        for content in (b"x" * 101, iter([b"x" * 60, b"x" * 60])):
            assert client.post("/raw", content=content).status_code == 413
        assert client.post("/raw", content=b"x" * 100).json() == 100


def test_wrong_query_and_wrong_body_are_reported_together() -> None:
    async def handler(order: Order, page: int) -> None: ...

    response = post(handler, json={"customer": 5}, params={"page": "x"})
    assert codes(response) == [("query.page", "int"), ("body.customer", "type"), ("body.price", "missing")]


def test_unset_fields_have_their_defaults_and_null_is_null() -> None:
    response = post(take, json={"customer": "Ada", "price": 2, "note": None})
    assert response.json() == {**EXPECTED, "price": "2", "size": "S", "gift": False, "tags": []}


def test_files_may_be_fields_of_a_structure() -> None:
    class Report(Struct):
        title: str
        file: Upload
        more: list[Upload] = msgspec.field(default_factory=list)

    async def handler(report: Report) -> list[Any]:
        return [report.title, report.file.filename, (await report.file.read()).decode(), len(report.more)]

    handler.__annotations__["report"] = Report
    files = [("title", (None, "T")), ("file", ("a.txt", b"abc")), ("more", ("b.txt", b"")), ("more", ("c.txt", b""))]
    assert post(handler, accepts=("multipart",), files=files).json() == ["T", "a.txt", "abc", 2]
    assert codes(post(handler, accepts=("multipart",), files=files[:1])) == [("body.file", "missing")]
    assert codes(post(handler, accepts=("multipart",), files=[(n, (None, "x")) for n in ("title", "file")])) == [
        ("body.file", "type")
    ]


# -- forms ------------------------------------------------------------------------------------------------------------


class Signup(Struct):
    email: Annotated[str, Meta(pattern="^[^@]+@[^@]+$")]
    password: Annotated[str, Meta(min_length=3)]
    news: bool = False


async def sign_up(form: Form[Signup], request: Request) -> Response[dict[str, Any]] | Redirect:
    if form.valid:
        return Redirect("/welcome")
    return Response(
        {"values": form.values, "errors": {e.loc[1]: e.msg for e in form.errors}}, 422 if form.errors else 200
    )


def test_a_right_form_has_data() -> None:
    response = post(sign_up, data={"email": "a@b.c", "password": "secret"})
    assert (response.status_code, response.headers["location"]) == (303, "/welcome")


def test_a_wrong_form_keeps_what_was_typed_but_no_password() -> None:
    response = post(sign_up, data={"email": "nobody", "password": "x", "news": "on"})
    assert response.status_code == 422
    document = response.json()
    assert document["values"] == {"email": "nobody", "news": "on"}
    assert set(document["errors"]) == {"email", "password"}


def test_a_form_that_nobody_submitted_is_neither_right_nor_wrong() -> None:
    assert post(sign_up, method="GET").json() == {"values": {}, "errors": {}}


def test_a_page_shows_its_form_again_with_422(tmp_path: Any) -> None:
    (tmp_path / "signup.html").write_text(
        '<input name=email value="{{ form.values.email }}">{{ form.errors_for("email") | join }}'
    )
    app = App(docs=False, templates=tmp_path)

    @app.page("/signup", template="signup.html")
    async def signup(form: Form[Signup]) -> Page | Redirect:
        if form.valid:
            return Redirect("/welcome")
        return Page(form=form)

    with Client(app) as client:
        first = client.get("/signup")
        assert (first.status_code, first.text) == (200, '<input name=email value="">')
        again = client.post("/signup", data={"email": "<x>", "password": "123"})
        assert again.status_code == 422
        assert 'value="&lt;x&gt;"' in again.text
        assert "does not have the expected form" in again.text
        assert client.post("/signup", data={"email": "a@b", "password": "123"}).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://testserver"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://testserver"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_forms_of_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    for name in ("form", "multipart"):
        assert post(take, accepts=EVERY, **{**FORMATS[name], "headers": headers}).status_code == status
    assert post(take, accepts=EVERY, **{**FORMATS["json"], "headers": headers}).status_code == 200


# -- patches and other types ------------------------------------------------------------------------------------------


def test_a_patch_is_applied_to_what_is_there() -> None:
    from quintet import Patch

    stored = Order(customer="Ada", price=Decimal(1), note="old")

    async def handler(changes: Patch[Order]) -> Order:
        assert "customer" not in changes
        return changes.apply(stored)

    handler.__annotations__["changes"] = Patch[Order]
    response = post(handler, method="PATCH", json={"note": None, "price": "2.5"})
    assert response.json() == {**EXPECTED, "price": "2.5", "note": None, "gift": False, "size": "S", "tags": []}


@pytest.mark.parametrize("accepts", [("json", "form"), ("xml",)])
def test_a_patch_takes_other_formats_too(accepts: tuple[str, ...]) -> None:
    from quintet import Patch

    async def handler(changes: Patch[Order]) -> Any:
        return sorted(changes.changes)

    handler.__annotations__["changes"] = Patch[Order]
    kwargs: Any = (
        {"data": {"gift": "on"}}
        if "form" in accepts
        else {"content": b"<o><gift>true</gift></o>", "headers": {"content-type": "application/xml"}}
    )
    assert post(handler, accepts=accepts, method="PATCH", **kwargs).json() == ["gift"]


def test_a_body_of_bytes_like_types_is_base64_in_json() -> None:
    class Blob(Struct):
        data: bytes

    async def handler(blob: Body[Blob]) -> int:
        return len(blob.data)

    handler.__annotations__["blob"] = Body[Blob]
    assert post(handler, json={"data": "AAECAw=="}).json() == 4
