"""WebSocket handlers: from a plan to the function that serves one connection.

Two styles share everything: a handler that takes a `WebSocket` is called once and receives and sends itself; one that
takes a message, a structure or `Body[T]`, is called for each message and what it returns is sent. Parameters and
dependencies are read once, at the handshake, so that what they refuse is refused with an HTTP answer.
"""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, Union, cast, get_args, get_origin

from quintet.errors import (
    ConfigurationError,
    FieldError,
    Forbidden,
    HTTPError,
    NotFound,
    Problem,
    UnsupportedMediaType,
    ValidationError,
)
from quintet.handlers.bind import strip
from quintet.handlers.inputs import InputFailure, raw_getter
from quintet.handlers.managers import manager_of
from quintet.handlers.params import Source
from quintet.handlers.plan import Call, HandlerPlan, Input, Result
from quintet.handlers.results import DEFAULT_PRODUCES, Finisher
from quintet.handlers.services import Services
from quintet.handlers.signature import EMPTY, describe
from quintet.http.channel import INTERNAL_ERROR, POLICY_VIOLATION, UNSUPPORTED_DATA, WebSocketDisconnect
from quintet.http.context import current_request
from quintet.http.origin import allows_origin
from quintet.http.request import Request
from quintet.http.response import Response
from quintet.http.websocket import Codec, WebSocket, WebSocketOptions
from quintet.schema.output import compile_output
from quintet.schema.plan import DECODE_FAILURES, compile_type

if TYPE_CHECKING:
    from quintet.handlers.failures import Failures
    from quintet.routing.route import Route

logger = logging.getLogger("quintet.app")

#: Serves one connection. None where the handshake was accepted, else the response that refuses it.
WebSocketEndpoint: TypeAlias = "Callable[[Request, WebSocket[Any, Any]], Awaitable[Response[Any] | None]]"

_Encode: TypeAlias = "Callable[[Any, bool], str | bytes]"
_Handle: TypeAlias = "Callable[[Request, WebSocket[Any, Any], dict[int, Any]], Awaitable[None]]"
_LOC = ("message",)


class _App(Protocol):
    """What WebSocket handlers need of the app itself."""

    failures: Failures


def compile_websocket(plan: HandlerPlan, services: Services, app: _App, route: Route) -> WebSocketEndpoint:
    """Compile the plan of a WebSocket route.

    Raises:
        ConfigurationError: the handler is neither of the two styles, or a message has a type that cannot be read.
    """
    names = [p.name for p in route.template().parameters]
    _check(plan, route)
    options = route.options.get("websocket") or WebSocketOptions()
    try:
        codec, encode_result = _build_codecs(plan, services)
    except (TypeError, ValueError, LookupError) as exc:
        message = f"{describe(route.handler)}: {exc}"
        raise ConfigurationError(
            Problem(id="websocket.types", message=message, where=plan.call.signature.where or route.where)
        ) from exc
    result = Result(Any, "dynamic", 200, DEFAULT_PRODUCES)
    on_error = app.failures.responder(route.error_handlers, Finisher(result, None, services), reraise=False)
    read_inputs = _inputs_reader(plan.inputs, names)
    open_dependencies = _dependencies_opener(plan, services, app)
    handle = _handler(plan, app) if plan.body is None else _listener(plan, services, app, encode_result)

    async def serve(request: Request, websocket: WebSocket[Any, Any]) -> None:
        if not allows_origin(request, options.origins):
            raise Forbidden("pages of this origin may not connect")
        for guard in plan.guards:
            await guard(request)
        values = read_inputs(request)
        async with AsyncExitStack() as stack:
            await open_dependencies(request, websocket, values, stack)
            await handle(request, websocket, values)
        if not websocket.accepted:
            await websocket.accept()
        await websocket.close()

    async def endpoint(request: Request, websocket: WebSocket[Any, Any]) -> Response[Any] | None:
        current_request.set(request)
        websocket.codec = codec
        try:
            await serve(request, websocket)
        except WebSocketDisconnect as exc:
            if websocket.accepted and not websocket.closed:  # it was another WebSocket's
                await _close_after(exc, request, websocket, app.failures)
        except Exception as exc:  # noqa: BLE001 - answered, or logged and told to the client
            if not websocket.accepted:
                return await on_error(request, exc)
            await _close_after(exc, request, websocket, app.failures)
        await run_after(request)
        return None

    return endpoint


async def _close_after(exc: Exception, request: Request, websocket: WebSocket[Any, Any], failures: Failures) -> None:
    """Close a WebSocket whose handler has raised."""
    if isinstance(exc, HTTPError) and exc.status < 500:
        code, reason = POLICY_VIOLATION, exc.detail or exc.title
    else:
        failures.unexpected(request, exc)
        code, reason = INTERNAL_ERROR, "the server failed; the failure was logged"
    try:
        await websocket.close(code, reason)
    except WebSocketDisconnect:
        pass


