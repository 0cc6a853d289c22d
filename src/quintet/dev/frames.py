"""An exception as plain data: frames, source lines and variables, with secrets masked.

Chained exceptions and exception groups are followed; frames of Jinja2 templates keep the template's own line.
"""

from __future__ import annotations

import linecache
import os
import reprlib
import secrets
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType, ModuleType, TracebackType
from typing import Any, Literal, cast

from quintet._utils import MASK, is_secret_name, is_secret_value, mask, mask_source

_CONTEXT_LINES = 7
_MAX_FRAMES = 60
#: The frames shown of a very deep stack before those that are left out.
FIRST_FRAMES = 20
_MAX_VARIABLES = 80
_MAX_CHAIN = 12
_MAX_GROUP = 20
_MAX_REPR = 2_000
_MAX_MESSAGE = 10_000
_MAX_LINE = 500
_MAX_SCAN = 20_000

_PATHS = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_ROOTS = {str(Path(path).resolve()) for path in _PATHS} | _PATHS
_FRAMEWORK = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True)
class SourceLine:
    """One line of source around the place of an error."""

    number: int
    text: str
    #: Whether execution was here.
    current: bool = False


@dataclass(frozen=True)
class Variable:
    """A local variable as text."""

    name: str
    value: str
    type: str


@dataclass
class Frame:
    """One frame of a traceback."""

    id: str
    file: str
    line: int
    function: str
    #: Whose code it is: the app's, a template's, Quintet's, or a library's.
    kind: Literal["app", "template", "framework", "library"]
    lines: list[SourceLine]
    #: The columns of the failing expression on the current line, when known.
    columns: tuple[int, int] | None
    variables: list[Variable]
    locals: Mapping[str, Any] = field(repr=False)
    globals: Mapping[str, Any] = field(repr=False)

    @property
    def short_file(self) -> str:
        """The file, relative to the working directory or to the folder of the libraries."""
        if self.kind == "library":
            root = max((r for r in _ROOTS if self.file.startswith(r + os.sep)), key=len, default="")
            return self.file.removeprefix(root + os.sep) if root else self.file
        relative = os.path.relpath(self.file) if os.path.isabs(self.file) else self.file
        return self.file if relative.startswith("..") else relative

    @property
    def is_own(self) -> bool:
        """Whether the developer of the app wrote it."""
        return self.kind in {"app", "template"}

    @property
    def source(self) -> str:
        """The line where execution was."""
        return next((line.text.strip() for line in self.lines if line.current), "")


@dataclass
class Trace:
    """One exception of a chain."""

    type: str
    message: str
    notes: list[str]
    frames: list[Frame]
    #: The number of frames left out of a very deep stack, after the first `FIRST_FRAMES`.
    left_out: int = 0
    #: The exception before this one, and how it led here.
    previous: Trace | None = None
    relation: Literal["cause", "context"] | None = None
    #: The exceptions of a group.
    children: list[Trace] = field(default_factory=list["Trace"])

    def chain(self) -> list[Trace]:
        """Return the exceptions in the order they happened."""
        return [*(self.previous.chain() if self.previous else []), self]

    def walk(self) -> Iterator[Frame]:
        """Yield every frame, those of chained and grouped exceptions included."""
        for trace in self.chain():
            yield from trace.frames
            for child in trace.children:
                yield from child.walk()


def read_exception(error: BaseException) -> Trace:
    """Return an exception with its causes as plain data."""
    return _read(error, set(), _MAX_CHAIN)


def _read(error: BaseException, seen: set[int], depth: int) -> Trace:
    seen.add(id(error))
    stack = list(traceback.walk_tb(error.__traceback__))
    lasti = [tb.tb_lasti for tb in _tracebacks(error)]
    places = list(zip(stack, lasti, strict=True))
    left_out = max(0, len(places) - _MAX_FRAMES)
    if left_out:
        places = [*places[:FIRST_FRAMES], *places[FIRST_FRAMES + left_out :]]
    trace = Trace(
        type=_type_name(type(error)),
        message=mask(_text(error)),
        notes=[mask(str(note)) for note in getattr(error, "__notes__", ())],
        frames=[_read_frame(frame, line, at) for (frame, line), at in places],
        left_out=left_out,
    )
    _add_syntax_frame(trace, error)
    previous, relation = _previous(error)
    if previous is not None and id(previous) not in seen and depth:
        trace.previous, trace.relation = _read(previous, seen, depth - 1), relation
    if isinstance(error, BaseExceptionGroup) and depth:
        members: list[BaseException] = list(error.exceptions)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        trace.children = [_read(child, seen, depth - 1) for child in members[:_MAX_GROUP] if id(child) not in seen]
    return trace


def _tracebacks(error: BaseException) -> Iterator[TracebackType]:
    current = error.__traceback__
    while current is not None:
        yield current
        current = current.tb_next


def _previous(error: BaseException) -> tuple[BaseException | None, Literal["cause", "context"]]:
    if error.__cause__ is not None:
        return error.__cause__, "cause"
    return (None if error.__suppress_context__ else error.__context__), "context"


def _type_name(kind: type[BaseException]) -> str:
    return (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001  # whatever an exception's own method raises
        return f"<str() raised {type(failure).__name__}>"
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]} … ({len(text)} characters)"


