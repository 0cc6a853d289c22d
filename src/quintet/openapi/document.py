"""`build_document`: an app's OpenAPI 3.1 document, from the plans of its routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quintet.errors import Unauthorized
from quintet.handlers.params import Source
from quintet.handlers.plan import HandlerPlan
from quintet.handlers.results import DEFAULT_PRODUCES
from quintet.http.file import File
from quintet.http.response import Page
from quintet.openapi.answers import Answers
from quintet.openapi.bodies import build_body
from quintet.openapi.docstrings import Docstring, read_docstring
from quintet.openapi.parameters import build_parameters
from quintet.openapi.schemas import Schema, Schemas, merge
from quintet.openapi.security import Security

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.protocols.dispatcher import CompiledRoute

_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
_NOT_WORD = re.compile(r"[^A-Za-z0-9_]+")


def build_document(
    app: Application,
    *,
    servers: Sequence[Mapping[str, Any]] = (),
    tags: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
    version: str | None = None,
) -> dict[str, Any]:
    """Return the OpenAPI document of an app.

    Args:
        app: the app; it is frozen if it was not.
        servers: the `servers` of the document; the host that serves it when empty.
        tags: descriptions of tags, in the order they are shown.
        extra: members merged into the document, such as `{"info": {"contact": …}}`.
        version: which version of versioned routes; the one that requests without a version get when absent.

    Raises:
        ConfigurationError: the app cannot be frozen.
    """
    _ = app.dispatcher
    return _Builder(app, version).build(servers, tags or {}, extra or {})


class _Builder:
    def __init__(self, app: Application, version: str | None) -> None:
        self.app = app
        self.version = version
        self.schemas = Schemas()
        produces = tuple(p for p in app.options.get("produces", ()) or DEFAULT_PRODUCES if p != "html")
        self.answers = Answers(self.schemas, app.registry, produces or DEFAULT_PRODUCES)
        self.security: dict[str, Schema] = {}
        self.ids: set[str] = set()
        self.tags: dict[str, None] = {}

    def build(
        self, servers: Sequence[Mapping[str, Any]], tags: Mapping[str, str], extra: Mapping[str, Any]
    ) -> dict[str, Any]:
        paths: dict[str, Schema] = {}
        for item in self._documented():
            assert item.template is not None
            path = _path_text(item)
            paths.setdefault(path, {})[item.method.lower()] = self._operation(item, path)
        components = self.schemas.resolve()
        problems = self.answers.problems(components)
        info: Schema = {"title": self.app.title, "version": self.app.api_version}
        if self.app.description:
            info["description"] = self.app.description
        document: Schema = {
            "openapi": "3.1.1",
            "info": info,
            "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
            "servers": [dict(s) for s in servers] or [{"url": "/"}],
            "paths": paths,
            "components": {"schemas": {**problems, **dict(sorted(components.items()))}},
        }
        if self.answers.shared:
            document["components"]["responses"] = dict(sorted(self.answers.shared.items()))
        if self.security:
            document["components"]["securitySchemes"] = self.security
        names = [*tags, *(t for t in self.tags if t not in tags)]
        if names:
            document["tags"] = [{"name": n} | ({"description": tags[n]} if tags.get(n) else {}) for n in names]
        return merge(document, dict(extra))

    def _documented(self) -> Iterable[CompiledRoute]:
        """Yield the routes of the document, of several versions the wanted one."""
        chosen: dict[tuple[str, str], CompiledRoute] = {}
        for item in self.app.compiled:
            if item.kind not in ("http", "health") or item.method not in _METHODS:
                continue
            if item.route is None or item.plan is None:
                continue
            if item.route.options.get("include_in_schema", True) and item.template is not None:
                key = (_path_text(item), item.method)
                if key not in chosen or self._rank(item) > self._rank(chosen[key]):
                    chosen[key] = item
        return chosen.values()

    def _rank(self, item: CompiledRoute) -> tuple[int, str]:
        assert item.route is not None
        version = item.route.options.get("version", "")
        default = self.app.versioning.default if self.app.versioning else ""
        wanted = self.version if self.version is not None else default
        return (2 if version == wanted else 1 if not version else 0, version)

    # -- one operation ------------------------------------------------------------------------------------------

    def _operation(self, item: CompiledRoute, path: str) -> Schema:
        route, plan = item.route, item.plan
        assert route is not None
        assert plan is not None
        options = route.options
        texts = read_docstring(route.handler)
        operation: Schema = {"operationId": self._operation_id(item, path)}
        self._describe(operation, item, texts)
        if options.get("tags"):
            operation["tags"] = list(options.get("tags", ()))
            self.tags.update(dict.fromkeys(operation["tags"]))
        parameters = build_parameters(item, plan, self.schemas, texts.arguments)
        parameters += self._version_parameter(item)
        if parameters:
            operation["parameters"] = parameters
        if plan.body is not None and item.method not in ("GET", "HEAD"):
            text = texts.arguments.get(plan.body.name, "")
            operation["requestBody"] = build_body(plan.body, self.schemas, self.app.registry, text)
        requirements = self._requirements(plan)
        if requirements:
            operation["security"] = requirements
        operation["responses"] = self._responses(item, plan, requirements)
        return merge(operation, dict(options.get("openapi", {})))

    def _operation_id(self, item: CompiledRoute, path: str) -> str:
        assert item.route is not None
        name = _NOT_WORD.sub("_", item.route.name).strip("_") or "operation"
        if len(item.route.methods) > 1:
            name = f"{name}_{item.method.lower()}"
        if name in self.ids:
            name = _NOT_WORD.sub("_", f"{name}_{item.method.lower()}_{path}").strip("_")
        candidate, number = name, 2
        while candidate in self.ids:
            candidate, number = f"{name}_{number}", number + 1
        self.ids.add(candidate)
        return candidate

    @staticmethod
    def _describe(operation: Schema, item: CompiledRoute, texts: Docstring) -> None:
        assert item.route is not None
        options = item.route.options
        summary = options.get("summary") or texts.summary.removesuffix(".")
        operation["summary"] = summary or item.route.name.rpartition(".")[2].replace("_", " ").strip().capitalize()
        description = options.get("description") or texts.description
        if description:
            operation["description"] = description
        if options.get("deprecated"):
            operation["deprecated"] = True

    def _version_parameter(self, item: CompiledRoute) -> list[Schema]:
        assert item.route is not None
        version = item.route.options.get("version", "")
        rules = self.app.versioning
        if not version or (rules is not None and rules.by != "header"):
            return []
        name = rules.name if rules is not None else "X-API-Version"
        needed = {"required": True} if version != (rules.default if rules is not None else "") else {}
        schema = {"type": "string", "const": version}
        return [{"name": name, "in": "header", "description": "The version of the API.", **needed, "schema": schema}]

    def _requirements(self, plan: HandlerPlan) -> list[dict[str, list[str]]]:
        functions: list[Callable[..., Any]] = [*plan.guards, *(d.signature.function for d in plan.dependencies)]
        needed: dict[str, list[str]] = {}
        optional = True
        for function in functions:
            security: Security = getattr(function, "__openapi_security__", {})
            for name, requirement in security.items():
                self.security.setdefault(name, requirement.scheme)
                scopes = needed.setdefault(name, [])
                scopes += [s for s in requirement.scopes if s not in scopes]
                optional = optional and requirement.optional
        if not needed:
            return []
        return [needed, {}] if optional else [needed]

    def _responses(self, item: CompiledRoute, plan: HandlerPlan, requirements: Sequence[Any]) -> Schema:
        assert item.route is not None
        options = item.route.options
        found: dict[int, Schema] = self.answers.successes(plan)
        declared = self.answers.declared(options.get("responses", {}), plan.result.produces)
        for status in _error_statuses(item, plan):
            found[status] = self.answers.error(status, item.route.error_handlers)
        is_form = item.method == "POST" and plan.body is not None and plan.body.kind == "form"
        if is_form and Page in plan.result.responses:
            found[422] = self.answers.page_of_form(found[422])
        if requirements:
            self._refusals(found, item, plan, requirements)
        for status, answer in declared.items():
            found[status] = self.answers.joined(answer, found[status]) if status in found and status >= 400 else answer
        return {str(status): found[status] for status in sorted(found)}

    def _refusals(
        self, found: dict[int, Schema], item: CompiledRoute, plan: HandlerPlan, requirements: Sequence[Any]
    ) -> None:
        assert item.route is not None
        text = "How to authenticate (RFC 9110, section 11.6.1)."
        headers = {"WWW-Authenticate": {"description": text, "schema": {"type": "string"}}}
        found[401] = self.answers.error(Unauthorized.default_status, item.route.error_handlers, headers)
        if plan.guards or any(scopes for need in requirements for scopes in need.values()):
            found[403] = self.answers.error(403, item.route.error_handlers)


def _path_text(item: CompiledRoute) -> str:
    assert item.template is not None
    pieces = [s if isinstance(s, str) else f"{{{s.name}}}" for s in item.template.segments]
    return "/" + "/".join(pieces)


def _error_statuses(item: CompiledRoute, plan: HandlerPlan) -> list[int]:
    """Return the statuses of the errors that a route can answer with before its handler says anything."""
    body = plan.body if item.method not in ("GET", "HEAD") else None
    found = [400]  # a target, Host, query or body that cannot be read
    if any(i.source is Source.PATH for i in plan.inputs):
        found.append(404)
    if body is not None:
        found += [413, 415]
    if body is not None and any(name in ("form", "multipart") for name in body.accepts):
        found.append(403)  # a form that another site has submitted
    if body is not None or any(i.source is not Source.PATH for i in plan.inputs):
        found.append(422)
    if plan.result.kind in ("data", "dynamic", "stream") and plan.result.produces:
        found.append(406)
    if plan.guards:
        found += [401, 403]
    if plan.timeout is not None:
        found.append(503)
    if any(isinstance(r, type) and issubclass(r, File) for r in plan.result.responses):
        found += [404, 412, 416]
    return found
