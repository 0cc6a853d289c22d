"""The Jinja2 environment of an app: what is escaped, where templates are looked for, which names are refused."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import PureWindowsPath
from typing import Any, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound, Undefined

from quintet.templating.codegen import build_code_generator
from quintet.templating.filters import FILTERS

#: A folder with templates, or several that are searched in order.
Folders: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"

_MAX_NAME = 1000


class TemplateLoader(FileSystemLoader):
    """Load templates from folders; no name leads outside of them.

    `..`, backslashes, absolute paths, drive letters and control characters in a name are refused,
    so that a name taken from a request cannot reach other files.
    """

    def __init__(self, folders: Folders, *, suggest: bool = False) -> None:
        if isinstance(folders, (str, os.PathLike)):
            folders = [folders]
        super().__init__(list(folders))
        self._suggest = suggest

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Return the text and the file of a template."""
        if not _is_plain_name(template):
            raise TemplateNotFound(template, f"{template[:200]!r} is not a plain name below a template folder")
        try:
            return super().get_source(environment, template)
        except TemplateNotFound:
            raise TemplateNotFound(template, self._explain(template)) from None

    def _explain(self, name: str) -> str:
        folders = ", ".join(f"{os.path.abspath(p)}{'' if os.path.isdir(p) else ' (no such folder)'}"
                            for p in self.searchpath)  # fmt: skip
        near = get_close_matches(name, self.list_templates(), 1) if self._suggest else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"template {name!r} was not found; searched: {folders or 'no folder'}{hint}"


def _is_plain_name(name: str) -> bool:
    return (
        0 < len(name) <= _MAX_NAME
        and "\\" not in name
        and name.isprintable()
        and not posixpath.isabs(name)
        and not PureWindowsPath(name).drive
        and not any(piece in {"", ".", ".."} for piece in name.split("/"))
    )


class QuintetEnvironment(Environment):
    """Jinja2's environment with the faster code generator."""

    code_generator_class = build_code_generator()


def build_environment(
    folders: Folders, *, globals: Mapping[str, Any] | None = None, development: bool = False
) -> Environment:
    """Build the environment of an app.

    Every template is autoescaped, whatever its extension, and so are templates from strings.
    In development an undefined variable is an error and changed files are loaded again.
    """
    environment = QuintetEnvironment(
        loader=TemplateLoader(folders, suggest=development),
        autoescape=True,
        undefined=StrictUndefined if development else Undefined,
        auto_reload=development,
        cache_size=-1,  # templates are a known, small set; none is ever compiled twice
    )
    environment.filters.update(FILTERS)
    environment.globals.update(globals or {})
    return environment
