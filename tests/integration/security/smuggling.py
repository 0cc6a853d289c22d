"""Requests that two parsers may read differently, each with a marker in its targets.

In a case `first` is the request that anybody sees. `smuggled` must never be served by this server when it reads the
bytes directly; `second` is an honest request behind it, which may be served or not.
"""

# ruff: noqa: E501 - tables of cases
from __future__ import annotations

from collections.abc import Iterable

import msgspec

#: What stands behind a message whose end is in question.
SMUGGLED = b"GET /m/{case}/smuggled HTTP/1.1\r\nHost: example.com\r\nX: "
CHUNKED = "Transfer-Encoding: chunked"


def request(
    *lines: str | bytes, method: str = "POST", target: str = "/m/{case}/first", version: str = "1.1", host: bool = True
) -> bytes:
    """Return a head; the lines are written as they are."""
    head = [f"{method} {target} HTTP/{version}".encode(), *([b"Host: example.com"] if host else [])]
    head += [line.encode("latin-1") if isinstance(line, str) else line for line in lines]
    return b"\r\n".join([*head, b"", b""])


def _lengths() -> Iterable[tuple[str, bytes]]:
    """Content-Length in other spellings; the body is a request if the length counts as zero."""
    size = len(SMUGGLED)
    spellings = {
        "plus": f"+{size}", "minus": f"-{size}", "zero-first": f"0{size}", "list": f"{size}, {size}", "two": f"0, {size}",
        "hexadecimal": hex(size), "decimal-point": f"{size}.0", "exponent": f"{size}e0", "space-inside": f"{size // 10} {size % 10}",
        "tab-before": f"\t{size}", "underscore": f"{size // 10}_{size % 10}", "huge": str((1 << 64) + size), "huge-32": str((1 << 32) + size),
        "empty": "", "letters": f"{size}abc", "quoted": f'"{size}"', "vertical-tab": f"\x0b{size}", "no-break-space": f"\xa0{size}",
    }  # fmt: skip
    for name, value in spellings.items():
        yield f"length-{name}", request(f"Content-Length: {value}") + SMUGGLED
    yield "length-twice-equal", request(f"Content-Length: {size}", f"Content-Length: {size}") + SMUGGLED
    yield "length-twice", request("Content-Length: 0", f"Content-Length: {size}") + SMUGGLED
    yield "length-twice-other-way", request(f"Content-Length: {size}", "Content-Length: 0") + SMUGGLED
    yield "length-space-before-colon", request(f"Content-Length : {size}") + SMUGGLED
    yield "length-underscore-name", request(f"Content_Length: {size}") + SMUGGLED.replace(b"smuggled", b"second")
    yield "length-folded", request("Content-Length:", f" {size}") + SMUGGLED
    yield "length-behind-bare-cr", request(f"X: a\rContent-Length: {size}") + SMUGGLED
    yield "length-behind-bare-lf", request(f"X: a\nContent-Length: {size}") + SMUGGLED
    yield "length-behind-nul", request(f"X: a\0Content-Length: {size}") + SMUGGLED
    yield "length-first-line-folded", request(f" Content-Length: {size}") + SMUGGLED
    yield "length-on-get", request(f"Content-Length: {size}", method="GET") + SMUGGLED
    yield "length-connection-option", request(f"Content-Length: {size}", "Connection: Content-Length") + SMUGGLED


