"""Writing revisions: what separates models and database becomes a file that people read before they run it."""

from __future__ import annotations

import io
import re
import textwrap
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.autogenerate import render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from quintet.db.migrations import types
from quintet.db.migrations.compare import Comparison, compare
from quintet.db.migrations.connection import connect
from quintet.db.migrations.environment import state
from quintet.db.migrations.files import History, name_of, new_id, write
from quintet.db.migrations.renames import Ask, Renames
from quintet.db.migrations.tables import plain_percents
from quintet.db.migrations.target import APP, MigrationError, MigrationTarget


@dataclass(frozen=True, kw_only=True)
class Written:
    """A revision that was written, or none where models and database agree."""

    #: Its file.
    path: Path | None
    #: What it does.
    comparison: Comparison | None
    #: Its id.
    revision: str = ""


@dataclass(kw_only=True)
class _Code:
    upgrade: str
    downgrade: str
    imports: set[str] = field(default_factory=set[str])


def write_revision(
    target: MigrationTarget,
    message: str,
    *,
    part: str = APP,
    empty: bool = False,
    renames: Renames | None = None,
    ask: Ask | None = None,
    depends_on: Sequence[str] = (),
) -> Written:
    """Write a revision that brings a database to its models.

    Args:
        target: what is migrated.
        message: what the revision does.
        part: whose revision it is.
        empty: write one with nothing in it, for changes of data.
        renames: what is known to have been renamed.
        ask: asked about what may have been renamed.
        depends_on: revisions of other parts that must come before.

    Raises:
        MigrationError: the database lacks revisions, or there are several heads.
    """
    history = _ready(target, part, empty=empty)
    heads = history.heads(part)
    down = heads[0].revision if heads else None
    revision = new_id()
    extra = [] if not depends_on else [f"depends_on = {tuple(history.resolve(d) for d in depends_on)!r}"]
    folder = target.folders[part]
    if empty:
        path = write(folder, message=message, down=down, revision=revision, extra=extra)
        return Written(path=path, comparison=None, revision=revision)
    with connect(target, reading=True) as connection:
        found = compare(connection, target, part=part, renames=renames, ask=ask)
        if not found.operations:
            return Written(path=None, comparison=found)
        code = build_code(connection, found.operations)
    path = write(
        folder,
        message=message,
        down=down,
        upgrade=code.upgrade,
        downgrade=code.downgrade,
        imports=code.imports,
        revision=revision,
        extra=extra,
    )
    return Written(path=path, comparison=found, revision=revision)


def write_merge(target: MigrationTarget, message: str = "", *, part: str = APP) -> Path:
    """Write a revision that follows all heads of a part.

    Raises:
        MigrationError: there is one head, so there is nothing to merge.
    """
    heads = History(target).heads(part)
    if len(heads) < 2:
        raise MigrationError(f"the migrations of {part!r} have {len(heads)} heads, so there is nothing to merge")
    text = message or "merge " + " and ".join(head.revision for head in heads)
    return write(target.folders[part], message=text, down=tuple(head.revision for head in heads))


def build_code(connection: Connection, operations: Sequence[ops.MigrateOperation]) -> _Code:
    """Return the bodies of `upgrade` and `downgrade`, and what they import."""
    up = ops.UpgradeOps(list(operations))
    code = _Code(upgrade="", downgrade="")
    code.upgrade = _body(connection, _without_dropped(up), code.imports)
    code.downgrade = _body(connection, _without_dropped(up.reverse()), code.imports)
    return code


def _without_dropped(container: Any) -> Any:
    """Leave out the indexes of tables that are dropped: they go with them."""
    gone = {op.table_name for op in container.ops if isinstance(op, ops.DropTableOp)}
    left = [op for op in container.ops if not (isinstance(op, ops.DropIndexOp) and op.table_name in gone)]
    return type(container)(left)


def _ready(target: MigrationTarget, part: str, *, empty: bool) -> History:
    if part not in target.folders:
        raise MigrationError(f"there is no part {part!r}; there are {', '.join(sorted(target.folders))}")
    history = History(target)
    history.refuse_forks()
    if not empty:
        now = state(target)
        if now.interrupted:
            raise MigrationError(f"{now.interrupted[0]}\n    fix: run `quintet db upgrade`, which goes on from there")
        if now.pending:
            names = ", ".join(map(name_of, now.pending))
            raise MigrationError(f"the database {target.name!r} lacks {names}\n    fix: run `quintet db upgrade` first")
    return history


def _body(connection: Connection, container: Any, imports: set[str]) -> str:
    seen: list[AutogenContext] = []

    def render(kind: str, item: Any, autogen: AutogenContext) -> Any:
        if autogen not in seen:
            seen.append(autogen)
        return types.render(kind, item, autogen)

    context = MigrationContext.configure(dialect=plain_percents(connection.dialect))
    text = render_python_code(container, render_as_batch=True, render_item=render, migration_context=context)
    for autogen in seen:
        imports |= autogen.imports
    return _format(text)


def _format(text: str) -> str:
    """Bring generated code into the shape that a formatter would leave mostly as it is."""
    code = textwrap.dedent(f"    {text}")
    code = "\n".join(line for line in code.splitlines() if not line.strip().startswith("# ###")).strip()
    code = re.sub(r"(batch_alter_table\([^)]*?), schema=None\)", r"\1)", code)
    code = re.sub(r"^( *)(op\.create_table\()('[^']*',)$", r"\1\2\n\1\3", code, flags=re.MULTILINE)
    return re.sub(r"\n{2,}", "\n\n", _double_quotes(_indent(code)))


def _indent(code: str) -> str:
    """Indent what goes on from a line by four."""
    lines = code.splitlines()
    begin = 0
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.NEWLINE:
            first = lines[begin]
            margin = first[: len(first) - len(first.lstrip())]
            for row in range(begin + 1, token.end[0]):
                rest = lines[row].strip()
                lines[row] = margin + ("" if rest.startswith(")") else "    ") + rest
            begin = token.end[0]
        elif token.type == tokenize.NL and not lines[token.start[0] - 1].strip():
            begin = token.end[0]
    return "\n".join(lines)


def _double_quotes(code: str) -> str:
    """Quote texts as most code does, where neither quote is inside."""
    lines = code.splitlines(keepends=True)
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(code).readline) if t.type == tokenize.STRING]
    for token in reversed(tokens):
        text = token.string
        if text[0] == "'" and not text.startswith("'''") and not {'"', "\\"} & set(text):
            row = token.start[0] - 1
            line = lines[row]
            lines[row] = line[: token.start[1]] + f'"{text[1:-1]}"' + line[token.end[1] :]
    return "".join(lines)
