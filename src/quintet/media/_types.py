"""The structure of declared types, as the formats need it: which fields, which lists, which scalars.

Formats whose text does not tell a list from a single value (forms, XML), or that need the names of the columns
beforehand (CSV), ask here. Validation is not done here; that is the schema layer's.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections import abc
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    NewType,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

# By name: typing and typing_extensions have qualifiers of their own.
_QUALIFIERS = frozenset(["Required", "NotRequired", "ReadOnly", "Final", "ClassVar"])
_LISTS = (list, tuple, set, frozenset, abc.Iterable, abc.AsyncIterable)
_TEXTS = (str, bytes, bytearray, memoryview)


class Field(msgspec.Struct, frozen=True):
    """One field of a structure."""

    #: The name that encoders write and decoders read.
    name: str
    #: The declared type, without `Annotated`.
    type: Any
    #: What `Annotated` says of it.
    metadata: tuple[Any, ...] = ()
    #: Whether the field is None when it is absent.
    default_none: bool = False


def unwrap(tp: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the type without its aliases and annotations, and the annotations."""
    metadata: tuple[Any, ...] = ()
    while True:
        origin: Any = get_origin(tp)
        if origin is Annotated:
            metadata = (*tp.__metadata__, *metadata)
            tp = tp.__origin__
        elif getattr(origin, "_name", "") in _QUALIFIERS:
            tp = get_args(tp)[0]
        elif isinstance(tp, NewType):
            tp = tp.__supertype__
        elif type(tp).__name__ == "TypeAliasType":
            tp = tp.__value__
        elif type(origin).__name__ == "TypeAliasType":
            tp = origin.__value__[get_args(tp)]
        elif isinstance(tp, TypeVar):
            tp = tp.__bound__ if tp.__bound__ is not None else Any
        else:
            return tp, metadata


def key(tp: Any) -> Any:
    """Return what stands for the type in a dict; annotations need not be hashable."""
    try:
        hash(tp)
    except TypeError:
        return repr(tp)
    return tp


def members(tp: Any) -> tuple[tuple[Any, ...], bool]:
    """Return the types a value may have, and whether it may be None or unset too."""
    tp, _ = unwrap(tp)
    if get_origin(tp) not in (Union, types.UnionType):
        return ((), True) if tp in (None, types.NoneType, msgspec.UnsetType) else ((tp,), False)
    found: list[Any] = []
    optional = False
    for member in get_args(tp):
        inner, none = members(member)
        found += inner
        optional = optional or none
    return tuple(found), optional


def item_type(tp: Any) -> Any:
    """Return the type of the items when `tp` is a list, tuple, set or stream of them; None when it is not."""
    tp, _ = unwrap(tp)
    origin: Any = get_origin(tp) or tp
    if not isinstance(origin, type) or issubclass(origin, (*_TEXTS, dict, abc.Mapping)):
        return None
    if is_positional(origin):
        return Union[tuple(hint for hint in _hints(tp).values())] or Any  # noqa: UP007 - made at run time
    if origin in (tuple, list, set, frozenset) or (issubclass(origin, _LISTS) and not is_structure(origin)):
        args = [arg for arg in get_args(tp) if arg is not Ellipsis]
        if not args:
            return Any
        # The further arguments of a tuple are items; those of a generator are not.
        return Union[tuple(args)] if origin is tuple else args[0]  # noqa: UP007 - made at run time
    return None


def value_type(tp: Any) -> Any:
    """Return the type of the values when `tp` is a dict or another mapping; None when it is not."""
    tp, _ = unwrap(tp)
    origin: Any = get_origin(tp) or tp
    if not isinstance(origin, type) or not issubclass(origin, abc.Mapping) or is_structure(origin):
        return None
    args = get_args(tp)
    return args[1] if len(args) == 2 else Any


def is_structure(origin: Any) -> bool:
    """Tell whether this class has declared fields that are encoded by name."""
    if not isinstance(origin, type) or is_positional(origin):
        return False
    return _has_fields(cast("Any", origin))


