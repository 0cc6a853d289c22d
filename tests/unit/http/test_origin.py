from __future__ import annotations

import pytest

from quintet import App, Request, Struct
from quintet.testing import Client


class Name(Struct):
    name: str


def app_with_forms() -> App:
    app = App()

    @app.post("/typed", accepts=("form",))
    async def typed(name: Name) -> str:
        return name.name

    @app.post("/by-hand")
    async def by_hand(request: Request) -> str:
        return str((await request.form()).get("name"))

    @app.post("/open")
    async def from_anywhere(request: Request) -> str:
        return str((await request.form(cross_site=True)).get("name"))

    return app


@pytest.mark.parametrize("path", ["/typed", "/by-hand"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "https://testserver"}, 200),
        ({"origin": "http://testserver"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_a_form_of_another_site_is_refused_however_it_is_read(path: str, headers: dict[str, str], status: int) -> None:
    assert Client(app_with_forms()).post(path, data={"name": "Ada"}, headers=headers).status_code == status


def test_a_form_is_taken_from_anywhere_where_the_code_says_so() -> None:
    answer = Client(app_with_forms()).post("/open", data={"name": "Ada"}, headers={"sec-fetch-site": "cross-site"})
    assert (answer.status_code, answer.text) == (200, "Ada")
