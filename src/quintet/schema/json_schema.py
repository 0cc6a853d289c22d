"""JSON Schema 2020-12 of types, for OpenAPI."""

from __future__ import annotations

import copy
import datetime
import functools
import inspect
import re
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, cast, get_args, get_origin

import msgspec

from .describe import LeafPredicate, describe
from .nodes import (
    INT64_MAX,
    INT64_MIN,
    NOTHING,
    ChoiceNode,
    Constraints,
    DictNode,
    FieldNode,
    LeafNode,
    ListNode,
    ModelNode,
    Node,
    Notes,
    ObjectNode,
    ScalarNode,
    TupleNode,
    UnionNode,
    walk,
)

Schema: TypeAlias = dict[str, Any]
Mode: TypeAlias = Literal["input", "output"]

REF_TEMPLATE = "#/components/schemas/{name}"


def json_schemas(
    types: Iterable[tuple[Any, Mode]], ref_template: str = REF_TEMPLATE, *, leaf: LeafPredicate | None = None
) -> tuple[list[Schema], dict[str, Schema]]:
    """Return the schema of each type, and the components that they refer to by name.

    Two classes of one name get names with their modules. A class is one component in both modes unless its schemas
    differ: then the output's name ends in `-Output`.

    Args:
        types: each type with the direction it is used in.
        ref_template: how a component is referred to, with `{name}`.
        leaf: tells which classes are files.
    """
    described: list[tuple[Node, Mode]] = [(describe(tp, leaf=leaf), mode) for tp, mode in types]
    generator = _Generator(described, ref_template)
    schemas = [generator.schema(node, mode) for node, mode in described]
    return schemas, dict(sorted(generator.components().items()))


_TITLE = re.compile(r"[^a-zA-Z0-9._-]+")


def class_name(tp: Any) -> str:
    """Return the name of a class, or of a parametrised generic as `Page[Item]`."""
    origin = get_origin(tp)
    if origin is None:
        return getattr(tp, "__name__", str(tp))
    return f"{origin.__name__}[{', '.join(class_name(a) for a in get_args(tp))}]"


def _normal(name: str) -> str:
    return _TITLE.sub("_", name).strip("_")


def _qualified(tp: Any) -> str:
    cls = get_origin(tp) or tp
    arguments = "".join(f"_{class_name(a)}" for a in get_args(tp))
    return _normal(f"{cls.__module__}.{cls.__qualname__}{arguments}".replace("<locals>.", ""))


def _names(types: list[Any]) -> dict[Any, str]:
    """Name each class: by its own name, or with its module where two share one."""
    groups: dict[str, list[Any]] = {}
    for tp in types:
        groups.setdefault(_normal(class_name(tp)), []).append(tp)
    out: dict[Any, str] = {}
    for short, group in groups.items():
        if len(group) == 1:
            out[group[0]] = short
            continue
        taken: dict[str, int] = {}
        for tp in group:
            name = _qualified(tp)
            taken[name] = taken.get(name, 0) + 1
            out[tp] = name if taken[name] == 1 else f"{name}_{taken[name]}"
    return out


