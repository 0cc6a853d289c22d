"""Writes builtins as XML, along the plan of their type."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from quintet.media._builtins import to_builtins
from quintet.media._xml_plan import ITEM, XML_NS, XSI, Plan, build_plan

#: The element of a dict's item whose key is no name.
ENTRY = "entry"

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
# XML 1.0, section 2.2: characters that cannot be written, not even as a reference.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL_TEXT = re.compile("[&<>\r]")
_SPECIAL_ATTRIBUTE = re.compile('[&<>"\r\n\t]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
_KEY = re.compile(r"(?![xX][mM][lL])[A-Za-z_][A-Za-z0-9_.-]*")
_UNKNOWN = Plan("value", "")
_UNTYPED: dict[type[Any], str] = {dict: "object", list: "items", tuple: "items"}

_Write: TypeAlias = "Callable[[str], None]"


def build_encoder(tp: Any) -> Callable[[Any], bytes]:
    """Return an encoder of values of this type."""
    plan = build_plan(tp)

    def encode(value: Any) -> bytes:
        out = [_HEAD]
        plain = to_builtins(value)
        name = _UNTYPED.get(cast("type[Any]", type(plain)), plan.name) if plan.is_any and not plan.root else plan.name
        _element(out.append, name, plan.ns, plain, plan, "")
        return "".join(out).encode()

    return encode


def _element(write: _Write, name: str, ns: str, value: Any, plan: Plan, current: str) -> None:
    """Write one element; `current` is the default namespace where it stands."""
    start = f"<{name}" if ns == current else f'<{name} xmlns="{_attribute(ns)}"'
    _open(write, start, name, ns, value, plan)


def _open(write: _Write, start: str, name: str, ns: str, value: Any, plan: Plan) -> None:
    if value is None:
        write(f'{start} xmlns:xsi="{XSI}" xsi:nil="true"/>')
        return
    content: list[str] = []
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if plan.elements is not None:
            start += _attributes(plan, fields)
            _fields(content.append, fields, plan, ns)
        else:
            _entries(content.append, fields, plan.value or _UNKNOWN, ns)
    elif isinstance(value, (list, tuple)):
        inner = plan.item or _UNKNOWN
        for item in cast("list[Any]", value):
            _element(content.append, plan.item_name if plan.item else ITEM, ns, item, inner, ns)
    else:
        content.append(_text(_scalar(value)))
    text = "".join(content)
    write(f"{start}>{text}</{name}>" if text else f"{start}/>")


def _attributes(plan: Plan, fields: dict[str, Any]) -> str:
    out: list[str] = []
    for number, member in enumerate(plan.attributes.values()):
        value = fields.get(member.key)
        if value is None:
            continue
        name = member.name
        if member.ns == XML_NS:
            name = f"xml:{name}"
        elif member.ns:
            out.append(f' xmlns:ns{number}="{_attribute(member.ns)}"')
            name = f"ns{number}:{name}"
        out.append(f' {name}="{_attribute(_scalar(value))}"')
    return "".join(out)


def _fields(write: _Write, fields: dict[str, Any], plan: Plan, ns: str) -> None:
    known = {member.key for member in plan.attributes.values()}
    if plan.text is not None:
        known.add(plan.text.key)
        value = fields.get(plan.text.key)
        if value is not None:
            write(_text(_scalar(value)))
    for member in (plan.elements or {}).values():
        known.add(member.key)
        if member.key not in fields:
            continue
        value = fields[member.key]
        if member.repeated and isinstance(value, (list, tuple)):
            for item in cast("list[Any]", value):
                _element(write, member.name, member.ns, item, member.plan.item or _UNKNOWN, ns)
        elif value is not None or not member.default_none:
            _element(write, member.name, member.ns, value, member.plan, ns)
    undeclared = {key: value for key, value in fields.items() if key not in known}
    _entries(write, undeclared, _UNKNOWN, ns)


def _entries(write: _Write, fields: dict[str, Any], plan: Plan, ns: str) -> None:
    for key, value in fields.items():
        if _KEY.fullmatch(key) and key != ENTRY:
            _element(write, key, ns, value, plan, ns)
        else:
            _open(write, f'<{ENTRY} key="{_attribute(key)}"', ENTRY, ns, value, plan)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # The lexical forms of XML Schema: INF, -INF and NaN.
        return repr(value).replace("inf", "INF").replace("nan", "NaN")
    return str(value)


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES[match.group()]


def _text(value: str) -> str:
    return _SPECIAL_TEXT.sub(_escape, _ILLEGAL.sub("\ufffd", value))


def _attribute(value: str) -> str:
    return _SPECIAL_ATTRIBUTE.sub(_escape, _ILLEGAL.sub("\ufffd", value))
