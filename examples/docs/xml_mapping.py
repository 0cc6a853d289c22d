from __future__ import annotations

from datetime import date
from typing import Annotated

from quintet import XML, App, Struct

app = App()


# --8<-- [start:types]
class Track(Struct):
    __xml__ = XML(name="track")

    number: Annotated[int, XML(attribute=True)]
    title: Annotated[str, XML(text=True)]


class Album(Struct):
    __xml__ = XML(name="album", ns="https://example.com/music")

    artist: str
    released: date | None = None
    genres: list[str] = []
    tracks: Annotated[list[Track], XML(wrapped=True)] = []


@app.post("/albums", accepts=("xml", "json"), produces=("xml", "json"))
async def echo(album: Album) -> Album:
    return album


# --8<-- [end:types]