class _Generator:
    def __init__(self, described: list[tuple[Node, Mode]], ref_template: str) -> None:
        self.ref_template = ref_template
        named: dict[Any, None] = {}
        for node, _ in described:
            for part in walk(node):
                if _is_component(part):
                    named.setdefault(cast("Any", part).type, None)
        self.names = _names(list(named))
        self.found: dict[tuple[str, Mode], Schema] = {}
        self.described = described

    # Components

    def components(self) -> dict[str, Schema]:
        """Return the component schemas; references to outputs that differ get their own names."""
        differing = self._differing
        out: dict[str, Schema] = {}
        for (name, mode), schema in self.found.items():
            target = f"{name}-Output" if mode == "output" and name in differing else name
            out.setdefault(target, self._pointed(schema, mode, differing))
        return out

    def schema(self, node: Node, mode: Mode) -> Schema:
        """Return the schema of a root type."""
        return self._pointed(self.node(node, mode), mode, self._differing)

    @functools.cached_property
    def _differing(self) -> set[str]:
        """The components that are not the same in both directions, themselves or through a reference."""
        for node, mode in self.described:  # all of them, before any is referred to
            _ = self.node(node, mode)
        both = {n for n, m in self.found if m == "input" and (n, "output") in self.found}
        out = {n for n in both if self.found[n, "input"] != self.found[n, "output"]}
        while True:
            more = {n for n in both - out if _refers(self.found[n, "output"]) & {self._ref(o) for o in out}}
            if not more:
                return out
            out |= more

    def _pointed(self, schema: Any, mode: Mode, differing: set[str]) -> Any:
        if mode == "input" or not differing:
            return copy.deepcopy(schema)
        return _replace_refs(schema, {self._ref(name): self._ref(f"{name}-Output") for name in differing})

    def _ref(self, name: str) -> str:
        return self.ref_template.format(name=name)

    def _component(self, tp: Any, mode: Mode, make: Any) -> Schema:
        name = self.names[tp]
        if (name, mode) not in self.found:
            self.found[name, mode] = {}
            self.found[name, mode] = make()
        return {"$ref": self._ref(name)}

    # Nodes

    def node(self, node: Node, mode: Mode) -> Schema:
        out = self._bare(node, mode)
        return _noted(out, node.notes)

    def _bare(self, node: Node, mode: Mode) -> Schema:
        match node:
            case ScalarNode():
                return _scalar(node)
            case ChoiceNode():
                if node.enum is None:
                    return {"enum": list(node.values)}
                return self._component(node.type, mode, lambda: _enum(node))
            case ListNode():
                out: Schema = {"type": "array"}
                items = self.node(node.item, mode)
                if items:
                    out["items"] = items
                if node.kind in ("set", "frozenset"):
                    out["uniqueItems"] = True
                return _sized(out, node.constraints, "Items")
            case TupleNode():
                return _tuple([self.node(i, mode) for i in node.items])
            case DictNode():
                return self._dict(node, mode)
            case UnionNode():
                return self._union(node, mode)
            case ObjectNode():
                return self._component(node.type, mode, lambda: self._object(node, mode))
            case ModelNode():
                return self._component(node.type, mode, lambda: self._model(node, mode))
            case LeafNode():
                return {"type": "string", "contentMediaType": "application/octet-stream"}

    def _dict(self, node: DictNode, mode: Mode) -> Schema:
        out: Schema = {"type": "object"}
        if isinstance(node.key, ScalarNode) and node.key.kind == "str":
            keys = self.node(node.key, mode)
            _ = keys.pop("type", None)
            if keys:
                out["propertyNames"] = keys
        values = self.node(node.value, mode)
        if values:
            out["additionalProperties"] = values
        return _sized(out, node.constraints, "Properties")

    def _union(self, node: UnionNode, mode: Mode) -> Schema:
        options = [self.node(m, mode) for m in node.members]
        tagged = [m for m in node.members if isinstance(m, ObjectNode) and m.tag_field and not m.array_like]
        if len(tagged) > 1 and len(tagged) == len(node.members):
            mapping = {str(m.tag): o["$ref"] for m, o in zip(tagged, options, strict=True)}
            union: Schema = {
                "oneOf": options,
                "discriminator": {"propertyName": tagged[0].tag_field, "mapping": mapping},
            }
            options = [union]
        if node.nullable:
            options.append({"type": "null"})
        return options[0] if len(options) == 1 else {"anyOf": options}

    def _object(self, node: ObjectNode, mode: Mode) -> Schema:
        out: Schema = {"title": class_name(node.type)}
        doc = _doc(node.cls)
        if doc:
            out["description"] = doc
        fields = [f for f in node.fields if f.init or mode == "output"]
        parts = [self._field(f, mode) for f in fields]
        if node.array_like or node.kind == "namedtuple":
            return {**out, **_positional(node, fields, parts)}
        properties = {f.key: p for f, p in zip(fields, parts, strict=True)}
        required = [f.key for f in fields if f.required]
        if node.tag_field is not None:
            properties = {node.tag_field: {"enum": [node.tag]}, **properties}
            required.insert(0, node.tag_field)
        out |= {"type": "object", "properties": properties, "required": required}
        if node.forbid_unknown:
            out["additionalProperties"] = False
        return out

    def _field(self, f: FieldNode, mode: Mode) -> Schema:
        out = self.node(f.node, mode)
        value = f.default
        if f.default_factory in (list, dict, set, tuple):
            value = cast("Any", f.default_factory)()
        if value is not NOTHING and value is not msgspec.UNSET:
            try:
                out = {**out, "default": _plain(value)}
            except (TypeError, ValueError):
                pass
        return out

    def _model(self, node: ModelNode, mode: Mode) -> Schema:
        kind = "validation" if mode == "input" else "serialization"
        schema: Schema = node.adapter.json_schema(mode=kind, ref_template="#/$defs/{model}")
        inner: dict[str, Schema] = schema.pop("$defs", {})
        own = self.names[node.type]
        renamed: dict[str, str] = {}
        root = schema.get("$ref", "").removeprefix("#/$defs/")
        for name in inner:
            # pydantic's own components stand beside ours: under the same name only if they are of the same class.
            taken = name in self.names.values() and name != own
            renamed[f"#/$defs/{name}"] = self._ref(own if name == root else f"{own}.{_normal(name)}" if taken else name)
        for name, part in inner.items():
            target = renamed[f"#/$defs/{name}"]
            if name != root:
                short = target.removeprefix(self.ref_template.partition("{name}")[0])
                self.found.setdefault((short, mode), _replace_refs(part, renamed))
        return _replace_refs(inner[root] if root else schema, renamed)


