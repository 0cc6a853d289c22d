"""The plugin that serves the document and its page: the only file of this package that adds routes."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from quintet.errors import NotFound
from quintet.hooks import Plugin
from quintet.http.request import Request
from quintet.http.response import HTML, Response
from quintet.openapi.page import ASSETS, build_page, build_policy, load_asset
from quintet.routing.route import Guard, RouteOptions

if TYPE_CHECKING:
    from quintet.app import Application

#: The document changes with the code, so clients ask each time, and mostly hear 304.
_REVALIDATE = {"cache-control": "no-cache"}


class OpenAPIPlugin(Plugin):
    """Serves an app's OpenAPI document, and a page to read it and try the app.

    The document is made when it is first asked for.

    Args:
        docs: `True`, or `"public"` to serve them without a login where an auth plugin would ask for one.
        path: where the document is.
        ui: where the page is; empty for none.
        servers: the `servers` of the document; the host that serves it when empty.
        tags: descriptions of tags, in the order they are shown.
        extra: members merged into the document, such as `{"info": {"contact": …}}`.
    """

    name: ClassVar[str] = "openapi"

    def __init__(
        self,
        docs: bool | Literal["public"] = True,
        *,
        path: str = "/openapi.json",
        ui: str = "/docs",
        servers: Sequence[Mapping[str, Any]] = (),
        tags: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.docs = docs
        self.path = path
        self.ui = ui.rstrip("/")
        self.servers = servers
        self.tags = tags
        self.extra = extra
        #: Asks for a login before the document and the page are served, unless they are public; set by auth.
        self.protect: Guard | None = None
        self._app: Application | None = None
        self._encoded: tuple[object, bytes, str] | None = None

    def setup(self, app: Application) -> None:
        """Add the routes."""
        self._app = app
        if not self.docs:
            return
        options: RouteOptions = {"include_in_schema": False, "guards": [self._guard], "inline": True}
        app.get(self.path, **{**options, "name": "openapi"})(self._serve_document)
        if self.ui:
            app.get(self.ui, **{**options, "name": "docs"})(self._serve_page)
            app.get(f"{self.ui}/assets/{{name}}", **{**options, "name": "docs_asset"})(self._serve_asset)

    def document(self) -> dict[str, Any]:
        """Return the document, made anew."""
        from quintet.openapi.document import build_document  # loaded when the document is first asked for

        assert self._app is not None, "the plugin has not been set up"
        return build_document(self._app, servers=self.servers, tags=self.tags, extra=self.extra)

    async def _guard(self, request: Request) -> None:
        if self.protect is not None and self.docs != "public":
            await self.protect(request)

    def _serve_document(self) -> Response[bytes]:
        assert self._app is not None
        compiled = self._app.compiled
        if self._encoded is None or self._encoded[0] is not compiled:
            body = msgspec.json.encode(self.document())
            self._encoded = compiled, body, _etag(body)
        _, body, etag = self._encoded
        return Response(body, headers={**_REVALIDATE, "etag": etag}, media_type="application/json")

    def _serve_page(self) -> Response[HTML]:
        assert self._app is not None
        folder = posixpath.dirname(self.ui) or "/"
        page = build_page(
            self._app.title,
            document=posixpath.relpath(self.path, folder),
            assets=posixpath.relpath(f"{self.ui}/assets", folder),
        )
        headers = {**_REVALIDATE, "content-security-policy": build_policy(self.servers)}
        return Response(HTML(page), headers=headers)

    def _serve_asset(self, name: str) -> Response[bytes]:
        media_type = ASSETS.get(name)
        if media_type is None:
            raise NotFound
        body = load_asset(name)
        return Response(body, headers={**_REVALIDATE, "etag": _etag(body)}, media_type=media_type)


def _etag(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()[:32]}"'
