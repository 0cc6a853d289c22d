"""What the page on the command line shows is what the commands print."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "docs"


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("routes", "routes.txt"),
        ("explain POST /notes", "explain.txt"),
        ("search milk --stars 1", "search.txt"),
    ],
)
def test_commands_print_what_is_shown(command: str, output: str) -> None:
    assert (
        f'$ quintet {command}\n--8<-- "examples/docs/output/{output}"'
        in (ROOT / "docs" / "how-to" / "command-line.md").read_text()
    )
    done = subprocess.run(
        [sys.executable, "-m", "quintet", *shlex.split(command)],
        cwd=EXAMPLES / "command_line",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (EXAMPLES / "output" / output).read_text()