def _is_component(node: Node) -> bool:
    return isinstance(node, ObjectNode | ModelNode) or (isinstance(node, ChoiceNode) and node.enum is not None)


def _refers(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        members = cast("dict[str, Any]", schema)
        out = {members["$ref"]} if isinstance(members.get("$ref"), str) else set[str]()
        return out.union(*(_refers(v) for v in members.values()))
    if isinstance(schema, list):
        return set[str]().union(*(_refers(v) for v in cast("list[Any]", schema)))
    return set()


def _replace_refs(schema: Any, table: dict[str, str]) -> Any:
    """Copy a schema with other targets for its references, those of discriminators included."""
    if isinstance(schema, dict):
        return {k: _replace_refs(v, table) for k, v in cast("dict[str, Any]", schema).items()}
    if isinstance(schema, list):
        return [_replace_refs(v, table) for v in cast("list[Any]", schema)]
    return table.get(schema, schema) if isinstance(schema, str) else schema


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True)


def _noted(schema: Schema, notes: Notes) -> Schema:
    if not notes:
        return schema
    out = dict(schema)
    if notes.title:
        out["title"] = notes.title
    if notes.description:
        out["description"] = notes.description
    if notes.examples:
        out["examples"] = _plain(notes.examples)
    return {**out, **(_plain(notes.extra_json_schema) if notes.extra_json_schema else {})}


def _doc(cls: type[Any]) -> str:
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    made = doc.startswith(f"{cls.__name__}(") and doc.endswith(")")  # dataclasses and named tuples write their own
    return "" if made or doc == "An enumeration." else doc


def _enum(node: ChoiceNode) -> Schema:
    out: Schema = {"title": node.enum.__name__}
    doc = _doc(node.enum)
    if doc:
        out["description"] = doc
    values = [_plain(v) for v in node.values]
    if all(isinstance(v, str) for v in values):
        out["type"] = "string"
    elif all(type(v) is int for v in values):
        out["type"] = "integer"
    return {**out, "enum": values}


def _tuple(items: list[Schema]) -> Schema:
    out: Schema = {"type": "array", "minItems": len(items), "maxItems": len(items)}
    return {**out, "prefixItems": items, "items": False} if items else out


def _positional(node: ObjectNode, fields: list[FieldNode], parts: list[Schema]) -> Schema:
    if node.tag_field is not None:
        parts = [{"enum": [node.tag]}, *parts]
    shift = len(parts) - len(fields)
    needed = max((i + 1 for i, f in enumerate(fields) if f.required), default=0)
    out: Schema = {"type": "array", "prefixItems": parts, "minItems": needed + shift}
    if node.forbid_unknown or node.kind == "namedtuple":
        out["maxItems"] = len(parts)
    return out


