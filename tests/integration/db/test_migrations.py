from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from quintet.db.migrations import (
    MigrationError,
    MigrationPart,
    MigrationTarget,
    downgrade,
    pending,
    state,
    upgrade,
    write_revision,
)
from quintet.db.migrations.environment import sql
from quintet.db.migrations.files import History
from quintet.db.migrations.renames import parse
from quintet.db.migrations.review import hazards, review
from quintet.db.migrations.revision import write_merge
from quintet.db.migrations.squash import squash
from quintet.db.naming import CONVENTION
from quintet.errors import ConfigurationError
from tests.integration.db.migrated import (
    add,
    after_changes,
    differences,
    empty,
    every_kind,
    query,
    tables,
    with_driver,
    with_metadata,
)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MigrationTarget]:
    kind = request.param
    url = f"sqlite:///{tmp_path}/app.db" if kind == "sqlite" else with_driver(request.getfixturevalue(f"{kind}_url"))
    empty(url)
    yield MigrationTarget(url=url, metadata=sa.MetaData(), folder=tmp_path / "migrations")
    empty(url)


@pytest.fixture
def sqlite(tmp_path: Path) -> MigrationTarget:
    return MigrationTarget(url=f"sqlite:///{tmp_path}/app.db", metadata=sa.MetaData(), folder=tmp_path / "migrations")


def renamed(question: str) -> bool:
    """Answer as who knows what became of the tables."""
    return any(
        names in question
        for names in ("'company' renamed", "'name' of 'user' renamed to 'full_name'", "'company_id' of")
    )


def test_every_kind_of_column_is_clean_after_the_first_upgrade(target: MigrationTarget) -> None:
    target = with_metadata(target, every_kind(target.dialect))
    assert write_revision(target, "Begin").path is not None
    upgrade(target)
    assert differences(target) == []
    assert write_revision(target, "Again").path is None


def test_changes_of_every_kind_go_there_and_back(target: MigrationTarget) -> None:
    before, after = every_kind(target.dialect), after_changes(target.dialect)
    old, new = with_metadata(target, before), with_metadata(target, after)
    write_revision(old, "Begin")
    upgrade(old)
    with sa.create_engine(target.url, poolclass=sa.NullPool).begin() as connection:
        row = {"name": "Ada Lovelace", "nick": "a", "created": datetime.datetime.now(datetime.UTC)}
        connection.execute(before.tables["user"].insert(), row)
    write_revision(new, "A year later", ask=renamed)
    upgrade(new)
    assert differences(new) == []
    assert query(new, "SELECT full_name FROM " + _quoted(target, "user")) == "Ada Lovelace"
    assert query(new, "SELECT bio FROM " + _quoted(target, "user")) == ""


def test_a_generated_downgrade_restores_the_tables(target: MigrationTarget) -> None:
    old, new = with_metadata(target, every_kind(target.dialect)), with_metadata(target, after_changes(target.dialect))
    write_revision(old, "Begin")
    upgrade(old)
    write_revision(new, "A year later", ask=renamed)
    upgrade(new)
    downgrade(new, "-1")
    assert differences(old) == []
    downgrade(old, "base")
    assert tables(old) <= {"alembic_version", "quintet_migration_steps"}


def test_tables_that_refer_to_each_other_are_created_and_dropped(target: MigrationTarget) -> None:
    metadata = sa.MetaData(naming_convention=CONVENTION)
    for one, other in (("hen", "egg"), ("egg", "hen")):
        key = sa.Column(f"{other}_id", sa.Integer, sa.ForeignKey(f"{other}.id"))
        sa.Table(one, metadata, sa.Column("id", sa.Integer, primary_key=True), key)
    target = with_metadata(target, metadata)
    write_revision(target, "Begin")
    upgrade(target)
    assert differences(target) == []
    write_revision(with_metadata(target, sa.MetaData()), "End")
    upgrade(target)
    assert not {"hen", "egg"} & tables(target)
    downgrade(target, "-1")
    assert differences(target) == []
    downgrade(target, "base")
    assert not {"hen", "egg"} & tables(target)


