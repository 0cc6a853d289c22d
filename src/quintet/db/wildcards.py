"""`contains`, `startswith` and `endswith` look for a text as it was given: `%` and `_` in it stand for themselves.

SQLAlchemy would take them for wildcards of LIKE, unless `autoescape=True` is written, which no parameter of a compiled
query can have. Patterns are what `like` and `ilike` take.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BinaryExpression, BindParameter
from sqlalchemy.types import TypeDecorator, TypeEngine

#: What stands in front of a character that is no wildcard: the one that SQLAlchemy's `autoescape` takes.
ESCAPE = "/"
#: What is escaped; the character itself first.
_SPECIAL = (ESCAPE, "%", "_")
_OPERATORS = [
    f"{no}{i}{verb}" for no in ("", "not_") for i in ("", "i") for verb in ("contains", "startswith", "endswith")
]


def match_literally(dialect: Dialect) -> None:
    """Let a dialect escape the texts that these operators look for, unless the statement has an `escape` of its own."""
    compiler = dialect.statement_compiler
    methods = {name: _method(compiler, name) for name in (f"visit_{operator}_op_binary" for operator in _OPERATORS)}
    setattr(dialect, "statement_compiler", type(compiler.__name__, (compiler,), methods))  # noqa: B010 - of this dialect alone


def _method(compiler: type[SQLCompiler], name: str) -> Any:
    visit: Any = getattr(compiler, name)

    def visit_literally(self: SQLCompiler, binary: BinaryExpression[Any], operator: Any, **options: Any) -> str:
        if binary.modifiers.get("escape") is None:
            binary = binary._clone()  # pyright: ignore[reportPrivateUsage]
            binary.right = _escaped(binary.right)
            binary.modifiers = {**binary.modifiers, "escape": ESCAPE}
        return visit(self, binary, operator, **options)

    return visit_literally


def _escaped(text: Any) -> Any:
    """Return what is looked for, escaped: a value before it is sent, an expression by the database."""
    if issubclass(type(text), BindParameter):
        kind = text.type if not text.type._isnull else sa.String()
        return text._with_binary_element_type(EscapedText(kind))
    for character in _SPECIAL:
        text = sa.func.replace(
            text, sa.literal_column(f"'{character}'"), sa.literal_column(f"'{ESCAPE}{character}'"), type_=sa.String()
        )
    return text


class EscapedText(TypeDecorator[str]):
    """A value of another type, without wildcards where it is a text."""

    impl = sa.String
    cache_ok = True

    def __init__(self, kind: TypeEngine[Any]) -> None:
        super().__init__()
        #: The type of the value.
        self.kind = kind

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose what the other type is."""
        return self.kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Escape a text."""
        if isinstance(value, str):
            for character in _SPECIAL:
                value = value.replace(character, ESCAPE + character)
        return value
