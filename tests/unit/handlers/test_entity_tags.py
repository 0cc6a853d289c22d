from __future__ import annotations

import pytest

from quintet import Response, Struct
from quintet.app import Application
from quintet.testing import Client


class Note(Struct):
    text: str


def client() -> Client:
    app = Application()

    @app.get("/note", produces=("json", "xml"))
    async def note() -> Response[Note]:
        return Response(Note(text="x"), headers={"etag": '"v1"'})

    return Client(app)


def test_formats_of_one_state_have_tags_of_their_own() -> None:
    with client() as c:
        assert c.get("/note").headers["etag"] == '"v1"'
        assert c.get("/note", headers={"accept": "application/xml"}).headers["etag"] == '"v1;application/xml"'


@pytest.mark.parametrize(
    ("accept", "tag", "status"),
    [
        ("application/json", '"v1"', 304),
        ("application/xml", '"v1"', 200),
        ("application/xml", '"v1;application/xml"', 304),
        ("application/json", '"v1;application/xml"', 200),
    ],
)
def test_a_tag_confirms_its_own_format_only(accept: str, tag: str, status: int) -> None:
    with client() as c:
        response = c.get("/note", headers={"accept": accept, "if-none-match": tag})
        assert response.status_code == status
        assert response.headers["vary"] == "accept"
