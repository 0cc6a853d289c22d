from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import time
import uuid
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Required, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.errors import BadRequest, HTTPError, ValidationError
from quintet.schema.bounds import Bounds
from quintet.schema.failures import DECODE_FAILURES
from quintet.schema.nodes import UnsupportedType
from quintet.schema.plan import TypePlan, compile_type
from quintet.schema.struct import Meta, Struct

T = TypeVar("T")


class Item(Struct):
    sku: Annotated[str, Meta(min_length=2)]
    quantity: Annotated[int, Meta(gt=0)]
    price: Annotated[Decimal, Meta(ge=0, le=1000)]


class Order(Struct):
    id: int
    items: list[Item]
    note: Annotated[str | None, Meta(max_length=3)] = None
    when: Annotated[datetime.date, Bounds(ge=datetime.date(2020, 1, 1))] = datetime.date(2021, 1, 1)


class Plain(Struct):
    name: str
    size: int


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"
    HALF = 0.5


@dataclasses.dataclass
class Data:
    a: int
    b: Annotated[Decimal, Meta(gt=0)] = Decimal(1)
    c: list[int] = dataclasses.field(default_factory=list)


@attrs.define
class Attrs:
    a: int = attrs.field(validator=attrs.validators.gt(3))
    b: Annotated[Decimal, Meta(gt=0)] = Decimal(1)


class Typed(TypedDict):
    a: Required[int]
    b: NotRequired[Annotated[Decimal, Meta(le=5)]]


class Named(NamedTuple):
    a: int
    b: Annotated[datetime.date, Bounds(ge=datetime.date(2020, 1, 1))] = datetime.date(2020, 1, 1)


class Page(Struct, Generic[T]):
    items: list[T]
    total: Annotated[Decimal, Meta(ge=0)] = Decimal(0)


class Book(Struct):
    orders: Page[Order]
    numbers: Page[int]


class Tree(Struct):
    value: Annotated[Decimal, Meta(ge=0)]
    children: list[Tree] = msgspec.field(default_factory=list)


class Cat(Struct, tag="cat"):
    lives: int


class Dog(Struct, tag="dog"):
    name: str


class Card(Struct):
    number: str
    limit: Annotated[Decimal, Meta(ge=0)]


class Transfer(Struct):
    number: str
    bank: str


class Cash(Struct):
    number: str


class Range(Struct):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


class Changes(Struct):
    name: str | msgspec.UnsetType = msgspec.UNSET
    price: Annotated[Decimal, Meta(ge=0)] | msgspec.UnsetType | None = msgspec.UNSET


class PydanticItem(pydantic.BaseModel):
    a: int = pydantic.Field(gt=3)
    b: Annotated[str, pydantic.Field(pattern="^x")] = "x"


class Mail(Struct):
    to: PydanticItem
    copies: list[PydanticItem] = msgspec.field(default_factory=list)


KEYED: list[Any] = [dict[int, Annotated[Decimal, Meta(ge=0)]]]


class One(msgspec.Struct):
    a: int


class Two(msgspec.Struct):
    a: int
    b: int


class File:
    pass


def errors(plan: TypePlan, raw: bytes, media: Any = "json") -> dict[tuple[Any, ...], str]:
    decode = plan.decode_json if media == "json" else plan.decode_msgpack
    with pytest.raises(DECODE_FAILURES) as caught:
        decode(raw)
    answer = plan.explain(raw, media, caught.value)
    assert isinstance(answer, ValidationError), answer
    assert all(e.loc[0] == "body" for e in answer.errors)
    return {e.loc[1:]: e.code for e in answer.errors}


def test_a_plain_struct_is_decoded_by_a_bare_msgspec_decoder() -> None:
    plan = compile_type(Plain)
    assert type(plan.decode_json.__self__) is msgspec.json.Decoder  # pyright: ignore[reportFunctionMemberAccess]
    assert plan.decode_json(b'{"name":"x","size":1}') == Plain(name="x", size=1)
    assert errors(plan, b'{"name":"x","size":9223372036854775808}') == {("size",): "int64"}