def _codings() -> Iterable[tuple[str, bytes]]:
    """Transfer-Encoding in other spellings, with a length that says something else."""
    body = b"0\r\n\r\n" + SMUGGLED
    length = f"Content-Length: {len(body)}"
    spellings = {
        "plain": "Transfer-Encoding: chunked", "upper": "TRANSFER-ENCODING: CHUNKED", "unknown": "Transfer-Encoding: xchunked",
        "list": "Transfer-Encoding: identity, chunked", "list-back": "Transfer-Encoding: chunked, identity",
        "gzip": "Transfer-Encoding: gzip, chunked", "twice-in-one": "Transfer-Encoding: chunked, chunked",
        "tab": "Transfer-Encoding:\tchunked", "vertical-tab": "Transfer-Encoding: \x0bchunked", "space-colon": "Transfer-Encoding : chunked",
        "leading-space": " Transfer-Encoding: chunked", "quoted": 'Transfer-Encoding: "chunked"', "parameter": "Transfer-Encoding: chunked;q=1",
        "folded": "Transfer-Encoding:\r\n chunked", "bare-cr": "X: a\rTransfer-Encoding: chunked", "bare-lf": "X: a\nTransfer-Encoding: chunked",
        "nul": "Transfer-Encoding: chunked\0", "underscore": "Transfer_Encoding: chunked", "comma-first": "Transfer-Encoding: , chunked",
        "no-colon": "Transfer-Encoding chunked", "x-before": "X: x\r\r\nTransfer-Encoding: chunked", "high-byte": "Transfer-Encoding: chunked\xff",
        "cow": "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    }  # fmt: skip
    for name, line in spellings.items():
        yield f"coding-{name}", request(length, line) + body
    yield "coding-alone-unknown", request("Transfer-Encoding: xchunked") + body
    yield "coding-before-length", request(CHUNKED, length) + body
    yield "coding-in-1.0", request(CHUNKED, length, version="1.0") + body
    yield "coding-in-1.0-kept", request(CHUNKED, "Connection: keep-alive", version="1.0") + body
    yield "coding-connection-option", request(length, CHUNKED, "Connection: Transfer-Encoding") + body


def _chunks() -> Iterable[tuple[str, bytes]]:
    """Chunked bodies whose end is in question."""
    last = b"0\r\n\r\n"
    bodies = {
        "hexadecimal-prefix": b"0x3\r\nabc\r\n" + last, "plus": b"+3\r\nabc\r\n" + last, "overflow": b"f" * 16 + b"3\r\nabc\r\n" + last,
        "bare-lf-size": b"3\nabc\r\n" + last, "bare-lf-data": b"3\r\nabc\n" + last, "bare-cr": b"3\r\nabc\r" + last,
        "no-end": b"3\r\nabc" + last, "space": b"3 \r\nabc\r\n" + last, "leading-space": b" 3\r\nabc\r\n" + last, "minus": b"-3\r\nabc\r\n" + last,
        "extension-lf": b"3;a=b\nX\r\nabc\r\n" + last, "extension-cr": b"3;a\rb\r\nabc\r\n" + last, "extension-quoted": b'3;a="\r\n"\r\nabc\r\n' + last,
        "trailer-length": b"3\r\nabc\r\n0\r\nContent-Length: 50\r\n\r\n", "trailer-bad": b"3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        "trailer-lf": b"3\r\nabc\r\n0\r\nX: y\n\n", "end-lf": b"3\r\nabc\r\n0\n\n", "end-cr": b"3\r\nabc\r\n0\r\r\n\r\n", "zeros": b"3\r\nabc\r\n000\r\n\r\n",
        "size-empty": b"\r\nabc\r\n" + last,
    }  # fmt: skip
    harmless = ("trailer-length", "zeros")  # the message ends here, and what follows is a request of its own
    for name, body in bodies.items():
        rest = SMUGGLED.replace(b"smuggled", b"second") if name in harmless else SMUGGLED
        yield f"chunk-{name}", request(CHUNKED) + body + rest


def _others() -> Iterable[tuple[str, bytes]]:
    size = len(SMUGGLED)
    second = SMUGGLED.replace(b"smuggled", b"second")
    yield "line-lf", b"GET /m/{case}/first HTTP/1.1\nHost: example.com\n\n" + SMUGGLED
    yield "line-space", b"GET /m/{case}/first HTTP/1.1 \r\nHost: example.com\r\n\r\n" + SMUGGLED
    yield "version-1.2", request(f"Content-Length: {size}", version="1.2") + SMUGGLED
    yield "version-0.9", b"GET /m/{case}/first\r\n" + SMUGGLED
    yield "hosts", request("Host: evil.example", method="GET") + SMUGGLED
    yield "absolute", request(method="GET", target="http://evil.example/m/{case}/first") + SMUGGLED
    yield "expect", request(f"Content-Length: {size}", "Expect: 100-continue") + SMUGGLED
    yield (
        "upgrade",
        request("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk", method="GET")
        + SMUGGLED,
    )
    yield (
        "websocket",
        request("Upgrade: websocket", "Connection: upgrade", f"Content-Length: {size}", method="GET") + SMUGGLED,
    )
    yield "head-body", request(f"Content-Length: {size}", method="HEAD") + SMUGGLED
    yield "connect", request(method="CONNECT", target="example.com:80") + SMUGGLED
    yield "honest", request("Content-Length: 3") + b"abc" + second
    yield "honest-chunked", request(CHUNKED) + b"3\r\nabc\r\n0\r\n\r\n" + second
    yield "empty-lines", b"\r\n\r\n" + request("Content-Length: 0") + b"\r\n" + second


#: A request that ends the connection, behind every case.
_LAST = b"\r\n\r\nGET /m/{case}/last HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"


class Case(msgspec.Struct, frozen=True):
    """One stream of bytes; its targets begin with `/m/` and its code."""

    name: str
    code: str
    data: bytes


def cases() -> list[Case]:
    """Return every case with its marker in place."""
    found: list[Case] = []
    for group in (_lengths(), _codings(), _chunks(), _others()):
        for name, data in group:
            code = f"c{len(found):05}"  # as long as what it takes the place of: bodies have their length already
            found.append(Case(name, code, (data + _LAST).replace(b"{case}", code.encode())))
    return found
