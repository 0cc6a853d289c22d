"""Values of a call to arguments of the driver: order, constants, bind processors, and lists of `in_()`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quintet.db.queries.parameter import ParameterBind
from quintet.db.queries.shape import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["Arguments", "build_arguments"]

#: Statements kept for different lengths of lists in one query; a caller with more of them compiles again.
_LENGTHS = 64

Values = tuple[Any, ...]


class Arguments:
    """Gives the SQL and the driver's arguments for the values of a call."""

    __slots__ = ("_compiled", "_defaults", "_expanded", "_lists", "bind", "fixed")

    def __init__(self, compiled: SQLCompiler, defaults: dict[str, Callable[[Any], Any]]) -> None:
        self._compiled = compiled
        self._defaults = defaults
        self._lists: dict[str, tuple[int, Any]] = {}
        self._expanded: dict[tuple[int, ...], tuple[str, Callable[..., Any]]] = {}
        #: Without lists there is one SQL text: this, with `bind` for its arguments.
        self.fixed: str | None = None
        self.bind: Callable[..., Any] = _nothing

    def expand(self, values: Values) -> tuple[str, Any]:
        """Return the SQL and the arguments for these values; each length of a list has SQL of its own."""
        if self.fixed is not None:
            return self.fixed, self.bind(values)
        lists = {name: self._items(where, constant, values) for name, (where, constant) in self._lists.items()}
        lengths = tuple(map(len, lists.values()))
        found = self._expanded.get(lengths)
        if found is None:
            if len(self._expanded) >= _LENGTHS:
                self._expanded.clear()
            found = self._expanded[lengths] = self._compile(dict(zip(lists, lengths, strict=True)))
        sql, bind = found
        return sql, bind(values, *lists.values())

    def _items(self, position: int, constant: Any, values: Values) -> list[Any]:
        value = constant if position < 0 else values[position]
        if isinstance(value, (str, bytes)):
            raise TypeError(f"in_() takes a list, not {type(value).__name__}")
        return list(value)

    def _compile(self, lengths: dict[str, int]) -> tuple[str, Callable[..., Any]]:
        compiled = self._compiled
        dummy = {name: [0] * lengths[name] if name in lengths else None for name in _bind_names(compiled)}
        state = compiled._process_parameters_for_postcompile(dummy)  # pyright: ignore[reportPrivateUsage, reportArgumentType]
        items: dict[str, str] = {}
        for offset, name in enumerate(self._lists):
            for index, key in enumerate(state.parameter_expansion.get(name, ())):
                items[key] = f"l{offset}[{index}]"
        names = state.positiontup if compiled.positional else list(state.parameters)
        processors = {**compiled._bind_processors, **state.processors}  # pyright: ignore[reportPrivateUsage]
        return state.statement, self.compile(list(names or ()), processors, items)

    def compile(self, names: list[str], processors: dict[str, Any], items: dict[str, str]) -> Callable[..., Any]:
        """Compile a function from the values, and the lists, to the driver's arguments.

        Generated source: one expression for all arguments, without a loop per call.
        """
        compiled = self._compiled
        space: dict[str, Any] = {}
        parts: list[str] = []
        for number, name in enumerate(names):
            processor = processors.get(name)
            if name in items:
                text = items[name]
            elif name in self._defaults:
                space[f"d{number}"] = self._defaults[name]
                text = f"d{number}(None)"
            else:
                bind = compiled.binds[name]
                if isinstance(bind, ParameterBind):
                    text = f"v[{bind.position}]"
                else:
                    value = bind.effective_value
                    space[f"c{number}"] = processor(value) if processor is not None else value
                    text, processor = f"c{number}", None
            if processor is not None:
                space[f"p{number}"] = processor
                text = f"p{number}({text})"
            parts.append(text if compiled.positional else f"{name!r}: {text}")
        body = f"({''.join(p + ', ' for p in parts)})" if compiled.positional else f"{{{', '.join(parts)}}}"
        lists = "".join(f", l{n}" for n in range(len(self._lists)))
        exec(f"def bind(v{lists}):\n    return {body}\n", space)  # noqa: S102 - positions and names of our own
        return space["bind"]

    def add_list(self, name: str, position: int, constant: Any) -> None:
        """Declare a list of `in_()`: at a position of the values, or a constant of the statement at -1."""
        self._lists[name] = (position, constant)


def build_arguments(compiled: SQLCompiler, dialect: Dialect) -> Arguments:
    """Compile how a statement's arguments are made.

    Raises:
        Unsupported: SQLAlchemy has to do it per call.
    """
    if compiled.literal_execute_params:
        raise Unsupported("a value is written into the SQL text on this database")
    if compiled.escaped_bind_names:
        raise Unsupported("names of its parameters are escaped on this database")
    if not hasattr(compiled, "compile_state") and not compiled.string:
        raise Unsupported("it has no SQL text")
    arguments = Arguments(compiled, _defaults(compiled))
    for bind in compiled.post_compile_params:
        if bind.type._is_tuple_type:  # pyright: ignore[reportPrivateUsage]
            raise Unsupported("tuple_(…).in_(…) is expanded per call")
        position = bind.position if isinstance(bind, ParameterBind) else -1
        arguments.add_list(compiled.bind_names[bind], position, None if position >= 0 else bind.effective_value)
    for bind in compiled.binds.values():
        if bind.callable is not None:
            raise Unsupported("a bindparam(callable_=…) is asked per call")
        if bind.required and not isinstance(bind, ParameterBind):
            raise Unsupported(f"bindparam({bind.key!r}) is not a parameter of the function")
    if not compiled.post_compile_params:
        names: Any = compiled.positiontup if compiled.positional else _bind_names(compiled)
        processors: dict[str, Any] = dict(compiled._bind_processors)  # pyright: ignore[reportPrivateUsage]
        arguments.fixed = compiled.string
        arguments.bind = arguments.compile(list(names or ()), processors, {})
    return arguments


def _bind_names(compiled: SQLCompiler) -> list[str]:
    return list(dict.fromkeys(compiled.bind_names.values()))


def _nothing(values: Values) -> tuple[Any, ...]:
    return ()


def _defaults(compiled: SQLCompiler) -> dict[str, Callable[[Any], Any]]:
    """Return the defaults that Python computes for columns of an insert or update, by bind name."""
    found: dict[str, Callable[[Any], Any]] = {}
    for columns, attribute in ((compiled.insert_prefetch, "default"), (compiled.update_prefetch, "onupdate")):
        for column in columns:
            default: Any = getattr(column, attribute)
            key = compiled._within_exec_param_key_getter(column)  # pyright: ignore[reportPrivateUsage]
            if default is not None and default.is_scalar:
                found[key] = _constant(default.arg)
            elif default is not None and default.is_callable and default.arg is not default._fn:
                found[key] = default.arg  # SQLAlchemy's wrapper around a function without arguments
            else:
                raise Unsupported(f"the default of {column.name} needs the context of its statement")
    return found


def _constant(value: Any) -> Callable[[Any], Any]:
    return lambda context: value
