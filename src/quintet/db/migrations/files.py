"""Revision files: reading them into one history, naming and writing them.

A revision is a Python file with `revision`, `down_revision`, `upgrade(op)` and `downgrade(op)`. Where several were
squashed into one, it has the id of the last and names the others in `replaces`; their files wait in `squashed/` for
databases that are in the midst of them.
"""

from __future__ import annotations

import datetime
import importlib.util
import re
import secrets
import textwrap
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from alembic.script import Script, ScriptDirectory
from alembic.script.revision import ResolutionError, RevisionError, RevisionMap
from alembic.util import CommandError

from quintet.db.migrations.target import APP, MigrationError, MigrationTarget
from quintet.errors import ConfigurationError, Problem

#: The folder of the revisions that were squashed.
SQUASHED = "squashed"
_DIALECTS = "from sqlalchemy.dialects import "

_TEMPLATE = '''"""{message}."""

{imports}

revision: str = "{revision}"
down_revision: str | tuple[str, ...] | None = {down}
{extra}

def upgrade(op: Operations) -> None:
    {upgrade}


def downgrade(op: Operations) -> None:
    {downgrade}
'''


class History:
    """The revisions of a target, as they are for a database at `heads`."""

    def __init__(self, target: MigrationTarget, heads: Collection[str] = ()) -> None:
        self.target = target
        #: The part of each revision.
        self.parts: dict[str, str] = {}
        self.directory: ScriptDirectory = ScriptDirectory(target.folder if target.folder.is_dir() else Path())
        scripts = self._load(set(heads))
        self.directory.revision_map = RevisionMap(lambda: scripts)
        self._check(scripts)
        self.scripts: list[Script] = scripts

    def _load(self, heads: set[str]) -> list[Script]:
        found: list[Script] = []
        for part, folder in self.target.folders.items():
            for path in sorted(folder.glob("*.py")):
                script = self._read(path)
                originals = self._originals(script, folder, heads)
                for one in originals or [script]:
                    self.parts[one.revision] = part
                    found.append(one)
        return found

    def _originals(self, script: Script, folder: Path, heads: set[str]) -> list[Script]:
        """Return the revisions that were squashed, where the database is in their midst."""
        replaced = set(replaces(script))
        here = replaced & heads
        if not here:
            return []
        scripts = [self._read(path) for path in sorted((folder / SQUASHED).glob("*.py"))]
        scripts = [s for s in scripts if s.revision in replaced or s.revision == script.revision]
        if not here <= {s.revision for s in scripts}:
            raise MigrationError(
                f"the database {self.target.name!r} is at {', '.join(sorted(here))}, in the midst of revisions that "
                f"were squashed into {Path(script.path).name}, and their files are gone\n"
                f"    fix: upgrade it once with a version that has them in {folder / SQUASHED}"
            )
        return scripts

    def _read(self, path: Path) -> Script:
        module = _import(path)
        revision = getattr(module, "revision", None)
        if not isinstance(revision, str) or not re.fullmatch(r"\w{1,32}", revision):
            raise _problem(
                "migrations.file", f"no revision, but {revision!r}", path, 'write: revision = "…", 1 to 32 letters'
            )
        for name in ("upgrade", "downgrade"):
            if not callable(getattr(module, name, None)):
                raise _problem("migrations.file", f"no function {name}(op)", path, f"define {name}, even if it raises")
        return Script(module, revision, str(path))

    def _check(self, scripts: Sequence[Script]) -> None:
        problems: list[Problem] = []
        seen: dict[str, Script] = {}
        for script in scripts:
            if script.revision in seen:
                message = f"revision {script.revision} is {Path(seen[script.revision].path).name}'s already"
                problems.append(_problem_of("migrations.duplicate", message, Path(script.path), "give it another id"))
            seen[script.revision] = script
        for script in scripts:
            parents = [*_tuple(script.down_revision), *_tuple(script.dependencies)]
            for parent in parents:
                if parent not in seen:
                    message = f"there is no revision {parent}, which should come before"
                    fix = "restore its file, or correct down_revision and depends_on"
                    problems.append(_problem_of("migrations.parent", message, Path(script.path), fix))
        if problems:
            raise ConfigurationError(problems)
        try:
            _ = self.directory.revision_map.heads
        except RevisionError as exc:
            raise ConfigurationError(
                _problem_of("migrations.cycle", str(exc), self.target.folder, "correct down_revision in these files")
            ) from exc

    def heads(self, part: str = APP) -> list[Script]:
        """Return the last revisions of a part; more than one need merging."""
        own = [s for s in self.scripts if self.parts[s.revision] == part]
        before = {parent for s in own for parent in _tuple(s.down_revision)}
        return [s for s in own if s.revision not in before]

    def forks(self) -> dict[str, list[Script]]:
        """Return the parts that have several heads."""
        return {part: heads for part in self.target.folders if len(heads := self.heads(part)) > 1}

    def refuse_forks(self) -> None:
        """Raise where a part has several heads: which comes last is for people to say."""
        for part, heads in self.forks().items():
            names = ", ".join(map(name_of, heads))
            raise MigrationError(
                f"the migrations of {part!r} have {len(heads)} heads: {names}\n"
                f"    fix: run `quintet db merge`, or let one follow the other by its down_revision"
            )

    def resolve(self, text: str) -> str:
        """Return the id for an id or its beginning, the name of a file or the words in it, or a part, for its head."""
        if text in {"base", "head", "heads"} or re.fullmatch(r"[+-]\d+", text):
            return "heads" if text == "head" else text
        stem = text.removesuffix(".py")
        named = [s for s in self.scripts if stem in {Path(s.path).stem, s.revision}]
        named = named or [s for s in self.scripts if Path(s.path).stem.endswith(f"_{stem}")]
        named = named or [s for s in self.scripts if s.revision.startswith(text)]
        if len(named) == 1:
            return named[0].revision
        if not named and text in self.target.folders and self.heads(text):
            return self.heads(text)[0].revision
        found = "no revision" if not named else "several revisions: " + ", ".join(map(name_of, named)) + ","
        raise MigrationError(f"{found} of the name {text!r}; `quintet db history` lists them")

    def get(self, revision: str) -> Script:
        """Return a revision.

        Raises:
            MigrationError: there is none.
        """
        try:
            script = self.directory.revision_map.get_revision(revision)
        except (ResolutionError, CommandError):
            script = None
        if script is None:
            raise MigrationError(
                f"the database {self.target.name!r} is at revision {revision}, which has no file\n"
                f"    fix: get the file from whoever upgraded it, or restore a copy of the database"
            )
        return cast("Script", script)

    def applied(self, heads: Collection[str]) -> set[str]:
        """Return all revisions that a database at these heads has."""
        found: set[str] = set()
        waiting = list(heads)
        while waiting:
            script = self.get(waiting.pop())
            if script.revision in found:
                continue
            found.add(script.revision)
            waiting += [*_tuple(script.down_revision), *_tuple(script.dependencies)]
        return found

    def ordered(self) -> list[Script]:
        """Return all revisions, each after what it follows."""
        return list(self.directory.walk_revisions())[::-1]


