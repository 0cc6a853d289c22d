"""Streams: what a generator yields, item by item, as JSON Lines, CSV, server-sent events, text or bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from quintet.http.response import EventStream, Response
from quintet.http.streaming import encoded_chunks, event_chunks
from quintet.media.negotiation import Offers
from quintet.schema.output import compile_output

if TYPE_CHECKING:
    from quintet.handlers.services import Services
    from quintet.http.request import Request
    from quintet.media.registry import MediaType, Registry

#: Seconds of silence after which an event stream sends a comment.
KEEP_ALIVE = 15.0


def stream_formats(item: Any, produces: Sequence[str], registry: Registry) -> tuple[str, ...]:
    """Return those of a route's formats in which items can be written one by one, JSON Lines where none can.

    Text and bytes are sent as they are: there is nothing to choose, and so none.
    """
    if item is str or item is bytes:
        return ()
    return tuple(n for n in produces if n in registry and registry.get(n).build_item_encoder) or ("jsonl",)


class ItemFormat(NamedTuple):
    """How the items of a stream are written."""

    content_type: str
    #: Makes bytes of an item; None where items are text or bytes.
    encode: Callable[[Any], bytes] | None
    #: What stands before the first item.
    first: bytes = b""


class Streamer:
    """Answers with a stream of items of one type; made at start-up.

    Args:
        item: the type of the items.
        events: whether they are server-sent events.
        produces: the formats that `Accept` chooses from, as `stream_formats` gives them.

    Raises:
        TypeError: items of this type cannot be written in one of them.
    """

    def __init__(
        self, item: Any, services: Services, *, status: int = 200, events: bool = False, produces: Sequence[str] = ()
    ) -> None:
        self._services = services
        self.status = status
        self.events = events
        item = Any if item is None else item
        #: What `Accept` chooses from; None where there is no choice.
        self.offers: Offers[ItemFormat] | None = None
        if events:
            build = services.registry.get("json").build_encoder
            assert build is not None
            self._format = ItemFormat("text/event-stream", _shaped(item, build(item)))
        elif item is bytes or item is str:
            self._format = ItemFormat(
                "application/octet-stream" if item is bytes else "text/plain; charset=utf-8", None
            )
        else:
            formats = [_item_format(item, services.registry.get(name)) for name in produces or ("jsonl",)]
            self.offers = Offers([each.content_type for each in formats], formats)
            self._format = self.offers.default
        self._varies = self.offers is not None and len(self.offers.offers) > 1

    @property
    def media_types(self) -> tuple[str, ...]:
        """What the streams can be, without parameters."""
        return (self._format.content_type.partition(";")[0],) if self.offers is None else self.offers.media_types

    def respond(
        self,
        request: Request,
        values: Any,
        close: Callable[[], Awaitable[None]] | None = None,
        chosen: ItemFormat | None = None,
    ) -> Response[Any]:
        """Return the response that streams `values`; `close` is awaited when it has ended, however it ends.

        `chosen` is what `offers` has chosen; without it the first of them is used.
        """
        content_type, encode, first = chosen or self._format
        run = request.connection.run_sync or self._services.threads.run
        if isinstance(values, EventStream):
            assert encode is not None
            stream = cast("EventStream[Any]", values)
            stream.headers.set("content-type", content_type)
            stream.content = event_chunks(request, stream.events, encode, stream.keep_alive, run, close)
            return stream
        response: Response[Any] = Response(None, self.status, media_type=content_type)
        response.headers.set("content-type", content_type)
        if self.events:
            assert encode is not None
            response.headers.set("cache-control", "no-cache")
            response.headers.set("x-accel-buffering", "no")
            response.content = event_chunks(request, values, encode, KEEP_ALIVE, run, close)
        else:
            if self._varies:
                response.headers.set("vary", "accept")
            response.content = encoded_chunks(values, encode, run, close, first=first)
        return response


def _item_format(item: Any, media: MediaType) -> ItemFormat:
    assert media.build_item_encoder is not None
    encoder = media.build_item_encoder(item)
    return ItemFormat(media.content_type, _shaped(item, encoder.encode), encoder.head)


def _shaped(item: Any, encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Let undeclared fields of an item go before it is encoded."""
    shape = compile_output(item) if item is not Any else None
    return encode if shape is None else lambda value: encode(shape(value))
