"""The compiler: from a handler's plan to one coroutine function, written as source, that answers its requests.

The source is short, is kept on the plan and printed by `quintet explain`. Why source and not closures: one call per
parameter would cost more than the work (docs/decisions: generated source per route).

An endpoint returns either `(head, body)` — a prepared head and the encoded body — or a complete `Response`.
"""

from __future__ import annotations

import linecache
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import CodeType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from quintet.errors import MAX_ERRORS, FieldError, HTTPError, NotFound, ValidationError
from quintet.handlers.bodies import BodyReader
from quintet.handlers.inputs import InputFailure, raw_getter
from quintet.handlers.managers import manager_of
from quintet.handlers.params import Source
from quintet.handlers.plan import Call, HandlerPlan, Input
from quintet.handlers.results import ANSWERS, Encoders, Finisher
from quintet.handlers.services import Services
from quintet.handlers.streams import Streamer
from quintet.http.context import current_request
from quintet.http.head import Head
from quintet.http.query import parse_query
from quintet.http.request import Request
from quintet.http.response import HTML, Response, Template
from quintet.media.negotiation import Offers
from quintet.schema.plan import DECODE_FAILURES

#: What an endpoint returns.
Outcome: TypeAlias = "tuple[Head, bytes] | Response[Any]"
#: The compiled form of a handler.
Endpoint: TypeAlias = "Callable[[Request], Awaitable[Outcome]]"
#: Answers a request whose endpoint has raised.
OnError: TypeAlias = "Callable[[Request, Exception], Awaitable[Response[Any]]]"

#: Dependencies that end, above which a stack ends them: Python has room for twenty blocks in a function.
_MAX_BLOCKS = 8
_INT_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0
        self.names: dict[str, Any] = {}

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def name(self, prefix: str, value: Any) -> str:
        name = f"{prefix}{len(self.names)}"
        self.names[name] = value
        return name


def compile_endpoint(plan: HandlerPlan, services: Services, on_error: OnError, label: str) -> Endpoint:
    """Compile a plan.

    Args:
        plan: what was decided; its `source` is set.
        on_error: answers exceptions; may raise them again for a middleware to see.
        label: the route, for tracebacks.

    Raises:
        TypeError: the result or body has a type that cannot be encoded or decoded.
    """
    w = _Writer()
    compiler = _Compiler(w, plan, services)
    w.line("async def endpoint(request):")
    w.depth = 1
    w.line("try:")
    w.depth = 2
    compiler.write()
    w.depth = 1
    w.line("except Exception as exc:")
    w.line("    return await on_error(request, exc)")
    plan.source = "\n".join(w.lines) + "\n"
    filename = f"<quintet {label}>"
    namespace: dict[str, Any] = {
        **w.names,
        **services.at_hand,
        "on_error": on_error,
        "set_current": current_request.set,
        "parse_query": parse_query,
        "NOTHING": {},
        "FAILURES": (InputFailure, *DECODE_FAILURES),
        "InputFailure": InputFailure,
        "ANSWERS": ANSWERS,
        "AsyncExitStack": AsyncExitStack,
        "run_in_thread": services.threads.run,
        "run_in_place": services.threads.run_in_place,
        "place": services.threads.place,
    }
    exec(_code(plan.source, filename), namespace)  # noqa: S102 - source made of our own names alone
    return namespace["endpoint"]


_codes: dict[str, CodeType] = {}


def _code(source: str, filename: str) -> CodeType:
    """Compile a source, once: many routes have the same, and their code bears the name of the first."""
    code = _codes.get(source)
    if code is None:
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        code = _codes[source] = compile(source, filename, "exec")
    return code


