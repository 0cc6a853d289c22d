"""Find every wrong field of a message that did not decode.

The message is decoded to builtins, whole subtrees are converted at C speed, and only the failing ones are walked. The
walk ends at a depth of `MAX_WALK` and at `MAX_ERRORS` errors, so that its cost grows with the size of the message only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from quintet.errors import MAX_ERRORS, FieldError

from .failures import DECODE_FAILURES
from .messages import MISSING, TOO_DEEP, UNKNOWN, Fault, violations, wrong_type
from .narrow import Narrowed, decode_marker
from .nodes import (
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
)
from .residual import build_check
from .unions import closest, same_shape

#: How deep the walk goes; below, one error says that something is wrong.
MAX_WALK = 32
#: Keys longer than this are cut in the path of an error.
_MAX_KEY = 100

Loc = tuple[str | int, ...]


class _Full(Exception):
    """Enough errors were found."""


class Collector:
    """Explains failures for one root type; made once, used for each failure."""

    def __init__(self, narrowed: Narrowed, *, refuse_nul: bool = False) -> None:
        self.narrowed = narrowed
        self.refuse_nul = refuse_nul
        self._checks: dict[int, Any] = {}

    def collect(self, value: Any, loc: Loc = (), *, str_keys: bool = True) -> list[FieldError]:
        """Return what is wrong with `value`, at most `MAX_ERRORS` errors; empty when it converts.

        Args:
            value: the message as builtins.
            loc: where it came from.
            str_keys: numbers may be written as strings where they are keys, as in JSON.
        """
        walk = _Walk(self, str_keys)
        try:
            walk.visit(self.narrowed.root, value, loc, 0)
        except _Full:
            pass
        return walk.errors

    def failure(self, node: Node, value: Any, *, str_keys: bool) -> Exception | None:
        """Convert a subtree at C speed; return what stopped it."""
        try:
            out = msgspec.convert(value, self.narrowed.type_of(node), dec_hook=decode_marker, str_keys=str_keys)
            check = self._check(node)
            if check is not None:
                check(out)
        except DECODE_FAILURES as e:
            return e
        return None

    def key_failure(self, node: DictNode, key: Any, *, str_keys: bool) -> Exception | None:
        """Convert a key alone; JSON writes the keys of `dict[int, …]` as strings."""
        try:
            tp = dict[self.narrowed.type_of(node.key), Any]
            (out,) = msgspec.convert({key: None}, tp, dec_hook=decode_marker, str_keys=str_keys)
            check = self._check(node.key)
            if check is not None:
                check(out)
        except DECODE_FAILURES as e:
            return e
        return None

    def _check(self, node: Node) -> Any:
        if id(node) not in self._checks:
            self._checks[id(node)] = build_check(self.narrowed, node, refuse_nul=self.refuse_nul)
        return self._checks[id(node)]


class _Walk:
    def __init__(self, collector: Collector, str_keys: bool) -> None:
        self.collector = collector
        self.str_keys = str_keys
        self.errors: list[FieldError] = []

    def add(self, loc: Loc, fault: Fault) -> None:
        if len(self.errors) >= MAX_ERRORS:
            raise _Full
        self.errors.append(FieldError(loc=loc, msg=fault.msg, code=fault.code, ctx=fault.ctx))

    def visit(self, node: Node, value: Any, loc: Loc, depth: int) -> None:
        failure = self.collector.failure(node, value, str_keys=self.str_keys)
        if failure is None:
            return
        if depth > MAX_WALK:
            self.add(loc, TOO_DEEP)
            return
        before = len(self.errors)
        match node:
            case ScalarNode():
                self.scalar(node, value, loc)
            case ChoiceNode():
                self.add(loc, wrong_type(node))
            case ListNode():
                self.list(node, value, loc, depth)
            case TupleNode():
                self.tuple(node, value, loc, depth)
            case DictNode():
                self.dict(node, value, loc, depth)
            case UnionNode():
                self.union(node, value, loc, depth)
            case ObjectNode():
                self.object(node, value, loc, depth)
            case ModelNode():
                for error in model_errors(failure, loc):
                    self.add(error.loc, Fault(error.code, error.msg, error.ctx))
            case LeafNode():
                self.add(loc, Fault("type", "Expected a file of a form.", {"expected": "file"}))
        if len(self.errors) == before:
            self.add(loc, _stated(failure))

    def scalar(self, node: ScalarNode, value: Any, loc: Loc) -> None:
        tp = Any if node.kind == "any" else node.type
        try:
            bare = msgspec.convert(value, tp)
        except DECODE_FAILURES:
            self.add(loc, wrong_type(node))
            return
        for fault in violations(node, bare, refuse_nul=self.collector.refuse_nul):
            self.add(loc, fault)

    def list(self, node: ListNode, value: Any, loc: Loc, depth: int) -> None:
        if not isinstance(value, list | tuple | set | frozenset):
            self.add(loc, wrong_type(node))
            return
        items = cast("Iterable[Any]", value)
        for i, item in enumerate(items):
            self.visit(node.item, item, (*loc, i), depth + 1)
        for fault in violations(node, value):
            self.add(loc, fault)

    def tuple(self, node: TupleNode, value: Any, loc: Loc, depth: int) -> None:
        if not isinstance(value, list | tuple):
            self.add(loc, wrong_type(node))
            return
        items = cast("list[Any]", value)
        if len(items) != len(node.items):
            size = len(node.items)
            self.add(loc, Fault("length", f"Expected a list of {size}.", {"min_length": size, "max_length": size}))
        for i, (member, item) in enumerate(zip(node.items, items, strict=False)):
            self.visit(member, item, (*loc, i), depth + 1)

    def dict(self, node: DictNode, value: Any, loc: Loc, depth: int) -> None:
        if not isinstance(value, dict):
            self.add(loc, wrong_type(node))
            return
        members = cast("dict[Any, Any]", value)
        for key, item in members.items():
            where = (*loc, _key(key))
            if self.collector.key_failure(node, key, str_keys=self.str_keys) is not None:
                self.add(where, Fault("key", "The key is wrong."))
            self.visit(node.value, item, where, depth + 1)
        for fault in violations(node, members):
            self.add(loc, fault)

    def union(self, node: UnionNode, value: Any, loc: Loc, depth: int) -> None:
        if len(node.members) == 1:
            self.visit(node.members[0], value, loc, depth)
            return
        tagged = [m for m in node.members if isinstance(m, ObjectNode) and m.tag_field is not None]
        if len(tagged) > 1 and isinstance(value, dict) and not tagged[0].array_like:
            self.tagged(tagged, cast("dict[Any, Any]", value), loc, depth)
            return
        fitting = [m for m in node.members if same_shape(m, value)]
        if len(fitting) == 1:
            self.visit(fitting[0], value, loc, depth)
        elif isinstance(value, dict) and fitting:
            self.visit(closest(fitting, cast("dict[Any, Any]", value)), value, loc, depth)
        else:
            self.add(loc, wrong_type(node))

    def tagged(self, members: list[ObjectNode], value: dict[Any, Any], loc: Loc, depth: int) -> None:
        key = cast("str", members[0].tag_field)
        if key not in value:
            self.add((*loc, key), MISSING)
            return
        for m in members:
            if type(value[key]) is type(m.tag) and value[key] == m.tag:
                self.visit(m, value, loc, depth)
                return
        tags = [m.tag for m in members]
        listed = ", ".join(str(t) for t in tags)
        self.add((*loc, key), Fault("tag", f"Expected one of: {listed}.", {"expected": tags}))

    def object(self, node: ObjectNode, value: Any, loc: Loc, depth: int) -> None:
        if node.array_like or node.kind == "namedtuple":
            self.positional(node, value, loc, depth)
            return
        if not isinstance(value, dict):
            self.add(loc, wrong_type(node))
            return
        members = cast("dict[Any, Any]", value)
        known: set[str] = set()
        if node.tag_field is not None:
            known.add(node.tag_field)
            if node.tag_field in members and members[node.tag_field] != node.tag:
                self.add((*loc, node.tag_field), Fault("tag", f"Expected {node.tag}.", {"expected": [node.tag]}))
        for f in node.fields:
            known.add(f.key)
            if f.key in members:
                self.visit(f.node, members[f.key], (*loc, f.key), depth + 1)
            elif f.required:
                self.add((*loc, f.key), MISSING)
        if node.forbid_unknown:
            for key in members:
                if key not in known:
                    self.add((*loc, _key(key)), UNKNOWN)

    def positional(self, node: ObjectNode, value: Any, loc: Loc, depth: int) -> None:
        if not isinstance(value, list | tuple):
            self.add(loc, wrong_type(node))
            return
        items = cast("list[Any]", value)
        shift = 1 if node.tag_field is not None else 0
        if shift and (not items or items[0] != node.tag):
            self.add((*loc, 0), Fault("tag", f"Expected {node.tag}.", {"expected": [node.tag]}))
        for i, f in enumerate(node.fields, shift):
            if i < len(items):
                self.visit(f.node, items[i], (*loc, i), depth + 1)
            elif f.required:
                self.add((*loc, i), MISSING)
        size = len(node.fields) + shift
        if len(items) > size and (node.forbid_unknown or node.kind == "namedtuple"):
            self.add((*loc, size), UNKNOWN)


def _key(key: Any) -> str | int:
    if type(key) is int:
        return key
    text = str(key)
    return text if len(text) <= _MAX_KEY else text[:_MAX_KEY] + "…"


def _stated(failure: Exception) -> Fault:
    """Pass on what the program itself said: a ValueError of `__post_init__`, a validator or a decoder."""
    cause = failure.__cause__
    if isinstance(cause, ValueError | TypeError) and cause.args and isinstance(cause.args[0], str):
        return Fault("value", cause.args[0])
    return Fault("value", "This value is wrong.")


def model_errors(failure: Exception, loc: Loc) -> list[FieldError]:
    """Turn pydantic's errors into ours."""
    source: Any = failure if hasattr(failure, "errors") else failure.__cause__
    if not hasattr(source, "errors"):
        return []
    out: list[FieldError] = []
    for error in source.errors(include_url=False, include_input=False)[:MAX_ERRORS]:
        kind: str = error["type"]
        code = _MODEL_CODES.get(kind, kind)
        given: dict[str, Any] = error.get("ctx", {})
        ctx = {k: v for k, v in given.items() if isinstance(v, str | int | float | bool)}
        _ = ctx.pop("pattern", None), ctx.pop("error", None)
        msg = "The text does not have the expected form." if code == "pattern" else error["msg"].rstrip(".") + "."
        out.append(FieldError(loc=(*loc, *error["loc"]), msg=msg, code=code, ctx=ctx or None))
    return out


