"""Signatures are read once, with annotations in any of the ways Python allows."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from quintet import Depends, Meta, Name, Query, Struct
from quintet.errors import ConfigurationError, Problem
from quintet.handlers.params import Header, Source
from quintet.handlers.signature import EMPTY, describe, read_signature, where_defined

if TYPE_CHECKING:
    from decimal import Decimal


def problem_of(function: Any, localns: dict[str, Any] | None = None) -> Problem:
    with pytest.raises(ConfigurationError) as error:
        read_signature(function, localns)
    (problem,) = error.value.problems
    return problem


def dependency() -> int:
    return 1


def test_sources_names_and_defaults_are_told_apart_from_the_type() -> None:
    def handler(
        a: Query[int],
        b: Header[Annotated[str, Name("X-Request-Id")]],
        c: Annotated[int, Meta(gt=0)] = 5,
        *,
        d: Annotated[int, Depends(dependency)],
    ) -> list[str]: ...

    signature = read_signature(handler)
    a, b, c, d = signature.parameters
    assert (a.type, a.source, a.alias, a.required) == (int, Source.QUERY, None, True)
    assert (b.type, b.source, b.alias) == (str, Source.HEADER, "X-Request-Id")
    assert (c.annotation, c.type, c.source, c.default) == (Annotated[int, Meta(gt=0)], int, None, 5)
    assert (d.keyword_only, d.depends is not None and d.depends.function) == (True, dependency)
    assert signature.returns == list[str]


def test_a_dependency_as_the_default_is_read_too() -> None:
    def handler(a: int = Depends(dependency)) -> None: ...  # type: ignore[assignment]

    (a,) = read_signature(handler).parameters
    assert a.depends is not None
    assert a.required


def test_names_of_the_function_around_are_found_in_its_closure_and_its_locals() -> None:
    class Local:
        pass

    def closing(a: Local) -> Local:
        return Local()

    def open(a: Local) -> None: ...

    assert read_signature(closing).parameters[0].type is Local
    assert read_signature(open, {"Local": Local}).parameters[0].type is Local


def test_a_name_that_is_not_there_is_reported_with_its_fix() -> None:
    def handler(price: Decimal) -> None: ...

    problem = problem_of(handler)
    assert problem.id == "signature.name"
    assert "'Decimal', which is not defined there" in problem.message
    assert "not under TYPE_CHECKING" in problem.fix
    assert problem.where == f"{__file__}:{handler.__code__.co_firstlineno}"


def test_an_annotation_that_is_no_type_is_reported() -> None:
    def handler(a: Annotated[int]) -> None: ...  # type: ignore[valid-type]

    assert problem_of(handler).id == "signature.annotation"


@pytest.mark.parametrize("star", ["*args", "**kwargs"])
def test_star_parameters_are_reported(star: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def handler({star}): ...", namespace)
    problem = problem_of(namespace["handler"])
    assert problem.id == "signature.star"
    assert problem.fix == f"name the parameters instead of {star}"


def test_the_kind_of_a_callable_is_known() -> None:
    async def coroutine() -> None: ...
    def function() -> None: ...
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    def generator() -> Iterator[int]:
        yield 1

    class Async:
        async def __call__(self, a: int) -> int:
            return a

    class Sync:
        def __init__(self, a: int) -> None: ...

    kinds = {
        coroutine: (True, False),
        function: (False, False),
        async_generator: (True, True),
        generator: (False, True),
        Async(): (True, False),
        Sync: (False, False),
        Async().__call__: (True, False),
    }
    for callable_, (is_async, is_generator) in kinds.items():
        signature = read_signature(callable_)
        assert (signature.is_async, signature.is_generator) == (is_async, is_generator), callable_
    assert [p.name for p in read_signature(Async()).parameters] == ["a"]
    assert read_signature(Sync).returns is Sync


def test_a_decorated_function_is_read_through_its_wrapper() -> None:
    def original(a: int) -> str:
        return str(a)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    signature = read_signature(wrapper)
    assert [p.type for p in signature.parameters] == [int]
    assert signature.returns is str
    assert where_defined(wrapper) == f"{__file__}:{original.__code__.co_firstlineno}"


def test_a_partial_asks_for_what_is_left() -> None:
    def original(a: int, b: str) -> str:
        return b * a

    signature = read_signature(functools.partial(original, 2))
    assert [(p.name, p.type) for p in signature.parameters] == [("b", str)]
    assert signature.returns is str


def test_a_parameter_without_annotation_has_none() -> None:
    def handler(a): ...  # type: ignore[no-untyped-def]

    signature = read_signature(handler)
    assert signature.parameters[0].annotation is EMPTY
    assert signature.returns is EMPTY


def test_callables_are_described_by_their_names() -> None:
    class Callable:
        def __call__(self) -> None: ...

    assert describe(dependency) == "dependency"
    assert describe(Callable()) == "Callable"
    assert where_defined(Callable()).startswith(__file__)


def test_a_partial_of_a_coroutine_function_is_one() -> None:
    async def original(a: int, b: str) -> str:
        return b * a

    signature = read_signature(functools.partial(original, 2))
    assert signature.is_async
    assert describe(signature.function).endswith("original")
    assert signature.where == f"{__file__}:{original.__code__.co_firstlineno}"


def test_a_struct_as_a_dependency_asks_for_its_fields() -> None:
    class Paging(Struct):
        page: int = 1
        size: Annotated[int, Meta(le=100)] = 20

    signature = read_signature(Paging)
    assert [(p.name, p.type, p.default) for p in signature.parameters] == [("page", int, 1), ("size", int, 20)]
