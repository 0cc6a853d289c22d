"""What is wrong with an app's models, found when it starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from quintet.db.defaults import wrong_defaults
from quintet.db.mistakes import explain_declaration
from quintet.db.model import bases
from quintet.db.rounding import places_of
from quintet.errors import Problem

if TYPE_CHECKING:
    from quintet.db.database import Database


def check_models(database: Database) -> list[Problem]:
    """Return what is wrong with the models of a database: what leads nowhere, texts that cannot be keys."""
    problems: list[Problem] = []
    for base in bases():
        if base.__database__ != database.label:
            continue
        try:
            base.registry.configure()
        except (SQLAlchemyError, LookupError) as error:
            problems.append(_relation_problem(base, str(error)))
        problems += wrong_defaults(base)
        problems += _keys_to_others(base)
        problems += _keys_to_nothing(base)
        if database.dialect in _NEED_LENGTHS:
            problems += _texts_without_length(base, database.dialect)
        problems += _long_names(base, database.dialect)
        if database.dialect == "sqlite":
            problems += _long_decimals(base)
    return problems


#: How SQLAlchemy names the class that a relation does not find.
_LOST = re.compile(r"failed to locate a name \('?(\w+)'?\)")


def _relation_problem(base: type[Any], text: str) -> Problem:
    """Return what is wrong with a relation, as SQLAlchemy or we say it, and the class in which it stands."""
    message, fix = explain_declaration(text)
    lost, classes = _LOST.search(text), {mapper.class_.__name__: mapper.class_ for mapper in base.registry.mappers}
    for other in bases() if lost else ():
        elsewhere = other.__database__ != base.__database__
        if elsewhere and lost and any(mapper.class_.__name__ == lost[1] for mapper in other.registry.mappers):
            fix = (
                f"{lost[1]} lives in the database {other.__database__!r}, this model in {base.__database__!r}: write "
                "the key as a column of its own, without a relation, and ask for the rows in a query of their own"
            )
    named = next((classes[word] for word in re.findall(r"\w+", message) if word in classes), None)
    return Problem(id="models.relations", message=message, where=getattr(named, "__quintet_where__", ""), fix=fix)


def _keys_to_others(base: type[Any]) -> list[Problem]:
    """Return the foreign keys to tables of another database, which no database has."""
    others = {
        name: other.__database__ for other in bases() if other.__database__ != base.__database__
        for name in other.metadata.tables
    }  # fmt: skip
    found: list[Problem] = []
    for table in base.metadata.tables.values():
        for key in sorted(table.foreign_keys, key=lambda k: k.target_fullname):
            target = key.target_fullname.rpartition(".")[0]
            if target not in base.metadata.tables and target in others:
                found.append(
                    Problem(
                        id="models.foreign_key",
                        message=f"{table.name}.{key.parent.name} refers to the table {target!r}, which is in the "
                        f"database {others[target]!r}, and {table.name!r} is in {base.__database__!r}",
                        fix="write it without foreign_key(): a database cannot refer to rows of another",
                    )
                )
    return found


def _keys_to_nothing(base: type[Any]) -> list[Problem]:
    """Return the foreign keys to tables and columns that there are not: SQLAlchemy looks when a row is saved."""
    foreign = [other for other in bases() if other.__database__ != base.__database__]
    elsewhere = {name for other in foreign for name in other.metadata.tables}
    problems: list[Problem] = []
    for table in base.metadata.tables.values():
        for key in table.foreign_keys:
            if key.target_fullname.rpartition(".")[0] in elsewhere - set(base.metadata.tables):
                continue  # `_keys_to_others` says more
            try:
                _ = key.column
            except SQLAlchemyError:
                problems.append(
                    Problem(
                        id="models.references",
                        message=f"{table.name}.{key.parent.name} refers to {key.target_fullname!r}, which there is not",
                        fix='name a table and its column, foreign_key("user.id"), and import the model that has it',
                    )
                )
    return sorted(problems, key=lambda problem: problem.message)


_NEED_LENGTHS = ("mysql", "mariadb", "oracle")


def _texts_without_length(base: type[Any], dialect: str) -> list[Problem]:
    problems: list[Problem] = []
    for table in base.metadata.tables.values():
        keyed: set[Any] = set(table.primary_key)
        keyed |= {c for u in table.constraints if isinstance(u, sa.UniqueConstraint) for c in u.columns}
        keyed |= {c for index in table.indexes for c in index.columns}
        problems += [
            Problem(
                id="models.length",
                message=f"{table.name}.{column.name} is indexed, and {dialect} indexes no text without a length",
                fix="give it one: Mapped[Annotated[str, Meta(max_length=100)]]",
            )
            for column in table.columns
            if column in keyed and isinstance(column.type, sa.Text)
        ]
    return problems


#: How long the names of tables and columns may be: PostgreSQL and Oracle count bytes, the others characters.
_LONGEST_NAMES = {"postgresql": 63, "mysql": 64, "mariadb": 64, "oracle": 128}


def _long_names(base: type[Any], dialect: str) -> list[Problem]:
    """Return the names that a database would cut off or refuse; those of constraints are shortened by themselves."""
    limit = _LONGEST_NAMES.get(dialect)
    if limit is None:
        return []
    in_bytes = dialect in ("postgresql", "oracle")
    names = [
        (kind, name, where)
        for table in base.metadata.tables.values()
        for kind, name, where in [
            ("table", table.name, ""), *(("column", c.name, f" of table {table.name}") for c in table.columns)
        ]
    ]  # fmt: skip
    return [
        Problem(
            id="models.name",
            message=f"the name of {kind} {name!r}{where} is longer than the {limit} "
            f"{'bytes' if in_bytes else 'characters'} that {dialect} has for names",
            fix='give it a shorter one: __tablename__ = "short", or through="short" for the table between two models'
            if kind == "table"
            else 'give it a shorter one: column("short")',
        )
        for kind, name, where in names
        if len(name.encode() if in_bytes else name) > limit
    ]


#: The digits of a decimal that SQLite keeps, which has none but the machine's own numbers.
_SQLITE_DIGITS = 15


def _long_decimals(base: type[Any]) -> list[Problem]:
    return [
        Problem(
            id="models.digits",
            message=f"{table.name}.{column.name} has {column.type.precision} digits, "
            f"and SQLite keeps {_SQLITE_DIGITS} of a number",
            fix=f"give it Precision.of({_SQLITE_DIGITS}, …) at most, or use a database that has decimals",
        )
        for table in base.metadata.tables.values()
        for column in table.columns
        if places_of(column) is not None and (column.type.precision or 0) > _SQLITE_DIGITS
    ]