_MODEL_CODES = {
    "missing": "missing", "extra_forbidden": "unknown_field", "greater_than": "gt", "greater_than_equal": "ge",
    "less_than": "lt", "less_than_equal": "le", "multiple_of": "multiple_of", "string_too_short": "min_length",
    "string_too_long": "max_length", "too_short": "min_length", "too_long": "max_length",
    "bytes_too_short": "min_length", "bytes_too_long": "max_length", "string_pattern_mismatch": "pattern",
    "finite_number": "finite", "value_error": "value", "assertion_error": "value", "enum": "enum",
    "literal_error": "literal", "int_type": "int", "int_parsing": "int", "int_from_float": "int",
    "int_parsing_size": "int64", "float_type": "float", "float_parsing": "float", "bool_type": "bool",
    "bool_parsing": "bool", "decimal_type": "decimal", "decimal_parsing": "decimal", "date_type": "date",
    "date_parsing": "date", "date_from_datetime_parsing": "date", "time_type": "time", "time_parsing": "time",
    "datetime_type": "datetime", "datetime_parsing": "datetime", "datetime_from_date_parsing": "datetime",
    "time_delta_type": "duration", "time_delta_parsing": "duration", "uuid_type": "uuid", "uuid_parsing": "uuid",
    "union_tag_invalid": "tag", "union_tag_not_found": "tag", "string_type": "type", "list_type": "type",
    "dict_type": "type", "model_type": "type", "model_attributes_type": "type", "dataclass_type": "type",
}  # fmt: skip
