"""Results: how a handler's return value becomes bytes, decided from its return annotation.

`plan_result` reads the annotation; `Encoders` holds what negotiation chooses from; `Finisher` completes a `Response`
that a handler made itself.
"""

from __future__ import annotations

import inspect
import types
from collections import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Union, cast, get_args, get_origin

from quintet.errors import NotAcceptable
from quintet.handlers.params import Form
from quintet.handlers.plan import Result
from quintet.handlers.signature import EMPTY, Signature
from quintet.handlers.streams import Streamer
from quintet.http.conditional import evaluate, parse_http_date
from quintet.http.file import File
from quintet.http.head import Head
from quintet.http.headers import vary
from quintet.http.response import HTML, EventStream, Page, Redirect, Response, Stream, Template
from quintet.http.sse import Event
from quintet.http.streaming import event_chunks, iterate_chunks
from quintet.media.negotiation import negotiate
from quintet.schema.output import compile_output

if TYPE_CHECKING:
    from quintet.handlers.services import Services
    from quintet.http.request import Request

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


def plan_result(signature: Signature, options: Any, *, produces: Sequence[str]) -> Result:
    """Decide what a handler's return annotation means.

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
            item = get_args(item)[0] if get_args(item) else Any
        return Result(tp, kind, status or 200, tuple(produces), item=item)
    if origin in (abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator):
        return Result(tp, "stream", status or 200, tuple(produces), item=(get_args(tp) or (Any,))[0])
    kind = {str: "text", bytes: "bytes", HTML: "html"}.get(tp, "data")
    if kind != "data":
        return Result(tp, kind, status or 200, responses=responses)
    if tp is Any or tp is object:
        kind = "dynamic"
    return Result(tp, kind, status or 200, tuple(produces), responses=responses, template=template)


class Encoders:
    """The formats of one route: chooses by `Accept`, and encodes.

    `choose` maps raw Accept values to (head, encode); it learns values up to a bound, so that common ones are looked
    up and not parsed.
    """

    def __init__(self, result: Result, services: Services) -> None:
        self.names = result.produces
        self.status = result.status
        self._has_others = any(map(_is_complete, result.responses))
        self.offers: list[tuple[Head, Encode]] = []
        shape = compile_output(result.annotation) if result.annotation is not Any else None
        extra = (("vary", "accept"),) if len(self.names) > 1 else ()
        media_types: list[str] = []
        for name in self.names:
            if name == "html":
                encode: Encode = services.html_encoder(result.template)
                media_type = "text/html; charset=utf-8"
            else:
                media = services.registry.get(name)
                build = media.build_encoder
                if build is None:
                    raise TypeError(f"the format {name!r} cannot be produced")
                encode = build(result.annotation)
                media_type = media.content_type
            if shape is not None:
                encode = _shaped(shape, encode)
            media_types.append(media_type)
            self.offers.append((services.head(result.status, media_type, extra), encode))
        self.media_types = tuple(m.partition(";")[0] for m in media_types)
        result.media_types = self.media_types
        self.default = self.offers[0]
        self.choose: dict[bytes | None, tuple[Head, Encode]] = {
            None: self.default,
            b"*/*": self.default,
            b"": self.default,
        }
        for (head, encode), media_type in zip(self.offers, self.media_types, strict=True):
            self.choose[media_type.encode()] = (head, encode)

    def pick(self, accept: bytes | None) -> tuple[Head, Encode]:
        """Return what to answer a client with, having parsed its `Accept`.

        Raises:
            NotAcceptable: no format fits, and the handler returns nothing that needs none, such as a redirect.
        """
        index = negotiate(None if accept is None else accept.decode("latin-1"), self.media_types)
        if index is None:
            return (self.default[0], self._refuse) if self._has_others else self._refuse(None)
        chosen = self.offers[index]
        if accept is not None and len(accept) <= 256 and len(self.choose) < 64:
            self.choose[accept] = chosen
        return chosen

    def _refuse(self, _value: Any) -> NoReturn:
        raise NotAcceptable(f"this can be answered as {', '.join(self.media_types)}", headers={"vary": "accept"})


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
