"""How a declared type is laid out in XML: which fields are attributes, elements or text, and what they are called.

Read once per type, for the encoder and the decoder alike. `quintet.media.xml` documents the mapping.
"""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

import msgspec

from quintet.media import _types

#: The namespace of `xsi:nil`.
XSI = "http://www.w3.org/2001/XMLSchema-instance"
#: The namespace that the prefix `xml` always has.
XML_NS = "http://www.w3.org/XML/1998/namespace"
#: What an item of a list without a better name is called.
ITEM = "item"


class XML(msgspec.Struct, frozen=True, kw_only=True):
    """How a field or a class stands in XML.

    On a field it is written `Annotated[str, XML(attribute=True)]`, on a class `__xml__ = XML(name="article")`, and on
    a whole body or result `Annotated[list[Article], XML(name="articles")]`.
    """

    #: The name of the element or attribute; by default the field's, or the class's in snake_case.
    name: str | None = None
    #: The namespace. A class's holds for everything inside it that has none of its own.
    ns: str | None = None
    #: The field is an attribute.
    attribute: bool = False
    #: The field is the text of the element itself.
    text: bool = False
    #: The items of a list stand in one element, instead of repeating the field's.
    wrapped: bool = False
    #: The name of the items of a wrapped list.
    item: str | None = None


class Member:
    """One field of a structure."""

    __slots__ = ("default_none", "key", "name", "ns", "plan", "repeated")

    def __init__(self, key: str, name: str, ns: str, plan: Plan, *, default_none: bool, repeated: bool) -> None:
        self.key = key
        self.name = name
        self.ns = ns
        self.plan = plan
        self.default_none = default_none
        #: Whether a list is written as one element per item.
        self.repeated = repeated


class Plan:
    """How values of one type are laid out. A union has the parts of all its members."""

    __slots__ = ("attributes", "elements", "has_scalar", "item", "item_name", "name", "ns", "root", "text", "value")

    def __init__(self, name: str, ns: str) -> None:
        #: The name and namespace of the element when it stands alone.
        self.name = name
        self.ns = ns
        #: Whether that name was declared, so that another is refused.
        self.root = False
        #: The fields of a structure by the names they have in XML; None when this is no structure.
        self.elements: dict[str, Member] | None = None
        self.attributes: dict[str, Member] = {}
        self.text: Member | None = None
        #: The items of a list, the values of a dict.
        self.item: Plan | None = None
        self.item_name = ITEM
        self.value: Plan | None = None
        self.has_scalar = False

    @property
    def is_any(self) -> bool:
        """Whether nothing is known of the type."""
        return self.elements is None and self.item is None and self.value is None and not self.has_scalar


def build_plan(tp: Any) -> Plan:
    """Return the layout of a type.

    Raises:
        TypeError: a name is impossible in XML, or a structure or list is declared to be an attribute or text.
    """
    return _Builder().plan(tp, "")


class _Builder:
    def __init__(self) -> None:
        self._known: dict[Any, Plan] = {}

    def plan(self, tp: Any, ns: str, mark: XML | None = None) -> Plan:
        inner, metadata = _types.unwrap(tp)
        mark = _mark(metadata) or mark
        key = (_types.key(inner), ns, mark)
        if key in self._known:
            return self._known[key]
        members, _ = _types.members(inner)
        plan = self._known[key] = Plan(*_root_name(members, ns))
        for member in members:
            own = _class_mark(member)
            if own is not None:
                plan.root = plan.root or own.name is not None
            self._add(plan, member, (own and own.ns) or ns)
        if mark is not None:
            plan.name, plan.ns = mark.name or plan.name, mark.ns or plan.ns
            plan.item_name = mark.item or plan.item_name
            plan.root = plan.root or mark.name is not None
        _check_name(plan.name, tp)
        _check_name(plan.item_name, tp)
        return plan

    def _add(self, plan: Plan, tp: Any, ns: str) -> None:
        fields = _types.fields(tp)
        item, value = _types.item_type(tp), _types.value_type(tp)
        if fields is not None:
            if plan.elements is None:
                plan.elements = {}
            for field in fields:
                self._add_field(plan, field, ns, tp)
        elif item is not None:
            plan.item = self.plan(item, ns)
            inner, metadata = _types.unwrap(item)
            structures = [member for member in _types.members(inner)[0] if _types.fields(member) is not None]
            if structures or _mark(metadata) is not None:
                plan.item_name = plan.item.name
        elif value is not None:
            plan.value = self.plan(value, ns)
        elif tp not in (Any, object):
            plan.has_scalar = True

    def _add_field(self, plan: Plan, field: _types.Field, ns: str, owner: Any) -> None:
        mark = _mark(field.metadata) or XML()
        inner = self.plan(field.type, ns, XML(item=mark.item) if mark.item else None)
        optional = _types.members(field.type)[1]
        is_list = inner.item is not None and inner.elements is None
        if (mark.attribute or mark.text) and (is_list or inner.elements is not None or inner.value is not None):
            raise TypeError(f"the field {field.name!r} of {owner} is no scalar and cannot be an XML attribute or text")
        # Without an element of its own an empty list could not be told from None.
        repeated = is_list and not (optional or mark.wrapped or mark.item)
        name = mark.name or field.name
        # An attribute without a namespace of its own is in none (Namespaces in XML, section 6.2).
        space = (mark.ns or "") if mark.attribute else (mark.ns or ns)
        member = Member(field.name, name, space, inner, default_none=field.default_none, repeated=repeated)
        if mark.text:
            plan.text = plan.text or member
            return
        _check_name(name, owner)
        fields = plan.attributes if mark.attribute else plan.elements
        if fields is not None:
            fields.setdefault(name, member)


def _mark(metadata: tuple[Any, ...]) -> XML | None:
    return next((mark for mark in reversed(metadata) if isinstance(mark, XML)), None)


def _class_mark(tp: Any) -> XML | None:
    mark = getattr(tp, "__xml__", None)
    return mark if isinstance(mark, XML) else None


def _root_name(members: tuple[Any, ...], ns: str) -> tuple[str, str]:
    if len(members) != 1:
        return "value", ns
    (tp,) = members
    if _types.item_type(tp) is not None:
        return "items", ns
    if _types.value_type(tp) is not None:
        return "object", ns
    if _types.fields(tp) is None:
        return "value", ns
    mark = _class_mark(tp) or XML()
    name: str = mark.name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", tp.__name__.partition("[")[0]).lower()
    return name, mark.ns or ns


def _check_name(name: str, owner: Any) -> None:
    try:
        if ":" not in name:
            expat.ParserCreate().Parse(f"<{name}/>".encode(), True)
            return
    except expat.ExpatError:
        pass
    raise TypeError(f"{name!r} in {owner} is no name in XML: give it one with Annotated[…, XML(name=…)]")