def test_every_wrong_field_is_found_with_path_code_and_limits() -> None:
    plan = compile_type(Order)
    raw = b"""{"id":99999999999999999999,"items":[{"sku":"a","quantity":0,"price":"-1.5","x":1},{}],
               "note":"abcd","when":"2000-01-01"}"""
    assert errors(plan, raw) == {
        ("id",): "int64",
        ("items", 0, "sku"): "min_length",
        ("items", 0, "quantity"): "gt",
        ("items", 0, "price"): "ge",
        ("items", 0, "x"): "unknown_field",
        ("items", 1, "sku"): "missing",
        ("items", 1, "quantity"): "missing",
        ("items", 1, "price"): "missing",
        ("note",): "max_length",
        ("when",): "ge",
    }
    answer = plan.explain(raw, "json")
    assert isinstance(answer, ValidationError)
    assert answer.errors[2].ctx == {"gt": 0}


@pytest.mark.parametrize("raw", [b"1.0", b"1e3", b'"1"', b"true", b"null", b"[]"])
def test_only_an_integer_is_an_int(raw: bytes) -> None:
    assert errors(compile_type(int), raw) == {(): "int"}


@pytest.mark.parametrize("tp", [Plain, Data, Typed, Attrs])
def test_integers_fit_in_64_bits_in_every_kind_of_class(tp: Any) -> None:
    field = "size" if tp is Plain else "a"
    found = errors(compile_type(tp), json.dumps({field: -(2**63) - 1}).encode())
    assert found[field,] == "int64"


def test_an_integer_with_bounds_of_its_own_may_be_larger() -> None:
    plan = compile_type(Annotated[int, Meta(ge=0, le=2**64 - 1)])
    assert plan.decode_json(b"18446744073709551615") == 2**64 - 1
    assert errors(plan, b"18446744073709551616") == {(): "le"}
    assert errors(compile_type(Annotated[int, Meta(ge=0)]), b"9223372036854775808") == {(): "int64"}


def test_annotations_of_the_users_classes_are_as_before() -> None:
    class Local(Struct):
        price: Annotated[Decimal, Meta(ge=0)]

    # an annotation that names nothing outside resolves even in a function
    before = dict(Local.__annotations__)
    compile_type(Local)
    assert Local.__annotations__ == before


def test_a_struct_that_msgspec_has_read_before_is_still_bounded() -> None:
    class Early(Struct):
        n: int

    assert msgspec.json.decode(b'{"n":9223372036854775808}', type=Early).n == 2**63
    assert errors(compile_type(Early), b'{"n":9223372036854775808}') == {("n",): "int64"}


def test_a_foreign_struct_stays_unbounded_elsewhere() -> None:
    class Foreign(msgspec.Struct):
        n: int

    assert errors(compile_type(Foreign), b'{"n":9223372036854775808}') == {("n",): "int64"}
    assert msgspec.json.decode(b'{"n":9223372036854775808}', type=Foreign).n == 2**63


@pytest.mark.parametrize(
    ("tp", "good", "bad", "code"),
    [
        (Annotated[int | None, Meta(ge=0)], [b"null", b"0"], b"-1", "ge"),
        (Annotated[str, Meta(min_length=2), Meta(max_length=3)], [b'"ab"'], b'"abcd"', "max_length"),
        (Annotated[str, Meta(pattern="^a"), Meta(pattern="z$")], [b'"abz"'], b'"ab"', "pattern"),
        (Annotated[Decimal, Meta(multiple_of=0.01)], [b'"1.25"', b"3"], b'"1.255"', "multiple_of"),
        (Annotated[Decimal, Bounds(lt=Decimal("0.3"))], [b'"0.29"'], b'"0.3"', "lt"),
        (Annotated[datetime.time, Bounds(ge=datetime.time(9))], [b'"09:00:00"'], b'"08:59:59"', "ge"),
        (Annotated[datetime.timedelta, Bounds(le=datetime.timedelta(hours=1))], [b'"PT1H"'], b'"PT2H"', "le"),
        (
            Annotated[datetime.datetime, Meta(tz=True)],
            [b'"2020-01-01T00:00:00Z"'],
            b'"2020-01-01T00:00:00"',
            "datetime",
        ),
        (Mixed, [b"1", b'"two"', b"0.5"], b"true", "enum"),
        (Color, [b'"red"'], b'"green"', "enum"),
        (Literal[True, "a", 2], [b"true", b'"a"', b"2"], b"1", "literal"),
        (Decimal, [b'"1.5"', b"1.5"], b'"NaN"', "finite"),
        (Decimal, [], b'"1e999999"', "finite"),
        (uuid.UUID, [b'"00000000-0000-0000-0000-000000000000"'], b'"x"', "uuid"),
        (bytes, [b'"YWI="'], b'"?"', "base64"),
        (datetime.date, [b'"2020-02-29"'], b'"2021-02-29"', "date"),
        (datetime.date | str, [b'"x"', b'"2020-01-01"'], b"1", "union"),
        (list[int] | set[str], [b"[1]", b'["a"]'], b"[{}]", "type"),
        (tuple[int, str], [b'[1,"a"]'], b"[1]", "length"),
        (Annotated[list[int], Meta(max_length=1)], [b"[1]"], b"[1,2]", "max_length"),
    ],
)
def test_constraints_that_msgspec_has_and_those_that_it_lacks(
    tp: Any, good: list[bytes], bad: bytes, code: str
) -> None:
    plan = compile_type(tp)
    for raw in good:
        plan.decode_json(raw)
    assert errors(plan, bad) == {(): code}


