"""SQL expressions as databases store them: split into tokens, brought to one form, and found in CREATE TABLE."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<text>'(?:[^']|'')*')
  | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[A-Za-z_][^\]]*\])
  | (?P<word>[^\W\d]\w*)
  | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)
  | (?P<sign>::|<>|!=|<=|>=|\|\||->>|->|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SAME = {"!=": "<>"}


class Token(NamedTuple):
    """A piece of SQL."""

    kind: str
    #: The piece in one form: words in lower case, names without quotes.
    value: str
    start: int
    end: int


class Check(NamedTuple):
    """A CHECK constraint of a table: its name, or None, and its condition."""

    name: str | None
    condition: str


def tokens(sql: str) -> Iterator[Token]:
    """Split SQL into tokens, without space and comments."""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "sign"
        if kind == "space":
            continue
        value = match[0]
        if kind == "name":
            closing = "]" if value[0] == "[" else value[0]
            value = value[1:-1].replace(closing * 2, closing)
        elif kind == "word":
            value = value.lower()
        elif kind == "sign":
            value = _SAME.get(value, value)
        yield Token(kind, value, match.start(), match.end())


def normalise(sql: str) -> str:
    """Return an expression in one form: two that differ in it may still mean the same."""
    found = list(tokens(sql))
    while len(found) > 1 and found[0].value == "(" and _closing(found, 0) == len(found) - 1:
        found = found[1:-1]
    return " ".join(token.value if token.kind != "name" else token.value.lower() for token in found)


def renamed(sql: str, names: dict[str, str]) -> str:
    """Return SQL with other names for columns; what is a text or a function stays."""
    if not names:
        return sql
    found = list(tokens(sql))
    out: list[str] = []
    end = 0
    for index, token in enumerate(found):
        following = found[index + 1].value if index + 1 < len(found) else ""
        if token.kind in {"word", "name"} and token.value in names and (token.kind == "name" or following != "("):
            new = names[token.value]
            quote = sql[token.start] if token.kind == "name" else ""
            out += [sql[end : token.start], f"{quote}{new}{']' if quote == '[' else quote}"]
            end = token.end
    return "".join(out) + sql[end:]


def find_checks(create_table: str) -> list[Check]:
    """Return the CHECK constraints of a CREATE TABLE statement."""
    found = list(tokens(create_table))
    checks: list[Check] = []
    for index, token in enumerate(found):
        if token.kind != "word" or token.value != "check" or index + 1 >= len(found) or found[index + 1].value != "(":
            continue
        named = index >= 2 and found[index - 2].kind == "word" and found[index - 2].value == "constraint"
        start, end = found[index + 1].end, found[_closing(found, index + 1)].start
        name = found[index - 1] if named else None
        checks.append(Check(None if name is None else create_table_name(create_table, name), create_table[start:end]))
    return checks


def find_formula(create_table: str, column: str) -> str | None:
    """Return what computes a column of a CREATE TABLE statement; None where nothing does."""
    found = list(tokens(create_table))
    depth, mine = 0, False
    for index, token in enumerate(found):
        if token.kind == "sign":
            depth += {"(": 1, ")": -1}.get(token.value, 0)
        if depth == 1 and token.value in ("(", ",") and index + 1 < len(found):
            mine = found[index + 1].value.lower() == column.lower()
        elif mine and token.value == "as" and token.kind == "word" and found[index + 1].value == "(":
            return create_table[found[index + 1].end : found[_closing(found, index + 1)].start]
    return None


def split_index(body: str) -> tuple[str, str, str]:
    """Split what follows the table in CREATE INDEX: the columns, PostgreSQL's method, the condition."""
    found = list(tokens(body))
    opening = next(index for index, token in enumerate(found) if token.value == "(")
    closing = _closing(found, opening)
    method = found[1].value if found[0].value == "using" else ""
    where = next((token.end for token in found[closing:] if token.value == "where"), None)
    columns = body[found[opening].end : found[closing].start]
    return columns.strip(), method, "" if where is None else body[where:].strip()


def create_table_name(sql: str, token: Token) -> str:
    """Return a name as it was written, without its quotes."""
    return token.value if token.kind == "name" else sql[token.start : token.end]


def _closing(found: list[Token], opening: int) -> int:
    """Return the index of the parenthesis that closes another; the last token where none does."""
    depth = 0
    for index in range(opening, len(found)):
        if found[index].kind == "sign":
            depth += {"(": 1, ")": -1}.get(found[index].value, 0)
            if depth == 0:
                return index
    return len(found) - 1
