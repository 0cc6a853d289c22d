"""Reading inputs: from what was sent to values, and from what was wrong to one answer with every error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quintet.errors import FieldError, QuintetError
from quintet.handlers.params import Source
from quintet.handlers.plan import Input
from quintet.schema.text import MISSING, TextConverter, TextError


class InputFailure(QuintetError):
    """Something sent is wrong; the slow path finds out everything that is."""

    def __init__(self, errors: list[FieldError] | None = None) -> None:
        self.errors = errors or []
        super().__init__()


def reader(item: Input, converter: TextConverter[Any], *, is_text: bool) -> Callable[[Any], Any]:
    """Return the function that turns the text sent for one parameter into its value.

    It takes None, a text or a list of texts, and raises InputFailure with the errors' places.
    """
    source, key, required, default = item.source.value, item.key, item.required, item.default
    one, many, is_list = converter.one, converter.many, converter.is_list

    def fail(code: str, message: str, context: dict[str, Any] | None = None, index: int | None = None) -> InputFailure:
        place: tuple[str | int, ...] = (source, key) if index is None else (source, key, index)
        return InputFailure([FieldError(loc=place, msg=message, code=code, ctx=context)])

    def missing() -> Any:
        if required:
            raise fail("missing", "this is required")
        return default

    def read(raw: Any) -> Any:
        if raw is None:
            return missing()
        try:
            if is_list:
                value = many([raw] if isinstance(raw, str) else raw)
            elif isinstance(raw, str):
                if not raw and not is_text:
                    return missing()
                value = one(raw)
            else:
                raise fail("repeated", f"given {len(raw)} times, expected once")
        except TextError as exc:
            raise fail(exc.code, exc.msg, exc.ctx, getattr(exc, "index", None)) from None
        return missing() if value is MISSING else value

    return read


def raw_getter(item: Input) -> Callable[[Any], Any]:
    """Return the function that finds what a request sent for an input."""
    key = item.key
    if item.source is Source.QUERY:
        return lambda request: request.query.get(key)
    if item.source is Source.HEADER:
        name = key.encode("latin-1")

        def header(request: Any) -> Any:
            values = [v.decode("latin-1").strip() for n, v in request.raw_headers if n == name]
            return values[0] if len(values) == 1 else values or None

        return header
    if item.source is Source.COOKIE:
        return lambda request: request.cookies.get(key)
    raise AssertionError(item.source)
