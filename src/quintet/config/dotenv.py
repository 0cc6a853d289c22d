r"""The `.env` file: `KEY=value` lines.

    # a comment
    export NAME=plain value        # a comment after a space
    KEY='as it is, over several lines if need be'
    KEY="with \n, \r, \t, \", \\ and \$ as escapes"

Nothing is expanded: `$` is a dollar. Of a name that comes twice the last value counts.
"""

from __future__ import annotations

import re

from quintet.errors import Problem

_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_START = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_SINGLE = re.compile(r"'(?P<value>[^']*)'")
_DOUBLE = re.compile(r'"(?P<value>(?:[^"\\]|\\.)*)"', re.DOTALL)
_LINE = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:^|[ \t])#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def read_dotenv(text: str, name: str = ".env") -> tuple[dict[str, str], list[Problem]]:
    """Return the values of a `.env` file and what is wrong with its other lines. Never raises."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values: dict[str, str] = {}
    problems: list[Problem] = []
    position, line = 0, 1
    while position < len(text):
        end = position
        if found := _BLANK.match(text, position):
            end = found.end()
        elif start := _START.match(text, position):
            end = _read_value(text, start.end(), start["name"], values)
            if end < 0:
                problems.append(_wrong_line(name, line, "a quoted value is not closed, or something follows its quote"))
                end = _end_of_line(text, position)
        else:
            problems.append(_wrong_line(name, line, "this line is not NAME=value"))
            end = _end_of_line(text, position)
        line += text.count("\n", position, end)
        position = end
    return values, problems


def _read_value(text: str, position: int, name: str, values: dict[str, str]) -> int:
    """Store the value that begins here and return where the next line begins, or -1."""
    quote = text[position : position + 1]
    if quote not in ("'", '"') or not quote:
        end = _end_of_line(text, position)
        values[name] = _COMMENT.sub("", text[position:end].rstrip("\n"), count=1).strip()
        return end
    found = (_SINGLE if quote == "'" else _DOUBLE).match(text, position)
    rest = found and _BLANK.match(text, found.end())
    if not found or not rest:
        return -1
    value = found["value"]
    values[name] = value if quote == "'" else _ESCAPE.sub(_unescape, value)
    return rest.end()


def _unescape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[0])


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1


def _wrong_line(name: str, line: int, message: str) -> Problem:
    # The line itself may hold a secret, so it is not shown.
    return Problem(id="settings.file", where=f"{name}:{line}", message=message, fix="write NAME=value or NAME='value'")
