"""Column types: from an annotation to the SQL type that holds it on every database.

A type says the same everywhere: what was stored comes back as it was given, whichever database is underneath.
"""

from __future__ import annotations

import datetime
import decimal
import enum
from collections.abc import Callable
from typing import Any, cast, get_args, get_origin

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from quintet.db.errors import Unstorable
from quintet.schema.bounds import Bounds
from quintet.schema.describe import describe
from quintet.schema.nodes import (
    ChoiceNode,
    DictNode,
    ListNode,
    Node,
    ObjectNode,
    ScalarNode,
    TupleNode,
    UnionNode,
    UnsupportedType,
)


class Precision(Bounds, frozen=True):
    """The digits of a Decimal: `Annotated[Decimal, Precision.of(12, 2)]` holds 9999999999.99 at most."""

    #: All digits.
    digits: int = 0
    #: Those behind the point.
    places: int = 0

    @classmethod
    def of(cls, digits: int, places: int) -> Precision:
        """Return the bounds and the step that so many digits have."""
        limit = decimal.Decimal(10) ** (digits - places)
        step = decimal.Decimal(1).scaleb(-places)
        return cls(gt=-limit, lt=limit, multiple_of=step, digits=digits, places=places)


class UTCDateTime(TypeDecorator[datetime.datetime]):
    """A moment: aware datetimes only, stored in UTC, given back in UTC."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the type that keeps microseconds, with a time zone where the database has one."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        if dialect.name == "oracle":
            from sqlalchemy.dialects import oracle

            return dialect.type_descriptor(oracle.TIMESTAMP())
        return dialect.type_descriptor(sa.DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        """Turn a moment into what is stored.

        Raises:
            ValueError: it has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(
                f"the datetime {value.isoformat()} has no time zone, so it is no certain moment; "
                "use datetime.now(UTC), or give it one with .replace(tzinfo=…)"
            )
        try:
            value = value.astimezone(datetime.UTC)
        except OverflowError:
            raise Unstorable("a moment is outside of the years 1 to 9999 in UTC") from None
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        """Turn what is stored into a moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)


class Clock(TypeDecorator[datetime.time]):
    """A time of the day, to the microsecond and without a time zone."""

    impl = sa.Time
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the type that keeps microseconds."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.TIME(fsp=6))
        return dialect.type_descriptor(sa.Time())

    def process_bind_param(self, value: datetime.time | None, dialect: Dialect) -> datetime.time | None:
        """Refuse what would be stored as another time.

        Raises:
            ValueError: it has a time zone.
        """
        if value is not None and value.tzinfo is not None:
            raise ValueError(
                f"the time {value.isoformat()} has a time zone, which no column keeps; "
                "store a datetime, or drop it with .replace(tzinfo=None)"
            )
        return value


class Duration(TypeDecorator[datetime.timedelta]):
    """A span of time: an interval on PostgreSQL and Oracle, and a number of microseconds elsewhere."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose an interval where the database has one."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.INTERVAL())
        if dialect.name == "oracle":
            from sqlalchemy.dialects import oracle

            return dialect.type_descriptor(oracle.INTERVAL(day_precision=9, second_precision=6))
        return dialect.type_descriptor(sa.BigInteger())

    def process_bind_param(self, value: datetime.timedelta | None, dialect: Dialect) -> Any:
        """Turn a span into what is stored."""
        if value is None or dialect.name in ("postgresql", "oracle"):
            return value
        if not -LONGEST <= value <= LONGEST:
            raise Unstorable(f"a duration is longer than {LONGEST.days} days")
        return value // datetime.timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime.timedelta | None:
        """Turn what is stored into a span."""
        return datetime.timedelta(microseconds=value) if isinstance(value, int) else value

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Compare with spans."""
        return self


#: The longest duration that every database holds.
LONGEST = datetime.timedelta(days=100_000_000)
#: What a client may write beyond the type itself, so that no database refuses it.
STORABLE: dict[str, Any] = {
    "datetime": Bounds(
        ge=datetime.datetime.min.replace(tzinfo=datetime.UTC), le=datetime.datetime.max.replace(tzinfo=datetime.UTC)
    ),
    "time": msgspec.Meta(tz=False),
    "timedelta": Bounds(ge=-LONGEST, le=LONGEST),
}

_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder[Any](Any).decode


class JSONOf(TypeDecorator[Any]):
    """A column of JSON that holds values of one type: a Struct, a list of them, a dict.

    SQL NULL stands for None. The values are not watched: assign a new one to store a change.
    """

    impl = sa.JSON
    cache_ok = True

    def __init__(self, kind: Any = Any) -> None:
        super().__init__(none_as_null=True)
        #: The type of the values.
        self.kind = kind

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose JSONB on PostgreSQL, text on Oracle, and JSON elsewhere."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.JSONB(none_as_null=True))
        if dialect.name == "oracle":
            return dialect.type_descriptor(sa.Text())
        return dialect.type_descriptor(sa.JSON(none_as_null=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Turn a value into plain data."""
        if value is None:
            return None
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise Unstorable("a number has more than 64 bits")  # SQLite would make another one of it
        if dialect.name == "oracle":
            return _encode(value).decode()
        return msgspec.to_builtins(value, str_keys=True)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Turn plain data into a value, without the constraints: a row older than a rule is readable."""
        if value is None:
            return None
        if dialect.name == "oracle":
            value = _decode(value)
        return msgspec.convert(value, self.kind, str_keys=True) if self.kind is not Any else value

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Let `column["key"]` be compared with what JSON compares with."""
        return self.impl_instance.coerce_compared_value(op, value)


