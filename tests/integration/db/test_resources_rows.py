"""Resources against hostile clients, each test named by its row of the page on robustness, on every database."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import pytest
from sqlalchemy import Select, select

from quintet import App, Depends, Request
from quintet.db import Database, Session
from quintet.errors import Unauthorized
from quintet.resources import resource
from quintet.testing import AsyncClient
from tests.integration.db.blog import Article, User


async def who(request: Request, db: Session) -> User:
    """The user that a header names: what an app's login would find."""
    name = request.headers.get("x-user")
    user = await db.first(select(User).where(User.name == name)) if name else None
    if user is None:
        raise Unauthorized("name yourself", headers={"www-authenticate": "Name"})
    return user


CurrentUser = Annotated[User, Depends(who)]


class OwnArticles:
    """Everyone sees and changes what is theirs; staff may delete."""

    def visible(self, query: Select[Article], user: CurrentUser) -> Select[Article]:
        return query.where(Article.author_id == user.id)

    def delete(self, obj: Article, user: CurrentUser) -> bool:
        return user.is_staff and obj.author_id == user.id

    def every(self) -> bool:
        return True


class OwnHooks:
    async def before_create(self, obj: Article, user: CurrentUser) -> None:
        obj.author = user


@pytest.fixture
async def client(database: Database) -> AsyncGenerator[AsyncClient, None]:
    app = App(plugins=[database])
    filters: dict[str, Any] = {"title": ["eq", "contains", "startswith"], "published_at": [], "author": []}
    app.include(
        resource(
            Article,
            filters=filters,
            sorts=["title"],
            policy=OwnArticles,
            hooks=OwnHooks,
            produces=("json", "csv"),
        )
    )
    app.include(resource(User, path="/people", name="people", sorts=["name"], pagination="cursor"))
    async with database.session() as db:
        db.add_all([User(name="Ada"), User(name="Eve"), User(name="Sam", is_staff=True)])
    async with AsyncClient(app, headers={"x-user": "Ada"}) as client:
        row = {"slug": "a", "title": "Ada's", "body": "b"}
        assert (await client.post("/article", json=row)).status_code == 201
        yield client


SQL = ["a;drop table article", "-password", "t.a", "(select 1)", "a) --", "?", "id desc", "title,title", "__class__"]


async def test_d3_what_is_no_declared_sort_is_refused(client: AsyncClient) -> None:
    for text in SQL:
        response = await client.get("/article", params={"sort": text})
        assert response.status_code == 422
        assert response.json()["errors"][0]["ctx"] == {"expected": ["title", "-title"]}


NAMES = ["_connector", "__class__", "id__in", "pk__in", "title__regex", "author__name", "moderation_note",
         "author__password__startswith", "title__contains__x", "sort__x", "order", "limit"]  # fmt: skip


async def test_d1_and_d8_what_is_no_declared_filter_is_refused(client: AsyncClient) -> None:
    for name in NAMES:
        response = await client.get("/article", params={name: "OR 1=1--"})
        assert response.status_code == 422
        error = response.json()["errors"][0]
        assert (error["loc"], error["code"]) == (["query", name], "unknown_field")
        assert "title__startswith" in error["msg"]


TEXTS = ["' OR 1=1--", "\\' OR 1=1 -- ", "%", "_", "a%' ESCAPE '", "😀", "\ud7ff"]


async def test_d1_values_are_bound_and_matched_as_they_are_written(client: AsyncClient) -> None:
    for text in TEXTS:
        for operator in ("title", "title__contains", "title__startswith"):
            response = await client.get("/article", params={operator: text})
            assert (response.status_code, response.json()["items"]) == (200, [])


async def test_d1_a_nul_in_a_filter_is_an_error_of_the_client(client: AsyncClient) -> None:
    for query in ("title=%00", "title__contains=a%00b", "title__startswith=%00"):
        assert (await client.get(f"/article?{query}")).status_code == 422, query


NUMBERS = ["99999999999999999999", "1e3", "0x1", "1.5", "abc", "١٢"]


async def test_d1_values_of_another_type_are_refused(client: AsyncClient) -> None:
    for text in NUMBERS:
        assert (await client.get("/article", params={"author_id": text})).status_code == 422
        assert (await client.get("/article", params={"published_at__gte": text})).status_code == 422


PAGES = [
    "page=-1",
    "page=0",
    "page=1e9",
    "page=abc",
    "page=99999999999999999999",
    "size=0",
    "size=-1",
    "size=1000000000",
    "size=101",
    "page=1&page=2",
]


