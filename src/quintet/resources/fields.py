"""The fields of a resource's HTML forms: which element each column of an input shape is, with its limits."""

from __future__ import annotations

import datetime
import enum
from typing import Any

import msgspec
import sqlalchemy as sa

from quintet.db.columns import options_of
from quintet.db.shapes import columns_of, nested_inputs, shape_of
from quintet.schema.describe import describe
from quintet.schema.nodes import ChoiceNode, Node, ObjectNode, ScalarNode, UnionNode

_TYPES = {"int": "number", "float": "number", "decimal": "number", "date": "date", "time": "time"}
_AREAS = ("markdown", "textarea")


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a form."""

    name: str
    label: str
    #: `input`, `textarea`, `select` or `checkbox`.
    element: str = "input"
    #: The type of an `input`.
    type: str = "text"
    required: bool = False
    #: The choices of a `select`: value and label.
    choices: tuple[tuple[str, str], ...] = ()
    #: Further attributes, such as `maxlength`.
    attributes: dict[str, str] = {}


def label_of(name: str) -> str:
    """Return a column's name for people."""
    return name.replace("__", " ").replace("_", " ").strip().capitalize()


def text_of(value: Any) -> str:
    """Return a value as a form holds it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else str(value)


def form_fields(model: type[Any]) -> list[Field]:
    """Return the fields of a model's form; what no single field can hold is left out."""
    node = describe(shape_of(model, "new"))
    assert isinstance(node, ObjectNode)
    columns, nested = columns_of(model), nested_inputs(model)
    found: list[Field] = []
    for f in node.fields:
        if f.name not in nested:
            inner, nullable = plain(f.node)
            column = columns[f.name][1]
            field = field_of(f.name, inner, required=f.required and not nullable, column=column)
            if field is not None and field.element == "checkbox" and nullable:
                field = yes_or_no(field.name, field.label)  # a box has two states
            if field is not None:
                found.append(field)
    return found


def plain(node: Node) -> tuple[Node, bool]:
    """Return what a value is where it is not None, and whether it may be None."""
    if isinstance(node, UnionNode) and len(node.members) == 1:
        return node.members[0], node.nullable
    return node, False


def field_of(name: str, node: Node, *, required: bool, column: sa.Column[Any] | None = None) -> Field | None:
    """Return the field of a value, or None where none can hold it."""
    label = label_of(name)
    if isinstance(node, ChoiceNode):
        texts = tuple(str(v) for v in node.values)
        choices = tuple((text, label_of(text)) for text in texts)
        return Field(name=name, label=label, element="select", required=required, choices=choices)
    if not isinstance(node, ScalarNode) or node.kind in ("any", "raw", "none", "bytes", "timedelta"):
        return None
    if node.kind == "bool":
        return Field(name=name, label=label, element="checkbox")
    limits, attributes = node.constraints, dict[str, str]()
    if node.kind == "str":
        for attribute, limit in (("minlength", limits.min_length), ("maxlength", limits.max_length)):
            if limit is not None:
                attributes[attribute] = str(limit)
        wanted = options_of(column).widget if column is not None else ""
        is_area = wanted in _AREAS or (not wanted and column is not None and isinstance(column.type, sa.Text))
        element, kind = ("textarea", "") if is_area else ("input", wanted or "text")
        # A text that may be empty is not required; HTML's `required` asks for one character.
        needed = required and bool(limits.min_length)
        return Field(name=name, label=label, element=element, type=kind, required=needed, attributes=attributes)
    if node.kind in ("int", "float", "decimal"):
        for attribute, limit in (("min", limits.ge), ("max", limits.le)):
            if limit is not None and abs(limit) < 2**53:
                attributes[attribute] = str(limit)
        attributes["step"] = "1" if node.kind == "int" else "any"
    if node.kind == "datetime":
        attributes["placeholder"] = "2026-01-31T12:00:00Z"
    kind = _TYPES.get(node.kind, "text")
    return Field(name=name, label=label, type=kind, required=required, attributes=attributes)


def yes_or_no(name: str, label: str) -> Field:
    """Return the field of a truth that may be left open."""
    return Field(name=name, label=label, element="select", choices=(("true", "Yes"), ("false", "No")))
