"""Path templates: `/users/{id:int}/files/{rest:path}`.

A template is split once; a request's path is decoded text, so templates hold plain Unicode.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Converter(NamedTuple):
    """What text a path parameter accepts, and how a value becomes text again."""

    #: The word after the colon in a template.
    name: str
    #: The text it accepts, matched in full; None accepts any segment.
    pattern: re.Pattern[str] | None
    #: Less is more specific, and is tried first where several routes have the same shape.
    weight: int
    #: Turns a value into unquoted text; raises ValueError for a value that the converter would not accept.
    to_text: Callable[[Any], str] = str


def _int_text(value: Any) -> str:
    return str(int(value) if isinstance(value, str) else operator.index(value))


def _float_text(value: Any) -> str:
    return repr(float(value))


def _uuid_text(value: Any) -> str:
    return str(value if isinstance(value, UUID) else UUID(str(value)))


def _date_text(value: Any) -> str:
    return (value if isinstance(value, date) else date.fromisoformat(value)).isoformat()


def _whole(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{text})\Z")


_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

#: The converters a template can name.
CONVERTERS: dict[str, Converter] = {
    c.name: c
    for c in (
        Converter("int", _whole("-?(?:0|[1-9][0-9]{0,18})"), 10, _int_text),
        Converter("float", _whole(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?"), 20, _float_text),
        Converter("uuid", _whole(_UUID), 5, _uuid_text),
        Converter("date", _whole("[0-9]{4}-[0-9]{2}-[0-9]{2}"), 6, _date_text),
        Converter("slug", _whole("[a-z0-9]+(?:-[a-z0-9]+)*"), 40),
        Converter("str", None, 50),
        Converter("path", None, 90),
    )
}


def enum_converter(kind: type[Enum]) -> Converter:
    """Return a converter that accepts the values of an enum."""
    values = [str(member.value) for member in kind]

    def to_text(value: Any) -> str:
        return str(value.value if isinstance(value, Enum) else kind(value).value)

    return Converter(f"enum:{kind.__name__}", _whole("|".join(map(re.escape, values))), 8, to_text)


def literal_converter(values: tuple[Any, ...]) -> Converter:
    """Return a converter that accepts the listed values."""
    texts = [str(v) for v in values]
    return Converter(f"literal:{'|'.join(texts)}", _whole("|".join(map(re.escape, texts))), 8)


class Parameter(NamedTuple):
    """A parameter segment of a template."""

    name: str
    #: The converter named in the template, or None to derive it from the handler's annotation.
    converter: str | None


class Template(NamedTuple):
    """A parsed path template."""

    text: str
    segments: tuple[str | Parameter, ...]

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters in order."""
        return [s for s in self.segments if isinstance(s, Parameter)]

    @property
    def has_rest(self) -> bool:
        """Whether the last segment takes the rest of the path."""
        return bool(self.segments) and isinstance(last := self.segments[-1], Parameter) and last.converter == "path"


def parse_template(text: str) -> Template:
    """Parse a path template.

    Raises:
        ValueError: with what is wrong and how it should look.
    """
    if not text.startswith("/"):
        raise ValueError(f"the path {text!r} must begin with '/'")
    if "?" in text or "#" in text:
        raise ValueError(f"the path {text!r} must not have a query or a fragment")
    segments: list[str | Parameter] = []
    seen: set[str] = set()
    parts = text[1:].split("/")
    for index, part in enumerate(parts):
        if part.startswith("{") and part.endswith("}"):
            name, _, converter = part[1:-1].partition(":")
            if not _NAME.fullmatch(name):
                raise ValueError(f"{part!r} in {text!r}: a parameter is '{{name}}' or '{{name:converter}}'")
            if converter and converter not in CONVERTERS:
                raise ValueError(f"{part!r} in {text!r}: no converter {converter!r}; there are {', '.join(CONVERTERS)}")
            if name in seen:
                raise ValueError(f"{text!r} has two parameters named {name!r}")
            if converter == "path" and index != len(parts) - 1:
                raise ValueError(f"{part!r} in {text!r}: a path parameter must be the last segment")
            seen.add(name)
            segments.append(Parameter(name, converter or None))
        elif "{" in part or "}" in part:
            raise ValueError(f"{part!r} in {text!r}: a parameter takes a whole segment, such as '/{{name}}/'")
        elif part in (".", "..") or (not part and index != len(parts) - 1):
            raise ValueError(f"{text!r}: empty segments, '.' and '..' match no request")
        else:
            segments.append(part)
    return Template(text, tuple(segments))


#: The longest that a segment may be, quoted: a target of 8192 bytes has a query too.
MAX_SEGMENT = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f/]")


def is_segment(text: str) -> bool:
    """Tell whether a path can have this text as a segment: what is never routed is none, nor is what holds a slash."""
    return text not in ("", ".", "..") and not _CONTROL.search(text) and len(quote_segment(text)) <= MAX_SEGMENT


def quote_segment(text: str, *, rest: bool = False) -> str:
    """Percent-encode one segment, or with `rest=True` several."""
    return quote(text, safe="/:@!$&'()*+,;=~" if rest else ":@!$&'()*+,;=~")
