"""The checks that msgspec leaves out, generated as source that visits only the fields concerned.

A check returns nothing or raises `ResidualError`; which field it was is found afterwards, by `collect.py`.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from .narrow import Narrowed
from .nodes import (
    INT64_MAX,
    INT64_MIN,
    NOTHING,
    Constraints,
    DictNode,
    FieldNode,
    ListNode,
    ModelNode,
    Node,
    ObjectNode,
    ScalarNode,
    TupleNode,
    UnionNode,
    children,
)

#: The largest and, negated, the smallest decimal exponent that is taken: beyond it a number costs memory to print.
MAX_EXPONENT = 500

_exact = decimal.Context(prec=4 * MAX_EXPONENT)


class ResidualError(ValueError):
    """A value that msgspec took is against a constraint that msgspec cannot check."""


def is_multiple(value: Any, of: Any) -> bool:
    """Tell whether `value` is a multiple of `of`, exactly for Decimals."""
    if isinstance(value, decimal.Decimal):
        return _exact.remainder(value, decimal.Decimal(str(of))) == 0
    return value % of == 0


def int_limits(c: Constraints) -> tuple[int | None, int | None]:
    """Return the 64-bit limits that an integer gets where its constraints set none."""
    low = INT64_MIN if c.gt is None and c.ge is None else None
    high = INT64_MAX if c.lt is None and c.le is None else None
    return low, high


def build_check(
    narrowed: Narrowed, node: Node, *, json: bool = False, refuse_nul: bool = False
) -> Callable[[Any], None] | None:
    """Build the check of everything below `node`, or return None when msgspec checks all of it.

    Args:
        json: the value comes from JSON text, which has no NaN.
        refuse_nul: refuse NUL in text, as databases do.
    """
    return _Writer(narrowed, json, refuse_nul).build(node)


class _Writer:
    def __init__(self, narrowed: Narrowed, json: bool, refuse_nul: bool) -> None:
        self.narrowed = narrowed
        self.json = json
        self.refuse_nul = refuse_nul
        self.names: dict[str, Any] = {"Wrong": ResidualError, "UNSET": UNSET, "multiple": is_multiple}
        self.functions: dict[int, str] = {}
        self.source: list[str] = []
        self.locals = 0
        self._needed: dict[int, bool] = {}

    def build(self, node: Node) -> Callable[[Any], None] | None:
        if not self.needed(node):
            return None
        body = self.emit(node, "v", 1)
        self.source.append("\n".join(["def check(v):", *body]))
        text = "\n\n".join(self.source)
        exec(compile(text, "<residual check>", "exec"), self.names)  # noqa: S102  (made from names of fields)
        check: Callable[[Any], None] = self.names["check"]
        check.source = text  # pyright: ignore[reportFunctionMemberAccess]
        return check

    def needed(self, node: Node) -> bool:
        """Tell whether anything below `node` is left to check."""
        known = self._needed.get(id(node))
        if known is None:
            known = self._needed[id(node)] = self._search(node)
        return known

    def _search(self, node: Node) -> bool:
        seen: set[int] = set()
        stack = [node]
        while stack:
            current = stack.pop()
            if id(current) in seen or id(current) in self.narrowed.marked:
                continue
            seen.add(id(current))
            if isinstance(current, ScalarNode) and self.scalar(current, "v"):
                return True
            if isinstance(current, ModelNode):
                continue
            stack.extend(children(current))
        return False

    def name(self, value: Any) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def emit(self, node: Node, expr: str, depth: int) -> list[str]:
        """Return the lines that check `expr`, indented by `depth`."""
        if id(node) in self.narrowed.marked or not self.needed(node):
            return []
        pad = "    " * depth
        match node:
            case ScalarNode():
                return [f"{pad}if {test}: raise Wrong" for test in self.scalar(node, expr)]
            case ListNode():
                return [f"{pad}for v{depth} in {expr}:", *self.emit(node.item, f"v{depth}", depth + 1)]
            case TupleNode():
                lines: list[str] = []
                for i, item in enumerate(node.items):
                    lines += self.bound(item, f"{expr}[{i}]", depth)
                return lines
            case DictNode():
                lines = [f"{pad}for k{depth}, v{depth} in {expr}.items():"]
                lines += self.emit(node.key, f"k{depth}", depth + 1)
                return lines + self.emit(node.value, f"v{depth}", depth + 1)
            case UnionNode():
                return self.union(node, expr, depth)
            case ObjectNode():
                return [f"{pad}{self.function(node)}({expr})"]
            case _:
                return []

    def bound(self, node: Node, expr: str, depth: int, guard: str = "") -> list[str]:
        """Check an attribute or item, read once into a local variable."""
        if not self.needed(node):
            return []
        self.locals += 1
        pad, local = "    " * depth, f"a{self.locals}"
        if not guard:
            return [f"{pad}{local} = {expr}", *self.emit(node, local, depth)]
        return [f"{pad}{local} = {expr}", f"{pad}if {guard.format(local)}:", *self.emit(node, local, depth + 1)]

    def union(self, node: UnionNode, expr: str, depth: int) -> list[str]:
        pad = "    " * depth
        members = [m for m in node.members if self.needed(m) and id(m) not in self.narrowed.marked]
        if len(node.members) == 1:
            inner = self.emit(members[0], expr, depth + node.nullable)
            return [f"{pad}if {expr} is not None:", *inner] if node.nullable else inner
        lines: list[str] = []
        word = "if"
        for m in members:
            lines.append(f"{pad}{word} type({expr}) is {self.name(_runtime_type(m))}:")
            lines += self.emit(m, expr, depth + 1)
            word = "elif"
        return lines

    def function(self, node: ObjectNode) -> str:
        known = self.functions.get(id(node))
        if known is not None:
            return known
        name = self.functions[id(node)] = f"check_{len(self.functions)}_{node.cls.__name__}"
        lines = [f"def {name}(v):"]
        for i, f in enumerate(node.fields):
            lines += self.field(node, f, i)
        self.source.append("\n".join(lines))
        return name

    def field(self, owner: ObjectNode, f: FieldNode, index: int) -> list[str]:
        if not self.needed(f.node) or not f.init:
            return []
        if owner.kind == "typeddict":
            lines = self.bound(f.node, f"v[{f.key!r}]", 2)
            return [f"    if {f.key!r} in v:", *lines]
        expr = f"v[{index}]" if owner.kind == "namedtuple" else f"v.{f.name}"
        guards: list[str] = []
        if f.unsettable or f.default is UNSET:
            guards.append("{0} is not UNSET")
        elif f.default is not NOTHING and not _is_of(f.node, f.default):
            guards.append(f"{{0}} is not {self.name(f.default)}")
        return self.bound(f.node, expr, 1, " and ".join(guards))

    def scalar(self, node: ScalarNode, e: str) -> list[str]:
        """Return the tests, each true for a wrong value."""
        c = node.constraints
        tests: list[str] = []
        if node.kind == "int":
            tests += self.integer(node, e)
        elif node.kind == "float":
            tests += [] if self.json else [f"{e} - {e} != 0"]
            tests += self.comparisons(c, e, skip=(int, float))
        elif node.kind == "decimal":
            tests.append(f"not {e}.is_finite() or not -{MAX_EXPONENT} <= {e}.adjusted() <= {MAX_EXPONENT}")
            tests += self.comparisons(c, e)
        elif node.kind in ("date", "time", "datetime", "timedelta"):
            tests += self.comparisons(c, e)
        elif node.kind == "str":
            tests += [f"'\\0' in {e}"] if self.refuse_nul else []
            tests += [f"{self.name(re.compile(p))}.search({e}) is None" for p in c.patterns[1:]]
        return tests

    def bounds(self, c: Constraints, e: str) -> list[tuple[str, Any]]:
        return [(n, getattr(c, n)) for n in ("gt", "ge", "lt", "le") if getattr(c, n) is not None]

    def integer(self, node: ScalarNode, e: str) -> list[str]:
        c = node.constraints
        tests: list[str] = []
        if id(node) not in self.narrowed.bounded:
            low, high = int_limits(c)
            if low is not None and high is not None:
                tests.append(f"not {low} <= {e} <= {high}")
            elif low is not None:
                tests.append(f"{e} < {low}")
            elif high is not None:
                tests.append(f"{e} > {high}")
        for n, bound in self.bounds(c, e):
            if not (type(bound) is int and INT64_MIN <= bound <= INT64_MAX):
                tests.append(f"not {e} {_OPERATORS[n]} {self.name(bound)}")
        if c.multiple_of is not None and type(c.multiple_of) is not int:
            tests.append(f"not multiple({e}, {self.name(c.multiple_of)})")
        return tests

    def comparisons(self, c: Constraints, e: str, skip: tuple[type, ...] = ()) -> list[str]:
        tests = [
            f"not {e} {_OPERATORS[n]} {self.name(bound)}"
            for n, bound in self.bounds(c, e)
            if not (skip and isinstance(bound, skip))
        ]
        if c.multiple_of is not None and not (skip and isinstance(c.multiple_of, skip)):
            tests.append(f"not multiple({e}, {self.name(c.multiple_of)})")
        return tests


_OPERATORS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _runtime_type(node: Node) -> Any:
    match node:
        case ObjectNode():
            return dict if node.kind == "typeddict" else node.cls
        case ListNode():
            return {"list": list, "set": set, "frozenset": frozenset, "tuple": tuple}[node.kind]
        case TupleNode():
            return tuple
        case DictNode():
            return dict
        case ScalarNode():
            return node.type
        case _:
            return object


def _is_of(node: Node, default: Any) -> bool:
    """Tell whether a default is a value of the type, as far as the checks below it assume."""
    members = node.members if isinstance(node, UnionNode) else (node,)
    if default is None:
        return isinstance(node, UnionNode) and node.nullable
    return any(isinstance(default, _runtime_type(m)) for m in members)
