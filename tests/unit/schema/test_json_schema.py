# ruff: noqa: E501  (tables of values are read line by line)
from __future__ import annotations

import datetime
import enum
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
import pydantic
import pytest

from quintet.schema.bounds import Bounds
from quintet.schema.json_schema import json_schemas
from quintet.schema.struct import Meta, Struct

T = TypeVar("T")


class Color(enum.Enum):
    """Colours of a thing."""

    RED = "red"
    BLUE = "blue"


class Item(Struct):
    """One item."""

    price: Annotated[Decimal, Meta(ge=0, description="In euros.", examples=["1.50"])]
    when: Annotated[datetime.date, Bounds(ge=datetime.date(2020, 1, 1))]
    color: Color = Color.RED
    note: Annotated[str | None, Meta(max_length=5)] = None
    later: int | msgspec.UnsetType = msgspec.UNSET


class Page(Struct, Generic[T]):
    items: list[T]


class Tree(Struct):
    children: list[Tree] = msgspec.field(default_factory=list)


class Cat(Struct, tag="cat"):
    lives: int


class Dog(Struct, tag="dog"):
    name: str


class Address(pydantic.BaseModel):
    street: str


class User(pydantic.BaseModel):
    address: Address
    age: Annotated[int, pydantic.Field(gt=3)] = 5

    @pydantic.computed_field
    @property
    def double(self) -> int:
        return 2 * self.age


def one(tp: Any, mode: Any = "input") -> tuple[dict[str, Any], dict[str, Any]]:
    (schema,), components = json_schemas([(tp, mode)], "#/$defs/{name}")
    return schema, components


def test_a_struct_is_a_component() -> None:
    schema, components = one(Item)
    assert schema == {"$ref": "#/$defs/Item"}
    item = components["Item"]
    assert item["description"] == "One item."
    assert item["required"] == ["price", "when"]
    assert item["additionalProperties"] is False
    assert item["properties"]["price"] == {
        "type": "string", "format": "decimal", "pattern": r"^(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$", "minimum": 0, "description": "In euros.", "examples": ["1.50"],
    }  # fmt: skip
    assert item["properties"]["when"] == {"type": "string", "format": "date", "formatMinimum": "2020-01-01"}
    assert item["properties"]["color"] == {"$ref": "#/$defs/Color", "default": "red"}
    assert item["properties"]["note"] == {
        "anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}],
        "default": None,
    }
    assert "default" not in item["properties"]["later"]
    assert components["Color"]["enum"] == ["red", "blue"]


@pytest.mark.parametrize(
    ("tp", "schema"),
    [
        (Annotated[int, Meta(ge=0, lt=10)], {"type": "integer", "format": "int64", "minimum": 0, "exclusiveMaximum": 10}),
        (float, {"type": "number"}),
        (Any, {}),
        (dict[str, int | str], None),
        (Annotated[list[str], Meta(min_length=1)], {"type": "array", "items": {"type": "string"}, "minItems": 1}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (Annotated[datetime.datetime, Meta(tz=True)], {"type": "string", "format": "date-time"}),
        (datetime.datetime, {"type": "string", "format": "date-time"}),
        (
            datetime.timedelta,
            {
                "type": "string",
                "format": "duration",
                "pattern": r"^[+-]?P([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]+)?S)?)?$",
            },
        ),
        (Annotated[str, Meta(pattern="^a"), Meta(pattern="z$")], {"type": "string", "pattern": "^a", "allOf": [{"pattern": "z$"}]}),
        (Annotated[str, Meta(extra_json_schema={"format": "email"})], {"type": "string", "format": "email"}),
        (None, {"type": "null"}),
    ],
)  # fmt: skip
def test_types_without_names(tp: Any, schema: Any) -> None:
    found, components = one(tp)
    assert components == {}
    assert schema is None or found == schema


def test_tagged_unions_have_a_discriminator() -> None:
    schema, components = one(Cat | Dog | None)
    union = schema["anyOf"][0]
    assert union["discriminator"] == {"propertyName": "type", "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}}
    assert components["Cat"]["properties"]["type"] == {"enum": ["cat"]}


def test_generics_and_recursion() -> None:
    schema, components = one(Page[Item])
    assert schema == {"$ref": "#/$defs/Page_Item"}
    assert components["Page_Item"]["title"] == "Page[Item]"
    _, components = one(Tree)
    assert components["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}


def test_two_classes_of_one_name_get_names_with_their_modules() -> None:
    other = msgspec.defstruct("Cat", [("fur", bool)], module="shop.models")
    schemas, components = json_schemas([(Cat, "input"), (other, "output")], "#/$defs/{name}")
    assert sorted(name.rpartition(".")[2] for name in components) == ["Cat", "Cat"]
    assert "shop.models.Cat" in components
    assert schemas[1] == {"$ref": "#/$defs/shop.models.Cat"}


def test_a_pydantic_model_brings_its_own_schema() -> None:
    schema, components = one(list[User])
    assert schema["items"] == {"$ref": "#/$defs/User"}
    assert components["User"]["properties"]["address"] == {"$ref": "#/$defs/Address"}
    assert components["User"]["properties"]["age"]["exclusiveMinimum"] == 3
    assert set(components) == {"User", "Address"}


def test_input_and_output_are_one_component_unless_they_differ() -> None:
    schemas, components = json_schemas([(User, "input"), (User, "output"), (Item, "input"), (Item, "output")])
    assert [s["$ref"].rpartition("/")[2] for s in schemas] == ["User", "User-Output", "Item", "Item"]
    assert "double" in components["User-Output"]["properties"]
    assert "double" not in components["User"]["properties"]


def test_every_reference_has_its_component() -> None:
    schemas, components = json_schemas(
        [(t, m) for t in (Page[Item], Tree, Cat | Dog, User, list[User]) for m in ("input", "output")]
    )
    text = msgspec.json.encode([schemas, components]).decode()
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in components
