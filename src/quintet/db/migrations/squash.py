"""Squashing: a run of revisions becomes one, which databases that have passed them take for the last of them.

The one has the id of the last and their functions in a row. The files themselves move to `squashed/`, from where
databases in their midst still go on; once there are none, the folder can be deleted.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from alembic.script import Script

from quintet.db.migrations.files import SQUASHED, History, name_of, replaces, write
from quintet.db.migrations.target import MigrationError, MigrationTarget

_OWN = {"revision", "down_revision", "depends_on", "branch_labels", "lint_ignore", "replaces"}


@dataclass
class _Source:
    imports: dict[str, None] = field(default_factory=dict[str, None])
    helpers: dict[str, str] = field(default_factory=dict[str, str])
    functions: list[str] = field(default_factory=list[str])
    ignored: dict[str, str] = field(default_factory=dict[str, str])


def squash(target: MigrationTarget, start: str, end: str, message: str = "") -> Path:
    """Replace the revisions from one to another, both included, by one; return its file.

    Raises:
        MigrationError: they do not follow each other in one line, or their helpers have the same name.
    """
    history = History(target)
    scripts = _line(history, history.resolve(start), history.resolve(end))
    first, last = scripts[0], scripts[-1]
    folder = Path(last.path).parent
    source = _Source()
    for number, script in enumerate(scripts, 1):
        _take(source, script, number)
    count = len(scripts)
    extra = [f"replaces = {tuple(script.revision for script in scripts[:-1])!r}"]
    depends = [d for script in scripts for d in _tuple(script.dependencies)]
    if depends:
        extra.append(f"depends_on = {tuple(dict.fromkeys(depends))!r}")
    if source.ignored:
        extra.append(f"lint_ignore = {source.ignored!r}")
    extra += ["", "", "\n\n\n".join([*source.helpers.values(), *source.functions]), ""]
    path = write(
        folder,
        message=message or f"Squashed {count} revisions",
        down=first.down_revision if isinstance(first.down_revision, str) else None,
        revision=last.revision,
        upgrade="\n".join(f"_upgrade_{number}(op)" for number in range(1, count + 1)),
        downgrade="\n".join(f"_downgrade_{number}(op)" for number in range(count, 0, -1)),
        imports=[line for line in source.imports if line not in _GIVEN],
        extra=extra,
    )
    _move(scripts, folder / SQUASHED)
    return path


_GIVEN = {"from quintet.db.migrations import Operations", "import sqlalchemy as sa"}


def _line(history: History, start: str, end: str) -> list[Script]:
    """Return the revisions from one to another, each the only parent of the next."""
    scripts = [history.get(end)]
    while scripts[0].revision != start:
        parents = _tuple(scripts[0].down_revision)
        if len(parents) != 1:
            raise MigrationError(
                f"{name_of(scripts[0])} does not follow one revision, so the line to {start} breaks there"
            )
        scripts.insert(0, history.get(parents[0]))
    if len(scripts) < 2:
        raise MigrationError("one revision alone cannot be squashed; name the first and the last of several")
    inside = {script.revision for script in scripts[:-1]}
    for script in history.scripts:
        follows = set(_tuple(script.down_revision)) | set(_tuple(script.dependencies))
        if follows & inside and script not in scripts:
            raise MigrationError(f"{name_of(script)} follows a revision in their midst, so they cannot become one")
    nested = [script for script in scripts if replaces(script)]
    if nested:
        raise MigrationError(
            f"{name_of(nested[0])} was squashed itself; once every database has passed it, delete the files in "
            f"{SQUASHED}/ and its line `replaces`, then squash again"
        )
    return scripts


def _take(source: _Source, script: Script, number: int) -> None:
    text = Path(script.path).read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        segment = _segment(text, node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
                source.imports[segment] = None
        elif isinstance(node, ast.FunctionDef) and node.name in {"upgrade", "downgrade"}:
            source.functions.append(segment.replace(f"def {node.name}(", f"def _{node.name}_{number}(", 1))
        elif (names := _names(node)) and not names & _OWN:
            _keep(source, names, segment, script)
    source.ignored |= getattr(script.module, "lint_ignore", {})


def _keep(source: _Source, names: set[str], segment: str, script: Script) -> None:
    """Keep a module's own function or value."""
    for name in names:
        if source.helpers.setdefault(name, segment) != segment:
            raise MigrationError(
                f"{name_of(script)} and one before it both define {name!r}; give one another name first"
            )


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _segment(text: str, node: ast.stmt) -> str:
    decorators = getattr(node, "decorator_list", [])
    begin = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(text.splitlines()[begin - 1 : node.end_lineno])


def _move(scripts: list[Script], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for script in scripts:
        Path(script.path).rename(folder / Path(script.path).name)


def _tuple(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)  # pyright: ignore[reportArgumentType, reportUnknownVariableType]
