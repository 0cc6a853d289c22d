"""What an answer shows: values that hold more than their declared type are rebuilt with the declared fields only.

A value of exactly the declared classes is passed on after a generated test; anything else (a subclass, an ORM object,
a dict, another class) is read field by field. Input constraints play no part: a row older than a rule is readable.
Scalars inside an exact object are trusted to be what its class declares.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import msgspec
from msgspec import UNSET

from .describe import describe
from .failures import OutputError
from .nodes import (
    NOTHING,
    ChoiceNode,
    DictNode,
    FieldNode,
    LeafNode,
    ListNode,
    ModelNode,
    Node,
    ObjectNode,
    ScalarNode,
    TupleNode,
    UnionNode,
    is_recursive,
    type_name,
    walk,
)

_SCALARS: tuple[type, ...] = (
    str, int, float, bool, type(None), bytes, bytearray, memoryview, decimal.Decimal, datetime.date, datetime.time,
    datetime.timedelta, uuid.UUID, enum.Enum, msgspec.Raw,
)  # fmt: skip
_EXACT_SCALARS = frozenset(_SCALARS) | {datetime.datetime}


def compile_output(tp: Any, *, where: str = "") -> Callable[[Any], Any] | None:
    """Make the shape of a return type: a function that returns an object holding only declared fields.

    Returns:
        None when nothing could leak: the type is made of scalars and containers of them.

    Raises:
        UnsupportedType: the type's fields are not known.
    """
    node = describe(tp, where=where)
    if not _may_leak(node):
        return None
    build: Callable[[Any], Any] | None = None

    def rebuild(value: Any) -> Any:
        nonlocal build
        if build is None:
            build = _Builder().of(node, type_name(node))
        return build(value)

    return _ExactWriter().build(node, rebuild)


def _may_leak(node: Node) -> bool:
    return any(isinstance(n, ObjectNode | ModelNode) for n in walk(node))


# The test of exact values ---------------------------------------------------------------------------------------------


class _ExactWriter:
    """Writes a function that returns a value of exactly the declared classes as it is, and anything else rebuilt."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "UNSET": UNSET, "SCALARS": _EXACT_SCALARS, "LISTS": frozenset({list, tuple, set, frozenset}),
        }  # fmt: skip
        self.functions: dict[int, str] = {}
        self.source: list[str] = []
        self.locals = 0
        #: What a function does where a value is not exact.
        self.otherwise = "return rebuild(v)"

    def build(self, node: Node, rebuild: Callable[[Any], Any]) -> Callable[[Any], Any]:
        self.names["rebuild"] = rebuild
        lines = self.emit(node, "v", 1)
        self.source.append("\n".join(["def shape(v):", *lines, "    return v"]))
        text = "\n\n".join(self.source)
        exec(compile(text, "<output shape>", "exec"), self.names)  # noqa: S102  (made from names of classes and fields)
        return cast("Callable[[Any], Any]", self.names["shape"])

    def name(self, value: Any) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def local(self) -> str:
        self.locals += 1
        return f"a{self.locals}"

    def emit(self, node: Node, e: str, depth: int) -> list[str]:
        if not _may_leak(node):
            return []
        pad = "    " * depth
        match node:
            case ListNode():
                item = self.local()
                head = [f"{pad}if type({e}) not in LISTS: {self.otherwise}", f"{pad}for {item} in {e}:"]
                return [*head, *self.emit(node.item, item, depth + 1)]
            case TupleNode():
                lines = [f"{pad}if type({e}) not in LISTS or len({e}) != {len(node.items)}: {self.otherwise}"]
                for i, part in enumerate(node.items):
                    lines += self.part(part, f"{e}[{i}]", depth)
                return lines
            case DictNode():
                item = self.local()
                head = [f"{pad}if type({e}) is not dict: {self.otherwise}", f"{pad}for {item} in {e}.values():"]
                return [*head, *self.emit(node.value, item, depth + 1)]
            case UnionNode():
                return self.union(node, e, depth)
            case ObjectNode():
                return self.object(node, e, depth)
            case _:
                return [f"{pad}{self.otherwise}"]

    def part(self, node: Node, e: str, depth: int, *, unsettable: bool = False) -> list[str]:
        if not _may_leak(node):
            return []
        local, pad = self.local(), "    " * depth
        if unsettable:
            inner = self.emit(node, local, depth + 1)
            return [f"{pad}{local} = {e}", f"{pad}if {local} is not UNSET:", *inner]
        return [f"{pad}{local} = {e}", *self.emit(node, local, depth)]

    def union(self, node: UnionNode, e: str, depth: int) -> list[str]:
        pad = "    " * depth
        lines: list[str] = []
        if node.nullable:
            lines.append(f"{pad}if {e} is not None:")
            depth, pad = depth + 1, pad + "    "
        if len(node.members) == 1:
            return lines + self.emit(node.members[0], e, depth)
        word = "if"
        for m in node.members:
            if _may_leak(m) and not isinstance(m, ModelNode):
                lines.append(f"{pad}{word} type({e}) is {self.name(_runtime_type(m))}:")
                lines += self.emit(m, e, depth + 1)
                word = "elif"
        if word == "elif":
            lines.append(f"{pad}elif type({e}) not in SCALARS: {self.otherwise}")
        else:
            lines.append(f"{pad}if type({e}) not in SCALARS: {self.otherwise}")
        return lines

    def object(self, node: ObjectNode, e: str, depth: int) -> list[str]:
        pad = "    " * depth
        if is_recursive(node):
            return [f"{pad}if not {self.function(node)}({e}): {self.otherwise}"]
        return self.members(node, e, depth)

    def function(self, node: ObjectNode) -> str:
        known = self.functions.get(id(node))
        if known is None:
            known = self.functions[id(node)] = f"exact_{len(self.functions)}"
            outer, self.otherwise = self.otherwise, "return False"
            lines = [f"def {known}(v):", *self.members(node, "v", 1), "    return True"]
            self.otherwise = outer
            self.source.append("\n".join(lines))
        return known

    def members(self, node: ObjectNode, e: str, depth: int) -> list[str]:
        pad = "    " * depth
        if node.kind == "typeddict":
            return self.keys(node, e, depth)
        if node.kind == "attrs" and hasattr(node.cls, "__dict__") and "__slots__" not in vars(node.cls):
            return [f"{pad}{self.otherwise}"]  # msgspec would show whatever was set on the instance
        lines = [f"{pad}if type({e}) is not {self.name(node.cls)}: {self.otherwise}"]
        for f in node.fields:
            lines += self.part(f.node, f"{e}.{f.name}", depth, unsettable=f.unsettable or f.default is UNSET)
        return lines

    def keys(self, node: ObjectNode, e: str, depth: int) -> list[str]:
        pad = "    " * depth
        allowed = self.name(frozenset(f.key for f in node.fields))
        needed = self.name(frozenset(f.key for f in node.fields if f.required))
        lines = [f"{pad}if type({e}) is not dict or not {needed} <= {e}.keys() <= {allowed}: {self.otherwise}"]
        for f in node.fields:
            if _may_leak(f.node):
                lines.append(f"{pad}if {f.key!r} in {e}:")
                lines += self.part(f.node, f"{e}[{f.key!r}]", depth + 1)
        return lines


