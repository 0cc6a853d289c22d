"""Results: how a handler's return value becomes bytes, decided from its return annotation.

`plan_result` reads the annotation; `Encoders` holds what negotiation chooses from; `Finisher` completes a `Response`
that a handler made itself.
"""

from __future__ import annotations

import inspect
import types
from collections import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin

from quintet.handlers.params import Form
from quintet.handlers.plan import Result
from quintet.handlers.signature import EMPTY, Signature
from quintet.handlers.streams import Streamer, stream_formats
from quintet.http.conditional import evaluate, parse_http_date
from quintet.http.file import File
from quintet.http.head import Head
from quintet.http.headers import vary
from quintet.http.response import HTML, EventStream, Page, Redirect, Response, Stream, Template
from quintet.http.sse import Event
from quintet.http.streaming import event_chunks, iterate_chunks
from quintet.media.negotiation import Offers
from quintet.schema.output import compile_output

if TYPE_CHECKING:
    from quintet.handlers.services import Services
    from quintet.http.request import Request
    from quintet.media.registry import Registry

Encode = Callable[[Any], bytes]

_STREAMS = (abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator, abc.Iterator, abc.Iterable, abc.Generator)
#: Results that are answers by themselves, whatever the route's formats.
ANSWERS = (Response, Template, Page)
#: Those of them that need no format: they have a body of their own, or none.
_COMPLETE = (Redirect, File, Stream, EventStream, Template, Page, HTML)
#: Offered besides the declared formats only when the client names it.
DEFAULT_PRODUCES = ("json", "msgpack")


def _is_response(tp: Any) -> bool:
    origin = get_origin(tp) or tp
    return inspect.isclass(origin) and issubclass(origin, ANSWERS)


def _is_complete(response: Any) -> bool:
    """Tell whether a response can be sent to any client, whatever it accepts."""
    return issubclass(get_origin(response) or response, _COMPLETE) or get_args(response) == (types.NoneType,)


def plan_result(signature: Signature, options: Any, *, produces: Sequence[str], registry: Registry) -> Result:
    """Decide what a handler's return annotation means.

    Args:
        signature: the handler's.
        options: those of its route.
        produces: the formats by name, the first being the default.
        registry: the formats there are.

    Raises:
        TypeError: a combination that cannot be answered.
    """
    returns = signature.returns
    members = list(get_args(returns)) if get_origin(returns) in (Union, types.UnionType) else [returns]
    responses = tuple(m for m in members if _is_response(m))
    data = [m for m in members if not _is_response(m)]
    for response in responses:
        if get_origin(response) is Response:
            data += [a for a in get_args(response) if a is not types.NoneType and a not in data]
    if HTML in data and len(data) > 1:  # a page as an alternative: `Item | HTML`
        data.remove(HTML)
        responses += (HTML,)
    status = options.get("status")
    template = options.get("template", "")
    if returns in (EMPTY, Any, object) and signature.is_generator:
        return Result(Any, "stream", status or 200, stream_formats(Any, produces, registry), item=Any)
    if returns is EMPTY:
        return Result(Any, "dynamic", status or 200, tuple(produces), template=template)
    if not data:
        if Template in responses:
            return Result(Any, "template", status or 200, (), responses=responses, template=template)
        events = next((r for r in responses if get_origin(r) is EventStream or r is EventStream), None)
        kind = "events" if events is not None and len(responses) == 1 else "dynamic"
        item = get_args(events)[0] if events is not None and get_args(events) else Any
        formats = () if all(map(_is_complete, responses)) else tuple(produces)
        return Result(Any, kind, status or 200, formats, responses=responses, template=template, item=item)
    tp: Any = data[0] if len(data) == 1 else Union[tuple(data)]  # noqa: UP007 - made at run time
    if tp is None or tp is types.NoneType:
        kind, default = ("data", 200) if template else ("none", 204)
        return Result(None, kind, status or default, tuple(produces), responses=responses, template=template)
    origin = get_origin(tp)
    if signature.is_generator and origin in _STREAMS:
        item = get_args(tp)[0] if get_args(tp) else Any
        kind = "events" if get_origin(item) is Event or item is Event else "stream"
        if kind == "events":
            return Result(tp, kind, status or 200, item=get_args(item)[0] if get_args(item) else Any)
        return Result(tp, kind, status or 200, stream_formats(item, produces, registry), item=item)
    if origin in (abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator):
        item = (get_args(tp) or (Any,))[0]
        return Result(tp, "stream", status or 200, stream_formats(item, produces, registry), item=item)
    kind = {str: "text", bytes: "bytes", HTML: "html"}.get(tp, "data")
    if kind != "data":
        return Result(tp, kind, status or 200, responses=responses)
    if tp is Any or tp is object:
        kind = "dynamic"
    return Result(tp, kind, status or 200, tuple(produces), responses=responses, template=template)


