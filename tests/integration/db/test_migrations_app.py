"""Migrations of an app: its plugins, its start, and commands on several databases."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from quintet import App
from quintet.cli.check import check_deployment
from quintet.cli.main import main
from quintet.db import Database, Mapped, Model, primary_key
from quintet.db.migrations import MigrationPart, Migrations, pending, targets_of, upgrade
from quintet.errors import ConfigurationError
from quintet.hooks import Plugin
from quintet.testing import Client
from tests.integration.own_database import KINDS, own_database

_APP = """
import sqlalchemy as sa
from quintet import App
from quintet.db.migrations import Migrations

one, two = sa.MetaData(), sa.MetaData()
item = sa.Table("item", one, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
sa.Table("report", two, sa.Column("id", sa.Integer, primary_key=True))
calls = []
app = App(docs=False, plugins=[
    Migrations(url="sqlite:///one.db", metadata=one, seed=lambda: calls.append(1)),
    Migrations(database="reports", url="sqlite:///two.db", metadata=two),
])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUINTET_APP", raising=False)
    (tmp_path / "app.py").write_text(_APP)
    yield tmp_path
    sys.modules.pop("app", None)


def db(*arguments: str) -> Result:
    sys.modules.pop("app", None)
    return CliRunner().invoke(main, ["db", *arguments])


def test_commands_go_through_all_databases_or_take_one(folder: Path) -> None:
    for arguments in (
        ["downgrade", "base"],
        ["revision", "-m", "x", "--empty"],
        ["revision", "-m", "x", "--rename", "a:b"],
    ):
        several = db(*arguments)
        assert several.exit_code == 1
        assert "several databases: 'default', 'reports'" in several.output
    assert "there" in db("init").output
    written = db("revision", "-m", "Begin").output
    assert "database default:\ntable item: missing in the database\nwrote migrations/2" in written
    assert "database reports:\ntable report: missing in the database\nwrote migrations/reports/2" in written
    assert db("check").exit_code == 1
    done = db("upgrade")
    assert done.exit_code == 0, done.output
    assert "database default:\nupgrade" in done.output
    assert "database reports:\nupgrade" in done.output
    assert "nothing to do" in db("upgrade").output
    assert db("check").output == "models, revisions and database agree\n"
    assert db("seed").output == "seeded\n"
    assert "no database 'x'; it has 'default', 'reports'" in db("-d", "x", "current").output


class Seeded(Model, database="seeded"):
    """The base of these models."""


class Thing(Seeded):
    id: Mapped[int] = primary_key()


_SEEDED = """
import sqlalchemy as sa
from quintet import App
from quintet.db import Database
from quintet.db.migrations import Migrations
from tests.integration.db.test_migrations_app import Thing

database = Database(URL, name="seeded")


async def seed() -> None:
    async with database.session() as db:
        await db.execute(sa.insert(Thing).values(id=1))


app = App(docs=False, plugins=[database, Migrations(database="seeded", seed=seed)])
"""


@pytest.mark.parametrize("kind", KINDS)
def test_seeding_says_in_a_line_what_the_database_lacks(
    kind: str, require_service: Callable[[str], tuple[str, int]], folder: Path
) -> None:
    with own_database(kind, require_service, folder) as url:
        (folder / "app.py").write_text(_SEEDED.replace("URL", repr(url)))
        missing = db("seed")
        assert "the database lacks the table thing, which the models have" in missing.output
        db("revision", "-m", "Begin")
        behind = db("seed")
        assert "no revision is applied to the database" in behind.output
        assert "fix: run `quintet db upgrade`" in behind.output
        assert missing.exit_code == behind.exit_code == 1
        assert "Traceback" not in missing.output + behind.output
        db("upgrade")
        assert db("seed").output == "seeded\n"
        wrong = db("seed")
        assert wrong.exit_code == 1
        assert "Traceback" in wrong.output  # the row is there: that is the function's own mistake
        assert "app.py" in wrong.output


def test_downgrade_by_one_needs_no_dashes_in_front(folder: Path) -> None:
    db("-d", "default", "revision", "-m", "Begin")
    db("-d", "default", "upgrade")
    gone = db("-d", "default", "downgrade", "-1")
    assert gone.exit_code == 0, gone.output
    assert gone.output.startswith("downgrade ")
    assert "no revision is applied" in db("-d", "default", "current").output


def test_check_names_what_differs_for_people_and_programs(folder: Path) -> None:
    db("-d", "default", "revision", "-m", "Begin")
    db("-d", "default", "upgrade")
    (folder / "app.py").write_text(_APP.replace("sa.String(20)", "sa.String(30), nullable=False"))
    found = json.loads(db("-d", "default", "check", "--json").output)
    assert [p["message"] for p in found] == [
        "table item: column name: VARCHAR(length=20) → String(length=30)",
        "table item: column name: NULL → NOT NULL",
    ]
    written = db("-d", "default", "revision", "-m", "Longer")
    assert "note: column 'name' of 'item' becomes NOT NULL and has no server default" in written.output
    assert db("-d", "default", "check", "--lint").exit_code == 1
    lint = db("-d", "default", "lint")
    assert lint.exit_code == 1
    assert "[table-rebuilt]" in lint.output


def test_errors_come_without_a_traceback(folder: Path) -> None:
    for arguments in (
        ["upgrade", "nothing"],
        ["squash", "a", "b"],
        ["downgrade", "x"],
        ["merge"],
        ["revision", "-m", "x", "--part", "y"],
    ):
        result = db("-d", "default", *arguments)
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
        assert "Traceback" not in result.output
    (folder / "app.py").write_text("from quintet import App\napp = App()\n")
    assert "the app has no database" in db("check").output
    (folder / "app.py").write_text(_APP.replace("sqlite:///one.db", "sqlite:////nowhere/one.db"))
    assert "/nowhere/one.db cannot be opened: its folder /nowhere is not there" in db("upgrade").output
    assert db("check").exit_code == 1


def test_renames_are_asked_for_where_nobody_is_there_to_answer(folder: Path) -> None:
    db("-d", "default", "revision", "-m", "Begin")
    db("-d", "default", "upgrade")
    (folder / "app.py").write_text(_APP.replace('sa.Column("name"', 'sa.Column("title"'))
    result = db("-d", "default", "revision", "-m", "Titles")
    assert result.exit_code == 1
    assert "was the column 'name' of 'item' renamed to 'title'?" in result.output
    assert "--no-input" in result.output
    assert "column title is missing" in db("-d", "default", "revision", "-m", "Titles", "--no-input").output


def _metadata() -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("item", metadata, sa.Column("id", sa.Integer, primary_key=True))
    return metadata


def _app(tmp_path: Path, on_start: str) -> App:
    folder = tmp_path / "migrations"
    folder.mkdir(exist_ok=True)
    (folder / "20260101_first.py").write_text(
        'revision = "aaaa"\ndown_revision = None\ndef upgrade(op): pass\ndef downgrade(op): pass\n'
    )
    migrations = Migrations(
        url=f"sqlite:///{tmp_path}/app.db", metadata=_metadata(), folder=folder, on_start=on_start  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    return App(docs=False, plugins=[migrations])


def test_row_r28_an_app_whose_database_lacks_a_revision_does_not_start_and_names_it(tmp_path: Path) -> None:
    app = _app(tmp_path, "refuse")
    with pytest.raises(ConfigurationError, match="lacks aaaa \\(20260101_first.py\\)"), Client(app):
        pass
    for target in targets_of(app):
        upgrade(target)
        assert pending(target) == []
    with Client(app) as client:
        assert client.get("/").status_code == 404


def test_an_app_whose_database_lacks_a_revision_says_so_in_its_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "quintet.db"), Client(_app(tmp_path, "warn")):
        pass
    assert "lacks aaaa" in caplog.text


class Accounts(Plugin):
    name = "accounts"
    migrations = MigrationPart(name="accounts", folder=Path("accounts"), tables=["account_*"])

    def setup(self, app: object) -> None:
        pass


def test_a_database_of_the_app_is_a_target_with_the_parts_of_plugins(tmp_path: Path) -> None:
    app = App(docs=False, plugins=[Database(f"sqlite:///{tmp_path}/app.db"), Accounts()])
    (target,) = targets_of(app)
    assert (target.name, target.dialect, target.folder.name) == ("default", "sqlite", "migrations")
    assert target.part_of("account_user") == "accounts"
    assert target.part_of("post") == "app"


def test_options_for_a_database_that_is_not_there_are_a_problem() -> None:
    with pytest.raises(ConfigurationError, match="Migrations\\(database='reports'\\) speaks of a database"):
        targets_of(App(docs=False, plugins=[Migrations(database="reports")]))


def test_row_e14_a_deployment_check_names_revisions_that_were_not_applied_and_drift(tmp_path: Path) -> None:
    app = _app(tmp_path, "ignore")

    def found() -> dict[str, str]:
        return {f.id: f.message for f in check_deployment(app) if f.id.startswith("migrations.")}

    assert found() == {"migrations.pending": "the database lacks aaaa (20260101_first.py)"}
    upgrade(targets_of(app)[0])
    assert found() == {"migrations.drift": "table item: missing in the database"}


def test_an_app_with_migrations_does_not_load_alembic_until_it_looks() -> None:
    code = (
        "import sys; from quintet import App; from quintet.db.migrations import Migrations; import sqlalchemy as sa; "
        "App(docs=False, plugins=[Migrations(url='sqlite://', metadata=sa.MetaData())]).dispatcher; "
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_names_of_the_package_are_what_it_says() -> None:
    import quintet.db.migrations as package

    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("given", "absent"), [("url", "metadata"), ("metadata", "url")])
def test_an_address_without_tables_and_tables_without_an_address_are_told(given: str, absent: str) -> None:
    value: Any = "sqlite://" if given == "url" else sa.MetaData()
    with pytest.raises(ConfigurationError, match=rf"Migrations\({given}=…\) has no {absent}="):
        Migrations(**{given: value})
