"""What each kind of class says about its fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, get_origin

import msgspec

from .nodes import NOTHING, FieldNode, ObjectKind, ScalarNode, refuse


def _pending(name: str, key: str, annotation: Any, *, required: bool, **more: Any) -> FieldNode:
    return FieldNode(name, key, name, ScalarNode("any", Any), required, annotation=annotation, **more)


def _struct_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    out: list[FieldNode] = []
    infos = {f.name: f for f in msgspec.structs.fields(cls)}
    for name, key in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        info = infos[name]
        default = NOTHING if info.default is msgspec.NODEFAULT else info.default
        factory = None if info.default_factory is msgspec.NODEFAULT else info.default_factory
        out.append(_pending(name, key, hints[name], required=info.required, default=default, default_factory=factory))
    return out


def _dataclass_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    out: list[FieldNode] = []
    for f in cls.__dataclass_fields__.values():
        if "ClassVar" in str(f._field_type):
            continue
        if "INITVAR" in str(f._field_type):
            refuse(f"{cls.__name__}.{f.name}", "InitVar fields cannot be read from a message", "use a plain field")
        default = NOTHING if f.default is dataclasses.MISSING else f.default
        factory = None if f.default_factory is dataclasses.MISSING else f.default_factory
        required = default is NOTHING and factory is None
        out.append(
            _pending(
                f.name, f.name, hints[f.name], required=required, default=default, default_factory=factory, init=f.init
            )
        )
    return out


def _attrs_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    import attrs  # the user's type is attrs' already

    out: list[FieldNode] = []
    for a in cls.__attrs_attrs__:
        default, factory = a.default, None
        if default is attrs.NOTHING:
            default = NOTHING
        elif hasattr(default, "takes_self"):
            if default.takes_self:
                refuse(f"{cls.__name__}.{a.name}", "a default that takes self", "compute it in `__attrs_post_init__`")
            default, factory = NOTHING, default.factory
        required = default is NOTHING and factory is None
        spec = _pending(
            a.name, a.name, hints.get(a.name, a.type or Any), required=required, default=default,
            default_factory=factory, init=a.init,
        )  # fmt: skip
        spec.parameter = a.alias
        out.append(spec)
    return out


def _typeddict_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    required: set[str] = set(cls.__required_keys__)
    out: list[FieldNode] = []
    for name, hint in hints.items():
        # `from __future__ import annotations` hides Required and NotRequired from `__required_keys__`.
        qualifier = getattr(get_origin(hint), "_name", "")
        needed = qualifier == "Required" or (qualifier != "NotRequired" and name in required)
        out.append(_pending(name, name, hint, required=needed))
    return out


def _namedtuple_fields(tp: Any, cls: Any, hints: dict[str, Any]) -> list[FieldNode]:
    defaults: dict[str, Any] = cls._field_defaults
    return [
        _pending(n, n, hints.get(n, Any), required=n not in defaults, default=defaults.get(n, NOTHING))
        for n in cls._fields
    ]


#: The fields of a class, by its kind; their nodes are still to be made.
FIELDS: dict[ObjectKind, Callable[[Any, Any, dict[str, Any]], list[FieldNode]]] = {
    "struct": _struct_fields,
    "dataclass": _dataclass_fields,
    "attrs": _attrs_fields,
    "typeddict": _typeddict_fields,
    "namedtuple": _namedtuple_fields,
}
