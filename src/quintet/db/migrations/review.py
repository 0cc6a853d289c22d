"""Reviewing: whether revisions, database and models agree, as problems with their fixes."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from quintet.db.migrations.compare import compare
from quintet.db.migrations.connection import connect
from quintet.db.migrations.describe import describe
from quintet.db.migrations.environment import State, state
from quintet.db.migrations.files import History, name_of
from quintet.db.migrations.lint import Hazard, lint
from quintet.db.migrations.target import MigrationError, MigrationTarget
from quintet.errors import ConfigurationError, Problem

#: The id of the problem that a database lacks revisions.
PENDING = "migrations.pending"


def review(target: MigrationTarget) -> list[Problem]:
    """Return everything that keeps a database from being what the models say."""
    try:
        forks = History(target).forks()
        now = state(target)
    except ConfigurationError as exc:
        return exc.problems
    except MigrationError as exc:
        return [_problem("migrations.state", str(exc), target, "")]
    except SQLAlchemyError as exc:
        return [_problem("migrations.connect", _first_line(exc), target, "see that the database is reached")]
    found = [
        _problem(
            "migrations.heads",
            f"the migrations of {part!r} have {len(heads)} heads: {', '.join(map(name_of, heads))}",
            target,
            "run `quintet db merge`, or let one follow the other by its down_revision",
        )
        for part, heads in forks.items()
    ]
    found += _of_state(target, now)
    return found or drift(target)


def _of_state(target: MigrationTarget, now: State) -> list[Problem]:
    found = [
        _problem("migrations.interrupted", str(item), target, "run `quintet db upgrade`, which goes on from there")
        for item in now.interrupted
    ]
    if now.pending:
        names = ", ".join(map(name_of, now.pending))
        found.append(_problem(PENDING, f"the database lacks {names}", target, "run `quintet db upgrade`"))
    return found


def missing(target: MigrationTarget) -> list[Problem]:
    """Return what keeps an app from starting: revisions that the database lacks, or half has."""
    try:
        return _of_state(target, state(target))
    except ConfigurationError as exc:
        return exc.problems
    except MigrationError as exc:
        return [_problem("migrations.state", str(exc), target, "")]
    except SQLAlchemyError as exc:
        return [_problem("migrations.connect", _first_line(exc), target, "see that the database is reached")]


def drift(target: MigrationTarget) -> list[Problem]:
    """Return where models and an upgraded database differ."""
    with connect(target, reading=True) as connection:
        found = compare(connection, target)
    fix = 'run `quintet db revision -m "…"`, and read what it writes'
    differences = [_problem("migrations.drift", line, target, fix) for line in describe(found.operations)]
    other = "see to it by hand; to compare CHECKs and expressions takes the right to make temporary tables"
    return differences + [_problem("migrations.uncompared", note, target, other) for note in found.notes]


def hazards(target: MigrationTarget, revisions: list[str] | None = None, *, everything: bool = False) -> list[Hazard]:
    """Return what is unsafe in revisions: those named, all, or those that the database lacks."""
    history = History(target)
    if revisions:
        scripts = [history.get(history.resolve(text)) for text in revisions]
    else:
        scripts = history.ordered() if everything else list(state(target).pending)
    return lint(target, scripts, history)


def _problem(id: str, message: str, target: MigrationTarget, fix: str) -> Problem:
    where = "" if target.name == "default" else f"database {target.name}"
    return Problem(id=id, message=message, where=where, fix=fix)


def _first_line(exc: Exception) -> str:
    return str(exc).splitlines()[0]
