"""`quintet db`: migrations of an app's databases."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from quintet.cli._serving import start_or_exit
from quintet.cli.load import load_own_app
from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from quintet.db.database import Database
    from quintet.db.migrations.renames import Ask
    from quintet.db.migrations.revision import Written
    from quintet.db.migrations.target import MigrationTarget


class _Group(click.Group):
    """Errors of migrations are printed without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            from sqlalchemy.exc import SQLAlchemyError

            from quintet.db.migrations.target import MigrationError
        except ModuleNotFoundError as exc:
            raise click.ClickException(f"{exc.name} is not installed\n    fix: pip install 'quintet[db]'") from None
        try:
            return super().invoke(ctx)
        except MigrationError as exc:
            raise click.ClickException(str(exc)) from None
        except SQLAlchemyError as exc:
            notes = "".join(f"\n{note}" for note in getattr(exc, "__notes__", ()))
            raise click.ClickException(str(exc).partition("\n(Background on this error")[0] + notes) from None


@click.group("db", cls=_Group)
@click.option("--app", "-a", metavar="TARGET", help="The app, FILE.py or module:app.")
@click.option("--database", "-d", "name", help="One database alone, where the app has several.")
@click.pass_context
def command(ctx: click.Context, app: str | None, name: str | None) -> None:
    """Change the tables of a database as its models change."""
    ctx.obj = (app, name)


def _targets(ctx: click.Context) -> list[MigrationTarget]:
    from quintet.db.migrations.plugin import targets_of

    app, name = ctx.obj
    found = start_or_exit(lambda: targets_of(load_own_app(app)))
    if name is None:
        return found
    chosen = [target for target in found if target.name == name]
    if not chosen:
        names = ", ".join(repr(target.name) for target in found)
        raise click.ClickException(f"the app has no database {name!r}; it has {names}")
    return chosen


def _target(ctx: click.Context) -> MigrationTarget:
    """Return the database that a command is about, which must be one."""
    found = _targets(ctx)
    if len(found) > 1:
        names = ", ".join(repr(target.name) for target in found)
        raise click.ClickException(f"the app has several databases: {names}\n    fix: quintet db --database NAME …")
    return found[0]


def _headed(targets: Sequence[MigrationTarget]) -> Iterable[MigrationTarget]:
    for target in targets:
        if len(targets) > 1:
            click.echo(f"database {target.name}:")
        yield target


@command.command("init")
@click.pass_context
def init(ctx: click.Context) -> None:
    """Make the folder of the revisions."""
    for target in _headed(_targets(ctx)):
        target.folder.mkdir(parents=True, exist_ok=True)
        click.echo(f'{_shown(target.folder)} is there; next: quintet db revision -m "…"')


@command.command("revision")
@click.option("--message", "-m", required=True, help="What it does, in a few words.")
@click.option("--empty", is_flag=True, help="With nothing in it, for changes of data.")
@click.option("--rename", multiple=True, metavar="OLD:NEW", help="What was renamed: TABLE:NEW or TABLE.COLUMN:NEW.")
@click.option("--no-input", is_flag=True, help="Do not ask about renames: what went is dropped.")
@click.option("--part", default="app", help="The plugin whose revision it is; the app's own otherwise.")
@click.option("--depends-on", multiple=True, metavar="REVISION", help="A revision of another part that comes before.")
@click.pass_context
def revision(
    ctx: click.Context,
    message: str,
    empty: bool,
    rename: tuple[str, ...],
    no_input: bool,
    part: str,
    depends_on: tuple[str, ...],
) -> None:
    """Write a revision that brings the database to its models; with several databases, one for each that differs."""
    from quintet.db.migrations.renames import parse
    from quintet.db.migrations.revision import write_revision

    # What is said of one database does not fit the others.
    one = empty or bool(rename) or bool(depends_on) or part != "app"
    for target in [_target(ctx)] if one else _headed(_targets(ctx)):
        written = write_revision(
            target,
            message,
            part=part,
            empty=empty,
            renames=parse(rename),
            ask=None if no_input else _ask(),
            depends_on=depends_on,
        )
        _report(target, written)


