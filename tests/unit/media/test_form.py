from __future__ import annotations

from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, Generic, TypedDict, TypeVar

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import BadRequest
from quintet.http.forms import FormData
from quintet.http.upload import Upload
from quintet.media.form import build_decoder, build_form_shaper

T = TypeVar("T")


class Address(msgspec.Struct, rename="camel"):
    city: str
    zip_code: str = ""


@dataclass
class Item:
    name: str
    sizes: list[int]


class Order(msgspec.Struct, forbid_unknown_fields=True):
    address: Address | None = None
    items: list[Item] = []
    tags: Annotated[list[str], msgspec.Meta(max_length=3)] = []
    extra: dict[str, list[int]] = {}
    paid: bool = True
    gift: bool | None = None
    file: Upload | None = None


class Tree(msgspec.Struct):
    name: str
    children: list[Tree] = []


class Cat(msgspec.Struct, tag="cat"):
    lives: list[int]


class Dog(msgspec.Struct, tag="dog"):
    names: list[str]


class Page(msgspec.Struct, Generic[T]):
    rows: list[T]


class Options(TypedDict, total=False):
    size: int
    colors: list[str]


class Dotted(msgspec.Struct, rename={"city": "address.city"}):
    city: str


class Model(pydantic.BaseModel):
    ids: list[int] = pydantic.Field(alias="theIds")


def shape(tp: Any, *items: tuple[str, str | Upload]) -> Any:
    return build_form_shaper(tp)(FormData(list(items)))


def test_names_become_structure() -> None:
    assert shape(
        Order,
        ("address.city", "Paris"),
        ("address[zipCode]", "75001"),
        ("items[1].name", "b"),
        ("items.0.name", "a"),
        ("items[0].sizes", "1"),
        ("items[0].sizes", "2"),
        ("items[1][sizes][]", "3"),
        ("tags", "x"),
        ("extra.a.0", "1"),
        ("paid", "on"),
    ) == {
        "address": {"city": "Paris", "zipCode": "75001"},
        "items": [{"name": "a", "sizes": ["1", "2"]}, {"name": "b", "sizes": ["3"]}],
        "tags": ["x"],
        "extra": {"a": ["1"]},
        "paid": "on",
    }


def test_what_is_shaped_converts() -> None:
    fields = [("items[7].name", "a"), ("items[7].sizes", "4"), ("tags[]", "x"), ("gift", "true")]
    order = msgspec.convert(shape(Order, *fields), Order, strict=False)
    assert order == Order(items=[Item("a", [4])], tags=["x"], gift=True, paid=False)


@pytest.mark.parametrize(
    ("tp", "items", "want"),
    [
        (Order, [], {"paid": "false"}),
        (Order, [("gift", "")], {"paid": "false", "gift": ""}),
        (Address, [("city", "a"), ("city", "b")], {"city": ["a", "b"]}),
        (Address, [("other.name", "a"), ("x..y", "1"), ("z[", "2")], {"other": {"name": "a"}, "x..y": "1", "z[": "2"}),
        (Tree, [("children.0.children.0.name", "b")], {"children": [{"children": [{"name": "b"}]}]}),
        (Cat | Dog, [("type", "cat"), ("lives", "9")], {"type": "cat", "lives": ["9"]}),
        (Page[Item], [("rows.0.sizes", "1")], {"rows": [{"sizes": ["1"]}]}),
        (Options, [("size", "1"), ("colors", "red")], {"size": "1", "colors": ["red"]}),
        (Dotted, [("address.city", "x")], {"address.city": "x"}),
        (Model, [("theIds", "1")], {"theIds": ["1"]}),
        (dict[str, Any], [("a", "1"), ("b.c", "2"), ("d.0", "3")], {"a": "1", "b": {"c": "2"}, "d": ["3"]}),
        (Any, [("a", "1"), ("a", "2")], {"a": ["1", "2"]}),
        (list[Item], [("0.name", "a"), ("2.name", "b")], [{"name": "a"}, {"name": "b"}]),
    ],
)  # fmt: skip
def test_the_type_decides(tp: Any, items: list[tuple[str, str]], want: Any) -> None:
    assert shape(tp, *items) == want


def test_uploads_are_leaves() -> None:
    with SpooledTemporaryFile() as file:
        upload = Upload(file, raw_filename="a")
        assert shape(Order, ("file", upload))["file"] is upload


def test_unknown_names_are_kept_for_strict_types_to_refuse() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert(shape(Order, ("is_admin", "1")), Order, strict=False)


@pytest.mark.parametrize(
    "names",
    [
        ["items[1000].name"],
        ["items.99999999.name"],
        [".".join(["a"] * 17)],
        ["address", "address.city"],
        ["items", "items.0.name"],
        ["x", "x.y"],
    ],
)
def test_names_out_of_bounds_or_in_conflict_are_refused(names: list[str]) -> None:
    with pytest.raises(BadRequest):
        shape(Order, *[(name, "1") for name in names])


def test_a_urlencoded_body_is_decoded_to_structure() -> None:
    assert build_decoder(Address)(b"city=Ch%C3%A2lons") == {"city": "Châlons"}


@given(st.lists(st.text("aitems019.[]é ", max_size=20) | st.text(max_size=5), max_size=6))
def test_any_names_are_shaped_or_refused(names: list[str]) -> None:
    for tp in (Order, Tree, Any, list[Item], dict[str, int]):
        try:
            shape(tp, *[(name, "1") for name in names])
        except BadRequest:
            pass
