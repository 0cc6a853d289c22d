from __future__ import annotations

from pathlib import Path

from quintet import App


def test_a_template_that_a_route_names_and_nobody_wrote_is_found_by_the_check(tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text("x")
    app = App(templates=tmp_path)

    @app.get("/there", template="there.html")
    async def there() -> dict[str, int]:
        return {}

    @app.get("/gone", template="gone.html")
    async def gone() -> dict[str, int]:
        return {}

    _ = app.dispatcher
    problems = [problem for check in app.checks for problem in check()]
    assert [p.id for p in problems] == ["templates.missing"]
    assert "'gone.html'" in problems[0].message
    assert problems[0].where.startswith(__file__)
