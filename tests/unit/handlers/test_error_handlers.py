from __future__ import annotations

import pytest

from quintet.errors import HTTPError, NotFound, ValidationError
from quintet.factory import App
from quintet.http.request import Request
from quintet.http.response import HTML, Response
from quintet.schema.struct import Struct
from quintet.testing.client import Client


class Oops(Struct):
    code: int


class Own(Exception):
    pass


@pytest.fixture
def app() -> App:
    app = App()

    @app.exception_handler(ValidationError)
    async def wrong(request: Request, error: ValidationError) -> Oops:
        return Oops(code=1)

    @app.exception_handler(404)
    def missing(request: Request, error: HTTPError) -> str:
        return "nothing here"

    @app.exception_handler(Own)
    def own(request: Request, error: Own) -> Oops:
        return Oops(code=2)

    @app.exception_handler(409)
    def conflict(request: Request, error: HTTPError) -> Response[Oops]:
        return Response(Oops(code=3), 418)

    @app.exception_handler(403)
    def refused(request: Request, error: HTTPError) -> HTML:
        return HTML("<p>no</p>")

    @app.get("/wrong", status=201)
    async def handler(number: int) -> Oops:
        return Oops(code=0)

    @app.get("/missing")
    async def raise_missing() -> Oops:
        raise NotFound

    @app.get("/own")
    async def raise_own() -> Oops:
        raise Own

    @app.get("/status/{status}")
    async def raise_status(status: int) -> Oops:
        raise HTTPError(status)

    return app


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/wrong", 422, '{"code":1}'),
        ("/missing", 404, "nothing here"),
        ("/nowhere", 404, "nothing here"),
        ("/own", 500, '{"code":2}'),
        ("/status/409", 418, '{"code":3}'),
        ("/status/403", 403, "<p>no</p>"),
    ],
)
def test_what_an_error_handler_gives_has_the_status_of_the_error(app: App, path: str, status: int, text: str):
    with Client(app) as client:
        response = client.get(path)
    assert (response.status_code, response.text) == (status, text)


def test_a_problem_names_its_path_as_a_uri():
    with Client(App()) as client:
        assert client.get("/a%20b%C3%BC").json()["instance"] == "/a%20b%C3%BC"
