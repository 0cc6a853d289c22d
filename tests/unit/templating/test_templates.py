from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound

from quintet.templating import BlockNotFound, Templates

FILES = {
    "base.html": "<!doctype html>{{ loud }}{% block head %}<h1>{{ title }}</h1>{% endblock %}"
    "{% block body %}base{% endblock %}",
    "page.html": "{% extends 'base.html' %}{% from 'macros.html' import mark %}{% set suffix = '!' %}"
    "{% block body %}{{ super() }} {{ mark(name) }}{{ suffix }}{% endblock %}",
    "deep.html": "{% extends 'page.html' %}{% block head %}<h2>{{ super() }}</h2>{% endblock %}",
    "macros.html": "{% macro mark(v) %}<mark>{{ v }}</mark>{% endmacro %}",
    "plain.html": "{% block one %}1{% endblock %}",
    "await.html": "{% extends 'abase.html' %}{% block b %}{{ fetch() }}{% endblock %}",
    "abase.html": "[{% block b %}{% endblock %}{% for x in rows() %}{{ x }}{% endfor %}]",
    "broken.html": "line one\n{% if x %}\n  {{ 1 // zero }}\n{% endif %}\n",
    "syntax.html": "line one\n{% if x %}\n  {{ x | }}\n{% endif %}\n",
}


@pytest.fixture(params=[False, True], ids=["production", "development"])
def templates(request: pytest.FixtureRequest, tmp_path: Path) -> Templates:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return Templates(tmp_path, development=request.param)


def test_a_page_is_rendered_with_its_parents(templates: Templates) -> None:
    out = templates.render("page.html", {"title": "T", "name": "<x>", "loud": ""})
    assert out == "<!doctype html><h1>T</h1>base <mark>&lt;x&gt;</mark>!"


def test_a_block_is_rendered_alone(templates: Templates) -> None:
    # `loud` and `title` are needed by the page around the block only, and StrictUndefined would object.
    assert templates.render("page.html", {"name": "n"}, block="body") == "base <mark>n</mark>!"


def test_a_block_of_a_parent_is_found(templates: Templates) -> None:
    assert templates.render("page.html", {"title": "T"}, block="head") == "<h1>T</h1>"
    assert templates.render("deep.html", {"title": "T"}, block="head") == "<h2><h1>T</h1></h2>"
    assert templates.render("deep.html", {"name": "n"}, block="body") == "base <mark>n</mark>!"
    assert templates.render("plain.html", block="one") == "1"


def test_an_unknown_block_names_the_known_ones(templates: Templates) -> None:
    with pytest.raises(BlockNotFound, match=r"did you mean 'body'.*body, head"):
        templates.render("page.html", {}, block="bodi")


@pytest.mark.asyncio
async def test_templates_that_await_have_their_own_environment(templates: Templates) -> None:
    async def fetch() -> str:
        return "<fetched>"

    async def rows() -> AsyncIterator[str]:
        for x in "ab":
            yield x

    context = {"fetch": fetch, "rows": rows}
    assert await templates.render_async("await.html", context) == "[&lt;fetched&gt;ab]"
    assert await templates.render_async("await.html", context, block="b") == "&lt;fetched&gt;"
    with pytest.raises(BlockNotFound):
        await templates.render_async("await.html", context, block="c")


@pytest.mark.asyncio
async def test_both_environments_share_globals_and_filters(templates: Templates) -> None:
    _ = templates.async_environment
    templates.add_global("site", "S")
    templates.add_filter("double", lambda v: v * 2)
    (Path(templates.environment.loader.searchpath[0]) / "g.html").write_text("{{ site|double }}")  # type: ignore[union-attr]
    assert templates.render("g.html") == await templates.render_async("g.html") == "SS"


@pytest.mark.parametrize("block", [None, "b"])
def test_an_error_shows_the_line_of_the_template(tmp_path: Path, block: str | None) -> None:
    (tmp_path / "broken.html").write_text("one\n{% block b %}\n  {{ 1 // zero }}\n{% endblock %}\n")
    with pytest.raises(ZeroDivisionError) as caught:
        Templates(tmp_path).render("broken.html", {"zero": 0}, block=block)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename == str(tmp_path / "broken.html")
    assert last.lineno == 3
    assert last.line == "{{ 1 // zero }}"


@pytest.mark.asyncio
async def test_an_error_in_an_async_template_shows_its_line(templates: Templates) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await templates.render_async("broken.html", {"zero": 0, "x": 1})
    assert traceback.extract_tb(caught.value.__traceback__)[-1].lineno == 3


def test_a_syntax_error_shows_the_line_of_the_template(templates: Templates) -> None:
    with pytest.raises(Exception, match=r"[Ee]xpected|unexpected") as caught:
        templates.render("syntax.html")
    assert getattr(caught.value, "lineno", None) == 3


def test_not_found_is_raised_each_time(templates: Templates) -> None:
    for _ in range(2):
        with pytest.raises(TemplateNotFound):
            templates.render("absent.html")
