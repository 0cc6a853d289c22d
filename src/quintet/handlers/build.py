"""Building: from a declared route to a compiled one, in the order that `freeze` needs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from enum import Enum
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

from quintet.errors import ConfigurationError, Problem, ServiceUnavailable
from quintet.handlers.bind import Binder, strip
from quintet.handlers.compile import Endpoint, OnError, Outcome, compile_endpoint
from quintet.handlers.params import Source
from quintet.handlers.plan import HandlerPlan, Input, Result
from quintet.handlers.results import DEFAULT_PRODUCES, Finisher, plan_result
from quintet.handlers.services import Services
from quintet.handlers.signature import describe, read_signature, where_defined
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.routing.path import CONVERTERS, Converter, Template, enum_converter, literal_converter
from quintet.routing.route import Middleware, Route
from quintet.schema.describe import describe as describe_type
from quintet.schema.nodes import ObjectNode, UnionNode

#: Encodes an answer.
Finish = Callable[[Request, Any], Response[Any]]

_BODIED = {"POST", "PUT", "PATCH", "DELETE", "*"}
_BY_TYPE: dict[Any, str] = {int: "int", float: "float", UUID: "uuid", date: "date", str: "str"}


def derive_converter(annotation: Any) -> Converter:
    """Return the converter that a path parameter's annotation implies."""
    tp = strip(annotation)
    if inspect.isclass(tp) and issubclass(tp, Enum):
        return enum_converter(tp)
    if get_origin(tp) is Literal:
        return literal_converter(get_args(tp))
    return CONVERTERS[_BY_TYPE.get(tp, "str")]


def converters_of(template: Template, plan: HandlerPlan | None) -> tuple[Converter, ...]:
    """Return the converter of each parameter: the one in the template, or the one its annotation implies."""
    found: list[Converter] = []
    for parameter in template.parameters:
        if parameter.converter is not None:
            found.append(CONVERTERS[parameter.converter])
            continue
        inputs = plan.inputs if plan is not None else []
        item = next((i for i in inputs if i.source is Source.PATH and i.key == parameter.name), None)
        found.append(derive_converter(item.annotation) if item is not None else CONVERTERS["str"])
    return tuple(found)


def build_plan(
    route: Route,
    services: Services,
    *,
    max_body: int,
    localns: Mapping[str, Any] | None = None,
    injected: Mapping[Any, str] | None = None,
) -> HandlerPlan:
    """Decide everything about a route's handler.

    Raises:
        ConfigurationError: the handler's signature cannot be served, with the fix.
    """
    options = route.options
    template = route.template()
    names = [p.name for p in template.parameters]
    signature = read_signature(route.handler, localns)
    is_websocket = route.kind == "websocket"  # its body is each message
    has_body = is_websocket or bool(_BODIED & set(route.methods))
    binder = Binder(
        services,
        names,
        has_body=has_body,
        accepts=tuple(options.get("accepts", ("json", "msgpack"))),
        localns=localns,
        injected=injected,
        methods=() if is_websocket else route.methods,
    )
    call = binder.bind(signature)
    _divide_query(binder.inputs)
    used = {i.key for i in binder.inputs if i.source is Source.PATH}
    unused = [n for n in names if n not in used]
    if unused and route.kind != "mount":
        raise ConfigurationError(
            Problem(
                id="routes.unused",
                message=f"{describe(route.handler)}: the path {route.path!r} has {{{unused[0]}}}, which nothing takes",
                where=signature.where,
                fix=f"add a parameter, such as `{unused[0]}: str`",
            )
        )
    problems = [*_sync_guards(options.get("guards", ())), *_missing_templates(route, services, signature.where)]
    if problems:
        raise ConfigurationError(problems)
    produces = tuple(options.get("produces", ()) or DEFAULT_PRODUCES)
    if options.get("template") and "produces" not in options:
        produces = ("html", "json", "msgpack")
    limit = options.get("max_body", max_body)
    return HandlerPlan(
        call=call,
        inputs=binder.inputs,
        body=binder.body,
        dependencies=binder.dependencies,
        result=plan_result(signature, options, produces=produces, registry=services.registry),
        guards=list(options.get("guards", ())),
        middleware=list(options.get("middleware", ())),
        timeout=options.get("timeout"),
        max_body=limit if has_body and not is_websocket else None,
        inline=options.get("inline", False),
    )


def _divide_query(inputs: Sequence[Input]) -> None:
    """Tell each structure in the query which parameters belong to others, so that it does not refuse them."""
    query = [i for i in inputs if i.source is Source.QUERY]
    for item in query:
        if item.is_structure:
            item.others = frozenset(name for other in query if other is not item for name in _query_names(other))


