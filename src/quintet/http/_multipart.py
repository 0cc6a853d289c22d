"""The driver of the multipart parser. Imported with the first multipart body; `quintet.http.forms` has the rules."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from tempfile import SpooledTemporaryFile

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from quintet.errors import BadRequest, ContentTooLarge, UnsupportedMediaType
from quintet.http.formdata import FormData, FormLimits, field_too_large, fields_too_large, too_many
from quintet.http.upload import Upload, run_blocking

#: Small chunks are joined to this size before they are parsed, big files written to disk in pieces of this size.
_FEED_SIZE = 64 * 1024
_WRITE_SIZE = 1024 * 1024
_MAX_CONTENT_TYPE = 1024

# RFC 2046, section 5.1.1: 1 to 70 of these characters, not ending in a space.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PARAMETER = re.compile(r";[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(\"(?:[^\"\\]|\\.)*\"|[^\";\s]*))?[ \t]*")
_EXTENDED_FILENAME = re.compile(r";\s*filename\*\s*=", re.IGNORECASE)
_PLAIN_ENCODINGS = frozenset(["", "7bit", "8bit", "binary"])
_UTF8_NAMES = frozenset(["utf-8", "utf8", "us-ascii", "ascii"])


async def read_multipart(chunks: AsyncIterator[bytes], content_type: str, limits: FormLimits) -> FormData:
    """Do what `quintet.http.forms.parse_multipart` promises."""
    boundary = multipart_boundary(content_type)
    reader = _MultipartReader(boundary, limits)
    try:
        async with aclosing(_joined(chunks, minimum=max(_FEED_SIZE, len(boundary) + 4))) as joined:
            async for chunk in joined:
                for blocking in reader.feed(chunk):
                    await run_blocking(blocking)
        return reader.finish()
    except BaseException as error:
        reader.close()
        if isinstance(error, MultipartError):
            raise BadRequest(f"the multipart body is malformed: {error.args[0]}") from None
        raise


def multipart_boundary(content_type: str) -> str:
    """Return the boundary that a `multipart/form-data` Content-Type declares.

    Raises:
        BadRequest: it is absent, repeated, longer than 70 characters or has characters that RFC 2046 forbids.
        UnsupportedMediaType: it is another media type.
    """
    if len(content_type) > _MAX_CONTENT_TYPE:
        raise BadRequest(f"the Content-Type is longer than {_MAX_CONTENT_TYPE} characters")
    essence, _, _ = content_type.partition(";")
    if essence.strip().lower() != "multipart/form-data":
        raise UnsupportedMediaType("expected a body of type multipart/form-data")
    position, found = len(essence), list[str]()
    while position < len(content_type):
        match = _PARAMETER.match(content_type, position)
        if match is None:
            raise BadRequest("the parameters of the Content-Type are malformed")
        name, value = match.groups()
        if name is not None and name.lower() == "boundary":
            found.append(re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value)
        position = match.end()
    if len(found) != 1 or not _BOUNDARY.fullmatch(found[0]):
        raise BadRequest("the multipart Content-Type needs one boundary of 1 to 70 characters (RFC 2046)")
    return found[0]


async def _joined(chunks: AsyncIterator[bytes], minimum: int) -> AsyncGenerator[bytes, None]:
    """Join small chunks, so that a body sent byte by byte costs no more than any other."""
    pending: list[bytes] = []
    size = 0
    async for chunk in chunks:
        pending.append(chunk)
        size += len(chunk)
        if size >= minimum:
            yield b"".join(pending) if len(pending) > 1 else bytes(chunk)
            pending, size = [], 0
    if size:
        yield b"".join(pending)


class _MultipartReader:
    """Turns the parser's events into fields. It blocks on nothing: what would, it yields to be called."""

    def __init__(self, boundary: str, limits: FormLimits) -> None:
        self._boundary = b"--" + boundary.encode()
        self._limits = limits
        self._parser = PushMultipartParser(
            boundary, max_header_count=limits.max_part_headers, max_header_size=limits.max_part_header_size
        )
        self._form = FormData()
        self._part: _TextPart | _FilePart | None = None
        self._begun = False
        self._fields = self._files = self._fields_size = 0
        self._memory = limits.spool_size

    def feed(self, chunk: bytes) -> Iterator[Callable[[], None]]:
        if not self._begun:
            # The parser would search the whole body for its first boundary.
            if not chunk.startswith((self._boundary, b"\r\n" + self._boundary)):
                raise BadRequest("the multipart body does not begin with its boundary")
            self._begun = True
        for event in self._parser.parse(chunk):
            if isinstance(event, MultipartSegment):
                self._part = self._begin_part(event)
            elif event is None:
                yield from self._end_part()
            elif isinstance(self._part, _FilePart):
                if self._part.add(event, self._memory):
                    yield self._part.write_to_disk
            elif self._part is not None:
                self._part.add(event)
                self._fields_size += len(event)
                if self._fields_size > self._limits.max_fields_size:
                    raise fields_too_large(self._limits)

    def finish(self) -> FormData:
        self._parser.close()
        return self._form

    def close(self) -> None:
        self._form.close()
        if isinstance(self._part, _FilePart):
            self._part.file.close()

    def _begin_part(self, segment: MultipartSegment) -> _TextPart | _FilePart:
        headers = self._part_headers(segment)
        name = segment.name
        if not name:
            raise BadRequest("a part of the multipart body has no name")
        limits = self._limits
        if segment.filename is None:
            if _EXTENDED_FILENAME.search(headers["content-disposition"]):
                raise BadRequest("a part has `filename*` only, which RFC 7578 forbids: send `filename` in UTF-8")
            self._fields += 1
            if self._fields > limits.max_fields:
                raise too_many("fields", limits.max_fields)
            if segment.charset is not None and segment.charset.lower() not in _UTF8_NAMES:
                raise BadRequest(f"the form field {name[:50]!r} is not declared to be UTF-8")
            self._fields_size += len(name)
            return _TextPart(name, limits)
        self._files += 1
        if self._files > limits.max_files:
            raise too_many("files", limits.max_files)
        return _FilePart(name, segment.filename, headers, limits)

    def _part_headers(self, segment: MultipartSegment) -> dict[str, str]:
        headers = {name.lower(): value for name, value in segment.headerlist}
        if len(headers) < len(segment.headerlist):
            raise BadRequest("a part of the multipart body repeats a header field")
        size = sum(len(name) + len(value) + 4 for name, value in segment.headerlist)
        if size > self._limits.max_part_header_size:
            raise BadRequest(f"a part has more than {self._limits.max_part_header_size} bytes of header fields")
        if headers.get("content-transfer-encoding", "").strip().lower() not in _PLAIN_ENCODINGS:
            raise BadRequest("Content-Transfer-Encoding is not supported: send the content as it is")
        return headers

    def _end_part(self) -> Iterator[Callable[[], None]]:
        part = self._part
        if isinstance(part, _TextPart):
            self._form.items.append((part.name, part.text()))
        elif part is not None and (part.filename or part.size):
            if part.size > self._memory:
                yield part.write_to_disk
            else:
                self._memory -= part.size
            self._form.items.append((part.name, part.upload()))
        elif part is not None:
            part.file.close()
        self._part = None