async def run_after(request: Request) -> None:
    """Run what was to be done after the request."""
    callbacks, request.after = request.after or [], None
    for callback in callbacks:
        try:
            result = callback()
            if result is not None:
                await result
        except Exception:
            logger.exception("a callback after a WebSocket failed")


# -- what is possible ---------------------------------------------------------------------------------------------


def _check(plan: HandlerPlan, route: Route) -> None:
    signature = plan.call.signature
    takes_socket = "websocket" in plan.call.arguments.values()
    in_dependency = next((c for c in plan.dependencies if "body" in c.arguments.values()), None)
    found: tuple[str, str] | None = None
    if signature.is_generator:
        found = ("is a generator", "send what it yields with `await websocket.send(…)`")
    elif plan.body is not None and plan.body.kind != "value":
        found = (f"takes a {plan.body.kind}, which a message cannot be", "take a structure")
    elif in_dependency is not None:
        found = (
            f"depends on {describe(in_dependency.signature.function)}, which takes a message",
            "take the message in the handler; dependencies are called once, at the handshake",
        )
    elif plan.body is None and not takes_socket:
        found = (
            "takes neither a WebSocket nor a message",
            "add a parameter: `websocket: WebSocket`, or one that is a structure, for each message",
        )
    elif plan.body is None and not signature.is_async:
        found = ("takes a WebSocket, which only `async def` can use", "write `async def`")
    if found is not None:
        message, fix = found
        raise ConfigurationError(
            Problem(
                id="websocket.signature",
                message=f"{describe(route.handler)} {message}",
                where=signature.where or route.where,
                fix=fix,
            )
        )


# -- messages -----------------------------------------------------------------------------------------------------


class _Types(NamedTuple):
    incoming: Any
    outgoing: Any


def _socket_types(plan: HandlerPlan) -> _Types:
    """Return what the handler's `WebSocket[In, Out]` says."""
    for parameter in plan.call.signature.parameters:
        if plan.call.arguments[parameter.name] == "websocket":
            arguments = get_args(parameter.type)
            return _Types(*arguments) if arguments else _Types(str, Any)
    return _Types(str, Any)


def _build_codecs(plan: HandlerPlan, services: Services) -> tuple[Codec, _Encode]:
    declared = _socket_types(plan)
    incoming = plan.body.annotation if plan.body is not None else declared.incoming
    codec = Codec(_build_decode(incoming), _build_encode(declared.outgoing, services))
    returns = plan.call.signature.returns
    if plan.body is None or returns is EMPTY or returns is None or returns is types.NoneType:
        return codec, codec.encode
    return codec, _build_encode(returns, services)


def _raw_kinds(tp: Any) -> set[type] | None:
    """Return {str}, {bytes} or both where a type is frames as they are."""
    tp = strip(tp)
    members = set(get_args(tp)) if get_origin(tp) in (Union, types.UnionType) else {tp}
    return members if members <= {str, bytes} else None


def _build_decode(tp: Any) -> Callable[[str | bytes], Any]:
    kinds = _raw_kinds(tp)
    if kinds is not None and strip(tp) is tp:
        return _raw_decoder(tuple(kinds))
    plan = compile_type(tp)
    decode_json, decode_msgpack, explain = plan.decode_json, plan.decode_msgpack, plan.explain

    def decode(frame: str | bytes) -> Any:
        try:
            return decode_msgpack(frame) if isinstance(frame, bytes) else decode_json(frame.encode())
        except DECODE_FAILURES as exc:
            media, raw = ("msgpack", frame) if isinstance(frame, bytes) else ("json", frame.encode())
            error = explain(raw, cast("Any", media), exc, loc=_LOC)
        error.detail = error.detail.replace("The body", "The message")
        raise error

    return decode


def _raw_decoder(kinds: tuple[type, ...]) -> Callable[[str | bytes], str | bytes]:
    if len(kinds) == 2:
        return lambda frame: frame
    kind = kinds[0]
    name = "text" if kind is str else "binary"

    def decode(frame: str | bytes) -> str | bytes:
        if isinstance(frame, kind):
            return frame
        raise UnsupportedMediaType(f"only {name} messages are understood here", extra={"close": UNSUPPORTED_DATA})

    return decode


def _build_encode(tp: Any, services: Services) -> _Encode:
    build_json = services.registry.get("json").build_encoder
    build_msgpack = services.registry.get("msgpack").build_encoder
    assert build_json is not None
    assert build_msgpack is not None
    to_json, to_msgpack = build_json(tp), build_msgpack(tp)
    shape = None if tp is Any or tp is object else compile_output(tp)
    raw = tp is Any or tp is object or _raw_kinds(tp) is not None

    def encode(value: Any, binary: bool) -> str | bytes:
        if raw and isinstance(value, (str, bytes)):
            return value
        if shape is not None:
            value = shape(value)
        return to_msgpack(value) if binary else to_json(value).decode()

    return encode


