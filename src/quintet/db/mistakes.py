"""Mistakes in the declaration of a model, as problems: what was found, in which line, and how to repair it."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from quintet.errors import ConfigurationError, Problem


@contextmanager
def mistakes_of(cls: type[Any], where: str) -> Generator[None, None, None]:
    """Raise what is wrong with the declaration of a class as a problem; errors of the class's own code as they are.

    Raises:
        ConfigurationError: neither SQLAlchemy nor we can make a table of it.
    """
    try:
        yield
    except (SQLAlchemyError, TypeError, LookupError, NameError) as error:
        if _passes(error.__traceback__, where.rpartition(":")[0]):
            raise
        message, fix = explain_declaration(str(error))
        if cls.__name__ not in message:
            message = f"{cls.__name__}: {message}"
        raise ConfigurationError(Problem(id="models.class", message=message, where=where, fix=fix)) from error


def _passes(trace: TracebackType | None, file: str) -> bool:
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            return True
        trace = trace.tb_next
    return False


def explain_declaration(text: str) -> tuple[str, str]:
    """Return what an error of a declaration says, and the fix: its own, or that for one of SQLAlchemy's."""
    text = " ".join(text.partition("(Background on this error")[0].split())
    for pattern, message, fix in _KNOWN:
        if match := pattern.search(text):
            return match.expand(message), match.expand(fix)
    message, _, fix = text.rpartition("; ")
    return (message, fix) if message else (text, "correct the declaration, or import what it names")


#: SQLAlchemy's errors: a pattern, what we say instead, and the fix.
_KNOWN = [
    (re.compile(pattern), message, fix)
    for pattern, message, fix in (
        (r"Mapper\[(\w+)\(.*could not assemble any primary key", r"\1 has no key", "id: Mapped[int] = primary_key()"),
        (r"Could not resolve all types within mapped annotation: \"[\w.]*Mapped\[(?:ForwardRef\(')?(.*?)(?:'\))?\]\"",
         r"Mapped[\1] names something that is not there",
         "correct the name, or import it where the module runs"),
        (r"Type annotation for \"((?:\w+\.)*(\w+))\" can't be correctly interpreted",
         r"\1 is a column or a relation, and its annotation has no Mapped",
         r"\2: Mapped[…], or ClassVar[…] for what is neither"),
        (r"Table '([^']*)' is already defined", r"there is another model with the table '\1'",
         '__tablename__ = "other" in one of both; if it is the same, its module is loaded under two names'),
        (r"RelationshipProperty\.__init__\(\) got an unexpected keyword argument '(\w+)'",
         r"no relation has the option '\1'", "leave it out, or correct its name"),
        (r"relationship (\w+\.\w+) - there are no foreign keys linking",
         r"no foreign key leads from one side of \1 to the other",
         'give the model that refers to the other one: user_id: Mapped[int] = foreign_key("user.id")'),
    )
]  # fmt: skip