def test_bounds_with_an_offset_ask_for_one() -> None:
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    plan = compile_type(Annotated[datetime.datetime, Bounds(ge=start)])
    assert plan.decode_json(b'"2020-01-01T00:00:00Z"') == start
    assert errors(plan, b'"2021-01-01T00:00:00"') == {(): "datetime"}
    assert errors(plan, b'"2019-01-01T00:00:00Z"') == {(): "ge"}


@pytest.mark.parametrize(
    ("tp", "raw", "value", "bad", "found"),
    [
        (Data, b'{"a":1}', Data(1), b'{"b":0,"zz":1}', {("a",): "missing", ("b",): "gt"}),
        (Attrs, b'{"a":4}', Attrs(4), b'{"a":1}', {(): "value"}),
        (Typed, b'{"a":1,"z":1}', {"a": 1}, b'{"b":6}', {("a",): "missing", ("b",): "le"}),
        (Named, b"[1]", Named(1), b'["x","2019-01-01"]', {(0,): "int", (1,): "ge"}),
        (Named, b"[1]", Named(1), b'[1,"2020-01-01",3]', {(2,): "unknown_field"}),
        (Cat | Dog, b'{"type":"cat","lives":9}', Cat(lives=9), b'{"type":"cow"}', {("type",): "tag"}),
        (Cat | Dog, b'{"type":"dog","name":"x"}', Dog(name="x"), b"{}", {("type",): "missing"}),
        (Cat | Dog, b'{"type":"dog","name":"x"}', Dog(name="x"), b'{"type":"cat"}', {("lives",): "missing"}),
        (Page[int], b'{"items":[1]}', Page(items=[1]), b'{"items":["x"],"total":-1}',
         {("items", 0): "int", ("total",): "ge"}),
        (Range, b'{"low":1,"high":2}', Range(low=1, high=2), b'{"low":3,"high":2}', {(): "value"}),
        (Changes, b"{}", Changes(), b'{"price":-1}', {("price",): "ge"}),
        (Changes, b'{"price":null}', Changes(price=None), b'{"name":1}', {("name",): "type"}),
        (Card | Transfer | Cash, b'{"number":"1"}', Cash(number="1"), b'{"number":"1","limit":-1}', {("limit",): "ge"}),
        (dict[int, Annotated[Decimal, Meta(ge=0)]], b'{"1":2}', {1: Decimal(2)}, b'{"1":-1,"x":1}',
         {("1",): "ge", ("x",): "key"}),
        (PydanticItem, b'{"a":5}', PydanticItem(a=5), b'{"a":1,"b":"y"}', {("a",): "gt", ("b",): "pattern"}),
        (Mail, b'{"to":{"a":5}}', Mail(to=PydanticItem(a=5)), b'{"to":{},"copies":[{"a":5},{"a":2}]}',
         {("to", "a"): "missing", ("copies", 1, "a"): "gt"}),
    ],
)  # fmt: skip
def test_every_kind_of_structure(tp: Any, raw: bytes, value: Any, bad: bytes, found: dict[Any, str]) -> None:
    plan = compile_type(tp)
    assert plan.decode_json(raw) == value
    assert plan.convert(json.loads(raw)) == value
    packed = msgspec.msgpack.encode(msgspec.to_builtins(value) if tp in KEYED else json.loads(raw))
    assert plan.decode_msgpack(packed) == value
    assert errors(plan, bad) == found