# -- parameters and dependencies ----------------------------------------------------------------------------------


def _inputs_reader(inputs: Sequence[Input], path: Sequence[str]) -> Callable[[Request], dict[int, Any]]:
    """Return the function that reads every input of a handshake, by the identity of its `Input`."""
    getters: list[tuple[Input, Callable[[Request], Any]]] = []
    for item in inputs:
        if item.source is Source.PATH:
            getters.append((item, _path_getter(path.index(item.key))))
        elif item.is_structure:
            getters.append((item, _query_of))
        else:
            getters.append((item, raw_getter(item)))

    def read(request: Request) -> dict[int, Any]:
        values: dict[int, Any] = {}
        errors: list[FieldError] = []
        for item, get in getters:
            assert item.read is not None
            try:
                values[id(item)] = item.read(get(request))
            except InputFailure as exc:
                if item.source is Source.PATH:
                    raise NotFound from None
                errors += exc.errors
        if errors:
            raise ValidationError(errors)
        return values

    return read


def _path_getter(index: int) -> Callable[[Request], str]:
    return lambda request: request.params[index]


def _query_of(request: Request) -> Any:
    return request.query


_Open: TypeAlias = "Callable[[Request, WebSocket[Any, Any], dict[int, Any], AsyncExitStack], Awaitable[None]]"


def _dependencies_opener(plan: HandlerPlan, services: Services, app: _App) -> _Open:
    """Return the function that calls the dependencies in order, and adds their results to the values."""
    run = services.threads.run
    steps: list[tuple[Call, Callable[..., Any], str]] = []
    for call in plan.dependencies:
        function = call.signature.function
        inline = call.depends is not None and call.depends.inline
        if call.signature.is_generator:
            steps.append((call, manager_of(call, run), "context"))
        else:
            steps.append((call, function, "async" if call.signature.is_async else "inline" if inline else "thread"))

    async def open_all(
        request: Request, websocket: WebSocket[Any, Any], values: dict[int, Any], stack: AsyncExitStack
    ) -> None:
        late: AsyncExitStack | None = None
        at_hand = {"request": request, "websocket": websocket, "app": app}
        for call, function, kind in steps:
            arguments = _arguments(call, at_hand, values)
            if kind == "context" and call.depends is not None and call.depends.scope == "response":
                if late is None:
                    late = AsyncExitStack()
                    request.call_after(late.aclose)
                value: Any = await late.enter_async_context(function(**arguments))
            elif kind == "context":
                value = await stack.enter_async_context(function(**arguments))
            elif kind == "async":
                value = await function(**arguments)
            elif kind == "inline":
                value = function(**arguments)
            else:
                value = await run(function, **arguments)
            values[id(call)] = value

    return open_all


def _arguments(call: Call, at_hand: dict[str, Any], values: dict[int, Any]) -> dict[str, Any]:
    return {
        name: at_hand[source] if isinstance(source, str) else values[id(source)]
        for name, source in call.arguments.items()
    }


# -- the two styles -----------------------------------------------------------------------------------------------


def _handler(plan: HandlerPlan, app: _App) -> _Handle:
    function = plan.call.signature.function

    async def handle(request: Request, websocket: WebSocket[Any, Any], values: dict[int, Any]) -> None:
        at_hand = {"request": request, "websocket": websocket, "app": app}
        await function(**_arguments(plan.call, at_hand, values))

    return handle


def _listener(plan: HandlerPlan, services: Services, app: _App, encode: _Encode) -> _Handle:
    function, is_async = plan.call.signature.function, plan.call.signature.is_async
    inline = plan.inline
    run = services.threads.run

    async def handle(request: Request, websocket: WebSocket[Any, Any], values: dict[int, Any]) -> None:
        if not websocket.accepted:
            await websocket.accept()
        at_hand: dict[str, Any] = {"request": request, "websocket": websocket, "app": app}
        async for message in websocket:
            at_hand["body"] = message
            arguments = _arguments(plan.call, at_hand, values)
            try:
                if is_async:
                    result = await function(**arguments)
                elif inline:
                    result = function(**arguments)
                else:
                    result = await run(function, **arguments)
                if inspect.isawaitable(result):
                    result = await result
            except HTTPError as exc:
                if exc.status >= 500:
                    raise
                await websocket.refuse(exc)
                continue
            if result is not None:
                frame = encode(result, websocket.is_binary)
                await (websocket.send_bytes(frame) if isinstance(frame, bytes) else websocket.send_text(frame))

    return handle
