from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from quintet._version import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_installed_version_is_the_one_in_the_source():
    assert version("quintet") == __version__


def test_the_licence_that_is_declared_is_there():
    assert PROJECT["license"] == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")


def test_the_extra_all_holds_every_other_extra():
    extras = set(PROJECT["optional-dependencies"]) - {"all", "dev"}
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert everything == f"quintet[{','.join(sorted(extras))}]"


def test_every_news_fragment_has_a_known_kind():
    names = {path.name for path in (ROOT / "changes").iterdir()} - {"README.md"}
    assert not [name for name in names if not re.fullmatch(r"[\w-]+\.(removed|changed|added|fixed|security)\.md", name)]


def test_every_decision_is_numbered_once_and_listed():
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert len({name[:4] for name in records}) == len(records)
    listed = (folder / "README.md").read_text()
    assert not [name for name in records if f"({name})" not in listed]
