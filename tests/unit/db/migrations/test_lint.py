from __future__ import annotations

import pytest
from alembic.ddl.postgresql import PostgresqlColumnType
from sqlalchemy import String, Text
from sqlalchemy.types import TypeEngine

from quintet.db.migrations.lint import RULES, judge

CASES = [
    ("drop-column", "postgresql", "ALTER TABLE a DROP COLUMN b"),
    ("drop-column", "mysql", "ALTER TABLE `a` DROP COLUMN `b`"),
    ("drop-table", "sqlite", 'DROP TABLE "user"'),
    ("rename-column", "postgresql", 'ALTER TABLE "user" RENAME COLUMN name TO full_name'),
    ("rename-column", "mysql", "ALTER TABLE a RENAME COLUMN b TO c"),
    ("rename-table", "postgresql", "ALTER TABLE a RENAME TO b"),
    ("rename-table", "mysql", "RENAME TABLE a TO b"),
    ("not-null-without-default", "postgresql", "ALTER TABLE a ADD COLUMN b INTEGER NOT NULL"),
    ("index-locks", "postgresql", "CREATE UNIQUE INDEX i ON a (b)"),
    ("drop-index-locks", "postgresql", "DROP INDEX i"),
    ("foreign-key-locks", "postgresql", "ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY(b) REFERENCES c (id)"),
    ("check-locks", "postgresql", "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0)"),
    ("unique-locks", "postgresql", "ALTER TABLE a ADD CONSTRAINT u UNIQUE (b)"),
    ("not-null-locks", "postgresql", "ALTER TABLE a ALTER COLUMN b SET NOT NULL"),
    ("type-rewrites", "postgresql", "ALTER TABLE a ALTER COLUMN b TYPE BIGINT"),
    ("default-rewrites", "postgresql", "ALTER TABLE a ADD COLUMN b UUID DEFAULT gen_random_uuid()"),
    ("default-rewrites", "postgresql", "ALTER TABLE a ADD COLUMN b BIGSERIAL"),
    ("whole-table-lock", "postgresql", "TRUNCATE TABLE a"),
    ("table-copied", "mysql", "ALTER TABLE a MODIFY b VARCHAR(20)"),
    ("constraint-copies", "mysql", "ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY(b) REFERENCES c (id)"),
    ("table-rebuilt", "sqlite", "ALTER TABLE a ALTER COLUMN b TYPE BIGINT"),
    ("all-rows-at-once", "postgresql", "UPDATE a SET b = 1"),
    ("all-rows-at-once", "mysql", "DELETE FROM a"),
]

SAFE = [
    ("postgresql", "ALTER TABLE a ADD COLUMN b INTEGER"),
    ("postgresql", "ALTER TABLE a ADD COLUMN b INTEGER DEFAULT 1 NOT NULL"),
    ("postgresql", "ALTER TABLE a ADD COLUMN b TIMESTAMP DEFAULT now() NOT NULL"),
    ("postgresql", "CREATE INDEX CONCURRENTLY i ON a (b)"),
    ("postgresql", "DROP INDEX CONCURRENTLY i"),
    ("postgresql", "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID"),
    ("postgresql", "ALTER TABLE a VALIDATE CONSTRAINT c"),
    ("postgresql", "ALTER TABLE a ADD CONSTRAINT u UNIQUE USING INDEX i"),
    ("postgresql", "UPDATE a SET b = 1 WHERE c = 'drop table a'"),
    ("mysql", "CREATE INDEX i ON a (b)"),
    ("mysql", "ALTER TABLE a ADD COLUMN b INTEGER"),
    ("sqlite", "CREATE INDEX i ON a (b)"),
    ("postgresql", "COMMENT ON TABLE a IS 'ALTER TABLE a DROP COLUMN b'"),
]


@pytest.mark.parametrize(("rule", "dialect", "statement"), CASES)
def test_an_unsafe_statement_is_named_once(rule: str, dialect: str, statement: str) -> None:
    assert [h.rule.id for h in judge("r", [(statement, None)], dialect)] == [rule]


@pytest.mark.parametrize(("rule", "dialect", "statement"), [case for case in CASES if case[0] != "drop-index-locks"])
def test_nothing_is_said_of_a_table_that_the_revision_creates(rule: str, dialect: str, statement: str) -> None:
    create = [("CREATE TABLE a (b INTEGER)", None), ('CREATE TABLE "user" (b INTEGER)', None)]
    assert judge("r", [*create, (statement, None)], dialect) == []


@pytest.mark.parametrize(("dialect", "statement"), SAFE)
def test_a_safe_statement_is_let_through(dialect: str, statement: str) -> None:
    assert judge("r", [(statement, None)], dialect) == []


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (String(20), String(80), []),
        (String(20), Text(), []),
        (String(80), String(20), ["type-rewrites"]),
        (Text(), String(20), ["type-rewrites"]),
    ],
)
def test_a_text_may_become_longer_on_postgresql(
    before: TypeEngine[str], after: TypeEngine[str], found: list[str]
) -> None:
    construct = PostgresqlColumnType("a", "b", after, existing_type=before)
    sent = [("ALTER TABLE a ALTER COLUMN b TYPE VARCHAR(80)", construct)]
    assert [h.rule.id for h in judge("r", sent, "postgresql")] == found


def test_every_rule_has_a_case_and_a_recipe() -> None:
    assert {rule for rule, _, _ in CASES} == {rule.id for rule in RULES}
    assert all(rule.recipe and rule.message for rule in RULES)