def replaces(script: Script) -> tuple[str, ...]:
    """Return the ids of the revisions that a squashed one stands for, its own left out."""
    return tuple(getattr(script.module, "replaces", ()))


def name_of(script: Script) -> str:
    """Return how a revision is named to people: the file, whose name tells the date and what it does."""
    return f"{script.revision} ({Path(script.path).name})"


def new_id() -> str:
    """Return an id for a revision."""
    return secrets.token_hex(4)


def write(
    folder: Path,
    *,
    message: str,
    down: str | tuple[str, ...] | None,
    upgrade: str = "",
    downgrade: str = "",
    imports: Iterable[str] = (),
    revision: str = "",
    extra: Sequence[str] = (),
    now: datetime.datetime | None = None,
) -> Path:
    """Write a revision file and return its path."""
    now = now or datetime.datetime.now(datetime.UTC)
    while any(folder.glob(f"{now:%Y%m%d_%H%M%S}_*")):  # a list by name is in the order of writing
        now += datetime.timedelta(seconds=1)
    slug = re.sub(r"\W+", "_", message.lower()).strip("_")[:50].strip("_") or "revision"
    path = folder / f"{now:%Y%m%d_%H%M%S}_{slug}.py"
    revision = revision or new_id()
    folder.mkdir(parents=True, exist_ok=True)
    text = _TEMPLATE.format(
        message=message.rstrip(".").replace("\\", "\\\\").replace('"""', "'''"),
        imports=_imports(imports, upgrade + downgrade + "".join(extra)),
        revision=revision,
        down=repr(down).replace("'", '"'),
        extra="".join(f"{line}\n" for line in extra),
        upgrade=textwrap.indent(upgrade.strip() or "pass", "    ").strip(),
        downgrade=textwrap.indent(downgrade.strip() or "pass", "    ").strip(),
    )
    path.write_text(text, encoding="utf-8")
    return path


def _imports(more: Iterable[str], body: str) -> str:
    """Return the imports that a body needs, as a formatter would order them."""
    lines = {line for line in more if not line.startswith(_DIALECTS)}
    dialects = sorted(line.removeprefix(_DIALECTS) for line in more if line.startswith(_DIALECTS))
    if dialects:
        lines.add(_DIALECTS + ", ".join(dialects))
    if re.search(r"\bsa\.", body):
        lines.add("import sqlalchemy as sa")
    third = sorted(lines, key=lambda line: (line.startswith("from "), line))
    groups = ["\n".join(third), "from quintet.db.migrations import Operations"]
    return "\n\n".join(group for group in groups if group)


def _import(path: Path) -> ModuleType:
    """Return the module of a file; a file that did not change is read once."""
    now = path.stat()
    return _import_once(path, (now.st_mtime_ns, now.st_size))


@lru_cache(maxsize=10_000)
def _import_once(path: Path, _state: tuple[int, int]) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_quintet_migration_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        raise _problem(
            "migrations.import", f"{type(exc).__name__}: {exc}", path, "repair the file; a revision imports little"
        ) from exc
    return module


def _tuple(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _problem_of(id: str, message: str, path: Path, fix: str) -> Problem:
    return Problem(id=id, message=message, where=str(path), fix=fix)


def _problem(id: str, message: str, path: Path, fix: str) -> ConfigurationError:
    return ConfigurationError(_problem_of(id, message, path, fix))
