from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, TypedDict, TypeVar
from uuid import UUID
from xml.etree import ElementTree

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import BadRequest
from quintet.media.xml import XML, build_decoder, build_encoder

T = TypeVar("T")
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


class Color(Enum):
    RED = "red"


class Address(msgspec.Struct, rename="camel"):
    city: str
    zip_code: str | None = None


class Line(msgspec.Struct, forbid_unknown_fields=True):
    sku: Annotated[str, XML(attribute=True)]
    note: Annotated[str, XML(text=True)] = ""


class Order(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[int, XML(attribute=True)]
    address: Address | None
    lines: list[Line] = []
    tags: Annotated[list[str], XML(wrapped=True, item="tag")] = []
    codes: list[int] | None = None
    grid: list[list[int]] = []
    extra: dict[str, list[Decimal]] = {}
    lang: Annotated[str | None, XML(attribute=True, ns="http://www.w3.org/XML/1998/namespace")] = None


class Author(msgspec.Struct):
    __xml__: ClassVar[XML] = XML(name="creator", ns="urn:people")
    name: str
    tag: Annotated[str, XML(attribute=True, ns="urn:a&b")] = ""


class Book(msgspec.Struct):
    __xml__: ClassVar[XML] = XML(name="book", ns="urn:books")
    title: str
    authors: Annotated[list[Author], XML(name="by")]
    price: Annotated[Decimal | None, XML(ns="urn:shop")] = None


@dataclass
class TimeZone:
    name: str
    offset: float


@attrs.define
class Attrs:
    a: list[int]
    b: bool = False


class Typed(TypedDict, total=False):
    a: int
    b: list[str]


class Pair(NamedTuple):
    left: str
    right: int


class Model(pydantic.BaseModel):
    ids: list[int] = pydantic.Field(alias="theId")


class Tree(msgspec.Struct):
    name: str
    children: list[Tree] = []


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    names: list[str]


class Page(msgspec.Struct, Generic[T]):
    rows: list[T]
    total: int


class Everything(msgspec.Struct):
    text: str
    number: int
    real: float
    flag: bool
    price: Decimal
    when: datetime
    day: date
    span: timedelta
    key: UUID
    color: Color
    blob: bytes
    maybe: int | None
    other: int | None = 3
    pair: tuple[int, str] = (1, "a")
    keys: frozenset[int] = frozenset()
    any: dict[str, str] = {}


def encode(tp: Any, value: Any) -> str:
    body = build_encoder(tp)(value).decode()
    assert body.startswith(HEAD)
    ElementTree.fromstring(body)
    return body.removeprefix(HEAD)


def decode(tp: Any, body: str | bytes) -> Any:
    return build_decoder(tp)(body.encode() if isinstance(body, str) else body)


def round_trip(tp: Any, value: Any) -> Any:
    return msgspec.convert(decode(tp, encode(tp, value)), tp, strict=False)


def test_structures_lists_and_attributes() -> None:
    order = Order(7, Address("Paris"), [Line("a", "x<y"), Line("b")], ["t"], [1, 2], [[1], []], {"k": [Decimal("1.0")]})
    assert encode(Order, order) == (
        '<order id="7"><address><city>Paris</city></address>'
        '<lines sku="a">x&lt;y</lines><lines sku="b"/>'
        "<tags><tag>t</tag></tags><codes><item>1</item><item>2</item></codes>"
        "<grid><item>1</item></grid><grid/><extra><k><item>1.0</item></k></extra></order>"
    )
    assert round_trip(Order, order) == order


def test_none_is_left_out_or_nil_and_never_an_empty_list() -> None:
    order = Order(7, None, codes=[], lang="fr")
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"'
    assert encode(Order, order) == f'<order id="7" xml:lang="fr"><address {xsi}/><tags/><codes/><extra/></order>'
    assert round_trip(Order, order) == order
    assert round_trip(Order, Order(7, None)).codes is None
    assert encode(type(None), None) == f"<value {xsi}/>"


def test_namespaces_hold_for_what_is_inside() -> None:
    book = Book("T", [Author("A", 'x"'), Author("B")], Decimal(5))
    assert encode(Book, book) == (
        '<book xmlns="urn:books"><title>T</title>'
        '<by xmlns:ns0="urn:a&amp;b" ns0:tag="x&quot;"><name xmlns="urn:people">A</name></by>'
        '<by xmlns:ns0="urn:a&amp;b" ns0:tag=""><name xmlns="urn:people">B</name></by>'
        '<price xmlns="urn:shop">5</price></book>'
    )
    assert round_trip(Book, book) == book


def test_any_prefix_means_its_namespace() -> None:
    body = '<b:book xmlns:b="urn:books" xmlns:s="urn:shop"><b:title>T</b:title><s:price>5</s:price></b:book>'
    assert decode(Book, body) == {"title": "T", "price": "5", "authors": []}
    assert decode(Book, body.replace('s="urn:shop"', 's="urn:x"')) == {"title": "T", "price": "5", "authors": []}
    with pytest.raises(BadRequest, match="must be <book> in the namespace urn:books"):
        decode(Book, "<book><title>T</title></book>")
    with pytest.raises(BadRequest, match="must be <book>"):
        decode(Book, '<novel xmlns="urn:books"/>')


@pytest.mark.parametrize(
    ("tp", "value", "want"),
    [
        (TimeZone, TimeZone("UTC", 0.0), "<time_zone><name>UTC</name><offset>0.0</offset></time_zone>"),
        (list[Cat], [Cat(9)], "<items><cat><type>Cat</type><lives>9</lives></cat></items>"),
        (list[int], [1, 2], "<items><item>1</item><item>2</item></items>"),
        (list[Author], [], "<items/>"),
        (dict[str, int], {"a": 1, "b c": 2}, '<object><a>1</a><entry key="b c">2</entry></object>'),
        (dict[str, str], {"entry": "", "xml": "2"}, '<object><entry key="entry"/><entry key="xml">2</entry></object>'),
        (Annotated[list[int], XML(name="numbers", item="n")], [1], "<numbers><n>1</n></numbers>"),
        (list[Annotated[str, XML(name="tag")]], ["a"], "<items><tag>a</tag></items>"),
        (Attrs, Attrs([1, 2], True), "<attrs><a>1</a><a>2</a><b>true</b></attrs>"),
        (Typed, {"b": ["x"]}, "<typed><b>x</b></typed>"),
        (Pair, Pair("a", 1), "<items><item>a</item><item>1</item></items>"),
        (int, 3, "<value>3</value>"),
        (Tree, Tree("a", [Tree("b")]), "<tree><name>a</name><children><name>b</name></children></tree>"),
        (Cat | Dog, Dog(["x"]), "<value><type>Dog</type><names>x</names></value>"),
        (Page[Address], Page([Address("a")], 1), "<page><rows><city>a</city></rows><total>1</total></page>"),
        (Address | None, None, '<address xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>'),
    ],
)  # fmt: skip
def test_every_kind_of_value_goes_there_and_back(tp: Any, value: Any, want: str) -> None:
    assert encode(tp, value) == want
    assert round_trip(tp, value) == value


def test_undeclared_values_are_written_by_their_looks() -> None:
    assert encode(Any, {"a": [1, {"b": None}], "c": {}}) == (
        "<object><a><item>1</item><item><b "
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/></item></a><c/></object>'
    )
    assert encode(Any, [True]) == "<items><item>true</item></items>"
    assert encode(Any, float("-inf")) == "<value>-INF</value>"
    assert decode(Any, '<x a="1"> <b>1</b><b>2</b><c/>t</x>') == {"@a": "1", "b": ["1", "2"], "c": "", "#text": " t"}
    assert decode(Any, "<x><item>1</item><item>2</item></x>") == ["1", "2"]


def test_a_pydantic_model_is_read_and_written_by_alias() -> None:
    assert encode(Model, Model(theId=[1])) == "<model><theId>1</theId></model>"
    assert decode(Model, "<model><theId>1</theId></model>") == {"theId": ["1"]}


def test_what_is_not_declared_is_kept_for_strict_types_to_refuse() -> None:
    assert decode(Line, '<line sku="a" admin="1"><x/></line>') == {"sku": "a", "@admin": "1", "x": "", "note": ""}
    assert decode(Address, "<a>stray<city>P</city></a>") == {"city": "P", "#text": "stray"}
    assert decode(Address, "<a><city>P</city><city>Q</city></a>") == {"city": ["P", "Q"]}
    with pytest.raises(BadRequest, match="expected <tag> in <tags>, not <other>"):
        decode(Order, "<order><tags><other/></tags></order>")
    with pytest.raises(BadRequest, match="not text"):
        decode(Order, "<order><tags>x</tags></order>")


def test_comments_and_cdata_are_text_or_nothing() -> None:
    assert decode(Address, "<a><!-- x --><city>P<!-- y -->a<![CDATA[<r>]]></city></a>") == {"city": "Pa<r>"}
    assert decode(Address, b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?><a><city>\xc3\xa9</city></a>") == {
        "city": "é"
    }


BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><a><city>&y;</city></a>'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BOMB, "DOCTYPE"),
        ('<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd"><a/>', "DOCTYPE"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "DOCTYPE"),
        ('<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><a/>', "DOCTYPE"),
        ("<!DOCTYPE a><a/>", "DOCTYPE"),
        ("<a>&x;</a>", "malformed: undefined entity"),
        ('<?xml-stylesheet href="x"?><a/>', "processing instruction"),
        ("<a><?php x?></a>", "processing instruction"),
        ('<?xml version="1.0" encoding="utf-7"?><a/>', "UTF-8"),
        ('<?xml version="1.0" encoding="iso-8859-1"?><a/>', "UTF-8"),
        ("<a/>".encode("utf-16"), "UTF-8"),
        ("<a/>".encode("utf-16-le"), "UTF-8"),
        (b"<a>\xff</a>", "malformed"),
        (b"<a>\xed\xa0\x80</a>", "malformed"),
        ("<a>\x00</a>", "UTF-8"),
        ("<a>&#0;</a>", "malformed"),
        ("", "malformed: no element found"),
        ("  ", "malformed"),
        ("{}", "malformed"),
        ("<a>", "malformed"),
        ("<a/><b/>", "malformed"),
        ("<a b='1' b='2'/>", "malformed"),
        ("<x:a/>", "malformed: unbound prefix"),
        ("<a>" * 101 + "</a>" * 101, "deeper than 100"),
        ("<a>" * 100_000, "deeper than 100"),
        ("<a>" + "<b/>" * 50_000 + "</a>", "more than 50000 elements"),
        ("<a " + " ".join(f'b{n}=""' for n in range(101)) + "/>", "more than 100 attributes"),
        (f'<a xmlns="{"x" * 513}"/>', "namespace"),
    ],
)
def test_b21_hostile_documents_are_refused(body: str | bytes, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(BadRequest, match=reason):
        decode(Address, body)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("piece", ["<!--x-->", "&lt;", "<![CDATA[]]>", "]]&gt;", " ", "é", "<a/>"])
def test_large_documents_take_linear_time(piece: str) -> None:
    started = time.process_time()
    decode(Any, "<a>" + piece * min(49_000, 1_000_000 // len(piece)) + "</a>")
    assert time.process_time() - started < 2


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    assert round_trip(str, "a\x00\x0b\ud800\ufffeb") == "a\ufffd\ufffd\ufffd\ufffdb"
    assert round_trip(str, "\r\n\t ]]> ") == "\r\n\t ]]> "


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: msgspec.defstruct("A", [("x", int)], rename=lambda _: "x y"), "is no name in XML"),
        (lambda: msgspec.defstruct("A", [("x", Annotated[list[int], XML(text=True)])]), "cannot be an XML attribute"),
        (lambda: msgspec.defstruct("A", [("x", Annotated[Line, XML(attribute=True)])]), "cannot be an XML attribute"),
        (lambda: Annotated[int, XML(name="a:b")], "is no name in XML"),
        (lambda: Annotated[int, XML(name="a><b")], "is no name in XML"),
        (lambda: Annotated[list[int], XML(item="1")], "is no name in XML"),
    ],
)  # fmt: skip
def test_an_impossible_mapping_is_an_error_at_start_up(make: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        build_encoder(make())


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda t: not any((c < " " and c not in "\t\n\r") or c in "\ufffe\uffff" for c in t)
)
everything = st.builds(
    Everything,
    text=text,
    number=st.integers(-(2**63), 2**63 - 1),
    real=st.floats(allow_nan=False, allow_infinity=False),
    flag=st.booleans(),
    price=st.decimals(allow_nan=False, allow_infinity=False),
    when=st.datetimes(timezones=st.just(UTC)),
    day=st.dates(),
    span=st.timedeltas(timedelta(-1000), timedelta(1000)),
    key=st.uuids(),
    color=st.sampled_from(Color),
    blob=st.binary(max_size=6),
    maybe=st.none() | st.integers(0, 9),
    other=st.none() | st.integers(0, 9),
    pair=st.tuples(st.integers(0, 9), text),
    keys=st.frozensets(st.integers(0, 9), max_size=3),
    any=st.dictionaries(text, text, max_size=3),
)


