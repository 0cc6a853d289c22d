"""docs/explanation/robustness.md against the tests it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "explanation" / "robustness.md").read_text()
ROWS = re.findall(r"^\| ([A-Z]\d+(?:, [A-Z]\d+)*) \|.*`([\w/]+\.py)::(test_\w+)` \|$", PAGE, re.MULTILINE)


def file_of(name: str) -> Path:
    """Return a file of tests; the page leaves out the folder that most are in."""
    return next(path for path in (TESTS / "integration" / name, TESTS / name) if path.exists())


def test_every_row_of_a_table_is_read() -> None:
    assert len(ROWS) == len(re.findall(r"^\| [A-Z]\d", PAGE, re.MULTILINE)) > 50


@pytest.mark.parametrize(("rows", "file", "name"), ROWS, ids=[row[0] for row in ROWS])
def test_the_tests_of_a_row_exist(rows: str, file: str, name: str) -> None:
    text = file_of(file).read_text()
    assert re.search(rf"^(async )?def {name}", text, re.MULTILINE), f"{file} has no {name}…"
    for row in rows.split(", "):
        assert re.search(rf"^(async )?def test_\w*{row}_", text, re.MULTILINE | re.IGNORECASE), (
            f"{file} has no test of {row}"
        )


def test_every_row_that_is_tested_is_on_the_page() -> None:
    listed = {row for rows, _, _ in ROWS for row in rows.split(", ")}
    for name in (
        "integration/security/test_rows_a.py",
        "faults/test_faults.py",
        "integration/security/test_smuggling.py",
    ):
        for names in re.findall(r"^def test_((?:[A-Z]\d+_)+)", (TESTS / name).read_text(), re.MULTILINE):
            assert set(names.strip("_").split("_")) <= listed, f"{name}: {names} is not on the page"


@pytest.mark.parametrize("name", re.findall(r"`(unit/[\w/]+\.py)`", PAGE))
def test_files_in_the_text_exist(name: str) -> None:
    assert (TESTS / name).exists()
