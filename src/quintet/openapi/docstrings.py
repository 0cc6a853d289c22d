"""What a handler's docstring says: a summary, a description, and a sentence for each argument."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

#: Headings that speak to whoever reads the code (Google style).
_SECTION = re.compile(r"^(Args|Arguments|Returns|Yields|Raises|Note|Notes|Example|Examples|Todo):[ \t]*$", re.MULTILINE)
_ARGUMENT = re.compile(r"^\s+(\w+)(?:\s*\([^)]*\))?:\s+(.*)$")


class Docstring(NamedTuple):
    """The parts of a docstring."""

    summary: str
    description: str
    #: By parameter.
    arguments: dict[str, str]


def read_docstring(function: Callable[..., Any]) -> Docstring:
    """Return the parts of a function's own docstring; empty where it has none."""
    if not (inspect.isroutine(function) or hasattr(function, "__wrapped__")):
        return Docstring("", "", {})
    text = inspect.cleandoc(function.__doc__ or "")
    pieces = _SECTION.split(text)
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    summary, _, description = pieces[0].strip().partition("\n\n")
    arguments = _read_arguments(sections.get("Args") or sections.get("Arguments") or "")
    return Docstring(" ".join(summary.split()), description.strip(), arguments)


def _read_arguments(section: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name, margin = "", 0
    for line in section.splitlines():
        indent = len(line) - len(line.lstrip())
        match = _ARGUMENT.match(line)
        if match is not None and (not name or indent <= margin):
            name, margin = match[1], indent
            found[name] = match[2]
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