async def test_d10_pages_beyond_all_bounds_are_refused(client: AsyncClient) -> None:
    for query in PAGES:
        assert (await client.get(f"/article?{query}")).status_code == 422


async def test_d1_a_moment_that_no_database_holds_is_refused(client: AsyncClient) -> None:
    for text in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"):
        assert (await client.get("/article", params={"published_at__lt": text})).status_code == 422, text


async def test_d10_the_last_page_that_may_be_asked_for_is_empty(client: AsyncClient) -> None:
    response = await client.get("/article?page=1000000&size=100")
    assert (response.status_code, response.json()["items"]) == (200, [])


CURSORS = ["x", "AAAA", "W10", "WzEsMl0", "bnVsbA", "%00", "=", "é", "W" * 3000, "WyJhIiwiYiIsImMiXQ", "e30", "MQ"]


async def test_d10_a_cursor_that_was_made_up_is_refused(client: AsyncClient) -> None:
    for cursor in CURSORS:
        assert (await client.get("/people", params={"cursor": cursor})).status_code == 400


async def test_d10_a_cursor_belongs_to_its_order(client: AsyncClient) -> None:
    cursor = (await client.get("/people?size=1&sort=name")).json()["next"]
    assert (await client.get("/people", params={"cursor": cursor, "sort": "name"})).status_code == 200
    assert (await client.get("/people", params={"cursor": cursor, "sort": "-name"})).status_code == 400


async def test_d13_and_b5_what_a_client_may_not_write_is_refused_and_not_written(client: AsyncClient) -> None:
    for name, value in (("id", 9), ("author_id", 2), ("author", {"name": "x"}), ("moderation_note", "x")):
        row = {"slug": "b", "title": "T", "body": "b", name: value}
        assert (await client.post("/article", json=row)).status_code == 422
        assert (await client.patch("/article/1", json={name: value})).status_code == 422
    assert (await client.patch("/people/1", json={"is_staff": True})).status_code == 422
    assert (await client.get("/people/1")).json()["is_staff"] is False
    assert (await client.get("/article?total=1")).json()["total"] == 1


async def test_d15_a_formula_in_csv_is_text(client: AsyncClient) -> None:
    for index, title in enumerate(("=1+1", "+1", "-1", "@x", "\tx", 'a"b')):
        row = {"slug": "abcdefgh"[index] * 2, "title": title, "body": "b"}
        assert (await client.post("/article", json=row)).status_code == 201
    lines = (await client.get("/article", headers={"accept": "text/csv"})).text.split("\r\n")
    titles = [line.split(",")[2] for line in lines[2:-1]]
    assert titles == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", '"a""b"']


KEYS = ["99999999999999999999", "9" * 5000, "١٢", "-1", "1e3", "0x1", "+1", "1_0"]


async def test_c10_a_key_that_is_none_is_404(client: AsyncClient) -> None:
    for key in KEYS:
        for method in ("GET", "PATCH", "DELETE"):
            response = await client.request(method, f"/article/{key}", **({"json": {}} if method == "PATCH" else {}))
            assert response.status_code in (404, 414)


async def test_f26_a_row_of_another_is_404_for_each_verb(client: AsyncClient, database: Database) -> None:
    eve = {"x-user": "Eve"}
    assert (await client.get("/article", headers=eve)).json()["items"] == []
    assert (await client.get("/article?total=1", headers=eve)).json()["total"] == 0
    assert (await client.get("/article/1", headers=eve)).status_code == 404
    assert (await client.patch("/article/1", json={"title": "Eve's"}, headers=eve)).status_code == 404
    assert (await client.delete("/article/1", headers=eve)).status_code == 404
    missing = await client.get("/article/999", headers=eve)
    hidden = await client.get("/article/1", headers=eve)
    assert {**hidden.json(), "instance": ""} == {**missing.json(), "instance": ""}
    assert (await client.get("/article/1")).json()["title"] == "Ada's"


async def test_f26_what_a_policy_denies_is_403_and_nobody_is_401(client: AsyncClient) -> None:
    assert (await client.delete("/article/1")).status_code == 403
    assert (await client.get("/article/1")).status_code == 200
    assert (await client.get("/article/1", headers={"x-user": ""})).status_code == 401
    assert (await client.post("/article", json={}, headers={"x-user": ""})).status_code in (401, 422)
