from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, NewType, NotRequired, Required, TypedDict, TypeVar

import attrs
import msgspec
import pytest
import typing_extensions
from typing_extensions import ReadOnly

from quintet.media import _types

T = TypeVar("T")
U = TypeVar("U")
Ids = NewType("Ids", list[int])
Alias = typing_extensions.TypeAliasType("Alias", Annotated[list[int], "note"])
Many = typing_extensions.TypeAliasType("Many", list[T], type_params=(T,))


class Base(msgspec.Struct, Generic[T, U]):
    first: T
    rest: dict[str, U]
    both: list[T] | U | None = None


class Half(Base[int, T], Generic[T]):
    more: T | None = None


class Whole(Half[str]):
    shared: ClassVar[int] = 1


class Tagged(msgspec.Struct, tag="x", tag_field="kind", rename="camel"):
    some_name: int


class Listed(msgspec.Struct, array_like=True):
    a: int
    b: str


@dataclass
class Data:
    a: Annotated[int | None, "note"] = None
    b: list[int] = field(default_factory=list[int])


@attrs.define
class Attrs:
    a: int | None = None
    b: list[int] = attrs.field(factory=list[int])


class Typed(TypedDict, total=False):
    a: Required[int]
    b: NotRequired[Annotated[str, "note"]]
    c: ReadOnly[int]


def names(tp: Any) -> dict[str, Any]:
    return {found.name: found.type for found in _types.fields(tp) or ()}


def test_parameters_of_generic_bases_are_filled_in() -> None:
    assert names(Base[int, bytes]) == {"first": int, "rest": dict[str, bytes], "both": list[int] | bytes | None}
    assert names(Whole) == {"first": int, "rest": dict[str, str], "both": list[int] | str | None, "more": str | None}
    assert names(Half[bytes])["more"] == bytes | None


def test_names_are_those_that_are_encoded_and_a_tag_comes_first() -> None:
    assert names(Tagged) == {"kind": str, "someName": int}


def test_qualifiers_defaults_and_annotations_are_told_apart() -> None:
    assert names(Typed) == {"a": int, "b": str, "c": int}
    a, b = list(_types.fields(Data) or ())
    assert (a.type, a.metadata, a.default_none, b.default_none) == (int | None, ("note",), True, False)
    assert [found.default_none for found in _types.fields(Attrs) or ()] == [True, False]


@pytest.mark.parametrize("tp", [int, str, list[int], dict[str, int], Any, Listed, None])
def test_other_types_have_no_fields(tp: Any) -> None:
    assert _types.fields(tp) is None


def test_aliases_are_looked_through() -> None:
    assert _types.item_type(Ids) is int
    assert _types.unwrap(Alias) == (list[int], ("note",))
    assert _types.item_type(Many[str]) is str
    assert _types.key([]) == "[]"


@pytest.mark.parametrize(
    ("tp", "want"),
    [
        (list[int], int),
        (list, Any),
        (tuple[int, ...], int),
        (tuple[int, str], int | str),
        (frozenset[str], str),
        (Iterable[int], int),
        (AsyncIterator[int], int),
        (Annotated[list[int], "note"], int),
        (Listed, int | str),
        (dict[str, int], None),
        (Data, None),
        (str, None),
        (bytes, None),
        (int, None),
        (Any, None),
    ],
)
def test_what_lists_hold(tp: Any, want: Any) -> None:
    assert _types.item_type(tp) == want


@pytest.mark.parametrize(
    ("tp", "want"), [(dict[str, int], int), (Mapping[str, str], str), (dict, Any), (Typed, None), (list[int], None)]
)
def test_what_dicts_hold(tp: Any, want: Any) -> None:
    assert _types.value_type(tp) == want


def test_members_of_unions_and_what_may_be_absent() -> None:
    assert _types.members(int | str | None) == ((int, str), True)
    assert _types.members(int | msgspec.UnsetType) == ((int,), True)
    assert _types.members(Annotated[int, "x"]) == ((int,), False)
    assert _types.members(None) == ((), True)
    assert _types.members(T) == ((Any,), False)
