"""What a handler returns decides the answer, by its annotation; nothing that was not declared leaves the app."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from quintet import HTML, App, NotFound, Page, Redirect, Request, Response, Struct, Template
from quintet.errors import ConfigurationError
from quintet.testing import Client

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


class Account(Struct):
    name: str
    age: int = 0


class Secret(Account):
    password: str = "hidden"


@dataclass
class DataSecret:
    name: str = "Ada"
    age: int = 0
    password: str = "hidden"


@attrs.define
class AttrsSecret:
    name: str = "Ada"
    age: int = 0
    password: str = "hidden"


class ModelAccount(pydantic.BaseModel):
    name: str = "Ada"
    age: int = 0


class ModelSecret(ModelAccount):
    password: str = "hidden"


@dataclass
class DataAccount:
    name: str
    age: int = 0


@dataclass
class DataDerived(DataAccount):
    password: str = "hidden"


class Team(Struct):
    lead: Account
    members: list[Account]
    by_name: dict[str, Account]


def serve(annotation: Any, value: Any, *, accept: str | None = None, method: str = "GET", **options: Any) -> Any:
    async def handler() -> Any:
        return value

    handler.__annotations__["return"] = annotation
    app = App(docs=False)
    app.route("/", (method,), **options)(handler)
    with Client(app) as client:
        return client.request(method, "/", headers={} if accept is None else {"accept": accept})


# -- by annotation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "status", "media_type", "content"),
    [
        (str, "héllo <b>", 200, "text/plain; charset=utf-8", "héllo <b>".encode()),
        (bytes, b"\x00\xff", 200, "application/octet-stream", b"\x00\xff"),
        (HTML, HTML("<b>é</b>"), 200, "text/html; charset=utf-8", "<b>é</b>".encode()),
        (None, None, 204, None, b""),
        (dict[str, int], {"a": 1}, 200, "application/json", b'{"a":1}'),
        (list[int], [1, 2], 200, "application/json", b"[1,2]"),
        (int, 5, 200, "application/json", b"5"),
        (bool, True, 200, "application/json", b"true"),
        (Account, Account(name="Ada"), 200, "application/json", b'{"name":"Ada","age":0}'),
        (Account | None, None, 200, "application/json", b"null"),
        (str | None, None, 200, "application/json", b"null"),
    ],
)
def test_the_annotation_decides(annotation: Any, value: Any, status: int, media_type: Any, content: bytes) -> None:
    response = serve(annotation, value)
    assert (response.status_code, response.headers.get("content-type"), response.content) == (
        status,
        media_type,
        content,
    )


@pytest.mark.parametrize(
    ("value", "status", "media_type"),
    [
        ("text", 200, "text/plain; charset=utf-8"),
        (b"bytes", 200, "application/octet-stream"),
        (HTML("<b>"), 200, "text/html; charset=utf-8"),
        (None, 204, None),
        ({"a": 1}, 200, "application/json"),
        (Account(name="Ada"), 200, "application/json"),
        (Response("t", 201), 201, "text/plain; charset=utf-8"),
        (Redirect("/x"), 303, None),
    ],
)
def test_without_an_annotation_the_value_decides(value: Any, status: int, media_type: str | None) -> None:
    response = serve(Any, value)
    assert (response.status_code, response.headers.get("content-type")) == (status, media_type)


def test_the_status_of_the_route_is_the_usual_one() -> None:
    assert serve(Account, Account(name="A"), method="POST", status=201).status_code == 201
    assert serve(None, None, method="POST", status=202).status_code == 202
    assert serve(Response[Account], Response(Account(name="A")), method="POST", status=201).status_code == 201
    assert serve(Response[Account], Response(Account(name="A"), 200), method="POST", status=201).status_code == 200


# -- responses --------------------------------------------------------------------------------------------------------


def test_a_response_has_a_status_headers_and_cookies_of_its_own() -> None:
    response = serve(
        Response[Account],
        Response(Account(name="Ada"), 201, headers={"x-own": "1", "location": "/a"}, cookies={"seen": "yes"}),
    )
    assert response.status_code == 201
    assert response.json() == {"name": "Ada", "age": 0}
    assert (response.headers["x-own"], response.headers["location"]) == ("1", "/a")
    cookie = {part.strip() for part in response.headers["set-cookie"].split(";")}
    assert cookie == {"seen=yes", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"}


def test_a_response_may_be_an_alternative() -> None:
    assert serve(Account | Redirect, Redirect("/login")).status_code == 303
    assert serve(Account | Redirect, Account(name="A")).json() == {"name": "A", "age": 0}
    assert serve(Account | Response[str], Response("none", 404)).status_code == 404


@pytest.mark.parametrize("annotation", [Account | HTML, str | HTML, HTML | None, HTML | Redirect])
def test_a_page_may_be_an_alternative(annotation: Any) -> None:
    response = serve(annotation, HTML("<b>"))
    assert (response.status_code, response.text) == (200, "<b>")
    assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_the_other_alternative_of_a_page_stays_what_it_is() -> None:
    assert serve(str | HTML, "<b>").headers["content-type"] == "text/plain; charset=utf-8"
    assert serve(HTML | None, None).status_code == 204


def test_a_response_of_text_is_text() -> None:
    response = serve(Response[str], Response("é", 200))
    assert (response.headers["content-type"], response.text) == ("text/plain; charset=utf-8", "é")


def test_a_media_type_of_its_own_is_kept() -> None:
    response = serve(Response[bytes], Response(b"<svg/>", media_type="image/svg+xml"))
    assert response.headers["content-type"] == "image/svg+xml"


def test_security_headers_are_on_every_answer() -> None:
    for response in (
        serve(Account, Account(name="A")),
        serve(Response[Account], Response(Account(name="A"), 400)),
        serve(Redirect, Redirect("/x")),
        serve(None, None),
    ):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"]
    assert "default-src" in serve(HTML, HTML("")).headers["content-security-policy"]


# -- undeclared fields ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Account, Secret(name="Ada")),
        (Account | None, Secret(name="Ada")),
        (Account, DataSecret()),
        (Account, AttrsSecret()),
        (Account, ModelSecret()),
        (Account, {"name": "Ada", "age": 0, "password": "hidden"}),
        (DataAccount, DataDerived("Ada")),
        (ModelAccount, ModelSecret()),
        (Response[Account], Response(Secret(name="Ada"))),
    ],
)
def test_undeclared_fields_never_leak(annotation: Any, value: Any) -> None:
    for accept in ("application/json", "application/msgpack", "application/xml", "text/csv"):
        response = serve(annotation, value, accept=accept, produces=("json", "msgpack", "xml", "csv"))
        assert response.status_code == 200, response.text
        assert b"hidden" not in response.content
        assert b"password" not in response.content
        assert b"Ada" in response.content


def test_undeclared_fields_never_leak_from_within() -> None:
    ada: Any = Secret(name="Ada")
    value = Team(lead=ada, members=[ada, ada], by_name={"Ada": ada})
    response = serve(Team, value)
    plain = {"name": "Ada", "age": 0}
    assert response.json() == {"lead": plain, "members": [plain, plain], "by_name": {"Ada": plain}}
    assert serve(list[Account], [ada]).json() == [plain]
    assert serve(dict[str, list[Account]], {"a": [ada]}).json() == {"a": [plain]}
    assert serve(tuple[Account, int], (ada, 1)).json() == [plain, 1]


@pytest.mark.parametrize("accept", ["application/jsonl", "text/csv"])
def test_undeclared_fields_never_leak_from_streams(accept: str) -> None:
    app = App(docs=False)
    ada: Any = Secret(name="Ada")

    @app.get("/async", produces=("csv" if "csv" in accept else "jsonl",))
    async def items() -> AsyncIterator[Account]:
        yield ada

    @app.get("/sync", produces=("csv" if "csv" in accept else "jsonl",))
    def sync_items() -> Iterator[Account]:
        yield ada

    with Client(app) as client:
        for path in ("/async", "/sync"):
            content = client.get(path).text
            assert "Ada" in content
            assert "hidden" not in content
            assert "password" not in content


# -- negotiation ------------------------------------------------------------------------------------------------------

PRODUCES = ("json", "xml", "csv", "msgpack", "jsonl")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/xml", "application/xml; charset=utf-8"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/msgpack", "application/vnd.msgpack"),
        ("text/csv;q=0.5, application/xml;q=0.9", "application/xml; charset=utf-8"),
        ("application/json;q=0, */*", "application/xml; charset=utf-8"),
        (BROWSER, "application/json"),
    ],
)
def test_the_client_chooses_among_the_formats(accept: str | None, media_type: str) -> None:
    response = serve(list[Account], [Account(name="Ada", age=36)], accept=accept, produces=PRODUCES)
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    assert "accept" in response.headers["vary"].lower()


def test_the_same_data_in_each_format() -> None:
    def get(accept: str) -> Any:
        return serve(list[Account], [Account(name="Ada", age=36)], accept=accept, produces=PRODUCES)

    assert get("application/json").json() == [{"name": "Ada", "age": 36}]
    assert msgspec.msgpack.decode(get("application/msgpack").content) == [{"name": "Ada", "age": 36}]
    assert list(csv.DictReader(io.StringIO(get("text/csv").text))) == [{"name": "Ada", "age": "36"}]
    assert "<name>Ada</name>" in get("application/xml").text


@pytest.mark.parametrize("accept", ["image/png", "text/html", "application/json;q=0"])
def test_nothing_that_fits_is_a_406(accept: str) -> None:
    called: list[int] = []

    async def handler() -> Account:
        called.append(1)
        return Account(name="A")

    app = App(docs=False)
    app.post("/", produces=("json",))(handler)
    with Client(app) as client:
        response = client.post("/", headers={"accept": accept})
    assert response.status_code == 406
    assert "this can be answered as application/json" in response.text
    assert called == []  # nothing has been done that the client would not hear of


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/json;q=0"])
def test_what_needs_no_format_is_answered_whatever_is_accepted(tmp_path: Any, accept: str) -> None:
    (tmp_path / "form.html").write_text("<form></form>")
    app = App(docs=False, templates=tmp_path)

    @app.post("/redirect")
    async def redirect() -> Redirect:
        return Redirect("/there")

    @app.post("/form", template="form.html")
    async def form(wrong: bool = False) -> Page | Redirect:
        return Page() if wrong else Redirect("/there")

    @app.post("/either")
    async def either(data: bool = False) -> Account | Redirect:
        return Account(name="A") if data else Redirect("/there")

    @app.post("/untold")
    async def untold(data: bool = False):  # type: ignore[no-untyped-def]
        return {"a": 1} if data else Redirect("/there")

    @app.post("/empty")
    async def empty() -> Response[None]:
        return Response(None, 202)

    with Client(app) as client:

        def post(path: str) -> int:
            return client.post(path, headers={"accept": accept}, follow_redirects=False).status_code

        assert [post(path) for path in ("/redirect", "/form", "/either", "/untold")] == [303] * 4
        assert (post("/form?wrong=true"), post("/empty")) == (200, 202)
        assert [post(path) for path in ("/either?data=true", "/untold?data=true")] == [406] * 2


def test_one_handler_is_a_page_and_data(tmp_path: Any) -> None:
    (tmp_path / "a.html").write_text("<h1>{{ name }}</h1>{{ data.age }}")
    app = App(docs=False, templates=tmp_path)

    @app.get("/a", template="a.html", produces=("html", "json", "xml", "csv"))
    async def handler() -> Account:
        secret: Any = Secret(name="<Ada>", age=36)
        return secret

    @app.get("/alone")
    async def alone() -> Template:
        return Template("a.html", name="T", data={"age": 1})

    with Client(app) as client:
        page = client.get("/a", headers={"accept": BROWSER})
        assert page.text == "<h1>&lt;Ada&gt;</h1>36"
        assert page.headers["vary"].lower() == "accept"
        assert client.get("/a", headers={"accept": "application/json"}).json() == {"name": "<Ada>", "age": 36}
        assert client.get("/a", headers={"accept": "image/png"}).status_code == 406
        assert client.get("/alone").text == "<h1>T</h1>1"


def test_text_is_text_whatever_the_client_prefers() -> None:
    assert serve(str, "x", accept="application/json").headers["content-type"] == "text/plain; charset=utf-8"


# -- conditions, HEAD, errors ---------------------------------------------------------------------------------------


def test_an_entity_tag_is_compared() -> None:
    app = App(docs=False)

    @app.get("/")
    async def handler() -> Response[Account]:
        return Response(Account(name="A"), headers={"etag": '"v1"'})

    with Client(app) as client:
        assert client.get("/").status_code == 200
        again = client.get("/", headers={"if-none-match": '"v1"'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", '"v1"')
        assert client.get("/", headers={"if-none-match": '"v2"'}).status_code == 200
        assert client.get("/", headers={"if-match": '"v2"'}).status_code == 412


@pytest.mark.parametrize(("annotation", "value"), [(Account, Account(name="A")), (str, "text"), (Any, {"a": 1})])
def test_head_has_the_fields_of_get_and_no_body(annotation: Any, value: Any) -> None:
    async def handler(request: Request) -> Any:
        return value

    handler.__annotations__["return"] = annotation
    app = App(docs=False, request_id=False)
    app.get("/")(handler)
    with Client(app) as client:
        got, head = client.get("/"), client.head("/")
    assert head.content == b""
    without_date = [dict(r.headers) for r in (got, head)]
    for fields in without_date:
        fields.pop("date", None)
    assert without_date[0] == without_date[1]
    assert head.headers["content-length"] == str(len(got.content))


def test_a_value_that_is_not_what_was_declared_is_a_500_and_not_an_answer() -> None:
    app = App(docs=False)

    @app.get("/account")
    async def account() -> Account:
        return 5  # type: ignore[return-value]

    @app.get("/text")
    async def text() -> str:
        return 5  # type: ignore[return-value]

    @app.get("/nothing")
    async def nothing() -> Account:
        return None  # type: ignore[return-value]

    with Client(app, raise_server_exceptions=False) as client:
        for path in ("/account", "/text", "/nothing"):
            response = client.get(path)
            assert response.status_code == 500, (path, response.text)
            assert "TypeError" not in response.text


def test_a_type_that_cannot_be_encoded_is_reported_at_start_up() -> None:
    class Odd:
        pass

    app = App(docs=False)

    @app.get("/")
    async def handler() -> Odd:
        return Odd()

    with pytest.raises(ConfigurationError) as error:
        app.freeze()
    (problem,) = error.value.problems
    assert problem.id == "routes.types"
    assert problem.where == f"{__file__}:{handler.__code__.co_firstlineno}"


def test_a_format_that_does_not_exist_is_reported_at_start_up() -> None:
    app = App(docs=False)

    @app.get("/", produces=("json", "yaml"))
    async def handler() -> Account: ...

    @app.post("/", accepts=("toml",))
    async def post(account: Account) -> None: ...

    with pytest.raises(ConfigurationError, match="yaml") as error:
        app.freeze()
    assert [p.id for p in error.value.problems] == ["routes.types", "routes.types"]


def test_an_exception_is_an_answer_in_the_clients_format() -> None:
    app = App(docs=False)

    @app.get("/")
    async def handler() -> Account:
        raise NotFound("no such <account>")

    with Client(app) as client:
        document = client.get("/").json()
        assert document == {
            "type": "about:blank", "title": "Not Found", "status": 404, "detail": "no such <account>", "instance": "/",
        }  # fmt: skip
        page = client.get("/", headers={"accept": BROWSER})
        assert page.headers["content-type"].startswith("text/html")
        assert "no such &lt;account&gt;" in page.text