def _report(target: MigrationTarget, written: Written) -> None:
    from quintet.db.migrations.describe import describe
    from quintet.db.migrations.review import hazards

    if written.comparison is not None:
        for line in describe(written.comparison.operations):
            click.echo(line)
        for note in [*written.comparison.notes, *written.comparison.hints]:
            click.echo(f"note: {note}")
    if written.path is None:
        click.echo("models and database agree: nothing to write")
        return
    click.echo(f"wrote {_shown(written.path)}")
    for hazard in hazards(target, [written.revision]):
        click.echo(f"unsafe: {hazard}")


def _ask() -> Ask:
    """Return what asks about renames: on a terminal a person, elsewhere nobody may be asked."""
    if sys.stdin.isatty():
        return lambda question: click.confirm(question, default=False)

    def refuse(question: str) -> bool:
        raise click.ClickException(
            f"{question}\n    fix: say so with --rename OLD:NEW, or that nothing was renamed with --no-input"
        )

    return refuse


@command.command("upgrade")
@click.argument("revision", default="heads")
@click.option("--record-only", is_flag=True, help="Run nothing: the database has these tables already.")
@click.pass_context
def upgrade(ctx: click.Context, revision: str, record_only: bool) -> None:
    """Apply what the database lacks, up to REVISION."""
    from quintet.db.migrations.environment import upgrade as run

    for target in _headed(_targets(ctx)):
        if not run(target, revision, report=click.echo, record_only=record_only):
            click.echo("nothing to do: the database has every revision")


# `-1` is not an option.
@command.command("downgrade", context_settings={"ignore_unknown_options": True})
@click.argument("revision")
@click.pass_context
def downgrade(ctx: click.Context, revision: str) -> None:
    """Take revisions back down to REVISION, which stays; `base` takes back all, `-1` the last."""
    from quintet.db.migrations.environment import downgrade as run

    if not run(_target(ctx), revision, report=click.echo):
        click.echo("nothing to do: the database is not beyond it")


@command.command("current")
@click.pass_context
def current(ctx: click.Context) -> None:
    """Show where the database is."""
    from quintet.db.migrations.environment import state
    from quintet.db.migrations.files import History, name_of

    for target in _headed(_targets(ctx)):
        now = state(target)
        history = History(target, now.heads)
        for head in now.heads:
            click.echo(name_of(history.get(head)))
        if not now.heads:
            click.echo("no revision is applied")
        for item in now.interrupted:
            click.echo(f"interrupted: {item}")
        for script in now.pending:
            click.echo(f"pending: {name_of(script)}")


@command.command("history")
@click.pass_context
def history(ctx: click.Context) -> None:
    """List the revisions, the newest first."""
    from quintet.db.migrations.environment import state
    from quintet.db.migrations.files import History, name_of

    for target in _headed(_targets(ctx)):
        now = state(target)
        revisions = History(target, now.heads)
        applied = revisions.applied(now.heads)
        several = len(target.folders) > 1
        for script in reversed(revisions.ordered()):
            mark = "x" if script.revision in applied else " "
            part = f" [{revisions.parts[script.revision]}]" if several else ""
            click.echo(f"[{mark}] {name_of(script)}{part}: {script.doc}")


@command.command("check")
@click.option("--lint", "with_lint", is_flag=True, help="Unsafe revisions that wait to be applied are errors too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(ctx: click.Context, with_lint: bool, as_json: bool) -> None:
    """Exit with 1 where models, revisions and database do not agree."""
    from quintet.db.migrations.review import hazards, review

    problems: list[Problem] = []
    notes: list[str] = []
    for target in _targets(ctx):
        problems += review(target)
        for hazard in hazards(target) if with_lint and not any(p.id in _UNREADABLE for p in problems) else []:
            if hazard.silenced:
                notes.append(str(hazard))
            else:
                where, message = hazard.revision, f"{hazard.rule.message}: {hazard.statement}"
                problems.append(Problem(id=hazard.rule.id, message=message, where=where, fix=hazard.rule.recipe))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(problems)).decode())
    else:
        for line in [*notes, *map(str, problems)]:
            click.echo(line)
        if not problems:
            click.echo("models, revisions and database agree")
    if problems:
        raise SystemExit(1)


