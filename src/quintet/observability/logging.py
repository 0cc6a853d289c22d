"""Structured logging with the standard library: JSON lines for machines, readable lines for people.

One record is one line, or a line with an indented block below it; hostile text cannot make more of them.
Secrets are masked, and a closed or full output never breaks the app.
"""

from __future__ import annotations

import json as json_module
import logging
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO, cast

import msgspec

from quintet._utils import MASK, escape_control, escape_json_control, is_secret_name, is_secret_value, mask

if TYPE_CHECKING:
    from quintet.observability.writer import LogWriter

#: The fields that every record has; all others were given by `extra=`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request_id"}
_MAX_TEXT = 20_000
_MAX_TARGET = 2_000
_COLORS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


def configure_logging(
    *,
    json: bool | None = None,
    level: int | str = "INFO",
    request_id: Callable[[], str | None] | None = None,
    stream: TextIO | None = None,
    writer: LogWriter | None = None,
    repeat: int = 10,
) -> logging.Handler:
    """Send all records to one output, and return its handler.

    Calling it again replaces what the call before set up; handlers of others stay.

    Args:
        json: JSON lines or readable ones; when None, JSON unless the output is a terminal.
        level: the least important level that is shown.
        request_id: returns the id of the current request, if there is one; each record carries it.
        stream: the output, standard error when absent.
        writer: takes the lines to the output, so that nobody who logs waits for it; absent, each is written at once.
        repeat: how many warnings of one text are shown in a minute; 0 for all of them.
    """
    output = sys.stderr if stream is None else stream
    terminal = _is_terminal(output)
    handler = SafeHandler(output) if writer is None else QueuedHandler(output, writer)
    if repeat:
        handler.addFilter(WarningLimit(RepeatLimiter(repeat)))
    handler.addFilter(RequestIdFilter(request_id))
    handler.setFormatter(JSONFormatter() if (not terminal if json is None else json) else LineFormatter(color=terminal))
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, SafeHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper() if isinstance(level, str) else level)
    return handler


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError, AttributeError):  # closed, or not quite a file
        return False


class SafeHandler(logging.StreamHandler[TextIO]):
    """Write records to a stream; one that cannot be written is dropped."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        write_safely(self.stream, self.line(record))

    def line(self, record: logging.LogRecord) -> str:
        """Return a record as it is written, with its end."""
        try:
            return self.format(record) + self.terminator
        except Exception:  # noqa: BLE001  # whatever an argument's own method raises
            return f"{record.levelname} {record.name}: a record from line {record.lineno} cannot be shown\n"


class QueuedHandler(SafeHandler):
    """Hand records to a writer, as text: what their arguments and tracebacks hold is read here and now."""

    def __init__(self, stream: TextIO, writer: LogWriter) -> None:
        super().__init__(stream)
        self.writer = writer
        writer.notice = self._notice

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record over."""
        self.writer.put(self.line(record), reserve=True)

    def flush(self) -> None:
        """Wait a moment until what was logged is written."""
        self.writer.flush(1.0)

    def _notice(self, count: int) -> str:
        fields = {"name": "quintet.log", "levelno": logging.WARNING, "levelname": "WARNING", "dropped": count}
        return self.line(logging.makeLogRecord({**fields, "msg": DROPPED, "args": (count,), "pathname": __file__}))


#: What tells that lines are missing.
DROPPED = "%d log lines were dropped: the output did not take them"


def write_safely(stream: TextIO, text: str) -> None:
    """Write and flush; where the stream is closed, full or gone nothing happens."""
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()
    except (OSError, ValueError, AttributeError):
        pass


