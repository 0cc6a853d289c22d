"""Reads XML to builtins, along the plan of the expected type. What is not plain data is refused.

A DOCTYPE, and with it every entity and external reference, is refused as it begins; so are processing instructions,
encodings other than UTF-8, and documents past the limits below.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, NoReturn
from xml.parsers import expat

from quintet.errors import BadRequest
from quintet.media._xml_encode import ENTRY
from quintet.media._xml_plan import ITEM, XML_NS, XSI, Member, Plan, build_plan

#: How deep elements may be nested.
MAX_DEPTH = 100
#: The number of elements in a document.
MAX_ELEMENTS = 50_000
#: The number of attributes of one element.
MAX_ATTRIBUTES = 100
#: The length of a namespace; the parser repeats it for every name that is in it.
MAX_NAMESPACE = 512

_ENCODINGS = frozenset([None, "utf-8", "utf8", "us-ascii", "ascii"])


class _Element:
    __slots__ = ("attributes", "children", "name", "ns", "text")

    def __init__(self, ns: str, name: str, attributes: dict[str, str]) -> None:
        self.ns = ns
        self.name = name
        self.attributes = attributes
        self.children: list[_Element] = []
        self.text = ""

    @property
    def is_nil(self) -> bool:
        return bool(self.attributes) and self.attributes.get(f"{XSI} nil", "").strip() in ("true", "1")


def build_decoder(tp: Any) -> Callable[[bytes], Any]:
    """Return a decoder to builtins in the structure of `tp`, scalars left as text. It raises BadRequest."""
    plan = build_plan(tp)

    def decode(body: bytes) -> Any:
        root = parse(body)
        if plan.root and (root.name != plan.name or (plan.ns and root.ns != plan.ns)):
            where = f" in the namespace {plan.ns}" if plan.ns else ""
            raise BadRequest(f"the root element of the XML body must be <{plan.name}>{where}")
        return _value(root, plan)

    return decode


def parse(body: bytes) -> _Element:
    """Return the root element of a document.

    Raises:
        BadRequest: it is not well-formed, has what is refused, or is past a limit.
    """
    if b"\0" in body:  # UTF-16, which the parser would recognise, or what XML cannot hold anyway
        raise BadRequest("the XML body must be encoded in UTF-8")
    reader = _Reader()
    try:
        reader.parser.Parse(body, True)
    except expat.ExpatError as error:
        message = expat.ErrorString(error.code)
        raise BadRequest(f"the XML body is malformed: {message}, line {error.lineno}") from None
    except ValueError as error:  # from inside the binding, for an encoding it does not know
        raise BadRequest(f"the XML body is malformed: {error}") from None
    finally:
        del reader.parser  # it refers to the reader: a cycle would keep the elements until the next collection
    if reader.root is None:
        raise BadRequest("the XML body is empty")
    return reader.root


class _Reader:
    """Builds the elements from the parser's events."""

    def __init__(self) -> None:
        # The encoding given here overrides the document's, so that nothing is decoded otherwise.
        self.parser = parser = expat.ParserCreate("utf-8", " ")
        self.root: _Element | None = None
        self._open: list[_Element] = []
        self._texts: list[list[str]] = []
        self._count = 0
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.EntityDeclHandler = self._refuse_doctype
        parser.ExternalEntityRefHandler = self._refuse_doctype
        parser.ProcessingInstructionHandler = self._refuse_instruction
        parser.StartNamespaceDeclHandler = self._namespace

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise BadRequest(f"the XML body has more than {MAX_ELEMENTS} elements")
        if len(self._open) >= MAX_DEPTH:
            raise BadRequest(f"the XML body is nested deeper than {MAX_DEPTH} elements")
        if len(attributes) > MAX_ATTRIBUTES:
            raise BadRequest(f"an element of the XML body has more than {MAX_ATTRIBUTES} attributes")
        ns, _, local = name.rpartition(" ")
        element = _Element(ns, local, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def _end(self, name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def _data(self, data: str) -> None:
        self._texts[-1].append(data)

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        if uri is not None and len(uri) > MAX_NAMESPACE:
            raise BadRequest(f"a namespace of the XML body is longer than {MAX_NAMESPACE} characters")

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if (encoding and encoding.lower()) not in _ENCODINGS:
            raise BadRequest("the XML body must be encoded in UTF-8")

    def _refuse_doctype(self, *_: Any) -> NoReturn:
        raise BadRequest("the XML body has a DOCTYPE, which is not accepted")

    def _refuse_instruction(self, *_: Any) -> NoReturn:
        raise BadRequest("the XML body has a processing instruction, which is not accepted")


def _value(element: _Element, plan: Plan) -> Any:
    if element.is_nil:
        return None
    is_leaf = not element.children and not _own_attributes(element)
    if plan.elements is not None and not (plan.has_scalar and is_leaf and element.text):
        return _object(element, plan, plan.elements)
    if plan.item is not None and not (plan.has_scalar and is_leaf and element.text):
        return _list(element, plan, plan.item)
    if plan.value is not None and not (plan.has_scalar and is_leaf and element.text):
        return _dict(element, plan.value)
    return element.text if plan.has_scalar and not element.children else _any(element)


def _object(element: _Element, plan: Plan, members: dict[str, Member]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for name, value in element.attributes.items():
        ns, _, local = name.rpartition(" ")
        member = plan.attributes.get(local)
        if member is not None and member.ns == ns:
            found[member.key] = [value]
        elif ns not in (XSI, XML_NS):
            found["@" + local] = [value]
    repeated = {member.key: member.plan.item for member in members.values() if member.repeated}
    found.update((key, []) for key in repeated)
    for child in element.children:
        member = members.get(child.name)
        if member is None or member.ns not in ("", child.ns):
            found.setdefault(child.name, []).append(_any(child))
        else:
            inner = repeated.get(member.key) or member.plan
            found.setdefault(member.key, []).append(_value(child, inner))
    if plan.text is None:
        _keep_text(element, found)
    elif element.text or not plan.text.default_none:
        found[plan.text.key] = [element.text]
    return _collapse(found, repeated)


def _list(element: _Element, plan: Plan, item: Plan) -> list[Any]:
    for child in element.children:
        if child.name != plan.item_name:
            raise BadRequest(f"expected <{plan.item_name}> in <{element.name[:50]}>, not <{child.name[:50]}>")
    if element.text.strip():
        raise BadRequest(f"expected <{plan.item_name}> in <{element.name[:50]}>, not text")
    return [_value(child, item) for child in element.children]


def _dict(element: _Element, value: Plan | None) -> dict[str, Any]:
    attributes = _own_attributes(element)
    found: dict[str, list[Any]] = {"@" + name.rpartition(" ")[2]: [text] for name, text in attributes.items()}
    for child in element.children:
        key = child.attributes.pop("key", ENTRY) if child.name == ENTRY else child.name
        found.setdefault(key, []).append(_any(child) if value is None else _value(child, value))
    _keep_text(element, found)
    return _collapse(found, ())


def _any(element: _Element) -> Any:
    """Return what an element holds when nothing is declared: text, a list of `item` elements, or a dict."""
    if element.is_nil:
        return None
    attributes = _own_attributes(element)
    if not element.children and not attributes:
        return element.text
    if element.children and not attributes and all(child.name == ITEM for child in element.children):
        return [_any(child) for child in element.children]
    return _dict(element, None)


def _keep_text(element: _Element, found: dict[str, list[Any]]) -> None:
    if element.text.strip():
        found["#text"] = [element.text]


def _collapse(found: dict[str, list[Any]], lists: Container[str]) -> dict[str, Any]:
    """Leave lists where they are declared, or where a name repeats, which no scalar takes."""
    return {key: values[0] if len(values) == 1 and key not in lists else values for key, values in found.items()}


def _own_attributes(element: _Element) -> dict[str, str]:
    attributes = element.attributes
    if not attributes:
        return attributes
    return {name: value for name, value in attributes.items() if not name.startswith((XSI + " ", XML_NS + " "))}