def test_renames_are_named_on_the_command_line_too(target: MigrationTarget) -> None:
    def model(table: str, column: str) -> sa.MetaData:
        metadata = sa.MetaData(naming_convention=CONVENTION)
        sa.Table(table, metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column(column, sa.String(20)))
        return metadata

    write_revision(with_metadata(target, model("user", "name")), "Begin")
    upgrade(target)
    new = with_metadata(target, model("account", "full_name"))
    written = write_revision(new, "Rename", renames=parse(["user:account", "account.name:full_name"]))
    text = written.path.read_text() if written.path else ""
    assert 'op.rename_table("user", "account")' in text
    assert 'op.rename_column("account", "name", "full_name")' in text
    assert "drop" not in text
    upgrade(new)
    assert differences(new) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user.nme:full_name", "the table has no 'nme'"),
        ("user.name:nothing", "the model has no 'nothing'"),
        ("usr:account", "the database has no table 'usr'"),
        ("user", "renames nothing"),
    ],
)
def test_a_rename_that_does_not_fit_is_refused(sqlite: MigrationTarget, text: str, message: str) -> None:
    metadata = sa.MetaData()
    sa.Table("user", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
    write_revision(with_metadata(sqlite, metadata), "Begin")
    upgrade(sqlite)
    with pytest.raises(MigrationError, match=re.escape(message)):
        write_revision(with_metadata(sqlite, metadata), "Rename", renames=parse([text]))


def test_a_changed_check_is_found_and_an_equal_one_written_otherwise_is_not(target: MigrationTarget) -> None:
    def model(condition: str) -> sa.MetaData:
        metadata = sa.MetaData(naming_convention=CONVENTION)
        check = sa.CheckConstraint(condition, name="price")
        sa.Table("item", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("price", sa.Numeric(8, 2)),
                 sa.Column("kind", sa.String(9)), check)  # fmt: skip
        return metadata

    first = with_metadata(target, model("price > 0 AND kind IN ('a', 'b')"))
    write_revision(first, "Begin")
    upgrade(first)
    assert differences(with_metadata(target, model("(PRICE > 0   and kind in ('a','b'))"))) == []
    assert differences(with_metadata(target, model("price > 0 AND kind IN ('a', 'B')"))) == [
        "table item: ck_item_price is not as the model has it"
    ]
    assert differences(with_metadata(target, model("price >= 0 AND kind IN ('a', 'b')"))) != []


def test_rows_survive_the_rebuild_of_a_table_that_others_refer_to(sqlite: MigrationTarget) -> None:
    add(sqlite, "aaaa", None, """
        op.create_table("author", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(5)))
        op.create_table("book", sa.Column("id", sa.Integer, primary_key=True),
                        sa.Column("author_id", sa.Integer, sa.ForeignKey("author.id", ondelete="CASCADE")))
        op.execute("INSERT INTO author VALUES (1, 'Ada')")
        op.execute("INSERT INTO book VALUES (1, 1)")
        op.execute("CREATE INDEX ix_lower ON author (lower(name))")
        op.execute("CREATE TRIGGER notice AFTER INSERT ON author BEGIN SELECT 1; END")
    """)  # fmt: skip
    add(
        sqlite,
        "bbbb",
        "aaaa",
        """
        with op.batch_alter_table("author") as batch:
            batch.alter_column("name", type_=sa.String(50), nullable=False)
    """,
    )
    upgrade(sqlite)
    assert query(sqlite, "SELECT count(*) FROM book") == 1
    assert query(sqlite, "SELECT count(*) FROM sqlite_master WHERE name IN ('ix_lower', 'notice')") == 2


def test_a_revision_that_breaks_references_is_taken_back(sqlite: MigrationTarget) -> None:
    add(
        sqlite,
        "aaaa",
        None,
        """
        op.create_table("author", sa.Column("id", sa.Integer, primary_key=True))
        author = sa.Column("a", sa.Integer, sa.ForeignKey("author.id"))
        op.create_table("book", sa.Column("id", sa.Integer, primary_key=True), author)
        op.execute("INSERT INTO author VALUES (1)")
        op.execute("INSERT INTO book VALUES (1, 1)")
    """,
    )
    add(sqlite, "bbbb", "aaaa", 'op.execute("DELETE FROM author")')
    with pytest.raises(MigrationError, match="book → author"):
        upgrade(sqlite)
    assert state(sqlite).heads == ("aaaa",)
    assert query(sqlite, "SELECT count(*) FROM author") == 1


def test_a_database_that_is_behind_is_named_and_no_revision_written(sqlite: MigrationTarget) -> None:
    add(sqlite, "aaaa", None, 'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True))')
    assert pending(sqlite) == ["aaaa (20260101_120000_step_aaaa.py)"]
    assert [p.id for p in review(sqlite)] == ["migrations.pending"]
    with pytest.raises(MigrationError, match="lacks aaaa"):
        write_revision(sqlite, "Next")


def test_tables_of_somebody_else_are_left_alone(sqlite: MigrationTarget) -> None:
    add(sqlite, "aaaa", None, 'op.create_table("legacy_a", sa.Column("id", sa.Integer, primary_key=True))')
    upgrade(sqlite)
    assert differences(sqlite) == ["table legacy_a: in the database, in no model"]
    assert differences(replace(sqlite, ignore=["legacy_*"])) == []


def test_tables_that_are_there_already_are_recorded_as_done(target: MigrationTarget, tmp_path: Path) -> None:
    target = with_metadata(target, every_kind(target.dialect))
    write_revision(target, "Begin")
    engine = sa.create_engine(target.url, poolclass=sa.NullPool)
    every_kind(target.dialect).create_all(engine)
    with pytest.raises(sa.exc.DBAPIError):
        upgrade(target)
    upgrade(target, record_only=True)
    assert pending(target) == []
    assert review(target) == []


def test_many_revisions_are_each_read_once(sqlite: MigrationTarget, tmp_path: Path) -> None:
    sqlite.folder.mkdir()
    log = tmp_path / "read"
    for number in range(60):
        down = f'"r{number - 1}"' if number else "None"
        (sqlite.folder / f"{number:04}.py").write_text(
            f'revision = "r{number}"\ndown_revision = {down}\ndef upgrade(op): pass\ndef downgrade(op): pass\n'
            f'with open({str(log)!r}, "a") as file:\n    file.write("x")\n'
        )
    assert len(upgrade(sqlite)) == 60
    assert log.read_text() == "x" * 60


def test_two_heads_are_refused_named_and_merged(sqlite: MigrationTarget) -> None:
    add(sqlite, "aaaa", None, "pass")
    add(sqlite, "bbbb", "aaaa", "pass")
    add(sqlite, "cccc", "aaaa", "pass")
    assert "migrations.heads" in [p.id for p in review(sqlite)]
    with pytest.raises(MigrationError, match="2 heads: bbbb .* cccc"):
        upgrade(sqlite)
    write_merge(sqlite)
    assert len(upgrade(sqlite)) == 4
    assert len(state(sqlite).heads) == 1
    with pytest.raises(MigrationError, match="nothing to merge"):
        write_merge(sqlite)


def test_squashed_revisions_are_one_for_new_databases_old_ones_and_those_in_between(target: MigrationTarget) -> None:
    add(
        target,
        "aaaa",
        None,
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True))',
        'op.drop_table("a")',
    )
    add(
        target,
        "bbbb",
        "aaaa",
        'op.create_table("b", sa.Column("id", sa.Integer, primary_key=True))',
        'op.drop_table("b")',
    )
    add(target, "cccc", "bbbb", 'op.execute("INSERT INTO b VALUES (7)")')
    add(
        target,
        "dddd",
        "cccc",
        'op.create_table("d", sa.Column("id", sa.Integer, primary_key=True))',
        'op.drop_table("d")',
    )
    upgrade(target, "bbbb")
    path = squash(target, "aaaa", "cccc")
    assert [name[:4] for name in upgrade(target)] == ["cccc", "dddd"]  # from the midst
    assert query(target, "SELECT id FROM b") == 7
    assert state(target).heads == ("dddd",)
    assert pending(target) == []  # beyond
    downgrade(target, "base")
    assert tables(target) == {"alembic_version", *({"quintet_migration_steps"} & tables(target))}
    assert [name[:4] for name in upgrade(target)] == ["cccc", "dddd"]  # new: two, not four
    assert query(target, "SELECT id FROM b") == 7
    assert "_upgrade_1" in path.read_text()


