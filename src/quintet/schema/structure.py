"""Structures whose leaves are texts (forms, query strings, XML) to values, by the rules of `text.py`.

Every wrong leaf is found in one pass. Leaves may also be files, or values of the right type already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from quintet.errors import MAX_ERRORS, FieldError

from .collect import model_errors
from .depth import check_depth
from .describe import describe
from .failures import TextError, TextErrors
from .messages import MISSING, NUL, UNKNOWN, Fault, violations, wrong_type
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
    UnsupportedType,
    type_name,
)
from .text import build_text, takes_empty
from .unions import closest

Loc = tuple[str | int, ...]

#: Reads one value; wrong ones are reported and give `NOTHING`.
Reader = Callable[[Any, Loc, "_Report"], Any]


class _Report:
    """The errors found so far."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, loc: Loc, fault: Fault | TextError) -> Any:
        self.errors.append(FieldError(loc=loc, msg=fault.msg, code=fault.code, ctx=fault.ctx))
        if len(self.errors) >= MAX_ERRORS:
            raise TextErrors(self.errors)
        return NOTHING


def build_reader(node: Node, *, refuse_nul: bool = False, absent_bool: bool = False) -> Callable[[Any], Any]:
    """Build the reader of a whole structure; it raises `TextErrors`.

    Args:
        refuse_nul: refuse NUL in text.
        absent_bool: the structure is a form, where an unchecked box is absent and means False.
    """
    builder = _Builder(refuse_nul, absent_bool)
    read: Reader | None = None

    def reader(value: Any) -> Any:
        nonlocal read
        if read is None:  # built at first use: most types never meet a form
            read = builder.reader(node)
        check_depth(value)
        report = _Report()
        out = read({} if value is None and _has_members(node) else value, (), report)
        if report.errors:
            raise TextErrors(report.errors)
        return out

    return reader