class _Compiler:
    def __init__(self, writer: _Writer, plan: HandlerPlan, services: Services) -> None:
        self.w = writer
        self.plan = plan
        self.services = services
        self.variables: dict[int, str] = {}
        self.run_in_thread = "run_in_thread"
        self.threaded = services.threads.run
        result = plan.result
        negotiated = result.kind in ("data", "dynamic")
        self.encoders = Encoders(result, services) if negotiated and result.produces else None
        self.finisher = Finisher(result, self.encoders, services)
        self.streamer: Streamer | None = None
        if result.kind in ("stream", "events") or plan.call.signature.is_generator:
            formats = result.produces if result.kind == "stream" else ()
            self.streamer = Streamer(
                result.item, services, status=result.status, events=result.kind == "events", produces=formats
            )
        self.body = BodyReader(plan.body, services) if plan.body is not None else None

    def write(self) -> None:
        w = self.w
        w.line("set_current(request)")
        for guard in self.plan.guards:
            w.line(f"await {w.name('guard', guard)}(request)")
        if self.encoders is not None and self.plan.result.kind == "data":  # else the handler is asked first
            w.line("accept = request.fields.get(b'accept')")
            w.line(f"head, encode = {self._choice(self.encoders)}")
        if self.streamer is not None and self.streamer.offers is not None:
            w.line("accept = request.fields.get(b'accept')")
            w.line(f"chosen = {self._choice(self.streamer.offers)}")
        if self.plan.max_body is not None:
            w.line(f"request.max_body = {self.plan.max_body}")
        if self.plan.inputs or self.body is not None:
            w.line("try:")
            w.depth += 1
            self._inputs()
            w.depth -= 1
            w.line("except FAILURES as exc:")
            w.line(f"    raise await {w.name('explain', self.explain)}(request, exc) from None")
        self._calls()

    def _choice(self, offers: Offers[Any]) -> str:
        choose, pick = self.w.name("choose", offers.choose), self.w.name("pick", offers.pick)
        return f"{choose}.get(accept) or {pick}(accept)"

    # -- inputs -------------------------------------------------------------------------------------------------

    def _inputs(self) -> None:
        w = self.w
        if any(i.source is Source.PATH for i in self.plan.inputs):
            w.line("params = request.params")
        if any(i.source is Source.QUERY for i in self.plan.inputs):
            parse = f"parse_query(request.raw_query, max_fields={self.services.max_fields})"
            w.line(f"query = {parse} if request.raw_query else NOTHING")
        for index, item in enumerate(self.plan.inputs):
            variable = f"v{index}"
            self.variables[id(item)] = variable
            self._input(item, variable)
        if self.body is not None:
            self._body(self.body)

    def _input(self, item: Input, variable: str) -> None:
        w = self.w
        read = w.name("read", item.read)
        if item.is_structure:
            w.line(f"{variable} = {read}(query)")
            return
        if item.source is Source.PATH:
            w.line(f"raw = params[{item.index}]")
        elif item.source is Source.QUERY:
            w.line(f"raw = query.get({item.key!r})")
        else:
            w.line(f"raw = {w.name('raw', raw_getter(item))}(request)")
        fast = _fast_expression(item)
        if fast is None:
            w.line(f"{variable} = {read}(raw)")
            return
        test, value = fast
        if not item.required:
            default = w.name("default", item.default)
            w.line(f"if raw is None: {variable} = {default}")
            w.line(f"elif {test}: {variable} = {value}")
        else:
            w.line(f"if {test}: {variable} = {value}")
        w.line(f"else: {variable} = {read}(raw)")

    def _body(self, body: BodyReader) -> None:
        w = self.w
        other = w.name("read_body", body.read)
        if not body.direct:
            w.line(f"body = await {other}(request)")
            return
        w.line(f"decode = {w.name('decoders', body.direct)}.get(request.fields.get(b'content-type'))")
        w.line("if decode is not None:")
        w.line("    raw = request._body")
        w.line("    if raw is None or len(raw) > request.max_body: raw = await request.body()")
        if body.finish is not None:
            w.line(f"    body = {w.name('finish_body', body.finish)}(decode(raw))")
        else:
            w.line("    body = decode(raw)")
        w.line("else:")
        w.line(f"    body = await {other}(request)")

    async def explain(self, request: Request, failure: Exception) -> HTTPError:
        """Return the answer to wrong input, with everything that is wrong."""
        errors: list[FieldError] = []
        for item in self.plan.inputs:
            if item.read is None:
                continue
            try:
                if item.source is Source.PATH:
                    item.read(request.params[item.index])
                elif item.is_structure:
                    item.read(request.query)
                else:
                    item.read(raw_getter(item)(request))
            except InputFailure as exc:
                if item.source is Source.PATH:
                    return NotFound()
                errors += exc.errors
            except HTTPError as exc:
                return exc
        if self.body is not None:
            try:
                await self.body.read(request)
            except ValidationError as exc:
                errors += exc.errors
            except HTTPError as exc:
                return exc
        if not errors:
            raise failure
        return ValidationError(errors[:MAX_ERRORS])

    @property
    def _in_thread(self) -> str:
        return f"(request.connection.run_sync or {self.run_in_thread})"

    # -- calls --------------------------------------------------------------------------------------------------

    def _calls(self) -> None:
        w, plan = self.w, self.plan
        generators = [c for c in plan.dependencies if c.signature.is_generator]
        streaming = plan.result.kind in ("stream", "events")
        early = [c for c in generators if c.depends is None or c.depends.scope == "call"]
        has_place = not streaming and self._count_threads() > 1
        if has_place:
            self.run_in_thread, self.threaded = "run_in_place", self.services.threads.run_in_place
            w.line("async with place():")
            w.depth += 1
        if any(c not in early for c in generators):
            w.line("late = AsyncExitStack()")
            w.line("request.call_after(late.aclose)")
        depth = w.depth
        stack = "stack"
        if early and streaming:
            w.line("stack = AsyncExitStack()")
            w.line("try:")
            w.depth += 1
        elif len(early) > _MAX_BLOCKS:
            w.line("async with AsyncExitStack() as stack:")
            w.depth += 1
        else:  # PERF: the blocks themselves cost a quarter of what a stack does
            stack = ""
        for index, call in enumerate(plan.dependencies):
            call.variable = f"d{index}"
            self.variables[id(call)] = call.variable
            self._dependency(call, stack if call in early else "late")
        self._handler(streaming, bool(early))
        if early and not streaming:
            w.depth = depth
            w.line("raise RuntimeError('a dependency has swallowed the exception of its request')")
        w.depth -= has_place

    def _count_threads(self) -> int:
        """Return how often a request needs a thread before its answer."""
        count = int(not self.plan.inline and not self.plan.call.signature.is_async)
        for call in self.plan.dependencies:
            if not call.signature.is_async and not (call.depends is not None and call.depends.inline):
                count += 2 if call.signature.is_generator else 1
        return count

    def _dependency(self, call: Call, stack: str) -> None:
        """Call a dependency; a generator is ended by a stack, or where there is none by the block it opens."""
        w, signature = self.w, call.signature
        function = w.name("dependency", signature.function)
        arguments = self._arguments(call)
        if signature.is_generator:
            opened = f"{w.name('manager', manager_of(call, self.threaded))}({arguments})"
            if stack:
                w.line(f"{call.variable} = await {stack}.enter_async_context({opened})")
            else:
                w.line(f"async with {opened} as {call.variable}:")
                w.depth += 1
        elif signature.is_async:
            w.line(f"{call.variable} = await {function}({arguments})")
        elif call.depends is not None and call.depends.inline:
            w.line(f"{call.variable} = {function}({arguments})")
        else:
            w.line(f"{call.variable} = await {self._in_thread}({function}, {arguments})")

    def _handler(self, streaming: bool, has_stack: bool) -> None:
        w, plan = self.w, self.plan
        signature, result = plan.call.signature, plan.result
        handler = w.name("handler", signature.function)
        arguments = self._arguments(plan.call)
        inline = signature.is_async or plan.inline
        if signature.is_generator:
            w.line(f"result = {handler}({arguments})")
        elif signature.is_async:
            w.line(f"result = await {handler}({arguments})")
        elif inline:
            w.line(f"result = {handler}({arguments})")
        else:
            w.line(f"result = await {self._in_thread}({handler}, {arguments})")
        if not signature.is_generator:
            self._settle()
        if self.streamer is not None:
            result.media_types = self.streamer.media_types
            stream = w.name("stream", self.streamer.respond)
            chosen = ", chosen=chosen" if self.streamer.offers is not None else ""
            if streaming and has_stack:
                w.depth -= 1
                w.line("except BaseException as exc:")
                w.line("    await stack.__aexit__(type(exc), exc, exc.__traceback__)")
                w.line("    raise")
                w.line(f"return {stream}(request, result, stack.aclose{chosen})")
            else:
                w.line(f"return {stream}(request, result{chosen})")
            return
        finish = w.name("finish", self.finisher.finish)
        if result.kind == "template":
            head = self.services.head(result.status, "text/html; charset=utf-8")
            result.media_types = ("text/html",)
            render = w.name("render", self.services.render)
            w.line(f"if result.__class__ is {w.name('template', Template)}:")
            w.line(f"    page = {render}(request, result.name, result.values, result.block)")
            w.line(f"    return {w.name('head', head)}, page.encode()")
        if result.kind in ("dynamic", "template"):
            w.line(f"return {finish}(request, result)")
            return
        plain = get_origin(result.annotation) or result.annotation
        exact = f"result.__class__ is not {w.name('plain', plain)} and " if isinstance(plain, type) else ""
        answers = w.name("answers", (*ANSWERS, HTML)) if HTML in result.responses else "ANSWERS"
        w.line(f"if {exact}isinstance(result, {answers}):")
        w.line(f"    return {finish}(request, result)")
        if result.kind == "data":
            w.line("return head, encode(result)")
            return
        types = {"none": "", "text": "text/plain; charset=utf-8", "bytes": "application/octet-stream"}
        head = self.services.head(result.status, types.get(result.kind, "text/html; charset=utf-8"))
        result.media_types = (head.media_type.partition(";")[0],) if head.media_type else ()
        name = w.name("head", head)
        w.line(
            {"none": f"return {name}, b''", "bytes": f"return {name}, result"}.get(
                result.kind, f"return {name}, result.encode()"
            )
        )

    def _settle(self) -> None:
        """Let dependencies do what has to be done before the result is encoded."""
        w = self.w
        for call in self.plan.dependencies:
            settle = call.depends.settle if call.depends is not None else None
            if settle is None:
                continue
            needed, run = w.name("needed", settle.needed), w.name("settle", settle.run)
            if call.signature.is_async:
                w.line(f"if {needed}({call.variable}): await {run}({call.variable})")
            else:
                w.line(f"if {needed}({call.variable}): await {self._in_thread}({run}, {call.variable})")

    def _arguments(self, call: Call) -> str:
        pieces: list[str] = []
        for parameter in call.signature.parameters:
            argument = call.arguments[parameter.name]
            if isinstance(argument, tuple):
                value = f"body[{argument[1]!r}]"
            elif isinstance(argument, str):
                value = argument
            else:
                value = self.variables[id(argument)]
            pieces.append(f"{parameter.name}={value}")
        return ", ".join(pieces)