def test_a_database_in_the_midst_of_squashed_revisions_whose_files_are_gone_is_told_so(sqlite: MigrationTarget) -> None:
    add(sqlite, "aaaa", None, "pass")
    add(sqlite, "bbbb", "aaaa", "pass")
    upgrade(sqlite, "aaaa")
    squash(sqlite, "aaaa", "bbbb")
    for file in (sqlite.folder / "squashed").glob("*.py"):
        file.unlink()
    with pytest.raises(MigrationError, match="at aaaa, in the midst of revisions that were squashed"):
        upgrade(sqlite)


def test_a_plugin_brings_its_tables_as_a_branch_that_upgrades_with_the_apps(
    target: MigrationTarget, tmp_path: Path
) -> None:
    metadata = sa.MetaData(naming_convention=CONVENTION)
    sa.Table("auth_user", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "post",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.ForeignKey("auth_user.id")),
    )
    part = MigrationPart(name="auth", folder=tmp_path / "auth", tables=["auth_*"])
    target = replace(target, metadata=metadata, parts=[part])
    theirs = write_revision(target, "Users", part="auth")
    assert theirs.path is not None
    assert theirs.path.parent == tmp_path / "auth"
    upgrade(target)
    ours = write_revision(target, "Posts", depends_on=["auth"])
    assert ours.path is not None
    assert "auth_user" not in ours.path.read_text().partition("def upgrade")[2].partition("ForeignKey")[0]
    assert theirs.revision in ours.path.read_text()
    upgrade(target)
    assert differences(target) == []
    assert state(target).pending == ()
    assert review(target) == []
    downgrade(target, "base")
    upgrade(target)
    assert {"auth_user", "post"} <= tables(target)


