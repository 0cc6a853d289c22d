"""The plugin that gives an app its templates."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quintet.errors import ConfigurationError, HTTPError, Problem
from quintet.hooks import Plugin

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.http.request import Request
    from quintet.templating.templates import Templates


class TemplatingPlugin(Plugin):
    """Renders `Template(…)` results, `template=` routes and pages.

    Args:
        folders: where templates are, the first one that has a template wins.
        development: read changed templates again, and refuse undefined variables. By default on under `quintet dev`.
    """

    name: ClassVar[str] = "templating"

    def __init__(self, folders: Sequence[str | Path], *, development: bool | None = None) -> None:
        self.folders = [Path(f) for f in folders]
        self.development = bool(os.environ.get("QUINTET_DEV")) if development is None else development
        self._globals: dict[str, Any] = {}
        self._app: Application | None = None

    def setup(self, app: Application) -> None:
        """Check the folders and register the renderer."""
        self.folders = [app.root / folder for folder in self.folders]
        for folder in self.folders:
            if not folder.is_dir():
                raise ConfigurationError(
                    Problem(
                        id="templates.folder",
                        message=f"the template folder {str(folder)!r} does not exist",
                        fix="create it; a relative folder is looked for beside the file that makes the app",
                    )
                )
        self._globals["url_for"] = app.url_for

        def static(path: str, name: str = "static") -> str:
            return app.url_for(name, path=path)

        self._globals["static"] = static
        self._app = app
        app.services.renderer = self.render
        app.failures.page = self.error_page
        app.check(self.check)
        app.before_freeze(lambda: self._provide(app))

    def _provide(self, app: Application) -> None:
        from quintet.templating.templates import Templates

        app.provide(Templates, lambda: self.templates, scope="call")

    @cached_property
    def templates(self) -> Templates:
        """The environment, made at first use: Jinja2 is loaded then."""
        from quintet.templating.templates import Templates

        return Templates(self.folders, globals=self._globals, development=self.development)

    def add_folder(self, folder: Path) -> None:
        """Look for templates in one more folder, after all others: what a plugin brings and an app may replace."""
        if folder not in self.folders:
            self.folders.append(folder)
            if "templates" in self.__dict__:
                self.templates.add_folder(folder)

    def add_global(self, name: str, value: Any) -> None:
        """Make a value or function known to every template."""
        self._globals[name] = value
        if "templates" in self.__dict__:
            self.templates.add_global(name, value)

    def check(self) -> list[Problem]:
        """Return what is wrong with the templates, and which of those that routes name are not there."""
        return [*self.templates.check(), *self._missing()]

    def _missing(self) -> list[Problem]:
        routes = {id(c.route): c.route for c in (self._app.compiled if self._app is not None else ()) if c.route}
        return [
            Problem(
                id="templates.missing",
                message=f"the route {route.path!r} has the template {name!r}, which is in none of the folders",
                where=route.where,
                fix=f"create {self.folders[0] / name}" if self.folders else "name a folder",
            )
            for route in routes.values()
            if (name := route.options.get("template", ""))
            and not any((folder / name).is_file() for folder in self.folders)
        ]

    def error_page(self, request: Request, error: HTTPError) -> str | None:
        """Render the app's own page for an error: `errors/404.html`, else `errors/error.html`, where there is one."""
        for name in (f"errors/{error.status}.html", "errors/error.html"):
            if any((folder / name).is_file() for folder in self.folders):
                return self.render(request, name, {"error": error})
        return None

    def render(self, request: Request | None, name: str, values: dict[str, Any], block: str | None = None) -> str:
        """Render a template with the request at hand."""
        return self.templates.render(name, {"request": request, **values}, block=block)