def _read_frame(frame: FrameType, line: int, lasti: int) -> Frame:
    code = frame.f_code
    in_template = "__jinja_exception__" in frame.f_globals
    lines = _source_lines(code.co_filename, line, frame.f_globals)
    return Frame(
        id=secrets.token_hex(8),
        file=code.co_filename,
        line=line,
        function=code.co_name if in_template else code.co_qualname,
        kind="template" if in_template else _kind(code.co_filename),
        lines=lines,
        columns=None if in_template else _columns(frame, line, lasti),
        variables=_variables(frame.f_locals, in_template),
        locals=dict(frame.f_locals),
        globals=frame.f_globals,
    )


def _kind(file: str) -> Literal["app", "framework", "library"]:
    if file.startswith(("<frozen", "<console", "<debugger")):
        return "library"
    if file.startswith(_FRAMEWORK + os.sep):
        return "framework"
    return "library" if any(file.startswith(root + os.sep) for root in _ROOTS) else "app"


def _source_lines(file: str, line: int, module: Mapping[str, Any] | None = None) -> list[SourceLine]:
    linecache.checkcache(file)
    source = linecache.getlines(file, dict(module) if module is not None else None)
    begin = max(1, line - _CONTEXT_LINES)
    return [
        SourceLine(number, mask_source(text.rstrip("\r\n").expandtabs(4))[:_MAX_LINE], number == line)
        for number, text in enumerate(source[begin - 1 : line + _CONTEXT_LINES], begin)
    ]


def _columns(frame: FrameType, line: int, lasti: int) -> tuple[int, int] | None:
    position = next(islice(frame.f_code.co_positions(), lasti // 2, None), None)
    text = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).rstrip("\r\n")
    if position is None or position[0] != line or position[2] is None or position[3] is None or "\t" in text:
        return None
    if mask_source(text) != text:
        return None
    raw = text.encode()
    begin = len(raw[: position[2]].decode(errors="replace"))
    end = len(raw[: position[3]].decode(errors="replace")) if position[1] == line else len(text)
    return None if text[:begin].strip() == "" and end >= len(text) else (begin, end)


def _variables(values: Mapping[str, Any], in_template: bool) -> list[Variable]:
    shown = [
        (name, value)
        for name, value in values.items()
        if not (name.startswith("__") and name.endswith("__"))
        # A template's frame holds the globals of the environment too.
        and not (in_template and isinstance(value, (type, FunctionType, BuiltinFunctionType, MethodType)))
        and not isinstance(value, ModuleType)
    ]
    return [Variable(name, show(name, value), type(value).__name__) for name, value in shown[:_MAX_VARIABLES]]


def _add_syntax_frame(trace: Trace, error: BaseException) -> None:
    """Show the line that a syntax error is about, which no frame has reached."""
    file = getattr(error, "filename", None)
    line = getattr(error, "lineno", None)
    if not isinstance(file, str) or not isinstance(line, int):
        return
    if not isinstance(error, SyntaxError) and type(error).__name__ not in {
        "TemplateSyntaxError",
        "TemplateAssertionError",
    }:
        return
    if any(frame.file == file and frame.line == line for frame in trace.frames):
        return
    kind = "app" if isinstance(error, SyntaxError) else "template"
    lines = _source_lines(file, line)
    trace.frames.append(Frame(secrets.token_hex(8), file, line, "syntax", kind, lines, None, [], {}, {}))


def show(name: str, value: object) -> str:
    """Return a value as short text without its secrets; never raises."""
    if is_secret_value(value) or (is_secret_name(name) and not (value is None or isinstance(value, bool))):
        return MASK
    try:
        text = mask(_REPR.repr(value))
    except BaseException as failure:  # noqa: BLE001  # whatever an object's own method raises
        return f"<repr() raised {type(failure).__name__}>"
    return text if len(text) <= _MAX_REPR else f"{text[:_MAX_REPR]} …"


class _SafeRepr(reprlib.Repr):
    """Representations that are short and hide what is secret by its name or type."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = 30
        self.maxstring = self.maxother = 600
        self.maxlong = 100

    def repr1(self, x: Any, level: int) -> str:
        return repr(MASK) if is_secret_value(x) else super().repr1(x, level)

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if level <= 0:
            return "{…}" if x else "{}"
        pairs = [
            f"{self.repr1(key, level - 1)}: "
            + (repr(MASK) if is_secret_name(_name(key)) else self.repr1(value, level - 1))
            for key, value in islice(x.items(), self.maxdict)
        ]
        more = ["…"] if len(x) > self.maxdict else []
        return "{" + ", ".join(pairs + more) + "}"

    def repr_tuple(self, x: tuple[Any, ...], level: int) -> str:
        # A header as it is on the wire, or any other pair.
        if len(x) == 2 and isinstance(x[0], (str, bytes)) and is_secret_name(_name(x[0])):
            return f"({x[0]!r}, {MASK!r})"
        return super().repr_tuple(x, level)

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(mask(x[:_MAX_SCAN]), level)

    def repr_instance(self, x: Any, level: int) -> str:
        if isinstance(x, Mapping) and not isinstance(x, dict):
            try:
                return f"{type(x).__name__}({self.repr_dict(dict(x), level)})"  # pyright: ignore[reportUnknownArgumentType]
            except Exception:  # noqa: BLE001, S110  # not a mapping one can read; its own representation is next
                pass
        # Masked before it is cut, for a half of a secret would not be recognised.
        text = mask(repr(cast("object", x))[:_MAX_SCAN])
        return text if len(text) <= self.maxother else f"{text[: self.maxother]} …"


def _name(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else key if isinstance(key, str) else ""


_REPR = _SafeRepr()