class NumberEnum(TypeDecorator[Any]):
    """A column of numbers that holds the members of an enum of numbers."""

    impl = sa.BigInteger
    cache_ok = True

    def __init__(self, kind: type[enum.Enum]) -> None:
        super().__init__()
        #: The enum.
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Turn a member into its number."""
        return self.kind(value).value if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Turn a number into its member."""
        return self.kind(value) if value is not None else None


def big_integer() -> TypeEngine[int]:
    """Return the type of whole numbers: 64 bits, and on SQLite the one that counts up by itself."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def sql_type(annotation: Any, where: str, *, check: bool = False) -> TypeEngine[Any]:
    """Return the SQL type of an annotation.

    Raises:
        UnsupportedType: no column can hold it; the message names the column and the fix.
    """
    precision = next((m for m in marks_of(annotation) if isinstance(m, Precision)), None)
    if precision is not None:
        return sa.Numeric(precision.digits, precision.places)
    node = describe(annotation, where=where)
    if isinstance(node, UnionNode):
        if len(node.members) != 1:
            return JSONOf(annotation)
        node = node.members[0]
    return _of_node(node, annotation, where, check=check)


def _of_node(node: Node, annotation: Any, where: str, *, check: bool) -> TypeEngine[Any]:
    match node:
        case ScalarNode():
            return _scalar(node, where)
        case ChoiceNode():
            return _choice(node, where, check=check)
        case ListNode(item=ScalarNode() as item) if node.kind == "list" and item.kind in _ARRAYS:
            return _ARRAYS[item.kind](JSONOf(_bare(annotation)))
        case ListNode() | TupleNode() | DictNode() | ObjectNode():
            return JSONOf(_bare(annotation))
        case _:
            raise UnsupportedType(f"{where}: no column can hold this type; give the column a SQLAlchemy type")


_ARRAYS: dict[str, Callable[[Any], TypeEngine[Any]]] = {
    "int": lambda other: other.with_variant(postgresql.ARRAY(sa.BigInteger()), "postgresql"),
    "str": lambda other: other.with_variant(postgresql.ARRAY(sa.Text()), "postgresql"),
    "float": lambda other: other.with_variant(postgresql.ARRAY(sa.Double[float]()), "postgresql"),
    "uuid": lambda other: other.with_variant(postgresql.ARRAY(sa.Uuid()), "postgresql"),
}


def _scalar(node: ScalarNode, where: str) -> TypeEngine[Any]:
    limits = node.constraints
    match node.kind:
        case "str":
            return _text(limits.max_length)
        case "bytes":
            return sa.LargeBinary(limits.max_length).with_variant(mysql.LONGBLOB(), *_MYSQL)
        case "int":
            return big_integer()  # whatever the limits: a rule that is added must not rewrite the table
        case "decimal":
            raise UnsupportedType(
                f"{where}: a column of Decimal needs its digits; write Annotated[Decimal, Precision.of(12, 2)]"
            )
        case "any" | "raw":
            return JSONOf()
        case "none":
            raise UnsupportedType(f"{where}: a column that is always None holds nothing; give it another type")
        case _:
            return _PLAIN[node.kind]()


_MYSQL = ("mysql", "mariadb")
#: Characters beyond which a database has no VARCHAR: 65,535 bytes of four for each, 4,000 bytes.
_LONGEST_TEXT = {"mysql": 16_000, "oracle": 4_000}


def _text(length: int | None) -> TypeEngine[str]:
    """Return the type of texts, one that holds them on every database: MariaDB's TEXT ends at 65,535 bytes."""
    if length is None:
        return sa.Text().with_variant(mysql.LONGTEXT(), *_MYSQL)
    kind: TypeEngine[str] = sa.String(length)
    if length > _LONGEST_TEXT["mysql"]:
        kind = kind.with_variant(mysql.LONGTEXT(), *_MYSQL)
    return kind.with_variant(sa.Text(), "oracle") if length > _LONGEST_TEXT["oracle"] else kind


_PLAIN: dict[str, Callable[[], TypeEngine[Any]]] = {
    "bool": sa.Boolean, "float": sa.Double, "date": sa.Date, "time": Clock, "datetime": UTCDateTime,
    "timedelta": Duration, "uuid": sa.Uuid,
}  # fmt: skip


def _choice(node: ChoiceNode, where: str, *, check: bool) -> TypeEngine[Any]:
    if all(isinstance(v, str) for v in node.values):
        options: dict[str, Any] = {
            "native_enum": False,
            "length": max(len(v) for v in node.values),
            "create_constraint": check,
            "name": where.rpartition(".")[2],
        }
        if node.enum is None:
            return cast("TypeEngine[Any]", sa.Enum(*node.values, **options))
        return sa.Enum(cast("type[enum.Enum]", node.enum), values_callable=_values_of, **options)
    if node.enum is not None and all(isinstance(v, int) for v in node.values):
        return NumberEnum(node.enum)
    if all(isinstance(v, int) and not isinstance(v, bool) for v in node.values):
        return sa.BigInteger()
    raise UnsupportedType(f"{where}: a column holds choices of texts or of whole numbers; give it a SQLAlchemy type")


def _values_of(kind: type[enum.Enum]) -> list[str]:
    return [str(member.value) for member in kind]


def marks_of(annotation: Any) -> list[Any]:
    """Return everything that stands in the `Annotated`s of a type, those of the members of a union included."""
    found = list(getattr(annotation, "__metadata__", ()))
    if found:
        return found + marks_of(annotation.__origin__)
    value = getattr(annotation, "__value__", None)
    if value is not None:
        return marks_of(value)
    if get_origin(annotation) in (list, dict, tuple, set, frozenset):
        return []
    return [mark for member in get_args(annotation) for mark in marks_of(member)]


def _bare(annotation: Any) -> Any:
    """Return a type without None: NULL is the column's business."""
    from quintet.db.hints import without_none

    return without_none(annotation)
