"""Messages within limits: their size, their fragments, and what permessage-deflate (RFC 7692) makes of them.

An extension of wsproto's frame parser that sees every frame. Sizes are checked before anything is kept: the declared
length of a frame, and each piece of a decompressed message as it comes out.
"""

from __future__ import annotations

import re
import zlib
from typing import Any, NamedTuple

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

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


class BoundedMessages(Extension):
    """Refuses messages that are too large or in too many fragments; compresses and decompresses where agreed.

    Args:
        limit: the size of a message in bytes, decompressed.
        deflate: the parameters of compression, or None without it.
    """

    name = "permessage-deflate"

    def __init__(self, limit: int, deflate: Deflate | None = None) -> None:
        self._limit = limit
        self._max_fragments = limit // BYTES_PER_FRAGMENT + 16
        self._deflate = deflate
        self._is_control = False
        self._is_compressed = False
        self._size = 0
        self._fragments = 0
        self._inflater: Any = None
        self._deflater: Any = None

    def enabled(self) -> bool:
        """It always is: wsproto asks."""
        return True

    def offer(self) -> bool | str:
        """Nothing is offered by a server."""
        return False

    # -- what comes in --------------------------------------------------------------------------------------------

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Judge a frame by its head."""
        self._is_control = opcode.iscontrol()
        if self._is_control:
            return RsvBits(False, False, False)
        if opcode is Opcode.CONTINUATION:
            if rsv.rsv1:
                return CloseReason.PROTOCOL_ERROR
        else:
            self._is_compressed = rsv.rsv1 and self._deflate is not None
            self._size = self._fragments = 0
        self._fragments += 1
        if self._fragments > self._max_fragments or self._size + payload_length > self._limit + 1024:
            return CloseReason.MESSAGE_TOO_BIG  # 1 KiB: what deflate may add to data that it cannot compress
        return RsvBits(self._deflate is not None, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        """Decompress a piece of a frame and add up its size."""
        if self._is_control:
            return data
        if self._is_compressed:
            return self._inflate(data)
        self._size += len(data)
        return CloseReason.MESSAGE_TOO_BIG if self._size > self._limit else data

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """End a message."""
        if self._is_control or not fin or not self._is_compressed:
            return None
        rest = self._inflate(_TAIL)
        assert self._deflate is not None
        if self._deflate.client_no_context_takeover or (self._inflater is not None and self._inflater.eof):
            self._inflater = None
        return rest

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        assert self._deflate is not None
        if self._inflater is None:
            self._inflater = zlib.decompressobj(-self._deflate.client_bits)
        if self._inflater.eof:  # a final block: what follows until the end of the message is padding
            return b""
        try:
            out: bytes = self._inflater.decompress(data, self._limit - self._size + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._size += len(out)
        return CloseReason.MESSAGE_TOO_BIG if self._size > self._limit else out

    # -- what goes out --------------------------------------------------------------------------------------------

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        """Compress a message where it is worth it; every message goes out in one frame."""
        deflate = self._deflate
        if deflate is None or opcode.iscontrol() or len(data) < WORTH_COMPRESSING:
            return rsv, data
        if self._deflater is None:
            self._deflater = zlib.compressobj(
                zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -deflate.server_bits, _MEMORY_LEVEL
            )
        out = self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        if deflate.server_no_context_takeover:
            self._deflater = None
        return RsvBits(True, rsv.rsv2, rsv.rsv3), out[: -len(_TAIL)]
