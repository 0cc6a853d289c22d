"""The plugin behind resources: brings their templates, and the migration of what idempotency keys need.

`App` has it without being asked; it loads nothing until an app includes a resource.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quintet.errors import ConfigurationError, Problem
from quintet.hooks import Plugin
from quintet.http.response import Response

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.db.migrations import MigrationPart
    from quintet.resources.declare import Resource
    from quintet.routing.group import RouteGroup

_FOLDER = Path(__file__).parent
_KINDS = ("list", "detail", "form", "delete")
#: The path of the style sheet of the pages.
STYLE = "/_resources/style.css"


class ResourcesPlugin(Plugin):
    """Gives the resources of an app their templates and their table."""

    name: ClassVar[str] = "resources"

    def __init__(self) -> None:
        self._app: Application | None = None
        self._served = False

    def setup(self, app: Application) -> None:
        """Look at the app's resources before its routes are compiled."""
        self._app = app
        app.before_freeze(self._prepare)

    @property
    def migrations(self) -> list[MigrationPart]:
        """The migrations of the table of idempotency keys, where a resource of the app uses it."""
        found = list(resources_of(self._app)) if self._app is not None else []
        used = [r.declaration.database for r in found if r.declaration.idempotency]
        if not used:
            return []
        from quintet.db.migrations import MigrationPart

        folder, tables = _FOLDER / "migrations", ["quintet_idempotency"]
        return [
            MigrationPart(name="resources", folder=folder, tables=tables, database=name) for name in dict.fromkeys(used)
        ]

    def _prepare(self) -> None:
        app = self._app
        assert app is not None
        app.before_freeze(self._prepare)  # for the next time: a resource may be included after a freeze
        self._prepare_pages(app)
        problems: list[Problem] = []
        for resource in resources_of(app):
            problems += _homeless(resource, app)
            try:
                resource.build()
            except ConfigurationError as error:
                problems += error.problems
        if problems:
            raise ConfigurationError(problems)

    def _prepare_pages(self, app: Application) -> None:
        pages = [r for r in resources_of(app) if "html" in r.declaration.produces]
        if not pages:
            return
        from quintet.templating.plugin import TemplatingPlugin

        templating: Any = app.plugins.get("templating")
        if not isinstance(templating, TemplatingPlugin):
            templating = TemplatingPlugin([])
            app.add_plugin(templating)
        templating.add_folder(_FOLDER / "templates")
        for resource in pages:
            for kind in _KINDS:
                own = f"resources/{resource.declaration.name}/{kind}.html"
                if any((folder / own).is_file() for folder in templating.folders):
                    resource.templates[kind] = own
        if not self._served:
            self._served = True
            body = (_FOLDER / "assets" / "style.css").read_bytes()
            headers = {"cache-control": "no-cache", "etag": f'"{sha256(body).hexdigest()[:32]}"'}

            def style() -> Response[bytes]:
                return Response(body, headers=headers, media_type="text/css; charset=utf-8")

            app.get(STYLE, name="resources.style", inline=True, include_in_schema=False, bare=True)(style)


def _homeless(resource: Resource, app: Application) -> list[Problem]:
    """Return what is wrong where the app lacks the database of a resource's model."""
    said = resource.declaration
    known: dict[str, Any] = app.state.get("quintet.db", {})
    if said.database in known:
        return []
    names = f"has {', '.join(map(repr, known))}" if known else "has none"
    name = "" if said.database == "default" else f", name={said.database!r}"
    return [
        Problem(
            id="resources.database",
            message=f"resource({said.model.__name__}): the model lives in the database {said.database!r}, "
            f"and the app {names}",
            where=said.where,
            fix=f"App(plugins=[Database(…{name})]), or give the model the base of another database",
        )
    ]


def resources_of(group: RouteGroup) -> Iterator[Resource]:
    """Yield the resources of an app or a router, those of routers inside it included."""
    module = sys.modules.get("quintet.resources.declare")
    if module is None:
        return
    children: list[tuple[str, Any]] = group.children
    for _, child in children:
        if isinstance(child, module.Resource):
            yield child
        yield from resources_of(child)
