"""What a form holds, and what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec

from quintet.errors import ContentTooLarge
from quintet.http.upload import Upload


class FormLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a form may cost. The size of the whole body is the route's limit."""

    #: The number of text fields.
    max_fields: int = 1000
    #: The number of files.
    max_files: int = 100
    #: The size of one text field, in bytes.
    max_field_size: int = 500_000
    #: The size of all text fields together, in bytes.
    max_fields_size: int = 1024 * 1024
    #: The size of one file, in bytes; None is no limit but the body's.
    max_file_size: int | None = None
    #: The bytes of files kept in memory, in one form; what goes beyond is written to disk.
    spool_size: int = 1024 * 1024
    #: The number of header fields of a part.
    max_part_headers: int = 8
    #: The size of all header fields of a part, in bytes.
    max_part_header_size: int = 4096


#: The limits where a route sets none.
DEFAULT_LIMITS = FormLimits()


class FormData:
    """The fields of a form, in their order; names may repeat."""

    __slots__ = ("items",)

    def __init__(self, items: list[tuple[str, str | Upload]] | None = None) -> None:
        #: Every name with its text or file.
        self.items: list[tuple[str, str | Upload]] = [] if items is None else items

    def get(self, name: str) -> str | Upload | None:
        """Return the last value of this name, None when there is none."""
        for key, value in reversed(self.items):
            if key == name:
                return value
        return None

    def getall(self, name: str) -> list[str | Upload]:
        """Return every value of this name."""
        return [value for key, value in self.items if key == name]

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.items)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, each once."""
        return iter(dict.fromkeys(key for key, _ in self.items))

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"FormData({self.items!r})"

    def close(self) -> None:
        """Close every file. Closing twice is a no-op."""
        for _, value in self.items:
            if isinstance(value, Upload):
                value.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def too_many(what: str, limit: int) -> ContentTooLarge:
    """Return the error for more fields or files than allowed."""
    return ContentTooLarge(f"the form has more than {limit} {what}")


def field_too_large(limits: FormLimits) -> ContentTooLarge:
    """Return the error for one text field that is too big."""
    return ContentTooLarge(f"a field of the form is larger than {limits.max_field_size} bytes")


def fields_too_large(limits: FormLimits) -> ContentTooLarge:
    """Return the error for text fields that are too big together."""
    return ContentTooLarge(f"the fields of the form are larger than {limits.max_fields_size} bytes together")