def test_a_generic_is_checked_for_each_of_its_arguments() -> None:
    plan = compile_type(Book)
    raw = b'{"orders":{"items":[{"id":"x","items":[]}]},"numbers":{"items":["x"],"total":-1}}'
    assert errors(plan, raw) == {
        ("orders", "items", 0, "id"): "int",
        ("numbers", "items", 0): "int",
        ("numbers", "total"): "ge",
    }


@pytest.mark.parametrize(
    ("tp", "words"),
    [
        (File, "whose fields are not declared; use a Struct"),
        (list[File], r"\[\]: File is a class"),
        (Annotated[bool, Meta(ge=0)], r"Meta\(ge=…\) cannot hold"),
        (set[list[int]], "hashable; use a list"),
        (One | Two, "do not tell One from Two; .*declare the one that requires more fields first"),
        (str | datetime.date, "put `str` last"),
        (dict[str, Any] | One, "put it last"),
        (dict[tuple[int, int], int], "cannot be a key"),
    ],
)
def test_what_nothing_can_check_is_refused_with_the_fix(tp: Any, words: str) -> None:
    with pytest.raises(UnsupportedType, match=words):
        compile_type(tp)


def test_a_name_that_cannot_be_resolved_is_named() -> None:
    class Local(Struct):
        x: Missing  # noqa: F821  # pyright: ignore[reportUndefinedVariable, reportUnknownVariableType]

    with pytest.raises(UnsupportedType, match="'Missing', which its module does not define; import it at module level"):
        compile_type(Local)


def test_files_pass_through_and_are_refused_in_json() -> None:
    plan = compile_type(list[File], leaf=lambda tp: tp is File)
    file = File()
    assert plan.from_form([file]) == [file]
    assert errors(plan, b'["x"]') == {(0,): "type"}


def test_nul_is_refused_on_demand() -> None:
    raw = b'{"name":"a\\u0000","size":1}'
    assert compile_type(Plain).decode_json(raw).name == "a\0"
    assert errors(compile_type(Plain, refuse_nul=True), raw) == {("name",): "nul"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_floats_are_finite_in_every_format(value: float) -> None:
    plan = compile_type(float)
    assert errors(plan, msgspec.msgpack.encode(value), "msgpack") == {(): "finite"}


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[1", b"nul", b"NaN", b"\xef\xbb\xbf1", b'"\xff"', b"[1,]", b'"\\ud800"',
     b"[" * 100_000, b'{"a":' * 100_000],
)  # fmt: skip
@pytest.mark.parametrize("tp", [Any, Order, int, Tree, PydanticItem])
def test_malformed_json_is_a_bad_request(tp: Any, raw: bytes) -> None:
    plan = compile_type(tp)
    with pytest.raises(DECODE_FAILURES) as caught:
        plan.decode_json(raw)
    assert isinstance(plan.explain(raw, "json", caught.value), BadRequest)


def test_the_offset_of_malformed_json_is_told() -> None:
    answer = compile_type(Any).explain(b'{"a":x}', "json")
    assert answer.extra == {"offset": 5}


@pytest.mark.parametrize("raw", [b"1e999", b"1" * 5000, b'{"a":1e400}'])
def test_huge_numbers_are_a_client_error(raw: bytes) -> None:
    plan = compile_type(Any)
    with pytest.raises(DECODE_FAILURES) as caught:
        plan.decode_json(raw)
    assert 400 <= plan.explain(raw, "json", caught.value).status < 500


def test_untyped_bodies_are_read_to_a_depth_of_100() -> None:
    plan = compile_type(Any)
    plan.decode_json(b"[" * 100 + b"]" * 100)
    plan.decode_json(b'["' + b"[" * 500 + b'"]')
    for decode, raw in (
        (plan.decode_json, b"[" * 101 + b"]" * 101),
        (plan.decode_msgpack, b"\x91" * 101 + b"\xc0"),
    ):
        with pytest.raises(DECODE_FAILURES):
            decode(raw)
    assert isinstance(plan.explain(b"[" * 101 + b"]" * 101, "json"), BadRequest)


@pytest.mark.parametrize("depth", [10, 30, 48, 60, 800, 20_000])
def test_a_wrong_leaf_at_any_depth_is_found_in_linear_time(depth: int) -> None:
    plan = compile_type(Tree)
    raw = b'{"value":1,"children":[' * depth + b'{"value":-1}' + b"]}" * depth
    started = time.perf_counter()
    with pytest.raises(DECODE_FAILURES) as caught:
        plan.decode_json(raw)
    answer = plan.explain(raw, "json", caught.value)
    assert time.perf_counter() - started < 1
    assert answer.status == (422 if depth < 50 else 400)
    if isinstance(answer, ValidationError):
        assert answer.errors[0].code == ("ge" if depth < 16 else "too_deep")