def _query_names(item: Input) -> list[str]:
    node = describe_type(item.annotation) if item.is_structure else None
    if isinstance(node, UnionNode) and len(node.members) == 1:
        node = node.members[0]
    return [f.key for f in node.fields] if isinstance(node, ObjectNode) else [item.key]


def _sync_guards(guards: Sequence[Callable[..., Any]]) -> list[Problem]:
    return [
        Problem(
            id="guards.sync",
            message=f"the guard {describe(guard)} is not async",
            where=where_defined(guard),
            fix="write `async def`; what has to block belongs into a dependency, which runs in a thread",
        )
        for guard in guards
        if (inspect.isfunction(guard) or inspect.ismethod(guard))
        and not inspect.iscoroutinefunction(inspect.unwrap(guard))
    ]


def _missing_templates(route: Route, services: Services, where: str) -> list[Problem]:
    name = route.options.get("template")
    if not name or services.renderer is not None:
        return []
    return [
        Problem(
            id="templates.none",
            message=f"{describe(route.handler)} has the template {name!r}, and the app has no templates",
            where=where,
            fix='write App(templates="templates"), naming the folder',
        )
    ]


def build_endpoint(
    plan: HandlerPlan, services: Services, route: Route, on_error: OnError, reraise: OnError
) -> Endpoint:
    """Compile a plan and put its timeout and middleware around it.

    Args:
        on_error: answers every exception.
        reraise: answers those that have a handler, and raises others for the middleware to see.

    Raises:
        ConfigurationError: a type that cannot be encoded or decoded, with the reason.
    """
    label = f"{'|'.join(route.methods)} {route.path}"
    try:
        endpoint = compile_endpoint(plan, services, reraise if plan.middleware else on_error, label)
    except (TypeError, ValueError, LookupError) as exc:
        raise ConfigurationError(
            Problem(
                id="routes.types",
                message=f"{describe(route.handler)}: {exc}",
                where=plan.call.signature.where or route.where,
            )
        ) from exc
    if plan.timeout is not None:
        endpoint = with_timeout(endpoint, plan.timeout, on_error)
    answers = Finisher(Result(Any, "dynamic", 200), None, services)  # for what a middleware returns by itself
    return compose(endpoint, plan.middleware, on_error, answers.finish)


def with_timeout(endpoint: Endpoint, seconds: float, on_error: OnError) -> Endpoint:
    """Answer 503 where the handler takes longer."""

    async def timed(request: Request) -> Outcome:
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                return await endpoint(request)
        except TimeoutError as exc:
            if not scope.expired():
                return await on_error(request, exc)
            error = ServiceUnavailable(f"this took longer than {seconds:g} s", headers={"retry-after": "1"})
            return await on_error(request, error)

    return timed


def compose(endpoint: Endpoint, middleware: Sequence[Middleware], on_error: OnError, finish: Finish) -> Endpoint:
    """Put middleware around an endpoint, once; the first is the outermost.

    Args:
        endpoint: what they surround.
        middleware: the functions.
        on_error: answers the exceptions that leave them.
        finish: encodes an answer that one of them has made by itself.
    """
    if not middleware:
        return endpoint

    async def innermost(request: Request) -> Response[Any]:
        outcome = await endpoint(request)
        return prepared_response(*outcome) if type(outcome) is tuple else outcome  # pyright: ignore[reportReturnType]

    call: Callable[[Request], Awaitable[Response[Any]]] = innermost
    for function in reversed(middleware):
        call = _bind(function, call, finish)

    async def outermost(request: Request) -> Response[Any]:
        try:
            return await call(request)
        except Exception as exc:  # noqa: BLE001 - the app's own answer to exceptions
            return await on_error(request, exc)

    return outermost


def _bind(
    function: Middleware, call_next: Callable[[Request], Awaitable[Response[Any]]], finish: Finish
) -> Callable[[Request], Awaitable[Response[Any]]]:
    async def call(request: Request) -> Response[Any]:
        response: Any = await function(request, call_next)
        if isinstance(response, Response) and response.content is not None:
            return response  # pyright: ignore[reportUnknownVariableType] - a response of anything
        if response is None:
            raise TypeError(f"the middleware {describe(function)} returned None; it must return a response")
        return finish(request, response)

    return call


def prepared_response(head: Any, body: bytes) -> Response[Any]:
    """Return a Response with the status, fields and body of a prepared outcome, for middleware to look at."""
    response: Response[Any] = Response(None, head.status)
    response.headers.extend(head.fields)
    response.media_type = head.media_type
    response.content = body
    return response
