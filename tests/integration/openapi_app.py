"""An app with every kind of parameter, body and answer, for tests of its OpenAPI document."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta

from quintet.errors import Conflict, Forbidden, NotFound
from quintet.factory import App
from quintet.handlers.params import Body, Cookie, Depends, Header, Name, Patch, Query
from quintet.http.file import File
from quintet.http.request import Request
from quintet.http.response import HTML, Redirect, Response
from quintet.http.sse import Event
from quintet.http.upload import Upload
from quintet.openapi.security import ApiKey, BasicCredentials, HTTPBasic, HTTPBearer, OAuth2, ScopedToken, security_of
from quintet.routing.group import Router
from quintet.schema.struct import Struct

app = App(
    title="Warehouse </script><script>alert(1)</script>",
    version="2.1.0",
    description="Items, orders and **deliveries**.\n\n- every kind of parameter\n- every kind of body",
)


class Colour(enum.Enum):
    """A colour that items come in."""

    RED = "red"
    GREEN = "green"


class Size(Struct):
    """How large an item is."""

    width: Annotated[int, Meta(ge=1, le=1000, description="In millimetres.")]
    height: Annotated[int, Meta(ge=1, le=1000)]


class Item(Struct):
    """Something that is sold."""

    name: Annotated[str, Meta(min_length=1, max_length=60, description="What it is called.", examples=["Lamp"])]
    price: Annotated[Decimal, Meta(ge=0)] = Decimal(0)
    colour: Colour = Colour.RED
    tags: list[str] = []  # noqa: RUF012 - a Struct copies it
    size: Size | None = None
    released: date | None = None


class Stored(Item):
    """An item with its number."""

    id: int


class Node(Struct):
    """A part that has parts."""

    label: str
    children: list[Node] = []  # noqa: RUF012 - a Struct copies it


class Card(Struct, tag="card"):
    """Payment by card."""

    number: Annotated[str, Meta(pattern=r"^[0-9]{12,19}\Z", examples=["4111111111111111"])]


class Transfer(Struct, tag="transfer"):
    """Payment by bank transfer."""

    iban: Annotated[str, Meta(min_length=15, max_length=34)]


@dataclass
class Window:
    """What a page of results shows."""

    q: Annotated[str, Meta(max_length=50, description="Words to look for.")] = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    colours: Annotated[list[Colour], Meta(max_length=5)] | None = None


class Report(Struct):
    """A text with a file."""

    title: Annotated[str, Meta(min_length=1)]
    file: Upload
    urgent: bool = False


class Missing(Struct):
    """What a missing item is answered with."""

    message: str


ITEMS = {
    1: Stored(id=1, name="Lamp", price=Decimal("12.50"), size=Size(width=10, height=20)),
    2: Stored(id=2, name="Chair"),
}

items = Router("/items", tags=["items"])


@items.get("")
async def list_items(window: Window) -> list[Stored]:
    """List items.

    In the order of their numbers, at most `limit` of them.
    """
    found = [i for i in ITEMS.values() if window.q.lower() in i.name.lower()]
    return found[: window.limit]


@items.post("", status=201, accepts=("json", "msgpack", "form"), produces=("json", "msgpack", "xml"))
async def add_item(item: Item) -> Stored:
    """Add an item."""
    return Stored(id=99, name=item.name, price=item.price, colour=item.colour, tags=item.tags, size=item.size)


@items.get("/{item_id}", responses={404: Missing}, produces=("json", "xml", "csv"))
async def show_item(item_id: Annotated[int, Meta(description="The number of the item.")]) -> Stored | Response[Missing]:
    """Show one item.

    Args:
        item_id: the number of the item.
    """
    if item_id not in ITEMS:
        raise NotFound(f"there is no item {item_id}")
    return ITEMS[item_id]


@items.patch("/{item_id}", responses={409: Conflict})
async def change_item(item_id: int, changes: Patch[Item]) -> Stored:
    """Change some fields of an item."""
    if item_id not in ITEMS:
        raise NotFound
    if changes.changes.get("name") == "taken":
        raise Conflict("another item has this name")
    return ITEMS[item_id]


@items.delete("/{item_id}", deprecated=True)
async def remove_item(item_id: int) -> None:
    """Remove an item."""


@items.get("/{item_id}/manual")
async def manual(item_id: int) -> File:
    """Download the manual of an item."""
    return File(FilePath(__file__), media_type="text/x-python")


app.include(items)


@app.get("/search/{kind}/{day}/{key}/{rest:path}", tags=["parameters"])
async def search(
    kind: Literal["new", "used"],
    day: date,
    key: UUID,
    rest: str,
    ids: Query[list[int]] = [],  # noqa: B006 - nothing changes it
    exact: bool = False,
    since: datetime | None = None,
    within: timedelta = timedelta(hours=1),
    ratio: Annotated[float, Meta(ge=0, lt=1)] = 0.5,
    price: Annotated[Decimal, Meta(ge=0)] = Decimal("9.99"),
    colour: Colour = Colour.GREEN,
    x_request_id: Header[Annotated[str, Name("X-Trace-Id"), Meta(max_length=40)]] = "",
    x_limit: Header[int | None] = None,
    theme: Cookie[Literal["light", "dark"]] = "light",
) -> dict[str, Any]:
    """Search with every kind of parameter."""
    return {"kind": kind, "day": day, "key": key, "rest": rest, "ids": ids, "ratio": ratio, "colour": colour}


@app.get("/required", tags=["parameters"])
async def required(number: int, words: Query[list[str]], x_key: Header[str], size: Query[Size]) -> dict[str, int]:
    """Ask for several parameters."""
    return {"number": number, "words": len(words)}


@app.post("/tree", tags=["bodies"])
async def tree(node: Node) -> Node:
    """Return a tree."""
    return node


@app.post("/pay", tags=["bodies"], timeout=5)
async def pay(payment: Card | Transfer) -> dict[str, str]:
    """Pay in one of several ways."""
    return {"paid": "yes"}


@app.post("/anything", tags=["bodies"])
async def anything(value: Body[dict[str, int]]) -> dict[str, int]:
    """Return an object of numbers."""
    return value


@app.post("/maybe", tags=["bodies"])
async def maybe(size: Size | None = None) -> bool:
    """Take a body that may be left out."""
    return size is not None


@app.post("/files", tags=["bodies"])
async def files(first: Upload, more: list[Upload] | None = None) -> dict[str, int]:
    """Upload files."""
    return {"first": first.size, "more": len(more or [])}


@app.post("/reports", tags=["bodies"], accepts=("multipart",))
async def report(report: Report) -> dict[str, str]:
    """Upload a file with its title."""
    return {"title": report.title}


@app.get("/text", tags=["answers"])
async def text() -> str:
    """Answer with text."""
    return "text"


@app.get("/page", tags=["answers"])
async def page() -> HTML:
    """Answer with a page."""
    return HTML("<!doctype html><title>Page</title>")


@app.get("/bytes", tags=["answers"])
async def data() -> bytes:
    """Answer with bytes."""
    return b"\x00\x01"


@app.get("/away", tags=["answers"])
async def away() -> Redirect:
    """Send the client elsewhere."""
    return Redirect("/text")


@app.get("/numbers", tags=["answers"])
async def numbers() -> AsyncIterator[Size]:
    """Stream sizes as JSON Lines."""
    for n in range(1, 4):
        yield Size(width=n, height=n)


@app.get("/events", tags=["answers"])
async def events() -> AsyncIterator[Event[Size]]:
    """Stream events."""
    for n in range(1, 4):
        yield Event(Size(width=n, height=n), id=str(n))


@app.get("/unknown", tags=["answers"])
async def unknown(request: Request):  # what an app without annotations is like
    """Answer with who knows what."""
    return {"path": request.path}


bearer = HTTPBearer("JWT", description="A token that begins with `good`.")
basic = HTTPBasic("warehouse")
key = ApiKey("X-API-Key")
oauth = OAuth2("/token", scopes={"items:read": "Read items.", "items:write": "Change items."})


@app.get("/me", tags=["security"])
async def me(token: Annotated[str, Depends(bearer)]) -> dict[str, str]:
    """Say who is asking."""
    if not token.startswith("good"):
        raise bearer.refuse("this token is not good")
    return {"token": token[:1]}


@app.get("/basic", tags=["security"])
async def with_basic(user: Annotated[BasicCredentials, Depends(basic)]) -> str:
    """Ask for a password."""
    if user.password != "secret":
        raise basic.refuse("this password is wrong")
    return user.username


@app.get("/key", tags=["security"])
async def with_key(api_key: Annotated[str, Depends(key)]) -> str:
    """Ask for a key."""
    if api_key != "key":
        raise key.refuse("this key is unknown")
    return "ok"


@app.get("/scoped", tags=["security"])
async def scoped(token: Annotated[ScopedToken, Depends(oauth.needs("items:read"))]) -> list[str]:
    """Ask for a scope."""
    if token.token != "good":
        raise oauth.refuse("this token is not good")
    return list(token.scopes)


async def only_staff(request: Request) -> None:
    """Let staff in."""
    if request.headers.get("x-staff") != "yes":
        raise Forbidden("staff only")


only_staff.__openapi_security__ = security_of("Staff", {"type": "apiKey", "in": "header", "name": "X-Staff"})


@app.get("/staff", tags=["security"], guards=[only_staff])
async def staff() -> str:
    """Let staff in only."""
    return "hello"


@app.post(
    "/subscribe",
    tags=["extras"],
    status=202,
    openapi={
        "callbacks": {
            "delivered": {
                "{$request.body#/url}": {
                    "post": {"summary": "Delivered", "responses": {"204": {"description": "Seen."}}}
                }
            }
        },
        "externalDocs": {"url": "https://example.org/subscribing", "description": "More about it"},
    },
)
async def subscribe(url: Body[Annotated[dict[str, str], Meta(min_length=1)]]) -> None:
    """Subscribe to deliveries."""
