"""Row R23: a migration that is interrupted, or begun twice, leaves a state from which `upgrade` goes on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from quintet.db.migrations import MigrationError, MigrationTarget, downgrade, state, upgrade
from quintet.db.migrations.review import review
from tests.integration.command import wait_until
from tests.integration.db.migrated import add, empty, in_child, query, start_child, tables, with_driver

_BASE = """
    op.create_table("counter", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))
    op.execute("INSERT INTO counter VALUES (1, 0)")
"""
#: Ten steps; the update counts how often it was done.
_TEN = """
    op.create_table("a", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
    op.create_table("b", sa.Column("a_id", sa.Integer, sa.ForeignKey("a.id"), primary_key=True))
    op.add_column("a", sa.Column("age", sa.Integer))
    op.create_index("ix_a_age", "a", ["age"])
    op.execute("INSERT INTO a VALUES (1, 'Ada', 36)")
    op.execute("UPDATE counter SET n = n + 1")
    with op.batch_alter_table("a") as batch:
        batch.alter_column("name", type_=sa.String(50), existing_type=sa.String(20))
    op.rename_column("a", "name", "full_name")
    op.execute("UPDATE counter SET n = n + 10")
    op.drop_table("b")
"""
_DOWN = """
    op.drop_table("a")
    op.execute("UPDATE counter SET n = 0")
"""


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MigrationTarget]:
    kind = request.param
    url = f"sqlite:///{tmp_path}/app.db" if kind == "sqlite" else with_driver(request.getfixturevalue(f"{kind}_url"))
    empty(url)
    yield MigrationTarget(url=url, metadata=sa.MetaData(), folder=tmp_path / "migrations")
    empty(url)


@pytest.fixture
def postgres(postgres_url: str, tmp_path: Path) -> Iterator[MigrationTarget]:
    url = with_driver(postgres_url)
    empty(url)
    yield MigrationTarget(url=url, metadata=sa.MetaData(), folder=tmp_path / "migrations")
    empty(url)


def _kill_everywhere(target: MigrationTarget, expected: set[str]) -> Iterator[tuple[int, set[str]]]:
    """Kill the upgrade before each statement that changes something; yield what is there then, and finish it.

    Each fourth alone, unless QUINTET_LONG is in the environment.
    """
    number, step = 0, 1 if os.environ.get("QUINTET_LONG") else 4
    while True:
        number += step
        status = in_child(lambda: upgrade(target), kill_at=number)
        assert status in {0, -9}
        if status == 0:
            break
        yield number, tables(target)
        upgrade(target)
        assert state(target).heads == ("bbbb",)
        assert state(target).interrupted == ()
        assert expected <= tables(target)
        assert query(target, "SELECT n FROM counter") == 11
        assert query(target, "SELECT full_name FROM a") == "Ada"
        downgrade(target, "aaaa")
    assert number > 10


def test_R23_a_migration_of_ten_steps_killed_at_each_statement_goes_on(target: MigrationTarget) -> None:
    add(target, "aaaa", None, _BASE)
    upgrade(target)
    add(target, "bbbb", "aaaa", _TEN, _DOWN)
    halves = 0
    for _, there in _kill_everywhere(target, {"a", "counter"}):
        now = state(target)
        if target.dialect == "mysql":
            half = bool({"a", "b"} & there) and now.heads == ("aaaa",)
            halves += half
            if half and not now.interrupted:
                raise AssertionError(f"half a migration, and nothing says so: {there}")
            if half:
                assert next(p.id for p in review(target)) == "migrations.interrupted"
        else:  # back to the start, or done
            assert now.interrupted == ()
            assert ("a" in there) == (now.heads == ("bbbb",))
            assert "b" not in there
    assert (halves > 2) == (target.dialect == "mysql")


def test_R23_a_migration_that_commits_in_its_midst_killed_at_each_statement_goes_on(postgres: MigrationTarget) -> None:
    add(postgres, "aaaa", None, _BASE)
    upgrade(postgres)
    add(postgres, "bbbb", "aaaa", """
        op.create_enum("mood", ["sad"])
        op.create_table("a", sa.Column("id", sa.Integer, primary_key=True), sa.Column("full_name", sa.String(20)))
        op.execute("INSERT INTO a VALUES (1, NULL)")
        op.execute("UPDATE counter SET n = n + 1")
        op.add_enum_values("mood", ["happy"])
        op.create_index_online("ix_a_name", "a", ["full_name"])
        op.execute("UPDATE counter SET n = n + 10")
        op.update_in_batches("a", "full_name = 'Ada'", where="full_name IS NULL")
        op.set_not_null_online("a", "full_name", sa.String(20))
    """, _DOWN + "    op.drop_enum('mood')\n")  # fmt: skip
    for _ in _kill_everywhere(postgres, {"a"}):
        pass


def test_half_a_migration_whose_file_was_changed_is_not_guessed_at(mariadb_url: str, tmp_path: Path) -> None:
    url = with_driver(mariadb_url)
    empty(url)
    target = MigrationTarget(url=url, metadata=sa.MetaData(), folder=tmp_path / "migrations")
    add(target, "aaaa", None, _BASE)
    upgrade(target)
    path = add(target, "bbbb", "aaaa", """
        op.execute("UPDATE counter SET n = 1")
        op.create_table("a", sa.Column("id", sa.Integer, primary_key=True))
        op.execute("nonsense")
    """)  # fmt: skip
    with pytest.raises(sa.exc.ProgrammingError):
        upgrade(target)
    assert str(state(target).interrupted[0]) == "upgrade of bbbb was interrupted: 2 statements are done"
    path.write_text(path.read_text().replace("SET n = 1", "SET n = 2"))
    with pytest.raises(MigrationError, match="its statement 1 is another one now"):
        upgrade(target)
    empty(url)


def test_a_statement_that_failed_may_be_corrected(target: MigrationTarget) -> None:
    add(target, "aaaa", None, _BASE)
    upgrade(target)
    path = add(target, "bbbb", "aaaa", """
        op.create_table("a", sa.Column("id", sa.Integer, primary_key=True))
        op.execute("UPDATE counter SET n = n + 1")
        op.execute("nonsense")
    """)  # fmt: skip
    with pytest.raises(sa.exc.DBAPIError):
        upgrade(target)
    path.write_text(path.read_text().replace("nonsense", "UPDATE counter SET n = n + 10"))
    upgrade(target)
    assert query(target, "SELECT n FROM counter") == 11
    assert state(target).interrupted == ()


def test_R23_of_two_processes_that_upgrade_at_once_one_waits(target: MigrationTarget) -> None:
    add(target, "aaaa", None, _BASE)
    add(target, "bbbb", "aaaa", "import time\ntime.sleep(0.4)\nop.execute('UPDATE counter SET n = n + 1')")
    add(target, "cccc", "bbbb", "op.execute('UPDATE counter SET n = n + 10')")
    children = [start_child(lambda: upgrade(target)) for _ in range(3)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    assert query(target, "SELECT n FROM counter") == 11
    assert state(target).heads == ("cccc",)


def test_who_waits_too_long_for_another_process_is_told(target: MigrationTarget, tmp_path: Path) -> None:
    if target.dialect == "sqlite":
        pytest.skip("SQLite's own lock is waited for by SQLite")
    begun = tmp_path / "begun"
    add(target, "aaaa", None, f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(1.5)")
    first = start_child(lambda: upgrade(target))
    waiting: list[str] = []
    wait_until(begun.exists)
    with pytest.raises(MigrationError, match="another process has been migrating"):
        upgrade(replace(target, wait=0.1), report=waiting.append)
    assert os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) == 0
    assert waiting == ["waiting: another process migrates the database 'default'"]


def test_a_locked_table_lets_the_site_go_first_and_is_tried_again(postgres: MigrationTarget) -> None:
    patient = replace(postgres, lock_timeout=0.2, lock_retries=20)
    add(patient, "aaaa", None, _BASE)
    upgrade(patient)
    add(patient, "bbbb", "aaaa", 'op.add_column("counter", sa.Column("m", sa.Integer))')
    engine = sa.create_engine(patient.url, poolclass=sa.NullPool)
    lines: list[str] = []
    with engine.connect() as reader:
        reader.exec_driver_sql("SELECT n FROM counter")
        hasty = replace(patient, lock_retries=1)
        with pytest.raises(MigrationError, match="found a table locked 2 times"):
            upgrade(hasty)
        assert state(patient).heads == ("aaaa",)
        thread = threading.Thread(target=lambda: upgrade(patient, report=lines.append))
        thread.start()
        while not any("a lock was not free" in line for line in lines):
            with engine.connect() as other:  # the site goes on reading all the while
                other.exec_driver_sql("SET statement_timeout = 2000")
                other.exec_driver_sql("SELECT n FROM counter")
    thread.join()
    assert state(patient).heads == ("bbbb",)


def test_an_error_of_the_database_takes_a_revision_back_whole(target: MigrationTarget) -> None:
    if target.dialect == "mysql":
        pytest.skip("MariaDB commits each change of a table; that it goes on is another test")
    add(target, "aaaa", None, _BASE + '    op.execute("nonsense")\n')
    with pytest.raises(sa.exc.DBAPIError):
        upgrade(target)
    assert "counter" not in tables(target)