def _runtime_type(node: Node) -> Any:
    match node:
        case ObjectNode():
            return dict if node.kind == "typeddict" else node.cls
        case ListNode():
            return {"list": list, "set": set, "frozenset": frozenset, "tuple": tuple}[node.kind]
        case TupleNode():
            return tuple
        case ModelNode():
            return node.type
        case _:
            return dict


def _source_type(node: Node) -> Any:
    """Return the class of what a structure shows."""
    found = _runtime_type(node)
    return getattr(found, "__quintet_source__", found)


# Rebuilding -----------------------------------------------------------------------------------------------------------

_Build = Callable[[Any], Any]


class _Builder:
    """Builds, for each node, the function that takes the declared fields out of any object."""

    def __init__(self) -> None:
        self.built: dict[int, _Build] = {}

    def of(self, node: Node, where: str) -> _Build:
        known = self.built.get(id(node))
        if known is not None:
            return known
        later: list[_Build] = []
        self.built[id(node)] = lambda value: later[0](value)  # noqa: PLW0108  (the list is filled below)
        later.append(self.make(node, where))
        self.built[id(node)] = later[0]
        return later[0]

    def make(self, node: Node, where: str) -> _Build:
        match node:
            case ScalarNode() | ChoiceNode() | LeafNode():
                return _scalar(node, where)
            case ListNode():
                return _list(self.of(node.item, f"{where}[]"), where)
            case TupleNode():
                return _tuple([self.of(item, f"{where}[{i}]") for i, item in enumerate(node.items)], where)
            case DictNode():
                return _dict(self.of(node.key, f"{where} key"), self.of(node.value, f"{where}[…]"), where)
            case UnionNode():
                return self.union(node, where)
            case ModelNode():
                return _model(node, where)
            case ObjectNode():
                return self.object(node)

    def union(self, node: UnionNode, where: str) -> _Build:
        members = [(_source_type(m), self.of(m, where)) for m in node.members if not _is_simple(m)]
        members.sort(key=lambda pair: -len(pair[0].__mro__))  # the nearest class of several above one another
        others = [self.of(m, where) for m in node.members if _is_simple(m)]

        def build(value: Any) -> Any:
            if value is None and node.nullable:
                return None
            for tp, member in members:
                if tp is not dict and isinstance(value, tp):
                    return member(value)
            failure: OutputError | None = None
            for member in [*others, *(m for _, m in members)]:
                try:
                    return member(value)
                except OutputError as e:
                    failure = e
            raise failure or OutputError(f"{where}: {type(value).__name__} is none of the declared types")

        return build

    def object(self, node: ObjectNode) -> _Build:
        fields = [(f, self.of(f.node, f"{node.cls.__name__}.{f.name}")) for f in node.fields]
        make = _maker(node)
        name = node.cls.__name__

        def build(value: Any) -> Any:
            if isinstance(value, (*_SCALARS, list, set)):
                kind = type(cast("object", value)).__name__
                raise OutputError(f"{name}: expected an object with its fields, not {kind}")
            out: dict[str, Any] = {}
            for f, member in fields:
                part = _read(value, f)
                if part is NOTHING:
                    if f.required:
                        raise OutputError(
                            f"{name}.{f.name}: the {type(value).__name__} that was returned has no such field; "
                            "return an object that has it, or give the field a default"
                        )
                    continue
                out[f.name] = part if part is UNSET else member(part)
            return make(out)

        source = getattr(node.cls, "__quintet_source__", None)
        return build if source is None else _attribute_reader(node, fields, source, build)


