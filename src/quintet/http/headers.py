"""Header fields: `Headers` reads those of a request, `ResponseHeaders` holds those of an answer.

Names are tokens in any case, values are Latin-1 text. Nothing that could end a line ever enters a `ResponseHeaders`:
it is refused where it is set, so that the traceback names the code that did it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, cast

from quintet.types import RawHeaders

#: What header fields can be made of.
HeaderSource: TypeAlias = "Mapping[str, str] | Iterable[tuple[str, str]]"

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110, section 5.5, without the controls of Latin-1 (0x80 to 0x9f), which some readers take for line ends.
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_SECRET = frozenset(("authorization", "cookie", "proxy-authorization", "set-cookie"))


def is_token(text: str) -> bool:
    """Tell whether `text` is a token (RFC 9110, section 5.6.2), as names of fields, methods and cookies are."""
    return _TOKEN.fullmatch(text) is not None


class Headers(Mapping[str, str]):
    """The header fields of a request, read-only, by name in any case.

    A field that was sent in several lines is one list, joined by `, ` (RFC 9110, section 5.3; Cookie by `; `).
    `getall` gives the lines.
    """

    __slots__ = ("_repeated", "_values", "raw")

    def __init__(self, raw: RawHeaders) -> None:
        #: The fields as they were sent.
        self.raw = raw
        self._values: dict[str, str] | None = None
        self._repeated: dict[str, list[str]] = {}

    def __getitem__(self, name: str) -> str:
        return self._table()[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._table()

    def __iter__(self) -> Iterator[str]:
        return iter(self._table())

    def __len__(self) -> int:
        return len(self._table())

    def __repr__(self) -> str:
        return f"Headers({_masked(self.items())})"

    def getall(self, name: str) -> list[str]:
        """Return the value of every line with this name, in order; empty when there is none."""
        key = name.lower()
        value = self._table().get(key)
        if value is None:
            return []
        return list(self._repeated.get(key, (value,)))

    def _table(self) -> dict[str, str]:
        if self._values is not None:
            return self._values
        values: dict[str, str] = {}
        repeated: dict[str, list[str]] = {}
        for raw_name, raw_value in self.raw:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if name not in values:
                values[name] = value
            elif name in repeated:
                repeated[name].append(value)
            else:
                repeated[name] = [values[name], value]
        for name, lines in repeated.items():
            values[name] = ("; " if name == "cookie" else ", ").join(lines)
        self._repeated, self._values = repeated, values
        return values


class ResponseHeaders:
    """The header fields of a response: a list of lines that is read and changed by name.

    Raises:
        ValueError: where a line is set whose name is not a token or whose value has a line end, another control
            character or a character beyond Latin-1.
    """

    __slots__ = ("_lines",)

    def __init__(self, source: HeaderSource | None = None) -> None:
        self._lines: list[tuple[str, str]] = []
        if source is not None:
            self.extend(source)

    def set(self, name: str, value: str) -> None:
        """Make `value` the only line with this name."""
        line = _checked(name, value)
        self._lines = [known for known in self._lines if known[0] != line[0]]
        self._lines.append(line)

    def add(self, name: str, value: str) -> None:
        """Add a line, beside those that have the same name."""
        self._lines.append(_checked(name, value))

    def extend(self, source: HeaderSource) -> None:
        """Add every line of `source`."""
        pairs = cast("Iterable[tuple[str, str]]", source.items() if isinstance(source, Mapping) else source)
        self._lines += [_checked(name, value) for name, value in pairs]

    def setdefault(self, name: str, value: str) -> str:
        """Set the field unless it is there, and return its value."""
        known = self.get(name)
        if known is not None:
            return known
        self.add(name, value)
        return value

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first line with this name."""
        key = name.lower()
        for known, value in self._lines:
            if known == key:
                return value
        return default

    def getall(self, name: str) -> list[str]:
        """Return every line with this name, in order."""
        key = name.lower()
        return [value for known, value in self._lines if known == key]

    def items(self) -> list[tuple[str, str]]:
        """Return the lines in order, names in lower case."""
        return list(self._lines)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        """Remove every line with this name. If there is none, this is a no-op."""
        key = name.lower()
        self._lines = [line for line in self._lines if line[0] != key]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._lines))

    def __len__(self) -> int:
        return len(self._lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResponseHeaders) and self._lines == other._lines

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # mutable

    def __repr__(self) -> str:
        return f"ResponseHeaders({_masked(self._lines)})"


def vary(headers: ResponseHeaders, *names: str) -> None:
    """Add `names` to the Vary field, each once; `*` stands for all."""
    known: dict[str, str] = {}
    for name in [part.strip() for line in headers.getall("vary") for part in line.split(",")] + list(names):
        if name:
            known.setdefault(name.lower(), name)
    if known:
        headers.set("vary", "*" if "*" in known else ", ".join(known.values()))


def _checked(name: str, value: str) -> tuple[str, str]:
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"the header name {name[:100]!r} is not a token: use letters, digits and hyphens")
    if _VALUE.fullmatch(value) is None:
        shown = "" if name.lower() in _SECRET else f": {value[:100]!r}"
        raise ValueError(f"the value of the header {name!r} has a control or non-Latin-1 character{shown}")
    return name.lower(), value.strip(" \t")


def _masked(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, "***" if name in _SECRET else value) for name, value in pairs]
