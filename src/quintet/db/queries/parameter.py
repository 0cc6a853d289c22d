"""The parameters of a query while it is built: they may stand in SQL, and every use of their value raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.sql.elements import BindParameter

from quintet.db.queries.errors import ParameterAttributeError, QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Parameter", "ParameterBind"]

_SQL = "put it into SQL (`column == {name}`, `func.lower({name})`, `.limit({name})`)"


class ParameterBind(BindParameter[Any]):
    """A bind parameter that remembers which parameter of the query's function it stands for."""

    inherit_cache = True
    #: The position of the parameter in the function's signature.
    position: int

    @classmethod
    def of(cls, name: str, position: int, use: int) -> ParameterBind:
        """Return the bind parameter for one use of a parameter; each use takes its type from its neighbours."""
        bind = cls(f"{name}__q{use}", required=True)
        bind.position = position
        return bind


class Parameter:
    """Stands for the value of a parameter while a query is built once for all values."""

    __slots__ = ("_name", "_position", "_query", "_uses")

    def __init__(self, query: str, name: str, position: int) -> None:
        self._query = query
        self._name = name
        self._position = position
        self._uses = 0

    def __clause_element__(self) -> ParameterBind:
        self._uses += 1
        return ParameterBind.of(self._name, self._position, self._uses)

    def _refusal(self, what: str, fix: str = "") -> QueryError:
        return QueryError(
            f"query {self._query}: {what} needs the value of its parameter `{self._name}`, but a query is built once,"
            f" before there is a value; {(fix or _SQL).format(name=self._name)}"
        )

    def __repr__(self) -> str:
        return f"<parameter `{self._name}` of query {self._query}>"

    def __str__(self) -> str:
        raise self._refusal("text made of it (an f-string, `format`, `str`)")

    def __format__(self, spec: str) -> str:
        raise self._refusal("text made of it (an f-string, `format`, `str`)")

    def __bool__(self) -> bool:
        raise self._refusal(
            "a truth test (`if`, `and`, `or`, `not`)",
            "annotate it as `… | None` and test `{name} is not None`, or choose between two queries at the call",
        )

    def __contains__(self, item: object) -> bool:
        raise self._refusal("`in`", "write `column.in_({name})`, which expands with each call")

    def __iter__(self) -> Iterator[Any]:
        raise self._refusal("iterating over it", "write `column.in_({name})`, which expands with each call")

    def __len__(self) -> int:
        raise self._refusal("`len`", "pass the number as a parameter of its own")

    def __hash__(self) -> int:
        raise self._refusal("a key, a name or a part of SQL's grammar (a date part of `extract`, say)", "write it out")

    def __getitem__(self, key: object) -> Any:
        raise self._refusal("indexing it", "pass the part as a parameter of its own")

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Refuse: there is no value yet."""
        raise self._refusal("calling it", "call it before, and pass the result")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise ParameterAttributeError(
            f"query {self._query}: `{self._name}.{name}` needs the value of its parameter `{self._name}`, but a query"
            f" is built once, before there is a value; compute it before the call, and pass the result"
        )

    def __index__(self) -> int:
        raise self._refusal("a number made of it")

    __int__ = __float__ = __round__ = __index__  # pyright: ignore[reportAssignmentType] - all of them raise


def _operator(symbol: str) -> Any:
    def operate(self: Parameter, other: Any) -> Any:
        # A column, or an expression of columns, takes the operation over: `limit + column` is SQL.
        if hasattr(other, "__clause_element__") or hasattr(other, "compile"):
            if isinstance(other, Parameter):
                raise self._refusal(f"`{symbol}` between parameters")  # pyright: ignore[reportPrivateUsage]
            return NotImplemented
        raise self._refusal(f"`{symbol}` outside SQL")  # pyright: ignore[reportPrivateUsage]

    return operate


for _name, _symbol in (
    ("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("add", "+"), ("sub", "-"),
    ("mul", "*"), ("truediv", "/"), ("floordiv", "//"), ("mod", "%"), ("pow", "**"), ("and", "&"), ("or", "|"),
    ("xor", "^"), ("lshift", "<<"), ("rshift", ">>"), ("matmul", "@"),
):  # fmt: skip
    setattr(Parameter, f"__{_name}__", _operator(_symbol))
    if _name not in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(Parameter, f"__r{_name}__", _operator(_symbol))


def _unary(symbol: str) -> Any:
    def operate(self: Parameter) -> Any:
        raise self._refusal(f"`{symbol}` outside SQL")  # pyright: ignore[reportPrivateUsage]

    return operate


for _name, _symbol in (("neg", "-"), ("pos", "+"), ("invert", "~"), ("abs", "abs()")):
    setattr(Parameter, f"__{_name}__", _unary(_symbol))