class Encoders(Offers[tuple[Head, Encode]]):
    """The formats of one route whose result is encoded as a whole: offers (head, encode)."""

    def __init__(self, result: Result, services: Services) -> None:
        self.status = result.status
        shape = compile_output(result.annotation) if result.annotation is not Any else None
        extra = (("vary", "accept"),) if len(result.produces) > 1 else ()
        content_types: list[str] = []
        offers: list[tuple[Head, Encode]] = []
        for name in result.produces:
            if name == "html":
                encode: Encode = services.html_encoder(result.template)
                content_type = "text/html; charset=utf-8"
            else:
                media = services.registry.get(name)
                build = media.build_encoder
                if build is None:
                    raise TypeError(f"the format {name!r} cannot be produced")
                encode = build(result.annotation)
                content_type = media.content_type
            if shape is not None:
                encode = _shaped(shape, encode)
            content_types.append(content_type)
            offers.append((services.head(result.status, content_type, extra), encode))
        super().__init__(content_types, offers)
        result.media_types = self.media_types
        if any(map(_is_complete, result.responses)):  # a redirect, say, needs no format: the handler is asked first
            self.otherwise = (self.default[0], self.refuse)


def _shaped(shape: Callable[[Any], Any], encode: Encode) -> Encode:
    return lambda value: encode(shape(value))


class Finisher:
    """Completes responses that handlers make themselves."""

    def __init__(self, result: Result, encoders: Encoders | None, services: Services) -> None:
        self._result = result
        self._encoders = encoders
        self._services = services
        self._streamer = Streamer(Any, services, status=result.status)

    def finish(self, request: Request, value: Any) -> Response[Any]:
        """Return the response for `value` with its content, status and type settled.

        `value` is a Response, a Template, or anything else where the annotation decided nothing.
        """
        response: Response[Any]
        if isinstance(value, Response):
            response = value  # pyright: ignore[reportUnknownVariableType] - a response of anything
        else:
            response = self._wrap(request, value)
        if response.content is None:
            self._fill(request, response)
        if response.status is None:
            status = self._result.status
            response.status = 200 if status == 204 and response.content else status  # `HTML | None`
        if request.method in ("GET", "HEAD") and response.status == 200:
            self._condition(request, response)
        return response

    def _wrap(self, request: Request, value: Any) -> Response[Any]:
        if hasattr(value, "__aiter__") or inspect.isgenerator(value):
            return self._streamer.respond(request, value)
        if isinstance(value, Page):
            wrong = any(isinstance(v, Form) and v.errors for v in value.values.values())
            return Response(Template(self._result.template, **value.values), 422 if wrong else None)
        return Response(value)

    def _fill(self, request: Request, response: Response[Any]) -> None:
        data = response.data
        if isinstance(response, File):
            response.resolve(request)
        elif isinstance(response, EventStream):
            stream = cast("EventStream[Any]", response)
            build = self._services.registry.get("json").build_encoder
            assert build is not None
            response.content = event_chunks(request, stream.events, build(self._result.item or Any), stream.keep_alive)
        elif isinstance(response, Stream):
            response.content = iterate_chunks(response.chunks, self._services.threads.run)
        elif data is None and not self._result.template:
            if response.status is None and self._result.kind in ("none", "dynamic"):
                response.status = 204 if self._result.status == 200 else self._result.status
            response.content = b""
            return
        elif isinstance(data, Template):
            if not data.name:
                raise TypeError("a Page needs the route's template: write template= on it, or return Template(…)")
            text = self._services.render(request, data.name, data.values, data.block)
            response.content, response.media_type = text.encode(), response.media_type or "text/html; charset=utf-8"
        elif isinstance(data, HTML):
            response.content, response.media_type = data.encode(), response.media_type or "text/html; charset=utf-8"
        elif isinstance(data, str) and self._result.kind != "data":
            response.content, response.media_type = data.encode(), response.media_type or "text/plain; charset=utf-8"
        elif isinstance(data, (bytes, bytearray, memoryview)) and self._result.kind != "data":
            response.content = bytes(cast("bytes", data))
            response.media_type = response.media_type or "application/octet-stream"
        else:
            self._encode(request, response)
        if response.media_type and "content-type" not in response.headers:
            response.headers.set("content-type", response.media_type)

    def _encode(self, request: Request, response: Response[Any]) -> None:
        encoders = self._encoders or self._services.default_encoders
        accept = request.fields.get(b"accept")
        head, encode = encoders.choose.get(accept) or encoders.pick(accept)
        response.content = encode(response.data)
        response.media_type = response.media_type or head.media_type
        if len(encoders.offers) > 1:
            vary(response.headers, "accept")
            etag = response.headers.get("etag")
            if etag and head is not encoders.default[0]:
                # Browsers trust a tag across formats: after a page, a 304 for its JSON would mean the page to them.
                response.headers.set("etag", f'{etag[:-1]};{head.media_type.partition(";")[0]}"')

    @staticmethod
    def _condition(request: Request, response: Response[Any]) -> None:
        etag = response.headers.get("etag")
        modified = response.headers.get("last-modified")
        if (etag or modified) and not isinstance(response, File):
            changed = parse_http_date(modified) if modified else None
            status = evaluate(request.method, request.headers, etag, changed)
            if status is not None:
                response.status, response.content, response.length = status, b"", None
                del response.headers["content-type"]