def test_a_broken_history_is_reported_whole(sqlite: MigrationTarget) -> None:
    first = add(sqlite, "aaaa", "zzzz", "pass")
    second = add(sqlite, "bbbb", "aaaa", "pass")
    second.with_name("copy.py").write_text(second.read_text())
    with pytest.raises(ConfigurationError) as caught:
        History(sqlite)
    assert [p.id for p in caught.value.problems] == ["migrations.duplicate", "migrations.parent"]
    assert str(first) in caught.value.problems[1].where


def test_a_database_from_another_history_is_told_which_file_is_missing(sqlite: MigrationTarget) -> None:
    path = add(sqlite, "aaaa", None, "pass")
    upgrade(sqlite)
    path.unlink()
    with pytest.raises(MigrationError, match="at revision aaaa, which has no file"):
        state(sqlite)


@pytest.mark.parametrize("dialect", ["oracle", "postgresql", "mysql"])
def test_the_sql_of_an_upgrade_is_printed_without_a_database(
    tmp_path: Path, sqlite: MigrationTarget, dialect: str
) -> None:
    target = with_metadata(sqlite, every_kind("portable"))
    write_revision(target, "Begin")
    upgrade(target)
    write_revision(with_metadata(target, after_changes("portable")), "Later", ask=renamed)
    url = {"oracle": "oracle+oracledb://", "postgresql": "postgresql+psycopg://", "mysql": "mysql+pymysql://"}[dialect]
    text = sql(replace(target, url=url), "base", "heads")
    for expected in (
        "CREATE TABLE company",
        "RENAME COLUMN name TO full_name",
        "RENAME TO firm",
        "ck_user_age",
        "alembic_version",
    ):
        assert expected in text


def test_the_sql_for_sqlite_shows_the_rebuild_and_runs_by_hand(sqlite: MigrationTarget, tmp_path: Path) -> None:
    add(
        sqlite,
        "aaaa",
        None,
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Text))',
    )
    add(
        sqlite,
        "bbbb",
        "aaaa",
        """
        with op.batch_alter_table("a") as batch:
            batch.alter_column("n", nullable=False)
    """,
    )
    text = sql(sqlite, "base", "heads")
    import sqlite3

    other = sqlite3.connect(tmp_path / "by-hand.db")
    other.executescript(text)
    other.close()
    by_hand = replace(sqlite, url=f"sqlite:///{tmp_path}/by-hand.db")
    assert state(by_hand).heads == ("bbbb",)
    assert not Path(str(sqlite.address.database)).exists()


def _quoted(target: MigrationTarget, name: str) -> str:
    return f"`{name}`" if target.dialect == "mysql" else f'"{name}"'