class _TextPart:
    __slots__ = ("_chunks", "_limits", "_size", "name")

    def __init__(self, name: str, limits: FormLimits) -> None:
        self.name = name
        self._limits = limits
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limits.max_field_size:
            raise field_too_large(self._limits)
        self._chunks.append(data)

    def text(self) -> str:
        try:
            return b"".join(self._chunks).decode()
        except UnicodeDecodeError:
            raise BadRequest(f"the form field {self.name[:50]!r} is not UTF-8") from None


class _FilePart:
    __slots__ = ("_headers", "_limits", "_on_disk", "_pending", "_pending_size", "file", "filename", "name", "size")

    def __init__(self, name: str, filename: str, headers: dict[str, str], limits: FormLimits) -> None:
        self.name = name
        self.filename = filename
        self.size = 0
        self.file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile()  # noqa: SIM115 - closed with the form
        self._headers = headers
        self._limits = limits
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._on_disk = False

    def add(self, data: bytes, memory: int) -> bool:
        """Take a piece, and tell whether `write_to_disk` is due."""
        self.size += len(data)
        self._pending_size += len(data)
        self._pending.append(data)
        limit = self._limits.max_file_size
        if limit is not None and self.size > limit:
            raise ContentTooLarge(f"a file of the form is larger than {limit} bytes")
        return self.size > memory and self._pending_size >= _WRITE_SIZE

    def write_to_disk(self) -> None:
        self.file.rollover()
        self._on_disk = True
        self._write()

    def upload(self) -> Upload:
        if not self._on_disk:
            self._write()
        self.file.seek(0)
        return Upload(
            self.file,
            raw_filename=self.filename,
            content_type=self._headers.get("content-type", "application/octet-stream"),
            size=self.size,
            headers=self._headers,
            in_memory=not self._on_disk,
        )

    def _write(self) -> None:
        self.file.writelines(self._pending)
        self._pending = []
        self._pending_size = 0
