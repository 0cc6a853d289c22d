"""The HTML pages of resources: lists, rows, and forms that keep what was typed."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta
from sqlalchemy import select

from quintet import App
from quintet.db import Database, Mapped, Model, Precision, Session, View, column, primary_key
from quintet.db.mixins import utc_now
from quintet.resources import resource
from quintet.testing import AsyncClient
from tests.integration.browser import Browser, find_chromium
from tests.integration.db import blog
from tests.integration.db.blog import Article, User
from tests.integration.db.test_mixins import Note, Notes

JSON = {"accept": "application/json"}
HTML = {"accept": "text/html", "origin": "https://testserver", "sec-fetch-site": "same-origin"}
FORMATS = ("html", "json", "csv")


class Hooks:
    async def before_create(self, obj: Article, db: Session) -> None:
        obj.author = await db.one(select(User).order_by(User.id).limit(1))


def make_app(database: Database, templates: Path | None = None) -> App:
    app = App(plugins=[database], templates=templates)
    app.include(resource(User, filters={"name": ["contains"]}, sorts=["name"], produces=FORMATS))
    options: dict[str, Any] = {
        "search": ["title"],
        "filters": ["author", "published_at"],
        "sorts": ["title"],
        "pagination": "cursor",
        "size": 2,
    }
    app.include(resource(Article, key="slug", hooks=Hooks, view=View("author"), produces=FORMATS, **options))
    app.include(resource(Note, only=["read", "update", "delete"], produces=FORMATS))
    return app


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database, None]:
    database = Database(f"sqlite:///{tmp_path}/pages.db")
    await database.create_all(blog.Blog)
    await database.create_all(Notes)
    async with database.session() as db:
        db.add_all([User(name="Ada"), User(name="<b>Bo</b>"), Note(text="one")])
    yield database
    await database.dispose()


@pytest.fixture
async def client(database: Database) -> AsyncGenerator[AsyncClient, None]:
    async with AsyncClient(make_app(database), headers=HTML, follow_redirects=False) as client:
        for slug in ("a", "b", "c"):
            row = {"slug": slug, "title": f"Title {slug}", "body": "b"}
            assert (await client.post("/article", json=row, headers=JSON)).status_code == 201
        yield client


async def test_a_list_is_a_page_or_data_as_the_client_likes(client: AsyncClient) -> None:
    page = await client.get("/user")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "accept"
    assert "&lt;b&gt;Bo&lt;/b&gt;" in page.text
    assert "<b>Bo" not in page.text
    assert (await client.get("/user", headers=JSON)).json()["items"][0]["name"] == "Ada"
    assert (await client.get("/user", headers={"accept": "text/csv"})).text.startswith("id,name,is_staff\r\n")
    assert (await client.get("/user", headers={"accept": "image/png"})).status_code == 406


async def test_a_list_links_to_its_order_its_parts_and_its_rows(client: AsyncClient) -> None:
    page = (await client.get("/article?sort=title")).text
    assert 'aria-sort="ascending"><a href="/article?sort=-title">Title</a>' in page
    assert '<a href="/article/a">' in page
    following = page.split('rel="next"')[0].rpartition('href="')[2].split('"')[0].replace("&amp;", "&")
    assert "Title c" in (await client.get(following)).text


async def test_a_form_creates_and_shows_what_is_wrong_with_what_was_typed(client: AsyncClient) -> None:
    form = await client.get("/article/-/new")
    assert 'name="title" type="text" value="" minlength="1" maxlength="120" required' in form.text
    assert "author" not in form.text
    wrong = {"slug": "NO", "title": "<i>", "body": "kept", "published_at": ""}
    answer = await client.post("/article/-/new", data=wrong)
    assert answer.status_code == 422
    assert 'value="NO"' in answer.text
    assert 'value="&lt;i&gt;"' in answer.text
    assert "kept</textarea>" in answer.text
    assert "The text does not have the expected form." in answer.text
    taken = await client.post("/article/-/new", data={**wrong, "slug": "a"})
    assert (taken.status_code, "This is taken already." in taken.text) == (422, True)
    made = await client.post("/article/-/new", data={**wrong, "slug": "new"})
    assert (made.status_code, made.headers["location"]) == (303, "/article/new")
    assert (await client.get("/article/new", headers=JSON)).json()["author"]["name"] == "Ada"


async def test_a_form_takes_no_more_than_json_does(client: AsyncClient) -> None:
    row = {"slug": "x", "title": "T", "body": "b"}
    for name in ("id", "author_id", "moderation_note"):
        assert (await client.post("/article/-/new", data={**row, name: "1"})).status_code == 422
        assert (await client.post("/article/a/edit", data={**row, name: "1"})).status_code == 422
    assert (await client.get("/article/x")).status_code == 404


async def test_a_form_of_another_site_is_refused(client: AsyncClient) -> None:
    other = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert (await client.post("/article/a/delete", data={"version": ""}, headers=other)).status_code == 403
    assert (await client.get("/article/a")).status_code == 200


async def test_a_form_changes_a_row_and_empties_what_may_be_empty(client: AsyncClient) -> None:
    moment = "2026-01-31T12:00:00Z"
    row = {"slug": "a", "title": "New", "body": "b", "published_at": moment}
    assert (await client.post("/article/a/edit", data=row)).status_code == 303
    assert (await client.get("/article/a", headers=JSON)).json()["published_at"] == moment
    assert f'value="{moment}"' in (await client.get("/article/a/edit")).text
    assert (await client.post("/article/a/edit", data={**row, "published_at": ""})).status_code == 303
    assert (await client.get("/article/a", headers=JSON)).json()["published_at"] is None
    assert (await client.post("/article/a/edit", data={**row, "title": ""})).status_code == 422
    assert (await client.post("/article/a/edit", data={**row, "slug": "b"})).status_code == 422
    assert (await client.get("/article/a", headers=JSON)).json()["title"] == "New"


async def test_a_form_does_not_overwrite_what_another_has_changed(client: AsyncClient) -> None:
    assert 'name="version" value="1"' in (await client.get("/note/1/edit")).text
    assert (await client.post("/note/1/edit", data={"text": "two", "version": "1"})).status_code == 303
    late = await client.post("/note/1/edit", data={"text": "three", "version": "1"})
    assert (late.status_code, "three" in late.text) == (422, True)
    assert "this was changed by someone else meanwhile" in late.text
    assert (await client.post("/note/1/delete", data={"version": "1"})).status_code == 409
    assert (await client.post("/note/1/delete", data={"version": "2"})).status_code == 303


async def test_a_row_goes_after_a_question(client: AsyncClient) -> None:
    assert "Delete Title a?" in (await client.get("/article/a/delete")).text
    gone = await client.post(
        "/article/a/delete", content="", headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert (gone.status_code, gone.headers["location"]) == (303, "/article")
    assert (await client.get("/article/a")).status_code == 404
    assert (await client.get("/article/a/edit")).status_code == 404


async def test_only_what_the_resource_does_has_a_page(client: AsyncClient) -> None:
    assert (await client.get("/note")).status_code == 404
    assert (await client.get("/note/new")).status_code == 404


async def test_an_apps_own_templates_come_first(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    (folder / "resources" / "article").mkdir(parents=True)
    (folder / "resources" / "article" / "list.html").write_text(
        "Mine: {% for row in items %}{{ row.title }}{% endfor %}"
    )
    (folder / "resources" / "base.html").write_text("<main>Ours{% block content %}{% endblock %}</main>")
    async with AsyncClient(make_app(database, folder), headers=HTML) as client:
        await client.post("/article", json={"slug": "a", "title": "T", "body": "b"}, headers=JSON)
        assert (await client.get("/article")).text == "Mine: T"
        assert (await client.get("/user")).text.startswith("<main>Ours")


async def test_the_pages_work_in_a_browser(database: Database, tmp_path: Path) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("there is no Chromium")
    from quintet.testing import live_server

    with live_server(make_app(database)) as url:
        browser = Browser(chromium)
        try:
            for slug, title in (("first", "First"), ("second", "Second")):
                browser.open(f"{url}/article/-/new")
                browser.evaluate(f"field = n => document.querySelector(`[name=${{n}}]`), field('slug').value='{slug}'")
                browser.evaluate(f"field('title').value='{title}', document.querySelector('button').click()")
                browser.wait(f"document.title === '{title}'")
            browser.open(f"{url}/article?sort=-title")
            titles = "[...document.querySelectorAll('tbody tr td:nth-child(3)')].map(e => e.innerText).join()"
            assert browser.evaluate(titles) == "Second,First"
            browser.evaluate("document.querySelector('[name=q]').value='fir', document.querySelector('form').submit()")
            browser.wait(f"location.search.includes('q=fir') && {titles} === 'First'")
            browser.open(f"{url}/article/first/delete")
            browser.evaluate("document.querySelector('button').click()")
            browser.wait(f"location.pathname === '/article' && {titles} === 'Second'")
            assert browser.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "1152px"
            assert [line for line in browser.log if "favicon" not in line] == []
        finally:
            browser.close()


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Choices(Model, database="default"):
    """The base of the model whose columns have defaults."""


class Choice(Choices):
    id: Mapped[int] = primary_key()
    kind: Mapped[Literal["book", "tool"]] = column(default="tool")
    colour: Mapped[Colour] = column(default=Colour.BLUE)
    pieces: Mapped[int] = column(default=5)
    price: Mapped[Annotated[Decimal, Precision.of(6, 2)]] = column(default=Decimal("1.50"))
    is_new: Mapped[bool] = column(default=True)
    is_good: Mapped[bool | None] = column(default=False)
    note: Mapped[Annotated[str, Meta(max_length=20)] | None] = column(default='"')
    day: Mapped[date] = column(default=date(2026, 1, 2))
    made_at: Mapped[datetime] = column(default=utc_now)
    count: Mapped[int] = column(server_default="3", input=True)


async def test_a_form_for_a_new_row_begins_with_its_defaults(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/choices.db")
    await database.create_all(Choices)
    app = App(plugins=[database])
    app.include(resource(Choice, produces=FORMATS))
    async with AsyncClient(app, headers=HTML, follow_redirects=False) as client:

        async def post(**values: str) -> dict[str, Any]:
            made = await client.post("/choice/new", data=values)
            assert made.status_code == 303, made.text
            return (await client.get(made.headers["location"], headers=JSON)).json()

        page = (await client.get("/choice/new")).text
        for text in (
            '<option value="tool" selected>',
            '<option value="blue" selected>',
            'name="pieces" type="number" value="5"',
            'name="price" type="number" value="1.50"',
            'name="is_new" type="checkbox" value="true" checked',
            '<option value="false" selected>No',
            'name="note" type="text" value="&#34;"',
            'name="day" type="date" value="2026-01-02"',
            'name="made_at" type="text" value=""',  # that of the page would be past when it is sent
            'name="count" type="number" value=""',
        ):
            assert text in page
        seen = {"kind": "tool", "colour": "blue", "pieces": "5", "price": "1.50", "is_new": "true", "is_good": "false"}
        row = await post(**seen, note='"', day="2026-01-02", made_at="", count="")
        names = ("kind", "colour", "pieces", "price", "is_new", "is_good", "note", "day", "count")
        assert [row[n] for n in names] == ["tool", "blue", 5, "1.50", True, False, '"', "2026-01-02", 3]
        taken_away = await post(pieces="", is_good="", note="")
        assert [taken_away[n] for n in ("pieces", "is_new", "is_good", "note")] == [5, False, None, None]
        wrong = await client.post("/choice/new", data={"pieces": "x", "kind": "book"})
        assert '<option value="book" selected>' in wrong.text
        assert 'name="pieces" type="number" value="x"' in wrong.text
    await database.dispose()
