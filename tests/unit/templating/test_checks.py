from __future__ import annotations

from pathlib import Path

from quintet.errors import Problem
from quintet.templating import Templates, build_environment, check_templates


def problems(folder: Path, **files: str) -> list[Problem]:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return Templates(folder, globals={"url_for": lambda name: name}).check()


def test_good_templates_have_no_problem(tmp_path: Path) -> None:
    assert (
        problems(
            tmp_path,
            base_html="{% block a %}{% endblock %}",
            page_html="{% extends 'base.html' %}{% block a %}{{ url_for('x') }}{{ rows()|upper }}{% endblock %}",
            some_html="{% include x %}{% include 'absent.html' ignore missing %}{% include ['no.html', 'base.html'] %}",
            logo_png="{% broken",
        )
        == []
    )


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, page_html="one\n{% if %}\n")
    assert found.id == "templates.syntax"
    assert found.where == f"{tmp_path / 'page.html'}:2"


def test_all_problems_are_found_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        a_html="{{ x|uper }}\n{{ x is evn }}\n{% include 'b.htm' %}\n{% import 'gone.html' as g %}{{ url_fro('x') }}",
        b_html="{% extends 'a.htm' %}",
    )
    assert [(p.id, p.where.rpartition("/")[2]) for p in found] == [
        ("templates.unknown-filter", "a.html:1"),
        ("templates.unknown-test", "a.html:2"),
        ("templates.missing", "a.html:3"),
        ("templates.missing", "a.html:4"),
        ("templates.unknown-global", "a.html:4"),
        ("templates.missing", "b.html:1"),
    ]
    assert "did you mean 'upper'?" in found[0].fix
    assert "did you mean 'b.html'?" in found[2].fix
    assert "did you mean 'url_for'?" in found[4].fix


def test_what_only_the_compiler_sees_is_found(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, a_html="{% block a %}{% endblock %}\n{% block a %}{% endblock %}")
    assert found.where.endswith("a.html:2")
    assert "defined twice" in found.message


def test_a_name_that_handlers_pass_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("{{ url_fro('x') }}")
    environment = build_environment(tmp_path, globals={"url_for": str})
    assert check_templates(environment, context={"url_fro"}) == []


def test_a_file_that_is_not_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"\xff\xfe")
    (found,) = problems(tmp_path)
    assert found.id == "templates.unreadable"
