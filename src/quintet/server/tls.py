"""TLS of one connection: a transport between a TCP transport and the protocol that speaks HTTP.

It is made of the standard library's `ssl.SSLObject` over memory, and knows no certificates; `server.certificates` does.
Why not the loop's own: docs/decisions/0012.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quintet.server.certificates import Certificates

logger = logging.getLogger("quintet.server")

#: The content of one record; OpenSSL hands out no more at once.
_RECORD = 16384
#: The first byte of a handshake.
_HANDSHAKE = 0x16
_PLAIN_TEXT = b"This port speaks HTTPS: write https:// in front of the address.\n"
_PLAIN_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_PLAIN_TEXT), _PLAIN_TEXT)
)


class TLSConnection(asyncio.Transport, asyncio.Protocol):
    """One connection: a protocol to the transport below it, a transport to the protocol above it.

    The protocol above is made when the handshake is complete, so that a client that does not come so far costs little.

    Args:
        certificates: where the context of a new connection comes from.
        make_protocol: makes the protocol above.
    """

    __slots__ = (
        "_app", "_begun", "_certificates", "_closing", "_ended", "_heard_end", "_incoming",
        "_make_protocol", "_object", "_outgoing", "_raw", "_reading", "_timer",
    )  # fmt: skip

    _raw: asyncio.Transport

    def __init__(self, certificates: Certificates, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._certificates = certificates
        self._make_protocol = make_protocol
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = certificates.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._app: asyncio.Protocol | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = False
        self._reading = True
        self._closing = False
        #: The client has sent its end, by the message that TLS has for it or by closing.
        self._heard_end = False
        #: Our side has sent its end: what still comes in is thrown away.
        self._ended = False

    # -- what the transport below calls ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's first message."""
        self._raw = transport  # pyright: ignore[reportAttributeAccessIssue] - uvloop's is no subclass
        self._certificates.handshakes.add(self)
        seconds = self._certificates.handshake_timeout
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    def data_received(self, data: bytes) -> None:
        """Decrypt what has come in."""
        if self._ended or self._closing:
            return
        self._incoming.write(data)
        if self._app is None and not self._shake_hands(data):
            return
        if self._reading:
            self._read()

    def eof_received(self) -> bool:
        """The client's side is closed, with or without the message that says so."""
        if self._ended or self._closing or self._app is None:
            return False
        self._incoming.write_eof()
        self._read()
        return not self._closing

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has gone."""
        self._closing = True
        self._end_handshake()
        app, self._app = self._app, None
        if app is not None:
            app.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._app is not None:
            self._app.resume_writing()

    # -- the handshake --------------------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> bool:
        """Go on with the handshake; tell whether it is complete."""
        if not self._begun:
            self._begun = True
            if data[0] != _HANDSHAKE:
                self._refuse_plain(data)
                return False
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except (ssl.SSLError, ssl.CertificateError) as exc:
            logger.debug("a TLS handshake with %s failed: %s", self.get_extra_info("peername"), exc)
            self._flush()  # the alert that says why
            self._close_raw()
            return False
        self._flush()
        self._end_handshake()
        self._app = self._make_protocol()
        self._app.connection_made(self)
        return True

    def _refuse_plain(self, data: bytes) -> None:
        """Tell a client that speaks plain HTTP what it does wrong."""
        if data[:1].isalpha():
            self._raw.write(_PLAIN_ANSWER)
        self._close_raw()

    def _end_handshake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._certificates.handshakes.discard(self)

    # -- what comes in --------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Hand over what is decrypted, as long as the protocol above reads."""
        incoming, read = self._incoming, self._object.read
        try:
            while self._reading and not self._closing and not self._ended and self._app is not None:
                data = read(_RECORD)
                if not data:
                    self._end()
                    break
                self._app.data_received(data)
                # PERF: without this an exception would end every loop.
                if not incoming.pending and not incoming.eof:
                    break
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self._end()
        except ssl.SSLError as exc:
            logger.debug("TLS with %s broke: %s", self.get_extra_info("peername"), exc)
            self._flush()
            self.abort()
        self._flush()  # the answers to what TLS itself asks

    def _end(self) -> None:
        """The client sends nothing more."""
        if self._app is not None and not self._heard_end:
            self._heard_end = True
            if not self._app.eof_received():
                self.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    # -- what the protocol above calls ----------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt and send; after the end of our side nothing is sent."""
        if self._ended or self._closing or not data:
            return
        write = self._object.write
        try:
            if len(data) <= _RECORD:
                write(data)
            else:
                view = memoryview(data).cast("B")
                while view:
                    view = view[write(view) :]
        except ssl.SSLError as exc:
            logger.debug("TLS with %s broke: %s", self.get_extra_info("peername"), exc)
            self.abort()
            return
        self._raw.write(self._outgoing.read())

    def pause_reading(self) -> None:
        """Hand over nothing more for now."""
        if self._reading and not self._closing:
            self._reading = False
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Hand over again what comes in."""
        if not self._reading and not self._closing:
            self._reading = True
            self._raw.resume_reading()
            if self._app is not None:  # what has come in meanwhile lies here
                asyncio.get_running_loop().call_soon(self._read)

    def is_reading(self) -> bool:
        """Tell whether what comes in is handed over."""
        return self._reading and not self._closing

    def can_write_eof(self) -> bool:
        """Our side can be closed alone."""
        return True

    def write_eof(self) -> None:
        """Close our side. What still comes in is thrown away until the client closes too."""
        if not self._ended and not self._closing:
            self._say_end()
            self._ended = True
            self._raw.write_eof()

    def close(self) -> None:
        """Close the connection when what was written is sent."""
        if not self._closing:
            if not self._ended:
                self._say_end()
            self._close_raw()

    def _close_raw(self) -> None:
        self._closing = True
        self._end_handshake()
        self._raw.close()

    def _say_end(self) -> None:
        """Send the message that ends our side; the client's need not be waited for (RFC 8446, section 6.1)."""
        try:
            self._object.unwrap()
        except (ssl.SSLError, ValueError):
            pass
        self._flush()

    def abort(self) -> None:
        """Cut the connection."""
        self._closing = True
        self._end_handshake()
        self._raw.abort()

    def is_closing(self) -> bool:
        """Tell whether the connection is closed, or about to be."""
        return self._closing or self._raw.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection: `peername`, `ssl_object`, `peercert`, `cipher`, …"""
        if name == "sslcontext":
            return self._object.context
        if name == "ssl_object":
            return self._object
        if name == "peercert":
            return self._object.getpeercert() if self._app is not None else default
        if name == "cipher":
            return self._object.cipher()
        return self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol go on."""
        self._app = protocol  # pyright: ignore[reportAttributeAccessIssue]

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol above."""
        assert self._app is not None
        return self._app

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that the client has not taken yet."""
        return self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the bounds between which the protocol above waits."""
        return self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the bounds between which the protocol above waits."""
        self._raw.set_write_buffer_limits(high, low)
