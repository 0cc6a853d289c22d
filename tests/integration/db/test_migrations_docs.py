"""The page on migrations: its commands print what it shows. `UPDATE_DOCS=1` writes it anew."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.integration.command import QUINTET

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "how-to" / "migrations.md"
_PART = re.compile(
    r'--8<-- "(?P<file>examples/docs/migrations/[\w/]+\.py)"|```console\n\$ (?P<command>.*)\n(?P<output>(?:.*\n)*?)```'
)


def _alike(text: str) -> str:
    """Leave out what is another one each time: ids and dates."""
    return re.sub(r"\b\d{8}_\d{6}", "DATE", re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{8}\b", "ID", text))


def test_the_commands_on_the_page_print_what_it_shows(tmp_path: Path) -> None:
    text = PAGE.read_text()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("QUINTET_", "DATABASE_"))}
    environment["PATH"] = f"{QUINTET.parent}:{environment['PATH']}"
    pieces: list[str] = []
    end = 0
    commands = 0
    for match in _PART.finditer(text):
        if match["file"]:
            shutil.copy(ROOT / match["file"], tmp_path / "app.py")
            continue
        commands += 1
        done = subprocess.run(
            match["command"], shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        found = done.stdout + done.stderr
        if os.environ.get("UPDATE_DOCS"):
            if _alike(found) != _alike(match["output"]):
                pieces += [text[end : match.start()], f"```console\n$ {match['command']}\n{found}```"]
                end = match.end()
        else:
            assert _alike(found) == _alike(match["output"]), match["command"]
    if pieces:
        PAGE.write_text("".join(pieces) + text[end:])
    assert commands == 11