def _attribute_reader(node: ObjectNode, fields: list[tuple[FieldNode, _Build]], source: type, other: _Build) -> _Build:
    """Return a function that reads objects of the class that a structure was made for.

    PERF: its values are what the class declares, and most often they stand in `__dict__`: a fifth of the time.
    """
    names: dict[str, Any] = {"source": source, "other": other, "twin": _twin(node)}
    parts: list[str] = []
    for index, (f, member) in enumerate(fields):
        names[f"read{index}"] = member
        simple = not _may_leak(f.node)
        parts.append(f"{f.name}=d[{f.name!r}]" if simple else f"{f.name}=read{index}(d[{f.name!r}])")
    text = (
        "def build(value):\n"
        "    if isinstance(value, source):\n"
        "        d = value.__dict__\n"
        f"        try: return twin({', '.join(parts)})\n"
        "        except KeyError: pass\n"
        "    return other(value)\n"
    )
    exec(compile(text, "<output shape>", "exec"), names)  # noqa: S102  (made from names of classes and fields)
    return cast("_Build", names["build"])


def _is_simple(node: Node) -> bool:
    return isinstance(node, ScalarNode | ChoiceNode | LeafNode)


def _read(value: Any, f: FieldNode) -> Any:
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return members.get(f.name, members.get(f.key, NOTHING))
    return getattr(value, f.name, NOTHING)


