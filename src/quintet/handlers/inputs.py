"""Reading inputs: from what was sent to values, and from what was wrong to one answer with every error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quintet.errors import FieldError, QuintetError
from quintet.handlers.params import Source
from quintet.handlers.plan import Input
from quintet.schema.failures import TextError, TextMissing
from quintet.schema.text import TextConverter


class InputFailure(QuintetError):
    """Something sent is wrong; the slow path finds out everything that is."""

    def __init__(self, errors: list[FieldError] | None = None) -> None:
        self.errors = errors or []
        super().__init__()


def reader(item: Input, converter: TextConverter) -> Callable[[Any], Any]:
    """Return the function that turns the text sent for one parameter into its value.

    It takes None, a text or a list of texts, and raises InputFailure with the errors' places.
    """
    source, key, required, default = item.source.value, item.key, item.required, item.default
    fresh = fresh_default(default)
    nullable = converter.nullable
    one, many, is_list = converter.one, converter.many, converter.is_list

    def fail(code: str, message: str, context: dict[str, Any] | None = None) -> InputFailure:
        return InputFailure([FieldError(loc=(source, key), msg=message, code=code, ctx=context)])

    def missing(*, given: bool = False) -> Any:
        if given and nullable:
            return None
        if required:
            raise fail("missing", "This value is required.")
        return default if fresh is None else fresh()

    def read(raw: Any) -> Any:
        if raw is None:
            return missing()
        try:
            if is_list:
                value = many([raw] if isinstance(raw, str) else raw)
            elif isinstance(raw, str):
                value = one(raw)
            else:
                raise fail("repeated", f"Given {len(raw)} times, expected once.")
        except TextMissing:
            return missing(given=True)
        except TextError as exc:
            raise fail(exc.code, exc.msg, exc.ctx) from None
        return value

    return read


def fresh_default(default: Any) -> Callable[[], Any] | None:
    """Return what copies a default that a handler could change for the requests after its own, or None."""
    return default.copy if type(default) in (list, dict, set) else None


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
