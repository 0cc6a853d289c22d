"""Streams: what a generator yields, item by item, as JSON Lines, CSV, server-sent events, text or bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from quintet.http.response import EventStream, Response
from quintet.http.streaming import encoded_chunks, event_chunks
from quintet.schema.output import compile_output

if TYPE_CHECKING:
    from quintet.handlers.services import Services
    from quintet.http.request import Request

#: Seconds of silence after which an event stream sends a comment.
KEEP_ALIVE = 15.0
#: The formats that can be written item by item.
ITEM_FORMATS = ("jsonl", "csv")


class Streamer:
    """Answers with a stream of items of one type; made at start-up.

    Args:
        item: the type of the items.
        events: whether they are server-sent events.
        produces: the route's formats; the first that can be streamed is used, JSON Lines where none can.

    Raises:
        TypeError: items of this type have no such format.
    """

    def __init__(
        self, item: Any, services: Services, *, status: int = 200, events: bool = False, produces: tuple[str, ...] = ()
    ) -> None:
        self._services = services
        self.status = status
        self.events = events
        item = Any if item is None else item
        self._first = b""
        self._encode: Callable[[Any], bytes] | None
        shape = compile_output(item) if item not in (Any, str, bytes) else None
        if events:
            self.media_type = "text/event-stream"
            build = services.registry.get("json").build_encoder
            assert build is not None
            self._encode = build(item)
        elif item is bytes or item is str:
            self.media_type = "application/octet-stream" if item is bytes else "text/plain; charset=utf-8"
            self._encode = None
        else:
            name = next((n for n in produces if n in ITEM_FORMATS), ITEM_FORMATS[0])
            media = services.registry.get(name)
            assert media.build_item_encoder is not None
            encoder = media.build_item_encoder(item)
            self.media_type, self._encode, self._first = media.content_type, encoder.encode, encoder.head
        if shape is not None and self._encode is not None:
            self._encode = _shaped(shape, self._encode)

    def respond(
        self, request: Request, values: Any, close: Callable[[], Awaitable[None]] | None = None
    ) -> Response[Any]:
        """Return the response that streams `values`; `close` is awaited when it has ended, however it ends."""
        run = request.connection.run_sync or self._services.threads.run
        if isinstance(values, EventStream):
            assert self._encode is not None
            stream = cast("EventStream[Any]", values)
            stream.headers.set("content-type", self.media_type)
            stream.content = event_chunks(request, stream.events, self._encode, stream.keep_alive, run, close)
            return stream
        response: Response[Any] = Response(None, self.status, media_type=self.media_type)
        response.headers.set("content-type", self.media_type)
        if self.events:
            assert self._encode is not None
            response.headers.set("cache-control", "no-cache")
            response.headers.set("x-accel-buffering", "no")
            response.content = event_chunks(request, values, self._encode, KEEP_ALIVE, run, close)
        else:
            response.content = encoded_chunks(values, self._encode, run, close, first=self._first)
        return response


def _shaped(shape: Callable[[Any], Any], encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    return lambda value: encode(shape(value))
