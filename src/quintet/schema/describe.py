"""From a type annotation to the nodes of `nodes.py`: the one place that looks at annotations."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UnsetType

from .bounds import is_constraint, read
from .hints import class_hints
from .nodes import (
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
    ObjectKind,
    ObjectNode,
    ScalarKind,
    ScalarNode,
    TupleNode,
    UnionNode,
    UnsupportedType,
)

#: Tells which classes are passed through as they are.
LeafPredicate = Callable[[Any], bool]

_SCALARS: dict[Any, ScalarKind] = {
    Any: "any", object: "any", None: "none", type(None): "none", bool: "bool", int: "int", float: "float",
    str: "str", bytes: "bytes", bytearray: "bytes", memoryview: "bytes", decimal.Decimal: "decimal",
    datetime.date: "date", datetime.time: "time", datetime.datetime: "datetime", datetime.timedelta: "timedelta",
    uuid.UUID: "uuid", msgspec.Raw: "raw",
}  # fmt: skip

_LISTS: dict[Any, Literal["list", "set", "frozenset"]] = {
    list: "list", set: "set", frozenset: "frozenset", abc.Collection: "list", abc.Sequence: "list",
    abc.MutableSequence: "list", abc.MutableSet: "set", abc.Set: "set",
}  # fmt: skip
_DICTS: tuple[Any, ...] = (dict, abc.Mapping, abc.MutableMapping)

#: Wrappers that say nothing about the value.
_QUALIFIERS = {"Required", "NotRequired", "ReadOnly", "Final"}

_BOUNDABLE = {"int", "float", "decimal", "date", "time", "datetime", "timedelta"}


def describe(tp: Any, *, leaf: LeafPredicate | None = None, where: str = "") -> Node:
    """Describe a type.

    Args:
        tp: the annotation.
        leaf: tells which classes are passed through as they are.
        where: the name of the parameter, for messages.

    Raises:
        UnsupportedType: the message names the field and the fix.
    """
    return _Describer(leaf).visit(tp, where or _repr(tp), ())


def _repr(tp: Any) -> str:
    return tp.__name__ if isinstance(tp, type) and not get_args(tp) else str(tp).replace("typing.", "")


def refuse(where: str, found: str, fix: str) -> NoReturn:
    """Raise `UnsupportedType` in the one form that all its messages have."""
    raise UnsupportedType(f"{where}: {found}; {fix}")


class _Describer:
    def __init__(self, leaf: LeafPredicate | None) -> None:
        self.leaf = leaf
        self.objects: dict[Any, ObjectNode] = {}

    def visit(self, tp: Any, where: str, metas: tuple[Any, ...]) -> Node:
        tp, inner = _unwrap(tp)
        metas = inner + metas  # inner first: the outer Meta's words win
        if isinstance(tp, TypeVar):
            return self.visit(tp.__bound__ if tp.__bound__ is not None else Any, where, metas)
        node = self._node(tp, where)
        if metas:
            constraints, notes = _merge(metas, where)
            node = _with(node, constraints, notes)
            _check_constraints(node, where)
        return node

    def _node(self, tp: Any, where: str) -> Node:
        origin, args = get_origin(tp), get_args(tp)
        if isinstance(tp, (str, typing.ForwardRef)):
            refuse(where, f"the annotation {tp!r} is a name that cannot be resolved", "define it at module level")
        if self.leaf is not None and self.leaf(tp):
            return LeafNode(tp)
        if _hashable(tp) and tp in _SCALARS:
            return ScalarNode(_SCALARS[tp], type(None) if tp is None else tp)
        if origin is Union or origin is types.UnionType:
            return self._union(args, where)
        if origin is Literal:
            return ChoiceNode(None, args, tp)
        container = self._container(tp, origin, args, where)
        if container is not None:
            return container
        return self._class(tp, origin, where)

    def _container(self, tp: Any, origin: Any, args: tuple[Any, ...], where: str) -> Node | None:
        base = origin or tp
        if not _hashable(base):
            return None
        if base in _LISTS:
            node = ListNode(_LISTS[base], self.visit(args[0] if args else Any, f"{where}[]", ()))
            if node.kind != "list" and not _can_be_hashed(node.item):
                refuse(where, "the items of a set must be hashable", "use a list, or freeze the item's class")
            return node
        if base is tuple:
            if not args and origin is None:
                return ListNode("tuple", ScalarNode("any", Any))
            if len(args) == 2 and args[1] is ...:
                return ListNode("tuple", self.visit(args[0], f"{where}[]", ()))
            items = () if args == ((),) else args
            return TupleNode(tuple(self.visit(a, f"{where}[{i}]", ()) for i, a in enumerate(items)))
        if base in _DICTS:
            key, value = args or (Any, Any)
            self._check_key(key, where)
            return DictNode(self.visit(key, f"{where}.keys()", ()), self.visit(value, f"{where}.values()", ()))
        return None

    def _check_key(self, key: Any, where: str) -> None:
        node = self.visit(key, f"{where}.keys()", ())
        parts = node.members if isinstance(node, UnionNode) else (node,)
        if not all(isinstance(p, ScalarNode | ChoiceNode) and getattr(p, "kind", "") != "bytes" for p in parts):
            refuse(where, f"{_repr(key)} cannot be a key of an object", "use str, int, an enum, a date or a UUID")

    def _union(self, args: tuple[Any, ...], where: str) -> Node:
        members: list[Node] = []
        nullable = False
        for arg in args:
            if arg is UnsetType:
                continue
            node = self.visit(arg, where, ())
            if isinstance(node, UnionNode) and not node.notes:
                nullable = nullable or node.nullable
                members.extend(node.members)
            elif isinstance(node, ScalarNode) and node.kind == "none":
                nullable = True
            else:
                members.append(node)
        if not members:
            return ScalarNode("none", type(None))
        if len(members) == 1 and not nullable:
            return members[0]
        if any(isinstance(m, ScalarNode) and m.kind == "any" for m in members):
            return ScalarNode("any", Any)
        return UnionNode(tuple(members), nullable)

    def _class(self, tp: Any, origin: Any, where: str) -> Node:
        cls = origin or tp
        if not isinstance(cls, type):
            refuse(where, f"{_repr(tp)} is not a type that can be validated", "use a type of the table in the docs")
        if issubclass(cls, enum.Enum):
            return _enum(cls, where)
        if hasattr(cls, "__pydantic_validator__"):
            return _model(tp)
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self._object(tp, cls, "namedtuple", where)
        if issubclass(cls, dict) and hasattr(cls, "__total__"):
            return self._object(tp, cls, "typeddict", where)
        if issubclass(cls, msgspec.Struct):
            return self._object(tp, cls, "struct", where)
        if dataclasses.is_dataclass(cls):
            return self._object(tp, cls, "dataclass", where)
        if hasattr(cls, "__attrs_attrs__"):
            return self._object(tp, cls, "attrs", where)
        refuse(
            where,
            f"{_repr(tp)} is a class whose fields are not declared",
            "use a Struct, dataclass, attrs class, TypedDict or pydantic model, or a type of the table in the docs",
        )

    def _object(self, tp: Any, cls: type[Any], kind: ObjectKind, where: str) -> Node:
        known = self.objects.get(tp) if _hashable(tp) else None
        if known is not None:
            return known
        node = ObjectNode(kind, tp, cls)
        self.objects[tp] = node
        name = _repr(tp)
        try:
            hints = class_hints(tp)
        except NameError as e:
            refuse(
                name,
                f"an annotation names {e.name!r}, which its module does not define",
                "import it at module level, outside `if TYPE_CHECKING`, and define the classes that it names there",
            )
        specs = _FIELDS[kind](tp, cls, hints)
        for spec in specs:
            hint, spec.unsettable = _without_unset(spec.annotation)
            if isinstance(hint, dataclasses.InitVar):
                refuse(f"{name}.{spec.name}", "InitVar fields cannot be read from a message", "use a plain field")
            spec.node = self.visit(hint, f"{name}.{spec.name}", ())
        node.fields = tuple(specs)
        if kind == "struct":
            config = cls.__struct_config__
            node.forbid_unknown, node.array_like = config.forbid_unknown_fields, config.array_like
            node.tag_field, node.tag = config.tag_field, config.tag
        return node


def _can_be_hashed(node: Node) -> bool:
    match node:
        case ListNode():
            return node.kind in ("frozenset", "tuple") and _can_be_hashed(node.item)
        case TupleNode():
            return all(_can_be_hashed(item) for item in node.items)
        case UnionNode():
            return all(_can_be_hashed(member) for member in node.members)
        case ObjectNode():
            return node.kind == "namedtuple" or getattr(node.cls, "__hash__", None) is not None
        case ScalarNode():
            return node.kind not in ("any", "raw") and node.type is not bytearray
        case _:
            return isinstance(node, ChoiceNode | LeafNode)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _unwrap(tp: Any) -> tuple[Any, tuple[Any, ...]]:
    """Strip `Annotated`, `NewType`, type aliases and qualifiers; return what is inside with its `Meta`s."""
    metas: tuple[Any, ...] = ()
    while True:
        origin = get_origin(tp)
        if origin is Annotated:
            metas += tuple(m for m in tp.__metadata__ if is_constraint(m))
            tp = tp.__origin__
        elif origin is not None and (origin is Final or getattr(origin, "_name", "") in _QUALIFIERS):
            tp = get_args(tp)[0]
        elif type(tp).__name__ == "TypeAliasType":
            tp = tp.__value__
        elif type(origin).__name__ == "TypeAliasType":
            tp = origin.__value__[get_args(tp)]
        elif isinstance(tp, typing.NewType):
            tp = tp.__supertype__
        else:
            return tp, metas


def _without_unset(tp: Any) -> tuple[Any, bool]:
    inner, metas = _unwrap(tp)
    args = get_args(inner)
    if get_origin(inner) in (Union, types.UnionType) and UnsetType in args:
        rest = tuple(a for a in args if a is not UnsetType)
        union: Any = Union[rest]  # noqa: UP007  (built from values, not written)
        return (Annotated[(union, *metas)] if metas else union), True
    return tp, False


def _merge(metas: tuple[Any, ...], where: str) -> tuple[Constraints, Notes]:
    out, notes = Constraints(), Notes()
    for meta in metas:
        for name in ("gt", "ge", "lt", "le"):
            value = read(meta, name)
            if value is not None:
                _tighten(out, name, value, where)
        _keep_one(out, "multiple_of", read(meta, "multiple_of"), where)
        _keep_one(out, "tz", read(meta, "tz"), where)
        shortest, longest = read(meta, "min_length"), read(meta, "max_length")
        if shortest is not None:
            out.min_length = max(out.min_length or 0, shortest)
        if longest is not None:
            out.max_length = longest if out.max_length is None else min(out.max_length, longest)
        pattern = read(meta, "pattern")
        if pattern is not None and pattern not in out.patterns:
            out.patterns += (pattern,)
        notes.title = read(meta, "title") or notes.title
        notes.description = read(meta, "description") or notes.description
        notes.examples = read(meta, "examples") or notes.examples
        extra = read(meta, "extra_json_schema")
        if extra:
            notes.extra_json_schema = {**(notes.extra_json_schema or {}), **extra}
    _settle_offsets(out, where)
    return out, notes


def _keep_one(out: Constraints, name: str, value: Any, where: str) -> None:
    if value is None:
        return
    if getattr(out, name) not in (None, value):
        refuse(where, f"two different `{name}`", "keep one of them")
    setattr(out, name, value)


def _settle_offsets(out: Constraints, where: str) -> None:
    """A bound with an offset asks for values with one, and the other way round: they cannot be compared else."""
    for bound in (out.gt, out.ge, out.lt, out.le):
        if isinstance(bound, datetime.datetime | datetime.time):
            aware = bound.tzinfo is not None
            if out.tz not in (None, aware):
                refuse(where, f"the bound {bound!r} and tz={out.tz} contradict each other", "make the bound match tz")
            out.tz = aware


def _tighten(out: Constraints, name: str, value: Any, where: str) -> None:
    """Keep the tighter of two bounds; at the same limit the exclusive one."""
    lower = name in ("gt", "ge")
    exclusive, inclusive = ("gt", "ge") if lower else ("lt", "le")
    for other in (exclusive, inclusive):
        old = getattr(out, other)
        if old is None:
            continue
        try:
            tighter = (value > old if lower else value < old) or (value == old and name == exclusive)
        except TypeError:
            refuse(where, f"the bounds {old!r} and {value!r} cannot be compared", "give both the field's own type")
        if not tighter:
            return
        setattr(out, other, None)
    setattr(out, name, value)


def _with(node: Node, constraints: Constraints, notes: Notes) -> Node:
    """Return a copy of `node` with its own constraints and notes; objects and unions take them too."""
    if isinstance(node, UnionNode):
        return UnionNode(tuple(_narrow_member(m, constraints) for m in node.members), node.nullable, constraints, notes)
    merged = _both(node.constraints, constraints) if node.constraints else constraints
    return dataclasses.replace(node, constraints=merged, notes=notes) if not isinstance(node, ObjectNode) else (
        _annotated_object(node, merged, notes)
    )  # fmt: skip


def _annotated_object(node: ObjectNode, constraints: Constraints, notes: Notes) -> Node:
    # The object's node must stay one (it may still be being filled): a union of one member carries the words.
    return UnionNode((node,), False, constraints, notes)


def _narrow_member(node: Node, constraints: Constraints) -> Node:
    """Give a member of a union those constraints that make sense for it."""
    fitting = _fitting(node, constraints)
    return _with(node, fitting, node.notes) if fitting and not isinstance(node, ObjectNode) else node


def _both(a: Constraints, b: Constraints) -> Constraints:
    merged, _ = _merge((a, b), "")
    merged.patterns = tuple(dict.fromkeys(a.patterns + b.patterns))
    return merged


def _fitting(node: Node, c: Constraints) -> Constraints:
    out = Constraints()
    if isinstance(node, ScalarNode):
        if node.kind in _BOUNDABLE and _comparable(node, c):
            out.gt, out.ge, out.lt, out.le = c.gt, c.ge, c.lt, c.le
        if node.kind in ("int", "float", "decimal"):
            out.multiple_of = c.multiple_of
        if node.kind in ("str", "bytes"):
            out.min_length, out.max_length = c.min_length, c.max_length
        if node.kind == "str":
            out.patterns = c.patterns
        if node.kind in ("datetime", "time"):
            out.tz = c.tz
    elif isinstance(node, (ListNode, DictNode)):
        out.min_length, out.max_length = c.min_length, c.max_length
    return out


_SAMPLES: dict[str, Any] = {
    "int": 0, "float": 0.0, "decimal": decimal.Decimal(0), "date": datetime.date(2000, 1, 1), "time": datetime.time(),
    "timedelta": datetime.timedelta(),
}  # fmt: skip


def _comparable(node: ScalarNode, c: Constraints) -> bool:
    for bound in (c.gt, c.ge, c.lt, c.le):
        if bound is None:
            continue
        if node.kind == "datetime":
            if not isinstance(bound, datetime.datetime):
                return False
            continue
        if node.kind == "date" and isinstance(bound, datetime.datetime):
            return False
        if node.kind == "time" and isinstance(bound, datetime.time):
            continue
        try:
            _ = _SAMPLES[node.kind] < bound
        except TypeError:
            return False
    return True


def _check_constraints(node: Node, where: str) -> None:
    """Refuse a constraint that no part of the type can hold."""
    wanted = node.constraints
    members = node.members if isinstance(node, UnionNode) else (node,)
    for name in ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "patterns", "tz"):
        value = getattr(wanted, name)
        if value in (None, ()):
            continue
        single = Constraints(**{name: value})
        if not any(_fitting(m, single) for m in members):
            shown = "pattern" if name == "patterns" else name
            refuse(where, f"Meta({shown}=…) cannot hold for this type", _FIXES.get(shown, "give it to a type it fits"))


_FIXES = {
    **dict.fromkeys(
        ("gt", "ge", "lt", "le"),
        "bounds fit numbers, dates, times and durations, and must be of the field's own type (a Decimal or a date)",
    ),
    "multiple_of": "it fits int, float and Decimal",
    "min_length": "lengths fit str, bytes, lists, sets and dicts",
    "max_length": "lengths fit str, bytes, lists, sets and dicts",
    "pattern": "patterns fit str",
    "tz": "it fits datetime and time",
}


def _enum(cls: type[enum.Enum], where: str) -> ChoiceNode:
    values = tuple(member.value for member in cls)
    if not values:
        refuse(where, f"the enum {cls.__name__} has no members", "give it some")
    if not all(type(v) in (str, int, float, bool, type(None)) or isinstance(v, str | int) for v in values):
        refuse(where, f"the enum {cls.__name__} has values that cannot be sent", "use str, int or float values")
    return ChoiceNode(cls, values, cls)


def _model(tp: Any) -> ModelNode:
    from pydantic import TypeAdapter  # the user's type is pydantic's already

    return ModelNode(tp, TypeAdapter(tp))


# What each kind of class says about its fields ------------------------------------------------------------------------


def _pending(name: str, key: str, annotation: Any, *, required: bool, **more: Any) -> FieldNode:
    return FieldNode(name, key, name, ScalarNode("any", Any), required, annotation=annotation, **more)


def _struct_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    out: list[FieldNode] = []
    infos = {f.name: f for f in msgspec.structs.fields(cls)}
    for name, key in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        info = infos[name]
        default = NOTHING if info.default is msgspec.NODEFAULT else info.default
        factory = None if info.default_factory is msgspec.NODEFAULT else info.default_factory
        out.append(_pending(name, key, hints[name], required=info.required, default=default, default_factory=factory))
    return out


def _dataclass_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    out: list[FieldNode] = []
    for f in cls.__dataclass_fields__.values():
        if "ClassVar" in str(f._field_type):
            continue
        if "INITVAR" in str(f._field_type):
            hints[f.name] = dataclasses.InitVar(Any)
        default = NOTHING if f.default is dataclasses.MISSING else f.default
        factory = None if f.default_factory is dataclasses.MISSING else f.default_factory
        required = default is NOTHING and factory is None
        out.append(
            _pending(
                f.name, f.name, hints[f.name], required=required, default=default, default_factory=factory, init=f.init
            )
        )
    return out


def _attrs_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    import attrs  # the user's type is attrs' already

    out: list[FieldNode] = []
    for a in cls.__attrs_attrs__:
        default, factory = a.default, None
        if default is attrs.NOTHING:
            default = NOTHING
        elif hasattr(default, "takes_self"):
            if default.takes_self:
                refuse(f"{cls.__name__}.{a.name}", "a default that takes self", "compute it in `__attrs_post_init__`")
            default, factory = NOTHING, default.factory
        required = default is NOTHING and factory is None
        spec = _pending(
            a.name, a.name, hints.get(a.name, a.type or Any), required=required, default=default,
            default_factory=factory, init=a.init,
        )  # fmt: skip
        spec.parameter = a.alias
        out.append(spec)
    return out


def _typeddict_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    required: set[str] = set(cls.__required_keys__)
    out: list[FieldNode] = []
    for name, hint in hints.items():
        # `from __future__ import annotations` hides Required and NotRequired from `__required_keys__`.
        qualifier = getattr(get_origin(hint), "_name", "")
        needed = qualifier == "Required" or (qualifier != "NotRequired" and name in required)
        out.append(_pending(name, name, hint, required=needed))
    return out


def _namedtuple_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    defaults: dict[str, Any] = cls._field_defaults
    return [
        _pending(n, n, hints.get(n, Any), required=n not in defaults, default=defaults.get(n, NOTHING))
        for n in cls._fields
    ]


_FIELDS: dict[ObjectKind, Callable[[Any, Any, dict[str, Any]], list[FieldNode]]] = {
    "struct": _struct_fields,
    "dataclass": _dataclass_fields,
    "attrs": _attrs_fields,
    "typeddict": _typeddict_fields,
    "namedtuple": _namedtuple_fields,
}