_UNREADABLE = {"migrations.state", "migrations.connect", "migrations.file", "migrations.import", "migrations.parent"}


@command.command("lint")
@click.argument("revisions", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All revisions, not only those that wait to be applied.")
@click.pass_context
def lint(ctx: click.Context, revisions: tuple[str, ...], everything: bool) -> None:
    """Exit with 1 where a revision that waits to be applied would stop a running site."""
    from quintet.db.migrations.review import hazards

    found = [h for target in _targets(ctx) for h in hazards(target, list(revisions), everything=everything)]
    for hazard in found:
        click.echo(str(hazard))
    if any(not hazard.silenced for hazard in found):
        raise SystemExit(1)
    if not found:
        click.echo("nothing unsafe")


@command.command("sql")
@click.argument("revisions", default="base:heads", metavar="[START:END]")
@click.option("--down", is_flag=True, help="The SQL that takes START back to END.")
@click.pass_context
def sql(ctx: click.Context, revisions: str, down: bool) -> None:
    """Print the SQL from one revision to another, for others to run: `base:heads`, `3f9ac1d2:heads`."""
    from quintet.db.migrations.environment import sql as build

    start, separator, end = revisions.partition(":")
    if not separator:
        start, end = ("base", start) if not down else (start, "base")
    click.echo(build(_target(ctx), start, end, up=not down), nl=False)


@command.command("squash")
@click.argument("first")
@click.argument("last")
@click.option("--message", "-m", default="", help="What they do together.")
@click.pass_context
def squash(ctx: click.Context, first: str, last: str, message: str) -> None:
    """Replace the revisions from FIRST to LAST by one."""
    from quintet.db.migrations.squash import squash as run

    path = run(_target(ctx), first, last, message)
    click.echo(f"wrote {_shown(path)}; the files it stands for are in {_shown(path.parent / 'squashed')}")


@command.command("merge")
@click.option("--message", "-m", default="", help="Why there were two.")
@click.option("--part", default="app", help="The plugin whose heads they are; the app's own otherwise.")
@click.pass_context
def merge(ctx: click.Context, message: str, part: str) -> None:
    """Write a revision that follows all heads."""
    from quintet.db.migrations.revision import write_merge

    click.echo(f"wrote {_shown(write_merge(_target(ctx), message, part=part))}")


@command.command("seed")
@click.pass_context
def seed(ctx: click.Context) -> None:
    """Fill the database with what it should begin with."""
    app = start_or_exit(lambda: load_own_app(ctx.obj[0]))
    databases: dict[str, Database] = app.state.get("quintet.db", {})
    targets = [target for target in _targets(ctx) if target.seed is not None]
    if not targets:
        fix = "App(plugins=[Database(…), Migrations(seed=function)])"
        raise ConfigurationError(Problem(id="migrations.seed", message="the app has no function that seeds", fix=fix))
    for target in _headed(targets):
        start_or_exit(lambda target=target: _seed(target, databases.values()))
        click.echo("seeded")


def _seed(target: MigrationTarget, databases: Iterable[Database]) -> None:
    """Call the function that seeds a database.

    Raises:
        ConfigurationError: it failed, and the database lacks what the models have: a line says more than the traceback.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from quintet.db.migrations.glance import lacking

    assert target.seed is not None
    try:
        _call(target.seed, databases)
    except SQLAlchemyError:
        problems = lacking(target)
        if problems:
            raise ConfigurationError(problems) from None
        raise


def _call(function: Callable[[], object], databases: Iterable[Database]) -> None:
    """Call a function that seeds, and close its connections: SQLite then leaves one file, without a log beside it."""
    result = function()

    async def finish() -> None:
        try:
            if inspect.isawaitable(result):
                await result
        finally:
            for database in databases:
                await database.dispose()

    asyncio.run(finish())


def _shown(path: Path) -> Path:
    """Return a path as people would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
