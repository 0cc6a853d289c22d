"""The code in the documentation runs, and answers what the pages say."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import click
import pytest

from quintet import ConfigurationError
from quintet.config import load_settings
from quintet.observability.logging import configure_logging
from quintet.testing import Client
from tests.integration.transcripts import DOCS, ROOT, UPDATE, check_page, pages

EXAMPLES = ROOT / "examples" / "docs"


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(DOCS)))
def test_answers_on_a_page_are_those_of_its_examples(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKMARKS_DATABASE", str(tmp_path / "bookmarks.db"))
    assert "\n\n".join(check_page(page)) == ""


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("test_*.py")), ids=lambda p: str(p.relative_to(EXAMPLES)))
def test_the_tests_shown_in_the_documentation_pass(file: Path) -> None:
    # As a user would: in the folder, without this project's configuration.
    alone = ["-c", os.devnull, "--rootdir", str(file.parent), "-p", "no:cacheprovider"]
    for name in ("faker", "schemathesis", "hypothesispytest"):  # they take seconds to load, and no page speaks of them
        alone += ["-p", f"no:{name}"]
    options = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-m", "pytest", "-q", *alone, *options, file.name]
    done = subprocess.run(command, check=False, cwd=file.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_wrong_settings_are_reported_as_shown() -> None:
    from examples.docs.settings import MailSettings

    env = {"MAIL_PORT": "smtp", "MAIL_SENDERS": "a@example.com"}
    with TemporaryDirectory() as folder:
        toml = Path(folder, "quintet.toml")
        toml.write_text('[mail]\nhots = "mail.example.com"\n')
        with pytest.raises(ConfigurationError) as caught:
            load_settings(MailSettings, env=env, dotenv=None, toml=toml)
    same_as_shown("settings.txt", str(caught.value).replace(f"{folder}/", ""))


def test_a_record_is_logged_as_shown() -> None:
    from examples.docs.logs import app

    stream = io.StringIO()
    root = logging.getLogger()
    level = root.level
    from examples.docs.log_output import request_id  # configures logging

    handler = configure_logging(json=True, stream=stream, request_id=request_id)
    try:
        with Client(app) as client:
            client.get("/orders/7")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    line = next(line for line in stream.getvalue().splitlines() if "order shown" in line)
    shown = re.sub(r'("time":|"request_id":)"[^"]*"', r'\1"…"', line)
    same_as_shown("log.json", shown + "\n")


def test_an_app_that_is_not_ready_answers_as_shown() -> None:
    from examples.docs.health import app

    with Client(app) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    report = answer.json()
    for check in report["checks"]:
        check["ms"] = 0.0 if check["status"] == "ok" else 0.4
    lines = ",\n".join(f"    {json.dumps(check)}" for check in report["checks"])
    same_as_shown("readyz.json", f'{{\n  "status": "{report["status"]}",\n  "checks": [\n{lines}\n  ]\n}}\n')


def same_as_shown(name: str, text: str) -> None:
    path = EXAMPLES / "output" / name
    if UPDATE:
        path.write_text(text.rstrip("\n") + "\n")
    assert path.read_text().rstrip("\n") == text.rstrip("\n")


def test_commands_on_the_pages_exist_with_their_options() -> None:
    from quintet.cli.main import main

    commands = [
        (page.name, shlex.split(line, comments=True))
        for page in DOCS.rglob("*.md")
        for line in re.findall(r"^ *\$ quintet (.+)$", page.read_text(), re.MULTILINE)
        if line.split()[0] not in ("search", "create-tables")  # commands of examples
    ]
    assert len(commands) >= 10
    for page, words in commands:
        try:
            name, command, rest = main.resolve_command(click.Context(main), words)
            assert command is not None
            with mock.patch.dict(os.environ):  # some options are handed on to child processes
                command.make_context(name, rest)
        except (click.exceptions.Exit, click.ClickException) as exc:
            # `--help` and `--version` end with 0.
            assert isinstance(exc, click.exceptions.Exit) and exc.exit_code == 0, f"{page}: quintet {words}: {exc}"


def test_every_example_is_on_a_page() -> None:
    text = "".join(p.read_text() for p in DOCS.rglob("*.md"))
    unused: list[str] = []
    for path in sorted(EXAMPLES.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        sections = re.findall(r"# --8<-- \[start:([\w-]+)\]", path.read_text())
        wanted = [f"{name}:{section}" for section in sections] or [name]
        unused += [w for w in wanted if f'"{w}"' not in text]
    assert unused == []
