"""The tutorial of the helpdesk, followed to the letter: in an empty folder, on each database.

What a page includes is saved under its name; blocks of `console` are typed, blocks of `http` are sent to what
`quintet dev` serves. On SQLite the answers are those of the page; elsewhere the migrations have to work, and requests
are answered alike. `UPDATE_DOCS=1` writes the pages anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.integration.command import QUINTET, Command
from tests.integration.own_database import KINDS, own_database
from tests.integration.transcripts import DOCS, ROOT, UPDATE, agree, parse, write

PAGES = sorted((DOCS / "tutorial" / "helpdesk").glob("[0-9]-*.md"))
CODE = "examples/docs/helpdesk/"
_PART = re.compile(
    rf'--8<-- "{CODE}\w+/(?P<file>[\w./]+?)(?::\w+)?"'
    r"|```console\n(?P<console>.*?)```"
    r"|```http\n(?P<http>.*?)```",
    re.DOTALL,
)
_FOLDER = re.compile(rf"{CODE}\w+/")
#: What a reader does on their own machine.
_ELSEWHERE = re.compile(r"^\$ (mkdir|pip install|export|quintet dev|quintet run)", re.MULTILINE)
#: Where that machine has it.
HOME = "/home/ada/helpdesk"


class Reader:
    """Someone who follows the tutorial."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("QUINTET_", "DATABASE_"))}
        self.env["PATH"] = f"{QUINTET.parent}:{self.env['PATH']}"
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"  # a file that is replaced within a second is read anew
        # The reader has no more than the page installs.
        self.env["PYTEST_ADDOPTS"] = "-p no:asyncio -p no:faker -p no:schemathesis -p no:hypothesispytest"
        self.more = {} if url is None else {"DATABASE_URL": url}
        self.server: Command | None = None

    def save(self, source: Path, name: str) -> None:
        target = self.folder / name
        if target.exists() and target.read_bytes() == source.read_bytes():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        self.stop()

    def type(self, command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.env | self.more,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return (done.stdout + done.stderr).replace(str(self.folder), HOME)

    def ask(self, text: str) -> tuple[bool, str]:
        """Send what a block asks; return whether it is answered as the block says, and the block as it should be."""
        if self.server is None:
            self.server = Command("dev", "--no-reload", folder=self.folder, env=self.more)
            self.server.__enter__()
        block = parse(text)
        found = self.server.client.request(
            block.method, block.target, headers=block.headers, content=block.body.encode() or None
        )
        return agree(block, found), write(text, "", block, found)

    def stop(self) -> None:
        if self.server is not None:
            self.server.__exit__()
            self.server = None


@pytest.mark.parametrize("kind", KINDS)
def test_the_tutorial_of_the_helpdesk_works_as_it_reads(
    kind: str, require_service: Callable[[str], tuple[str, int]], tmp_path: Path
) -> None:
    assert len(PAGES) == 4
    with own_database(kind, require_service, tmp_path) as url:
        reader = Reader(tmp_path / "helpdesk", None if kind == "sqlite" else url)
        reader.folder.mkdir()
        try:
            for page in PAGES:
                _follow(reader, page, exact=kind == "sqlite")
        finally:
            reader.stop()


def test_the_first_models_are_fifteen_lines() -> None:
    assert len((ROOT / CODE / "first" / "models.py").read_text().splitlines()) <= 15


def _follow(reader: Reader, page: Path, *, exact: bool) -> None:
    text = page.read_text()
    pieces: list[str] = []
    end = 0
    for match in _PART.finditer(text):
        if match["file"]:
            folder = _FOLDER.search(match[0])
            assert folder is not None
            reader.save(ROOT / folder[0] / match["file"], match["file"])
            continue
        kind = "console" if match["console"] is not None else "http"
        said = match[kind]
        if kind == "http":
            right, found = reader.ask(said)
        else:
            found = _type_all(reader, said) if exact else _migrate(reader, said)
            right = _alike(found) == _alike(said) if exact else not found
        if not right and not (UPDATE and exact):
            pytest.fail(f"{page.name}: this was answered:\n{found}\nand the page has:\n{said}")
        if not right:
            pieces += [text[end : match.start(kind)], found]
            end = match.end(kind)
    if pieces:
        page.write_text("".join(pieces) + text[end:])


def _type_all(reader: Reader, block: str) -> str:
    """Type the commands of a block; return it with what they printed."""
    lines = block.splitlines(keepends=True)
    if _ELSEWHERE.search(block):
        return block
    return "".join(f"{line}{reader.type(line[2:])}" for line in lines if line.startswith("$ "))


def _migrate(reader: Reader, block: str) -> str:
    """Write and apply what a block does, all in one process; return what went wrong."""
    if "$ quintet db revision" not in block:
        return ""
    commands = re.findall(r"^\$ quintet (db .*)", block, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS, *commands],
        cwd=reader.folder,
        env=reader.env | reader.more,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


_COMMANDS = """
import shlex, sys
from quintet.cli.main import main
for command in sys.argv[1:]:
    main(shlex.split(command), standalone_mode=False)
"""


def _alike(text: str) -> str:
    """Leave out what is another one each time: ids, dates, durations."""
    text = re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"\b\d{8}_\d{6}", "DATE", text)
    return re.sub(r"\d+\.\d+s", "TIME", text)


def test_a_writer_that_is_killed_leaves_nothing_half_done(tmp_path: Path) -> None:
    # Tickets are written, each with a message, while the server is killed: none is there without its message.
    for name in ("models.py", "app.py", "queries.py", "templates"):
        source = ROOT / CODE / "second" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    reader = Reader(tmp_path, f"sqlite:///{tmp_path}/own.db")
    reader.type("quintet db revision -m Begin && quintet db upgrade")
    ticket = {"subject": "Printer on fire", "messages": [{"text": "Smoke!"}]}
    saved = 0
    for _ in range(2):
        with Command("run", "app.py", folder=tmp_path, env=reader.more) as server:
            for number in range(60):
                if number == 40:
                    server.process.kill()
                try:
                    saved += server.client.post("/tickets", json=ticket).status_code == 201
                except httpx2.TransportError:
                    break
            server.process.kill()
    assert saved >= 80
    import sqlite3

    with sqlite3.connect(tmp_path / "own.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (tickets,), (messages,) = (db.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("ticket", "message"))
        assert saved <= tickets == messages <= saved + 2
