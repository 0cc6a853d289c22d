"""Parts of lists: stable under inserts and deletes, one query each, described in OpenAPI; and wrong declarations."""

from __future__ import annotations

import inspect
import random
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from sqlalchemy import Select

from quintet import App, ConfigurationError
from quintet.db import Database, Mapped, Model, View, column, on_query, primary_key
from quintet.db.queries.events import off_query
from quintet.openapi.document import build_document
from quintet.resources import resource
from quintet.testing import AsyncClient, Client
from quintet.testing.db import capture_queries
from tests.integration.db.blog import Article, Blog, Tag, User


class Parts(Model, database="default"):
    """The base of these models."""


class Item(Parts):
    id: Mapped[int] = primary_key()
    name: Mapped[str | None] = column(default=None)
    weight: Mapped[float | None] = column(default=None)
    seen_at: Mapped[datetime | None] = column(default=None)


SORTS = ["name", "weight", "seen_at", "id"]
CHOICES = [c for name in SORTS for c in (name, f"-{name}")]
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def items(url: str) -> AsyncGenerator[Database, None]:
    database = Database(url)
    await database.drop_all(Parts)
    await database.create_all(Parts)
    yield database
    await database.drop_all(Parts)
    await database.dispose()


def random_item(chance: random.Random) -> Item:
    return Item(
        name=chance.choice([None, "a", "b", "B", "ä"]),
        weight=chance.choice([None, 0.1, 0.2, 1e300]),
        seen_at=chance.choice([None, START, START + timedelta(microseconds=chance.randrange(3))]),
    )


async def walk(client: AsyncClient, query: dict[str, Any], between: Any = None) -> list[int]:
    """Return the keys of all parts of a list, one after the other."""
    found: list[int] = []
    cursor: str | None = None
    for _ in range(500):
        more = {"cursor": cursor} if cursor else {}
        response = await client.get("/item", params={**query, **more})
        assert response.status_code == 200, response.text
        part = response.json()
        found += [row["id"] for row in part["items"]]
        cursor = part["next"]
        if cursor is None:
            return found
        if between is not None:
            await between()
    raise AssertionError("the list has no end")


async def test_parts_are_stable_while_rows_come_and_go(items: Database) -> None:
    app = App(plugins=[items])
    app.include(resource(Item, sorts=SORTS, pagination="cursor"))
    chance = random.Random(7)
    async with items.session() as db:
        db.add_all([random_item(chance) for _ in range(40)])
    async with AsyncClient(app) as client:
        for _ in range(6):
            sort = chance.sample(CHOICES, k=chance.randint(0, 3))
            query = {"sort": sort, "size": chance.randint(1, 9)}
            before = await walk(client, query)
            assert len(before) == len(set(before))
            gone: set[int] = set()

            async def between(gone: set[int] = gone, before: list[int] = before) -> None:
                async with items.session() as db:
                    db.add_all([random_item(chance) for _ in range(chance.choice([0, 0, 1]))])
                    key = chance.choice(before)
                    row = await db.get(Item, key)
                    if row is not None:
                        gone.add(key)
                        await db.delete(row)

            during = await walk(client, query, between)
            assert len(during) == len(set(during)), "a row came twice"
            stayed = [key for key in before if key not in gone]
            assert [key for key in during if key in set(stayed)] == stayed, "a row was left out, or the order changed"


NAMES = ["sort", "cursor", "size", "total", "name", "name__contains", "x"]
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=12)), max_size=4)