def test_unsafe_statements_are_named_with_a_recipe_and_a_reason_silences_them(sqlite: MigrationTarget) -> None:
    target = replace(sqlite, url="postgresql+psycopg://")
    add(
        target,
        "aaaa",
        None,
        'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True))\nop.create_index("i", "a", ["id"])',
    )
    add(target, "bbbb", "aaaa", 'op.create_index("j", "a", ["id"])\nop.drop_column("a", "id")',
        extra=['lint_ignore = {"drop-column": "nothing reads it since 1.4"}'])  # fmt: skip
    found = hazards(target, everything=True)
    assert [(h.revision[:4], h.rule.id, h.silenced) for h in found] == [
        ("bbbb", "index-locks", ""),
        ("bbbb", "drop-column", "nothing reads it since 1.4"),
    ]
    assert "op.create_index_online" in str(found[0])
    add(target, "cccc", "bbbb", "pass", extra=['lint_ignore = {"drop-column": ""}'])
    with pytest.raises(MigrationError, match="without a reason"):
        hazards(target, everything=True)


def test_the_recipes_are_safe_by_the_lint_and_do_their_work(target: MigrationTarget) -> None:
    add(
        target,
        "aaaa",
        None,
        """
        numbers = sa.Column("n", sa.Integer), sa.Column("m", sa.Integer)
        op.create_table("a", sa.Column("id", sa.Integer, primary_key=True), *numbers)
        op.create_table("b", sa.Column("id", sa.Integer, primary_key=True))
        op.bulk_insert(sa.table("a", sa.column("id"), sa.column("n")), [{"id": i, "n": i} for i in range(1, 26)])
        op.bulk_insert(sa.table("b", sa.column("id")), [{"id": i} for i in range(1, 26)])
    """,
    )
    add(
        target,
        "bbbb",
        "aaaa",
        """
        op.create_index_online("ix_a_n", "a", ["n"])
        op.update_in_batches("a", "m = n * 2", where="m IS NULL", size=10)
        op.set_not_null_online("a", "m", sa.Integer())
        op.create_check_online("ck_a_m", "a", "m >= 0")
        op.create_foreign_key_online("fk_a_b", "a", "b", ["n"], ["id"], ondelete="CASCADE")
        op.drop_index_online("ix_a_n", "a") if op.dialect != "mysql" else None
    """,
    )
    if target.dialect == "postgresql":
        assert hazards(target, ["bbbb"]) == []
    upgrade(target)
    assert query(target, "SELECT sum(m) FROM a") == 650
    with sa.create_engine(target.url, poolclass=sa.NullPool).connect() as connection:
        inspector = sa.inspect(connection)
        assert [c["nullable"] for c in inspector.get_columns("a") if c["name"] == "m"] == [False]
        assert [c["name"] for c in inspector.get_check_constraints("a")] == ["ck_a_m"]
        assert inspector.get_foreign_keys("a")[0]["options"] == {"ondelete": "CASCADE"}


def test_an_update_in_batches_that_would_never_end_stops(target: MigrationTarget) -> None:
    add(
        target,
        "aaaa",
        None,
        """
        op.create_table("a", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))
        op.execute("INSERT INTO a VALUES (1, 0)")
        op.update_in_batches("a", "n = n + 1", where="n >= 0", size=1)
    """,
    )
    with pytest.raises(MigrationError, match="it would never end"):
        upgrade(target)


def test_values_of_a_native_enum_are_added_removed_and_used(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = with_driver(request.getfixturevalue("postgres_url"))
    empty(url)

    def model(*values: str) -> MigrationTarget:
        metadata = sa.MetaData(naming_convention=CONVENTION)
        kind = sa.Enum(*values, name="kind")
        sa.Table(
            "item",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("kind", kind, server_default=values[-1]),
        )
        return MigrationTarget(url=url, metadata=metadata, folder=tmp_path / "migrations")

    for values in (("a", "b"), ("a", "b", "c"), ("a", "c")):
        write_revision(model(*values), f"Kinds {len(values)}")
        upgrade(model(*values))
        assert differences(model(*values)) == []
    downgrade(model("a", "b"), "base")
    assert query(model("a"), "SELECT count(*) FROM pg_type WHERE typname LIKE 'kind%%'") == 0
    empty(url)


def test_no_warning_is_lost(sqlite: MigrationTarget) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_revision(with_metadata(sqlite, every_kind("sqlite")), "Begin")
        upgrade(sqlite)
    assert [str(w.message) for w in caught if issubclass(w.category, UserWarning | sa.exc.SAWarning)] == []