class RequestIdFilter(logging.Filter):
    """Give each record the id of the current request as `request_id`."""

    def __init__(self, provider: Callable[[], str | None] | None) -> None:
        super().__init__()
        self._provider = provider

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, with its request id."""
        if self._provider is not None and getattr(record, "request_id", None) is None:
            record.request_id = self._provider()
        return True


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then what is known beyond that."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        out: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(_message(record)),
        }
        if request_id := getattr(record, "request_id", None):
            out["request_id"] = str(request_id)[:200]
        for name, value in _extras(record):
            out.setdefault(name, value)
        if record.levelno >= logging.WARNING:
            out["where"] = f"{record.pathname}:{record.lineno}"
        if details := _details(self, record):
            out["details"] = details
        return encode_line(out)


def encode_line(data: object) -> str:
    """Return data as JSON on one line."""
    try:
        line = msgspec.json.encode(data)
    except (UnicodeEncodeError, OverflowError):  # lone surrogates and integers over 64 bits
        return json_module.dumps(msgspec.to_builtins(data))
    if line.isascii() and b"\x7f" not in line:  # JSON has escaped what is below a space
        return line.decode()
    # JSON needs no escape for U+2028 and its like, but readers of lines do.
    return escape_json_control(line.decode())


class LineFormatter(logging.Formatter):
    """A line for people: time, level, message, request id, extras; a traceback is indented below."""

    def __init__(self, *, color: bool = False) -> None:
        super().__init__()
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with its traceback."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname:<8}"
        if self._color:
            clock = f"\x1b[2m{clock}\x1b[0m"
            level = f"\x1b[{_COLORS.get(record.levelname, '0')}m{level}\x1b[0m"
        line = f"{clock} {level} {escape_control(record.name)}: {escape_control(mask(_message(record)))}"
        if request_id := getattr(record, "request_id", None):
            line += f" [{escape_control(str(request_id)[:200])}]"
        for name, value in _extras(record):
            line += f" {escape_control(name)}={escape_control(value if isinstance(value, str) else _show(value))}"
        for text in _details(self, record).splitlines():
            # Indented, so that a message with line ends in it cannot pass for a record.
            line += f"\n    {escape_control(text)}"
        return line


def _message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001  # a wrong number of arguments must not lose the record
        text = f"{record.msg!s} (its arguments do not fit: {type(error).__name__})"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]} … ({len(text)} characters)"


def _extras(record: logging.LogRecord) -> list[tuple[str, Any]]:
    return [
        (name, MASK if is_secret_name(name) else _clean(value))
        for name, value in vars(record).items()
        if name not in _STANDARD and not name.startswith("_")
    ]


def _clean(value: object, depth: int = 4) -> Any:
    """Return a value as data for JSON, without its secrets."""
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if is_secret_value(value):
        return MASK
    if isinstance(value, Mapping) and depth:
        items: Mapping[object, object] = value  # pyright: ignore[reportUnknownVariableType]
        return {str(k): MASK if is_secret_name(str(k)) else _clean(v, depth - 1) for k, v in items.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and depth:
        members: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return [_clean(member, depth - 1) for member in members[:100]]
    return _show(cast("object", value))


def _show(value: object) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception as error:  # noqa: BLE001  # whatever an object's own method raises
        return f"<str() raised {type(error).__name__}>"
    return mask(text[:_MAX_TEXT])


def _details(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return the traceback and the stack of a record."""
    parts: list[str] = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return mask("\n".join(parts)) if parts else ""


# Repeated warnings.


class RepeatLimiter:
    """Counts what repeats, so that a flood of bad requests is not a flood of lines.

    Of each key `limit` are let through in `period` seconds; the first one after a pause tells how many were not.
    """

    def __init__(
        self,
        limit: int = 5,
        period: float = 60.0,
        *,
        max_keys: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._period = period
        self._max_keys = max_keys
        self._clock = clock
        self._lock = Lock()
        self._windows: OrderedDict[Hashable, list[float]] = OrderedDict()

    def admit(self, key: Hashable) -> int | None:
        """Return None when this one is to be dropped, otherwise how many were dropped since the last one."""
        now = self._clock()
        with self._lock:
            # A window: its begin, how many were let through in it, how many were dropped.
            window = self._windows.get(key)
            if window is None:
                if len(self._windows) >= self._max_keys:
                    self._windows.popitem(last=False)
                self._windows[key] = [now, 1, 0]
                return 0
            if now - window[0] >= self._period:
                dropped = int(window[2])
                window[:] = [now, 1, 0]
                self._windows.move_to_end(key)
                return dropped
            if window[1] < self._limit:
                window[1] += 1
                return 0
            window[2] += 1
            return None


class RepeatFilter(logging.Filter):
    """Limits the records of one text, whatever its arguments; add it to a logger or a handler."""

    def __init__(self, limiter: RepeatLimiter | None = None) -> None:
        super().__init__()
        self._limiter = limiter or RepeatLimiter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is shown."""
        dropped = self._limiter.admit((record.name, record.levelno, self.text(record)[:200]))
        if dropped:
            record.msg = f"{record.msg} ({dropped} more like it were not shown)"
        return dropped is not None

    def text(self, record: logging.LogRecord) -> str:
        """Return what makes two records the same."""
        return str(record.msg)


class WarningLimit(RepeatFilter):
    """Limits warnings alone. Those of Quintet, which clients can cause, count as one whatever their arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is shown."""
        return record.levelno != logging.WARNING or super().filter(record)

    def text(self, record: logging.LogRecord) -> str:
        """Return what makes two warnings the same."""
        return str(record.msg) if record.name.startswith("quintet.") else _message(record)
