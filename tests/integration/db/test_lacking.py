"""What a database lacks is told before requests fail, and when they do: revisions, tables, columns, a folder."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from quintet import App
from quintet.db import Database, Mapped, Model, Session, SyncSession, primary_key
from quintet.db.migrations import Migrations, targets_of, upgrade, write_revision
from quintet.db.migrations.glance import look
from quintet.errors import ConfigurationError
from quintet.testing import Client
from tests.integration.command import QUINTET, Command, wait_until
from tests.integration.own_database import KINDS, own_database


class Lacking(Model, database="lacking"):
    """The base of these models."""


class LackingItem(Lacking):
    id: Mapped[int] = primary_key()
    name: Mapped[str | None]


def make_app(url: str, folder: Path) -> App:
    database = Database(url, name="lacking")
    app = App(docs=False, plugins=[database, Migrations(database="lacking", folder=folder / "migrations")])

    @app.get("/")
    async def items() -> list[LackingItem]:
        async with database.session("read") as db:
            return await db.many(sa.select(LackingItem))

    return app


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_database_lacks_is_named_with_what_to_do(
    kind: str, require_service: Callable[[str], tuple[str, int]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with own_database(kind, require_service, tmp_path) as url:
        app = make_app(url, tmp_path)
        (target,) = targets_of(app)

        def said() -> list[str]:
            return [f"{p.message}: {p.fix}" for p in look(make_app(url, tmp_path))]

        def failed() -> str:
            caplog.clear()
            with Client(app, raise_server_exceptions=False) as client:
                assert client.get("/").status_code == 500
            return caplog.text

        tables = 'run `quintet db revision -m "…"`, then `quintet db upgrade`'
        assert said() == [f"the database lacks the table lacking_item, which the models have: {tables}"]
        if kind == "sqlite":
            assert not list(tmp_path.iterdir())  # to look makes no file
        assert "the models have lacking_item, and the database has not\n    fix: run `quintet db upgrade`" in failed()

        write_revision(target, "Begin")
        assert said() == ["no revision is applied to the database: run `quintet db upgrade`"]
        upgrade(target)
        assert said() == []

        engine = sa.create_engine(target.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE lacking_item DROP COLUMN name")
        assert said() == [f"the database lacks the column lacking_item.name, which the models have: {tables}"]
        assert "the models have name, and the database has not\n    fix: run `quintet db upgrade`" in failed()

        written = write_revision(target, "More", empty=True)
        assert written.path is not None
        name = f"{written.revision} ({written.path.name})"
        assert said() == [f"the database lacks {name}: run `quintet db upgrade`"]


_APP = """
from quintet import App, Database, Model, primary_key
from quintet.db import Mapped, Session
from sqlalchemy import select

class Item(Model):
    id: Mapped[int] = primary_key()

app = App(plugins=[Database("sqlite:///app.db")])
"""


@pytest.mark.parametrize(
    "command",
    [
        ("dev", "--no-reload"),
        ("run", "app.py", "--workers", "2"),
        ("run", "app.py", "--workers", "2", "--server", "granian"),
    ],
)
def test_a_server_tells_once_what_its_database_lacks_and_once_more_after_a_reload(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(_APP)
    with Command(*command, folder=tmp_path) as server:
        server.wait_for("the database lacks the table item, which the models have; run `quintet db revision")
        assert server.client.get("/healthz").status_code == 200
        if command[0] == "run":
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: server.log.count("the database lacks") > 1, lambda: server.log)
    assert server.log.count("the database lacks") == (2 if command[0] == "run" else 1)


def test_check_warns_of_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(_APP)
    done = subprocess.run([QUINTET, "check"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith(
        "warning: the database lacks the table item, which the models have [migrations.tables]"
    )


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("none/app.db", "its folder {folder}/none is not there"),
        ("folder", "it is a folder"),
        ("shut/app.db", "this user may not write {folder}/shut"),
        ("locked/app.db", "this user may not write {folder}/locked"),
    ],
)
def test_a_file_of_sqlite_that_cannot_be_opened_is_named_at_the_start(
    path: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "shut").mkdir(mode=0o500)
    (tmp_path / "locked").mkdir(mode=0)  # not even to be looked into
    if path.startswith(("shut", "locked")) and os.access(tmp_path / "shut", os.W_OK):
        pytest.skip("this user may write everywhere")
    app = App(plugins=[Database(f"sqlite:///{path}")])
    with pytest.raises(ConfigurationError) as found, Client(app):
        pass
    why = why.format(folder=tmp_path)
    (problem,) = found.value.problems
    assert problem.message == f"the database {tmp_path}/{path} cannot be opened: {why}"
    assert problem.fix
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        upgrade(targets_of(app)[0])
    assert [check() for check in app.checks if check()] == [[problem]]
    assert not (tmp_path / "none").exists()


def test_a_file_that_can_no_longer_be_opened_is_named_in_the_log_and_not_in_the_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    app = App(docs=False, plugins=[Database(f"sqlite:///{folder}/app.db")])

    @app.get("/async")
    async def by_async(db: Session) -> int:
        return await db.one(sa.select(sa.literal(1)))

    @app.get("/sync")
    def by_sync(db: SyncSession) -> int:
        return db.one(sa.select(sa.literal(1)))

    def refused(path: str, why: str) -> None:
        caplog.clear()
        answer = client.get(path)
        assert (answer.status_code, answer.json()["detail"]) == (503, "the database cannot be reached")
        assert str(folder) not in answer.text
        assert f"the database {folder}/app.db{why}" in caplog.text

    with Client(app) as client:
        folder.rename(tmp_path / "moved")
        for path in ("/async", "/sync"):
            refused(path, f" cannot be opened: its folder {folder} is not there (unable to open database file)")
        folder.mkdir()
        (folder / "app.db").write_bytes(b"no database at all" * 99)  # it is opened, and its first PRAGMA fails
        for path in ("/async", "/sync"):
            refused(path, ": file is not a database")
        (folder / "app.db").unlink()
        assert client.get("/async").json() == client.get("/sync").json() == 1


def test_a_database_without_a_url_says_where_to_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(ConfigurationError) as found:
        Database()
    (problem,) = found.value.problems
    assert problem.message.endswith(f"none is given to Database(), in DATABASE_URL, or in {tmp_path}/quintet.toml")
    (tmp_path / "quintet.toml").write_text(f"[database]\n{problem.fix.split(' below ')[0].removeprefix('write ')}\n")
    assert repr(Database()) == "Database('sqlite:///app.db', name='default')"
