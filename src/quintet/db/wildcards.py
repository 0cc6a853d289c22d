"""`contains`, `startswith` and `endswith` look for a text as it was given: `%` and `_` in it stand for themselves.

SQLAlchemy would take them for wildcards of LIKE, unless `autoescape=True` is written, which no parameter of a compiled
query can have. Patterns are what `like` and `ilike` take. On SQLite, whose LIKE knows no case in ASCII, they are GLOB.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BinaryExpression, BindParameter
from sqlalchemy.types import TypeDecorator, TypeEngine

from quintet.db.queries.parameter import ParameterBind

Escapes: TypeAlias = tuple[tuple[str, str], ...]
#: What stands in front of a character that is no wildcard in LIKE: the one that SQLAlchemy's `autoescape` takes.
ESCAPE = "/"
#: What stands for a character that would be a wildcard; those that stand in others come first.
LIKE = ((ESCAPE, f"{ESCAPE}{ESCAPE}"), ("%", f"{ESCAPE}%"), ("_", f"{ESCAPE}_"))
GLOB = (("[", "[[]"), ("*", "[*]"), ("?", "[?]"))
_VERBS = ("contains", "startswith", "endswith")
#: Any text, in GLOB.
_STAR = sa.literal_column("'*'", sa.String())


def match_literally(dialect: Dialect) -> None:
    """Let a dialect escape the texts that these operators look for, unless the statement has an `escape` of its own."""
    compiler = dialect.statement_compiler
    methods: dict[str, Any] = {}
    for no in ("", "not_"):
        for verb in _VERBS:
            name, insensitive = f"visit_{no}{verb}_op_binary", f"visit_{no}i{verb}_op_binary"
            methods[insensitive] = _like(compiler, insensitive)
            methods[name] = _glob(compiler, name, verb, bool(no)) if dialect.name == "sqlite" else _like(compiler, name)
    setattr(dialect, "statement_compiler", type(compiler.__name__, (compiler,), methods))  # noqa: B010 - of this dialect alone


def _like(compiler: type[SQLCompiler], name: str) -> Any:
    visit: Any = getattr(compiler, name)

    def visit_literally(self: SQLCompiler, binary: BinaryExpression[Any], operator: Any, **options: Any) -> str:
        if binary.modifiers.get("escape") is None:
            binary = binary._clone()  # pyright: ignore[reportPrivateUsage]
            binary.right = _escaped(binary.right, LIKE)
            binary.modifiers = {**binary.modifiers, "escape": ESCAPE}
        return visit(self, binary, operator, **options)

    return visit_literally


def _glob(compiler: type[SQLCompiler], name: str, verb: str, is_not: bool) -> Any:
    visit: Any = getattr(compiler, name)

    def visit_literally(self: SQLCompiler, binary: BinaryExpression[Any], operator: Any, **options: Any) -> str:
        if binary.modifiers.get("escape") is not None:
            return visit(self, binary, operator, **options)
        pattern: Any = _escaped(binary.right, GLOB)
        if verb != "startswith":
            pattern = _STAR.concat(pattern)
        if verb != "endswith":
            pattern = pattern.concat(_STAR)
        text, wanted = self.process(binary.left, **options), self.process(pattern, **options)
        return f"{text} {'NOT ' if is_not else ''}GLOB {wanted}"

    return visit_literally


def _escaped(text: Any, escapes: Escapes) -> Any:
    """Return what is looked for, escaped: a value before it is sent, an expression by the database.

    A `bindparam` with a name of its own is an expression: the same value may stand elsewhere in the statement as it is.
    """
    if issubclass(type(text), ParameterBind) or (issubclass(type(text), BindParameter) and text.unique):
        kind = text.type if not text.type._isnull else sa.String()
        return text._with_binary_element_type(EscapedText(kind, escapes))
    for character, escaped in escapes:
        text = sa.func.replace(
            text, sa.literal_column(f"'{character}'"), sa.literal_column(f"'{escaped}'"), type_=sa.String()
        )
    return text


class EscapedText(TypeDecorator[str]):
    """A value of another type, without wildcards where it is a text."""

    impl = sa.String
    cache_ok = True

    def __init__(self, kind: TypeEngine[Any], escapes: Escapes) -> None:
        super().__init__()
        #: The type of the value.
        self.kind = kind
        #: What stands for its wildcards.
        self.escapes = escapes

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose what the other type is."""
        return self.kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Escape a text."""
        if isinstance(value, str):
            for character, escaped in self.escapes:
                value = value.replace(character, escaped)
        return value