def _sized(schema: Schema, c: Constraints, unit: str) -> Schema:
    if c.min_length is not None:
        schema[f"min{unit}"] = c.min_length
    if c.max_length is not None:
        schema[f"max{unit}"] = c.max_length
    return schema


_FORMATS: dict[str, str] = {
    "date": "date", "time": "time", "datetime": "date-time", "timedelta": "duration", "uuid": "uuid",
    "decimal": "decimal",
}  # fmt: skip
_NUMERIC = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
#: Bounds of values that are strings in JSON have no keyword of the standard; validators such as ajv know these.
_FORMATTED = {
    "ge": "formatMinimum", "gt": "formatExclusiveMinimum", "le": "formatMaximum", "lt": "formatExclusiveMaximum",
}  # fmt: skip


def _scalar(node: ScalarNode) -> Schema:
    c = node.constraints
    match node.kind:
        case "any" | "raw":
            return {}
        case "none":
            return {"type": "null"}
        case "bool":
            return {"type": "boolean"}
        case "int":
            return _integer(c)
        case "float":
            return _bounded({"type": "number"}, c, _NUMERIC)
        case "str":
            out = _sized({"type": "string"}, c, "Length")
            if c.patterns:
                out["pattern"] = c.patterns[0]
            if len(c.patterns) > 1:
                out["allOf"] = [{"pattern": p} for p in c.patterns[1:]]
            return out
        case "bytes":
            lengths = Constraints(min_length=_base64(c.min_length), max_length=_base64(c.max_length))
            return _sized({"type": "string", "contentEncoding": "base64"}, lengths, "Length")
        case "decimal":
            # A bound says nothing about a string to a validator; it tells readers, and code generators.
            minus = "" if any(low is not None and low >= 0 for low in (c.ge, c.gt)) else "-?"
            pattern = rf"^{minus}(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{{1,2}})?$"
            return _bounded({"type": "string", "format": "decimal", "pattern": pattern}, c, _NUMERIC)
        case "timedelta":
            return _bounded({"type": "string", "format": "duration", "pattern": _DURATION}, c, _FORMATTED)
        case _:
            return _bounded(_text_format(node), c, _FORMATTED)


def _text_format(node: ScalarNode) -> Schema:
    """`time` asks for an offset, which only tz=True promises; `date-time` does too, and says more than it harms."""
    if node.constraints.tz is False:
        return {"type": "string", "format": _LOCAL[node.kind]}
    if node.kind == "time" and node.constraints.tz is None:
        return {"type": "string"}
    return {"type": "string", "format": _FORMATS[node.kind]}


#: Days to seconds: how long a week, a month or a year is depends on the calendar.
_DURATION = r"^[+-]?P([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]+)?S)?)?$"
_LOCAL = {"datetime": "date-time-local", "time": "time-local"}


def _integer(c: Constraints) -> Schema:
    # The limits beside the format: generators of code read one, generators of test data the other.
    out: Schema = {"type": "integer", "format": "int64"}
    if c.ge is None and c.gt is None:
        out["minimum"] = INT64_MIN
    if c.le is None and c.lt is None:
        out["maximum"] = INT64_MAX
    return _bounded(out, c, _NUMERIC)


def _bounded(schema: Schema, c: Constraints, words: dict[str, str]) -> Schema:
    for name, word in words.items():
        bound = getattr(c, name)
        if bound is not None:
            schema[word] = _number(bound) if words is _NUMERIC else _written(bound)
    if c.multiple_of is not None:
        schema["multipleOf"] = _number(c.multiple_of)
    return schema


def _number(bound: Any) -> int | float:
    return bound if isinstance(bound, int | float) else int(bound) if bound == int(bound) else float(bound)


def _written(bound: Any) -> str:
    if isinstance(bound, datetime.date | datetime.time):
        return bound.isoformat()
    return str(_plain(bound))


def _base64(length: int | None) -> int | None:
    return None if length is None else 4 * ((length + 2) // 3)