class _Builder:
    def __init__(self, refuse_nul: bool, form: bool) -> None:
        self.refuse_nul = refuse_nul
        self.form = form
        self.readers: dict[int, Reader] = {}

    def reader(self, node: Node) -> Reader:
        known = self.readers.get(id(node))
        if known is not None:
            return known
        if isinstance(node, ObjectNode):  # may lead back to itself
            later: list[Reader] = []
            self.readers[id(node)] = lambda value, loc, report: later[0](value, loc, report)  # noqa: PLW0108  (the list is filled below)
            later.append(self.object(node))
            self.readers[id(node)] = later[0]
        else:
            self.readers[id(node)] = self.other(node)
        return self.readers[id(node)]

    def other(self, node: Node) -> Reader:
        match node:
            case ScalarNode() if node.kind == "any":
                return self.anything()
            case ScalarNode():
                return self.scalar(node)
            case ChoiceNode():
                return self.text(node)
            case ListNode():
                return self.list(node)
            case TupleNode():
                return self.tuple(node)
            case DictNode():
                return self.dict(node)
            case UnionNode():
                return self.union(node)
            case ModelNode():
                return self.model(node)
            case LeafNode():
                return _leaf(node)
            case ObjectNode():
                return self.object(node)

    def anything(self) -> Reader:
        def read(value: Any, loc: Loc, report: _Report) -> Any:
            if self.refuse_nul and isinstance(value, str) and "\0" in value:
                return report.add(loc, NUL)
            return value

        return read

    def scalar(self, node: ScalarNode) -> Reader:
        if node.kind in ("none", "raw"):
            return lambda value, loc, report: None if value in (None, "") else report.add(loc, wrong_type(node))
        text = self.text(node)

        def read(value: Any, loc: Loc, report: _Report) -> Any:
            if type(value) is node.type and node.type is not str:
                for fault in violations(node, value, refuse_nul=self.refuse_nul):
                    return report.add(loc, fault)
                return value
            return text(value, loc, report)

        return read

    def text(self, node: Node) -> Reader:
        convert = build_text(node, refuse_nul=self.refuse_nul)
        keep_empty = takes_empty(node)

        def read(value: Any, loc: Loc, report: _Report) -> Any:
            if not isinstance(value, str):
                return report.add(loc, MISSING if value is None else wrong_type(node))
            if not value and not keep_empty:
                return report.add(loc, MISSING)
            try:
                return convert(value)
            except TextError as e:
                return report.add(loc, e)

        return read

    def list(self, node: ListNode) -> Reader:
        item = self.reader(node.item)
        keep_empty = takes_empty(node.item)
        make: Any = {"list": list, "set": set, "frozenset": frozenset, "tuple": tuple}[node.kind]

        def read(value: Any, loc: Loc, report: _Report) -> Any:
            many = cast("list[Any]", value) if isinstance(value, list | tuple) else [value]
            found = len(report.errors)
            kept = [v for v in many if keep_empty or v not in ("", None)]
            values = [item(v, (*loc, i), report) for i, v in enumerate(kept)]
            if len(report.errors) > found:
                return NOTHING
            out = make(values)
            for fault in violations(node, out):
                return report.add(loc, fault)
            return out

        return read

    def tuple(self, node: TupleNode) -> Reader:
        items = [self.reader(i) for i in node.items]

        def read(value: Any, loc: Loc, report: _Report) -> Any:
            many = cast("list[Any]", value) if isinstance(value, list | tuple) else [value]
            if len(many) != len(items):
                size = len(items)
                fault = Fault("length", f"Expected {size} values.", {"min_length": size, "max_length": size})
                return report.add(loc, fault)
            found = len(report.errors)
            values = [r(v, (*loc, i), report) for i, (r, v) in enumerate(zip(items, many, strict=True))]
            return NOTHING if len(report.errors) > found else tuple(values)

        return read

    def dict(self, node: DictNode) -> Reader:
        key_reader, value_reader = self.reader(node.key), self.reader(node.value)

        def read(value: Any, loc: Loc, report: _Report) -> Any:
            members = _members(value)
            if members is None:
                return report.add(loc, wrong_type(node))
            found = len(report.errors)
            out = {key_reader(k, (*loc, k), report): value_reader(v, (*loc, k), report) for k, v in members.items()}
            if len(report.errors) > found:
                return NOTHING
            for fault in violations(node, out):
                return report.add(loc, fault)
            return out

        return read

    def union(self, node: UnionNode) -> Reader:
        if len(node.members) == 1:
            return self.optional(node, self.reader(node.members[0]))
        if all(isinstance(m, ScalarNode | ChoiceNode) for m in node.members):
            return self.optional(node, self.text(node))
        tagged = [m for m in node.members if isinstance(m, ObjectNode) and m.tag_field is not None]
        readers = {id(m): self.reader(m) for m in node.members}

        def read(value: Any, loc: Loc, report: _Report) -> Any:
            fitting = [m for m in node.members if _could_be(m, value)]
            if isinstance(value, dict) and fitting:
                given = cast("dict[Any, Any]", value)
                if len(tagged) > 1 and not any(given.get(m.tag_field) == str(m.tag) for m in tagged):
                    return report.add((*loc, str(tagged[0].tag_field)), _wrong_tag(tagged, given))
                fitting = [closest(fitting, given, text=True)]
            attempt = _Report()
            for m in fitting:
                attempt = _Report()
                out = readers[id(m)](value, loc, attempt)
                if not attempt.errors:
                    return out
            if len(fitting) != 1:
                return report.add(loc, wrong_type(node))
            for error in attempt.errors:
                report.add(error.loc, Fault(error.code, error.msg, error.ctx))
            return NOTHING

        return self.optional(node, read)

    def optional(self, node: UnionNode, inner: Reader) -> Reader:
        if not node.nullable:
            return inner
        return lambda value, loc, report: None if value is None or value == "" else inner(value, loc, report)

    def model(self, node: ModelNode) -> Reader:
        clean = self.cleaner(node)

        def read(value: Any, loc: Loc, report: _Report) -> Any:
            members = _members(value)
            try:
                return node.adapter.validate_python(value if members is None else clean(members))
            except ValueError as e:
                for error in model_errors(e, loc) or [FieldError(loc=loc, msg="This value is wrong.", code="value")]:
                    report.add(error.loc, Fault(error.code, error.msg, error.ctx))
                return NOTHING

        return read

    def cleaner(self, node: ModelNode) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Apply the rules for empty texts and unchecked boxes before pydantic sees the values."""
        strings: set[str] = set()
        boxes: set[str] = set()
        for name, info in getattr(node.type, "model_fields", {}).items():
            key = info.validation_alias if isinstance(info.validation_alias, str) else info.alias or name
            try:
                part = describe(info.annotation)
            except UnsupportedType:
                continue
            if takes_empty(part):
                strings.add(key)
            elif isinstance(part, ScalarNode) and part.kind == "bool":
                boxes.add(key)

        def clean(members: dict[str, Any]) -> dict[str, Any]:
            out = {k: v for k, v in members.items() if v != "" or k in strings}
            if self.form:
                for key in boxes - out.keys():
                    out[key] = False
            return out

        return clean

    def object(self, node: ObjectNode) -> Reader:
        fields = [(f, self.reader(f.node), self.absent(f)) for f in node.fields if f.init]
        known = {f.key for f in node.fields}
        tag = None if node.tag_field is None else str(node.tag)
        if node.tag_field is not None:
            known.add(node.tag_field)

        def read(value: Any, loc: Loc, report: _Report) -> Any:
            members = _members(value)
            if members is None:
                return report.add(loc, wrong_type(node))
            found = len(report.errors)
            if node.tag_field is not None and members.get(node.tag_field, tag) != tag:
                report.add((*loc, node.tag_field), Fault("tag", f"Expected {tag}.", {"expected": [node.tag]}))
            arguments: dict[str, Any] = {}
            for f, reader, absent in fields:
                given = members.get(f.key)
                if given is None or (given == "" and not takes_empty(f.node) and not _has_members(f.node)):
                    out = absent(loc, report)
                else:
                    out = reader(given, (*loc, f.key), report)
                if out is not NOTHING:
                    arguments[f.parameter] = out
            if node.forbid_unknown:
                for key in members:
                    if key not in known:
                        report.add((*loc, str(key)[:100]), UNKNOWN)
            return NOTHING if len(report.errors) > found else _make(node, arguments, loc, report)

        return read

    def absent(self, f: FieldNode) -> Callable[[Loc, _Report], Any]:
        """Decide what a field means that was not sent, or sent empty."""
        node = f.node
        if self.form and isinstance(node, ScalarNode) and node.kind == "bool":
            return lambda loc, report: False
        if not f.required:
            return lambda loc, report: NOTHING
        if isinstance(node, UnionNode) and node.nullable:
            return lambda loc, report: None
        if self.form and isinstance(node, ListNode):
            empty = self.reader(node)
            return lambda loc, report: empty([], (*loc, f.key), report)
        return lambda loc, report: report.add((*loc, f.key), MISSING)


def _make(node: ObjectNode, arguments: dict[str, Any], loc: Loc, report: _Report) -> Any:
    if node.kind == "typeddict":
        return arguments
    try:
        return node.cls(**arguments)
    except (ValueError, TypeError) as e:
        return report.add(loc, Fault("value", str(e) or "This value is wrong."))


def _wrong_tag(members: list[ObjectNode], given: dict[Any, Any]) -> Fault:
    if given.get(members[0].tag_field) in (None, ""):
        return MISSING
    tags = [m.tag for m in members]
    return Fault("tag", f"Expected one of: {', '.join(str(t) for t in tags)}.", {"expected": tags})


def _leaf(node: LeafNode) -> Reader:
    def read(value: Any, loc: Loc, report: _Report) -> Any:
        if isinstance(value, node.type):
            return value
        return report.add(loc, Fault("type", "Expected a file.", {"expected": "file"}))

    return read


def _members(value: Any) -> dict[str, Any] | None:
    """Return the members of an object; an empty text is an empty object, as in XML."""
    if value == "":
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _has_members(node: Node) -> bool:
    return isinstance(node, ObjectNode | DictNode | ModelNode)


def _could_be(node: Node, value: Any) -> bool:
    if isinstance(value, dict):
        return _has_members(node)
    if isinstance(value, list):
        return isinstance(node, ListNode | TupleNode)
    if isinstance(value, str):
        return isinstance(node, ScalarNode | ChoiceNode | ListNode)
    return isinstance(node, LeafNode) or type_name(node) == "value"
