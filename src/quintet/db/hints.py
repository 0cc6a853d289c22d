"""The annotations of models, read: `Mapped[X]` to X, one attribute at a time."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Container
from typing import Annotated, Any, Union, get_args, get_origin

from sqlalchemy.orm import Mapped


def own_annotations(cls: type[Any]) -> dict[str, Any]:
    """Return the annotations that stand in a class itself, as they were written."""
    if sys.version_info >= (3, 14):
        import annotationlib  # pyright: ignore[reportMissingImports, reportUnreachable] - new in Python 3.14

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)


def raw_annotation(cls: type[Any], key: str) -> Any:
    """Return an attribute's annotation as it was written, or None."""
    return annotation_of(cls, key)[0]


def annotation_of(cls: type[Any], key: str) -> tuple[Any, type[Any]]:
    """Return an attribute's annotation as it was written, or None, and the class in which it stands."""
    for base in cls.__mro__:
        found = own_annotations(base).get(key)
        if found is not None:
            return found, base
    return None, cls


def evaluate_annotations(cls: type[Any], skip: Container[str]) -> None:
    """Evaluate the annotations of columns that `from __future__ import annotations` made strings.

    SQLAlchemy evaluates them too, but takes constraints with more than one argument apart at the comma.
    """
    for key, text in list(own_annotations(cls).items()):
        if isinstance(text, str) and key not in skip and text.startswith(_MAPPED):
            try:
                cls.__annotations__[key] = eval(text, *_scopes(cls))  # noqa: S307 - the module's own annotation
            except NameError:  # left to SQLAlchemy, whose message names it
                continue


_MAPPED = ("Mapped[", "orm.Mapped[", "sqlalchemy.orm.Mapped[")


def _scopes(cls: type[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the names that an annotation in a class may use: the module's, and those where the class stands."""
    frame = _frame_of(cls)
    return vars(sys.modules[cls.__module__]), dict(frame.f_locals) if frame is not None else {}


def place_of(cls: type[Any]) -> str:
    """Return the file and line of the statement that makes a class just now; nothing where no statement does."""
    frame = _frame_of(cls)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def _frame_of(cls: type[Any]) -> types.FrameType | None:
    names = vars(sys.modules[cls.__module__])
    frame: types.FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - as typing.NamedTuple does
    while frame is not None and frame.f_globals is not names:
        frame = frame.f_back
    return frame


def mapped_type(cls: type[Any], key: str) -> Any:
    """Return what an attribute holds: X of `Mapped[X]`; None where it has no annotation.

    Raises:
        NameError: the annotation names something that its module does not define.
    """
    annotation, home = annotation_of(cls, key)
    names = vars(sys.modules[home.__module__])
    if isinstance(annotation, str):
        annotation = eval(annotation, names)  # noqa: S307 - the module's own annotation
    origin: Any = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapped):
        annotation = get_args(annotation)[0]
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        annotation = eval(annotation, names)  # noqa: S307
    return annotation


def without_none(tp: Any) -> Any:
    """Return a type without None, its constraints kept."""
    if get_origin(tp) is Annotated:
        inner, *marks = get_args(tp)
        return Annotated[(without_none(inner), *marks)]
    if get_origin(tp) in (Union, types.UnionType):
        members = tuple(m for m in get_args(tp) if m is not types.NoneType)
        return Union[members] if members else tp  # noqa: UP007 - made at run time
    return tp
