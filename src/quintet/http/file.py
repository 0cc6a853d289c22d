"""Files as responses: ranges, entity tags, and chunks read off the event loop where the file is not in memory."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from quintet.errors import NotFound
from quintet.http.conditional import evaluate, if_range_holds
from quintet.http.dates import http_date
from quintet.http.disposition import content_disposition
from quintet.http.ranges import content_range, parse_range
from quintet.http.response import Response

if TYPE_CHECKING:
    from quintet.http.request import Request

#: Bytes read from a file at a time. PERF: 256 and 512 KiB measured slower, which the allocator may explain; 1 MiB is a
#: little faster, and too much for many clients that read slowly.
CHUNK = 128 * 1024
#: Types that browsers run as active content; they are sent as attachments unless `inline=True` is given.
_ACTIVE = ("text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/xml")

mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/javascript", ".mjs")
mimetypes.add_type("image/webp", ".webp")
mimetypes.add_type("font/woff2", ".woff2")


def read_cached(fd: int, size: int, position: int) -> bytes | None:
    """Return a piece of a file where the system has it in memory; None where it would have to wait for the disk.

    PERF: the ends are looked at, not every page between them: a look at all costs as much as the reading. On systems
    that cannot tell, the piece is read.
    """
    if _NOWAIT:
        try:
            if not os.preadv(fd, _look, position, _NOWAIT) or not os.preadv(fd, _look, position + size - 1, _NOWAIT):
                return b""  # truncated
        except BlockingIOError:
            return None
        except OSError:  # a file system that cannot tell
            pass
    return os.pread(fd, size, position)


#: Linux: fail instead of waiting for the disk (preadv2(2)).
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_look = [bytearray(1)]


class FileContent:
    """A part of an open file, as chunks. Closed when it has been read, or by `aclose`.

    What is in memory is read at once; what is on disk, in a thread.
    """

    __slots__ = ("_fd", "end", "position")

    def __init__(self, fd: int, start: int, end: int) -> None:
        self._fd = fd
        self.position = start
        self.end = end

    def __aiter__(self) -> FileContent:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk."""
        if self.position >= self.end:
            await self.aclose()
            raise StopAsyncIteration
        size = min(CHUNK, self.end - self.position)
        chunk = read_cached(self._fd, size, self.position)
        if chunk is None:
            chunk = await asyncio.get_running_loop().run_in_executor(None, os.pread, self._fd, size, self.position)
        if not chunk:  # truncated under us: the length promised cannot be kept
            await self.aclose()
            raise OSError("the file became shorter while it was sent")
        self.position += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class File(Response[None]):
    """A file from disk, with ranges, an entity tag and its date.

    Args:
        path: the file. Never a client's text: join that with `safe_join` first.
        media_type: the Content-Type; guessed from the name when absent.
        filename: the name to save it under; sends it as an attachment unless `inline` is true.
        inline: show it in the browser. Active types (HTML, SVG, XML) are attachments unless this is true.

    Raises:
        NotFound: there is no such file.
    """

    __slots__ = ("etag", "inline", "modified", "name", "path", "size")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        media_type: str | None = None,
        filename: str | None = None,
        inline: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        guessed, encoding = mimetypes.guess_type(self.path.name)
        kind = media_type or (guessed if guessed and not encoding else None) or "application/octet-stream"
        if kind.startswith("text/") and "charset" not in kind:
            kind += "; charset=utf-8"
        super().__init__(None, None, headers=headers, media_type=kind)
        self.name = filename
        self.inline = inline
        try:
            info = self.path.stat()
        except OSError:
            raise NotFound from None
        if not stat.S_ISREG(info.st_mode):
            raise NotFound
        self.size = info.st_size
        self.modified = info.st_mtime
        self.etag = f'"{info.st_mtime_ns:x}-{info.st_size:x}"'

    def resolve(self, request: Request) -> None:
        """Settle status, headers and content for a request."""
        headers = self.headers
        headers.setdefault("etag", self.etag)
        headers.setdefault("last-modified", http_date(self.modified))
        headers.set("accept-ranges", "bytes")
        active = (self.media_type or "").startswith(_ACTIVE)
        inline = self.inline if self.inline is not None else (self.name is None and not active)
        if self.name is not None or not inline:
            headers.set("content-disposition", content_disposition(self.name or self.path.name, inline=inline))
        status = evaluate(request.method, request.headers, headers.get("etag"), self.modified)
        if status is not None:
            self.status, self.content, self.media_type = status, b"", None
            return
        ranges: list[tuple[int, int]] | None = None
        if request.method == "GET" and if_range_holds(
            request.headers.get("if-range"), headers.get("etag"), self.modified
        ):
            ranges = parse_range(request.headers.get("range"), self.size)
        if ranges is None:
            self._send(0, self.size, 200)
        elif len(ranges) == 1:
            start, end = ranges[0]
            headers.set("content-range", content_range(start, end, self.size))
            self._send(start, end, 206)
        else:
            self._send_parts(ranges)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            raise NotFound from None

    def _send(self, start: int, end: int, status: int) -> None:
        self.status = self.status or status
        self.length = end - start
        fd = self._open()
        content: bytes | None = None
        if self.length <= CHUNK:
            content = read_cached(fd, self.length, start) if self.length else b""
        if content is None or len(content) < self.length:
            self.content = FileContent(fd, start, end)
            return
        os.close(fd)
        self.content = content
        self.length = None

    def _send_parts(self, ranges: list[tuple[int, int]]) -> None:
        boundary = token_hex(12)
        heads = [
            f"--{boundary}\r\ncontent-type: {self.media_type}\r\n"
            f"content-range: {content_range(start, end, self.size)}\r\n\r\n".encode()
            for start, end in ranges
        ]
        tail = f"--{boundary}--\r\n".encode()
        self.length = sum(len(h) + end - start + 2 for h, (start, end) in zip(heads, ranges, strict=True)) + len(tail)
        self.status = 206
        self.media_type = f"multipart/byteranges; boundary={boundary}"
        fd = self._open()

        async def parts() -> AsyncIterator[bytes]:
            try:
                for head, (start, end) in zip(heads, ranges, strict=True):
                    yield head
                    async for chunk in FileContent(os.dup(fd), start, end):
                        yield chunk
                    yield b"\r\n"
                yield tail
            finally:
                os.close(fd)

        self.content = parts()