def _fast_expression(item: Input) -> tuple[str, str] | None:
    """Return (test, value) source for the commonest types; where the test fails, the full reader decides."""
    tp, bounds = item.annotation, ""
    if get_origin(tp) in (Union, type(int | None)):
        members = [m for m in get_args(tp) if m is not type(None)]
        if len(members) != 1 or item.required:
            return None
        tp = members[0]
    while get_origin(tp) is Annotated:
        tp, *marks = get_args(tp)
        for mark in marks:
            limits = {
                k: getattr(mark, k, None)
                for k in ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
            }
            limits = {k: v for k, v in limits.items() if v is not None}
            if tp is int and all(k in _INT_BOUNDS and isinstance(v, int) for k, v in limits.items()):
                bounds += "".join(f" and number {_INT_BOUNDS[k]} {v}" for k, v in limits.items())
            elif tp is str and set(limits) <= {"min_length", "max_length"}:
                low, high = limits.get("min_length", 0), limits.get("max_length")
                bounds += f" and {low} <= len(raw)" + (f" <= {high}" if high is not None else "")
            elif limits:
                return None
    if tp is str:
        return f"raw.__class__ is str{bounds}", "raw"
    if tp is int:
        digits = "raw.__class__ is str and raw.isdigit() and raw.isascii() and len(raw) < 19 and raw[0] != '0'"
        if not bounds:
            return digits, "int(raw)"
        return f"{digits} and ((number := int(raw)) or True){bounds}", "number"
    return None
