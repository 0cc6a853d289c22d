"""The plugin that answers probes: the only file of this package that adds routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from quintet.hooks import Plugin
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.observability.health import CheckResult, Readiness, Report
from quintet.observability.settings import HealthSettings

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.routing.route import RouteOptions

_HEADERS = {"cache-control": "no-store"}
_ALIVE = b'{"status":"ok"}'


class HealthPlugin(Plugin):
    """Answers `/healthz`, whether the process works, and `/readyz`, whether it can take requests.

    A path that the app has a route for is the app's. Guards and middleware do not surround these routes, and they are
    answered for any well-formed host: a probe knows an address alone, and learns nothing but a status.

    Args:
        settings: the paths, and how long an outcome is kept.
    """

    name: ClassVar[str] = "health"

    def __init__(self, settings: HealthSettings | None = None) -> None:
        self.settings = settings or HealthSettings()

    def setup(self, app: Application) -> None:
        """Add the routes, once it is known which paths the app has taken."""
        self._app = app
        self._readiness = Readiness(app.readiness_checks, keep=self.settings.keep)
        app.before_freeze(self._add_routes)

    def _add_routes(self) -> None:
        app = self._app
        taken = {route.path for route in app.flatten() if "GET" in route.methods or route.kind == "mount"}
        for path, name, handler in (
            (self.settings.live, "health.live", self._live),
            (self.settings.ready, "health.ready", self._ready),
        ):
            if path and path not in taken:
                options: RouteOptions = {"name": name, "include_in_schema": False, "bare": True}
                app.get(path, **options)(handler)
                app.open_paths.append(path)

    async def _live(self) -> Response[bytes]:
        return Response(_ALIVE, headers=_HEADERS, media_type="application/json")

    async def _ready(self, request: Request) -> Response[bytes]:
        results = await self._readiness.results()
        state: list[CheckResult] = [
            CheckResult("started", "ok" if self._app.is_started else "failed", 0.0),
            CheckResult("accepting", "failed" if request.connection.is_stopping() else "ok", 0.0),
        ]
        checks = [*state, *results]
        ready = all(check.status == "ok" for check in checks)
        report = Report("ready" if ready else "not ready", checks)
        return Response(
            msgspec.json.encode(report),
            status=200 if ready else 503,
            headers=_HEADERS,
            media_type="application/json",
        )
