"""Names that follow from others: tables from classes, constraints from tables and columns."""

from __future__ import annotations

import re

#: How constraints and indexes are called where they have no name of their own; migrations refer to them by these.
CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
}

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def table_name(class_name: str) -> str:
    """Return the name of a class's table: `OrderLine` has `order_line`, `HTTPLog` has `http_log`."""
    return _WORDS.sub("_", class_name).lower()


def link_table_name(one: str, other: str) -> str:
    """Return the name of the table between two tables: the two names in the order of the alphabet."""
    return "_".join(sorted((one, other)))