def _scalar(node: Node, where: str) -> _Build:
    if isinstance(node, ScalarNode) and node.kind in ("any", "raw"):
        return lambda value: value

    def build(value: Any) -> Any:
        if not isinstance(value, _SCALARS):
            raise OutputError(f"{where}: expected {type_name(node)}, not {type(value).__name__}")
        return value

    return build


def _list(item: _Build, where: str) -> _Build:
    def build(value: Any) -> Any:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            raise OutputError(f"{where}: expected a list, not {type(cast('object', value)).__name__}")
        return [item(part) for part in cast("Iterable[Any]", value)]

    return build


def _tuple(items: list[_Build], where: str) -> _Build:
    def build(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise OutputError(f"{where}: expected a list of {len(items)}, not {type(value).__name__}")
        parts = cast("list[Any]", value)
        if len(parts) != len(items):
            raise OutputError(f"{where}: expected a list of {len(items)}, not of {len(parts)}")
        return tuple(item(part) for item, part in zip(items, parts, strict=True))

    return build


def _dict(key: _Build, item: _Build, where: str) -> _Build:
    def build(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise OutputError(f"{where}: expected an object, not {type(value).__name__}")
        return {key(k): item(part) for k, part in cast("Mapping[Any, Any]", value).items()}

    return build


def _model(node: ModelNode, where: str) -> _Build:
    adapter = node.adapter

    def build(value: Any) -> Any:
        if not isinstance(value, node.type):
            try:
                value = adapter.validate_python(value, from_attributes=True)
            except ValueError as e:
                raise OutputError(f"{where}: {type(value).__name__} cannot be shown as {node.type.__name__}") from e
        return adapter.dump_python(value, mode="json", by_alias=True)

    return build


def _maker(node: ObjectNode) -> _Build:
    """Return what puts the fields together: a twin of a Struct without its checks, a list or a dict."""
    if node.kind == "struct":
        twin = _twin(node)
        return lambda fields: twin(**fields)
    if node.kind == "namedtuple":
        return lambda fields: [fields.get(f.name, f.default) for f in node.fields]
    if node.kind == "typeddict":
        return lambda fields: fields
    defaults = {f.name: (f.default, f.default_factory) for f in node.fields if not f.required}

    def make(fields: dict[str, Any]) -> dict[str, Any]:
        for name, (default, factory) in defaults.items():
            if name not in fields:
                fields[name] = factory() if factory is not None else default
        return {f.key: fields[f.name] for f in node.fields}

    return make


def _twin(node: ObjectNode) -> Any:
    """Define a Struct that is encoded as the declared one is, and has neither its checks nor its methods."""
    config: Any = node.cls.__struct_config__
    fields: list[Any] = []
    for f in node.fields:
        if f.default_factory is not None:
            fields.append((f.name, Any, msgspec.field(default_factory=f.default_factory)))
        elif f.default is not NOTHING:
            fields.append((f.name, Any, msgspec.field(default=f.default)))
        else:
            fields.append((f.name, Any))
    return msgspec.defstruct(
        node.cls.__name__,
        fields,
        kw_only=True,
        rename={f.name: f.key for f in node.fields},
        tag_field=config.tag_field,
        tag=config.tag,
        omit_defaults=config.omit_defaults,
        array_like=config.array_like,
    )
