"""A function that builds a statement, as a query; and a call of it: the query with its values.

Nothing is built here: the first use on a database builds and compiles, see `plan`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar, cast

from quintet.db.queries.errors import QueryError
from quintet.db.queries.logic import refuse_logic
from quintet.db.queries.parameter import Parameter

if TYPE_CHECKING:
    from sqlalchemy.sql.base import Executable

    from quintet.db.session import CompiledQuery

__all__ = ["Bound", "QueryFunction"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Bound:
    """A query with its values."""

    __slots__ = ("pattern", "query", "values")

    def __init__(self, query: QueryFunction[..., Any], values: tuple[Any, ...], pattern: int) -> None:
        self.query = query
        #: The values of all parameters, in the order of the signature.
        self.values = values
        #: Which optional parameters are None: bit n for the n-th optional parameter.
        self.pattern = pattern

    def __repr__(self) -> str:
        # Without the values: they are someone's data, and this text ends up in logs.
        return f"<query {self.query.name} with {len(self.values)} values>"


class QueryFunction(Generic[P, R_co]):
    """What `@query` makes of a function: compiled once for each database; a call of it binds its values."""

    def __init__(self, function: Callable[P, Any], into: type[Any] | None = None, bound: type[Bound] = Bound) -> None:
        self.function = function
        self._bound = bound
        #: The structure that each row becomes, or None: entities, single values or tuples.
        self.into = into
        self.name: str = getattr(function, "__qualname__", repr(function)).replace("<locals>.", "")
        self.module: str = function.__module__
        self.__name__: str = function.__name__
        self.__qualname__ = getattr(function, "__qualname__", function.__name__)
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self.signature = inspect.signature(function)
        for parameter in self.signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                star = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
                raise QueryError(
                    f"query {self.name}: `{star}{parameter.name}` has no fixed number of values; declare each"
                    " parameter, or one that takes a list for `column.in_(…)`"
                )
        self._bind: Callable[..., CompiledQuery[R_co]] | None = None
        self._optional: tuple[str, ...] | None = None
        self._statements: dict[int, Executable] = {}
        self._mapper: tuple[Any] | None = None
        self._place: str | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> CompiledQuery[R_co]:
        """Return the query with these values; nothing is asked of a database."""
        bind = self._bind
        if bind is None:
            bind = self._bind = self._compile_bind()
        return bind(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<query {self.name} of {self.module}>"

    @property
    def where(self) -> str:
        """The file and line of the function."""
        code = self.function.__code__  # type: ignore[attr-defined]
        return f"{code.co_filename}:{code.co_firstlineno}"

    @property
    def optional(self) -> tuple[str, ...]:
        """The parameters that may be None: the query is built once for every pattern of them."""
        if self._optional is None:
            self._optional = tuple(_optional(self.function, self.signature))
        return self._optional

    @property
    def mapper(self) -> Any:
        """The mapper of the first model of the statement, or None."""
        if self._mapper is None:
            statement: Any = self.build_statement(0)
            subject = getattr(statement, "_propagate_attrs", {}).get("plugin_subject")
            self._mapper = (subject.mapper if subject is not None else None,)
        return self._mapper[0]

    @property
    def place(self) -> str:
        """The name of the database that the first model names as its own, or "default"."""
        found = self._place
        if found is None:
            model = None if self.mapper is None else self.mapper.class_
            found = self._place = str(getattr(model, "__database__", "default"))
        return found

    @property
    def patterns(self) -> range:
        """Every pattern of optional parameters."""
        return range(1 << len(self.optional))

    def build_statement(self, pattern: int) -> Executable:
        """Return the statement for one pattern of None, with bind parameters in the place of values.

        Raises:
            QueryError: the function does with a parameter what only a value could do.
        """
        found = self._statements.get(pattern)
        if found is not None:
            return found
        if not self._statements:
            refuse_logic(self.function, self.name, self.signature.parameters, set(self.optional))
        absent = {name for bit, name in enumerate(self.optional) if pattern >> bit & 1}
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for position, (name, parameter) in enumerate(self.signature.parameters.items()):
            value = None if name in absent else Parameter(self.name, name, position)
            if parameter.kind is parameter.KEYWORD_ONLY:
                kwargs[name] = value
            else:
                args.append(value)
        try:
            statement = cast("Callable[..., Any]", self.function)(*args, **kwargs)
        except QueryError:
            raise
        except Exception as error:
            error.add_note(f"while the query {self.name} was built ({self.where})")
            raise
        from sqlalchemy.sql.base import Executable

        if not isinstance(statement, Executable):
            raise QueryError(
                f"query {self.name} returned {type(statement).__name__} ({self.where}); return a statement of"
                " SQLAlchemy: select(…), insert(…), update(…) or delete(…)"
            )
        self._statements[pattern] = statement
        return statement

    def build_with(self, values: tuple[Any, ...]) -> Executable:
        """Return the statement with values in it, in the order of the signature."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for (name, parameter), value in zip(self.signature.parameters.items(), values, strict=True):
            if parameter.kind is parameter.KEYWORD_ONLY:
                kwargs[name] = value
            else:
                args.append(value)
        return cast("Callable[..., Any]", self.function)(*args, **kwargs)

    def _compile_bind(self) -> Callable[..., CompiledQuery[R_co]]:
        # Generated source: Python itself checks the call, names what is missing, and fills in the defaults.
        names = list(self.signature.parameters)
        space: dict[str, Any] = {"_Bound": self._bound, "_query": self, "_none": self._refuse_none}
        declared: list[str] = []
        star = False
        for position, (name, parameter) in enumerate(self.signature.parameters.items()):
            if parameter.kind is parameter.KEYWORD_ONLY and not star:
                declared.append("*")
                star = True
            text = name
            if parameter.default is not parameter.empty:
                space[f"_default{position}"] = parameter.default
                text += f"=_default{position}"
            declared.append(text)
            if parameter.kind is parameter.POSITIONAL_ONLY and not _positional_after(self.signature, position):
                declared.append("/")
        checks = "".join(f"    if {n} is None: _none({n!r})\n" for n in names if n not in self.optional)
        pattern = " | ".join(f"({n} is None) << {bit}" for bit, n in enumerate(self.optional)) or "0"
        values = "".join(f"{n}, " for n in names)
        function = self.__name__ if self.__name__.isidentifier() else "query"
        source = f"def {function}({', '.join(declared)}):\n{checks}    return _Bound(_query, ({values}), {pattern})\n"
        exec(compile(source, f"<query {self.name}>", "exec"), space)  # noqa: S102 - made of checked identifiers
        return space[function]

    def _refuse_none(self, name: str) -> NoReturn:
        raise QueryError(
            f"query {self.name}: `{name}` is None, but it is declared without None; a comparison with NULL finds"
            f" nothing. Annotate it as `{name}: … | None` and test `{name} is None` in the query"
        )


def _positional_after(signature: inspect.Signature, position: int) -> bool:
    later = list(signature.parameters.values())[position + 1 :]
    return bool(later) and later[0].kind is inspect.Parameter.POSITIONAL_ONLY


def _optional(function: Callable[..., Any], signature: inspect.Signature) -> list[str]:
    try:
        hints: dict[str, Any] = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        # A name that exists for type checkers alone: the annotation's text must do.
        hints = dict(getattr(function, "__annotations__", {}))
    found: list[str] = []
    for name, parameter in signature.parameters.items():
        hint = hints.get(name, parameter.empty)
        if parameter.default is None or _accepts_none(hint):
            found.append(name)
    if len(found) > 6:
        raise QueryError(
            f"query {getattr(function, '__qualname__', function)}: {len(found)} optional parameters would be"
            f" {1 << len(found)} variants; at most 6 are compiled. Build this statement per call with select()"
        )
    return found


def _accepts_none(hint: Any) -> bool:
    if isinstance(hint, str):
        return "None" in hint.replace("|", " ").split() or hint.startswith(("Optional[", "typing.Optional["))
    return hint is None or type(None) in typing.get_args(hint)
