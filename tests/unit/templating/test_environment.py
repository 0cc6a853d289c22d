from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from quintet.templating import Templates, build_environment

HOSTILE = "<script>'\"` onx= </textarea>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "templates" / "sub").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "templates" / "page.html").write_text("<p>{{ name }}</p>")
    (tmp_path / "templates" / "sub" / "part.html").write_text("part")
    return tmp_path / "templates"


@pytest.mark.parametrize("extension", ["html", "htm", "xml", "svg", "txt", "jinja", "js", "unknown", ""])
def test_e1_every_extension_is_escaped(tmp_path: Path, extension: str) -> None:
    (tmp_path / f"t.{extension}").write_text("<p title='{{ v }}'>{{ v }}</p>")
    out = Templates(tmp_path).render(f"t.{extension}", {"v": HOSTILE})
    assert "<script>" not in out
    assert "</textarea>" not in out
    assert out.count("'") == 2


def test_e1_templates_from_strings_are_escaped(tmp_path: Path) -> None:
    assert Templates(tmp_path).render_string("{{ v }}", {"v": "<b>"}) == "&lt;b&gt;"


def test_e2_attribute_names_with_markup_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        Templates(tmp_path).render_string("<p{{ {k: 1}|xmlattr }}>", {"k": "a b"})


def test_e6_data_is_never_a_template(folder: Path) -> None:
    out = Templates(folder).render("page.html", {"name": "{{7*7}}{% debug %}{{ ''.__class__ }}"})
    assert "{{7*7}}{% debug %}{{ &#39;&#39;.__class__ }}" in out


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt", "sub/../../secret.txt", "/etc/passwd", "..\\secret.txt", "sub\\part.html", "C:/x", "//host/x",
        "", ".", "./page.html", "sub//part.html", "page.html\x00", "page\n.html", "x" * 5000, "{__import__('os')}",
        "'+x+'", "page.html\u2028",
    ],
)  # fmt: skip
def test_e12_names_outside_of_the_folders_are_not_found(folder: Path, name: str) -> None:
    templates = Templates(folder)
    with pytest.raises(TemplateNotFound):
        templates.render(name)
    with pytest.raises(TemplateNotFound):
        templates.render_string("{% include n %}", {"n": name})


def test_a_missing_template_lists_the_folders_and_a_near_name(folder: Path, tmp_path: Path) -> None:
    templates = Templates([folder, tmp_path / "absent"], development=True)
    with pytest.raises(TemplateNotFound) as caught:
        templates.render("pages.html")
    message = str(caught.value)
    assert str(folder) in message
    assert f"{tmp_path / 'absent'} (no such folder)" in message
    assert "did you mean 'page.html'?" in message


def test_undefined_is_an_error_in_development_only(folder: Path) -> None:
    assert Templates(folder).render("page.html") == "<p></p>"
    with pytest.raises(UndefinedError, match="'name' is undefined"):
        Templates(folder, development=True).render("page.html")


def test_globals_are_known_to_imported_templates(tmp_path: Path) -> None:
    (tmp_path / "m.html").write_text("{% macro m() %}{{ site }}{% endmacro %}")
    (tmp_path / "p.html").write_text("{% import 'm.html' as m %}{{ m.m() }}")
    assert Templates(tmp_path, globals={"site": "Q&A"}).render("p.html") == "Q&amp;A"


def test_folders_are_searched_in_order(folder: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "page.html").write_text("mine")
    templates = Templates([str(first), folder])
    assert templates.render("page.html") == "mine"
    assert templates.render("sub/part.html") == "part"


def test_changed_files_are_read_again_in_development(folder: Path) -> None:
    import os

    templates, fixed = Templates(folder, development=True), Templates(folder)
    assert templates.render("page.html", {"name": 1}) == fixed.render("page.html", {"name": 1}) == "<p>1</p>"
    (folder / "page.html").write_text("new")
    os.utime(folder / "page.html", (1, 1))
    assert templates.render("page.html") == "new"
    assert fixed.render("page.html", {"name": 1}) == "<p>1</p>"


def test_importing_the_package_does_not_load_jinja() -> None:
    code = "import sys, quintet.templating; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_build_environment_needs_nothing_but_a_folder(tmp_path: Path) -> None:
    assert build_environment(tmp_path).from_string("{{ 1 }}").render() == "1"
