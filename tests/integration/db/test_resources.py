"""Resources over HTTP on every database: list, create, read, update, delete, and who may."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sqlalchemy import select

from quintet import App
from quintet.db import Database, Session, SyncSession, View
from quintet.resources import resource
from quintet.testing import AsyncClient
from tests.integration.db.blog import Article, Tag, User


class Hooks:
    """Says who writes, which no client does."""

    async def before_create(self, obj: Article, db: Session) -> None:
        obj.author = await db.one(select(User).order_by(User.id).limit(1))


class SyncHooks:
    """The same for `def`."""

    def before_create(self, obj: Article, db: SyncSession) -> None:
        obj.author = db.one(select(User).order_by(User.id).limit(1))


def make_app(database: Database, **options: Any) -> App:
    """Return an app with the resources of the blog."""
    app = App(plugins=[database])
    app.include(resource(User, filters={"name": ["eq", "contains", "startswith"]}, sorts=["name"]))
    app.include(resource(Tag))
    hooks = SyncHooks if options.get("sync") else Hooks
    shared: dict[str, Any] = {
        "filters": ["author", "published_at", "tags"],
        "search": ["title", "body"],
        "sorts": ["title", "published_at"],
        "view": View("author", "tags"),
        "produces": ("json", "csv", "xml", "msgpack"),
    }
    app.include(resource(Article, **{"hooks": hooks, **shared, **options}))
    return app


@pytest.fixture(params=["async", "sync"])
async def client(database: Database, request: pytest.FixtureRequest) -> AsyncGenerator[AsyncClient, None]:
    app = make_app(database, sync=request.param == "sync")
    async with AsyncClient(app) as client:
        for name in ("Ada", "Bo"):
            assert (await client.post("/user", json={"name": name})).status_code == 201
        yield client


async def add_articles(client: AsyncClient, *slugs: str) -> None:
    rows = [{"slug": slug, "title": f"Title {slug}", "body": "Text"} for slug in slugs]
    assert (await client.post("/article", json=rows)).status_code == 201


async def test_a_row_is_created_read_changed_and_deleted(client: AsyncClient) -> None:
    created = await client.post("/article", json={"slug": "a", "title": "T", "body": "b"})
    assert created.status_code == 201
    row = created.json()
    assert row["author"]["name"] == "Ada"
    location = created.headers["location"]
    assert location == f"/article/{row['id']}"
    assert (await client.get(location)).json() == row
    changed = await client.patch(location, json={"title": "New"})
    assert (changed.status_code, changed.json()) == (200, {**row, "title": "New"})
    assert (await client.delete(location)).status_code == 204
    assert (await client.get(location)).status_code == 404
    assert (await client.patch(location, json={})).status_code == 404
    assert (await client.delete(location)).status_code == 404


async def test_a_list_has_pages_and_counts_where_asked(client: AsyncClient) -> None:
    await add_articles(client, "a", "b", "c")
    first = (await client.get("/article?size=2&total=true")).json()
    assert [row["slug"] for row in first["items"]] == ["a", "b"]
    assert {k: v for k, v in first.items() if k != "items"} == {"page": 1, "size": 2, "more": True, "total": 3}
    second = (await client.get("/article?size=2&page=2")).json()
    assert [row["slug"] for row in second["items"]] == ["c"]
    assert {k: v for k, v in second.items() if k != "items"} == {"page": 2, "size": 2, "more": False}


async def test_a_list_is_filtered_searched_and_sorted(client: AsyncClient) -> None:
    await add_articles(client, "a", "b", "c")
    await client.patch("/article/2", json={"published_at": "2026-01-02T00:00:00Z"})

    async def slugs(**query: Any) -> list[str]:
        response = await client.get("/article", params=query)
        assert response.status_code == 200, response.text
        return [row["slug"] for row in response.json()["items"]]

    everyone = (await client.get("/article")).json()["items"]
    assert await slugs(author_id=everyone[0]["author"]["id"]) == ["a", "b", "c"]
    assert await slugs(author_id=999) == []
    assert await slugs(published_at__gte="2026-01-01T00:00:00Z") == ["b"]
    assert await slugs(published_at__is_null="true") == ["a", "c"]
    assert await slugs(q="TITLE c") == ["c"]
    assert await slugs(sort="-title") == ["c", "b", "a"]
    assert await slugs(sort=["-published_at", "-title"]) == ["b", "c", "a"]


async def test_text_is_matched_as_it_is_written(client: AsyncClient) -> None:
    for name in ("50%", "50_", "50/", "500"):
        await client.post("/user", json={"name": name})
    for name in ("50%", "50_", "50/"):
        found = (await client.get("/user", params={"name__startswith": name})).json()["items"]
        assert [row["name"] for row in found] == [name]


async def test_many_rows_are_created_together_or_not_at_all(client: AsyncClient) -> None:
    wrong = await client.post("/user", json=[{"name": "Cy"}, {"name": "Di"}, {"name": "Ada"}])
    assert wrong.status_code == 409
    assert wrong.json()["errors"] == [{"loc": ["body", 2, "name"], "msg": "This is taken already.", "code": "taken"}]
    wrong = await client.post("/user", json=[{"name": "Cy"}, {"name": ""}])
    assert (wrong.status_code, wrong.json()["errors"][0]["loc"]) == (422, ["body", 1, "name"])
    assert (await client.post("/user", json=[{"name": f"u{n}"} for n in range(101)])).status_code == 422
    assert (await client.get("/user?total=1")).json()["total"] == 2


async def test_a_row_that_others_refer_to_stays(client: AsyncClient) -> None:
    await add_articles(client, "a")
    author = (await client.get("/article/1")).json()["author"]["id"]
    assert (await client.delete(f"/user/{author}")).status_code == 409
    assert (await client.get(f"/user/{author}")).status_code == 200
