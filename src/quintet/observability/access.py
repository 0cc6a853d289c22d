"""The access log: one line for each answered request, in the formats that people and tools read.

On the event loop a request costs one tuple; `AccessLog` makes it, and the thread of a `LogWriter` the line. What the
client chose is escaped, shortened and masked in every format.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import msgspec

from quintet._utils import escape_control, mask
from quintet.http.request import NO_METHOD, id_prefix, next_number, quote_path
from quintet.observability.logging import encode_line

if TYPE_CHECKING:
    from quintet.http.request import Request
    from quintet.observability.writer import LogWriter
    from quintet.protocols.dispatcher import AccessLog

logger = logging.getLogger("quintet.access")

#: `json` for machines, `text` for people, `combined` and `common` as Apache writes them.
AccessFormat: TypeAlias = Literal["json", "text", "combined", "common"]

#: A path that is quoted as it is.
_PLAIN = re.compile(r"[A-Za-z0-9/._~@:-]*")
_MAX_TARGET = 2_000
_MAX_FIELD = 300
#: While fewer lines wait, what they tell of is whole.
_FEW = 512


class Access(NamedTuple):
    """What is known of an answered request. It holds no request: bodies and state can go."""

    #: When the answer was written, in seconds since 1970.
    now: float
    #: The address of the client, or of the last proxy that is not trusted; empty on a Unix socket.
    client: str
    method: str
    #: The decoded path.
    path: str
    #: The query as it was sent.
    query: bytes
    status: int
    #: The bytes of the answer's body.
    size: int | None
    #: From the request's head to the answer's end.
    seconds: float
    #: The request's number in this process; 0 for none.
    number: int
    #: The header fields, or what is shown of them.
    fields: Mapping[bytes, bytes]
    #: The version of HTTP, for the formats that tell it.
    version: str = "1.1"

    @property
    def target(self) -> str:
        """The path with its query, shortened and masked."""
        if self.method == NO_METHOD:
            return "-"
        target = self.path if _PLAIN.fullmatch(self.path) else quote_path(self.path)
        if self.query:
            target += f"?{self.query.decode('latin-1')}"
        if len(target) > _MAX_TARGET:
            target = f"{target[:_MAX_TARGET]}…"
        return mask(target) if "?" in target else target

    @property
    def request_id(self) -> str:
        """The id that the answer carries."""
        return f"{id_prefix()}{self.number:x}"


class _Line(msgspec.Struct, omit_defaults=True):
    """The line of a request in JSON."""

    time: str
    level: str
    logger: str
    client: str
    method: str
    target: str
    status: int
    size: int
    ms: float
    request_id: str = ""
    user_agent: str = ""
    referrer: str = ""


def json_line(entry: Access) -> str:
    """Return a request as a JSON object."""
    now, get = entry.now, entry.fields.get
    agent, referrer = get(b"user-agent"), get(b"referer")
    line = _Line(
        f"{_iso_second(int(now))}.{int(now * 1000) % 1000:03}Z",
        "info",
        "quintet.access",
        entry.client or "-",
        entry.method,
        entry.target,
        entry.status,
        entry.size or 0,
        round(entry.seconds * 1000, 2),
        entry.request_id if entry.number else "",
        _field(agent) if agent else "",
        _field(referrer) if referrer else "",
    )
    return encode_line(line) + "\n"


def text_line(entry: Access) -> str:
    """Return a request as a line for people."""
    text = (
        f"{_clock(int(entry.now))} {entry.client or '-'} {entry.method} {entry.target} {entry.status} "
        f"{entry.size or 0} B {entry.seconds * 1000:.2f} ms"
    )
    if entry.number:
        text += f" [{entry.request_id}]"
    return (text if text.isprintable() else escape_control(text)) + "\n"


def common_line(entry: Access) -> str:
    """Return a request in Apache's `common` format: `%h %l %u %t "%r" %>s %b`."""
    return _common(entry) + "\n"


def combined_line(entry: Access) -> str:
    """Return a request in Apache's `combined` format: `common` with the referrer and the user agent."""
    referrer, agent = (_apache(_field(entry.fields.get(name, b""))) or "-" for name in (b"referer", b"user-agent"))
    return f'{_common(entry)} "{referrer}" "{agent}"\n'


_FORMATS: dict[AccessFormat, Callable[[Access], str]] = {
    "json": json_line,
    "text": text_line,
    "combined": combined_line,
    "common": common_line,
}


