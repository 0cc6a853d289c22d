"""Form bodies: urlencoded, and multipart read as a stream.

What a form may say has one meaning here, and what has none is refused:

- Text is UTF-8. A `_charset_` field is a field like any other; a part that names another charset is refused.
- Repeated names are kept in order. A name may be blank only in an urlencoded form.
- A part is a file when it has a `filename`. `filename*` is forbidden by RFC 7578 and never read: a part that has
  nothing else is refused. An empty `filename` without content is a file input left empty, and is left out.
- A part of a multipart type is not looked into: it is a file or a text like any other.
- `Content-Transfer-Encoding` other than 7bit, 8bit and binary is refused (RFC 7578, section 4.7).
- Nothing stands before the first boundary but a line break; what follows the last one is ignored.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from quintet.http.formdata import (
    DEFAULT_LIMITS,
    FormData,
    FormLimits,
    field_too_large,
    fields_too_large,
    too_many,
)
from quintet.http.query import parse_pairs
from quintet.http.upload import Upload

__all__ = ["DEFAULT_LIMITS", "FormData", "FormLimits", "parse_multipart", "parse_urlencoded"]


def parse_urlencoded(body: bytes, limits: FormLimits = DEFAULT_LIMITS) -> FormData:
    """Return the fields of an `application/x-www-form-urlencoded` body; see `quintet.http.query` for its rules.

    Raises:
        BadRequest: an escape is broken or the text is not UTF-8.
        ContentTooLarge: there are too many fields, or they are too big.
    """
    if len(body) > limits.max_fields_size:
        raise fields_too_large(limits)
    if body.count(b"&") >= limits.max_fields:
        raise too_many("fields", limits.max_fields)
    if len(body) > limits.max_field_size and max(map(len, body.split(b"&"))) > limits.max_field_size:
        raise field_too_large(limits)
    pairs: list[tuple[str, str | Upload]] = []
    pairs += parse_pairs(body, max_fields=limits.max_fields, what="form")
    return FormData(pairs)


async def parse_multipart(
    chunks: AsyncIterator[bytes], content_type: str, limits: FormLimits = DEFAULT_LIMITS
) -> FormData:
    """Return the fields and files of a `multipart/form-data` body while it arrives.

    Whatever goes wrong, in the body or in `chunks`, every file is closed before the error leaves.

    Raises:
        BadRequest: the body is malformed or incomplete.
        ContentTooLarge: there are too many parts, or they are too big.
        UnsupportedMediaType: `content_type` is not `multipart/form-data`.
    """
    # The parser and what it needs are loaded by the apps that take files.
    from quintet.http._multipart import read_multipart

    return await read_multipart(chunks, content_type, limits)
