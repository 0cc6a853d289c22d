"""A type, described as plain data: what every part of the schema layer works from.

`describe.py` makes the nodes; narrowing, residual checks, error collection, text conversion, output shapes and JSON
Schema are functions over them. A recursive type is a cyclic graph: the `ObjectNode` of a class exists once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeAlias

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


class _Nothing:
    """The type of `NOTHING`."""

    def __repr__(self) -> str:
        return "NOTHING"


#: Marks the absence of a default.
NOTHING = _Nothing()


class UnsupportedType(TypeError):
    """A type that cannot be validated; the message names the field and the fix."""


def refuse(where: str, found: str, fix: str) -> NoReturn:
    """Raise `UnsupportedType` in the one form that all its messages have."""
    raise UnsupportedType(f"{where}: {found}; {fix}")


@dataclass(slots=True)
class Constraints:
    """The limits that the `Meta`s of one type set, merged; all of them must hold."""

    gt: Any = None
    ge: Any = None
    lt: Any = None
    le: Any = None
    multiple_of: Any = None
    min_length: int | None = None
    max_length: int | None = None
    #: Regular expressions, all of which must be found.
    patterns: tuple[str, ...] = ()
    #: True asks for an offset, False refuses one.
    tz: bool | None = None

    def __bool__(self) -> bool:
        return self != Constraints()

    @property
    def bounded(self) -> bool:
        """Whether the value itself has limits."""
        return not (self.gt is None and self.ge is None and self.lt is None and self.le is None)

    @property
    def sized(self) -> bool:
        """Whether the number of parts has limits."""
        return not (self.min_length is None and self.max_length is None)


@dataclass(slots=True)
class Notes:
    """What `Meta` says for people: title, description, examples and further JSON Schema."""

    title: str | None = None
    description: str | None = None
    examples: list[Any] | None = None
    extra_json_schema: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return self != Notes()


ScalarKind = Literal[
    "any", "none", "bool", "int", "float", "str", "bytes", "decimal", "date", "time", "datetime", "timedelta", "uuid",
    "raw",
]  # fmt: skip


@dataclass(slots=True, eq=False)
class ScalarNode:
    """A value without parts."""

    kind: ScalarKind
    #: The Python type.
    type: Any
    constraints: Constraints = field(default_factory=Constraints)
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True, eq=False)
class ChoiceNode:
    """A `Literal` or an `Enum`: one of a few values."""

    #: The Enum class, or None for a Literal.
    enum: Any
    #: The values a client may send.
    values: tuple[Any, ...]
    type: Any
    constraints: Constraints = field(default_factory=Constraints)
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True, eq=False)
class ListNode:
    """Any number of items of one type."""

    kind: Literal["list", "set", "frozenset", "tuple"]
    item: Node
    constraints: Constraints = field(default_factory=Constraints)
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True, eq=False)
class TupleNode:
    """A fixed number of items, each of its own type."""

    items: tuple[Node, ...]
    constraints: Constraints = field(default_factory=Constraints)
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True, eq=False)
class DictNode:
    """Values of one type by keys of one type."""

    key: Node
    value: Node
    constraints: Constraints = field(default_factory=Constraints)
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True, eq=False)
class UnionNode:
    """One of several types; `members` never holds None or a union."""

    members: tuple[Node, ...]
    nullable: bool
    constraints: Constraints = field(default_factory=Constraints)
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True, eq=False)
class FieldNode:
    """One field of an object."""

    #: The attribute.
    name: str
    #: The key in a message.
    key: str
    #: The keyword of the constructor.
    parameter: str
    node: Node
    required: bool
    default: Any = NOTHING
    default_factory: Callable[[], Any] | None = None
    #: Whether the type includes `UNSET`.
    unsettable: bool = False
    #: Whether the constructor takes it.
    init: bool = True
    #: The annotation as it was resolved.
    annotation: Any = None


ObjectKind = Literal["struct", "dataclass", "attrs", "typeddict", "namedtuple"]


@dataclass(slots=True, eq=False)
class ObjectNode:
    """A structure with named fields."""

    kind: ObjectKind
    #: The class, or the parametrised generic alias.
    type: Any
    #: The class itself.
    cls: type[Any]
    fields: tuple[FieldNode, ...] = ()
    forbid_unknown: bool = False
    tag_field: str | None = None
    tag: str | int | None = None
    array_like: bool = False
    constraints: Constraints = field(default_factory=Constraints)
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True, eq=False)
class ModelNode:
    """A pydantic model or dataclass, which validates itself."""

    type: Any
    adapter: Any
    constraints: Constraints = field(default_factory=Constraints)
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True, eq=False)
class LeafNode:
    """A class whose instances are passed through as they are, such as an uploaded file."""

    type: Any
    constraints: Constraints = field(default_factory=Constraints)
    notes: Notes = field(default_factory=Notes)


Node: TypeAlias = (
    ScalarNode | ChoiceNode | ListNode | TupleNode | DictNode | UnionNode | ObjectNode | ModelNode | LeafNode
)


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below `node`."""
    match node:
        case ListNode():
            return (node.item,)
        case TupleNode():
            return node.items
        case DictNode():
            return (node.key, node.value)
        case UnionNode():
            return node.members
        case ObjectNode():
            return tuple(f.node for f in node.fields)
        case _:
            return ()


def walk(node: Node) -> list[Node]:
    """Return `node` and everything below it, each once."""
    seen: dict[int, Node] = {}
    stack = [node]
    while stack:
        current = stack.pop()
        if id(current) not in seen:
            seen[id(current)] = current
            stack.extend(reversed(children(current)))
    return list(seen.values())


def is_recursive(node: Node) -> bool:
    """Tell whether values of this type can be nested without end."""
    done: set[int] = set()
    path: set[int] = set()

    def visit(current: Node) -> bool:
        if id(current) in path:
            return True
        if id(current) in done:
            return False
        path.add(id(current))
        found = any(visit(child) for child in children(current))
        path.discard(id(current))
        done.add(id(current))
        return found

    return visit(node)


def type_name(node: Node) -> str:
    """Return a short name for a type, for people: `integer`, `list`, `Order`."""
    match node:
        case ScalarNode():
            return _SCALAR_NAMES[node.kind]
        case ChoiceNode():
            return "choice"
        case ListNode() | TupleNode():
            return "list"
        case DictNode():
            return "object"
        case UnionNode():
            names = list(dict.fromkeys(type_name(m) for m in node.members)) + (["null"] if node.nullable else [])
            return " or ".join(names)
        case ObjectNode():
            return "list" if node.array_like or node.kind == "namedtuple" else "object"
        case ModelNode():
            return "object"
        case LeafNode():
            return "file"


_SCALAR_NAMES: dict[str, str] = {
    "any": "value", "none": "null", "bool": "boolean", "int": "integer", "float": "number", "str": "string",
    "bytes": "base64 string", "decimal": "decimal number", "date": "date", "time": "time", "datetime": "date-time",
    "timedelta": "duration", "uuid": "UUID", "raw": "value",
}  # fmt: skip
