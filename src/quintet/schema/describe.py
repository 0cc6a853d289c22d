"""From a type annotation to the nodes of `nodes.py`: the one place that looks at annotations."""

from __future__ import annotations

import collections.abc as abc
import datetime
import decimal
import enum
import sys
import types
import typing
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UnsetType

from .adapt import shape_of, shown
from .bounds import is_constraint
from .constraints import check_constraints, constrain, merge
from .fields import FIELDS
from .hints import class_hints
from .nodes import (
    ChoiceNode,
    DictNode,
    LeafNode,
    ListNode,
    ModelNode,
    Node,
    ObjectKind,
    ObjectNode,
    ScalarKind,
    ScalarNode,
    TupleNode,
    UnionNode,
    refuse,
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


def describe(tp: Any, *, leaf: LeafPredicate | None = None, where: str = "") -> Node:
    """Describe a type.

    Args:
        tp: the annotation.
        leaf: tells which classes are passed through as they are.
        where: the name of the parameter, for messages.

    Raises:
        UnsupportedType: the message names the field and the fix.
    """
    try:
        return _Describer(leaf).visit(tp, where or _repr(tp), ())
    except RecursionError:
        refuse(where or _repr(tp), "an alias leads back to itself", "use a Struct that holds itself, or Any")


def _repr(tp: Any) -> str:
    return tp.__name__ if isinstance(tp, type) and not get_args(tp) else str(tp).replace("typing.", "")


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
            constraints, notes = merge(metas, where)
            node = constrain(node, constraints, notes)
            check_constraints(node, where)
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

    def _class(self, tp: Any, origin: Any, where: str) -> Node:  # noqa: RET503  (`refuse` raises)
        cls: Any = origin or tp
        if not hasattr(cls, "__mro__"):
            refuse(where, f"{_repr(tp)} is not a type that can be validated", "use a type of the table in the docs")
        if enum.Enum in cls.__mro__:
            return _enum(cls, where)
        if hasattr(cls, "__pydantic_validator__"):
            return _model(tp)
        shape = shape_of(cls)
        if shape is not None:
            return self.visit(shape, where, ())
        kind = _kind(cls)
        if kind is not None:
            return self._object(tp, cls, kind, where)
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
        specs = FIELDS[kind](tp, cls, hints)
        for spec in specs:
            hint, spec.unsettable = _without_unset(spec.annotation)
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


def _kind(cls: Any) -> ObjectKind | None:
    bases: tuple[type, ...] = cls.__mro__
    if tuple in bases and hasattr(cls, "_fields"):
        return "namedtuple"
    if dict in bases and hasattr(cls, "__total__"):
        return "typeddict"
    if msgspec.Struct in bases:
        return "struct"
    if hasattr(cls, "__dataclass_fields__"):
        return "dataclass"
    return "attrs" if hasattr(cls, "__attrs_attrs__") else None


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
            tp = shown(tp.__origin__, tp.__metadata__)
        elif origin is not None and (origin is Final or getattr(origin, "_name", "") in _QUALIFIERS):
            tp = get_args(tp)[0]
        elif type(tp).__name__ == "TypeAliasType":
            tp = tp.__value__
        elif type(origin).__name__ == "TypeAliasType":
            tp = typing.cast("Any", origin).__value__[get_args(tp)]
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


def _enum(cls: type[enum.Enum], where: str) -> ChoiceNode:
    values = tuple(member.value for member in cls)
    if not values:
        refuse(where, f"the enum {cls.__name__} has no members", "give it some")
    if not all(type(v) in (str, int, float, bool, type(None)) or isinstance(v, str | int) for v in values):
        refuse(where, f"the enum {cls.__name__} has values that cannot be sent", "use str, int or float values")
    return ChoiceNode(cls, values, cls)


def _model(tp: Any) -> ModelNode:
    pydantic: Any = sys.modules["pydantic"]  # loaded: the user's type is pydantic's
    return ModelNode(tp, pydantic.TypeAdapter(tp))
