"""The composition root: `App`, the kernel's application with the default plugins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from quintet.app import Application
from quintet.handlers.threads import ThreadSettings
from quintet.handlers.versions import Versioning
from quintet.hooks import Plugin
from quintet.http.forwarded import ProxyPolicy
from quintet.http.limits import Limits
from quintet.http.security import SecurityHeaders
from quintet.routing.route import RouteOptions


class App(Application):
    """A web application with templates and its own documentation.

    Args:
        templates: the folder or folders of Jinja2 templates.
        docs: `True` serves `/docs` and `/openapi.json`, `"public"` also where an auth plugin would ask for a login,
            `False` serves neither.
        settings: sections of settings to read from the environment, `.env` and `quintet.toml`; handlers ask for them
            by type.
        title, version, description, plugins, limits, security, allowed_hosts, proxies, threads, trailing_slash,
            versioning, request_id, options: see `Application`.

    Raises:
        ConfigurationError: settings that are wrong, all together.
    """

    def __init__(
        self,
        *,
        templates: str | Path | Sequence[str | Path] | None = None,
        docs: bool | Literal["public"] = True,
        settings: Sequence[type[Any]] = (),
        title: str = "Quintet app",
        version: str = "0.1.0",
        description: str = "",
        plugins: Sequence[Plugin] = (),
        limits: Limits | None = None,
        security: SecurityHeaders | None = None,
        allowed_hosts: Sequence[str] = (),
        proxies: ProxyPolicy | None = None,
        threads: ThreadSettings | None = None,
        trailing_slash: Literal["redirect", "strict"] = "redirect",
        versioning: Versioning | None = None,
        request_id: bool = True,
        **options: Unpack[RouteOptions],
    ) -> None:
        defaults: list[Plugin] = []
        if templates is not None:
            from quintet.templating.plugin import TemplatingPlugin

            folders = [templates] if isinstance(templates, (str, Path)) else list(templates)
            defaults.append(TemplatingPlugin(folders))
        if docs:
            from quintet.openapi.plugin import OpenAPIPlugin

            defaults.append(OpenAPIPlugin(docs))
        super().__init__(
            title=title,
            version=version,
            description=description,
            plugins=[*defaults, *plugins],
            limits=limits,
            security=security,
            allowed_hosts=allowed_hosts,
            proxies=proxies,
            threads=threads,
            trailing_slash=trailing_slash,
            versioning=versioning,
            request_id=request_id,
            **options,
        )
        if settings:
            from quintet.config import load_settings

            for kind, value in load_settings(*settings).items():
                self.settings[kind] = value
                self.provide_value(kind, value)
