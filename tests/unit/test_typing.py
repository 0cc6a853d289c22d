"""What type checkers tell a user, about right code and wrong.

A line of `tests/typing` that is wrong on purpose says so with `# type: ignore[code]`; both checkers report such a
comment where there is nothing to ignore.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "typing").glob("*.py"))


@pytest.mark.slow
def test_basedpyright_finds_what_is_wrong_and_no_more() -> None:
    command = [sys.executable, "-m", "basedpyright", "--outputjson", *map(str, FILES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = [
        f"{Path(d['file']).name}:{d['range']['start']['line'] + 1}: {d['message']}"
        for d in json.loads(done.stdout)["generalDiagnostics"]
    ]
    assert found == []


@pytest.mark.slow
def test_mypy_finds_what_is_wrong_and_no_more() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, FILES)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_file_has_both_checkers_report_what_is_not_needed() -> None:
    missing = [
        f.name
        for f in FILES
        if "type: ignore" in f.read_text() and "reportUnnecessaryTypeIgnoreComment=true" not in f.read_text()
    ]
    assert missing == []
