"""The parameters of an operation: path, query, header and cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quintet.handlers.params import Source
from quintet.handlers.plan import HandlerPlan, Input
from quintet.openapi.schemas import Schema, Schemas, plain, without_exponent, without_none
from quintet.schema.describe import describe
from quintet.schema.nodes import NOTHING, ObjectNode

if TYPE_CHECKING:
    from quintet.protocols.dispatcher import CompiledRoute

#: Header parameters that OpenAPI describes elsewhere, and ignores here (3.1.1, section 4.8.12.2).
_ELSEWHERE = {"accept", "content-type", "authorization"}


def build_parameters(item: CompiledRoute, plan: HandlerPlan, schemas: Schemas, texts: dict[str, str]) -> list[Schema]:
    """Return the parameters of a route, each once, in the order of the signature.

    Args:
        item: the route.
        plan: its plan.
        schemas: where their types go.
        texts: descriptions by name, from the docstring.
    """
    out: dict[tuple[str, str], Schema] = {}
    for entry in plan.inputs:
        for parameter in _expand(entry, item, schemas, texts):
            out.setdefault((parameter["in"], parameter["name"]), parameter)
    return list(out.values())


def _expand(entry: Input, item: CompiledRoute, schemas: Schemas, texts: dict[str, str]) -> list[Schema]:
    if entry.source is Source.HEADER and entry.key in _ELSEWHERE:
        return []
    if not entry.is_structure:
        text = texts.get(entry.name, "")
        parameter = _parameter(entry.source, entry.key, entry.annotation, schemas, text, required=entry.required)
        if entry.source is Source.PATH:
            _narrow_path(parameter, item, schemas)
        elif not entry.required:
            _default(parameter, entry.default, schemas)
        return [parameter]
    node = describe(without_none(entry.annotation), where=entry.name)
    if not isinstance(node, ObjectNode):
        return [_parameter(entry.source, entry.key, entry.annotation, schemas, "", required=entry.required)]
    found: list[Schema] = []
    for field in node.fields:
        required = field.required and entry.required
        parameter = _parameter(entry.source, field.key, field.annotation, schemas, "", required=required)
        if field.default is not NOTHING:
            _default(parameter, field.default, schemas)
        found.append(parameter)
    return found


def _parameter(source: Source, key: str, annotation: Any, schemas: Schemas, text: str, *, required: bool) -> Schema:
    schema = schemas.place(without_none(annotation), "input")
    parameter: Schema = {"name": _header_name(key) if source is Source.HEADER else key, "in": source.value}
    if required or source is Source.PATH:
        parameter["required"] = True
    if text:
        parameter["description"] = text
    parameter["schema"] = schema

    def lift() -> None:
        without_exponent(schema)
        found = schema.pop("description", None)
        if found and not text:
            parameter["description"] = found
        examples = schema.pop("examples", None)
        if examples:
            parameter["examples"] = {f"example {n}": {"value": value} for n, value in enumerate(examples, 1)}

    schemas.after(lift)
    return parameter


def _header_name(key: str) -> str:
    """Return a header's name as people write it; case means nothing there (RFC 9110, section 5.1)."""
    return "-".join(part.capitalize() for part in key.split("-"))


def _default(parameter: Schema, value: Any, schemas: Schemas) -> None:
    if value is None:
        return
    ok, default = plain(value)
    if ok:
        schemas.after(lambda: _set_default(parameter["schema"], default))


def _set_default(schema: Schema, default: Any) -> None:
    schema["default"] = default


def _narrow_path(parameter: Schema, item: CompiledRoute, schemas: Schemas) -> None:
    """Say what the converter accepts beyond the type: a text is not empty, a slug has its alphabet."""
    assert item.template is not None
    names = [p.name for p in item.template.parameters]
    converter = item.converters[names.index(parameter["name"])]

    def narrow() -> None:
        schema = parameter["schema"]
        if schema.get("type") == "string" and "enum" not in schema and "format" not in schema:
            schema["minLength"] = max(1, schema.get("minLength", 1))
        if converter.name == "slug":
            schema.setdefault("pattern", "^[a-z0-9]+(-[a-z0-9]+)*$")
        if converter.name == "path":
            parameter.setdefault("description", "The rest of the path; slashes are part of it.")

    schemas.after(narrow)