def _has_fields(origin: Any) -> bool:
    if any(hasattr(origin, mark) for mark in ("__struct_fields__", "__attrs_attrs__", "model_fields")):
        return True
    return dataclasses.is_dataclass(origin) or _is_typed_dict(origin)


def is_positional(origin: Any) -> bool:
    """Tell whether this class has declared fields that are encoded by place, as a list."""
    config = getattr(origin, "__struct_config__", None)
    if config is not None:
        return bool(config.array_like)
    return hasattr(origin, "_fields") and isinstance(origin, type) and issubclass(origin, tuple)


def positions(tp: Any) -> tuple[Field, ...] | None:
    """Return the fields of a NamedTuple or of a Struct encoded as a list; None for any other type."""
    tp, _ = unwrap(tp)
    if not is_positional(get_origin(tp) or tp):
        return None
    return tuple(_field(name, hint) for name, hint in _hints(tp).items())


def fields(tp: Any) -> tuple[Field, ...] | None:
    """Return the declared fields of a structure, its tag first; None for any other type."""
    tp, _ = unwrap(tp)
    origin: Any = get_origin(tp) or tp
    if not is_structure(origin):
        return None
    if hasattr(origin, "model_fields"):
        return tuple(_pydantic_fields(origin))
    hints = _hints(tp)
    if hasattr(origin, "__struct_fields__"):
        config = origin.__struct_config__
        tag = () if config.tag is None else (Field(config.tag_field, str),)
        return (*tag, *(_field(f.encode_name, hints[f.name], f.default) for f in msgspec.structs.fields(origin)))
    if dataclasses.is_dataclass(origin):
        return tuple(_field(f.name, hints[f.name], f.default) for f in dataclasses.fields(origin))
    if hasattr(origin, "__attrs_attrs__"):
        return tuple(_field(a.name, hints[a.name], a.default) for a in origin.__attrs_attrs__)
    return tuple(_field(name, hint) for name, hint in hints.items())


def _field(name: str, hint: Any, default: Any = ...) -> Field:
    tp, metadata = unwrap(hint)
    return Field(name, tp, metadata, default is None)


def _is_typed_dict(origin: Any) -> bool:
    return hasattr(origin, "__required_keys__") and issubclass(origin, dict)


def _pydantic_fields(model: Any) -> abc.Iterator[Field]:
    for name, info in model.model_fields.items():
        tp, metadata = unwrap(info.annotation)
        alias = info.serialization_alias or info.alias or name
        yield Field(alias, tp, (*metadata, *info.metadata), info.default is None)


def _hints(tp: Any) -> dict[str, Any]:
    """Return the annotations of a class with the parameters of a generic one filled in."""
    origin: Any = get_origin(tp) or tp
    hints = get_type_hints(origin, include_extras=True)
    hints = {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar and hint is not ClassVar}
    scopes = _scopes(tp)
    if not scopes:
        return hints
    owners: dict[str, Any] = {}
    for cls in reversed(origin.__mro__):
        owners.update(dict.fromkeys(inspect.get_annotations(cls), cls))
    return {name: _fill(hint, scopes.get(owners.get(name), {})) for name, hint in hints.items()}


def _scopes(tp: Any) -> dict[Any, dict[Any, Any]]:
    """Return what the type parameters stand for, by class: a base may use the same ones for something else."""
    origin: Any = get_origin(tp) or tp
    parameters = dict(zip(getattr(origin, "__parameters__", ()), get_args(tp), strict=False))
    found: dict[Any, dict[Any, Any]] = {origin: parameters} if parameters else {}
    for base in getattr(origin, "__orig_bases__", ()):
        if get_origin(base) not in (None, Generic, Protocol):
            found = {**_scopes(_fill(base, parameters)), **found}
    return found


def _fill(hint: Any, parameters: dict[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return parameters.get(hint, hint)
    free = getattr(hint, "__parameters__", ())
    if not free or (isinstance(hint, type) and get_origin(hint) is None):
        return hint
    generic = cast("Any", hint)
    return generic[tuple(parameters.get(parameter, parameter) for parameter in free)]
