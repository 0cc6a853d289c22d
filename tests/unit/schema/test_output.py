from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from quintet.schema.failures import OutputError
from quintet.schema.nodes import UnsupportedType
from quintet.schema.output import compile_output
from quintet.schema.struct import Meta, Struct


class Customer(Struct):
    name: str


class Line(Struct):
    sku: str
    price: Annotated[Decimal, Meta(ge=0)]


class Order(Struct, rename="camel"):
    order_id: int
    customer: Customer | None = None
    lines: list[Line] = msgspec.field(default_factory=list)


class SecretCustomer(Customer):
    password: str = "s3cret"


class Tree(Struct):
    value: int
    children: list[Tree] = msgspec.field(default_factory=list)


class SecretTree(Tree):
    password: str = "s3cret"


@dataclasses.dataclass
class Data:
    a: int
    inner: Customer | None = None


@dataclasses.dataclass
class SecretData(Data):
    password: str = "s3cret"


@attrs.define(slots=False)
class Attrs:
    a: int


class Typed(TypedDict):
    a: int
    b: NotRequired[Customer]


class Named(NamedTuple):
    a: Customer


class User(pydantic.BaseModel):
    name: str


class SecretUser(User):
    password: str = "s3cret"


class Checked(Struct):
    low: Annotated[int, Meta(ge=10)]

    def __post_init__(self) -> None:
        if self.low < 10:
            raise ValueError("too low")


class Cat(Struct, tag="cat"):
    name: str


class Dog(Struct, tag="dog"):
    name: str


class Row:
    """What an ORM returns."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)
        self.password = "s3cret"


def encoded(tp: Any, value: Any) -> str:
    shape = compile_output(tp)
    assert shape is not None
    return msgspec.json.encode(shape(value)).decode()


@pytest.mark.parametrize("tp", [int, str, None, list[int], dict[str, Any], Any, dict[str, list[int | None]], bytes])
def test_types_without_fields_need_no_shape(tp: Any) -> None:
    assert compile_output(tp) is None


def test_an_exact_value_is_passed_on_as_it_is() -> None:
    shape = compile_output(list[Order | None])
    assert shape is not None
    value = [Order(order_id=1, customer=Customer(name="x"), lines=[Line(sku="a", price=Decimal(1))]), None]
    assert shape(value) is value


@pytest.mark.parametrize(
    ("tp", "value", "out"),
    [
        (Customer, SecretCustomer(name="x"), '{"name":"x"}'),
        (
            Order,
            Order(order_id=1, customer=SecretCustomer(name="x")),
            '{"orderId":1,"customer":{"name":"x"},"lines":[]}',
        ),
        (Order, Row(order_id=1, customer=None, lines=()), '{"orderId":1,"customer":null,"lines":[]}'),
        (
            Order,
            {"order_id": 1, "customer": {"name": "x", "password": 1}},
            '{"orderId":1,"customer":{"name":"x"},"lines":[]}',
        ),
        (Order, {"orderId": 1}, '{"orderId":1,"customer":null,"lines":[]}'),
        (list[Customer], (SecretCustomer(name="x"), Row(name="y")), '[{"name":"x"},{"name":"y"}]'),
        (dict[str, Customer], {"a": SecretCustomer(name="x")}, '{"a":{"name":"x"}}'),
        (tuple[int, Customer], (1, SecretCustomer(name="x")), '[1,{"name":"x"}]'),
        (Tree, Tree(value=1, children=[SecretTree(value=2)]), '{"value":1,"children":[{"value":2,"children":[]}]}'),
        (Data, SecretData(1, SecretCustomer(name="x")), '{"a":1,"inner":{"name":"x"}}'),
        (Data, Row(a=1), '{"a":1,"inner":null}'),
        (Typed, {"a": 1, "password": "s3cret"}, '{"a":1}'),
        (Typed, {"a": 1, "b": SecretCustomer(name="x")}, '{"a":1,"b":{"name":"x"}}'),
        (Named, Named(SecretCustomer(name="x")), '[{"name":"x"}]'),
        (User, SecretUser(name="x"), '{"name":"x"}'),
        (list[User], [SecretUser(name="x"), {"name": "y", "password": 1}], '[{"name":"x"},{"name":"y"}]'),
        (User | None, Row(name="x"), '{"name":"x"}'),
        (Customer, SecretUser(name="x"), '{"name":"x"}'),
        (Checked, Row(low=1), '{"low":1}'),
        (Cat | Dog, Dog(name="x"), '{"type":"dog","name":"x"}'),
        (Cat | Dog, Row(name="x"), '{"type":"cat","name":"x"}'),
        (Customer | int, 5, "5"),
        (Customer | list[Customer], [SecretCustomer(name="x")], '[{"name":"x"}]'),
    ],
)
def test_only_declared_fields_are_shown(tp: Any, value: Any, out: str) -> None:
    assert encoded(tp, value) == out


def test_what_was_set_on_an_instance_later_is_not_shown() -> None:
    value = Attrs(1)
    value.password = "s3cret"  # pyright: ignore[reportAttributeAccessIssue]
    assert encoded(Attrs, value) == '{"a":1}'


@pytest.mark.parametrize(
    ("tp", "value", "words"),
    [
        (Customer, Row(), r"Customer.name: the Row that was returned has no such field"),
        (Customer, 5, "expected an object"),
        (list[Customer], {"a": 1}, "expected a list"),
        (Customer, Row(name=Row()), "expected string, not Row"),
        (Customer | None, [1], "expected an object"),
    ],
)
def test_a_missing_field_is_a_fault_of_the_program(tp: Any, value: Any, words: str) -> None:
    shape = compile_output(tp)
    assert shape is not None
    with pytest.raises(OutputError, match=words):
        shape(value)


def test_a_class_without_declared_fields_is_refused() -> None:
    with pytest.raises(UnsupportedType, match="fields are not declared"):
        compile_output(Row)
