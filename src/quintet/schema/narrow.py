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
from typing import Annotated, Any, Union

import msgspec

from .describe import refuse
from .nodes import (
    INT64_MAX,
    INT64_MIN,
    ChoiceNode,
    DictNode,
    LeafNode,
    ListNode,
    ModelNode,
    Node,
    ObjectNode,
    ScalarNode,
    TupleNode,
    UnionNode,
    type_name,
    walk,
)
from .struct import Struct

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
                id(o): {f.name: self._field(f, own=ours[id(o)]) for f in o.fields} for o in self._objects
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
            yield
            _narrowed.update(o.type for o in self._objects if ours[id(o)])

    def _may_bound(self, node: ObjectNode) -> bool:
        """Only our own Structs get 64-bit integers from msgspec; others may be used elsewhere without bounds."""
        if not issubclass(node.cls, Struct):
            return False
        return node.type in _narrowed or not _is_read(node)

    def _field(self, field: Any, *, own: bool) -> Any:
        tp = self._build(field.node, own=own)
        tp = Union[tp, msgspec.UnsetType] if field.unsettable else tp
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
        if _msgspec_can(node.members, self.marked):
            out: Any = Union[tuple(members)]
        else:
            _check_order(node.members)
            self.marked.add(id(node))
            out = _marker(type_name(node), self._first(node.members))
        return Union[out, None] if node.nullable else out

    def _first(self, members: tuple[Node, ...]) -> Callable[[Any], Any]:
        """Decode into the first member, in the order of declaration, that takes the value."""
        ready: list[tuple[Any, Callable[[Any], None] | None]] = []

        def decode(value: Any) -> Any:
            if not ready:
                ready.extend((self.type_of(m), self._residual(self, m)) for m in members)
            for tp, check in ready:
                try:
                    out = msgspec.convert(value, tp, dec_hook=decode_marker, str_keys=True)
                    if check is not None:
                        check(out)
                except (msgspec.ValidationError, ValueError):
                    continue
                return out
            raise ValueError("none of the allowed types takes this value")

        return decode


def _pass_through(cls: Any) -> Callable[[Any], Any]:
    def decode(value: Any) -> Any:
        if not isinstance(value, cls):
            raise ValueError("a file must be sent as a file of a form")
        return value

    return decode


def _fits_int64(value: Any) -> bool:
    return type(value) is int and INT64_MIN <= value <= INT64_MAX


def _int64_bounds(c: Any) -> bool:
    return all(v is None or _fits_int64(v) for v in (c.gt, c.ge, c.lt, c.le))


def _missing_bounds(c: Any) -> dict[str, int]:
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


def _plain(value: Any) -> type:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind
    return type(value)


# Unions ---------------------------------------------------------------------------------------------------------------

_STRING_KINDS = {"str", "bytes", "decimal", "date", "time", "datetime", "timedelta", "uuid"}


def _msgspec_can(members: tuple[Node, ...], marked: set[int]) -> bool:
    """Tell whether msgspec takes this union: at most one type of each JSON kind, or Structs told apart by tags."""
    if len(members) == 1:
        return True
    kinds: list[str] = []
    tagged = [m for m in members if isinstance(m, ObjectNode) and m.tag_field is not None]
    for m in members:
        match m:
            case ScalarNode():
                if m.kind in ("any", "raw"):
                    return False
                kinds.append("string" if m.kind in _STRING_KINDS else m.kind)
            case ChoiceNode():
                if id(m) in marked:
                    return False
                kinds.extend({"string" if isinstance(v, str) else "int" for v in m.values if v is not None})
            case ListNode() | TupleNode():
                kinds.append("array")
            case DictNode():
                kinds.append("object")
            case ObjectNode():
                if m in tagged and len(tagged) > 1:
                    continue
                kinds.append("array" if m.array_like or m.kind == "namedtuple" else "object")
            case _:
                return False
    if len(tagged) > 1:
        kinds.append("array" if tagged[0].array_like else "object")
        same = len({(t.tag_field, type(t.tag), t.array_like) for t in tagged}) == 1
        if not same or len({t.tag for t in tagged}) < len(tagged):
            return False
    return len(kinds) == len(set(kinds))


def _check_order(members: tuple[Node, ...]) -> None:
    """Refuse an untagged union in which a member can never be chosen."""
    where = " | ".join(_shown(m) for m in members)
    for i, early in enumerate(members):
        for late in members[i + 1 :]:
            if isinstance(early, ScalarNode) and early.kind == "str" and not early.constraints:
                refuse(where, f"`str` takes every string, so {_shown(late)} is never chosen", "put `str` last")
            if isinstance(early, DictNode) and isinstance(late, ObjectNode) and _open(early):
                refuse(
                    where, f"a dict of anything takes every object, so {_shown(late)} is never chosen", "put it last"
                )
            if isinstance(early, ObjectNode) and isinstance(late, ObjectNode) and not _told_apart(early, late):
                refuse(
                    where,
                    f"required fields do not tell {_shown(early)} from {_shown(late)}",
                    f"give the classes tags (`class {early.cls.__name__}(Struct, tag=True)`), a Literal field of "
                    "different values, or declare the one that requires more fields first",
                )


def _open(node: DictNode) -> bool:
    return isinstance(node.value, ScalarNode) and node.value.kind == "any" and not node.constraints


def _told_apart(early: ObjectNode, late: ObjectNode) -> bool:
    """Tell whether an object meant for `late` is refused by `early`."""
    if (early.array_like or early.kind == "namedtuple") != (late.array_like or late.kind == "namedtuple"):
        return True
    if early.kind == "namedtuple" or early.array_like:
        return len(early.fields) < sum(f.required for f in late.fields)
    mine = {f.key: f for f in early.fields}
    theirs = {f.key for f in late.fields if f.required}
    needed = {k for k, f in mine.items() if f.required}
    if needed - theirs or (early.forbid_unknown and theirs - set(mine)):
        return True
    for f in late.fields:
        other = mine.get(f.key)
        if other is not None and f.required and isinstance(f.node, ChoiceNode) and isinstance(other.node, ChoiceNode):
            return not set(f.node.values) & set(other.node.values)
    return False


def _shown(node: Node) -> str:
    tp = getattr(node, "type", None)
    return getattr(tp, "__name__", None) or type_name(node)


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