def _common(entry: Access) -> str:
    # %t is when the request came; a user's name, %u, belongs to HTTP authentication that the server itself does.
    began = _apache_second(int(entry.now - entry.seconds))
    request = _apache(f"{entry.method} {entry.target} HTTP/{entry.version}") if entry.method != NO_METHOD else "-"
    return f'{_apache(entry.client or "-")} - - [{began}] "{request}" {entry.status} {entry.size or "-"}'


def _field(value: bytes) -> str:
    text = value[:_MAX_FIELD].decode("latin-1")
    return mask(text) if "=" in text or ":" in text else text


def _apache(text: str) -> str:
    """Escape as Apache does: quotes and backslashes by a backslash, what is not printable ASCII as `\\xhh`."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(
        c if " " <= c <= "~" else "".join(f"\\x{byte:02x}" for byte in _bytes_of(c)) for c in text
    )  # fmt: skip


def _bytes_of(character: str) -> bytes:
    try:
        return character.encode("latin-1")  # fields came as bytes, which Python reads as Latin-1
    except UnicodeEncodeError:
        return character.encode("utf-8", "surrogatepass")


class _Second:
    """Text made of a moment, kept for the second it is valid."""

    __slots__ = ("_known", "_make")

    def __init__(self, make: Callable[[int], str]) -> None:
        self._make = make
        self._known = (-1, "")

    def __call__(self, second: int) -> str:
        known = self._known
        if known[0] != second:
            known = self._known = (second, self._make(second))
        return known[1]


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _apache_time(second: int) -> str:
    local = time.localtime(second)  # strftime's %b would follow the locale
    return time.strftime(f"%d/{_MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z", local)


_clock = _Second(lambda second: time.strftime("%H:%M:%S", time.localtime(second)))
_iso_second = _Second(lambda second: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
_apache_second = _Second(_apache_time)


def build_access_log(
    writer: LogWriter,
    *,
    format: AccessFormat = "json",
    sample: float = 1.0,
    leave_out: Collection[str] = (),
    rng: Callable[[], float] = random.random,
) -> AccessLog:
    """Return the function that a dispatcher calls for each answered request.

    Args:
        writer: takes the lines.
        format: what they look like.
        sample: the share of requests that get one. Answers of 500 and above always do.
        leave_out: paths of requests that get none when all is well, such as those of health checks.
        rng: returns a number of [0, 1).
    """
    line = _FORMATS[format]
    tells_version = format in ("combined", "common")

    def write(item: tuple[Any, ...]) -> str:
        return line(Access(*item[1:]))

    queue, capacity, now = writer.queue, writer.capacity, time.time
    quiet = frozenset(leave_out)
    chooses = sample < 1 or bool(quiet)

    # PERF: one function, about 0.3 µs, which keeps no request alive. While few lines wait it hands over the header
    # fields as they are; when the output lags, and they would stay, only what is shown of them.
    def log(request: Request, status: int, size: int | None, seconds: float) -> None:
        if chooses and status < 500 and ((sample < 1 and rng() >= sample) or (request.path in quiet and status < 400)):
            return
        connection, waiting = request.connection, len(queue)
        path, query, fields = request.path, request.raw_query, request.fields
        if waiting >= _FEW:
            if waiting >= capacity:
                writer.refused += 1
                return
            path, query, fields = _shorten(path, query, fields)
        if not request.number:
            request.number = next_number()
        queue.append(
            (
                write,
                now(),
                connection.peer if connection.proxies is None else request.client,
                request.method,
                path,
                query,
                status,
                size,
                seconds,
                request.number,
                fields,
                connection.http_version() if tells_version else "",
            )
        )
        if writer.is_idle:
            writer.wake()

    return log


def _shorten(path: str, query: bytes, fields: dict[bytes, bytes]) -> tuple[str, bytes, dict[bytes, bytes]]:
    shown = {name: fields[name][:_MAX_FIELD] for name in (b"user-agent", b"referer") if name in fields}
    return path[: _MAX_TARGET + 1], query[: _MAX_TARGET + 1], shown


def dropped_elsewhere(count: int) -> str:
    """Tell of dropped lines as a warning: a file in a format of Apache's holds requests and nothing else."""
    logger.warning("%d lines of the access log were dropped: its output did not take them", count)
    return ""
