"""The pages "Coming from …" show the same app twice; both give the same answers here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from quintet.testing import Client

# Other frameworks warn of things that are theirs to repair.
pytestmark = pytest.mark.filterwarnings("default")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


#: method, path, body, header fields -> answer
Ask = Callable[[str, str, bytes, dict[str, str]], Answer]

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}

#: name, method and path, body, header fields, what is compared besides the status
Case = tuple[str, str, bytes, dict[str, str], tuple[str, ...]]
BODY = ("body",)

CASES: list[Case] = [
    ("flask", "GET /users/7", b"", {}, BODY),
    ("flask", "GET /users/x", b"", {}, ()),
    ("flask", "DELETE /users/7", b"", {}, ()),
    ("flask", "GET /search?q=tea&page=2&tags=a&tags=b", b"", {}, BODY),
    ("flask", "GET /search", b"", {}, BODY),
    ("flask", "GET /search?page=x", b"", {}, ()),
    ("flask", "POST /orders", b'{"article": "tea", "quantity": 2}', JSON, BODY),
    ("flask", "POST /orders", b'{"article": "tea"}', JSON, BODY),
    ("flask", "POST /orders", b'{"article": "tea", "quantity": 0}', JSON, ()),
    ("flask", "POST /orders", b'{"article": 7}', JSON, ()),
    ("flask", "POST /orders", b"{", JSON, ()),
    ("flask", "POST /orders", b"x", {"content-type": "text/plain"}, ()),
    ("flask", "GET /greet/%3CAda%3E", b"", {}, BODY),
    ("flask", "GET /sign", b"", {}, BODY),
    ("flask", "POST /sign", b"name=Ada+B", FORM, ("location",)),
    ("flask", "POST /sign", b"name=", FORM, BODY),
    ("flask", "GET /buy/tea", b"", {}, BODY),
    ("flask", "GET /me", b"", {"x-user": "ada"}, ("body", "x-app")),
    ("flask", "GET /me", b"", {}, BODY),
    ("flask", "GET /shop/items", b"", {}, BODY),
    ("fastapi", "GET /stock/tea", b"", {}, BODY),
    ("fastapi", "GET /users/7?verbose=on&tags=a&tags=b", b"", {}, BODY),
    ("fastapi", "GET /users/7?verbose=maybe", b"", {}, ()),
    ("fastapi", "POST /orders", b'{"customer": "Ada", "lines": [{"article": "tea"}]}', JSON, BODY),
    ("fastapi", "POST /orders", b'{"customer": "", "lines": [{"quantity": 0}]}', JSON, ()),
    ("fastapi", "GET /account", b"", {}, BODY),
    ("fastapi", "GET /me", b"", {"x-user": "ada"}, BODY),
    ("fastapi", "GET /me", b"", {}, ()),
    ("fastapi", "GET /buy/tea", b"", {}, BODY),
    ("fastapi", "GET /buy/gold", b"", {}, ()),
    ("fastapi", "GET /office/salaries", b"", {}, ()),
    ("fastapi", "GET /office/salaries", b"", {"x-role": "staff"}, BODY),
    ("fastapi", "PUT /items/7", b"", {}, ("body", "x-item")),
    ("fastapi", "PUT /items/700", b"", {}, ("body", "x-item")),
    ("django", "GET /articles/2030/a-title", b"", {}, BODY),
    ("django", "GET /articles/soon/a-title", b"", {}, ()),
    ("django", "POST /search", b"", {}, ()),
    ("django", "GET /search?q=tea&tags=a&tags=b", b"", {}, ("body", "x-app")),
    ("django", "POST /orders", b'{"article": "tea", "quantity": 2}', JSON, BODY),
    ("django", "POST /orders", b'{"article": "", "quantity": 0}', JSON, ()),
    ("django", "POST /orders", b"{", JSON, ()),
    ("django", "GET /contact", b"", {}, BODY),
    ("django", "POST /contact", b"name=&day=soon", FORM, BODY),
    ("django", "GET /thanks/2030", b"", {}, BODY),
    ("django", "GET /shop/items/1", b"", {}, BODY),
    ("django", "GET /shop/items/2", b"", {}, ()),
    ("sanic", "GET /users/7", b"", {}, BODY),
    ("sanic", "GET /users/x", b"", {}, ()),
    ("sanic", "GET /search?q=tea&tags=a&tags=b", b"", {}, BODY),
    ("sanic", "POST /orders", b'{"article": "tea"}', JSON, BODY),
    ("sanic", "POST /orders", b'{"article": 7}', JSON, ()),
    ("sanic", "POST /orders", b"{", JSON, ()),
    ("sanic", "GET /stock/tea", b"", {}, BODY),
    ("sanic", "GET /stock/gold", b"", {}, ()),
    ("sanic", "GET /me", b"", {"x-user": "ada"}, ("body", "x-app")),
    ("sanic", "GET /shop/items", b"", {}, BODY),
    ("sanic", "GET /poem", b"", {}, BODY),
    ("sanic", "GET /buy/tea", b"", {}, BODY),
    ("sanic", "GET /", b"", {}, BODY),
]


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, tuple[Ask, Ask]]]:
    """Open each pair of apps when it is first asked for."""
    with ExitStack() as stack:
        yield Clients(stack)


class Clients(dict[str, "tuple[Ask, Ask]"]):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, name: str) -> tuple[Ask, Ask]:
        from importlib import import_module

        ours = import_module(f"examples.docs.coming_from.{name}_ours")
        client = self._stack.enter_context(Client(ours.app, raise_server_exceptions=False))
        pair = self[name] = (THEIRS[name](self._stack), _by_httpx(client))
        return pair


def _by_httpx(client: Any) -> Ask:
    def ask(method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        answer = client.request(method, path, content=body or None, headers=headers, follow_redirects=False)
        return Answer(answer.status_code, dict(answer.headers), answer.text)

    return ask


def _flask(stack: ExitStack) -> Ask:
    from examples.docs.coming_from.flask_theirs import app

    client = app.test_client()

    def ask(method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        answer = client.open(path, method=method, data=body, headers=headers)
        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers}, answer.text)

    return ask


def _fastapi(stack: ExitStack) -> Ask:
    from fastapi.testclient import TestClient

    from examples.docs.coming_from.fastapi_theirs import app

    return _by_httpx(stack.enter_context(TestClient(app)))


def _django(stack: ExitStack) -> Ask:
    from django.test import Client as DjangoClient

    import examples.docs.coming_from.django_theirs  # noqa: F401 - configures Django

    client = DjangoClient(headers={"host": "localhost"})

    def ask(method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        kind = headers.get("content-type", "application/octet-stream")
        answer = client.generic(method, path, body, content_type=kind)
        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content.decode())

    return ask


def _sanic(stack: ExitStack) -> Ask:
    import asyncio

    from sanic_testing.testing import SanicASGITestClient

    from examples.docs.coming_from.sanic_theirs import app

    def ask(method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        async def run() -> Any:
            client = SanicASGITestClient(app)
            return (await client.request(method, path, content=body or None, headers=headers))[1]

        answer = asyncio.run(run())
        return Answer(answer.status_code, dict(answer.headers), answer.text)

    return ask


THEIRS: dict[str, Callable[[ExitStack], Ask]] = {
    "flask": _flask, "fastapi": _fastapi, "django": _django, "sanic": _sanic,
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]} {c[1]} {c[2].decode()[:40]!r}")
def test_both_sides_give_the_same_answer(clients: dict[str, tuple[Ask, Ask]], case: Case) -> None:
    name, request, body, headers, compared = case
    method, _, path = request.partition(" ")
    theirs, ours = (ask(method, path, body, headers) for ask in clients[name])
    assert ours.status == theirs.status, (ours, theirs)
    for field in compared:
        if field != "body":
            assert ours.headers[field] == theirs.headers[field]
        elif "json" in theirs.headers["content-type"]:
            assert json.loads(ours.text) == json.loads(theirs.text)
        else:
            assert ours.text.strip() == theirs.text.strip()
