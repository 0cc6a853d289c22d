"""Column types in migrations: comparing them, and writing them without the app's own classes."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, cast

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Column
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import CompileError
from sqlalchemy.sql.elements import False_, True_
from sqlalchemy.types import TypeDecorator

#: The databases that a type may have a variant for.
_DIALECTS = (("sqlite",), ("postgresql",), ("mysql", "mariadb"), ("oracle",))
#: SQL types that a database gives back for what was asked; the model's is on the left.
_EQUAL = {
    "sqlite": {("double", "float"), ("double", "double precision"), ("uuid", "char(32)")},
    "mysql": {
        ("bool", "tinyint"), ("json", "longtext"), ("integer", "int"), ("numeric", "decimal"), ("double", "float"),
        ("text", "longtext"),
    },
    "oracle": {("integer", "number"), ("numeric", "number"), ("boolean", "smallint"), ("boolean", "number")},
}  # fmt: skip


def compare_type(
    context: MigrationContext, _have: Column[Any], want: Column[Any], have_type: Any, want_type: Any
) -> bool | None:
    """Tell whether two types differ; None leaves it to Alembic."""
    dialect = context.dialect
    have, wanted = _sql(have_type, dialect), _sql(want_type, dialect)
    if have == wanted:
        return False
    name = {"mariadb": "mysql"}.get(dialect.name, dialect.name)
    words = (re.sub(r"\(.*\)", "", wanted), re.sub(r"\(.*\)", "", have))
    if words in _EQUAL.get(name, set()) or (wanted, have) in _EQUAL.get(name, set()):
        return False
    if isinstance(_resolve(want_type, dialect), sa.Enum) and want_type.native_enum and name == "mysql":
        return True
    return None


def render(kind: str, item: Any, autogen: AutogenContext) -> str | bool:
    """Write a type or a default for a revision file; False leaves it to Alembic."""
    if kind == "type":
        return _render(item, autogen)
    if kind == "server_default":
        return _PORTABLE.get(type(cast("object", getattr(item, "arg", None))), False)
    return False


#: Defaults that each database spells in its own way.
_PORTABLE: dict[type, str] = {
    True_: "sa.true()",
    False_: "sa.false()",
    sa.func.now().__class__: "sa.func.now()",
    sa.func.current_timestamp().__class__: "sa.func.current_timestamp()",
}


def _render(type_: Any, autogen: AutogenContext) -> str | bool:
    kind = cast("type[object]", type(type_))
    if issubclass(kind, TypeDecorator) and not kind.__module__.startswith("sqlalchemy."):
        return _render_decorator(type_, autogen)
    if type_._variant_mapping:
        return False
    if issubclass(kind, (postgresql.JSON, postgresql.ARRAY)):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        inner = _write(type_.item_type, autogen) if issubclass(kind, postgresql.ARRAY) else ""
        return f"postgresql.{kind.__name__}({inner})"
    if kind is sa.JSON:
        return "sa.JSON()"
    if kind in {sa.Enum, postgresql.ENUM}:
        if not type_.native_enum:
            return f"sa.String(length={type_.length})"
        values = ", ".join(repr(value) for value in type_.enums)
        return f"sa.Enum({values}, name={type_.name!r}, create_type=False)"
    return False


def _render_decorator(type_: TypeDecorator[Any], autogen: AutogenContext) -> str:
    """Write what a decorator stores, on each database: a revision outlives the classes of the app."""
    general = _public(type_.load_dialect_impl(DefaultDialect()), "default")
    text = _write(general, autogen)
    for names in _DIALECTS:
        dialect = URL.create(names[0]).get_dialect()()
        variant = type_._variant_mapping.get(names[0])  # pyright: ignore[reportPrivateUsage]
        own = variant or _public(type_.load_dialect_impl(dialect), names[0])
        if _sql(own, dialect) != _sql(general, dialect):
            text += f".with_variant({_write(own, autogen)}, {', '.join(map(repr, names))})"
    return text


def _write(type_: Any, autogen: AutogenContext) -> str:
    from alembic.autogenerate.render import _repr_type  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]

    return str(_repr_type(type_, autogen))


def _public(type_: Any, dialect: str) -> Any:
    """Return a type as users write it: dialects put private classes of their own in its place."""
    own = import_module(f"sqlalchemy.dialects.{dialect}") if dialect != "default" else sa
    for kind in type(type_).__mro__:
        name = kind.__name__
        if not name.startswith("_") and (getattr(sa, name, None) is kind or getattr(own, name, None) is kind):
            return type_ if kind is type(type_) else type_.adapt(kind)
    return type_


def _resolve(type_: Any, dialect: Dialect) -> Any:
    if isinstance(type_, TypeDecorator):
        type_ = cast("TypeDecorator[Any]", type_).load_dialect_impl(dialect)
    return type_._variant_mapping.get(dialect.name, type_)


def _sql(type_: Any, dialect: Dialect) -> str:
    try:
        return str(dialect.type_compiler_instance.process(type_)).lower()
    except (CompileError, AttributeError):
        return repr(type_)
