from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quintet import HTML, App, Response, Struct, Template

app = App(templates=Path(__file__).parent / "templates")


# --8<-- [start:kinds]
class User(Struct):
    name: str
    email: str


class Admin(User):
    password_hash: str


@app.get("/user")
async def user() -> User:
    return Admin(name="Ada", email="ada@example.com", password_hash="$argon2…")


@app.get("/text")
async def text() -> str:
    return "<b>plain text</b>"


@app.get("/html")
async def html() -> HTML:
    return HTML("<b>a page</b>")


@app.get("/bytes")
async def raw() -> bytes:
    return b"\x00\x01"


@app.delete("/user")
async def delete() -> None:
    pass


@app.get("/card")
async def card() -> Template:
    return Template("card.html", name="<Ada>")


# --8<-- [end:kinds]


# --8<-- [start:produces]
@dataclass
class City:
    name: str
    country: str
    people: int


CITIES = [City("Lagos", "NG", 15_900_000), City("Graz", "AT", 300_000)]


@app.get(
    "/cities",
    template="cities.html",
    produces=("html", "json", "xml", "csv", "jsonl"),
)
async def cities() -> list[City]:
    return CITIES


# --8<-- [end:produces]


# --8<-- [start:single]
@app.get("/cities/first")
async def first() -> City:
    return CITIES[0]


@app.get("/cities/export", produces=("csv",))
async def export() -> Response[list[City]]:
    return Response(
        CITIES,
        headers={"content-disposition": 'attachment; filename="cities.csv"'},
    )


# --8<-- [end:single]
