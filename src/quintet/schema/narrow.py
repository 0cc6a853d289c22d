"""From nodes to types that msgspec can decode, and the decoders for them.

msgspec refuses a class with a field that it cannot check in full, such as a Decimal with bounds. It reads the
annotations of a class once, when the first decoder for it is built, and keeps what it read. So while the decoders of a
plan are built, the classes below it carry narrowed annotations: what msgspec can check stays, the rest is left to
`residual.py`. Afterwards the classes are as they were.

What msgspec cannot decode at all (pydantic models, untagged unions, enums of mixed types) becomes a marker class that
msgspec hands to `decode_marker`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any, NotRequired, Required, Union

import msgspec

from .nodes import (
    INT64_MAX,
    INT64_MIN,
    ChoiceNode,
    Constraints,
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
from .struct import Struct
from .unions import candidates, check_order, msgspec_can

_lock = threading.RLock()
#: Structs whose annotations msgspec read while they were narrowed, so that it holds their integers to 64 bits.
_narrowed: set[Any] = set()


class _MarkerType(type):
    """The class of markers: msgspec tests the result of `decode_marker` with isinstance, and all of them are right."""

    decode: Callable[[Any], Any]

    def __instancecheck__(cls, instance: object) -> bool:
        return True


def _marker(name: str, decode: Callable[[Any], Any]) -> Any:
    return _MarkerType(name, (), {"decode": staticmethod(decode)})


def decode_marker(tp: Any, value: Any) -> Any:
    """Decode what msgspec cannot: its `dec_hook`."""
    return tp.decode(value)


class Narrowed:
    """What msgspec is asked to check for one root type.

    Args:
        root: the node of the whole type.
        residual: builds the check of what msgspec leaves out, for the members of untagged unions.
    """

    def __init__(self, root: Node, residual: Callable[[Narrowed, Node], Callable[[Any], None] | None]) -> None:
        self.root = root
        self._residual = residual
        self._types: dict[int, Any] = {}
        #: The integers that msgspec holds to 64 bits, by the id of their node.
        self.bounded: set[int] = set()
        #: The unions and choices that a marker decodes and checks completely.
        self.marked: set[int] = set()
        self._objects = [n for n in walk(root) if isinstance(n, ObjectNode)]

    def type_of(self, node: Node) -> Any:
        """Return the type that msgspec decodes for `node`."""
        return self._types[id(node)]

    @contextmanager
    def applied(self) -> Generator[None]:
        """Narrow the annotations of every class below the root while decoders are built."""
        with _lock, ExitStack() as stack:
            ours = {id(o): self._may_bound(o) for o in self._objects}
            self._build(self.root, own=True)
            annotations = {
                id(o): {f.name: self._field(o, f, own=ours[id(o)]) for f in o.fields} for o in self._objects
            }  # fmt: skip
            generic: list[ObjectNode] = []
            for node in self._objects:
                if node.type is node.cls:
                    stack.enter_context(_annotated(node.cls, annotations[id(node)]))
                else:
                    generic.append(node)
            for node in reversed(generic):  # inner ones first: msgspec keeps each alias by itself
                with _annotated(node.cls, annotations[id(node)]):
                    _ = msgspec.json.Decoder(node.type, dec_hook=decode_marker)
            for node in self._objects:  # those that only a marker leads to as well
                _ = msgspec.json.Decoder(node.type, dec_hook=decode_marker)
            yield
            _narrowed.update(o.type for o in self._objects if ours[id(o)])

    def _may_bound(self, node: ObjectNode) -> bool:
        """Only our own Structs get 64-bit integers from msgspec; others may be used elsewhere without bounds."""
        if not issubclass(node.cls, Struct):
            return False
        return node.type in _narrowed or not _is_read(node)

    def _field(self, owner: ObjectNode, field: FieldNode, *, own: bool) -> Any:
        tp = self._build(field.node, own=own)
        if field.unsettable:
            tp = _either(tp, msgspec.UnsetType)
        if owner.kind == "typeddict":
            return Required[tp] if field.required else NotRequired[tp]
        return tp

    def _build(self, node: Node, *, own: bool) -> Any:
        known = self._types.get(id(node))
        if known is None:
            known = self._types[id(node)] = self._make(node, own)
        return known

    def _make(self, node: Node, own: bool) -> Any:
        match node:
            case ScalarNode():
                return self._scalar(node, own)
            case ChoiceNode():
                return self._choice(node)
            case ListNode():
                item = self._build(node.item, own=own)
                made: dict[str, Any] = {
                    "list": list[item], "set": set[item], "frozenset": frozenset[item], "tuple": tuple[item, ...],
                }  # fmt: skip
                return _sized(made[node.kind], node)
            case TupleNode():
                return tuple[tuple(self._build(i, own=own) for i in node.items)]  # pyright: ignore[reportInvalidTypeArguments]
            case DictNode():
                return _sized(dict[self._build(node.key, own=own), self._build(node.value, own=own)], node)
            case UnionNode():
                return self._union(node, own)
            case ObjectNode():
                return node.type
            case ModelNode():
                return _marker(type_name(node), node.adapter.validate_python)
            case LeafNode():
                return _marker("file", _pass_through(node.type))

    def _scalar(self, node: ScalarNode, own: bool) -> Any:
        c = node.constraints
        limits: dict[str, Any] = {}
        if node.kind == "int":
            limits = {n: v for n in ("gt", "ge", "lt", "le") if _fits_int64(v := getattr(c, n))}
            if _fits_int64(c.multiple_of):
                limits["multiple_of"] = c.multiple_of
            if own and _int64_bounds(c):
                limits.update(_missing_bounds(c))
                self.bounded.add(id(node))
        elif node.kind == "float":
            limits = {n: getattr(c, n) for n in ("gt", "ge", "lt", "le", "multiple_of")}
            limits = {n: v for n, v in limits.items() if isinstance(v, int | float)}
        elif node.kind in ("str", "bytes"):
            limits = {"min_length": c.min_length, "max_length": c.max_length}
            if c.patterns:
                limits["pattern"] = c.patterns[0]
        elif node.kind in ("datetime", "time"):
            limits = {"tz": c.tz}
        limits = {n: v for n, v in limits.items() if v is not None}
        tp = Any if node.kind == "any" else node.type
        return Annotated[tp, msgspec.Meta(**limits)] if limits else tp

    def _choice(self, node: ChoiceNode) -> Any:
        if native_choice(node):
            return node.type
        self.marked.add(id(node))
        return _marker(type_name(node), choice_decoder(node))

    def _union(self, node: UnionNode, own: bool) -> Any:
        members = [self._build(m, own=own) for m in node.members]
        if msgspec_can(node.members, self.marked):
            out = _either(*members)
        else:
            check_order(node.members)
            self.marked.add(id(node))
            out = _marker(type_name(node), self._first(node))
        return _either(out, None) if node.nullable else out

    def _first(self, node: UnionNode) -> Callable[[Any], Any]:
        """Decode into the first member, in the order of declaration, that takes the value.

        In a recursive type the first member whose keys fit is final: trying the others would double the work at every
        level, without end.
        """
        ready: dict[int, tuple[Any, Callable[[Any], None] | None]] = {}
        final = is_recursive(node)

        def decode(value: Any) -> Any:
            if not ready:
                ready.update({id(m): (self.type_of(m), self._residual(self, m)) for m in node.members})
            fitting = candidates(node.members, value)
            for m in fitting[:1] if final else fitting:
                tp, check = ready[id(m)]
                try:
                    out = msgspec.convert(value, tp, dec_hook=decode_marker, str_keys=True)
                    if check is not None:
                        check(out)
                except (msgspec.ValidationError, ValueError):
                    continue
                return out
            raise ValueError("none of the allowed types takes this value")

        return decode


def _either(*types: Any) -> Any:
    return Union[types]  # noqa: UP007  (made from values: markers and forward references know no `|`)


def _pass_through(cls: Any) -> Callable[[Any], Any]:
    def decode(value: Any) -> Any:
        if not isinstance(value, cls):
            raise ValueError("a file must be sent as a file of a form")
        return value

    return decode


def _fits_int64(value: Any) -> bool:
    return type(value) is int and INT64_MIN <= value <= INT64_MAX


def _int64_bounds(c: Constraints) -> bool:
    return all(v is None or _fits_int64(v) for v in (c.gt, c.ge, c.lt, c.le))


def _missing_bounds(c: Constraints) -> dict[str, int]:
    out: dict[str, int] = {}
    if c.gt is None and c.ge is None:
        out["ge"] = INT64_MIN
    if c.lt is None and c.le is None:
        out["le"] = INT64_MAX
    return out


def _sized(tp: Any, node: ListNode | DictNode) -> Any:
    c = node.constraints
    if not c.sized:
        return tp
    return Annotated[tp, msgspec.Meta(min_length=c.min_length, max_length=c.max_length)]


# Choices --------------------------------------------------------------------------------------------------------------


def native_choice(node: ChoiceNode) -> bool:
    """Tell whether msgspec can decode this Literal or Enum itself."""
    if node.enum is not None:
        return all(isinstance(v, str) for v in node.values) or all(type(v) is int for v in node.values)
    return all(type(v) in (str, int, type(None)) for v in node.values)


def choice_decoder(node: ChoiceNode) -> Callable[[Any], Any]:
    """Return a decoder that compares values together with their types: 1, 1.0 and True differ."""
    if node.enum is not None:
        table = {(_plain(m.value), m.value): m for m in node.enum}
    else:
        table = {(_plain(v), v): v for v in node.values}

    def decode(value: Any) -> Any:
        try:
            return table[type(value), value]
        except (KeyError, TypeError):
            raise ValueError("not one of the allowed values") from None

    return decode


def _plain(value: object) -> object:
    """Return the class in which a value of an enum arrives."""
    return next((kind for kind in (bool, int, float, str) if isinstance(value, kind)), type(value))


# Annotations ----------------------------------------------------------------------------------------------------------


@contextmanager
def _annotated(cls: Any, annotations: dict[str, Any]) -> Generator[None]:
    """Give a class other annotations for a while; the dictionary itself is changed, which every Python reads."""
    own: dict[str, Any] = cls.__annotations__
    before = dict(own)
    own.update(annotations)
    try:
        yield
    finally:
        own.clear()
        own.update(before)


def _is_read(node: ObjectNode) -> bool:
    """Tell whether msgspec has read the annotations of a Struct already: bad ones then do not matter."""
    if not node.fields:
        return False
    impossible = Annotated[str, msgspec.Meta(ge=0)]
    with _annotated(node.cls, {f.name: impossible for f in node.fields}):
        try:
            _ = msgspec.json.Decoder(node.type)
        except TypeError:
            return False
    return True
