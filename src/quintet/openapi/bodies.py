"""The request body of an operation: one schema for each media type it is read from."""

from __future__ import annotations

from typing import get_origin

from quintet.handlers.bind import strip
from quintet.handlers.plan import Body
from quintet.media.registry import Registry
from quintet.openapi.schemas import Schema, Schemas, plain, without_none

#: An uploaded file inside multipart/form-data.
BINARY: Schema = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}


def build_body(body: Body, schemas: Schemas, registry: Registry, text: str = "") -> Schema:
    """Return the request body object.

    Args:
        body: what the route reads.
        schemas: where its type goes.
        registry: the app's media types.
        text: its description, from the docstring.
    """
    content: dict[str, Schema] = {}
    for name in body.accepts:
        content[registry.get(name).media_type] = {"schema": _schema(body, schemas)}
    out: Schema = {"content": content}
    if text:
        out["description"] = text
    if body.required:
        out["required"] = True
    return out


def _schema(body: Body, schemas: Schemas) -> Schema:
    if body.kind == "upload":
        return _upload_schema(body)
    if body.kind == "patch":
        return schemas.place(schemas.patch(body.annotation), "input")
    place = schemas.place(body.annotation, "input")
    if not body.required and body.default is not None:
        ok, default = plain(body.default)
        if ok:
            schemas.after(lambda: place.update(default=default))
    return place


def _upload_schema(body: Body) -> Schema:
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for name, (annotation, needed, _) in body.parts.items():
        several = get_origin(strip(without_none(annotation))) in (list, tuple, set, frozenset)
        properties[name] = {"type": "array", "items": dict(BINARY)} if several else dict(BINARY)
        if several and needed:
            properties[name]["minItems"] = 1
        if needed:
            required.append(name)
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    return schema
