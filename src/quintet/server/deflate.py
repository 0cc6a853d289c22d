"""Messages within limits: their size, their fragments, and what permessage-deflate (RFC 7692) makes of them.

An extension of the frame parser of websockets that sees every frame. Nothing decompressed is kept beyond the limit.
"""

from __future__ import annotations

import re
import zlib
from typing import Any, NamedTuple

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.typing import ExtensionName

#: A message may have a fragment for each of so many bytes that its size may reach.
BYTES_PER_FRAGMENT = 64
#: Messages shorter than this are sent as they are.
WORTH_COMPRESSING = 256
#: The window of 2 ** 12 bytes costs a connection 24 KiB, where the largest would cost 256.
WINDOW_BITS = 12
_MEMORY_LEVEL = 5
_LARGEST_WINDOW = 15
_TAIL = b"\x00\x00\xff\xff"

_PARAMETER = re.compile(r'([a-z_]+)(?:\s*=\s*"?([0-9]{1,2})"?)?')


class Deflate(NamedTuple):
    """The parameters agreed upon."""

    client_bits: int = _LARGEST_WINDOW
    server_bits: int = WINDOW_BITS
    client_no_context_takeover: bool = False
    server_no_context_takeover: bool = False

    def header(self, *, client_bits_offered: bool) -> str:
        """Return the value of Sec-WebSocket-Extensions in the answer."""
        parts = ["permessage-deflate", f"server_max_window_bits={self.server_bits}"]
        if client_bits_offered:
            parts.append(f"client_max_window_bits={self.client_bits}")
        if self.client_no_context_takeover:
            parts.append("client_no_context_takeover")
        if self.server_no_context_takeover:
            parts.append("server_no_context_takeover")
        return "; ".join(parts)


def negotiate_deflate(value: str) -> tuple[Deflate, str] | None:
    """Choose the first usable offer of a Sec-WebSocket-Extensions field; return it with the answer's value."""
    for offer in value.split(",")[:16]:
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name != "permessage-deflate":
            continue
        found = _read_offer(parameters)
        if found is not None:
            return found
    return None


def _read_offer(parameters: list[str]) -> tuple[Deflate, str] | None:
    """Return the parameters that an offer leads to, or None where it must be declined (RFC 7692, section 7.1)."""
    given: dict[str, str | None] = {}
    for parameter in parameters:
        match = _PARAMETER.fullmatch(parameter)
        if match is None or match[1] in given:
            return None
        given[match[1]] = match[2]
    server_bits, client_bits = WINDOW_BITS, _LARGEST_WINDOW
    for name, value in given.items():
        if name in ("client_no_context_takeover", "server_no_context_takeover"):
            if value is not None:
                return None
        elif name == "client_max_window_bits":
            if value is not None and not 8 <= int(value) <= _LARGEST_WINDOW:
                return None
            client_bits = min(WINDOW_BITS, int(value or _LARGEST_WINDOW))
        elif name == "server_max_window_bits":
            # zlib makes no windows of 2 ** 8 bytes for raw streams.
            if value is None or not 9 <= int(value) <= _LARGEST_WINDOW:
                return None
            server_bits = min(WINDOW_BITS, int(value))
        else:
            return None
    deflate = Deflate(
        client_bits, server_bits, "client_no_context_takeover" in given, "server_no_context_takeover" in given
    )
    return deflate, deflate.header(client_bits_offered="client_max_window_bits" in given)


class InvalidData(Exception):
    """The content of a message is not what it must be."""


class BoundedMessages(Extension):
    """Refuses messages that are too large or in too many fragments; compresses and decompresses where agreed.

    Args:
        limit: the size of a message in bytes, decompressed.
        deflate: the parameters of compression, or None without it.
    """

    name = ExtensionName("permessage-deflate")

    def __init__(self, limit: int, deflate: Deflate | None = None) -> None:
        self._limit = limit
        self._max_fragments = limit // BYTES_PER_FRAGMENT + 16
        self._deflate = deflate
        self._is_compressed = False
        self._size = 0
        self._fragments = 0
        self._inflater: Any = None
        self._deflater: Any = None

    @property
    def most(self) -> int:
        """The length of a frame that may still come; longer ones are refused before they are read."""
        # 1 KiB: what deflate may add to data that it cannot compress, and room for any control frame.
        return self._limit - self._size + 1024

    # -- what comes in --------------------------------------------------------------------------------------------

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Judge a frame, and decompress its piece of a message.

        Raises:
            ProtocolError: a continuation says that it is compressed.
            PayloadTooBig: the message is too large, or in too many fragments.
            InvalidData: it is not validly compressed.
        """
        if frame.opcode is not Opcode.CONT:
            if frame.opcode is not Opcode.TEXT and frame.opcode is not Opcode.BINARY:
                return frame
            self._is_compressed = frame.rsv1 and self._deflate is not None
            self._size = self._fragments = 0
        elif frame.rsv1:
            raise ProtocolError("a continuation says that it is compressed")
        self._fragments += 1
        if self._fragments > self._max_fragments:
            raise PayloadTooBig(self._fragments, self._max_fragments)
        if self._is_compressed:
            frame.rsv1 = False
            frame.data = self._inflate_frame(frame)
        else:
            self._size += len(frame.data)
        if self._size > self._limit:
            raise PayloadTooBig(self._size, self._limit)
        if frame.fin:
            self._size = 0
        return frame

    def _inflate_frame(self, frame: Frame) -> bytes:
        deflate = self._deflate
        assert deflate is not None
        out = self._inflate(bytes(frame.data))
        if frame.fin:
            out += self._inflate(_TAIL)
            if deflate.client_no_context_takeover or self._inflater.eof:
                self._inflater = None
        return out

    def _inflate(self, data: bytes) -> bytes:
        assert self._deflate is not None
        if self._inflater is None:
            self._inflater = zlib.decompressobj(-self._deflate.client_bits)
        if self._inflater.eof:  # a final block: what follows until the end of the message is padding
            return b""
        room = self._limit - self._size + 1
        if room <= 0:
            raise PayloadTooBig(self._size, self._limit)
        try:
            out: bytes = self._inflater.decompress(data, room)
        except zlib.error:
            raise InvalidData("the message is not validly compressed") from None
        self._size += len(out)
        if self._size > self._limit:
            raise PayloadTooBig(self._size, self._limit)
        return out

    # -- what goes out --------------------------------------------------------------------------------------------

    def encode(self, frame: Frame) -> Frame:
        """Compress a message where it is worth it; every message goes out in one frame."""
        deflate = self._deflate
        if deflate is None or frame.opcode > Opcode.BINARY or len(frame.data) < WORTH_COMPRESSING:
            return frame
        if self._deflater is None:
            self._deflater = zlib.compressobj(
                zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -deflate.server_bits, _MEMORY_LEVEL
            )
        out = self._deflater.compress(frame.data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        if deflate.server_no_context_takeover:
            self._deflater = None
        return Frame(frame.opcode, out[: -len(_TAIL)], frame.fin, rsv1=True)
