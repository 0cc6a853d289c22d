"""What handlers are compiled against: providers by type, and templates that answer HTML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NewType

import pytest

from quintet import HTML, App, Depends, Struct, Template
from quintet.errors import ConfigurationError
from quintet.handlers.services import template_values
from quintet.testing import Client


class Item(Struct):
    name: str
    price: int = 1


@dataclass
class Plain:
    name: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "item.html").write_text("{{ name }}|{{ data.price }}|{{ request.path }}")
    (tmp_path / "data.html").write_text("{{ data }}")
    (tmp_path / "parts.html").write_text("head {% block row %}<b>{{ n }}</b>{% endblock %} tail")
    return tmp_path


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (Item(name="a"), {"name": "a", "price": 1}),
        (Plain("a"), {"name": "a"}),
        ({"x": 1, 2: "two"}, {"x": 1, "2": "two"}),
        ([1, 2], {}),
        (None, {}),
    ],
)
def test_a_template_sees_the_fields_of_a_result_and_all_of_it(value: Any, names: dict[str, Any]) -> None:
    assert template_values(value) == {**names, "data": value}


def test_a_template_renders_a_result_with_the_request_at_hand(folder: Path) -> None:
    app = App(docs=False, templates=folder)

    @app.get("/item", template="item.html")
    async def item() -> Item:
        return Item(name="<a>")

    @app.get("/list", template="data.html", produces=("html",))
    def items() -> list[Item]:
        return [Item(name="a")]

    @app.get("/none", template="data.html")
    async def nothing() -> None: ...

    with Client(app, headers={"accept": "text/html"}) as client:
        assert client.get("/item").text == "&lt;a&gt;|1|/item"
        assert "Item(name=" in client.get("/list").text
        assert client.get("/none").text == "None"


def test_a_block_of_a_template_is_a_fragment(folder: Path) -> None:
    app = App(docs=False, templates=folder)

    @app.get("/")
    async def row(n: int, whole: bool = False) -> Template:
        return Template("parts.html", n=n) if whole else Template("parts.html", block="row", n=n)

    with Client(app) as client:
        assert client.get("/?n=5").text == "<b>5</b>"
        assert client.get("/?n=5&whole=1").text == "head <b>5</b> tail"
        assert client.get("/?n=5").headers["content-type"] == "text/html; charset=utf-8"


def test_html_and_templates_are_alternatives_to_data(folder: Path) -> None:
    app = App(docs=False, templates=folder)

    @app.get("/")
    async def mixed(kind: str) -> Item | HTML | Template:
        if kind == "item":
            return Item(name="a")
        return HTML("<i>") if kind == "html" else Template("data.html", data=1)

    with Client(app) as client:
        answers = {kind: client.get(f"/?kind={kind}") for kind in ("item", "html", "template")}
    assert {kind: answer.text for kind, answer in answers.items()} == {
        "item": '{"name":"a","price":1}',
        "html": "<i>",
        "template": "1",
    }
    assert answers["html"].headers["content-type"] == answers["template"].headers["content-type"]


def test_a_template_without_a_folder_says_what_to_write() -> None:
    app = App(docs=False)

    @app.get("/")
    async def page() -> Template:
        return Template("page.html")

    with Client(app) as client, pytest.raises(ConfigurationError) as error:
        client.get("/")
    (problem,) = error.value.problems
    assert (problem.id, problem.fix) == ("templates.none", 'write App(templates="templates"), naming the folder')


def test_a_folder_of_templates_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        App(templates=tmp_path / "missing")
    assert error.value.problems[0].id == "templates.folder"


def test_a_type_is_provided_by_the_last_who_says_so() -> None:
    UserId = NewType("UserId", int)
    app = App(docs=False)
    app.provide(UserId, lambda: 1)
    app.provide(UserId, lambda: 2)

    async def handler(user: Any) -> int:
        return user

    handler.__annotations__["user"] = UserId
    app.get("/")(handler)
    with Client(app) as client:
        assert client.get("/").json() == 2


def test_a_provider_may_need_what_others_provide() -> None:
    class Settings:
        name = "main"

    class Database:
        def __init__(self, settings: Settings) -> None:
            self.name = settings.name

    async def open_database(settings: Any, replica: str = "") -> Database:
        database = Database(settings)
        database.name += replica
        return database

    open_database.__annotations__["settings"] = Settings
    app = App(docs=False)
    app.provide_value(Settings, Settings())
    app.provide(Database, open_database)

    @app.get("/")
    async def handler(db: Database) -> str:
        return db.name

    with Client(app) as client:
        assert client.get("/?replica=2").text == "main2"


def test_a_dependency_is_shown_by_its_name() -> None:
    def current_user() -> None: ...

    assert repr(Depends(current_user)).endswith("current_user)")