class Left(Struct):
    left: Left | Right | None = None
    a: int


class Right(Struct):
    right: Left | Right | None = None
    b: int


def test_recursive_untagged_unions_take_linear_time() -> None:
    plan = compile_type(Left | Right)
    raw = b'{"a":1,"left":{"b":1,"right":' * 40 + b"7" + b"}}" * 40
    started = time.perf_counter()
    assert set(errors(plan, raw).values()) == {"too_deep"}
    assert time.perf_counter() - started < 1


def test_at_most_100_errors_are_reported() -> None:
    answer = compile_type(list[int]).explain(json.dumps(["x"] * 500).encode(), "json")
    assert isinstance(answer, ValidationError)
    assert len(answer.errors) == 100


def test_values_and_patterns_are_not_echoed() -> None:
    plan = compile_type(Annotated[str, Meta(pattern="^s3cret$")])
    answer = plan.explain(b'"<script>"', "json")
    text = msgspec.json.encode(answer.document()).decode()
    assert "script" not in text
    assert "s3cret" not in text
    described = compile_type(Annotated[str, Meta(pattern="^a$", description="One letter a.")]).explain(b'"b"', "json")
    assert "One letter a." in msgspec.json.encode(described.document()).decode()


@pytest.mark.parametrize("raw", [b"\xc1", b"\x81\x80\x01", b"\xdf\xff\xff\xff\xff", b"\xa1\xff", b"\x91" * 5000])
def test_malformed_messagepack_is_a_bad_request(raw: bytes) -> None:
    plan = compile_type(Any)
    with pytest.raises(DECODE_FAILURES) as caught:
        plan.decode_msgpack(raw)
    assert isinstance(plan.explain(raw, "msgpack", caught.value), BadRequest)


TYPES: list[Any] = [
    Order, Data, Typed, Named, Tree, Cat | Dog, Card | Transfer | Cash, Page[int], Changes, Mail, Left | Right,
    dict[int, Decimal], list[Mixed | None], datetime.date | str | None, tuple[int, float], set[int],
    Annotated[int | None, Meta(ge=0)], Literal["a", 1, None], float | None, Any,
]  # fmt: skip
PLANS = [compile_type(tp) for tp in TYPES]

KEYS = st.sampled_from(
    ["id", "items", "sku", "quantity", "price", "a", "b", "c", "value", "children", "type", "lives", "name", "number",
     "limit", "total", "to", "left", "right", "1", "-1", "\0"]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["", "1", "cat", "dog", "ab", "2020-01-01", "1.5", "NaN", "1e9999", "\0", "red"])
    | st.text(max_size=5)
)
BUILTINS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12
)


@given(st.sampled_from(PLANS), BUILTINS)
@settings(max_examples=400, deadline=None)
def test_convert_accepts_exactly_what_explain_finds_no_fault_with(plan: TypePlan, value: Any) -> None:
    try:
        plan.convert(value)
    except DECODE_FAILURES as e:
        answer = plan.explain(value, "builtins", e)
        assert isinstance(answer, HTTPError)
        assert isinstance(answer, BadRequest) or (isinstance(answer, ValidationError) and answer.errors)
        msgspec.json.encode(answer.document())
    else:
        assert plan._collector.collect(value) == []  # pyright: ignore[reportPrivateUsage]


@given(
    st.sampled_from(PLANS),
    st.binary(max_size=40) | BUILTINS.map(lambda v: json.dumps(v).encode()),
    st.sampled_from(["json", "msgpack"]),
)
@settings(max_examples=400, deadline=None)
def test_any_bytes_decode_or_are_explained(plan: TypePlan, raw: bytes, media: Any) -> None:
    try:
        (plan.decode_json if media == "json" else plan.decode_msgpack)(raw)
    except DECODE_FAILURES as e:
        assert plan.explain(raw, media, e).status in (400, 422)


@given(st.sampled_from(PLANS), BUILTINS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_text_structures_convert_or_are_explained(plan: TypePlan, value: Any, form: bool) -> None:
    try:
        (plan.from_form if form else plan.from_text)(value)
    except DECODE_FAILURES as e:
        assert plan.explain(value, "form" if form else "text", e).status in (400, 422)
