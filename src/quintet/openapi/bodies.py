"""The request body of an operation: one schema for each media type it is read from."""

from __future__ import annotations

from typing import Any, get_origin

from quintet.handlers.bind import strip
from quintet.handlers.plan import Body
from quintet.http.upload import Upload
from quintet.media.registry import Registry
from quintet.openapi.schemas import Schema, Schemas, plain, without_exponent, without_none
from quintet.schema.adapt import adapted
from quintet.schema.describe import describe
from quintet.schema.nodes import NOTHING, FieldNode, LeafNode, ListNode, Node, ObjectNode, ScalarNode, UnionNode

#: An uploaded file inside multipart/form-data.
BINARY: Schema = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
_FORMS = ("form", "multipart")
#: Structures inside structures that a form's schema spells out.
_DEPTH = 4


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
        content[registry.get(name).media_type] = {"schema": _schema(body, name, schemas)}
    out: Schema = {"content": content}
    if text:
        out["description"] = text
    if body.required:
        out["required"] = True
    return out


def _schema(body: Body, name: str, schemas: Schemas) -> Schema:
    if body.kind == "upload":
        return _upload_schema(body)
    annotation = schemas.patch(body.annotation) if body.kind == "patch" else adapted(body.annotation)[0]
    if name in _FORMS:
        node = _only_member(describe(annotation, leaf=lambda tp: tp is Upload))
        if isinstance(node, ObjectNode):
            return _form_schema(node, schemas)
    place = schemas.place(annotation, "input")
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


# Forms are flat: the fields of a structure inside are named `size.width`, and nothing in a form is null --------------


def _form_schema(node: ObjectNode, schemas: Schemas) -> Schema:
    schema: Schema = {"type": "object", "title": node.cls.__name__, "properties": {}, "required": []}
    open_ended = _add_fields(schema, node, "", schemas, needed=True, stack=())
    if node.forbid_unknown and not open_ended:
        schema["additionalProperties"] = False
    if not schema["required"]:
        del schema["required"]
    return schema


def _add_fields(
    schema: Schema, node: ObjectNode, prefix: str, schemas: Schemas, *, needed: bool, stack: tuple[Any, ...]
) -> bool:
    """Add the fields of a structure; return whether more names than these are taken."""
    if node.tag_field is not None:
        schema["properties"][prefix + node.tag_field] = {"enum": [node.tag]}
        if needed:
            schema["required"].append(prefix + node.tag_field)
    open_ended = False
    for field in node.fields:
        inner = _only_member(field.node)
        name, required = prefix + field.key, field.required and needed
        item = _only_member(inner.item) if isinstance(inner, ListNode) else None
        if isinstance(inner, ObjectNode):
            if inner.type in stack or len(stack) >= _DEPTH:
                open_ended = True
                continue
            nested = (*stack, node.type)
            before = set(schema["properties"])
            open_ended |= _add_fields(schema, inner, f"{name}.", schemas, needed=required, stack=nested)
            if not required:
                _tie(schema, [n for n in schema["properties"] if n not in before], inner, f"{name}.")
        elif isinstance(item, ObjectNode):
            open_ended = True
            if item.type not in stack and len(stack) < _DEPTH:
                _add_fields(schema, item, f"{name}[0].", schemas, needed=False, stack=(*stack, node.type))
        else:
            schema["properties"][name] = _form_field(field, inner, schemas)
            if required and not (isinstance(inner, ScalarNode) and inner.kind == "bool"):
                schema["required"].append(name)
    return open_ended


def _tie(schema: Schema, names: list[str], node: ObjectNode, prefix: str) -> None:
    """Say that a structure which may be left out is whole when any of its fields is there."""
    needed = [prefix + f.key for f in node.fields if f.required and prefix + f.key in names]
    for name in names:
        others = [n for n in needed if n != name]
        if others:
            tied = schema.setdefault("dependentRequired", {}).setdefault(name, [])
            tied += [n for n in others if n not in tied]


def _form_field(field: FieldNode, node: Node, schemas: Schemas) -> Schema:
    if isinstance(node, LeafNode):
        return dict(BINARY)
    if isinstance(node, ListNode) and isinstance(node.item, LeafNode):
        return {"type": "array", "items": dict(BINARY)}
    place = schemas.place(without_none(field.annotation), "input")
    schemas.after(lambda: without_exponent(place))
    ok, default = plain(field.default) if field.default not in (NOTHING, None) else (False, None)
    if ok:
        schemas.after(lambda: place.update(default=default))
    return place


def _only_member(node: Node) -> Node:
    return node.members[0] if isinstance(node, UnionNode) and len(node.members) == 1 else node