def test_no_query_string_is_an_error_of_the_server(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/lists.db")
    app = App(plugins=[database])
    app.include(resource(User, filters={"name": ["eq", "contains"]}, sorts=["name"], pagination="cursor"))

    @app.lifespan
    async def tables() -> AsyncGenerator[None, None]:
        await database.create_all(Blog)
        yield

    with Client(app) as client:

        @settings(max_examples=150, deadline=None, database=None)
        @given(PAIRS)
        def ask(pairs: list[tuple[str, str]]) -> None:
            assert client.get("/user", params=pairs).status_code in (200, 400, 422)

        ask()


async def test_a_list_is_one_query_and_one_for_each_relation(database: Database) -> None:
    app = App(plugins=[database])
    app.include(resource(User))
    app.include(resource(Article, view=View("author", "tags")))
    async with database.session() as db:
        ada = User(name="Ada")
        tags = [Tag(name=f"t{n}") for n in range(3)]
        db.add_all([Article(slug=f"s{'abcdefghij'[n]}", title="T", body="b", author=ada, tags=tags) for n in range(10)])
    seen: list[str] = []

    def listen(event: Any) -> None:
        if event.sql.lstrip().upper().startswith("SELECT"):
            seen.append(event.sql)

    on_query(listen)
    try:
        async with AsyncClient(app) as client:
            for path, number in (("/user", 1), ("/user/1", 1), ("/user?total=1", 2), ("/article", 3)):
                seen.clear()
                assert (await client.get(path)).status_code == 200
                assert len(seen) == number, (path, seen)
    finally:
        off_query(listen)


def make_documented() -> App:
    app = App(plugins=[Database("sqlite://")])
    options: dict[str, Any] = {"filters": ["author", "published_at"], "sorts": ["title"], "search": ["title"]}
    app.include(resource(Article, key="slug", view=View("author"), produces=("html", "json", "csv"), **options))
    app.include(resource(Item, pagination="cursor"))
    return app


def test_the_document_says_what_a_resource_takes_and_answers() -> None:
    app = make_documented()
    document = build_document(app)
    validate(document)
    paths = document["paths"]
    assert list(paths["/article"]) == ["get", "post"]
    assert list(paths["/article/{slug}"]) == ["get", "patch", "delete"]
    listing = paths["/article"]["get"]
    assert listing["operationId"] == "article_list"
    parameters = {p["name"]: p["schema"] for p in listing["parameters"]}
    assert parameters["sort"]["items"] == {"enum": ["title", "-title"]}
    assert parameters["size"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20} | parameters["size"]
    assert {"author_id", "author_id__in", "published_at__gte", "published_at__is_null", "q"} < set(parameters)
    assert set(listing["responses"]["200"]["content"]) == {"text/html", "application/json", "text/csv"}
    created = paths["/article"]["post"]
    assert "201" in created["responses"]
    assert not [path for path in paths if path.endswith(("/new", "/edit"))]
    assert "409" in created["responses"]
    assert "412" not in created["responses"]


def test_routes_have_names() -> None:
    app = make_documented()
    assert app.url_for("article.list") == "/article"
    assert app.url_for("article.read", slug="a-b") == "/article/a-b"
    assert app.url_for("article.new") == "/article/-/new"
    assert app.url_for("item.update", id=3) == "/item/3"


class Misspelled:
    def updat(self) -> bool:
        return False

    def every(self) -> bool:
        return False


class Silent:
    def read(self, obj: Article) -> bool:
        return True


class Wants:
    def list(self, obj: Article) -> bool:
        return True

    def every(self) -> bool:
        return True


class Async:
    async def every(self) -> bool:
        return True


class Open:
    def visible(self, query: Select[Tag]) -> Select[Tag]:
        return query

    def every(self) -> bool:
        return True


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"filters": ["nope"]}, "Article has no column 'nope' to filter by; it has id, slug"),
    ({"filters": ["moderation_note"]}, "'moderation_note' is private"),
    ({"filters": {"title": ["like"]}}, "'title' has the operator 'like'; there are eq"),
    ({"filters": {"author": ["contains"]}}, "'author_id' has 'contains', which is for text"),
    ({"search": ["id"]}, "'id' cannot be searched in: it holds no text"),
    ({"sorts": ["moderation_note"]}, "'moderation_note' is private"),
    ({"order": "-nope"}, "no column 'nope' to sort by"),
    ({"key": "title"}, "'title', which is not unique"),
    ({"key": "published_at"}, "'published_at', which is not unique"),
    ({"view": View("nope")}, "Article has no relation 'nope'"),
    ({"pagination": "keyset"}, "there is no pagination 'keyset'; there are page, cursor"),
    ({"only": ["list", "destroy"]}, "has no action 'destroy'; there are list"),
    ({"policy": Misspelled}, "Misspelled.updat is no method of a policy"),
    ({"policy": Silent}, "Silent says nothing of list, create, update, delete"),
    ({"policy": Wants}, "Wants.list takes 'obj', which does not exist there"),
    ({"policy": Async, "sync": True}, "Async.every is `async def`, and the resource is sync=True"),
    ({"idempotency": True}, "resource(Article): idempotency=True does not say whose a key is"),
    ({"idempotency": Async().every, "sync": True}, "resource(Article).idempotency is `async def`, and the resource"),
    ({"idempotency": lambda obj: obj.id}, "resource(Article).idempotency takes 'obj', which does not exist there"),
]


@pytest.mark.parametrize(("options", "text"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_a_wrong_declaration_is_an_error_at_the_start(options: dict[str, Any], text: str) -> None:
    app = App(plugins=[Database("sqlite://")])
    app.include(resource(Article, **options))
    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    assert text in str(caught.value)
    assert "test_resources_lists.py" in caught.value.problems[0].where


def test_a_format_that_there_is_not_is_one_problem() -> None:
    app = App(plugins=[Database("sqlite://")])
    app.include(resource(Article, produces=("json", "cvs"), accepts=("json", "cvs")))
    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    [problem] = caught.value.problems
    assert problem.message.startswith("resource(Article): there is no media type 'cvs'; there are json, ")
    assert problem.fix == "did you mean 'csv'?"
    assert problem.where == f"{__file__}:{test_a_format_that_there_is_not_is_one_problem.__code__.co_firstlineno + 2}"


@pytest.mark.parametrize("sync", [False, True])
async def test_the_statements_of_a_resource_are_those_of_its_declaration(database: Database, sync: bool) -> None:
    app = App(plugins=[database])
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    app.include(
        resource(Tag, produces=("json", "html"), policy=Open, sync=sync),
    )
    async with AsyncClient(app, headers={"accept": "application/json"}) as client:
        with capture_queries() as found:
            path = (await client.post("/tag", json={"name": "a"})).headers["location"]
            await client.get(path)
            await client.get("/tag?total=true")
            await client.patch(path, json={"name": "b"})
            await client.delete(path)
    assert {event.source for event in found} == {f"{__file__}:{line + 1}"}


def test_everything_that_is_wrong_is_told_together() -> None:
    app = App(plugins=[Database("sqlite://")])
    app.include(resource(Article, filters=["nope"], sorts=["nope"], policy=Misspelled))
    app.include(resource(Tag, search=["id"]))
    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    assert len(caught.value.problems) == 4
