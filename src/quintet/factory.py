"""The composition root: `App`, the kernel's application with the default plugins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Unpack

from quintet.app import Application
from quintet.config import AppSettings, Settings, load_settings
from quintet.handlers.threads import ThreadSettings
from quintet.handlers.versions import Versioning
from quintet.hooks import Plugin
from quintet.http.forms import FormLimits
from quintet.http.forwarded import ProxyPolicy
from quintet.http.limits import Limits
from quintet.http.security import SecurityHeaders
from quintet.middleware.https import https_only, https_only_guard
from quintet.observability.plugin import HealthPlugin
from quintet.observability.settings import HealthSettings
from quintet.resources.plugin import ResourcesPlugin
from quintet.routing.route import Defaults, Guard, Middleware


class App(Application):
    """A web application with templates and its own documentation.

    Args:
        templates: the folder or folders of Jinja2 templates.
        docs: `True` serves `/docs` and `/openapi.json`, `"public"` also where an auth plugin would ask for a login,
            `False` serves neither.
        health: answer the probes `/healthz` and `/readyz`, unless the app has routes there. `HealthSettings` has the
            paths.
        settings: sections of settings to read from the environment, `.env` and `quintet.toml`; handlers ask for them
            by type.
        title, version, description, plugins, limits, security, allowed_hosts, proxies, threads, trailing_slash,
            versioning, request_id, tags, guards, middleware, options: see `Application`. What is not given comes from
            `AppSettings`: the environment (`APP_ALLOWED_HOSTS`), `.env` or the section `[app]` of `quintet.toml`.

    Raises:
        ConfigurationError: settings that are wrong, all together.
    """

    def __init__(
        self,
        *,
        templates: str | Path | Sequence[str | Path] | None = None,
        docs: bool | Literal["public"] = True,
        health: bool = True,
        settings: Sequence[type[Settings]] = (),
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
        request_id: bool | None = None,
        tags: Sequence[str] = (),
        guards: Sequence[Guard] = (),
        middleware: Sequence[Middleware] = (),
        **options: Unpack[Defaults],
    ) -> None:
        sections = dict.fromkeys((AppSettings, *((HealthSettings,) if health else ()), *settings))
        loaded = load_settings(*sections)
        own = loaded[AppSettings]
        defaults: list[Plugin] = [ResourcesPlugin()]  # first: others look at the routes before they are compiled
        if templates is not None:
            from quintet.templating.plugin import TemplatingPlugin

            folders = [templates] if isinstance(templates, (str, Path)) else list(templates)
            defaults.append(TemplatingPlugin(folders))
        if docs:
            from quintet.openapi.plugin import OpenAPIPlugin

            defaults.append(OpenAPIPlugin(docs))
        if health:
            defaults.append(HealthPlugin(loaded[HealthSettings]))
        super().__init__(
            title=title,
            version=version,
            description=description,
            plugins=[*defaults, *plugins],
            limits=limits or limits_of(own),
            security=security or SecurityHeaders(strict_transport_security=_HSTS if own.https else ""),
            allowed_hosts=allowed_hosts or own.allowed_hosts,
            proxies=proxies or proxies_of(own),
            threads=threads or ThreadSettings(size=own.threads, queue=own.thread_queue, wait=own.thread_wait),
            trailing_slash=trailing_slash,
            versioning=versioning,
            request_id=own.request_id if request_id is None else request_id,
            tags=tags,
            guards=[https_only_guard(), *guards] if own.https_redirect else guards,
            middleware=[https_only(own.https_port), *middleware] if own.https_redirect else middleware,
            **options,
        )
        self.services.form_limits = FormLimits(max_fields=self.limits.fields, max_files=own.max_files)
        for kind in sections:
            self.settings[kind] = loaded[kind]
            self.provide_value(kind, loaded[kind])


_HSTS = "max-age=31536000"


def limits_of(own: AppSettings) -> Limits:
    """Return the bounds on requests that the settings name."""
    return Limits(
        url=own.max_url,
        header_block=own.max_header_block,
        header_count=own.max_headers,
        body=own.max_body,
        fields=own.max_fields,
        header_timeout=own.header_timeout,
        body_timeout=own.body_timeout,
        body_rate=own.min_body_rate,
        handler_timeout=own.handler_timeout,
        write_timeout=own.write_timeout,
        keep_alive=own.keep_alive,
        connections=own.max_connections,
        requests=own.max_requests,
    )


def proxies_of(own: AppSettings) -> ProxyPolicy | None:
    """Return the proxies that the settings trust, or None for none."""
    if not own.trusted_proxies:
        return None
    return ProxyPolicy(own.trusted_proxies, hops=own.proxy_hops, header=own.proxy_header)
