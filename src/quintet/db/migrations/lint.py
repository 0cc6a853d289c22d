"""What in a migration stops a running site: statements that lock or rewrite a table, or that the old code cannot bear.

Rules look at the SQL that a revision sends, so what is written by hand is judged like what was generated. A table that
the same revision creates is empty, and nobody uses it yet: nothing is said of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alembic.ddl.base import ColumnType
from alembic.ddl.postgresql import PostgresqlColumnType
from alembic.script import Script
from sqlalchemy import String, Text
from sqlalchemy.schema import DDLElement

from quintet.db.migrations.environment import configure
from quintet.db.migrations.expressions import normalise
from quintet.db.migrations.files import History, name_of
from quintet.db.migrations.operations import Operations
from quintet.db.migrations.target import MigrationError, MigrationTarget

_POSTGRESQL = frozenset({"postgresql"})
_MYSQL = frozenset({"mysql", "mariadb"})
_SERVERS = _POSTGRESQL | _MYSQL | {"oracle"}
_ALL = _SERVERS | {"sqlite"}


@dataclass(frozen=True)
class Rule:
    """One kind of unsafe statement."""

    id: str
    databases: frozenset[str]
    #: What it looks like, in lower case and without quotes.
    pattern: str
    #: What happens.
    message: str
    #: What to do instead.
    recipe: str


@dataclass(frozen=True)
class Hazard:
    """An unsafe statement of a revision."""

    revision: str
    rule: Rule
    statement: str
    #: The reason why it is let through; empty where there is none.
    silenced: str = ""

    def __str__(self) -> str:
        if self.silenced:
            return f"{self.revision}: {self.rule.id} is silenced: {self.silenced}"
        return (
            f"{self.revision}: {self.rule.message} [{self.rule.id}]\n    {_short(self.statement)}\n"
            f"    fix: {self.rule.recipe}"
        )


_EXPAND = "release code that does without it first; drop it in a later release"
_RENAME = (
    "add the new one, write both, copy the old rows with op.update_in_batches, read the new one, then drop the old one"
)
RULES: tuple[Rule, ...] = (
    Rule("drop-column", _ALL, r"^alter table (\S+) .*drop column", "code that still runs reads the column", _EXPAND),
    Rule("drop-table", _ALL, r"^drop table (?:if exists )?(\S+)", "code that still runs reads the table", _EXPAND),
    Rule("rename-column", _ALL, r"^alter table (\S+) (?:rename (?:column )?(?!to )|change )(\S+)(?= to | (?!\2 ))",
         "code that still runs knows the old name", _RENAME),
    Rule("rename-table", _ALL, r"^(?:alter table (\S+) rename to|rename table (\S+))",
         "code that still runs knows the old name", _RENAME),
    Rule("not-null-without-default", _ALL, r"^alter table (\S+) add column (?!.*\bdefault\b)(?!.*\bas \().*\bnot null",
         "it fails where the table has rows, and code that still runs gives no value",
         "give it a server_default, or add it with NULL, fill it, then op.set_not_null_online"),
    Rule("index-locks", _POSTGRESQL, r"^create (?:unique )?index (?!concurrently).* on (\S+)",
         "nobody can write to the table until the index is built", "op.create_index_online(…)"),
    Rule("drop-index-locks", _POSTGRESQL, r"^drop index (?!concurrently)(?:if exists )?(\S+)",
         "it waits for all readers of the table, and everybody waits behind it", "op.drop_index_online(…)"),
    Rule("foreign-key-locks", _POSTGRESQL, r"^alter table (\S+) add constraint \S+ foreign key (?!.*not valid)",
         "nobody can write to either table until all rows are checked", "op.create_foreign_key_online(…)"),
    Rule("check-locks", _POSTGRESQL, r"^alter table (\S+) add constraint \S+ check (?!.*not valid)",
         "nobody can use the table until all rows are checked", "op.create_check_online(…)"),
    Rule("unique-locks", _POSTGRESQL,
         r"^alter table (\S+) add (?:constraint \S+ )?(?:unique|primary key) (?!using index)",
         "nobody can use the table until its index is built",
         "op.create_index_online(…, unique=True), then ALTER TABLE … ADD CONSTRAINT … UNIQUE USING INDEX …"),
    Rule("not-null-locks", _POSTGRESQL, r"^alter table (\S+) alter column (\S+) set not null",
         "nobody can use the table until all rows are checked", "op.set_not_null_online(…)"),
    Rule("type-rewrites", _POSTGRESQL, r"^alter table (\S+) alter column (\S+) (?:set data )?type ",
         "the table may be written anew while nobody can use it",
         "add a column of the new type, write both, op.update_in_batches, read the new one, drop the old one"),
    Rule("default-rewrites", _POSTGRESQL,
         r"^alter table (\S+) add column .*(?:\bdefault (?!now|current_|localtime|statement_timestamp)[a-z_]+ \(|"
         r"\b(?:big|small)?serial\b|generated (?:always|by default) as)",
         "the table is written anew while nobody can use it",
         "add the column without it, give it to new rows with ALTER … SET DEFAULT, then op.update_in_batches"),
    Rule("whole-table-lock", _POSTGRESQL, r"^(?:lock (?:table )?|truncate (?:table )?|cluster |vacuum full )(\S+)",
         "nobody can use the table meanwhile", "do it by hand, in a quiet hour, or not at all"),
    Rule("table-copied", _MYSQL, r"^alter table (\S+) (?:modify|change|convert to|(?:add|drop) primary key)",
         "the table is copied, and nobody can write to it (ALGORITHM=COPY)",
         "add a column of the new kind, write both, op.update_in_batches, read the new one, drop the old one; "
         "or use a tool that copies beside the site"),
    Rule("constraint-copies", _MYSQL, r"^alter table (\S+) add (?:constraint \S+ )?(?:foreign key|check)",
         "the table is copied or checked while nobody can write to it", "do it in a quiet hour"),
    Rule("table-rebuilt", frozenset({"sqlite"}), r"^alter table (\S+) (?:alter column|add constraint|drop constraint)",
         "the table is copied while nobody can write to the database", "bear it while the table is small"),
    Rule("all-rows-at-once", _SERVERS, r"^(?:update (\S+) set|delete from (\S+))(?!.* where )",
         "every row stays locked until all are done", "op.update_in_batches(…)"),
)  # fmt: skip


def lint(target: MigrationTarget, scripts: Sequence[Script], history: History) -> list[Hazard]:
    """Return what is unsafe in revisions, that which is silenced too.

    Raises:
        MigrationError: a revision silences a rule without a reason, or one that there is not.
    """
    found: list[Hazard] = []
    ids = {rule.id for rule in RULES}
    for script in scripts:
        ignored: Mapping[str, str] = getattr(script.module, "lint_ignore", {})
        wrong = [rule for rule, reason in ignored.items() if rule not in ids or not str(reason).strip()]
        if wrong:
            raise MigrationError(
                f"{name_of(script)}: lint_ignore names {', '.join(wrong)} without a reason, or there is no such rule\n"
                f'    fix: lint_ignore = {{"drop-column": "the code that read it was removed in 1.4"}}'
            )
        found += judge(name_of(script), statements(target, script), target.dialect, ignored)
    return found


def judge(
    revision: str, sent: Sequence[tuple[str, Any]], dialect: str, ignored: Mapping[str, str] | None = None
) -> list[Hazard]:
    """Judge the statements of one revision; each is its text and what it was made from."""
    found: list[Hazard] = []
    created: set[str] = set()
    validated: set[str] = set()
    seen: set[tuple[str, ...]] = set()
    for statement, construct in sent:
        text = normalise(statement)
        if match := re.match(r"create table (?:if not exists )?(\S+)", text):
            created.add(match[1])
        if match := re.match(r"alter table (\S+) validate constraint (\S+)", text):
            validated.add(match[2])
        for rule in RULES:
            match = re.search(rule.pattern, text) if dialect in rule.databases else None
            if match is None:
                continue
            names = {group for group in match.groups() if group}
            key = (rule.id, *sorted(names))
            if names & created or key in seen or _is_fine(rule, match, construct, validated):
                continue
            seen.add(key)
            found.append(Hazard(revision, rule, statement, (ignored or {}).get(rule.id, "")))
    return found


def _is_fine(rule: Rule, match: re.Match[str], construct: Any, validated: set[str]) -> bool:
    """Tell whether more is known that makes a statement safe."""
    if rule.id == "not-null-locks":
        return f"ck_{match[1]}_{match[2]}_not_null" in validated
    if rule.id == "type-rewrites" and isinstance(construct, ColumnType | PostgresqlColumnType):
        before: Any = construct.existing_type  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        after: Any = construct.type_  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if isinstance(before, String) and isinstance(after, String):
            longer = before.length is not None and (after.length or 0) >= before.length
            return isinstance(after, Text) or after.length is None or longer
    return False


def statements(target: MigrationTarget, script: Script) -> list[tuple[str, Any]]:
    """Return what the upgrade of a revision sends, as far as it does not ask the database."""
    sent: list[tuple[str, Any]] = []
    dialect = "postgresql" if target.dialect == "sqlite" else target.dialect  # SQLite would ask for each table
    context = configure(None, target, None, dialect=dialect, as_sql=True)

    def keep(construct: Any, *_args: Any, **_options: Any) -> None:
        sent.append((_text(construct, context.dialect), construct))

    context.impl._exec = keep  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    try:
        script.module.upgrade(Operations(context))
    except MigrationError:
        raise
    except Exception:  # noqa: BLE001 - without a database it goes as far as it goes
        return sent
    return sent


def _text(construct: Any, dialect: Any) -> str:
    if isinstance(construct, str):
        return construct
    options = {} if isinstance(construct, DDLElement) else {"literal_binds": True}
    return str(construct.compile(dialect=dialect, compile_kwargs=options)).strip()


def _short(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