@given(everything)
def test_what_is_written_is_read_back(value: Everything) -> None:
    assert round_trip(Everything, value) == value


@given(
    st.builds(
        Order,
        st.integers(0, 9),
        st.none() | st.builds(Address, text, st.none() | text),
        st.lists(st.builds(Line, text, text), max_size=3),
        st.lists(text, max_size=3),
        st.none() | st.lists(st.integers(0, 9), max_size=3),
        st.lists(st.lists(st.integers(0, 9), max_size=2), max_size=2),
        st.dictionaries(text, st.lists(st.decimals(0, 9, places=2), max_size=2), max_size=2),
        st.none() | text,
    )
)
def test_nested_values_are_read_back(value: Order) -> None:
    assert round_trip(Order, value) == value


FRAGMENTS = "<a> </a> <order> </order> <tags> </tags> <tag/> <address/> x &lt; <extra> </extra> <!-- --> <?x?> \x00"
fragments = st.sampled_from(
    [*FRAGMENTS.split(" "), "<entry key=''/>", "<lines sku='1'/>", "<!DOCTYPE a>", " xmlns='u'"]
)


@given(st.binary(max_size=40) | st.lists(fragments, max_size=12).map(lambda parts: "".join(parts).encode()))
def test_any_document_is_read_or_refused(body: bytes) -> None:
    for tp in (Order, Book, Tree, list[Line], dict[str, int], Any, int, Cat | Dog):
        for document in (body, b"<order>" + body + b"</order>"):
            try:
                decode(tp, document)
            except BadRequest:
                pass
