"""The media types an app reads and writes, by name and by Content-Type.

`default_registry` makes the built-in ones; an app has a registry of its own, which its plugins extend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, TypeAlias

import msgspec

from quintet.media import json, jsonl, msgpack, text
from quintet.media.stream import ItemEncoder

#: Turns a value into the bytes of a body.
Encode: TypeAlias = "Callable[[Any], bytes]"
#: Turns the bytes of a body into builtins, which the schema layer converts to the declared type.
Decode: TypeAlias = "Callable[[bytes], Any]"


class MediaType(msgspec.Struct, frozen=True, kw_only=True):
    """One format: its names, and how encoders and decoders for a type are built at start-up."""

    #: The short name, as in `produces=("json", "xml")`.
    name: str
    #: The media type, without parameters.
    media_type: str
    #: Other media types that mean the same.
    aliases: tuple[str, ...] = ()
    #: The suffix of media types built on this one, such as `json` in `application/problem+json`.
    suffix: str = ""
    #: Makes the encoder of a type; None when the format cannot be written this way.
    build_encoder: Callable[[Any], Encode] | None = None
    #: Makes the decoder of a type; None when the format cannot be read this way.
    build_decoder: Callable[[Any], Decode] | None = None
    #: Makes the encoder for items of a stream; None when the format needs the whole value.
    build_item_encoder: Callable[[Any], ItemEncoder] | None = None
    #: Whether decoders leave scalars as text, to be converted by the text rules.
    text_leaves: bool = False
    #: Whether the Content-Type of an answer names its charset, UTF-8.
    charset: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of an answer."""
        return f"{self.media_type}; charset=utf-8" if self.charset else self.media_type


class Registry:
    """A set of media types."""

    def __init__(self, media_types: Iterable[MediaType] = ()) -> None:
        self._by_name: dict[str, MediaType] = {}
        self._by_type: dict[str, MediaType] = {}
        self._by_suffix: dict[str, MediaType] = {}
        for media in media_types:
            self.register(media)

    def register(self, media: MediaType, *, replace: bool = False) -> None:
        """Add a media type, or put it in the place of the one with its name.

        Raises:
            ValueError: the name, the type or an alias is taken, and `replace` is false.
        """
        keys = (media.media_type, *media.aliases)
        if replace:
            self.remove(media.name)
        for key, known in ((media.name, self._by_name), *((key, self._by_type) for key in keys)):
            if key in known:
                raise ValueError(f"the media type {key!r} is registered already; pass replace=True to replace it")
        self._by_name[media.name] = media
        self._by_type.update(dict.fromkeys(keys, media))
        if media.suffix:
            self._by_suffix[media.suffix] = media

    def remove(self, name: str) -> None:
        """Forget a media type. If there is none of this name, this is a no-op."""
        self._by_name.pop(name, None)
        for table in (self._by_type, self._by_suffix):
            for key in [key for key, media in table.items() if media.name == name]:
                del table[key]

    def get(self, name: str) -> MediaType:
        """Return the media type of this short name.

        Raises:
            LookupError: there is none; the message lists what there is.
        """
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(self._by_name)
            raise LookupError(f"there is no media type {name!r}; there are {known}") from None

    def lookup(self, content_type: str) -> MediaType | None:
        """Return the media type of a Content-Type header, None when it is not known.

        `application/vnd.api+json` is read as JSON, as RFC 6839 says.
        """
        essence = content_type.partition(";")[0].strip().lower()
        media = self._by_type.get(essence)
        if media is None and essence.startswith("application/"):
            _, plus, suffix = essence.rpartition("+")
            media = self._by_suffix.get(suffix) if plus else None
        return media

    def copy(self) -> Registry:
        """Return a registry of its own with the same media types."""
        return Registry(self._by_name.values())

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[MediaType]:
        return iter(self._by_name.values())


def _late(module: str, name: str) -> Callable[[Any], Any]:
    """Return the function of this name, whose module is imported by the first app that uses the format."""

    def build(tp: Any) -> Any:
        return getattr(import_module(f"quintet.media.{module}"), name)(tp)

    return build


def default_registry() -> Registry:
    """Return a new registry with the built-in media types.

    `html` has no encoder until templating registers one, and `multipart` is read as a stream by `quintet.http.forms`.
    """
    return Registry(
        [
            MediaType(
                name="json",
                media_type="application/json",
                aliases=("text/json",),
                suffix="json",
                build_encoder=json.build_encoder,
                build_decoder=json.build_decoder,
            ),
            MediaType(
                name="msgpack",
                media_type="application/vnd.msgpack",
                aliases=("application/msgpack", "application/x-msgpack"),
                build_encoder=msgpack.build_encoder,
                build_decoder=msgpack.build_decoder,
            ),
            MediaType(
                name="xml",
                media_type="application/xml",
                aliases=("text/xml",),
                suffix="xml",
                build_encoder=_late("xml", "build_encoder"),
                build_decoder=_late("xml", "build_decoder"),
                text_leaves=True,
                charset=True,
            ),
            MediaType(
                name="csv",
                media_type="text/csv",
                aliases=("application/csv",),
                build_encoder=_late("csv", "build_encoder"),
                build_item_encoder=_late("csv", "build_item_encoder"),
                charset=True,
            ),
            MediaType(
                name="jsonl",
                media_type="application/jsonl",
                aliases=("application/x-ndjson", "application/ndjson", "application/jsonlines"),
                build_encoder=jsonl.build_encoder,
                build_decoder=jsonl.build_decoder,
                build_item_encoder=jsonl.build_item_encoder,
            ),
            MediaType(name="html", media_type="text/html", charset=True),
            MediaType(name="text", media_type="text/plain", build_encoder=text.build_encoder, charset=True),
            MediaType(
                name="form",
                media_type="application/x-www-form-urlencoded",
                build_decoder=_late("form", "build_decoder"),
                text_leaves=True,
            ),
            MediaType(name="multipart", media_type="multipart/form-data", text_leaves=True),
        ]
    )


#: The built-in media types. An app works on a copy of its own.
registry = default_registry()
