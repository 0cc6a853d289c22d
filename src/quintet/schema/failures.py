"""What reading input may raise, before it becomes an HTTP error."""

from __future__ import annotations

from typing import Any

import msgspec

from quintet.errors import FieldError

#: What the decoders of a `TypePlan` raise for wrong input; `TypePlan.explain` turns it into an HTTP error.
#: `ValueError` covers UnicodeDecodeError, pydantic's errors and ours.
DECODE_FAILURES: tuple[type[Exception], ...] = (msgspec.MsgspecError, ValueError, RecursionError, ArithmeticError)


class TextError(ValueError):
    """A text of a path, query, header, cookie or form that does not convert.

    Attributes:
        code: a word for programs, such as `int`.
        msg: a sentence for people; it never quotes the text.
        ctx: the limits that the message speaks of.
    """

    def __init__(self, code: str, msg: str, ctx: dict[str, Any] | None = None) -> None:
        self.code: str = code
        self.msg: str = msg
        self.ctx: dict[str, Any] | None = ctx
        super().__init__(msg)


class TextMissing(TextError):
    """An empty text where the type is not `str`: the parameter counts as missing.

    The caller takes the parameter's default, else None if `TextConverter.nullable`, else reports this error.
    """

    def __init__(self) -> None:
        super().__init__("missing", "This value is required.")


class TextErrors(ValueError):
    """Every wrong leaf of a structure made of texts."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors: list[FieldError] = errors
        super().__init__(f"{len(errors)} wrong")


class TooDeep(ValueError):
    """A message nested deeper than `depth.MAX_DEPTH`."""

    def __init__(self) -> None:
        super().__init__("nested too deeply")


class OutputError(TypeError):
    """A handler returned something that lacks what its return type declares: a fault of the program."""
