"""Types that are read as other types: the seam through which models of a data layer reach handlers.

Two ways lead in, and neither names a library. A class with `__quintet_shape__(kind)` is shown as the structure that
this returns; an `Adapter` in an `Annotated` is read as another type, of which the value is built.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin


class Adapter:
    """A mark of an annotation: its type is read as another one, and built of what was read; or it is shown as one."""

    __slots__ = ()

    #: Whether it is one for reading.
    reads = True

    def read_as(self, tp: Any) -> Any:
        """Return the type that is read in the place of `tp`."""
        raise NotImplementedError

    def build(self, tp: Any, value: Any) -> Any:
        """Return the value of type `tp` made of what was read."""
        raise NotImplementedError

    def show_as(self, tp: Any) -> Any:
        """Return the type that values of `tp` are shown as."""
        return tp


def shown(tp: Any, marks: tuple[Any, ...]) -> Any:
    """Return the type that values of `tp` are shown as, with what stands beside it in `Annotated`."""
    for mark in marks:
        if isinstance(mark, Adapter):
            return mark.show_as(tp)
    return tp


def shape_of(tp: Any, kind: str = "read") -> Any:
    """Return the structure that stands for a class, or None where the class stands for itself."""
    shape = getattr(tp, "__quintet_shape__", None) if isinstance(tp, type) else None
    return shape(kind) if shape is not None else None


def adapted(tp: Any) -> tuple[Any, Callable[[Any], Any] | None]:
    """Return the type that is read in the place of an annotation, and what builds the value; None for nothing.

    Adapters are found in the annotation itself, in the items of a list and beside None.

    Raises:
        TypeError: an adapter does not fit its type.
    """
    origin, args = get_origin(tp), get_args(tp)
    if origin is Annotated:
        adapter = next((m for m in tp.__metadata__ if isinstance(m, Adapter) and m.reads), None)
        inner: Any = tp.__origin__
        if adapter is not None:
            rest = tuple(m for m in tp.__metadata__ if m is not adapter)
            read = adapter.read_as(inner)
            return (Annotated[(read, *rest)] if rest else read), partial(adapter.build, inner)
        read, build_inner = adapted(inner)
        return (Annotated[(read, *tp.__metadata__)] if build_inner is not None else tp), build_inner
    if origin is list and args:
        read, build_item = adapted(args[0])
        if build_item is None:
            return tp, None
        return list[read], lambda values: [build_item(v) for v in values]
    if origin in (Union, UnionType) and NoneType in args:
        members = [a for a in args if a is not NoneType]
        if len(members) == 1:
            read, build_one = adapted(members[0])
            if build_one is not None:
                return Union[read, None], lambda value: None if value is None else build_one(value)  # noqa: UP007
    return tp, None
