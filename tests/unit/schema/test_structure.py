# ruff: noqa: E501  (tables of values are read line by line)
from __future__ import annotations

import dataclasses
import datetime
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

import msgspec
import pydantic
import pytest

from quintet.errors import ValidationError
from quintet.schema.failures import DECODE_FAILURES
from quintet.schema.plan import TypePlan, compile_type
from quintet.schema.struct import Meta, Struct


class Line(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0)]


class Signup(Struct):
    name: str
    age: int | None
    born: datetime.date | None = None
    price: Annotated[Decimal, Meta(ge=0)] = Decimal(5)
    terms: bool
    news: bool = True
    tags: list[str] = msgspec.field(default_factory=list)
    lines: list[Line] = msgspec.field(default_factory=list)


@dataclasses.dataclass
class Data:
    a: int
    b: str = "x"


class Typed(TypedDict):
    a: int
    b: NotRequired[bool]


class Named(NamedTuple):
    a: int
    b: int = 2


class Cat(Struct, tag="cat"):
    lives: int


class Dog(Struct, tag="dog"):
    name: str


class Low(Struct):
    low: int

    def __post_init__(self) -> None:
        if self.low > 3:
            raise ValueError("too high")


class User(pydantic.BaseModel):
    name: str
    age: int = 3
    admin: bool = True


def errors(plan: TypePlan, value: Any, *, form: bool = False) -> dict[tuple[Any, ...], str]:
    with pytest.raises(DECODE_FAILURES) as caught:
        (plan.from_form if form else plan.from_text)(value)
    answer = plan.explain(value, "form" if form else "text", caught.value, ("form",))
    assert isinstance(answer, ValidationError)
    return {e.loc: e.code for e in answer.errors}


def test_a_form_is_read_by_the_rules_of_texts() -> None:
    sent = {
        "name": "", "age": "", "born": "", "price": "", "terms": "on", "tags": ["a", ""], "lines": [{"sku": "x", "quantity": "2"}],
    }  # fmt: skip
    form = compile_type(Signup).from_form(sent)
    assert form == Signup(name="", age=None, terms=True, news=False, tags=["a", ""], lines=[Line(sku="x", quantity=2)])


def test_an_absent_checkbox_is_false_in_forms_only() -> None:
    plan = compile_type(Signup)
    assert plan.from_form({"name": "x", "age": "1"}).terms is False
    assert errors(plan, {"name": "x", "age": "1"}) == {("form", "terms"): "missing"}


def test_every_wrong_leaf_is_found() -> None:
    sent = {
        "age": "x",
        "born": "1700000000",
        "price": "-1",
        "terms": "yes",
        "lines": [{"sku": "a", "quantity": "0"}, {}],
        "z": "",
    }
    assert errors(compile_type(Signup), sent, form=True) == {
        ("form", "name"): "missing",
        ("form", "age"): "int",
        ("form", "born"): "date",
        ("form", "price"): "ge",
        ("form", "terms"): "bool",
        ("form", "lines", 0, "quantity"): "gt",
        ("form", "lines", 1, "sku"): "missing",
        ("form", "lines", 1, "quantity"): "missing",
        ("form", "z"): "unknown_field",
    }


@pytest.mark.parametrize(
    ("tp", "value", "out"),
    [
        (Data, {"a": "1"}, Data(1)),
        (Typed, {"a": "1", "b": ""}, {"a": 1}),
        (Named, {"a": "1"}, Named(1)),
        (Cat | Dog, {"type": "dog", "name": "Rex"}, Dog(name="Rex")),
        (dict[str, int], {"a": "1"}, {"a": 1}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (list[int], "5", [5]),
        (set[int], ["5", "5"], {5}),
        (tuple[int, bool], ["5", "off"], (5, False)),
        (int | list[str], ["a"], ["a"]),
        (Data | None, None, None),
        (int, 7, 7),
        (User, {"name": "", "age": "", "admin": "off"}, User(name="", admin=False)),
        (Any, {"a": ["x"]}, {"a": ["x"]}),
    ],
)
def test_every_kind_of_structure(tp: Any, value: Any, out: Any) -> None:
    assert compile_type(tp).from_text(value) == out


def test_pydantic_models_follow_the_form_rules() -> None:
    plan = compile_type(User)
    assert plan.from_form({"name": "x", "age": ""}) == User(name="x", admin=False)
    assert errors(plan, {"age": "x"}) == {("form", "name"): "missing", ("form", "age"): "int"}


@pytest.mark.parametrize(
    ("tp", "value", "found"),
    [
        (Low, {"low": "5"}, {("form",): "value"}),
        (Cat | Dog, {"type": "cow"}, {("form", "type"): "tag"}),
        (Data, "x", {("form",): "type"}),
        (Data, {"a": ["1", "2"]}, {("form", "a"): "int"}),
        (dict[int, str], {"x": "a"}, {("form", "x"): "int"}),
        (Annotated[list[int], Meta(min_length=1)], [], {("form",): "min_length"}),
    ],
)
def test_wrong_structures(tp: Any, value: Any, found: Any) -> None:
    assert errors(compile_type(tp), value) == found


def test_at_most_100_errors_are_collected() -> None:
    assert len(errors(compile_type(list[int]), ["x"] * 5000)) == 100
